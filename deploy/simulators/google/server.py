"""Puts a Google simulator on a port, inside the running event loop: in a test as well as in its own process."""

from contextlib import AbstractAsyncContextManager

from deploy.simulators import server
from deploy.simulators.google import app, control
from deploy.simulators.google.simulator import Simulator
from deploy.simulators.server import listening

__all__ = ["listening", "running"]


def running(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> AbstractAsyncContextManager[Simulator]:
    """Serve `simulator` at `simulator.url` until the block ends; port 0 takes a free one. Raises OSError if taken."""
    return server.running(simulator, [*app.routes(simulator), *control.routes(simulator)], host, port)
