"""A simulator's accounts in a file, from one process to the next."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from deploy.simulators.simulator import Simulated

Simulator = Simulated[Any, Any, Any]


class Unreadable(ValueError):
    """A file that holds no accounts of a simulator."""


def load(simulator: Simulator, file: Path) -> None:
    """Have the accounts that `file` holds; none where there is no file yet. Raises Unreadable, OSError."""
    try:
        simulator.restore(simulator.SAVED.model_validate_json(file.read_bytes()))
    except FileNotFoundError:
        return
    except ValidationError:
        raise Unreadable(f"{file} holds no accounts of a simulator; removed, it is begun anew") from None


def save(simulator: Simulator, file: Path) -> None:
    """Replace `file` in one step."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    fresh.write_text(simulator.saved().model_dump_json(), "utf-8")
    fresh.replace(file)


@asynccontextmanager
async def saving(simulator: Simulator, file: Path, every: float = 2.0) -> AsyncIterator[None]:
    """Keep `file` up to date: every so many seconds where something changed, and when the block ends well."""
    keeping = asyncio.create_task(_keep(simulator, file, every))
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait((keeping,))
    save(simulator, file)


async def _keep(simulator: Simulator, file: Path, every: float) -> None:
    clock, before = asyncio.get_running_loop().time, None
    while True:
        began, now = clock(), simulator.state
        if now != before:
            with suppress(OSError):  # tried again, and told by the last one
                save(simulator, file)
                before = now
        # An account that grew for weeks takes a while to write; most of the time is for those who use it.
        await asyncio.sleep(max(every, 20 * (clock() - began)))
