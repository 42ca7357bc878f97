"""Every committed change is published, in order per item: twelve writers meet in eight lanes, and relays come and go."""

import asyncio
import signal
from random import Random

from outbox.postgres import Pool
from schemas.settings import KafkaSettings
from tests.outbox import writers
from tests.outbox.books import Books, Verdict, audit, consume, numbered
from tests.outbox.conditions import drained, holds, is_given_up, until
from tests.outbox.relay_process import Process, started

ROWS = 100_000
PUBLISHED = "select sum(published)::bigint from outbox_lanes"


async def verdict(pool: Pool, topics: KafkaSettings, books: Books, what: str, began: float) -> Verdict:
    """The comparison of this run, also printed, so that its figures can be read with `pytest -rP`."""
    seconds = asyncio.get_running_loop().time() - began
    found = audit(books, await consume(topics, ("task", "collection")), await numbered(pool))
    print(f"{what}: {seconds:.1f} s, {found}")
    return found


async def test_a_hundred_thousand_rows_arrive_once_and_in_order(
    pool: Pool, database: str, topics: KafkaSettings
) -> None:
    ids, books = await writers.items(pool), Books()
    async with started(database, topics, "first") as relay:
        await holds(pool, "first", 256)
        began = asyncio.get_running_loop().time()
        await writers.write(pool, books, ids, ROWS)
        await drained(pool)
        found = await verdict(pool, topics, books, "one relay", began)
        assert await relay.end() == 0

    assert found.rows >= ROWS
    assert found.flawless


async def test_nothing_is_lost_or_turned_round_by_relays_that_are_killed(
    pool: Pool, database: str, topics: KafkaSettings
) -> None:
    ids, books, random = await writers.items(pool), Books(), Random(7)
    began = asyncio.get_running_loop().time()
    async with writers.writing(pool, books, ids, ROWS):
        for failpoint in ("relay.before_send:3", "relay.before_advance:4", "relay.after_advance:5"):
            async with started(database, topics, failpoint, failpoint) as relay:
                assert await relay.ended() == -signal.SIGKILL
            await is_given_up(pool, relay.owner)
        for owner in ("fourth", "fifth", "sixth"):
            async with started(database, topics, owner) as relay:
                await published(pool, relay, more=random.randrange(1, 3_000))
                await relay.end(signal.SIGKILL)
            await is_given_up(pool, relay.owner)
    async with started(database, topics, "last") as relay:
        await holds(pool, "last", 256)
        await drained(pool)
        assert await relay.end() == 0

    found = await verdict(pool, topics, books, "six relays killed", began)
    assert found.rows >= ROWS
    assert found.flawless
    assert found.repeats > 0, "no relay was killed between sending and advancing: the test tested nothing"


async def test_a_relay_that_slept_past_its_lease_disturbs_nothing(
    pool: Pool, database: str, topics: KafkaSettings
) -> None:
    ids, books, random = await writers.items(pool), Books(), Random(11)
    began = asyncio.get_running_loop().time()
    async with started(database, topics, "one") as one, started(database, topics, "two") as two:
        async with writers.writing(pool, books, ids, ROWS):
            for sleeper, other in ((one, two), (two, one), (one, two)):
                await holds(pool, sleeper.owner, 128)
                await holds(pool, other.owner, 128)
                await published(pool, sleeper, more=random.randrange(100, 2_000))
                await takes_over_while_stopped(pool, sleeper, other)
        await drained(pool)
        assert [await one.end(), await two.end()] == [0, 0]

    found = await verdict(pool, topics, books, "two relays, one of them stopped, three times", began)
    assert found.rows >= ROWS
    assert found.flawless


async def takes_over_while_stopped(pool: Pool, sleeper: Process, other: Process) -> None:
    """Stops one relay, lets the other publish from all lanes, and continues the first."""
    sleeper.send(signal.SIGSTOP)
    await is_given_up(pool, sleeper.owner)
    await holds(pool, other.owner, 256)
    await published(pool, other, more=500)
    sleeper.send(signal.SIGCONT)
    await published(pool, other, more=500)


async def published(pool: Pool, relay: Process, more: int) -> None:
    """Returns when this relay holds lanes and so many rows more are published."""
    before = await pool.fetchval(PUBLISHED)

    async def enough() -> bool:
        holding = await pool.fetchval("select count(*) from outbox_lanes where owner = $1", relay.owner)
        return bool(holding and await pool.fetchval(PUBLISHED) - before >= more)

    await until(enough, f"{relay.owner} publishes {more} rows", within=30)
