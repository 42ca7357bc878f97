"""The server as a process: what a signal does to it."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator

import pytest

from ingress.server import Server
from schemas.settings import Listen
from tests.ingress.http import Connection, post

PROGRAM = """
import uvloop
from ingress.server import Server
from schemas.settings import Listen

async def app(scope, receive, send):
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})

async def main():
    server = Server(app, Listen(host="127.0.0.1", port=0), draining=lambda: print("draining", flush=True))
    print(server.port, flush=True)
    await server.serve()
    print("drained", flush=True)

uvloop.run(main())
"""


@pytest.fixture
async def process() -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    yield process
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_finishes_what_has_begun_and_exits_with_0(
    process: asyncio.subprocess.Process, number: signal.Signals
) -> None:
    port = int(await line(process))
    connection = Connection(*await asyncio.open_connection("127.0.0.1", port))
    idle = Connection(*await asyncio.open_connection("127.0.0.1", port))
    await idle.send(post("/"))
    assert (await idle.respond()).status == 200
    request = post("/", body=b"half and half")
    await connection.send(request[:-4])
    # A request after the half one was sent has been served: the half one has begun.
    await idle.send(post("/"))
    assert (await idle.respond()).status == 200
    process.send_signal(number)
    assert await line(process) == "draining"
    assert await idle.ended()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await connection.send(request[-4:])
    assert (await connection.respond()).status == 200
    assert await connection.ended()
    assert await line(process) == "drained"
    assert await asyncio.wait_for(process.wait(), 10) == 0
    connection.close()
    idle.close()


async def test_an_address_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1.*{port}"):
            Server(_nothing, Listen(host="127.0.0.1", port=port), draining=lambda: None)


async def _nothing(*_: object) -> None:
    """Never called."""
