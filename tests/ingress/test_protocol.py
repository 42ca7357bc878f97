"""The limits, deadlines and refusals of the public door, over raw sockets."""

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from starlette.types import Receive, Scope, Send

from ingress import protocol
from tests.ingress.http import Door, Switch, post, serving


class Echoless:
    """Reads each request to its end, then answers. `/early` is answered at once, `/held` when told, `/large` at length."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.hung_up = asyncio.Event()
        self.held = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", scope["path"] != "/early"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.hung_up.set()
                return
            body += message["body"]
            more = message["more_body"]
        if scope["path"] == "/held":
            self.held.set()
            await self.release.wait()
        self.bodies.append(body)
        answer = b"ok" if scope["path"] != "/large" else bytes(1 << 20)
        length = str(len(answer)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": answer})


switch = Switch()


@pytest.fixture
def app() -> Echoless:
    echoless = Echoless()
    switch.app = echoless
    return echoless


@pytest.fixture(scope="module")
async def one_door() -> AsyncIterator[Door]:
    async with serving(switch) as door:
        yield door


@pytest.fixture
def door(one_door: Door, app: Echoless) -> Door:
    return one_door


CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"

REFUSED = {
    "no host": b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "two hosts": b"POST / HTTP/1.1\r\nHost: a\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "no host under 1.0": b"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
    "gzip, chunked": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKED,
    "gzip": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    "identity": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\nhello",
    "chunked twice": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
    + CHUNKED,
    "xchunked": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n" + CHUNKED,
    "chunked under 1.0": b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "length and chunked": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    + CHUNKED,
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "signed length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nhell",
    "endless length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
    "folded field": b"POST / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\nContent-Length: 0\r\n\r\n",
    "bare line feeds": b"POST / HTTP/1.1\nHost: a\nContent-Length: 0\n\n",
    "blank before the colon": b"POST / HTTP/1.1\r\nHost : a\r\nContent-Length: 0\r\n\r\n",
    "NUL in a field": b"POST / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "absolute target": b"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "upgrade": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/2.0": b"POST / HTTP/2.0\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "broken chunk": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "line feed in a chunk's extension": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n"
    b"0\r\n\r\n",
    "trailer field": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: 1\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", REFUSED.values(), ids=REFUSED)
async def test_what_two_parsers_could_read_differently_is_refused_and_closed(
    door: Door, app: Echoless, caplog: pytest.LogCaptureFixture, request_bytes: bytes
) -> None:
    caplog.set_level(logging.INFO)
    async with door.connect() as connection:
        await connection.send(request_bytes)
        response = await connection.respond()
        assert (response.status, response.body) == (400, b"Bad Request\n")
        assert response.headers["connection"] == "close"
        assert await connection.ended()
    assert app.bodies == []
    assert [record for record in caplog.records if record.name.startswith("uvicorn") and record.levelno > 20] == []


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked"])
async def test_one_chunked_coding_is_taken(door: Door, app: Echoless, coding: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: " + coding + b"\r\n\r\n"
    assert (await door.exchange(head + CHUNKED)).status == 200
    assert app.bodies == [b"hello"]


async def test_a_connection_carries_one_request_after_another(door: Door, app: Echoless) -> None:
    async with door.connect() as connection:
        for body in (b"1", b"2", b"3"):
            await connection.send(post("/", body=body))
            assert (await connection.respond()).status == 200
        # Pipelined.
        await connection.send(post("/", body=b"4") + post("/", body=b"5") + post("/", body=b"6"))
        assert [(await connection.respond()).status for _ in range(3)] == [200, 200, 200]
    assert app.bodies == [b"1", b"2", b"3", b"4", b"5", b"6"]


async def test_a_refused_head_is_not_taken_for_the_answer_to_the_request_before_it(door: Door, app: Echoless) -> None:
    async with door.connect() as connection:
        await connection.send(post("/held"))
        await app.held.wait()
        await connection.send(REFUSED["no host"])
        assert await connection.ended()
        app.release.set()


HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"".join(b"X-%d: 1\r\n" % number for number in range(99)) + b"\r\n",
        HEAD + b"X: " + b"a" * (33 << 10) + b"\r\n\r\n",
        HEAD + b"X: " + b"a" * (33 << 10),
        b"POST /" + b"a" * (33 << 10),
        HEAD + b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(34)),
    ],
    ids=["fields", "field", "endless field", "endless target", "endless fields"],
)
async def test_a_head_has_bounds(door: Door, app: Echoless, head: bytes) -> None:
    async with door.connect() as connection:
        await connection.send(head)
        assert (await connection.respond()).status == 431
        assert await connection.ended()
    assert app.bodies == []


async def test_a_head_within_the_bounds_is_taken(door: Door) -> None:
    fields = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 300) for number in range(98))
    assert (await door.exchange(HEAD + fields + b"\r\n")).status == 200


async def test_a_large_body_does_not_count_as_head(door: Door, app: Echoless) -> None:
    assert (await door.exchange(post("/", body=b"a" * (200 << 10)))).status == 200
    assert len(app.bodies[0]) == 200 << 10


async def test_an_early_answer_arrives_although_the_client_still_sends(door: Door) -> None:
    async with door.connect() as connection:
        await connection.send(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n")
        await connection.send(b"a" * (1 << 20))
        assert (await connection.respond()).status == 200
        assert await connection.ended()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadlines a tenth as long: what is tested is that each of them holds, not their length."""
    for name in ("HEAD_SECONDS", "RECEIPT_SECONDS", "IDLE_SECONDS", "ANSWER_SECONDS", "LINGER_SECONDS"):
        monkeypatch.setattr(protocol, name, getattr(protocol, name) / 10)


@pytest.mark.usefixtures("impatient")
async def test_a_slow_head_is_ended_however_it_trickles(door: Door) -> None:
    async with door.connect() as connection:
        await connection.send(b"POST / HTTP/1.1\r\nHost: a\r\n")
        trickle = asyncio.create_task(_trickle(connection.send, b"X-1: 2\r\n"))
        assert (await connection.respond(3)).status == 408
        assert await connection.ended()
        await trickle


async def _trickle(send: Callable[[bytes], Awaitable[None]], piece: bytes) -> None:
    try:
        for _ in range(100):
            await send(piece)
            await asyncio.sleep(0.05)
    except ConnectionError:
        pass


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("coding", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
async def test_a_slow_body_is_ended_however_it_trickles(door: Door, app: Echoless, coding: bytes) -> None:
    async with door.connect() as connection:
        await connection.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + coding + b"\r\n\r\n")
        trickle = asyncio.create_task(_trickle(connection.send, b"1\r\na\r\n"))
        assert (await connection.respond(4)).status == 408
        assert await connection.ended()
        await app.hung_up.wait()
        await trickle
    assert app.bodies == []


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("before", [b"", b"\r\n\r\n", post("/")], ids=["silent", "blank lines", "after a request"])
async def test_an_idle_connection_is_closed(door: Door, before: bytes) -> None:
    async with door.connect() as connection:
        await connection.send(before)
        if before.startswith(b"POST"):
            assert (await connection.respond()).status == 200
        assert await connection.ended(4)


@pytest.mark.usefixtures("impatient")
async def test_a_client_that_does_not_read_its_answers_is_let_go(door: Door) -> None:
    async with door.connect() as connection:
        with pytest.raises(ConnectionError):  # noqa: PT012
            while True:
                await connection.send(post("/large") * 100)


async def test_more_connections_than_allowed_are_closed_at_once(app: Echoless, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(app) as door:
        monkeypatch.setattr(door.server.config.http, "max_connections", 2)
        async with door.connect() as first, door.connect() as second:
            await first.send(post("/"))
            assert (await first.respond()).status == 200
            await second.send(post("/"))
            assert (await second.respond()).status == 200
            async with door.connect() as third:
                assert await third.ended(2)
            await first.send(post("/"))
            assert (await first.respond()).status == 200


async def test_a_sender_that_hangs_up_is_noticed(door: Door, app: Echoless) -> None:
    async with door.connect() as connection:
        await connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        connection.reset()
        await asyncio.wait_for(app.hung_up.wait(), 5)
    assert app.bodies == []


RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes closing a reset: no goodbye, whatever was still on its way is lost."""


@pytest.mark.usefixtures("impatient")
async def test_resets_at_any_moment_leave_no_line_in_the_log(
    door: Door, app: Echoless, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    requests = [*REFUSED.values(), post("/", body=b"ok"), post("/early", body=b"ok"), post("/large"), HEAD, b"", b"P"]
    for request in requests:
        for pieces in ([request], [request, request], [request[:-3], request[-3:]], [request, b"GARBAGE\r\n\r\n"]):
            with socket.create_connection(("127.0.0.1", door.port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                for piece in pieces:
                    with contextlib.suppress(ConnectionError):
                        client.sendall(piece)
                        await asyncio.sleep(0)
    async with door.connect() as connection:
        await connection.send(post("/"))
        assert (await connection.respond()).status == 200
    assert [record.getMessage() for record in caplog.records] == []
