"""The private address of every process: `/healthz`, `/readyz`, `/metrics`."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from schemas.settings import Listen


class Readiness:
    """Whether the process has started and does not drain yet."""

    def __init__(self) -> None:
        self.ready = False


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process that this server reports on."""
        yield


@asynccontextmanager
async def serving(listen: Listen, readiness: Readiness) -> AsyncIterator[None]:
    """Answers for the process while it runs. Raises OSError when the address is taken."""
    config = uvicorn.Config(
        _application(readiness),
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[_bound(listen)]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


def _bound(listen: Listen) -> socket.socket:
    """uvicorn's own way ends the process with a line that names no address."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    return socket.create_server((listen.host, listen.port), family=family)


def _application(readiness: Readiness) -> Starlette:
    async def healthz(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        return PlainTextResponse("ready\n") if readiness.ready else PlainTextResponse("starting or draining\n", 503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])
