"""What every simulator writes down by itself: tests compare the product with it, never with the product's own counters."""

from collections import Counter, deque
from typing import Final, Generic

from deploy.simulators.pushes import P

KEPT: Final = 100_000
"""Entries of each kind that are kept; a demo that runs for weeks must not grow for ever."""


class Records(Generic[P]):
    """Pushes sent and API calls answered, of one account. Written by the simulator only."""

    def __init__(self) -> None:
        self.pushes: deque[P] = deque(maxlen=KEPT)
        self.calls: Counter[tuple[str, int]] = Counter()

    def called(self) -> dict[str, dict[str, int]]:
        """API calls by method and path template, then by status."""
        table: dict[str, dict[str, int]] = {}
        for (call, status), count in self.calls.items():
            table.setdefault(call, {})[str(status)] = count
        return table
