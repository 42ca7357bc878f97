"""Named places at which a test may kill the process, to see what is still true afterwards. Inert unless armed.

`LIFEOS_FAILPOINT=name` or `name:n` kills the process with SIGKILL when it reaches that place for the n-th time. Only a
process in development arms itself.
"""

import os
import signal
from typing import Final, Literal, get_args

Failpoint = Literal[
    "produce.acknowledged",  # Kafka has it, the one who sent it does not know
    "accept.before_commit",
    "accept.after_commit",
    "sync.after_fetch",
    "sync.between_pages",
    "apply.before_commit",
    "apply.after_commit",
    "relay.before_send",
    "relay.before_advance",  # every record is acknowledged, no lane has moved
    "relay.after_advance",
]
FAILPOINTS: Final[tuple[str, ...]] = get_args(Failpoint)

_armed: dict[str, int] = {}


def arm(text: str) -> None:
    """Switches one failpoint on. Raises ValueError for a name that is not in the list."""
    name, _, nth = text.partition(":")
    if name not in FAILPOINTS or (nth and not nth.isdecimal()):
        raise ValueError(f"LIFEOS_FAILPOINT: {text!r:.60} is none of {', '.join(FAILPOINTS)}")
    _armed[name] = int(nth or 1)


def reach(name: Failpoint) -> None:
    """Dies here when armed; costs one look at an empty dict otherwise."""
    if not _armed or name not in _armed:
        return
    _armed[name] -= 1
    if _armed[name] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
