"""The two transactions that write sync state, both fenced; nothing else does.

*accept*: a batch of one partition becomes receipts and wanted cursors, and the partition moves on.
*apply*: a page of a resource becomes mappings, history and outbox, and the cursor moves on.

Lock order everywhere: fence, cursors, mappings by id, lanes by number.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from outbox import cursors, history, lanes, lease, mappings, offsets, parked, receipts
from outbox.cursors import Progress
from outbox.failpoint import reach
from outbox.lease import CURSORS, Held
from outbox.offsets import Position
from outbox.postgres import Connection, Pool
from outbox.vault import Vault
from schemas.plan import Clock, Mapping, Plan, Run
from schemas.receipt import Receipt, SetAside

SWEEP: Final = 500
"""Items that one transaction of a sweep deletes at most."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What accepting some records of one partition leaves behind. `next_offset` is the one after the last of them."""

    receipts: Sequence[Receipt]
    aside: Sequence[SetAside]
    next_offset: int


async def accept(pool: Pool, vault: Vault, position: Position, batch: Batch) -> bool:
    """Commits a batch and moves `position`. True when a cursor became wanted. Raises `FenceLost`."""
    async with pool.acquire() as db, db.transaction():
        await offsets.advance(db, position, batch.next_offset)
        pushes, causes = _pushes(batch.receipts)
        wanted = await cursors.want(db, pushes, causes) if pushes else {}
        if batch.receipts:
            await receipts.record(db, position, batch.receipts, wanted)
        if batch.aside:
            await parked.park(db, vault, batch.aside)
            await parked.forget(db, position, batch.next_offset)
        reach("accept.before_commit")
    reach("accept.after_commit")
    position.next_offset = batch.next_offset
    return bool(wanted)


def _pushes(said: Sequence[Receipt]) -> tuple[dict[UUID, int], dict[UUID, str]]:
    counts = Counter(target.cursor_id for receipt in said for target in receipt.targets)
    causes = {target.cursor_id: receipt.delivery_id for receipt in said for target in receipt.targets}
    return dict(counts), causes


@dataclass(frozen=True, slots=True)
class Step:
    """One commit of a run: the items it is about, how they become a plan, and how far the cursor is then.

    `decide` is called under the locks, with what is held of `items` (or, in a sweep, with what is left to delete) and
    the database's clock. `seen` marks `items` as shown by that full read; `sweep` is about at most `SWEEP` items that it
    did not show, and marks them as dealt with. `progress` is None in the middle of a page.
    """

    decide: Callable[[dict[UUID, Mapping], Clock], Plan]
    items: Collection[UUID] = ()
    seen: UUID | None = None
    sweep: UUID | None = None
    progress: Progress | None = None
    aside: Sequence[SetAside] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """What a step committed. `known` counts the mappings it was about; `drained`: the relay may want a hint."""

    plan: Plan
    known: int
    drained: bool


async def apply(pool: Pool, vault: Vault, held: Held, run: Run, step: Step) -> Applied:
    """Commits a step under the cursor's fence. Raises `FenceLost`."""
    async with pool.acquire() as db, db.transaction():
        await lease.fence(db, CURSORS, held)
        known = await _lock(db, held, run, step)
        plan = step.decide(known, await mappings.clock(db))
        if plan.changes:
            await mappings.write(db, run, held.key, plan.mappings)
            await history.record(db, run, plan.changes)
        if full_run := step.seen or step.sweep:
            await mappings.seen(db, run, held.key, step.items or known, full_run)
        if step.aside:
            await parked.park(db, vault, step.aside)
        if step.progress is not None:
            await cursors.progress(db, held, step.progress)
        drained = await lanes.append(db, plan.changes) if plan.changes else False
        reach("apply.before_commit")
    reach("apply.after_commit")
    return Applied(plan, len(known), drained)


async def _lock(db: Connection, held: Held, run: Run, step: Step) -> dict[UUID, Mapping]:
    if step.sweep is not None:
        return await mappings.unseen(db, held.key, step.sweep, SWEEP)
    return await mappings.lock(db, run.tenant_id, step.items) if step.items else {}
