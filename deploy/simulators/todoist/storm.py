"""What the pushes of a storm tell: the present state of something once more, or a real edit of it. Pure."""

from datetime import datetime
from random import Random

from deploy.simulators.todoist.account import Account, Change, Entity, Kind
from deploy.simulators.todoist.commands import execute


def repeated(account: Account, dice: Random) -> Change:
    """A change that tells the present state of something once more."""
    kind, entity = _some(account, dice)
    extra = {"update_intent": "item_updated", "old_item": entity} if kind == "item" else None
    return Change(account.seq, entity["updated_at"], kind, entity, f"{kind}:updated", extra)


def edited(account: Account, dice: Random, now: datetime) -> Change:
    """Edit something; returns the change, which stays among the account's fresh ones."""
    kind, entity = _some(account, dice)
    new = execute(account, f"{kind}_update", {"id": entity["id"], "description": f"Edited at {account.seq}"}, now)
    extra = {"update_intent": "item_updated", "old_item": entity} if kind == "item" else None
    return Change(account.seq, new["updated_at"], kind, new, f"{kind}:updated", extra)


def _some(account: Account, dice: Random) -> tuple[Kind, Entity]:
    """A task that is not completed, or the inbox where there is none."""
    tasks = list(account.entities["item"].values())
    for task in dice.sample(tasks, min(20, len(tasks))):
        if not task["is_deleted"] and not task["checked"]:
            return "item", task
    return "project", account.get("project", account.inbox_id)
