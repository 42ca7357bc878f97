"""How often an account may read: 1,000 partial and 100 full syncs per 15 minutes (API v1, "Request limits")."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Literal

from deploy.simulators.todoist.account import Refused

Reading = Literal["full", "partial"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Reads per `window`."""

    full: int = 100
    partial: int = 1000
    window: timedelta = timedelta(minutes=15)


@dataclass(slots=True)
class Meter:
    """The reads of one account within the window."""

    times: dict[Reading, deque[datetime]] = field(default_factory=lambda: {"full": deque(), "partial": deque()})

    def count(self, reading: Reading, limits: Limits, now: datetime) -> None:
        """Count one read. Raises `Refused` (429) when it is one too many; that one is not counted."""
        times = self.times[reading]
        while times and times[0] <= now - limits.window:
            times.popleft()
        if len(times) >= (limits.full if reading == "full" else limits.partial):
            raise too_many(ceil((times[0] + limits.window - now).total_seconds()))
        times.append(now)


def too_many(retry_after: int) -> Refused:
    """The provider says when to come back in the body; a `Retry-After` header is not documented (API v1, "Request limits")."""
    return Refused("LIMITS_REACHED_TIME_INTERVAL", 35, 429, "Too many requests", {"retry_after": retry_after})
