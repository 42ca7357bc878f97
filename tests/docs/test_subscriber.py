"""The subscribers that the pages show are programs that work."""

import asyncio
import json
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.environment import state_directory
from tests.conftest import Stack
from tests.docs.pages import README, blocks, page, text
from tests.flow.books import read_all
from tests.flow.world import ACCOUNT, World, world
from tests.outbox.conditions import until

JAVAC, JAVA = shutil.which("javac"), shutil.which("java")
SECONDS = 40.0


@asynccontextmanager
async def running(*command: str | Path) -> AsyncIterator[asyncio.StreamReader]:
    """A subscriber's output, for as long as it runs; killed, as any subscriber may be."""
    process = await asyncio.create_subprocess_exec(*map(str, command), stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield process.stdout
    finally:
        process.kill()
        await process.wait()


async def says(output: asyncio.StreamReader, expected: str) -> None:
    """Its next line."""
    async with asyncio.timeout(SECONDS):
        assert (await output.readline()).decode() == expected + "\n"


@pytest.fixture
async def made(stack: Stack, database: str, prefix: str, tmp_path: Path) -> AsyncIterator[World]:
    async with world(stack, database, prefix, tmp_path) as made:
        await made.connect()
        await made.service.start()
        await made.settled()
        yield made


async def test_the_readmes_subscriber_prints_a_task_that_is_made_at_the_provider(made: World, tmp_path: Path) -> None:
    (program,) = blocks(text(README), "python")
    (tmp_path / "subscriber.py").write_text(program, "utf-8")
    command = (sys.executable, "-W", "error", tmp_path / "subscriber.py")
    async with running(*command, made.stack.bootstrap, f"{made.prefix}changes.task") as output:
        made.simulator.run(ACCOUNT, "item_add", content="Buy milk")
        await says(output, "created Buy milk")


HIGHEST = "select max(version) from sync_history where item_id = $1"


async def test_the_subscriber_in_python_keeps_the_highest_version_whatever_is_repeated_and_whenever_it_dies(
    made: World, tmp_path: Path
) -> None:
    (program,) = blocks(page("subscribe"), "python")
    (tmp_path / "subscriber.py").write_text(program, "utf-8")
    topic, store = f"{made.prefix}changes.task", tmp_path / "store"
    command = (sys.executable, "-W", "error", tmp_path / "subscriber.py", made.stack.bootstrap, store, topic)
    task = made.simulator.run(ACCOUNT, "item_add", content="Buy milk")["id"]
    async with running(*command) as output:
        item = await made_known(output, "created")
        made.simulator.run(ACCOUNT, "item_update", id=task, content="Buy oat milk")
        await says(output, f"updated Task {item}")
        await until(lambda: kept(store, item, "Buy oat milk"), "the update is stored")
    await repeat(made, topic)
    made.simulator.run(ACCOUNT, "item_delete", id=task)
    async with running(*command) as output:
        # Of all that came again while it was dead, it does nothing again.
        await says(output, f"deleted Task {item}")
        ((highest,),) = await made.ask(HIGHEST, item)
        await until(lambda: kept(store, item, "Buy oat milk", highest, deleted=True), "the deletion is stored")


async def kept(store: Path, item: str, title: str, version: int | None = None, deleted: bool = False) -> bool:
    """Whether the subscriber's own table holds an item so."""
    with closing(sqlite3.connect(store)) as db:
        rows = db.execute("select item, version, deleted from items where id = ?", [item]).fetchall()
    return [(json.loads(row[0])["title"], version and row[1], row[2]) for row in rows] == [(title, version, deleted)]


async def made_known(output: asyncio.StreamReader, action: str) -> str:
    """The item that its next line is about."""
    async with asyncio.timeout(SECONDS):
        said, type_, item = (await output.readline()).decode().split()
    assert (said, type_) == (action, "Task")
    return item


async def repeat(made: World, topic: str) -> None:
    """Sends everything that a topic holds once more, as a relay may."""
    producer = AIOKafkaProducer(bootstrap_servers=made.stack.bootstrap)
    await producer.start()
    try:
        for record in await read_all(made.stack.bootstrap, [topic]):
            await producer.send_and_wait(
                topic, record.value, record.key, partition=record.partition, headers=list(record.headers)
            )
    finally:
        await producer.stop()


@pytest.mark.skipif(JAVAC is None or JAVA is None, reason="no Java compiler is installed, only what runs Kafka")
async def test_the_subscriber_in_java_compiles_without_a_warning_and_prints_what_happens_to_a_task(
    made: World, tmp_path: Path
) -> None:
    (program,) = blocks(page("subscribe"), "java")
    (tmp_path / "Subscriber.java").write_text(program, "utf-8")
    jars = f"{state_directory() / 'kafka-libs'}/*"
    options = ("-Xlint:all", "-Werror", "-proc:none", "-cp", jars)
    compiler = await asyncio.create_subprocess_exec(str(JAVAC), *options, str(tmp_path / "Subscriber.java"))
    assert await compiler.wait() == 0
    command = (str(JAVA), "-cp", f"{tmp_path}:{jars}", "Subscriber", made.stack.bootstrap, f"{made.prefix}changes.task")
    task = made.simulator.run(ACCOUNT, "item_add", content="Buy milk")["id"]
    async with running(*command) as output:
        item = await made_known(output, "created")
        await repeat(made, f"{made.prefix}changes.task")
        made.simulator.run(ACCOUNT, "item_delete", id=task)
        await says(output, f"deleted Task {item}")
