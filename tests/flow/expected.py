"""What a subscriber must hold, said by the simulator's own books and the contract, not by the code that derives it."""

from typing import Any
from uuid import UUID

from deploy.simulators.todoist.simulator import Simulator
from outbox.connections import DEMO_TENANT
from schemas.identity import item_id
from tests.flow.books import Subscriber

PRIORITY_OF_JSCALENDAR = {1: 1, 3: 2, 5: 3, 0: 4}


def assert_same(
    subscriber: Subscriber,
    simulator: Simulator,
    account: str,
    connection: UUID | None = None,
    tenant: UUID = DEMO_TENANT,
) -> None:
    """The items rebuilt from topics are the provider's present ones, field by field.

    `connection` names the account's where others are connected too.
    """
    state: Any = simulator.books(account)["state"]
    tasks = subscriber.living("task", connection)
    assert sorted(tasks) == sorted(task["id"] for task in state["items"])
    for task in state["items"]:
        assert _told(tasks[task["id"]]) == _task(task, account, tenant), task["id"]
    collections = subscriber.living("collection", connection)
    named = {f"{role}/{one['id']}": one for role in ("project", "section", "label") for one in state[f"{role}s"]}
    assert sorted(collections) == sorted(named)
    for external_id, one in named.items():
        assert collections[external_id]["name"] == one["name"], external_id
        assert collections[external_id].get("color") == one.get("color"), external_id
    # How its synchronisation stands is an item, too, of which no read of the provider's shows anything.
    assert set(subscriber.living("sync", connection)) >= {"everything"}


def _told(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": item["title"],
        "description": item.get("description", ""),
        "done": item["progress"] == "completed",
        "labels": sorted(item.get("keywords", {})),
        "deadline": item.get("todoist.com:deadline"),
        "due": bool(item.get("due")),
        "project": item.get("todoist.com:project"),
        "section": item.get("todoist.com:section"),
        "parent": next(iter(item.get("relatedTo", {})), None),
    }


def _task(task: dict[str, Any], account: str, tenant: UUID) -> dict[str, Any]:
    def reference(kind: str, role: str | None, id_: str | None) -> str | None:
        if id_ is None:
            return None
        return str(item_id(tenant, "todoist", account, kind, f"{role}/{id_}" if role else id_))

    return {
        "title": task["content"],
        "description": task["description"],
        "done": task["checked"],
        "labels": sorted(task["labels"]),
        "deadline": task["deadline"] and task["deadline"]["date"],
        "due": bool(task["due"]),
        "project": reference("collection", "project", task["project_id"]),
        "section": reference("collection", "section", task["section_id"]),
        "parent": reference("task", None, task["parent_id"]),
    }
