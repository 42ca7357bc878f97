"""The `lifeos` command as an operator calls it: a process of its own, with the variables of a world."""

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import Any, Final

import orjson

from tests.flow.world import World

BOUND_SECONDS: Final = 30.0
CLOSED: Final = "127.0.0.1:9"
"""Nobody listens on the discard port."""
HIDDEN: Final = "s3cr3t-of-ours"
NO_KAFKA: Final = (
    rf"Kafka at {CLOSED} does not answer: Unable to bootstrap "
    r"\(LIFEOS_KAFKA_SECURITY_PROTOCOL is PLAINTEXT: is that what it speaks\?\)"
)


@dataclass(frozen=True)
class Said:
    """How a `lifeos` command ended."""

    status: int
    out: str
    err: str


def variables(world: World) -> dict[str, str]:
    """What the environment of an operator of this world has. No local stack is near."""
    return {**world.service.variables, "LIFEOS_STATE_DIR": "/nonexistent", "LIFEOS_OPS_LISTEN": "127.0.0.1:0"}


async def start(given: dict[str, str], *words: str, out: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIFEOS_")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy.lifeos",
        *words,
        env=inherited | given,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=out,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(given: dict[str, str], *words: str) -> Said:
    child = await start(given, *words)
    try:
        out, err = await asyncio.wait_for(child.communicate(), BOUND_SECONDS)
    except TimeoutError:
        child.kill()
        raise AssertionError(f"{words} did not end") from None
    assert child.returncode is not None
    return Said(child.returncode, out.decode(), err.decode())


def json_lines(said: Said) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in said.out.splitlines()]
