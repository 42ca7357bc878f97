"""Whatever Google documents of an event or a calendar is found again in the item: without it, the item is another."""

from collections.abc import Iterator
from copy import deepcopy
from importlib.resources import files
from itertools import count
from typing import Any
from uuid import UUID

import orjson
import pytest

from processors.derive.google_calendar import Calendar, derive_calendar, derive_event
from processors.derive.ids import Ids
from schemas.plan import Observed, Rejected

IDS = Ids(UUID(int=2), "google", "113774264463038321964")
ANN = Calendar("ann@example.com", "America/Lima")
DOCUMENT = files("googleapiclient.discovery_cache.documents") / "calendar.v3.json"
SCHEMAS: dict[str, Any] = orjson.loads(DOCUMENT.read_bytes())["schemas"]

Path = tuple[str | int, ...]


def filled(schema: dict[str, Any], numbers: Iterator[int]) -> Any:
    """A value of a schema of Google's discovery document with everything in it, no two texts or numbers alike."""
    schema = SCHEMAS[schema["$ref"]] if "$ref" in schema else schema
    match schema["type"]:
        case "object" if "properties" in schema:
            return {name: filled(property_, numbers) for name, property_ in schema["properties"].items()}
        case "object":
            return {"name": filled(schema["additionalProperties"], numbers)}
        case "array":
            return [filled(schema["items"], numbers), filled(schema["items"], numbers)]
        case "boolean":
            return True
        case "integer":
            return next(numbers)
        case "string" if schema.get("format") == "date-time":
            return f"2026-05-09T10:00:00.{next(numbers)}Z"
        case "string" | "any":
            return f"text {next(numbers)}"
        case other:
            raise AssertionError(other)


def leaves(value: object, path: Path = ()) -> Iterator[Path]:
    match value:
        case dict():
            for name, one in value.items():
                yield from leaves(one, (*path, name))
        case list():
            for at, one in enumerate(value):
                yield from leaves(one, (*path, at))
        case _:
            yield path


def without(value: Any, path: Path) -> Any:
    changed = deepcopy(value)
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return changed


EVENT: dict[str, Any] = filled({"$ref": "Event"}, count(1001)) | {
    "id": "e1",
    "recurringEventId": "e0",
    "start": {"dateTime": "2026-05-09T10:00:00+02:00", "timeZone": "Europe/Madrid"},
    "end": {"dateTime": "2026-05-09T11:00:00+02:00", "timeZone": "Asia/Tokyo"},
    "originalStartTime": {"dateTime": "2026-05-09T10:00:00+02:00", "timeZone": "Asia/Tokyo"},
    "recurrence": ["RRULE:FREQ=DAILY", "EXDATE:20260510T080000Z"],
}
CALENDAR: dict[str, Any] = filled({"$ref": "CalendarListEntry"}, count(1001)) | {"id": "c1", "deleted": False}
NOT_OF_THE_ITEM = {("etag",), ("kind",)}
BEFORE_IT_IS_READ = {("id",), ("recurringEventId",), ("deleted",)}
"""They say which item it is, and whether it is one: it is another item without them, or none."""


def event(value: object) -> Observed | Rejected:
    return derive_event(value, ANN, IDS)


def calendar(value: object) -> Observed | Rejected:
    return derive_calendar(value, IDS)


@pytest.mark.parametrize(("derive", "whole"), [(event, EVENT), (calendar, CALENDAR)], ids=["event", "calendar"])
def test_no_field_that_is_documented_can_be_left_out_without_a_trace(derive: Any, whole: dict[str, Any]) -> None:
    item = derive(whole)
    assert isinstance(item, Observed), item
    paths = set(leaves(whole))
    assert len(paths) > 20
    same = {path for path in paths if derive(without(whole, path)) == item}
    assert same - {("deleted",)} == NOT_OF_THE_ITEM


@pytest.mark.parametrize(("derive", "whole"), [(event, EVENT), (calendar, CALENDAR)], ids=["event", "calendar"])
def test_every_text_and_number_that_is_documented_is_said(derive: Any, whole: dict[str, Any]) -> None:
    item = derive(whole)
    assert isinstance(item, Observed)
    said = orjson.dumps(item.snapshot).decode()
    for path in set(leaves(whole)) - NOT_OF_THE_ITEM - BEFORE_IT_IS_READ:
        value: Any = whole
        for step in path:
            value = value[step]
        assert isinstance(value, bool) or path[-1] == "dateTime" or str(value).removesuffix("Z") in said, path
