"""The two transactions that write sync state, both fenced; nothing else does.

*accept*: a batch of one partition becomes receipts and wanted cursors, and the partition moves on.
*apply*: a page of a resource becomes mappings, history and outbox, and the cursor moves on.

Lock order everywhere: fence, cursors by id, subscriptions, mappings by id, lanes by number. *apply* comes to the cursors
that it opens and closes after its mappings: those are of the items that stand for resources, which no other run locks.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from collections.abc import Mapping as Counts
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from outbox import cursors, history, lanes, lease, mappings, offsets, parked, receipts, runs, subscriptions
from outbox.cursors import Progress, Push
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
        pushes = _pushes(batch.receipts)
        wanted = await cursors.want(db, pushes) if pushes else {}
        await subscriptions.heard(db, batch.receipts)
        if batch.receipts:
            await receipts.record(db, position, batch.receipts, wanted)
        if batch.aside:
            await parked.park(db, vault, batch.aside)
            await parked.forget(db, position, batch.next_offset)
        reach("accept.before_commit")
    reach("accept.after_commit")
    position.next_offset = batch.next_offset
    return bool(wanted)


def _pushes(said: Sequence[Receipt]) -> dict[UUID, Push]:
    counts = Counter(target.cursor_id for receipt in said for target in receipt.targets)
    last = {target.cursor_id: receipt for receipt in said for target in receipt.targets}
    return {id_: Push(counts[id_], receipt.delivery_id, receipt.trace) for id_, receipt in last.items()}


@dataclass(frozen=True, slots=True)
class Step:
    """One commit of a run: the items it is about, how they become a plan, and how far the cursor is then.

    `decide` is called under the locks, with what is held of `items` (or, in a sweep, with what is left to delete) and
    the database's clock. It gets what is held of `beside`, too, which the step only looks at. `seen` marks `items` as
    shown by that full read; `sweep` is about at most `SWEEP` items that it
    did not show, and marks them as dealt with. `wholes` are items that it may delete, and then all parts of theirs.
    `progress` is None in the middle of a page. `counts` is what the run has changed before; `watched` names the products
    whose resources need a subscription each.
    """

    decide: Callable[[dict[UUID, Mapping], Clock], Plan]
    items: Collection[UUID] = ()
    beside: Collection[UUID] = ()
    wholes: Collection[UUID] = ()
    seen: UUID | None = None
    sweep: UUID | None = None
    progress: Progress | None = None
    aside: Sequence[SetAside] = ()
    counts: Counts[str, int] = field(default_factory=dict)
    watched: Sequence[str] = ()


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
        if plan.opened or plan.closed:
            await cursors.open_and_close(db, run, plan.opened, plan.closed)
            await subscriptions.follow(db, run.tenant_id, run.connection_id, step.watched)
        if step.aside:
            await parked.park(db, vault, step.aside)
        if step.progress is not None:
            await cursors.progress(db, held, step.progress)
            await runs.record(db, held, run, step.progress, plan, step.counts)
        drained = await lanes.append(db, plan.changes) if plan.changes else False
        reach("apply.before_commit")
    reach("apply.after_commit")
    return Applied(plan, len(known), drained)


async def _lock(db: Connection, held: Held, run: Run, step: Step) -> dict[UUID, Mapping]:
    if step.sweep is not None:
        return await mappings.unseen(db, held.key, step.sweep, SWEEP)
    items = [*step.items, *step.beside]
    return await mappings.lock(db, run.tenant_id, items, step.wholes) if items else {}
