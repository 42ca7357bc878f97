"""The first subscriber of the README is a program that works."""

import asyncio
import sys
from pathlib import Path

from tests.conftest import Stack
from tests.docs.pages import README, blocks, text
from tests.flow.world import ACCOUNT, world


async def test_the_readmes_subscriber_prints_a_task_that_is_made_at_the_provider(
    stack: Stack, database: str, prefix: str, tmp_path: Path
) -> None:
    (program,) = blocks(text(README), "python")
    (tmp_path / "subscriber.py").write_text(program, "utf-8")
    async with world(stack, database, prefix, tmp_path) as made:
        await made.connect()
        await made.service.start()
        subscriber = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", str(tmp_path / "subscriber.py"), stack.bootstrap, f"{prefix}changes.task"),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            made.simulator.run(ACCOUNT, "item_add", content="Buy milk")
            assert subscriber.stdout is not None
            async with asyncio.timeout(30):
                assert await subscriber.stdout.readline() == b"created Buy milk\n"
        finally:
            subscriber.kill()
            await subscriber.wait()
