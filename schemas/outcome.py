"""How accepting and syncing may end. Closed sets: every caller ends with `assert_never`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

AcceptOutcome = Literal["wanted", "unmatched", "stale", "parked"]
"""What a receipt says of a delivery: its cursors were marked wanted; no connection has this account, or no subscription of
ours this id; the subscription it came through is over, or is not for what it names; or it was parked."""

ParkReason = Literal["undecodable", "bug", "item_malformed"]
"""Why it was set aside: no delivery of ours, three failures of our own code, an item its documents do not allow."""


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """It did not work now. `at` (aware, UTC) is when to try again, None leaves that to the cursor's back-off."""

    why: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reauthorize:
    """The person has to grant access again; trying on is useless."""

    why: str


@dataclass(frozen=True, slots=True)
class Expired:
    """The provider no longer knows our position. Forget it and read everything again."""

    why: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The provider does not show us this resource, or no longer. Whether it is gone says the resource that lists it."""

    why: str


Fetching = RetryAfter | Reauthorize | Expired | Gone
"""How a call for a page may end without one. `Expired` never ends a run: the run goes on with a full read."""


@dataclass(frozen=True, slots=True)
class Watched:
    """The provider announces changes of the resource. `external_id` is its own name for what it watches.

    `expires_at` (aware, UTC) is when it stops; None: never.
    """

    external_id: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Unwatchable:
    """The provider announces nothing of this resource, and never will: it has to be read from time to time."""

    why: str


@dataclass(frozen=True, slots=True)
class Taken:
    """The provider knows this subscription's id already: an earlier call got through, whose answer was lost."""

    why: str


Watching = Watched | Unwatchable | Taken | RetryAfter | Reauthorize | Gone
"""How a call for a subscription may end."""
