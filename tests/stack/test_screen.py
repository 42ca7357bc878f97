"""The screen shows and never decides: a terminal that is closed takes nothing of the stack with it."""

import asyncio
import os
import pty
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

CODE = """
import asyncio, os, signal, sys
from pathlib import Path
from deploy.local.screen import Screen
from deploy.local.supervisor import stop_all, until_signal

class Server:
    def __init__(self, name): self.name = name
    async def stop(self):
        Path(sys.argv[1], self.name).touch()
        raise OSError("stubborn")

async def main(screen):
    async def work():
        screen.step("Working")
        Path(sys.argv[1], "working").touch()
        while True:
            screen.live("working")
            await asyncio.sleep(0.01)
    try:
        await until_signal(work())
    finally:
        screen.step("Stopping")
        await stop_all([Server("kafka"), Server("postgresql")], screen.say)

with Screen() as screen:
    asyncio.run(main(screen))
    screen.say("Stopped.")
"""


@pytest.fixture
async def terminal() -> AsyncIterator[tuple[int, int]]:
    """Both ends of a terminal."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    for end in (ours, theirs):
        with suppress(OSError):
            os.close(end)


async def test_a_closed_terminal_ends_everything_in_order_and_quietly(
    tmp_path: Path, terminal: tuple[int, int]
) -> None:
    ours, theirs = terminal
    with (tmp_path / "errors").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *("setsid", "--ctty", "--wait", sys.executable, "-c", CODE, str(tmp_path)),
            stdin=theirs,
            stdout=theirs,
            stderr=errors,
        )
    os.close(theirs)
    async with asyncio.timeout(20):
        while not (tmp_path / "working").exists():
            await asyncio.sleep(0.01)
        os.close(ours)  # the kernel sends SIGHUP to whoever leads its session, and writing fails from now on
        assert await process.wait() == 0
    assert (tmp_path / "kafka").exists()
    assert (tmp_path / "postgresql").exists()
    assert (tmp_path / "errors").read_text() == ""
