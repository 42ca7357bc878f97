"""The relay among others: slow writers, a broker or a database that goes away, hints, large rows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from asyncpg import UndefinedTableError

from outbox.postgres import Pool
from outbox.relay import Relay
from schemas.settings import KafkaSettings
from tests.outbox import writers
from tests.outbox.books import Books, audit, consume, numbered
from tests.outbox.conditions import holds, until

LANE = "select head, published from outbox_lanes where lane = $1"
LAPSED = "select array_agg(lane order by lane) from outbox_lanes where leased_until < now()"


@asynccontextmanager
async def running(pool: Pool, database: str, topics: KafkaSettings, owner: str = "one") -> AsyncIterator[Relay]:
    """A relay in this process, holding all lanes."""
    relay = Relay(pool, database, topics, owner)
    task = asyncio.create_task(relay.run())
    try:
        await holds(pool, owner, 256)
        yield relay
    finally:
        relay.stop()
        await task


async def published(pool: Pool, lane: int, within: float = 10.0) -> float:
    """Returns after how many seconds a lane had nothing left."""

    async def nothing_left() -> bool:
        head, done = await pool.fetchrow(LANE, lane) or (0, 1)
        return bool(head == done)

    return await until(nothing_left, f"lane {lane} is published", within)


@pytest.mark.parametrize("behind", [False, True], ids=["with nothing else to publish", "with rows to publish"])
async def test_a_writer_that_stands_still_before_its_commit_holds_up_no_other_lane(
    pool: Pool, database: str, topics: KafkaSettings, behind: bool
) -> None:
    ids, books = await writers.items(pool, (10, 100, 200), each=2), Books()
    others = [*ids[:2], *ids[4:]]
    async with running(pool, database, topics):
        async with pool.acquire() as stuck, stuck.transaction():
            if behind:
                await writers.commit(pool, books, ids[2:3])
            changes = await writers.change(stuck, ids[3:4])
            await writers.commit(pool, books, others)
            assert max([await published(pool, 10), await published(pool, 200)]) < 3
            await until(partial(_lapsed, pool), "the lease of the locked lane ends")
            await writers.commit(pool, books, others)
            assert max([await published(pool, 10), await published(pool, 200)]) < 3
            assert await pool.fetchval(LAPSED) == [100], "the leases of the others were renewed"
        books.enter(changes)
        await published(pool, 100)
    found = audit(books, await consume(topics), await numbered(pool))
    assert found.flawless


async def _lapsed(pool: Pool) -> bool:
    return bool(await pool.fetchval(LAPSED) == [100])


async def test_a_relay_that_can_no_longer_keep_its_lanes_ends_instead_of_falling_silent(
    pool: Pool, database: str, topics: KafkaSettings
) -> None:
    relay = Relay(pool, database, topics, "one")
    task = asyncio.create_task(relay.run())
    await holds(pool, "one", 256)
    await pool.execute("alter table outbox_relays rename to somewhere_else")
    with pytest.raises(UndefinedTableError):
        await asyncio.wait_for(task, 5)
    assert await pool.fetchval("select count(*) from outbox_lanes where owner is not null") == 0
