"""The task commands of the Sync API (`item_…`). Pure: an account, the arguments and a stamp in; recorded changes out."""

from collections.abc import Iterator
from datetime import date
from typing import Any

from deploy.simulators.todoist.account import Account, Entity, invalid
from deploy.simulators.todoist.due import advanced, due
from deploy.simulators.todoist.fields import ItemFields, written


def item_add(account: Account, args: Entity, at: str) -> Entity:
    fields = _written(args, at, "content")
    place = _place(account, args) or {"project_id": account.inbox_id, "section_id": None, "parent_id": None}
    return account.record("item", _new(account, at) | place | fields, at, "item:added")


def item_update(account: Account, args: Entity, at: str) -> Entity:
    old = account.get("item", args.get("id"))
    return _updated(account, old, _written(args, at), at, "item_updated")


def item_move(account: Account, args: Entity, at: str) -> Entity:
    """Exactly one of `parent_id`, `section_id`, `project_id`; the subtasks follow."""
    old = account.get("item", args.get("id"))
    given = [name for name in ("parent_id", "section_id", "project_id") if args.get(name) is not None]
    if len(given) != 1:
        raise invalid("args", "Exactly one of parent_id, section_id and project_id is needed")
    place = _place(account, {given[0]: args[given[0]]})
    branch = list(_branch(account, old["id"]))
    if place["parent_id"] in (old["id"], *(child["id"] for child in branch)):
        raise invalid("parent_id", "A task cannot become its own subtask")
    for child in branch:
        account.record("item", child | {"project_id": place["project_id"], "section_id": place["section_id"]}, at)
    return _updated(account, old, place, at, "item_updated")


def item_complete(account: Account, args: Entity, at: str) -> Entity:
    """Check a task and its subtasks. A recurring one stays open: its due date moves on instead."""
    old = account.get("item", args.get("id"))
    if old["due"] and old["due"]["is_recurring"]:
        return _updated(account, old, {"due": advanced(old["due"], _day(at))}, at, "item_completed")
    if old["checked"]:
        return old
    done = {"checked": True, "completed_at": at, "completed_by_uid": account.user_id}
    for child in _branch(account, old["id"]):
        if not child["checked"]:
            account.record("item", child | done, at)
    return account.record("item", old | done, at, "item:completed")


def item_update_date_complete(account: Account, args: Entity, at: str) -> Entity:
    """Complete a recurring task, to the due date the client worked out if it sends one."""
    old = account.get("item", args.get("id"))
    if not old["due"]:
        raise invalid("id", "Task has no due date")
    following = due(args["due"], _day(at)) if args.get("due") else advanced(old["due"], _day(at))
    return _updated(account, old, {"due": following}, at, "item_completed")


def item_uncomplete(account: Account, args: Entity, at: str) -> Entity:
    """Open a completed task and the tasks above it."""
    old = account.get("item", args.get("id"))
    if not old["checked"]:
        return old
    opened = {"checked": False, "completed_at": None, "completed_by_uid": None}
    for parent in _ancestors(account, old):
        if parent["checked"]:
            account.record("item", parent | opened, at)
    return account.record("item", old | opened, at, "item:uncompleted")


def item_delete(account: Account, args: Entity, at: str) -> Entity:
    old = account.get("item", args.get("id"))
    for child in _branch(account, old["id"]):
        account.record("item", child | {"is_deleted": True}, at)
    return account.record("item", old | {"is_deleted": True}, at, "item:deleted")


def item_reorder(account: Account, args: Entity, at: str) -> Entity:
    """`items`: objects of `id` and `child_order`. Returns the last one."""
    given = args.get("items")
    if not isinstance(given, list) or not given:
        raise invalid("items")
    moved = [(account.get("item", one.get("id")), written(ItemFields, one, "child_order")) for one in given]
    return [_updated(account, old, {"child_order": new["child_order"]}, at, "item_updated") for old, new in moved][-1]


def _new(account: Account, at: str) -> Entity:
    return {
        "id": account.ids(),
        "user_id": account.user_id,
        "project_id": None,
        "section_id": None,
        "parent_id": None,
        "added_by_uid": account.user_id,
        "assigned_by_uid": None,
        "responsible_uid": None,
        "labels": [],
        "deadline": None,
        "duration": None,
        "checked": False,
        "is_deleted": False,
        "added_at": at,
        "completed_at": None,
        "completed_by_uid": None,
        "updated_at": at,
        "due": None,
        "priority": 1,
        "child_order": len(account.entities["item"]) + 1,
        "day_order": -1,
        "content": "",
        "description": "",
        "note_count": 0,
        "is_collapsed": False,
    }


def _written(args: Entity, at: str, *required: str) -> Entity:
    fields = written(ItemFields, args, *required)
    if "due" in fields:
        fields["due"] = due(fields["due"], _day(at))
    return fields


def _updated(account: Account, old: Entity, fields: Entity, at: str, intent: str) -> Entity:
    """`event_data_extra` belongs to `item:updated` only (API v1, "Webhooks")."""
    return account.record("item", old | fields, at, "item:updated", {"update_intent": intent, "old_item": old})


def _place(account: Account, args: Entity) -> dict[str, Any]:
    """Where a task goes: the narrowest of parent, section and project decides the wider ones. Empty if none is given."""
    if args.get("parent_id") is not None:
        parent = account.get("item", args["parent_id"])
        return {name: parent[name] for name in ("project_id", "section_id")} | {"parent_id": parent["id"]}
    if args.get("section_id") is not None:
        section = account.get("section", args["section_id"])
        return {"project_id": section["project_id"], "section_id": section["id"], "parent_id": None}
    if args.get("project_id") is not None:
        project = account.get("project", args["project_id"])
        return {"project_id": project["id"], "section_id": None, "parent_id": None}
    return {}


def _branch(account: Account, id_: str) -> Iterator[Entity]:
    """The living tasks below one, parents before children. The list is complete before the first is handed out."""
    below: dict[str, list[Entity]] = {}
    for item in account.living("item"):
        if item["parent_id"]:
            below.setdefault(item["parent_id"], []).append(item)
    waiting = list(below.get(id_, ()))
    while waiting:
        child = waiting.pop(0)
        yield child
        waiting.extend(below.get(child["id"], ()))


def _ancestors(account: Account, item: Entity) -> Iterator[Entity]:
    while item["parent_id"]:
        item = account.get("item", item["parent_id"])
        yield item


def _day(at: str) -> date:
    return date.fromisoformat(at[:10])
