"""The relay among others: slow writers, a broker or a database that goes away, hints, large rows."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from statistics import median

import pytest
from asyncpg import UndefinedTableError

from outbox import lanes, postgres
from outbox.hint import CHANNEL, Hint
from outbox.postgres import UNAVAILABLE, Pool, Row
from outbox.relay import Noted, Relay
from schemas.settings import KafkaSettings
from tests.conftest import Stack
from tests.outbox import writers
from tests.outbox.books import Books, audit, consume, numbered
from tests.outbox.conditions import drained, holds, until

LANE = "select head, published from outbox_lanes where lane = $1"
QUIET = """
select max(query_start) < now() - interval '0.1 s' from pg_stat_activity
where datname = current_database() and application_name = 'lifeos-relay'"""
LAPSED = "select array_agg(lane order by lane) from outbox_lanes where leased_until < now()"


@asynccontextmanager
async def running(pool: Pool, database: str, topics: KafkaSettings, owner: str = "one") -> AsyncIterator[Relay]:
    """A relay in this process, with connections of its own, holding all lanes."""
    async with postgres.pool(database, "relay") as own:
        relay = Relay(own, database, topics, owner)
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
        # Somebody's own connection: ours are ended by the server when they stand still.
        async with postgres.connection(database, "stuck") as stuck, stuck.transaction():
            if behind:
                await writers.commit(pool, books, ids[2:3])
            changes = await writers.change(stuck, ids[3:4])
            await writers.commit(pool, books, others)
            # While that writer stands: its transaction ends only below.
            await published(pool, 10)
            await published(pool, 200)
            await until(partial(_lapsed, pool), "the lease of the locked lane ends")
            await writers.commit(pool, books, others)
            await published(pool, 10)
            await published(pool, 200)
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


async def test_what_one_cycle_holds_in_memory_is_bounded_whatever_a_row_weighs(
    pool: Pool, database: str, topics: KafkaSettings
) -> None:
    ids = await writers.items(pool, (78,), each=24)
    heavy = {"@type": "Task", "description": "x" * 1_000_000}
    at = await pool.fetchval("select now()")
    async with pool.acquire() as db, db.transaction():
        await lanes.append(db, [replace(writers.made(id, 78, "task", 1, None, at), item=heavy) for id in ids])
    relay = Relay(pool, database, topics, "one")
    await relay.take_share()
    assert [await relay.cycle(), await relay.cycle(), await relay.cycle()] == [17, 7, 0]
    relay.stop()
    await relay.run()


async def test_a_sleeping_relay_is_woken_by_a_hint(pool: Pool, database: str, topics: KafkaSettings) -> None:
    ids, books, hint = await writers.items(pool, (78,), each=2), Books(), Hint(pool)
    async with running(pool, database, topics):
        await until(partial(_listens, pool), "the relay listens")
        await writers.commit(pool, books, ids)  # its producer has started after this
        await published(pool, 78)
        waited = []
        for _ in range(5):
            await until(partial(_asleep, pool), "the relay has looked for the last time and sleeps")
            await writers.commit(pool, books, ids)
            hint.ring()
            waited.append(await published(pool, 78))
    assert median(waited) < 0.3, "without the hint it looks once a second"


async def _listens(pool: Pool) -> bool:
    return bool(await pool.fetchval("select count(*) from pg_stat_activity where query ilike 'listen %lifeos_outbox%'"))


async def _asleep(pool: Pool) -> bool:
    """Whether no connection of ours asked anything for a tenth of a second."""
    return bool(await pool.fetchval(QUIET))


async def test_many_commits_share_one_hint(pool: Pool, database: str) -> None:
    hint, heard = Hint(pool), asyncio.Queue[str]()
    async with postgres.connection(database, "test-hints") as db:
        await db.add_listener(CHANNEL, lambda *_: heard.put_nowait("hint"))
        for _ in range(1_000):
            hint.ring()
        await asyncio.wait_for(heard.get(), 5)
        hint.ring()
        await asyncio.wait_for(heard.get(), 5)
        assert heard.empty(), "a thousand commits rang once, the one after them once more"


async def test_the_relay_goes_on_after_the_broker_was_killed(
    stack: Stack, pool: Pool, database: str, topics: KafkaSettings
) -> None:
    ids, books = await writers.items(pool), Books()
    async with running(pool, database, topics):
        await writers.write(pool, books, ids, 2_000)
        await stack.kafka.kill()
        await writers.write(pool, books, ids, 2_000)
        await stack.kafka.start()
        took = await drained(pool)
    found = audit(books, await consume(topics, ("task", "collection")), await numbered(pool))
    print(f"all was published {took:.1f} s after the broker was back: {found}")
    assert found.flawless
    assert took < 5


async def test_the_relay_goes_on_after_postgresql_was_killed(
    stack: Stack, pool: Pool, database: str, topics: KafkaSettings
) -> None:
    ids, books = await writers.items(pool), Books()
    async with running(pool, database, topics):
        await writers.write(pool, books, ids, 2_000)
        await stack.postgres.kill()
        await stack.postgres.start()
        took = await until(partial(_answers, pool), "the pool is whole again")
        await writers.commit(pool, books, ids[:50])
        took += await drained(pool)
        await writers.write(pool, books, ids, 2_000)
        await drained(pool)
    found = audit(books, await consume(topics, ("task", "collection")), await numbered(pool))
    print(f"a new commit was published {took:.1f} s after PostgreSQL was back: {found}")
    assert found.flawless
    assert took < 5


async def _answers(pool: Pool) -> bool:
    try:
        return bool(await pool.fetchval("select true"))
    except UNAVAILABLE:
        return False


class Slow(Relay):
    """A relay whose Kafka takes few rows in the time there is."""

    async def _send(self, rows: Sequence[Row]) -> list[Noted]:
        if len(rows) > 50:
            raise TimeoutError
        return await super()._send(rows)


async def test_a_kafka_that_is_slow_gets_less_at_once_until_it_can_take_it(
    pool: Pool, database: str, topics: KafkaSettings
) -> None:
    ids, books = await writers.items(pool, (10,), each=400), Books()
    await writers.commit(pool, books, ids)
    relay = Slow(pool, database, topics, "one")
    task = asyncio.create_task(relay.run())
    try:
        await published(pool, 10, within=30)
    finally:
        relay.stop()
        await task
    assert audit(books, await consume(topics), await numbered(pool)).flawless
