"""The books of the order test notice what they are for: each test takes out one thing and looks at the verdict.

Each interleaving is made certain by waiting until a statement stands at the lock that it has to stand at.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import pytest

from outbox import lanes, relay
from outbox.postgres import Pool
from outbox.relay import Relay
from schemas.settings import KafkaSettings
from tests.outbox import writers
from tests.outbox.books import Books, Verdict, audit, consume, numbered
from tests.outbox.conditions import someone_waits_for_a_lock

LANE: Final = 78


def without(statement: str, part: str, instead: str = "") -> str:
    """A statement with a part taken out, which has to be in it."""
    assert statement.count(part) == 1, f"{part!r} stands {statement.count(part)} times in the statement"
    return statement.replace(part, instead)


NO_LANE_LOCK: Final = without(lanes.APPEND, " for no key update")
NUMBERED_BEFORE: Final = without(
    NO_LANE_LOCK,
    """
    update outbox_lanes l set head = l.head + need.rows from need join locked using (lane)
    where l.lane = need.lane returning l.lane, locked.head as base, locked.published""",
    "select lane, head - rows as base, published from locked join need using (lane)",
)
NUMBER: Final = "update outbox_lanes set head = head + $2 where lane = $1"
BY_TIME: Final = without(
    without(relay.READ, "order by o.seq limit", "order by o.recorded_at limit"),
    "order by o.lane, o.seq",
    "order by o.lane, o.recorded_at",
)
NO_FENCE: Final = without(without(relay.ADVANCE, " and l.epoch = d.epoch"), "l.owner = $1 and", "$1 <> '' and")
TAKE_OVER: Final = "update outbox_lanes set owner = 'another', epoch = epoch + 1, leased_until = $2 where lane = $1"
PUBLISHED: Final = "select published from outbox_lanes where lane = $1"

Relays = Callable[..., Relay]


@pytest.fixture
async def relays(pool: Pool, database: str, topics: KafkaSettings) -> AsyncIterator[Relays]:
    """Makes relays that hold no lanes yet and run no cycle by themselves; all are stopped at the end."""
    made: list[Relay] = []

    def make(owner: str, *, read: str = relay.READ, advance: str = relay.ADVANCE) -> Relay:
        made.append(Relay(pool, database, topics, owner, read=read, advance=advance))
        return made[-1]

    yield make
    for one in made:
        one.stop()
        await one.run()


async def verdict(pool: Pool, topics: KafkaSettings, books: Books) -> Verdict:
    return audit(books, await consume(topics, ("task", "collection")), await numbered(pool))


async def test_the_books_are_satisfied_when_nothing_is_taken_out(
    pool: Pool, topics: KafkaSettings, relays: Relays
) -> None:
    first = relays("first")
    found = await two_writers_meet_a_relay(pool, topics, first, lanes.APPEND)
    assert (found.rows, found.missed, found.flawless) == (6, 0, True)


async def test_without_the_lane_lock_rows_are_missed(pool: Pool, topics: KafkaSettings, relays: Relays) -> None:
    first = relays("first")
    found = await two_writers_meet_a_relay(pool, topics, first, NO_LANE_LOCK)
    assert found.missed == 3, "the second writer took its numbers from a head that the first had already moved"


async def two_writers_meet_a_relay(pool: Pool, topics: KafkaSettings, first: Relay, append: str) -> Verdict:
    """One writer waits for another's lane, and a relay publishes between their commits."""
    ids, books = await writers.items(pool, (LANE,), each=6), Books()
    await first.take_share()
    async with pool.acquire() as one, pool.acquire() as two:
        earlier, later = one.transaction(), two.transaction()
        await earlier.start()
        await later.start()
        changes = await writers.change(one, ids[:3], append)
        waiting = asyncio.create_task(writers.change(two, ids[3:], append))
        await someone_waits_for_a_lock(pool)
        await earlier.commit()
        books.enter(changes)
        changes = await waiting
        cycle = asyncio.create_task(first.cycle())
        await someone_waits_for_a_lock(pool)
        await later.commit()
        books.enter(changes)
        await cycle
    await first.cycle()
    return await verdict(pool, topics, books)


async def test_rows_numbered_before_their_transaction_are_missed(
    pool: Pool, topics: KafkaSettings, relays: Relays
) -> None:
    """What a sequence does: a later number is committed, and published, while an earlier one is not there yet."""
    ids, books, first = await writers.items(pool, (LANE,), each=2), Books(), relays("first")
    await first.take_share()
    async with pool.acquire() as slow, slow.transaction():
        await pool.execute(NUMBER, LANE, 1)
        changes = await writers.change(slow, ids[:1], NUMBERED_BEFORE)
        await pool.execute(NUMBER, LANE, 1)
        await writers.commit(pool, books, ids[1:], NUMBERED_BEFORE)
        await first.cycle()
    books.enter(changes)
    await first.cycle()
    found = await verdict(pool, topics, books)
    assert (found.rows, found.missed) == (2, 1)


@pytest.mark.parametrize(("read", "disordered"), [(relay.READ, 0), (BY_TIME, 1)], ids=["by number", "by time"])
async def test_reading_in_the_order_of_time_turns_rows_round(
    pool: Pool, topics: KafkaSettings, relays: Relays, read: str, disordered: int
) -> None:
    ids, books, first = await writers.items(pool, (LANE,), each=3), Books(), relays("first", read=read)
    await one_writer_overtakes_another(pool, books, ids[1:])
    await first.take_share()
    await first.cycle()
    assert (await verdict(pool, topics, books)).disordered == disordered


async def one_writer_overtakes_another(pool: Pool, books: Books, ids: list[UUID]) -> None:
    """Two commits of tasks of one lane, of which the later one was recorded at the earlier time."""
    async with pool.acquire() as one, one.transaction():
        earlier = await one.fetchval("select clock_timestamp()")
        await writers.commit(pool, books, ids[:1])
        changes = [writers.made(ids[1], LANE, "task", 1, None, earlier)]
        await lanes.append(one, changes)
    books.enter(changes)


@pytest.mark.parametrize(("advance", "moved"), [(relay.ADVANCE, 0), (NO_FENCE, 3)], ids=["fenced", "without the epoch"])
async def test_a_zombie_moves_nothing_unless_the_fence_is_taken_out(
    pool: Pool, relays: Relays, advance: str, moved: int
) -> None:
    """Another takes the lane over after the zombie's records are acknowledged and before it has advanced."""
    ids, books, zombie = await writers.items(pool, (LANE,), each=3), Books(), relays("zombie", advance=advance)
    await zombie.take_share()
    await writers.commit(pool, books, ids)
    async with pool.acquire() as db, db.transaction():
        await db.execute(TAKE_OVER, LANE, datetime.now(UTC) + timedelta(seconds=5))
        cycle = asyncio.create_task(zombie.cycle())
        await someone_waits_for_a_lock(pool)
    await cycle
    assert await pool.fetchval(PUBLISHED, LANE) == moved


async def test_after_a_zombie_the_next_owner_publishes_the_rest_in_order(
    pool: Pool, topics: KafkaSettings, relays: Relays
) -> None:
    ids, books = await writers.items(pool, (LANE,), each=3), Books()
    zombie, second = relays("zombie"), relays("second")
    await zombie.take_share()
    await writers.commit(pool, books, ids)
    async with pool.acquire() as db, db.transaction():
        await db.execute(TAKE_OVER, LANE, datetime(2020, 1, 1, tzinfo=UTC))
        cycle = asyncio.create_task(zombie.cycle())
        await someone_waits_for_a_lock(pool)
    await cycle
    await writers.commit(pool, books, ids)
    await second.take_share()
    assert await zombie.cycle() == 0, "it knows that the lane is no longer its own"
    assert await second.cycle() == 6
    found = await verdict(pool, topics, books)
    assert (found.rows, found.repeats, found.flawless) == (6, 3, True)
