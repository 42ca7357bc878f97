"""`lifeos simulate` as a person uses it: a real process, its output and its exit code."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

SECRET = "test-client-secret"


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


async def lifeos(tmp_path: Path, *words: str, **variables: str) -> Ended:
    process = await start(tmp_path, *words, **variables)
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def start(tmp_path: Path, *words: str, **variables: str) -> asyncio.subprocess.Process:
    given = {name: value for name, value in os.environ.items() if not name.startswith("LIFEOS_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.lifeos", "simulate", *words),
        env=given | {"LIFEOS_STATE_DIR": str(tmp_path), "LIFEOS_TODOIST_CLIENT_SECRETS": SECRET} | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def served(
    tmp_path: Path, provider: str, *options: str, **variables: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A simulator process that listens, and its address."""
    process = await start(tmp_path, provider, "serve", "--listen", "127.0.0.1:0", *options, **variables)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            line = (await process.stdout.readline()).decode()
        yield process, line.split()[3].rstrip(",")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
