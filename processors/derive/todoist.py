"""Todoist's Sync API v1 objects as items. Pure and total: any JSON value ends as an item or as a rejection.

Source of the objects: https://developer.todoist.com/api/v1/ (providers.md §3.5). Source of the items: RFC 8984
(JSCalendar Task) and `schemas.item`. Fields we do not know are ignored, as that API asks of its clients.
"""

import re
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from processors.derive.ids import Ids
from processors.derive.objects import Object, Seen, Text, derived, no_nul
from processors.derive.times import UNKNOWN, text_of, utc, zone
from schemas.item import Collection, Relation, Task
from schemas.plan import Mapping, Observed, Rejected
from schemas.providers import Kind

Resource = Literal["projects", "sections", "labels", "items"]
RESOURCES: Final[tuple[Resource, ...]] = ("projects", "sections", "labels", "items")
"""The Sync API's resource types that are read; what holds others comes before what it holds."""

PRIORITY: Final = {4: 1, 3: 3, 2: 5, 1: 0}
"""The API's priority → RFC 8984 §4.4.1, where 1 is the highest, 1–4 show as high, 5 as medium and 0 is undefined.

The API's 4 is "p1" in the apps and its 1, the default, means that nobody chose one (providers.md §3.5); so 1 becomes
"undefined" and not "lowest". The four values stay apart, hence the mapping can be turned round to write back.
"""

SURELY_SHOWN: Final = timedelta(days=87)
"""Inside the time over which a full read asks for completed tasks, with a day to spare: clocks differ, and the sweep
that asks comes after the read, never before it."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?", re.ASCII)


def derive(resource: Resource, value: object, ids: Ids) -> Observed | Rejected:
    """The item that one object of the Sync API's `resource` array stands for.

    `is_deleted` gives an item without a snapshot; archived and completed ones are items like any other. An object that
    the API's documents do not allow is rejected with the name of the first field that is wrong.
    """

    def seen(_: UUID, words: object) -> Seen:
        return Seen(None if _Head.model_validate(value).is_deleted else _snapshot(resource, words, ids))

    return derived(_KIND[resource], lambda: _name(resource, _Head.model_validate(value).id), value, ids, seen)


def shown(mapping: Mapping, now: datetime) -> bool:
    """Whether a full read that began at or before `now` would show this item if it still existed. `now` is aware, UTC.

    It shows what is active, and the tasks completed within `SURELY_SHOWN`; of those, one that is missing is gone. A task
    completed before that (or we know not when) may exist without being shown, so its absence says nothing; the same
    goes for archived projects and sections, which it does not ask for. An incremental read shows them when they change.
    """
    if mapping.snapshot.get("progress") == "completed":
        at = mapping.snapshot.get("progressUpdated")
        return at is not None and now - SURELY_SHOWN <= datetime.fromisoformat(at) <= now
    return not mapping.snapshot.get("archived")


_KIND: Final[dict[Resource, Kind]] = {
    "projects": "collection",
    "sections": "collection",
    "labels": "collection",
    "items": "task",
}


def _name(resource: Resource, id_: str) -> str:
    """The external id. Ids are unique within a type only, and one kind holds three types: it names the type too."""
    return id_ if _KIND[resource] == "task" else f"{resource.removesuffix('s')}/{id_}"


def _snapshot(resource: Resource, value: object, ids: Ids) -> dict[str, Any]:
    match resource:
        case "items":
            return _task(_Item.model_validate(value), ids).snapshot()
        case "projects":
            return _project(_Project.model_validate(value), ids).snapshot()
        case "sections":
            return _section(_Section.model_validate(value), ids).snapshot()
        case "labels":
            return _label(_Label.model_validate(value), ids).snapshot()


def _task(item: "_Item", ids: Ids) -> Task:
    due, time_zone, without_time = _due(item.due) if item.due else (None, None, None)
    parent = item.parent_id and str(ids.item("task", item.parent_id))
    return Task(
        uid=str(ids.item("task", item.id)),
        title=item.content,
        description=item.description or None,
        created=item.added_at,
        updated=item.updated_at,
        due=due,
        time_zone=time_zone,
        show_without_time=without_time,
        estimated_duration=_duration(item.duration) if item.duration else None,
        priority=PRIORITY[item.priority],
        progress="completed" if item.checked else "needs-action",
        progress_updated=item.completed_at if item.checked else None,
        keywords=dict.fromkeys(item.labels, True) if item.labels else None,
        related_to={parent: Relation(relation={"parent": True})} if parent else None,
        todoist_project=_collection(ids, "project", item.project_id),
        todoist_section=_collection(ids, "section", item.section_id),
        todoist_order=item.child_order,
        todoist_deadline=item.deadline.date if item.deadline else None,
        todoist_recurrence=item.due.string if item.due and item.due.is_recurring else None,
        todoist_responsible=item.responsible_uid,
    )


def _project(project: "_Project", ids: Ids) -> Collection:
    return Collection(
        uid=str(ids.item("collection", f"project/{project.id}")),
        role="project",
        name=project.name,
        color=project.color,
        parent=_collection(ids, "project", project.parent_id),
        order=project.child_order,
        archived=project.is_archived,
        favorite=project.is_favorite,
    )


def _section(section: "_Section", ids: Ids) -> Collection:
    return Collection(
        uid=str(ids.item("collection", f"section/{section.id}")),
        role="section",
        name=section.name,
        parent=_collection(ids, "project", section.project_id),
        order=section.section_order,
        archived=section.is_archived,
    )


def _label(label: "_Label", ids: Ids) -> Collection:
    return Collection(
        uid=str(ids.item("collection", f"label/{label.id}")),
        role="label",
        name=label.name,
        color=label.color,
        order=label.item_order,
        favorite=label.is_favorite,
    )


def _collection(ids: Ids, role: str, id_: str | None) -> str | None:
    return str(ids.item("collection", f"{role}/{id_}")) if id_ else None


def _due(due: "_Due") -> tuple[str, str | None, bool | None]:
    """`due`, `timeZone` and `showWithoutTime` (RFC 8984 §5.2.1, §4.7.1, §4.2.4) of the API's three shapes of a due date.

    A full day is local midnight. A floating time has no zone. A fixed time, in UTC on the wire, is told in its own zone;
    where that is unknown or missing, in Etc/UTC.
    """
    if _DATE.fullmatch(due.date):
        return f"{due.date}T00:00:00", None, True
    at = datetime.fromisoformat(due.date)
    if at.tzinfo is None:
        return text_of(at), None, None
    known = zone(due.timezone or "")
    name, local = (due.timezone, at.astimezone(known)) if known else (UNKNOWN, at)
    return text_of(local.replace(tzinfo=None)), name, None


def _duration(duration: "_Duration") -> str:
    """RFC 8984 §5.2.3, §1.4.6."""
    return f"PT{duration.amount}M" if duration.unit == "minute" else f"P{duration.amount}D"


def _day(text: str) -> str:
    if not _DATE.fullmatch(text):
        raise ValueError("is not YYYY-MM-DD")
    date.fromisoformat(text)
    return text


def _due_date(text: str) -> str:
    """A full day, or a local time with or without the Z that fixes it. The years at either end have no local time."""
    if not (_DATE.fullmatch(text) or _DATE_TIME.fullmatch(text.removesuffix("Z"))):
        raise ValueError("is neither YYYY-MM-DD nor YYYY-MM-DDTHH:MM:SS[Z]")
    if not 1 < datetime.fromisoformat(text).year < 9999:
        raise ValueError("is out of range")
    return text


Id = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(no_nul)]
"""Opaque text (providers.md §3.5). Bounded, because it is part of keys."""
Utc = Annotated[str, AfterValidator(utc)]


class _Head(Object):
    """What a tombstone must have; nothing else of it is read."""

    id: Id
    is_deleted: bool = False


class _Due(Object):
    date: Annotated[str, AfterValidator(_due_date)]
    timezone: Text | None = None
    string: Text | None = None
    is_recurring: bool = False


class _Deadline(Object):
    date: Annotated[str, AfterValidator(_day)]


class _Duration(Object):
    amount: Annotated[int, Field(ge=1)]
    unit: Literal["minute", "day"]


class _Item(_Head):
    content: Text
    description: Text | None = None
    project_id: Id | None = None
    section_id: Id | None = None
    parent_id: Id | None = None
    labels: list[Text] | None = None
    priority: Annotated[int, Field(ge=1, le=4)] = 1
    due: _Due | None = None
    deadline: _Deadline | None = None
    duration: _Duration | None = None
    checked: bool = False
    child_order: int | None = None
    responsible_uid: Id | None = None
    added_at: Utc | None = None
    updated_at: Utc | None = None
    completed_at: Utc | None = None


class _Project(_Head):
    name: Text
    color: Text | None = None
    parent_id: Id | None = None
    child_order: int | None = None
    is_archived: bool = False
    is_favorite: bool = False


class _Section(_Head):
    name: Text
    project_id: Id | None = None
    section_order: int | None = None
    is_archived: bool = False


class _Label(_Head):
    name: Text
    color: Text | None = None
    item_order: int | None = None
    is_favorite: bool = False
