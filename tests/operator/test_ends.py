"""Whatever ends a verb before it has answered, its status says so and nobody meets a trace of ours."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final
from uuid import UUID

import pytest

from tests.flow.command import BOUND_SECONDS, CLOSED, start

GIVEN: Final = {
    "LIFEOS_STATE_DIR": "/nonexistent",
    "LIFEOS_ENV": "development",
    "LIFEOS_KAFKA_BOOTSTRAP": CLOSED,
    "LIFEOS_DATABASE_URL": f"postgresql://lifeos@{CLOSED}/lifeos",
    "LIFEOS_GOOGLE_URL": f"http://{CLOSED}",
}
IMPORTS: Final = b"import time:"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("click.types", ("--help",)),
        ("deploy.operator.lines", ("connections", "show", str(UUID(int=1)))),
        ("schemas.settings", ("connections", "show", str(UUID(int=1)))),
        ("asyncpg.types", ("deliveries",)),
        ("aiokafka.errors", ("tail", "changes.task")),
        ("asyncpg.types", ("doctor",)),
        ("deploy.simulators.failure", ("simulate", "google", "events")),
        ("httpx._models", ("simulate", "google", "events")),
        ("deploy.local.ports", ("down",)),
        ("asyncpg.types", ("migrate",)),
    ],
)
async def test_ctrl_c_ends_a_verb_with_130_even_while_it_is_imported(module: str, words: tuple[str, ...]) -> None:
    child = await start(GIVEN | {"PYTHONPROFILEIMPORTTIME": "1"}, *words)
    assert child.stderr
    async with asyncio.timeout(BOUND_SECONDS):
        while line := await child.stderr.readline():
            if line.split()[-1].decode() == module:
                break
        assert line, f"{module} is imported no more: name another"
        child.send_signal(signal.SIGINT)
        out, err = await child.communicate()
    assert [line for line in err.splitlines() if not line.startswith(IMPORTS)] == []
    assert (child.returncode, out) == (130, b"")


@contextmanager
def opened_full() -> Iterator[int]:
    """A file on a disk that has no room."""
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        yield full
    finally:
        os.close(full)


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("tail", "--help"), ("doctor",), ("doctor", "--json")])
async def test_an_answer_that_cannot_be_written_is_one_line(words: tuple[str, ...]) -> None:
    with opened_full() as full:
        child = await start(GIVEN, *words, out=full)
        _, err = await asyncio.wait_for(child.communicate(), BOUND_SECONDS)
    assert err.decode() == "lifeos: standard output cannot be written: No space left on device\n"
    assert child.returncode == 1


@pytest.mark.parametrize("words", [("--help",), ("doctor",)])
async def test_a_reader_that_has_had_enough_ends_a_verb_quietly(words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with closing(os.fdopen(writing, "wb")):
        child = await start(GIVEN, *words, out=writing)
        _, err = await asyncio.wait_for(child.communicate(), BOUND_SECONDS)
    assert (child.returncode, err) == (1, b"")


async def test_a_verb_without_standard_output_says_nothing_and_ends_as_ever() -> None:
    child = await asyncio.create_subprocess_shell(f"{sys.executable} -m deploy.lifeos --version >&-")
    assert await child.wait() == 0


async def test_a_letter_that_the_terminal_lacks_ends_nothing() -> None:
    child = await start(GIVEN | {"PYTHONIOENCODING": "latin-1"}, "doctor")
    out, err = await asyncio.wait_for(child.communicate(), BOUND_SECONDS)
    assert (child.returncode, err) == (1, b"")
    assert b"? see whether" in out
