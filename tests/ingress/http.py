"""A door on loopback and a client of plain sockets: what is tested is bytes, so nothing may tidy them up."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from ingress.server import Server
from schemas.settings import Listen


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One TCP connection. `respond` reads one response; `ended` whether the other side has closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def respond(self, within: float = 10) -> Response:
        async with asyncio.timeout(within):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            return Response(
                int(status.split()[1]), headers, await self._reader.readexactly(int(headers["content-length"]))
            )

    async def ended(self, within: float = 10) -> bool:
        """Waits for the other side's end. False when more bytes come instead."""
        async with asyncio.timeout(within):
            try:
                return await self._reader.read(1) == b""
            except ConnectionError:
                return True

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        self._writer.transport.abort()


@dataclass(frozen=True, slots=True)
class Door:
    server: Server
    port: int

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()

    async def exchange(self, request: bytes) -> Response:
        """One request on a connection of its own."""
        async with self.connect() as connection:
            await connection.send(request)
            return await connection.respond()


class Switch:
    """An application that can be exchanged: starting a server for each of many tests takes longer than the tests."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[Door]:
    """Serves `app` on a free port until the block ends; then drains."""
    server = Server(app, Listen(host="127.0.0.1", port=0), draining=lambda: None)
    serving = asyncio.create_task(server.serve())
    try:
        yield Door(server, server.port)
    finally:
        server.should_exit = True
        async with asyncio.timeout(15):
            await serving


def post(
    path: str, headers: Sequence[tuple[str, str | bytes]] = (), body: bytes = b"", *, host: str = "hooks.example.org"
) -> bytes:
    """The bytes of a POST with a Content-Length."""
    lines = [("Host", host), *headers, ("Content-Length", str(len(body)))]
    head = b"".join(name.encode() + b": " + (v if isinstance(v, bytes) else v.encode()) + b"\r\n" for name, v in lines)
    return f"POST {path} HTTP/1.1\r\n".encode() + head + b"\r\n" + body
