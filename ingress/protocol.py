"""HTTP/1.1 as a public door speaks it: uvicorn's parser and request cycle, with limits and deadlines around them.

uvicorn by itself waits for ever and takes what httptools takes: no Host or two of them, any transfer coding, chunked
under HTTP/1.0. What is refused here never becomes a request, and leaves no line in a log.
"""

import asyncio
from collections.abc import Iterable
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

HEAD_SECONDS: Final = 5.0
"""From the first byte of a request to the end of its head."""
RECEIPT_SECONDS: Final = 10.0
"""From the first byte of a request to its last."""
IDLE_SECONDS: Final = 15.0
"""Of a connection between two requests, or before the first."""
ANSWER_SECONDS: Final = 15.0
"""From the last byte of a request to the last of its answer: a client that does not read its answers is let go."""
LINGER_SECONDS: Final = 2.0
"""For the client to read an early answer: closing on data that it still sends would destroy the answer on its way."""
SWEEP_SECONDS: Final = 0.5

MAX_FIELDS: Final = 100
MAX_HEAD_BYTES: Final = 32 << 10
MAX_CONNECTIONS: Final = 4096


class _Receiving(Enum):
    NOTHING = auto()
    HEAD = auto()
    BODY = auto()
    ALL = auto()
    """The request is here; its answer is not finished."""
    NEVER_AGAIN = auto()
    """The last answer of this connection is given; what still comes is thrown away."""


class _Refused(Exception):
    """Raised in a parser's callback, which ends the parsing."""


class Protocol(HttpToolsProtocol):
    """One connection. Its deadline is a number; `sweep` compares it, so that no request costs a timer."""

    max_connections = MAX_CONNECTIONS

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # uvicorn asks whether anybody listens to its access log, not whether it was switched off.
        self.access_log = False
        self._receiving = _Receiving.NOTHING
        self._began = 0.0
        self._deadline = 0.0
        self._head_bytes = 0
        self._field_bytes = 0
        self._refusal = HTTPStatus.BAD_REQUEST

    # The connection.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._wait_for(_Receiving.NOTHING, IDLE_SECONDS)
        if len(self.connections) > self.max_connections:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._receiving is _Receiving.NEVER_AGAIN:
            return
        if self._receiving is not _Receiving.BODY:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(self._refusal)
        else:
            # A field is reported when it ends: one that never ends has to be counted as it comes.
            if self._receiving is _Receiving.HEAD and self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def expire(self, now: float) -> None:
        """Ends the connection if what it waits for is overdue."""
        if now < self._deadline:
            return
        if self.transport.is_closing():
            # What is still unsent was given its time.
            self.transport.abort()
        elif self._receiving in (_Receiving.HEAD, _Receiving.BODY):
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        elif self._receiving is _Receiving.NOTHING:
            self.transport.close()
            self._deadline = now + LINGER_SECONDS
        else:
            self.transport.abort()

    def _wait_for(self, what: _Receiving, seconds: float) -> None:
        self._receiving = what
        self._deadline = self.loop.time() + seconds

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._field_bytes = 0
        self._refusal = HTTPStatus.BAD_REQUEST
        self._began = self.loop.time()
        self._receiving = _Receiving.HEAD
        self._deadline = self._began + HEAD_SECONDS

    def on_url(self, url: bytes) -> None:
        self.url += url
        self._field_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._receiving is not _Receiving.HEAD:
            # A trailer field (RFC 9112 §7.1.2) must not pass for a field of the head.
            raise _Refused
        self.headers.append((name.lower(), value))
        self._field_bytes += len(name) + len(value)

    def on_headers_complete(self) -> None:
        if self._field_bytes > MAX_HEAD_BYTES or len(self.headers) > MAX_FIELDS:
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise _Refused
        self._check_framing()
        super().on_headers_complete()
        self._receiving = _Receiving.BODY
        self._deadline = self._began + RECEIPT_SECONDS

    def _check_framing(self) -> None:
        """Refuses what two parsers could understand differently: RFC 9112 §3.2 (Host, target), §6.1 (codings)."""
        hosts, codings = 0, []
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
            elif name == b"transfer-encoding":
                codings.append(value.lower())
            elif name == b"expect":
                self.expect_100_continue = value.lower() == b"100-continue"
        version = self.parser.get_http_version()
        if (
            hosts != 1
            or version not in ("1.1", "1.0")
            or (codings and (codings != [b"chunked"] or version == "1.0"))
            or not self.url.startswith(b"/")
            or self.parser.should_upgrade()
        ):
            raise _Refused

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._head_bytes = 0
        self._wait_for(_Receiving.ALL, ANSWER_SECONDS)

    # Answers.

    def on_response_complete(self) -> None:
        """As uvicorn's, without its timer. An answer that comes before the request's end is the last one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            if self._receiving is _Receiving.ALL:
                self._wait_for(_Receiving.ALL, ANSWER_SECONDS)
        elif self._receiving is _Receiving.BODY:
            self._linger()
        elif self._receiving is _Receiving.ALL:
            self._wait_for(_Receiving.NOTHING, IDLE_SECONDS)

    def _refuse(self, status: HTTPStatus) -> None:
        """A constant answer and no more; none where it could be taken for the answer to an earlier request."""
        cycle = self.cycle
        if cycle and not cycle.response_complete:
            if self._receiving is not _Receiving.BODY or self.pipeline or cycle.response_started:
                self.transport.abort()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        body = status.phrase.encode() + b"\n"
        head = b"HTTP/1.1 %d %s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (status, status.phrase.encode(), len(body)) + body)
        self._linger()

    def _linger(self) -> None:
        """Ends our side; the client's is read and thrown away until it ends or the sweep comes by."""
        self._wait_for(_Receiving.NEVER_AGAIN, LINGER_SECONDS)
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self.transport.write_eof()


def sweep(connections: Iterable[object], now: float) -> None:
    """Ends every connection whose deadline has passed."""
    for connection in list(connections):
        if isinstance(connection, Protocol):
            connection.expire(now)
