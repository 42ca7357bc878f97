"""Puts a simulator on a port, inside the running event loop: in a test as well as in its own process."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from deploy.simulators.simulator import Simulated

S = TypeVar("S", bound=Simulated[Any, Any, Any])


class _Server(uvicorn.Server):
    """Leaves signals to whoever owns the process, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self.ending = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        # uvicorn polls ten times a second; tests start and stop too many servers for that.
        await self.ending.wait()


@asynccontextmanager
async def running(simulator: S, routes: Sequence[Route], host: str, port: int) -> AsyncIterator[S]:
    """Serve `simulator` by these routes at `simulator.url` until the block ends; port 0 takes a free one.

    Raises OSError if it is taken.
    """
    async with listening(Starlette(routes=routes), host, port) as url:
        simulator.url = url
        try:
            yield simulator
        finally:
            await simulator.close()


@asynccontextmanager
async def listening(application: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve any ASGI application; gives its address."""
    listener = socket.create_server((host, port), backlog=512)
    server = _Server(_config(application))
    serving = asyncio.create_task(server.serve([listener]))
    await server.listening.wait()
    try:
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        server.ending.set()
        await serving
        listener.close()


def _config(application: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=60,
    )
