"""Puts a simulator on a port, inside the running event loop: in a test as well as in its own process."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from deploy.simulators.todoist import app, control
from deploy.simulators.todoist.simulator import Simulator


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
async def running(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Simulator]:
    """Serve `simulator` at `simulator.url` until the block ends; port 0 takes a free one. Raises OSError if taken."""
    application = Starlette(routes=[*app.routes(simulator), *control.routes(simulator)])
    async with listening(application, host, port) as url:
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
