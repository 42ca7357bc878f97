"""Only differences are written, in versions that rise without a gap, however often and however badly things repeat."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.plan import Ending, plan, state, state_id, sweep
from schemas.change import Change
from schemas.identity import item_id
from schemas.plan import Clock, Mapping, Observed, Plan, Run

NOON = Clock(datetime(2026, 5, 5, 12, 0, 0, 123456, tzinfo=UTC))
LATER = Clock(NOON.now + timedelta(seconds=1))
RUN = Run(
    run_id=UUID(int=1),
    tenant_id=UUID(int=2),
    profile_id=UUID(int=3),
    connection_id=UUID(int=4),
    provider="todoist",
    account="2671355",
    lane=78,
    resource="everything",
    found_by="push",
    causation_id="delivery-1",
)
MILK = {"@type": "Task", "title": "Milk", "priority": 1}


def task(name: str, snapshot: dict[str, Any] | None) -> Observed:
    return Observed("task", name, item_id(RUN.tenant_id, RUN.provider, RUN.account, "task", name), snapshot)


def mapping(name: str, snapshot: dict[str, Any], version: int = 7, *, deleted: bool = False) -> Mapping:
    seen = task(name, snapshot)
    return Mapping(seen.item_id, seen.kind, seen.external_id, version, snapshot, deleted)


def held(*mappings: Mapping) -> dict[UUID, Mapping]:
    return {m.item_id: m for m in mappings}


def only(planned: Plan) -> tuple[Mapping, Change]:
    [kept], [change] = planned.mappings, planned.changes
    assert (kept.item_id, kept.version, kept.snapshot) == (change.item_id, change.version, change.item)
    return kept, change


def test_an_unknown_item_is_created() -> None:
    kept, change = only(plan(RUN, [task("a", MILK)], {}, NOON))
    assert (change.action, change.prev_version, change.item) == ("created", None, MILK)
    assert change.version == NOON.microseconds == 1777982400123456
    assert change.changed == ("@type", "priority", "title")
    assert not kept.deleted


def test_a_change_says_who_found_it_how_and_when() -> None:
    _, change = only(plan(RUN, [task("a", MILK)], {}, NOON))
    assert (change.tenant_id, change.connection_id, change.run_id) == (RUN.tenant_id, RUN.connection_id, RUN.run_id)
    assert (change.provider, change.lane, change.kind, change.external_id) == ("todoist", 78, "task", "a")
    assert (change.found_by, change.causation_id, change.recorded_at) == ("push", "delivery-1", NOON.now)


def test_a_changed_item_is_updated_and_names_the_fields_that_differ() -> None:
    before = {"title": "Milk", "due": "2026-05-05T00:00:00", "priority": 1}
    after = {"title": "Oat milk", "timeZone": "Europe/Berlin", "priority": 1}
    _, change = only(plan(RUN, [task("a", after)], held(mapping("a", before)), NOON))
    assert (change.action, change.prev_version, change.changed) == ("updated", 7, ("due", "timeZone", "title"))


def test_an_item_that_is_as_it_was_is_not_written() -> None:
    assert plan(RUN, [task("a", dict(reversed(MILK.items())))], held(mapping("a", MILK)), NOON) == Plan([], [])


def test_of_an_item_shown_several_times_the_last_one_counts() -> None:
    shown = [task("a", {"title": "1"}), task("b", MILK), task("a", {"title": "2"}), task("a", {"title": "3"})]
    planned = plan(RUN, shown, {}, NOON)
    assert [(c.external_id, c.item) for c in planned.changes] == [("a", {"title": "3"}), ("b", MILK)]


def test_a_deleted_item_leaves_its_last_snapshot_in_the_change_and_in_the_mapping() -> None:
    kept, change = only(plan(RUN, [task("a", None)], held(mapping("a", MILK)), NOON))
    assert (change.action, change.item, change.changed, change.prev_version) == ("deleted", MILK, (), 7)
    assert kept.deleted


@pytest.mark.parametrize("known", [{}, held(mapping("a", MILK, deleted=True))], ids=["unknown", "deleted"])
def test_deleting_what_is_not_there_is_nothing(known: dict[UUID, Mapping]) -> None:
    assert plan(RUN, [task("a", None)], known, NOON) == Plan([], [])


def test_an_item_that_comes_back_is_created_again_on_the_same_version_chain() -> None:
    kept, change = only(plan(RUN, [task("a", MILK)], held(mapping("a", MILK, deleted=True)), NOON))
    assert (change.action, change.prev_version, change.changed) == ("created", 7, ("@type", "priority", "title"))
    assert not kept.deleted


def test_a_version_is_the_time_of_the_commit() -> None:
    _, change = only(plan(RUN, [task("a", {"title": "Oat milk"})], held(mapping("a", MILK, version=7)), NOON))
    assert change.version == NOON.microseconds


def test_a_version_rises_even_when_the_clock_went_back() -> None:
    ahead = NOON.microseconds + 5_000_000
    _, change = only(plan(RUN, [task("a", None)], held(mapping("a", MILK, version=ahead)), NOON))
    assert (change.version, change.prev_version) == (ahead + 1, ahead)


def test_what_a_full_read_did_not_show_is_deleted() -> None:
    planned = sweep(RUN, [mapping("a", MILK), mapping("b", MILK, deleted=True)], NOON)
    assert [(c.external_id, c.action, c.item) for c in planned.changes] == [("a", "deleted", MILK)]
    assert [m.deleted for m in planned.mappings] == [True]


def part(name: str, snapshot: dict[str, Any] | None, of: str) -> Observed:
    return replace(task(name, snapshot), part_of=task(of, None).item_id)


def test_a_whole_that_is_deleted_takes_the_parts_with_it_that_the_page_does_not_show() -> None:
    whole = task("series", None)
    parts = [replace(mapping(name, MILK), part_of=whole.item_id) for name in ("unseen", "same", "moved", "over")]
    known = held(mapping("series", MILK), mapping("another", MILK), *parts)
    oats = {"@type": "Task", "title": "Oats"}
    shown = [whole, part("same", MILK, "series"), part("moved", oats, "series"), part("over", None, "series")]
    planned = plan(RUN, shown, known, NOON)
    assert [(c.external_id, c.action) for c in planned.changes] == [
        ("series", "deleted"),
        ("moved", "updated"),
        ("over", "deleted"),
        ("unseen", "deleted"),
    ]
    assert [m.deleted for m in planned.mappings] == [True, False, True, True]


SNAPSHOTS = st.none() | st.dictionaries(st.sampled_from("abc"), st.integers(0, 2), max_size=3)
PAGES = st.lists(st.lists(st.tuples(st.sampled_from("wxyz"), SNAPSHOTS), max_size=8), max_size=12)
SECONDS = st.integers(-3, 3)


@given(PAGES, st.lists(SECONDS, min_size=12, max_size=12))
def test_any_sequence_of_pages_converges_in_one_unbroken_chain_per_item(
    pages: list[list[tuple[str, dict[str, int] | None]]], clock_moves: list[int]
) -> None:
    known: dict[UUID, Mapping] = {}
    chains: dict[UUID, list[Change]] = {}
    for page, seconds in zip(pages, clock_moves, strict=False):
        clock = Clock(NOON.now + timedelta(seconds=seconds))
        observed = [task(name, snapshot) for name, snapshot in page]
        planned = plan(RUN, observed, known, clock)
        known |= held(*planned.mappings)
        for change in planned.changes:
            chains.setdefault(change.item_id, []).append(change)
        assert plan(RUN, observed, known, clock) == Plan([], [])
    assert present(known.values()) == last_shown(pages)
    for chain in chains.values():
        assert [c.prev_version for c in chain] == [None, *(c.version for c in chain[:-1])]
        assert all(earlier.version < later.version for earlier, later in pairwise(chain))


def present(mappings: Iterable[Mapping]) -> dict[str, Any]:
    return {m.external_id: m.snapshot for m in mappings if not m.deleted}


def last_shown(pages: list[list[tuple[str, dict[str, int] | None]]]) -> dict[str, Any]:
    last = {name: snapshot for page in pages for name, snapshot in page}
    return {name: snapshot for name, snapshot in last.items() if snapshot is not None}


def published(status: Literal["ok", "retrying", "needs_reauthorization"]) -> Mapping:
    kept, _ = only(state(RUN, None, Ending(status), NOON))
    return kept


def test_the_first_run_publishes_how_the_cursor_stands() -> None:
    kept, change = only(state(RUN, None, Ending("ok", full=True, created=3), NOON))
    assert (change.kind, change.external_id, change.item_id) == ("sync", "everything", state_id(RUN))
    assert kept.snapshot == {
        "@type": "Sync",
        "uid": str(state_id(RUN)),
        "resource": "everything",
        "run": str(RUN.run_id),
        "status": "ok",
        "foundBy": "push",
        "full": True,
        "created": 3,
        "updated": 0,
        "deleted": 0,
        "rejected": 0,
    }


def test_a_run_that_found_nothing_is_no_news() -> None:
    other_run = replace(RUN, run_id=UUID(int=9), found_by="poll")
    assert state(other_run, published("ok"), Ending("ok"), LATER) == Plan()


@pytest.mark.parametrize(
    ("count", "ending"),
    [
        ("created", Ending("ok", created=1)),
        ("updated", Ending("ok", updated=1)),
        ("deleted", Ending("ok", deleted=1)),
        ("rejected", Ending("ok", rejected=1)),
    ],
)
def test_a_run_that_changed_or_rejected_something_is_news(count: str, ending: Ending) -> None:
    other_run = replace(RUN, run_id=UUID(int=9))
    _, change = only(state(other_run, published("ok"), ending, LATER))
    assert change.action == "updated"
    assert {count, "run"} <= set(change.changed)


def test_a_status_is_published_once_when_it_changes_and_not_again_while_it_lasts() -> None:
    kept, change = only(state(RUN, published("ok"), Ending("retrying", detail="Todoist answered 503"), LATER))
    assert change.changed == ("detail", "status")
    assert state(RUN, kept, Ending("retrying", detail="Todoist answered 502"), LATER) == Plan()
    _, change = only(state(RUN, kept, Ending("ok"), LATER))
    assert change.prev_version == kept.version
