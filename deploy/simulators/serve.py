"""A simulator as a process of its own."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from deploy.simulators.saving import saving
from deploy.simulators.simulator import Simulated


async def serve(
    running: AbstractAsyncContextManager[Simulated[Any, Any, Any]],
    simulator: Simulated[Any, Any, Any],
    *,
    state: Path | None,
    demo: Callable[[], Awaitable[None]] | None,
) -> None:
    """Serve `simulator` as `running` does until SIGTERM or SIGINT; its state is kept in the file `state`, and `demo` is
    what goes on meanwhile. Raises OSError when the address is taken."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with saving(simulator, state) if state else nullcontext(), running:
        click.echo(f"{simulator.PROVIDER} simulator at {simulator.url}, pushing to {simulator.target}")
        if demo is not None:
            await _until(stop, demo())
        else:
            await stop.wait()


async def _until(stop: asyncio.Event, life: Awaitable[None]) -> None:
    """Let `life` go on until `stop`; should it fail first, so does this."""
    living, stopping = asyncio.ensure_future(life), asyncio.ensure_future(stop.wait())
    await asyncio.wait((living, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if living.done():
        living.result()
    living.cancel()
