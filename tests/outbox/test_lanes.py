"""A lane's numbers are the order of its commits, without gaps, whoever meets in it."""

import asyncio
from uuid import UUID

import pytest
from asyncpg import CheckViolationError

from outbox import lanes
from outbox.postgres import Pool
from tests.outbox import writers
from tests.outbox.books import Books, numbered
from tests.outbox.conditions import someone_waits_for_a_lock

ROWS = "select item_id, lane, seq from outbox order by lane, seq"
HEADS = "select lane, head from outbox_lanes where head > 0 order by lane"


async def test_numbers_follow_the_order_of_the_changes_lane_by_lane(pool: Pool) -> None:
    ids = await writers.items(pool, (9, 4), each=2)
    picked = [ids[2], ids[0], ids[3], ids[2], ids[1]]
    async with pool.acquire() as db, db.transaction():
        await writers.change(db, picked)
    assert [tuple(row) for row in await pool.fetch(ROWS)] == [
        (ids[2], 4, 1), (ids[3], 4, 2), (ids[2], 4, 3), (ids[0], 9, 1), (ids[1], 9, 2),
    ]  # fmt: skip
    assert [tuple(row) for row in await pool.fetch(HEADS)] == [(4, 3), (9, 2)]


async def test_a_transaction_that_is_undone_uses_up_no_number(pool: Pool) -> None:
    ids, books = await writers.items(pool, (9,), each=3), Books()
    await writers.commit(pool, books, ids[:1])
    async with pool.acquire() as db:
        undone = db.transaction()
        await undone.start()
        await writers.change(db, ids)
        await undone.rollback()
    await writers.commit(pool, books, ids[1:])
    assert sorted(number for _, number in (await numbered(pool)).values()) == [1, 2, 3]


async def test_later_numbers_are_committed_later(pool: Pool) -> None:
    """The second writer of a lane gets its numbers only when the first has committed."""
    ids = await writers.items(pool, (9,), each=2)
    async with pool.acquire() as one, pool.acquire() as two, two.transaction():
        first = one.transaction()
        await first.start()
        await writers.change(one, ids[:1])
        waiting = asyncio.create_task(writers.change(two, ids[1:]))
        await someone_waits_for_a_lock(pool)
        assert not waiting.done()
        await first.commit()
        await waiting
    assert [row["item_id"] for row in await pool.fetch(ROWS)] == ids


async def test_writers_that_name_the_same_lanes_in_opposite_order_wait_but_never_for_each_other(pool: Pool) -> None:
    ids, books = await writers.items(pool, (4, 9), each=20), Books()
    there, back = ids[:10] + ids[20:30], ids[30:] + ids[10:20]

    async def many(picked: list[UUID]) -> None:
        for _ in range(50):
            await writers.commit(pool, books, picked)

    await asyncio.gather(many(there), many(back))
    assert len(await numbered(pool)) == 2 * 50 * 20


async def test_only_a_commit_that_finds_its_lane_drained_wants_a_hint(pool: Pool) -> None:
    ids = await writers.items(pool, (4, 9), each=1)
    at = await pool.fetchval("select now()")
    changes = [writers.made(id, lane, "task", 1, None, at) for id, lane in zip(ids, (4, 9), strict=True)]
    async with pool.acquire() as db:
        assert await lanes.append(db, changes[:1]) is True
        assert await lanes.append(db, changes[:1]) is False
        assert await lanes.append(db, changes) is True, "the other lane was drained"
        await db.execute("update outbox_lanes set published = head")
        assert await lanes.append(db, changes) is True


async def test_nothing_is_ever_published_that_was_not_numbered(pool: Pool) -> None:
    with pytest.raises(CheckViolationError):
        await pool.execute("update outbox_lanes set published = head + 1 where lane = 9")
