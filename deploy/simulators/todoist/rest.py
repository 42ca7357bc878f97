"""The REST paths of API v1: tasks, projects, sections, labels. Pure: each handler turns a call into one command or one read.

The shapes are those the official `todoist-api-python` 4.0 sends and accepts; completed tasks are in `completed`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from deploy.simulators.todoist import completed
from deploy.simulators.todoist.account import Account, Entity, Kind
from deploy.simulators.todoist.commands import execute
from deploy.simulators.todoist.paging import after, cursor, limit, seal

Answer = tuple[int, Any]
"""Status and JSON body; None means an empty body."""


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated API call, taken apart."""

    id: str
    query: dict[str, str]
    body: Entity
    now: datetime


Handler = Callable[[Account, Call], Answer]

RENAMED: Final = {"order": "child_order", "assignee_id": "responsible_uid"}


def _make(command: str) -> Handler:
    def make(account: Account, call: Call) -> Answer:
        return 200, shown(execute(account, command, _args(command, call), call.now))

    return make


def _do(command: str) -> Handler:
    def do(account: Account, call: Call) -> Answer:
        execute(account, command, _args(command, call), call.now)
        return 204, None

    return do


def _get(kind: Kind) -> Handler:
    return lambda account, call: (200, shown(account.get(kind, call.id)))


def _list(kind: Kind) -> Handler:
    return lambda account, call: (200, page(account, kind, call.query))


def _completed(account: Account, call: Call) -> Answer:
    return 200, completed.page(account, call.query)


ROUTES: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "/api/v1/tasks", _list("item")),
    ("POST", "/api/v1/tasks", _make("item_add")),
    ("GET", "/api/v1/tasks/completed/by_completion_date", _completed),
    ("GET", "/api/v1/tasks/{id}", _get("item")),
    ("POST", "/api/v1/tasks/{id}", _make("item_update")),
    ("DELETE", "/api/v1/tasks/{id}", _do("item_delete")),
    ("POST", "/api/v1/tasks/{id}/close", _do("item_close")),
    ("POST", "/api/v1/tasks/{id}/reopen", _do("item_uncomplete")),
    ("POST", "/api/v1/tasks/{id}/move", _make("item_move")),
    ("GET", "/api/v1/projects", _list("project")),
    ("POST", "/api/v1/projects", _make("project_add")),
    ("GET", "/api/v1/projects/{id}", _get("project")),
    ("POST", "/api/v1/projects/{id}", _make("project_update")),
    ("DELETE", "/api/v1/projects/{id}", _do("project_delete")),
    ("POST", "/api/v1/projects/{id}/archive", _make("project_archive")),
    ("POST", "/api/v1/projects/{id}/unarchive", _make("project_unarchive")),
    ("GET", "/api/v1/sections", _list("section")),
    ("POST", "/api/v1/sections", _make("section_add")),
    ("GET", "/api/v1/sections/{id}", _get("section")),
    ("POST", "/api/v1/sections/{id}", _make("section_update")),
    ("DELETE", "/api/v1/sections/{id}", _do("section_delete")),
    ("GET", "/api/v1/labels", _list("label")),
    ("POST", "/api/v1/labels", _make("label_add")),
    ("GET", "/api/v1/labels/{id}", _get("label")),
    ("POST", "/api/v1/labels/{id}", _make("label_update")),
    ("DELETE", "/api/v1/labels/{id}", _do("label_delete")),
)


def page(account: Account, kind: Kind, query: dict[str, str]) -> Entity:
    """One page of active entities, oldest first. A cursor is good for the same account and parameters only."""
    most, sealed = limit(query), seal(account, kind, query)
    last = after(query, sealed)
    found: list[Entity] = []
    for entity in _following(account, kind, last):
        if _matches(entity, query):
            if len(found) == most:
                return {"results": found, "next_cursor": cursor(found[-1]["id"], sealed)}
            found.append(shown(entity))
    return {"results": found, "next_cursor": None}


def shown(entity: Entity) -> Entity:
    """REST calls a label's `item_order` plainly `order`."""
    return entity | {"order": entity["item_order"]} if "item_order" in entity else entity


def _args(command: str, call: Call) -> Entity:
    """The command's arguments for a REST body."""
    args = {name: value for name, value in call.body.items() if not name.startswith(("due_", "deadline_", "duration"))}
    if call.id:
        args["id"] = call.id
    if command.startswith("item_"):
        args = {RENAMED.get(name, name): value for name, value in args.items()} | _dates(call.body)
    elif command.startswith("section_") and "order" in args:
        args["section_order"] = args["order"]
    return args


def _dates(body: Entity) -> Entity:
    dates: Entity = {}
    if body.get("due_string") in ("no date", "no due date"):
        dates["due"] = None
    elif body.get("due_string") is not None:
        dates["due"] = {"string": body["due_string"], "lang": body.get("due_lang")}
    elif when := body.get("due_datetime") or body.get("due_date"):
        dates["due"] = {"date": when, "lang": body.get("due_lang")}
    if "deadline_date" in body:
        day = body["deadline_date"]
        dates["deadline"] = {"date": day, "lang": body.get("deadline_lang") or "en"} if day else None
    if "duration" in body:
        amount = body["duration"]
        dates["duration"] = {"amount": amount, "unit": body.get("duration_unit")} if amount else None
    return dates


def _matches(entity: Entity, query: dict[str, str]) -> bool:
    if entity["is_deleted"] or entity.get("checked") or entity.get("is_archived"):
        return False
    if "label" in query and query["label"] not in entity.get("labels", ()):
        return False
    if "ids" in query and entity["id"] not in query["ids"].split(","):
        return False
    return all(entity.get(name) == query[name] for name in ("project_id", "section_id", "parent_id") if name in query)


def _following(account: Account, kind: Kind, after: str | None) -> Iterator[Entity]:
    entities = iter(account.entities[kind].values())
    if after is not None:
        for entity in entities:
            if entity["id"] == after:
                break
    yield from entities
