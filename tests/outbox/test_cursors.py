"""Cursors: what makes one due and what does not, and how one is closed, shut and opened again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from outbox import commit, cursors, lease
from outbox.commit import Step
from outbox.cursors import Finish, Progress, Push, Retry, Shut
from outbox.lease import CURSORS, FenceLost, Held
from outbox.postgres import Connection, Pool
from outbox.vault import Vault
from schemas.plan import Plan
from tests.outbox.conditions import someone_waits_for_a_lock
from tests.outbox.spine import Spine, connect

Touch = Callable[[Connection], Awaitable[object]]

WORK = "all/work"
CURSOR = "select * from sync_cursors where resource = $1"
OWED = "select wanted - done from sync_cursors where resource = $1"


async def cursor(pool: Pool, resource: str = "all") -> Any:
    return await pool.fetchrow(CURSOR, resource)


async def open_and_close(spine: Spine, opened: Sequence[str] = (), closed: Sequence[str] = ()) -> None:
    """As a run does that shows resources coming and going."""
    async with spine.pool.acquire() as db, db.transaction():
        await cursors.open_and_close(db, spine.run, opened, closed)


async def pushed(pool: Pool, cursor_id: UUID, delivery: str, trace: str | None = None) -> None:
    async with pool.acquire() as db, db.transaction():
        await cursors.want(db, {cursor_id: Push(1, delivery, trace)})


async def look(spine: Spine, resource: str) -> None:
    await cursors.look(spine.pool, spine.run.tenant_id, spine.run.connection_id, [resource])


async def claim(pool: Pool, resource: str) -> Held:
    """The cursor of this resource, its run begun."""
    await pool.execute(
        "update sync_cursors set due_at = case resource when $1 then now() else 'infinity' end", resource
    )
    (held,) = await lease.claim(pool, CURSORS, "one", 1)
    assert await cursors.begin(pool, held) is not None
    return held


async def end(spine: Spine, vault: Vault, held: Held, progress: Progress) -> None:
    step = Step(lambda known, clock: Plan(), progress=progress)
    await commit.apply(spine.pool, vault, held, spine.run, step)
    await lease.release(spine.pool, CURSORS, "one", [held])


async def shut(spine: Spine, vault: Vault, resource: str) -> None:
    await open_and_close(spine, closed=[resource])
    await end(spine, vault, await claim(spine.pool, resource), Shut())


async def finished(spine: Spine, vault: Vault) -> None:
    """The root cursor's run has seen whatever was pushed until now."""
    held = await claim(spine.pool, "all")
    wanted = (await cursor(spine.pool))["wanted"]
    await end(spine, vault, held, Finish("1", wanted, timedelta(hours=6)))


# What makes a cursor due ----------------------------------------------------------------------------------------------


async def test_a_push_during_a_back_off_does_not_shorten_it(pool: Pool, vault: Vault, spine: Spine) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    await end(spine, vault, await claim(pool, "all"), Retry("429", at))
    await pushed(pool, spine.cursor_id, "delivery-2")
    row = await cursor(pool)
    assert (row["wanted"], row["cause"], row["due_at"]) == (1, "delivery-2", at)
    await look(spine, "all")
    row = await cursor(pool)
    assert (row["wanted"], row["due_at"]) == (2, at)


async def test_a_look_is_not_attributed_to_a_push_that_was_seen(pool: Pool, vault: Vault, spine: Spine) -> None:
    await pushed(pool, spine.cursor_id, "delivery-2", "trace-2")
    await finished(spine, vault)
    row = await cursor(pool)
    assert (row["cause"], row["trace"]) == ("delivery-2", "trace-2")
    await look(spine, "all")
    row = await cursor(pool)
    assert (row["wanted"] - row["done"], row["cause"], row["trace"]) == (1, None, None)


async def test_a_look_takes_no_push_from_the_run_that_it_was_to_bring_about(
    pool: Pool, vault: Vault, spine: Spine
) -> None:
    await finished(spine, vault)
    await pushed(pool, spine.cursor_id, "delivery-3", "trace-3")
    await look(spine, "all")
    row = await cursor(pool)
    assert (row["wanted"] - row["done"], row["cause"], row["trace"]) == (2, "delivery-3", "trace-3")


@pytest.mark.parametrize("over", [False, True], ids=["closing", "shut"])
async def test_a_look_leaves_a_closed_cursor_alone(pool: Pool, vault: Vault, spine: Spine, over: bool) -> None:
    await open_and_close(spine, opened=[WORK])
    if over:
        await shut(spine, vault, WORK)
    else:
        await open_and_close(spine, closed=[WORK])
    before = await cursor(pool, WORK)
    await look(spine, WORK)
    assert await cursor(pool, WORK) == before


# Closing and opening again --------------------------------------------------------------------------------------------


async def test_a_closing_run_is_fenced_out_when_its_resource_comes_back(pool: Pool, vault: Vault, spine: Spine) -> None:
    await open_and_close(spine, opened=[WORK])
    await open_and_close(spine, closed=[WORK])
    closing = await claim(pool, WORK)
    await open_and_close(spine, opened=[WORK])
    with pytest.raises(FenceLost):
        await end(spine, vault, closing, Shut())
    row = await cursor(pool, WORK)
    assert (row["closed"], row["owner"], row["due_at"] <= datetime.now(UTC)) == (False, None, True)


async def test_a_push_while_a_resource_closes_is_owed_to_nobody_when_it_comes_back(
    pool: Pool, vault: Vault, spine: Spine
) -> None:
    await open_and_close(spine, opened=[WORK])
    await open_and_close(spine, closed=[WORK])
    closing = await claim(pool, WORK)
    await pushed(pool, (await cursor(pool, WORK))["id"], "too late")
    await end(spine, vault, closing, Shut())
    assert await pool.fetchval(
        "select wanted = done and due_at = 'infinity' from sync_cursors where resource = $1", WORK
    )
    await open_and_close(spine, opened=[WORK, "all/new"])
    assert await pool.fetchval(OWED, WORK) == await pool.fetchval(OWED, "all/new")
    assert (await cursor(pool, WORK))["cause"] != "too late"


# Several at once ------------------------------------------------------------------------------------------------------


async def crossed(pool: Pool, on: str, first: Touch, second: Touch) -> None:
    """Two transactions: the first waits for the cursor `on`, then the second begins, then the cursor is free."""

    async def apart(touch: Touch) -> None:
        async with pool.acquire() as db, db.transaction():
            await touch(db)

    async with pool.acquire() as db, db.transaction():
        await db.execute("select from sync_cursors where resource = $1 for update", on)
        tasks = [asyncio.create_task(apart(first))]
        await someone_waits_for_a_lock(pool)
        tasks.append(asyncio.create_task(apart(second)))
        await someone_waits_for_a_lock(pool, 2)
    await asyncio.gather(*tasks)


async def test_two_that_open_the_same_resources_in_opposite_order_wait_for_one_another(
    pool: Pool, spine: Spine
) -> None:
    one, other = "all/1", "all/2"
    await open_and_close(spine, opened=[one, other])
    await open_and_close(spine, closed=[one, other])
    await crossed(
        pool,
        other,
        lambda db: cursors.open_and_close(db, spine.run, [other, one], []),
        lambda db: cursors.open_and_close(db, spine.run, [one, other], []),
    )
    assert not await pool.fetchval("select bool_or(closed) from sync_cursors")


async def test_closing_resources_waits_for_a_push_that_is_for_the_same_ones(pool: Pool, spine: Spine) -> None:
    older, newer = "all/2", "all/1"
    for resource in (older, newer):
        await open_and_close(spine, opened=[resource])
    # Neither the order in which they are stored nor that of their names is that of their ids.
    await pool.execute("update sync_cursors set wanted = wanted where resource = $1", older)
    pushes = {(await cursor(pool, resource))["id"]: Push(1, "delivery-2", None) for resource in (newer, older)}
    await crossed(
        pool,
        older,
        lambda db: cursors.want(db, pushes),
        lambda db: cursors.open_and_close(db, spine.run, [], [newer, older]),
    )
    for resource in (older, newer):
        assert (await cursor(pool, resource))["closed"]


async def test_however_many_of_an_account_are_due_four_are_claimed_at_once_and_others_come_after_them(
    pool: Pool, vault: Vault, spine: Spine
) -> None:
    await open_and_close(spine, opened=[f"all/{number}" for number in range(20)])
    await pool.execute("update sync_cursors set due_at = now() - interval '1 h'")
    other = await connect(pool, vault, "another")

    async def claimed(most: int = 64) -> list[UUID]:
        held = await lease.claim(pool, CURSORS, "one", most)
        whose = "select connection_id from sync_cursors where id = any($1::uuid[])"
        return [row[0] for row in await pool.fetch(whose, [one.key for one in held])]

    ours, theirs = spine.run.connection_id, other.run.connection_id
    assert await claimed(3) == [ours] * 3
    assert sorted(await claimed()) == sorted([ours, theirs])
    assert await claimed() == [], "the others wait until one of them is over"
    await pool.execute(
        """update sync_cursors set due_at = 'infinity', leased_until = '-infinity'
        where id = (select id from sync_cursors where connection_id = $1 and leased_until > now() limit 1)""",
        ours,
    )
    assert await claimed() == [ours]


async def test_those_that_came_first_are_claimed_first(pool: Pool, vault: Vault, spine: Spine) -> None:
    await open_and_close(spine, opened=[f"all/{number}" for number in range(9)])
    await pool.execute(
        "update sync_cursors set due_at = now() - '1 s'::interval * (1 + right(resource, 1)::int) where resource <> 'all'"
    )
    held = await lease.claim(pool, CURSORS, "one", 64)
    found = await pool.fetch("select resource from sync_cursors where id = any($1::uuid[])", [one.key for one in held])
    assert {row[0] for row in found} == {"all/5", "all/6", "all/7", "all/8"}
