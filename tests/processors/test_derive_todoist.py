"""Todoist's objects become JSCalendar tasks (RFC 8984) and collections; whatever else comes is rejected by name."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.derive.ids import Ids
from processors.derive.objects import MAX_SNAPSHOT_BYTES
from processors.derive.todoist import PRIORITY, RESOURCES, SURELY_SHOWN, Resource, derive, shown
from processors.providers.todoist_position import LOOK_BACK
from schemas.item import Collection, Task
from schemas.plan import Mapping, Observed, Rejected

IDS = Ids(UUID("0b7a1f4e-3c52-4d0e-9a55-6b0f3f2f8c11"), "todoist", "2671355")

ITEM: dict[str, Any] = {
    "id": "6XGgm6PHrGgMpCFX",
    "user_id": "2671355",
    "project_id": "6Jf8VQXxpwv56VQ7",
    "section_id": "3Ty8VQXxpwv28PK3",
    "parent_id": "6X7rf9x6pv2FGghW",
    "content": "Buy milk",
    "description": "Oat",
    "priority": 4,
    "due": None,
    "deadline": {"date": "2026-05-09", "lang": "en"},
    "duration": {"amount": 15, "unit": "minute"},
    "labels": ["Food", "Shopping"],
    "child_order": 1,
    "responsible_uid": "77",
    "checked": False,
    "is_deleted": False,
    "added_at": "2026-05-01T08:00:00.123400Z",
    "completed_at": None,
    "updated_at": "2026-05-02T10:00:00.000000Z",
    "day_order": -1,
    "a_field_of_next_year": {"x": [1]},
}
DUE = {"date": "2026-05-09", "timezone": None, "string": "9 May", "lang": "en", "is_recurring": False}


def snapshot(resource: Resource, value: object) -> dict[str, Any]:
    observed = derive(resource, value, IDS)
    assert isinstance(observed, Observed), observed
    assert observed.snapshot is not None
    return observed.snapshot


def rejected(resource: Resource, value: object) -> Rejected:
    outcome = derive(resource, value, IDS)
    assert isinstance(outcome, Rejected), outcome
    return outcome


def collection(name: str) -> str:
    return str(IDS.item("collection", name))


def due(**fields: object) -> dict[str, Any]:
    item = snapshot("items", ITEM | {"due": DUE | fields})
    return {name: item[name] for name in ("due", "timeZone", "showWithoutTime") if name in item}


def test_a_task_is_a_jscalendar_task() -> None:
    parent = str(IDS.item("task", "6X7rf9x6pv2FGghW"))
    assert snapshot("items", ITEM) == {
        "@type": "Task",
        "uid": "1349fc8d-6613-561e-8018-6d7824c50e81",
        "title": "Buy milk",
        "description": "Oat",
        "created": "2026-05-01T08:00:00.1234Z",
        "updated": "2026-05-02T10:00:00Z",
        "estimatedDuration": "PT15M",
        "priority": 1,
        "progress": "needs-action",
        "keywords": {"Food": True, "Shopping": True},
        "relatedTo": {parent: {"@type": "Relation", "relation": {"parent": True}}},
        "todoist.com:project": collection("project/6Jf8VQXxpwv56VQ7"),
        "todoist.com:section": collection("section/3Ty8VQXxpwv28PK3"),
        "todoist.com:order": 1,
        "todoist.com:deadline": "2026-05-09",
        "todoist.com:responsible": "77",
    }


def test_a_task_of_the_fewest_words_is_a_task() -> None:
    observed = derive("items", {"id": "1", "content": ""}, IDS)
    assert isinstance(observed, Observed)
    assert observed.snapshot == {
        "@type": "Task",
        "uid": str(observed.item_id),
        "title": "",
        "priority": 0,
        "progress": "needs-action",
    }


def test_a_published_task_reads_back_as_one() -> None:
    item = snapshot("items", ITEM | {"due": DUE | {"is_recurring": True}})
    assert Task.model_validate(item).snapshot() == item


def test_a_full_day_is_local_midnight_shown_without_time() -> None:
    assert due(date="2026-05-09") == {"due": "2026-05-09T00:00:00", "showWithoutTime": True}


def test_a_floating_time_has_no_zone() -> None:
    assert due(date="2026-05-09T13:30:00") == {"due": "2026-05-09T13:30:00"}


@pytest.mark.parametrize(
    ("date", "zone", "local"),
    [
        ("2026-05-09T13:30:00Z", "Europe/Madrid", "2026-05-09T15:30:00"),
        ("2026-01-09T13:30:00.000000Z", "Europe/Madrid", "2026-01-09T14:30:00"),
        ("2026-05-09T23:30:00Z", "Asia/Kathmandu", "2026-05-10T05:15:00"),
        ("2026-05-09T13:30:00.5Z", "Etc/UTC", "2026-05-09T13:30:00.5"),
    ],
)
def test_a_fixed_time_is_told_in_its_own_zone(date: str, zone: str, local: str) -> None:
    assert due(date=date, timezone=zone) == {"due": local, "timeZone": zone}


@pytest.mark.parametrize("zone", [None, "", "Mars/Olympus", "Europe", "../etc/passwd", "/etc/passwd", "a" * 5000, "\0"])
def test_a_fixed_time_in_a_zone_nobody_knows_is_told_in_utc(zone: str | None) -> None:
    assert due(date="2026-05-09T13:30:00Z", timezone=zone) == {"due": "2026-05-09T13:30:00", "timeZone": "Etc/UTC"}


def test_a_recurring_due_date_keeps_the_words_that_make_it_recur() -> None:
    item = snapshot("items", ITEM | {"due": DUE | {"string": "every day", "is_recurring": True}})
    assert (item["due"], item["todoist.com:recurrence"]) == ("2026-05-09T00:00:00", "every day")
    assert "todoist.com:recurrence" not in snapshot("items", ITEM | {"due": DUE})


def test_a_checked_task_is_completed_when_it_was() -> None:
    item = snapshot("items", ITEM | {"checked": True, "completed_at": "2026-05-03T12:00:00+02:00"})
    assert (item["progress"], item["progressUpdated"]) == ("completed", "2026-05-03T10:00:00Z")


def test_priorities_keep_their_order_and_can_be_turned_round() -> None:
    assert [snapshot("items", ITEM | {"priority": p})["priority"] for p in (4, 3, 2, 1)] == [1, 3, 5, 0]
    assert len(set(PRIORITY.values())) == len(PRIORITY)


def test_a_duration_of_days() -> None:
    assert snapshot("items", ITEM | {"duration": {"amount": 2, "unit": "day"}})["estimatedDuration"] == "P2D"


def test_a_project_stays_when_it_is_archived() -> None:
    project = {"id": "p", "name": "Home", "color": "blue", "parent_id": "q", "child_order": 2, "is_favorite": True}
    assert snapshot("projects", project | {"is_archived": True}) == {
        "@type": "Collection",
        "uid": collection("project/p"),
        "role": "project",
        "name": "Home",
        "color": "blue",
        "parent": collection("project/q"),
        "order": 2,
        "archived": True,
        "favorite": True,
    }


def test_a_section_hangs_below_its_project() -> None:
    section = {"id": "s", "name": "Now", "project_id": "p", "section_order": 3, "is_archived": False}
    item = snapshot("sections", section)
    assert (item["role"], item["parent"], item["order"]) == ("section", collection("project/p"), 3)
    assert item["archived"] is False


def test_a_label_is_a_collection_without_parent() -> None:
    item = snapshot("labels", {"id": "l", "name": "Food", "color": "red", "item_order": 1, "is_favorite": False})
    assert (item["role"], item["name"], item["order"]) == ("label", "Food", 1)
    assert "parent" not in item
    assert Collection.model_validate(item).snapshot() == item


def test_the_same_id_in_three_types_is_three_items() -> None:
    seen = [derive(resource, {"id": "1", "name": "x"}, IDS) for resource in ("projects", "sections", "labels")]
    assert [s.external_id for s in seen] == ["project/1", "section/1", "label/1"]
    assert len({s.item_id for s in seen}) == 3


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_tombstone_needs_no_more_than_its_id(resource: Resource) -> None:
    outcome = derive(resource, {"id": "1", "is_deleted": True, "content": 5, "name": None}, IDS)
    assert isinstance(outcome, Observed)
    assert outcome.snapshot is None


def test_nul_is_dropped_from_text_since_the_database_stores_none() -> None:
    item = snapshot("items", ITEM | {"content": "Buy\0 milk", "labels": ["Fo\0od"]})
    assert (item["title"], item["keywords"]) == ("Buy milk", {"Food": True})


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"id": 5}, "id: Input should be a valid string"),
        ({"id": None}, "id: Input should be a valid string"),
        ({"id": ""}, "id: String should have at least 1 character"),
        ({"id": "a\0b"}, "id: contains NUL"),
        ({"id": "x" * 129}, "id: String should have at most 128 characters"),
        ({"is_deleted": 1}, "is_deleted: Input should be a valid boolean"),
        ({"content": None}, "content: Input should be a valid string"),
        ({"checked": "yes"}, "checked: Input should be a valid boolean"),
        ({"priority": 5}, "priority: Input should be less than or equal to 4"),
        ({"priority": True}, "priority: Input should be a valid integer"),
        ({"labels": ["a", 1]}, "labels.1: Input should be a valid string"),
        ({"labels": "a"}, "labels: Input should be a valid list"),
        ({"due": "tomorrow"}, "due: Input should be a valid dictionary or instance of _Due"),
        ({"due": {}}, "due.date: Field required"),
        ({"due": {"date": "tomorrow"}}, "due.date: is neither YYYY-MM-DD nor YYYY-MM-DDTHH:MM:SS[Z]"),
        ({"due": {"date": "2026-02-30"}}, "due.date: day is out of range for month"),
        ({"due": {"date": "9999-12-31T23:00:00Z"}}, "due.date: is out of range"),
        ({"deadline": {"date": "2026-05-09T10:00:00"}}, "deadline.date: is not YYYY-MM-DD"),
        ({"duration": {"amount": 0, "unit": "day"}}, "duration.amount: Input should be greater than or equal to 1"),
        ({"added_at": "2026-05-01"}, "added_at: is not an RFC 3339 time"),
        ({"added_at": "2026-05-01T08:00:00"}, "added_at: is not an RFC 3339 time"),
        ({"updated_at": "0001-01-01T00:00:00+14:00"}, "updated_at: is not an RFC 3339 time"),
    ],
)
def test_what_the_documents_do_not_allow_is_rejected_by_the_name_of_the_field(
    fields: dict[str, Any], detail: str
) -> None:
    value = ITEM | fields
    outcome = rejected("items", value)
    assert outcome.detail.startswith(detail)
    assert (outcome.kind, orjson.loads(outcome.raw)) == ("task", value)


def test_a_rejected_item_is_known_by_its_id_where_it_has_one() -> None:
    outcome = rejected("items", ITEM | {"content": 1})
    assert outcome.external_id == ITEM["id"]
    assert outcome.item_id == UUID("1349fc8d-6613-561e-8018-6d7824c50e81")
    assert rejected("items", {}).item_id is None


def test_a_rejection_never_quotes_what_it_read() -> None:
    assert "hunter2" not in rejected("items", ITEM | {"due": {"date": "hunter2"}, "content": ["hunter2"]}).detail


def test_an_item_larger_than_a_change_may_be_is_rejected() -> None:
    outcome = rejected("items", ITEM | {"description": "x" * MAX_SNAPSHOT_BYTES})
    assert outcome.detail == "item: larger than 262144 bytes"


@pytest.mark.parametrize("value", [None, 5, "x", [], [ITEM], True, 1.5])
def test_what_is_no_object_is_rejected(value: object) -> None:
    assert rejected("projects", value).external_id is None


def test_an_object_too_deep_to_be_written_again_is_rejected_without_its_bytes() -> None:
    deep = orjson.loads(b"[" * 1000 + b"]" * 1000)
    assert rejected("items", {"content": deep}).raw == b""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
DATES = st.sampled_from(["2026-05-09", "2026-05-09T13:30:00Z", "0001-01-01T00:00:00Z", "9998-12-31T23:59:59.999999Z"])
FIELDS = st.sampled_from([*ITEM, "name", "is_archived", "item_order", "section_order", "color"])
OBJECTS = st.dictionaries(FIELDS, JSON | DATES | st.fixed_dictionaries({"date": DATES, "timezone": JSON}), max_size=6)


@given(st.sampled_from(RESOURCES), JSON | OBJECTS | OBJECTS.map(lambda fields: ITEM | {"name": "x"} | fields))
def test_every_json_value_ends_as_an_item_or_a_rejection_that_can_be_stored(resource: Resource, value: object) -> None:
    outcome = derive(resource, value, IDS)
    match outcome:
        case Observed():
            assert b"\\u0000" not in orjson.dumps(outcome.snapshot)
        case Rejected():
            assert outcome.raw == orjson.dumps(value)
            assert "\0" not in outcome.detail + (outcome.external_id or "")


NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"archived": True}, False),
        ({"archived": False}, True),
        ({"progress": "needs-action"}, True),
        ({"progress": "completed"}, False),
        ({"progress": "completed", "progressUpdated": "2026-05-05T11:59:59.1234Z"}, True),
        ({"progress": "completed", "progressUpdated": "2026-05-05T12:00:01Z"}, False),
        ({"progress": "completed", "progressUpdated": "2026-02-07T12:00:00Z"}, True),
        ({"progress": "completed", "progressUpdated": "2026-02-07T11:59:59Z"}, False),
    ],
)
def test_a_full_read_shows_what_is_active_and_what_was_completed_lately(fields: dict[str, Any], expected: bool) -> None:
    mapping = Mapping(UUID(int=1), "task", "1", 1, {"title": "x"} | fields, deleted=False)
    assert shown(mapping, NOON) is expected


def test_whatever_is_said_to_be_shown_was_asked_for_although_clocks_differ_and_a_read_takes_its_time() -> None:
    assert timedelta(days=1) <= LOOK_BACK - SURELY_SHOWN
