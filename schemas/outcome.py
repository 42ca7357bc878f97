"""How accepting and syncing may end. Closed sets: every caller ends with `assert_never`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

AcceptOutcome = Literal["wanted", "unmatched", "parked"]
"""What a receipt says of a delivery: its cursors were marked wanted, no connection has this account, or it was parked."""

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


Fetching = RetryAfter | Reauthorize | Expired
"""How a call for a page may end without one. `Expired` never ends a run: the run goes on with a full read."""
