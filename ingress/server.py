"""uvicorn as this door runs it: our protocol, no access log, a bounded drain, and exit status 0 after SIGTERM."""

import asyncio
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from ingress.protocol import MAX_CONNECTIONS, SWEEP_SECONDS, Protocol, sweep
from schemas.settings import Listen

DRAIN_SECONDS: Final = 10
OTHER_FILES: Final = 64
"""Descriptors that connections may not take: Kafka's, the ops port's, the interpreter's."""


class Server(uvicorn.Server):
    """Serves `app` until SIGTERM or SIGINT, then finishes what has begun and returns.

    `draining` is called once, when the signal arrives. It may share its loop with other servers: it takes the two
    signals from the loop and gives them back.
    """

    def __init__(self, app: ASGIApp, listen: Listen, *, draining: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_protocol(_connection_limit()),
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
        )
        self._draining = draining
        self._sweeper: asyncio.TimerHandle | None = None
        self._socket = _bind(listen)

    @property
    def port(self) -> int:
        """The port it listens on, also where the system chose it."""
        return int(self._socket.getsockname()[1])

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Returns when everything is drained, at most `DRAIN_SECONDS` after the signal."""
        self._sweep()
        try:
            await super().serve(sockets or [self._socket])
        finally:
            if self._sweeper is not None:
                self._sweeper.cancel()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(SWEEP_SECONDS, self._sweep)
        sweep(self.server_state.connections, loop.time())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """What a signal does: the first begins the drain, a second SIGINT ends it."""
        if not self.should_exit:
            self._draining()
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn raises the signal again after draining, which makes the exit status -15; here the drain is the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


def _protocol(connections: int) -> type[Protocol]:
    return type("Protocol", (Protocol,), {"max_connections": connections})


def _connection_limit() -> int:
    """As many connections as descriptors allow, after asking for all that this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft - OTHER_FILES)


def _bind(listen: Listen) -> socket.socket:
    """Raises OSError, naming the address, where it cannot be had."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    return socket.create_server((listen.host, listen.port), family=family, backlog=2048)
