"""The one lease: who should work, by the database's clock; and the fence: who may commit."""

import asyncio
import signal
from datetime import timedelta

import pytest

from outbox import lease
from outbox.lease import CURSORS, LANES, FenceLost, Held
from outbox.postgres import Pool
from schemas.settings import KafkaSettings
from tests.outbox.conditions import holds, someone_waits_for_a_lock
from tests.outbox.relay_process import started
from tests.outbox.spine import Spine

OVER = timedelta(0)
ROW = "select owner, epoch, leased_until - now() as remaining from outbox_lanes where lane = $1"


async def test_a_claim_takes_free_rows_in_order_and_no_more_than_asked(pool: Pool) -> None:
    assert await lease.claim(pool, LANES, "one", 3) == [Held(0, 1), Held(1, 1), Held(2, 1)]
    row = await pool.fetchrow(ROW, 2)
    assert row is not None
    assert (row["owner"], row["epoch"]) == ("one", 1)
    assert timedelta(seconds=4) < row["remaining"] <= lease.LEASE


async def test_what_one_holds_another_cannot_claim(pool: Pool) -> None:
    await lease.claim(pool, LANES, "one", 250)
    assert [held.key for held in await lease.claim(pool, LANES, "two", 256)] == [250, 251, 252, 253, 254, 255]
    assert await lease.claim(pool, LANES, "two", 256) == []


async def test_claimers_at_the_same_moment_never_share(pool: Pool) -> None:
    claims = await asyncio.gather(*(lease.claim(pool, LANES, f"relay {n}", 40) for n in range(12)))
    keys = [held.key for claim in claims for held in claim]
    assert len(keys) == len(set(keys))


async def test_an_expired_lease_goes_to_the_next_under_a_higher_epoch(pool: Pool) -> None:
    (first,) = await lease.claim(pool, LANES, "one", 1, OVER)
    (second,) = await lease.claim(pool, LANES, "two", 1)
    assert (second.key, second.epoch) == (first.key, first.epoch + 1)
    (third,) = await lease.claim(pool, LANES, "one", 1)
    assert third.key != first.key


async def test_a_renewal_prolongs_what_is_ours_and_names_it(pool: Pool) -> None:
    first, second = await lease.claim(pool, LANES, "one", 2, OVER)
    (taken,) = await lease.claim(pool, LANES, "two", 1)
    assert taken.key == first.key
    assert await lease.renew(pool, LANES, "one", [first, second]) == [second]
    assert [held.key for held in await lease.claim(pool, LANES, "two", 1)] == [2], "the renewed one is not free"


async def test_a_lease_that_ended_unnoticed_is_still_ours_until_another_takes_it(pool: Pool) -> None:
    held = await lease.claim(pool, LANES, "one", 1, OVER)
    assert await lease.renew(pool, LANES, "one", held) == held


async def test_a_released_row_is_free_at_once(pool: Pool) -> None:
    held = await lease.claim(pool, LANES, "one", 256)
    await lease.release(pool, LANES, "one", held[:1])
    assert await lease.claim(pool, LANES, "two", 256) == [Held(held[0].key, held[0].epoch + 1)]


async def test_a_late_release_takes_nothing_from_the_next_owner(pool: Pool) -> None:
    stale = await lease.claim(pool, LANES, "one", 1, OVER)
    current = await lease.claim(pool, LANES, "two", 1)
    await lease.release(pool, LANES, "one", stale)
    assert await lease.renew(pool, LANES, "two", current) == current


async def test_the_same_owner_started_again_does_not_renew_what_its_former_life_held(pool: Pool) -> None:
    former = await lease.claim(pool, LANES, "one", 1, OVER)
    current = await lease.claim(pool, LANES, "one", 1)
    assert await lease.renew(pool, LANES, "one", former) == []
    assert await lease.renew(pool, LANES, "one", current) == current


async def test_a_cursor_that_is_not_due_is_not_claimed(pool: Pool, spine: Spine) -> None:
    await pool.execute("update sync_cursors set due_at = now() + interval '1 minute'")
    assert await lease.claim(pool, CURSORS, "one", 10) == []
    await pool.execute("update sync_cursors set due_at = now()")
    assert await lease.claim(pool, CURSORS, "one", 10) == [Held(spine.cursor_id, 1)]


async def test_the_fence_lets_the_holder_commit_even_after_its_time_if_nobody_came(pool: Pool) -> None:
    (held,) = await lease.claim(pool, LANES, "one", 1, OVER)
    async with pool.acquire() as db, db.transaction():
        await lease.fence(db, LANES, held)


async def test_the_fence_stops_a_holder_whose_row_went_to_another(pool: Pool) -> None:
    (held,) = await lease.claim(pool, LANES, "one", 1, OVER)
    await lease.claim(pool, LANES, "two", 1)
    async with pool.acquire() as db, db.transaction():
        with pytest.raises(FenceLost, match=r"outbox_lanes 0: epoch 1 is over"):
            await lease.fence(db, LANES, held)


async def test_the_fence_waits_for_a_takeover_that_is_being_committed_and_then_stops(pool: Pool) -> None:
    (held,) = await lease.claim(pool, LANES, "one", 1, OVER)
    async with pool.acquire() as late, late.transaction():
        async with pool.acquire() as db, db.transaction():
            await db.execute("update outbox_lanes set owner = 'two', epoch = epoch + 1 where lane = 0")
            fence = asyncio.create_task(lease.fence(late, LANES, held))
            await someone_waits_for_a_lock(pool)
        with pytest.raises(FenceLost):
            await fence


async def test_nobody_takes_over_between_the_fence_and_the_commit(pool: Pool) -> None:
    (held,) = await lease.claim(pool, LANES, "one", 1, OVER)
    async with pool.acquire() as db, db.transaction():
        await lease.fence(db, LANES, held)
        assert [other.key for other in await lease.claim(pool, LANES, "two", 1)] == [1]
    assert [other.key for other in await lease.claim(pool, LANES, "two", 1)] == [0]


async def test_two_relays_share_the_lanes_and_one_takes_over_from_the_other(
    pool: Pool, database: str, topics: KafkaSettings
) -> None:
    async with started(database, topics, "one") as one, started(database, topics, "two") as two:
        shared = max([await holds(pool, "one", 128), await holds(pool, "two", 128)])
        await two.end(signal.SIGKILL)
        took_over = await holds(pool, "one", 256, within=10)
        print(f"shared within {shared:.1f} s, taken over after SIGKILL within {took_over:.1f} s")
        assert await one.end() == 0
    assert await pool.fetchval("select count(*) from outbox_lanes where owner is not null") == 0


async def test_a_relay_that_is_told_to_stop_gives_its_lanes_back_at_once(
    pool: Pool, database: str, topics: KafkaSettings
) -> None:
    async with started(database, topics, "one") as one, started(database, topics, "two") as two:
        await holds(pool, "one", 128)
        await holds(pool, "two", 128)
        assert await two.end() == 0
        took_over = await holds(pool, "one", 256, within=5)
        print(f"taken over after SIGTERM within {took_over:.1f} s")
        assert await one.end() == 0
