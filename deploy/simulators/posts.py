"""A small HTTP/1.1 client for one thing: POST many small bodies to one URL over connections that stay open.

A general client costs more per request than the receiver that is being tested; this one costs a tenth of it.
"""

import asyncio
import ssl
from collections import deque
from typing import cast
from urllib.parse import urlsplit

import httptools


class Unanswered(Exception):
    """No complete HTTP answer came: refused, closed, or too slow. The text says which."""


class Posts:
    """At most `connections` requests at a time; those beyond wait in order."""

    def __init__(self, url: str, *, connections: int = 64, timeout: float = 15.0, idle: float = 2.0) -> None:
        """`timeout` is for one whole exchange. A connection idle for longer than `idle` seconds is not used again, since
        a receiver may be closing it at that moment."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError(f"{url!r} is not an http or https address")
        self.url = url
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._ssl = ssl.create_default_context() if parts.scheme == "https" else None
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._start = f"POST {target} HTTP/1.1\r\nhost: {parts.netloc}\r\n".encode()
        self._timeout = timeout
        self._idle = idle
        self._free: deque[_Connection] = deque()
        self._slots = asyncio.Semaphore(connections)

    async def post(self, headers: dict[str, str], body: bytes) -> int:
        """Send one request and return the status of its answer. Raises `Unanswered`."""
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = b"%b%bcontent-length: %d\r\n\r\n%b" % (self._start, head.encode("latin-1"), len(body), body)
        async with self._slots:
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._exchange(request)
            except TimeoutError:
                raise Unanswered(f"no answer within {self._timeout:g} s") from None
            except OSError as error:
                raise Unanswered(str(error) or type(error).__name__) from None

    async def _exchange(self, request: bytes) -> int:
        connection = self._reusable() or await self._connect()
        try:
            status = await connection.exchange(request)
        except BaseException:
            connection.close()
            raise
        if connection.usable(self._idle):
            self._free.append(connection)
        else:
            connection.close()
        return status

    def _reusable(self) -> "_Connection | None":
        while self._free:
            connection = self._free.pop()
            if connection.usable(self._idle):
                return connection
            connection.close()
        return None

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, self._host, self._port, ssl=self._ssl)
        return connection

    def close(self) -> None:
        """Close the connections that wait for use; those in use close with their exchange."""
        self._idle = 0.0
        while self._free:
            self._free.pop().close()


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._last_used = self._loop.time()
        self._keep_alive = True

    async def exchange(self, request: bytes) -> int:
        assert self._transport is not None
        self._parser = httptools.HttpResponseParser(self)
        self._answer = self._loop.create_future()
        self._transport.write(request)
        return await self._answer

    def usable(self, idle: float) -> bool:
        open_ = self._transport is not None and not self._transport.is_closing()
        return open_ and self._keep_alive and self._loop.time() - self._last_used < idle

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("the answer is not HTTP")
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._keep_alive = False
        self._fail(f"the connection was closed: {error}" if error else "the connection was closed without an answer")

    def on_message_complete(self) -> None:
        self._keep_alive = self._parser.should_keep_alive()
        self._last_used = self._loop.time()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(self._parser.get_status_code())

    def _fail(self, reason: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Unanswered(reason))
