"""The simulator's own books on one account: what tests compare the product with."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

from deploy.simulators.books import KEPT, Records
from deploy.simulators.todoist.account import KINDS, PLURAL, Account, Change
from deploy.simulators.todoist.pushes import Push

PARTS: Final = ("state", "deleted", "changes", "pushes", "calls")


class Books(Records[Push]):
    """Changes made, pushes sent, API calls answered. Written by the simulator only."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: deque[Change] = deque(maxlen=KEPT)
        self.syncs: Counter[str] = Counter()

    def read(self, account: Account, parts: tuple[str, ...] = PARTS) -> dict[str, Any]:
        """The books as JSON. `state` holds every living entity, completed and archived ones too; `deleted` only ids."""
        readers: dict[str, Callable[[], Any]] = {
            "state": lambda: {PLURAL[kind]: account.living(kind) for kind in KINDS},
            "deleted": lambda: {PLURAL[kind]: _deleted(account, kind) for kind in KINDS},
            "changes": lambda: [_change(change) for change in self.changes],
            "pushes": lambda: [push.entry() for push in self.pushes],
            "calls": self.called,
        }
        read: dict[str, Any] = {part: readers[part]() for part in PARTS if part in parts}
        return {"account": account.user_id, "sequence": account.seq, "syncs": dict(self.syncs), **read}


def _deleted(account: Account, kind: Any) -> list[str]:
    return [id_ for id_, entity in account.entities[kind].items() if entity["is_deleted"]]


def _change(change: Change) -> dict[str, Any]:
    return {
        "seq": change.seq,
        "at": change.at,
        "kind": change.kind,
        "id": change.entity["id"],
        "event": change.event,
        "entity": change.entity,
    }
