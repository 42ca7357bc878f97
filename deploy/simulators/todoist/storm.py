"""A storm: very many pushes of one account at full speed, as after an import or a bulk edit."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random
from time import perf_counter

from deploy.simulators.todoist.account import Account, Change, Entity, Kind
from deploy.simulators.todoist.commands import execute
from deploy.simulators.todoist.pushes import Push


@dataclass(slots=True)
class Storm:
    """How far it has come. `accepted`: answered with 200 at once; `refused`: not, so the usual redelivery follows."""

    total: int
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    ended: bool = False

    async def rage(
        self, next_push: Callable[[], Push], deliver: Callable[[Push], Awaitable[None]], workers: int
    ) -> None:
        """Deliver `total` pushes, each made when its turn comes, `workers` at a time."""
        started, turns = perf_counter(), iter(range(self.total))

        async def work() -> None:
            for _ in turns:
                push = next_push()
                await deliver(push)
                self.accepted += push.accepted
                self.refused += not push.accepted
                self.seconds = perf_counter() - started

        try:
            await asyncio.gather(*(work() for _ in range(workers)))
        finally:
            self.ended = True


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
