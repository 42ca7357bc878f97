"""The Todoist simulator as a process of its own."""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from deploy.simulators.todoist import demo
from deploy.simulators.todoist.saving import saving
from deploy.simulators.todoist.server import running
from deploy.simulators.todoist.simulator import Simulator


async def serve(simulator: Simulator, host: str, port: int, *, with_demo: bool, state: Path | None = None) -> None:
    """Serve until SIGTERM or SIGINT; the accounts are kept in the file `state`. Raises OSError when the address is taken."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with saving(simulator, state) if state else nullcontext(), running(simulator, host, port):
        target = simulator.webhook_url or "nowhere"
        click.echo(f"Todoist simulator at {simulator.url}, pushing to {target}")
        if with_demo:
            demo.furnish(simulator)
            await _until(stop, demo.live(simulator))
        else:
            await stop.wait()


async def _until(stop: asyncio.Event, life: Coroutine[Any, Any, None]) -> None:
    """Let `life` go on until `stop`; should it fail first, so does this."""
    living, stopping = asyncio.ensure_future(life), asyncio.ensure_future(stop.wait())
    await asyncio.wait((living, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if living.done():
        living.result()
    living.cancel()
