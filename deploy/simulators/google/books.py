"""The simulator's own books on one account: what tests compare the product with."""

from collections import Counter, deque
from typing import Any, Final

from deploy.simulators.books import KEPT, Records
from deploy.simulators.google.channels import Push
from deploy.simulators.google.world import Change

PARTS: Final = ("state", "changes", "pushes", "calls", "resources", "channels")


class Books(Records[Push]):
    """Changes made, pushes sent, API calls answered. Written by the simulator only."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: deque[Change] = deque(maxlen=KEPT)
        self.resources: Counter[tuple[str, str]] = Counter()

    def of_resource(self, resource: str) -> dict[str, int]:
        """What was asked of a resource (`calendar/list`, `calendar/events/<id>`), and how often: `call` counts every such
        call, refused ones too, `watch` and `stop` those for channels, `page` every page that was served, `full` and
        `partial` the reads that came to their last page."""
        return {what: count for (name, what), count in self.resources.items() if name == resource}

    def by_resource(self) -> dict[str, dict[str, int]]:
        return {name: self.of_resource(name) for name in sorted({name for name, _ in self.resources})}


def change_entry(change: Change) -> dict[str, Any]:
    return {"resource": change.resource, "id": change.id, "action": change.action, "at": change.at}
