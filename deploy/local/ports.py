"""Ports of the local stack: free ones, kept from start to start while they stay free."""

import random
import socket
from collections.abc import Iterable
from pathlib import Path

from deploy.local import environment

# Below what the kernel hands out to clients (32768 on Linux), so no passing connection takes one.
RANGE = range(20_000, 32_000)


def free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        # As servers do: connections that are only winding down (TIME_WAIT) are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(remembered: Path, names: Iterable[str]) -> dict[str, int]:
    """A free port for each name: the one in the file `remembered` where it is free still, else a new one.

    Writes the choice down. Call it when nothing of ours listens any more.
    """
    before = environment.read(remembered)
    chosen: dict[str, int] = {}
    for name in names:
        kept = before.get(name, "")
        port = int(kept) if kept.isdigit() and free(int(kept)) else fresh(set(chosen.values()))
        chosen[name] = port
    environment.write(remembered, before | {name: str(port) for name, port in chosen.items()})
    return chosen


def fresh(taken: set[int]) -> int:
    """Any free port that is not in `taken`."""
    # At random, so that two clones started in the same second do not pick alike.
    return next(port for port in random.sample(RANGE, len(RANGE)) if port not in taken and free(port))
