"""Puts a simulator on a port, inside the running event loop: in a test as well as in its own process."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette

from deploy.simulators.todoist import app, control
from deploy.simulators.todoist.simulator import Simulator


class _Server(uvicorn.Server):
    """Leaves signals to whoever owns the process, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@asynccontextmanager
async def running(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Simulator]:
    """Serve `simulator` at `simulator.url` until the block ends; port 0 takes a free one. Raises OSError if taken."""
    listener = socket.create_server((host, port), backlog=512)
    simulator.url = f"http://{host}:{listener.getsockname()[1]}"
    server = _Server(_config(simulator))
    serving = asyncio.create_task(server.serve([listener]))
    await server.listening.wait()
    try:
        yield simulator
    finally:
        await simulator.close()
        server.should_exit = True
        await serving
        listener.close()


def _config(simulator: Simulator) -> uvicorn.Config:
    return uvicorn.Config(
        Starlette(routes=[*app.routes(simulator), *control.routes(simulator)]),
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=60,
    )
