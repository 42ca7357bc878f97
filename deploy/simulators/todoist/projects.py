"""The project and section commands of the Sync API. Pure.

Deleting or archiving announces the project or section alone; what it contains follows without webhooks (`Account.record`).
"""

from collections.abc import Callable
from datetime import datetime

from deploy.simulators.todoist.account import Account, Entity, Kind, invalid
from deploy.simulators.todoist.fields import ProjectFields, SectionFields, written


def open_account(user_id: str, *, ids: Callable[[], str], generation: bytes, full_name: str, now: datetime) -> Account:
    """A new account, which has an inbox and has told nobody of it."""
    account = Account(user_id, ids=ids, generation=generation, full_name=full_name)
    at = account.tick(now)
    inbox = _new_project(account, at) | {"name": "Inbox", "inbox_project": True}
    account.inbox_id = account.record("project", inbox, at)["id"]
    account.take()
    return account


def project_add(account: Account, args: Entity, at: str) -> Entity:
    fields = written(ProjectFields, args, "name")
    parent = account.get("project", args["parent_id"])["id"] if args.get("parent_id") is not None else None
    return account.record("project", _new_project(account, at) | {"parent_id": parent} | fields, at, "project:added")


def project_update(account: Account, args: Entity, at: str) -> Entity:
    old = account.get("project", args.get("id"))
    return account.record("project", old | written(ProjectFields, args), at, "project:updated")


def project_move(account: Account, args: Entity, at: str) -> Entity:
    """To `parent_id`, or to the top with null."""
    old = account.get("project", args.get("id"))
    parent = account.get("project", args["parent_id"])["id"] if args.get("parent_id") is not None else None
    if parent in {project["id"] for project in _tree(account, old)}:
        raise invalid("parent_id", "A project cannot become its own child")
    return account.record("project", old | {"parent_id": parent}, at, "project:updated")


def project_delete(account: Account, args: Entity, at: str) -> Entity:
    old = account.get("project", args.get("id"))
    if old["id"] == account.inbox_id:
        raise invalid("id", "The inbox cannot be deleted")
    tree = _tree(account, old)
    for project in tree:
        _delete_within(account, "project_id", project["id"], at)
    for project in tree[1:]:
        account.record("project", project | {"is_deleted": True}, at)
    return account.record("project", old | {"is_deleted": True}, at, "project:deleted")


def project_archive(account: Account, args: Entity, at: str) -> Entity:
    old = account.get("project", args.get("id"))
    return account.record("project", old | {"is_archived": True}, at, "project:archived")


def project_unarchive(account: Account, args: Entity, at: str) -> Entity:
    old = account.get("project", args.get("id"))
    return account.record("project", old | {"is_archived": False}, at, "project:unarchived")


def section_add(account: Account, args: Entity, at: str) -> Entity:
    fields = written(SectionFields, args, "name", "project_id")
    project = account.get("project", args["project_id"])["id"]
    return account.record("section", _new_section(account, at, project) | fields, at, "section:added")


def section_update(account: Account, args: Entity, at: str) -> Entity:
    old = account.get("section", args.get("id"))
    return account.record("section", old | written(SectionFields, args), at, "section:updated")


def section_move(account: Account, args: Entity, at: str) -> Entity:
    """To another project; its tasks follow."""
    old = account.get("section", args.get("id"))
    project = account.get("project", args.get("project_id"))["id"]
    for item in account.living("item"):
        if item["section_id"] == old["id"]:
            account.record("item", item | {"project_id": project}, at)
    return account.record("section", old | {"project_id": project}, at, "section:updated")


def section_delete(account: Account, args: Entity, at: str) -> Entity:
    old = account.get("section", args.get("id"))
    _delete_within(account, "section_id", old["id"], at)
    return account.record("section", old | {"is_deleted": True}, at, "section:deleted")


def section_archive(account: Account, args: Entity, at: str) -> Entity:
    old = account.get("section", args.get("id"))
    return account.record("section", old | {"is_archived": True, "archived_at": at}, at, "section:archived")


def section_unarchive(account: Account, args: Entity, at: str) -> Entity:
    old = account.get("section", args.get("id"))
    return account.record("section", old | {"is_archived": False, "archived_at": None}, at, "section:unarchived")


def _new_project(account: Account, at: str) -> Entity:
    return {
        "id": account.ids(),
        "name": "",
        "description": "",
        "color": "charcoal",
        "parent_id": None,
        "child_order": len(account.entities["project"]),
        "is_collapsed": False,
        "is_shared": False,
        "can_assign_tasks": False,
        "is_deleted": False,
        "is_archived": False,
        "is_favorite": False,
        "view_style": "list",
        "inbox_project": False,
        "workspace_id": None,
        "folder_id": None,
        "created_at": at,
        "updated_at": at,
    }


def _new_section(account: Account, at: str, project_id: str) -> Entity:
    return {
        "id": account.ids(),
        "user_id": account.user_id,
        "project_id": project_id,
        "name": "",
        "section_order": len(account.entities["section"]) + 1,
        "is_collapsed": False,
        "is_archived": False,
        "is_deleted": False,
        "added_at": at,
        "archived_at": None,
        "updated_at": at,
    }


def _tree(account: Account, root: Entity) -> list[Entity]:
    """A project and the living projects below it, parents first."""
    tree = [root]
    for project in tree:
        tree.extend(other for other in account.living("project") if other["parent_id"] == project["id"])
    return tree


def _delete_within(account: Account, field: str, id_: str, at: str) -> None:
    kinds: tuple[Kind, ...] = ("item", "section") if field == "project_id" else ("item",)
    for kind in kinds:
        for entity in account.living(kind):
            if entity[field] == id_:
                account.record(kind, entity | {"is_deleted": True}, at)
