"""What has to be written for what was observed: only differences. Pure.

The caller holds the locks of the mappings it hands in and gives the clock it read under them, so a version computed here
is the next one of its item (DESIGN.md §4, "Ids and versions").
"""

import collections.abc as abc
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID

from schemas.change import Action, Change
from schemas.identity import item_id
from schemas.item import Sync
from schemas.plan import Clock, Mapping, Observed, Plan, Run

Status = Literal["ok", "retrying", "needs_reauthorization"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended, and how much it changed. `full` when it read everything; `detail` says why it did not work."""

    status: Status
    full: bool = False
    created: int = 0
    updated: int = 0
    deleted: int = 0
    rejected: int = 0
    detail: str | None = None

    @property
    def changed_anything(self) -> bool:
        return bool(self.created or self.updated or self.deleted or self.rejected)


def plan(run: Run, observed: Sequence[Observed], held: abc.Mapping[UUID, Mapping], clock: Clock) -> Plan:
    """The differences between what a page shows and what is held, by item id.

    An item shown several times counts as it was shown last. Nothing is written for an item that is as it was, nor for
    a deleted one that was never known. One that was deleted and is back is created again, on the same version chain.
    With an item all that are parts of it are deleted, unless the page shows them.
    """
    latest = {seen.item_id: seen for seen in observed}
    shown = [_within(seen, latest, held) for seen in latest.values()]
    gone = {seen.item_id for seen in shown if seen.snapshot is None}
    parts = [_gone(one) for one in held.values() if one.part_of in gone and one.item_id not in latest]
    return _plan(_written(run, seen, held.get(seen.item_id), clock) for seen in [*shown, *parts])


def sweep(run: Run, unseen: Sequence[Mapping], clock: Clock) -> Plan:
    """The tombstones of what a full read did not show. What is already deleted stays as it is."""
    return _plan(_written(run, _gone(mapping), mapping, clock) for mapping in unseen)


def shut(run: Run, held: Mapping | None, clock: Clock) -> Plan:
    """The tombstone of the `sync` item of a cursor whose resource exists no more."""
    return sweep(run, [held] if held else [], clock)


def state_id(run: Run) -> UUID:
    """The item id of the `sync` item of the run's cursor."""
    return item_id(run.tenant_id, run.provider, run.account, "sync", run.resource)


def state(run: Run, held: Mapping | None, ending: Ending, clock: Clock) -> Plan:
    """The `sync` item after a run, if subscribers have to hear of it.

    They do when the run changed anything, or when the cursor's status is not the one last published. A run that found
    nothing is no news, although its id and counts are new.
    """
    known = held is not None and not held.deleted and held.snapshot.get("status") == ending.status
    if known and not ending.changed_anything:
        return Plan()
    return plan(run, [_observed_state(run, ending)], {held.item_id: held} if held else {}, clock)


def _observed_state(run: Run, ending: Ending) -> Observed:
    uid = state_id(run)
    item = Sync(
        uid=str(uid),
        resource=run.resource,
        run=str(run.run_id),
        status=ending.status,
        found_by=run.found_by,
        full=ending.full,
        created=ending.created,
        updated=ending.updated,
        deleted=ending.deleted,
        rejected=ending.rejected,
        detail=ending.detail,
    )
    return Observed("sync", run.resource, uid, item.snapshot())


def _gone(mapping: Mapping) -> Observed:
    return Observed(mapping.kind, mapping.external_id, mapping.item_id, None, mapping.part_of)


def _within(seen: Observed, latest: abc.Mapping[UUID, Observed], held: abc.Mapping[UUID, Mapping]) -> Observed:
    """What says something only about another item says nothing once that one is deleted."""
    if not seen.only_within or seen.part_of is None:
        return seen
    shown, known = latest.get(seen.part_of), held.get(seen.part_of)
    deleted = shown.snapshot is None if shown is not None else known is not None and known.deleted
    return replace(seen, snapshot=None) if deleted else seen


def _plan(written: Iterable[tuple[Mapping, Change] | None]) -> Plan:
    kept = [pair for pair in written if pair is not None]
    return Plan(mappings=[mapping for mapping, _ in kept], changes=[change for _, change in kept])


def _written(run: Run, seen: Observed, held: Mapping | None, clock: Clock) -> tuple[Mapping, Change] | None:
    """The new state of one item and the change that announces it, or None when nothing differs."""
    before = held.snapshot if held is not None and not held.deleted else None
    action = _action(before, seen.snapshot)
    after = seen.snapshot if seen.snapshot is not None else before
    if action is None or after is None:
        return None
    deleted = action == "deleted"
    part_of = seen.part_of or (held.part_of if held else None)
    mapping = Mapping(seen.item_id, seen.kind, seen.external_id, _version(held, clock), after, deleted, part_of)
    changed = () if action == "deleted" else _changed(before or {}, after)
    return mapping, _change(run, mapping, held, action, changed, clock)


def _action(before: dict[str, Any] | None, after: dict[str, Any] | None) -> Action | None:
    if before == after:
        return None
    if before is None:
        return "created"
    return "deleted" if after is None else "updated"


def _version(held: Mapping | None, clock: Clock) -> int:
    """Never below what was published, even when the database's clock went back (a fail-over)."""
    return max(held.version + 1, clock.microseconds) if held else clock.microseconds


def _changed(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
    """Sorted names of the top-level fields that differ; one that came or went differs."""
    absent = object()
    names = before.keys() | after.keys()
    return tuple(sorted(name for name in names if before.get(name, absent) != after.get(name, absent)))


def _change(
    run: Run, mapping: Mapping, held: Mapping | None, action: Action, changed: tuple[str, ...], clock: Clock
) -> Change:
    return Change(
        tenant_id=run.tenant_id,
        connection_id=run.connection_id,
        provider=run.provider,
        lane=run.lane,
        kind=mapping.kind,
        item_id=mapping.item_id,
        external_id=mapping.external_id,
        version=mapping.version,
        prev_version=held.version if held else None,
        action=action,
        item=mapping.snapshot,
        changed=changed,
        found_by=run.found_by,
        run_id=run.run_id,
        causation_id=run.causation_id,
        recorded_at=clock.now,
        trace=run.trace,
    )
