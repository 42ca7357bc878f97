"""Waiting for what belongs to other processes: a condition with a bound, never a fixed time."""

import asyncio
from collections.abc import Awaitable, Callable

from outbox.postgres import Pool

BLOCKED = """
select count(*) from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock' and state = 'active'"""

# A dead or stopped relay holds on for five seconds of the database's clock. Tests that do not measure them pass them over.
LEASES_END = "update outbox_lanes set leased_until = '-infinity' where owner = $1"
PRESENCE_ENDS = "update outbox_relays set seen_until = '-infinity' where owner = $1"


async def until(holds: Callable[[], Awaitable[bool]], what: str, within: float = 10.0) -> float:
    """Returns after how many seconds it held. Fails, naming it, when it does not within the bound."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not await holds():
        assert loop.time() - began < within, f"{what}: not within {within} s"
        await asyncio.sleep(0.01)
    return loop.time() - began


async def someone_waits_for_a_lock(pool: Pool, how_many: int = 1) -> None:
    """Returns when so many statements stand at a lock, which makes an interleaving certain instead of likely."""

    async def waiting() -> bool:
        return bool(await pool.fetchval(BLOCKED) >= how_many)

    await until(waiting, f"{how_many} statements wait for a lock")


async def drained(pool: Pool, within: float = 60.0) -> float:
    """Returns when everything that was committed is published."""

    async def nothing_is_behind() -> bool:
        return bool(await pool.fetchval("select coalesce(sum(head - published), 0) = 0 from outbox_lanes"))

    return await until(nothing_is_behind, "the outbox is drained", within)


async def holds(pool: Pool, owner: str, lanes: int, within: float = 15.0) -> float:
    """Returns after how many seconds this relay held exactly so many lanes."""

    async def counted() -> bool:
        return bool(await pool.fetchval("select count(*) from outbox_lanes where owner = $1", owner) == lanes)

    return await until(counted, f"{owner} holds {lanes} lanes", within)


async def is_given_up(pool: Pool, owner: str) -> None:
    """To the database this relay's time is over now."""
    await pool.execute(PRESENCE_ENDS, owner)
    await pool.execute(LEASES_END, owner)
