"""Once in effects: the two transactions happen whole or not at all, and only for who still holds the fence."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import pytest

from outbox import commit, cursors, offsets
from outbox.commit import Batch, Step
from outbox.cursors import Advance, Finish
from outbox.lease import FenceLost
from outbox.offsets import Position
from outbox.postgres import BAD_DATA, UNAVAILABLE, Pool
from outbox.vault import Vault
from schemas.plan import Clock, Mapping, Plan
from schemas.receipt import Receipt, SetAside, Target
from tests.outbox.conditions import someone_waits_for_a_lock
from tests.outbox.spine import Spine

PARTITION = ("webhooks.todoist", 3)
OVER = timedelta(0)

# All that *accept* and *apply* write, so that "nothing" means nothing.
STATE = """
select (select coalesce(json_agg(r order by r."offset", r.match), '[]') from receipts r)::text as receipts,
    (select coalesce(json_agg(c order by c.id), '[]') from sync_cursors c)::text as cursors,
    (select coalesce(json_agg(o order by o.topic, o.partition), '[]') from consumer_offsets o)::text as offsets,
    (select coalesce(json_agg(p order by p.source), '[]') from parked p)::text as parked,
    (select coalesce(json_agg(m order by m.item_id), '[]') from integration_data_mapping m)::text as mappings,
    (select coalesce(json_agg(h order by h.id), '[]') from sync_history h)::text as history,
    (select coalesce(json_agg(o order by o.lane, o.seq), '[]') from outbox o)::text as outbox,
    (select json_agg(l order by l.lane) from outbox_lanes l)::text as lanes"""
COUNTS = """
select (select count(*) from integration_data_mapping), (select count(*) from sync_history),
    (select count(*) from outbox), (select sum(head) from outbox_lanes)"""
CUT = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock' and state = 'active'"""


async def state(pool: Pool) -> dict[str, str]:
    row = await pool.fetchrow(STATE)
    assert row is not None
    return dict(row)


async def position(pool: Pool, owner: str = "one") -> Position:
    return (await offsets.claim(pool, "processors", owner, [PARTITION]))[PARTITION]


def received(spine: Spine, *at: int) -> Batch:
    """A batch of deliveries of the connected account, at these offsets."""
    target = Target(spine.run.tenant_id, spine.run.connection_id, spine.cursor_id)
    receipts = [
        Receipt(
            offset, f"delivery-{offset}", "todoist", "item:updated", spine.run.account, None, "wanted", None, [target]
        )
        for offset in at
    ]
    return Batch(receipts, (), at[-1] + 1)


async def test_accept_leaves_a_receipt_a_wanted_cursor_and_the_next_offset(
    pool: Pool, vault: Vault, spine: Spine
) -> None:
    held = await position(pool)
    assert await commit.accept(pool, vault, held, received(spine, 5, 6, 9))
    assert held.next_offset == 10
    assert (await position(pool)).next_offset == 10
    assert await pool.fetchval("select wanted from sync_cursors") == 3
    assert await pool.fetchval("select array_agg(wanted) from receipts") == [3, 3, 3]


async def test_a_batch_that_arrives_again_after_a_takeover_is_not_accepted_again(
    pool: Pool, vault: Vault, spine: Spine
) -> None:
    former = await position(pool)
    current = await position(pool, "two")
    await commit.accept(pool, vault, current, received(spine, 0, 1))
    before = await state(pool)
    for late in (received(spine, 0, 1), received(spine, 2)):
        with pytest.raises(FenceLost, match=r"webhooks.todoist\[3\]: epoch 1 at None is over"):
            await commit.accept(pool, vault, former, late)
    assert await state(pool) == before
    assert former.next_offset is None


async def test_the_same_epoch_cannot_accept_the_same_batch_twice(pool: Pool, vault: Vault, spine: Spine) -> None:
    held = await position(pool)
    again = replace(held)
    await commit.accept(pool, vault, held, received(spine, 0, 1))
    before = await state(pool)
    with pytest.raises(FenceLost):
        await commit.accept(pool, vault, again, received(spine, 0, 1))
    assert await state(pool) == before


async def test_accept_waits_for_a_takeover_that_is_being_committed_and_then_leaves_nothing(
    pool: Pool, vault: Vault, spine: Spine
) -> None:
    former = await position(pool)
    async with pool.acquire() as db, db.transaction():
        await db.execute("update consumer_offsets set epoch = epoch + 1, owner = 'two'")
        late = asyncio.create_task(commit.accept(pool, vault, former, received(spine, 0)))
        await someone_waits_for_a_lock(pool)
    with pytest.raises(FenceLost):
        await late
    assert await pool.fetchval("select count(*) from receipts") == 0


async def test_accept_is_whole_or_nothing(pool: Pool, vault: Vault, spine: Spine) -> None:
    held = await position(pool)
    before = await state(pool)
    good, impossible = received(spine, 0).receipts[0], SetAside("todoist", "no such reason", "", "here", b"")  # type: ignore[arg-type]
    with pytest.raises(BAD_DATA):
        await commit.accept(pool, vault, held, Batch([good], [impossible], 1))
    assert await state(pool) == before
    assert held.next_offset is None


async def test_what_accept_sets_aside_opens_where_it_came_from(pool: Pool, vault: Vault, spine: Spine) -> None:
    aside = SetAside("todoist", "undecodable", "value is not JSON", "webhooks.todoist/3/0", b"what came")
    parked = Receipt(0, "unknown", "todoist", "unknown", "", None, "parked", "undecodable")
    await commit.accept(pool, vault, await position(pool), Batch([parked], [aside], 1))
    assert vault.open(await pool.fetchval("select sealed from parked"), f"parked/{aside.source}") == b"what came"


@pytest.mark.parametrize("committed", [True, False], ids=["it happened", "it did not happen"])
async def test_after_a_commit_without_an_answer_the_offset_says_whether_it_happened(
    pool: Pool, vault: Vault, spine: Spine, committed: bool
) -> None:
    """The connection is cut after COMMIT, or before it, and the one who asked sees the same error."""
    held = await position(pool)
    asked = replace(held)
    batch = received(spine, 0, 1)
    if committed:
        await commit.accept(pool, vault, asked, batch)
    else:
        await _cut_before_commit(pool, vault, spine, asked, batch)
    assert await offsets.happened(pool, held, batch.next_offset) is committed
    if not committed:
        await commit.accept(pool, vault, held, batch)
    assert await pool.fetchval("select count(*) from receipts") == 2
    assert await pool.fetchval("select wanted from sync_cursors") == 2


async def _cut_before_commit(pool: Pool, vault: Vault, spine: Spine, asked: Position, batch: Batch) -> None:
    """The batch is written up to its cursor, which somebody keeps locked; then its connection is cut."""
    async with pool.acquire() as db, db.transaction():
        await db.execute("select from sync_cursors for update")
        accepting = asyncio.create_task(commit.accept(pool, vault, asked, batch))
        await someone_waits_for_a_lock(pool)
        await db.execute(CUT)
        with pytest.raises(UNAVAILABLE):
            await accepting


async def test_after_a_takeover_nobody_is_told_that_a_batch_did_not_happen(
    pool: Pool, vault: Vault, spine: Spine
) -> None:
    former = await position(pool)
    await position(pool, "two")
    with pytest.raises(FenceLost):
        await offsets.happened(pool, former, 1)


async def test_apply_writes_mapping_history_outbox_and_cursor_together(pool: Pool, vault: Vault, spine: Spine) -> None:
    held = await spine.claim("one")
    step = titled(spine, {"a": "Water the plants", "b": "Buy milk"}, Advance("position 2", None))
    applied = await commit.apply(pool, vault, held, spine.run, step)
    assert (len(applied.plan.changes), applied.known, applied.drained) == (2, 0, True)
    assert tuple(await pool.fetchrow(COUNTS) or ()) == (2, 2, 2, 2)
    assert await pool.fetchval("select position from sync_cursors") == "position 2"
    rows = await pool.fetch(
        """select m.version, h.version, o.version, h.changed, o.run_id from integration_data_mapping m
        join sync_history h using (item_id) join outbox o using (item_id)"""
    )
    assert all(row[0] == row[1] == row[2] and row[3] == ["title"] and row[4] == spine.run.run_id for row in rows)


async def test_only_differences_are_written_and_each_is_a_higher_version(
    pool: Pool, vault: Vault, spine: Spine
) -> None:
    held = await spine.claim("one")
    first = await commit.apply(pool, vault, held, spine.run, titled(spine, {"a": "one", "b": "two"}))
    again = await commit.apply(pool, vault, held, spine.run, titled(spine, {"a": "one", "b": "two"}))
    assert (len(again.plan.changes), again.known, again.drained) == (0, 2, False)
    # A clock that stood still or went back repeats no version.
    await pool.execute("update integration_data_mapping set version = version + 3600000000")
    third = await commit.apply(pool, vault, held, spine.run, titled(spine, {"a": "one", "b": "three"}))
    (change,) = third.plan.changes
    assert change.prev_version == first.plan.changes[1].version + 3600000000
    assert change.version == change.prev_version + 1


@pytest.mark.parametrize(
    "progress", [Advance("late", None), Finish("late", 7, timedelta(hours=6))], ids=["page", "end"]
)
async def test_a_run_whose_lease_went_to_another_commits_nothing(
    pool: Pool, vault: Vault, spine: Spine, progress: Advance | Finish
) -> None:
    former = await spine.claim("one", OVER)
    current = await spine.claim("two")
    await commit.apply(pool, vault, current, spine.run, titled(spine, {"a": "newer"}, Advance("further", None)))
    before = await state(pool)
    aside = [SetAside("todoist", "item_malformed", "no id", "connection/run/item/-", b"{}")]
    late = replace(titled(spine, {"a": "older", "b": "two"}, progress), aside=aside)
    with pytest.raises(FenceLost, match="sync_cursors"):
        await commit.apply(pool, vault, former, spine.run, late)
    assert await state(pool) == before


async def test_a_run_that_stood_still_while_another_took_over_commits_nothing(
    pool: Pool, vault: Vault, spine: Spine
) -> None:
    """It has asked for its fence when the takeover is committed."""
    former = await spine.claim("one", OVER)
    async with pool.acquire() as db, db.transaction():
        await db.execute("update sync_cursors set owner = 'two', epoch = epoch + 1")
        late = asyncio.create_task(commit.apply(pool, vault, former, spine.run, titled(spine, {"a": "late"})))
        await someone_waits_for_a_lock(pool)
    with pytest.raises(FenceLost):
        await late
    assert tuple(await pool.fetchrow(COUNTS) or ()) == (0, 0, 0, 0)


@dataclass(frozen=True)
class Unwritable:
    """A decision whose last change the outbox does not take: it has no partition for that day."""

    good: Callable[[dict[UUID, Mapping], Clock], Plan]

    def __call__(self, known: dict[UUID, Mapping], clock: Clock) -> Plan:
        plan = self.good(known, clock)
        *others, last = plan.changes
        return Plan(plan.mappings, [*others, replace(last, recorded_at=last.recorded_at + timedelta(days=3650))])


async def test_apply_is_whole_or_nothing(pool: Pool, vault: Vault, spine: Spine) -> None:
    held = await spine.claim("one")
    good = titled(spine, {"a": "one", "b": "two"}, Advance("further", None))
    before = await state(pool)
    with pytest.raises(BAD_DATA):
        await commit.apply(pool, vault, held, spine.run, replace(good, decide=Unwritable(good.decide)))
    assert await state(pool) == before
    await commit.apply(pool, vault, held, spine.run, good)
    assert tuple(await pool.fetchrow(COUNTS) or ()) == (2, 2, 2, 2), "and no number of the lane was used up"


async def test_a_push_during_a_run_keeps_the_cursor_due(pool: Pool, vault: Vault, spine: Spine) -> None:
    held_partition, held = await position(pool), await spine.claim("one")
    work = await cursors.begin(pool, held)
    assert work is not None
    await commit.accept(pool, vault, held_partition, received(spine, 0))
    end = Finish("end", work.wanted, timedelta(hours=6))
    await commit.apply(pool, vault, held, spine.run, titled(spine, {"a": "one"}, end))
    row = await pool.fetchrow("select wanted - done, due_at - last_start <= interval '2 s' from sync_cursors")
    assert tuple(row or ()) == (1, True)


async def test_a_thousand_pushes_are_one_run_that_none_of_them_postpones(
    pool: Pool, vault: Vault, spine: Spine
) -> None:
    held_partition = await position(pool)
    await pool.execute("update sync_cursors set last_start = now(), due_at = now() + interval '6 h'")
    due = set()
    for at in range(0, 1_000, 100):
        await commit.accept(pool, vault, held_partition, received(spine, *range(at, at + 100)))
        due.add(await pool.fetchval("select due_at - last_start from sync_cursors"))
    assert due == {cursors.SPACING}
    assert await pool.fetchval("select wanted from sync_cursors") == 1_000


def titled(spine: Spine, titles: dict[str, str], progress: Advance | Finish | None = None) -> Step:
    decide = spine.titled(titles)
    return Step(decide, items=decide.items, progress=progress)
