"""A relay as a process of its own, to be killed, stopped and continued: `python -m tests.outbox.relay_process OWNER`.

It reads the settings that the product's own verb reads. `Process` is the other side: it starts one and ends it.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local.process import dying_with_parent
from outbox import failpoint, postgres
from outbox.relay import Relay
from schemas.settings import KafkaSettings, MigrateSettings, load
from schemas.telemetry import configure_logging

ROOT: Final = Path(__file__).parents[2]


async def relay(owner: str) -> None:
    configure_logging()
    settings = load(MigrateSettings, os.environ)
    if at := os.environ.get("LIFEOS_FAILPOINT"):
        failpoint.arm(at)
    dsn = settings.database_url.get_secret_value()
    async with postgres.pool(dsn, f"relay-{owner}") as pool:
        running = Relay(pool, dsn, settings, owner)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.stop)
        await running.run()


@dataclass(frozen=True)
class Process:
    """A relay that was started. `end` says how it ended, after SIGTERM or the signal given."""

    owner: str
    child: asyncio.subprocess.Process

    def send(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGTERM, within: float = 15.0) -> int:
        if self.child.returncode is None:
            self.send(number)
        return await self.ended(within)

    async def ended(self, within: float = 30.0) -> int:
        async with asyncio.timeout(within):
            return await self.child.wait()


@asynccontextmanager
async def started(dsn: str, settings: KafkaSettings, owner: str, failpoint: str = "") -> AsyncIterator[Process]:
    """A relay process under this owner's name; whatever happens in between, it is gone afterwards."""
    environ = os.environ | {
        "LIFEOS_ENV": "development",
        "LIFEOS_DATABASE_URL": dsn,
        "LIFEOS_KAFKA_BOOTSTRAP": settings.bootstrap,
        "LIFEOS_TOPIC_PREFIX": settings.topic_prefix,
        "LIFEOS_FAILPOINT": failpoint,
    }
    command = dying_with_parent([sys.executable, "-m", __name__, owner], signal.SIGKILL)
    process = Process(owner, await asyncio.create_subprocess_exec(*command, env=environ, cwd=ROOT))
    try:
        yield process
    finally:
        await process.end(signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(relay(sys.argv[1]))
