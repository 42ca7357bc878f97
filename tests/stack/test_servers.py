"""Servers keep their data and their port, whoever started them last; nobody else's process is ever ended."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from deploy.local import environment, ports, servers, stack
from deploy.local.kafka import Kafka, Runtime, cluster_id
from deploy.local.postgres import PostgreSQL
from deploy.local.process import StackError


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[PostgreSQL]:
    server = PostgreSQL(tmp_path / "postgres", tmp_path / "postgresql.log")
    yield server
    await server.stop()


@pytest.fixture
async def bystander() -> AsyncIterator[int]:
    """A process that has nothing to do with us."""
    process = await asyncio.create_subprocess_exec("sleep", "60")
    yield process.pid
    assert process.returncode is None, "a process that is not ours was ended"
    process.kill()
    await process.wait()


async def ask(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_data_and_port_outlive_a_kill_and_an_orphan(postgres: PostgreSQL, tmp_path: Path) -> None:
    await postgres.start()
    await postgres.create("lifeos")
    await postgres.create("lifeos")
    await ask(postgres.dsn("lifeos"), "CREATE TABLE kept AS SELECT 42 AS answer")
    await postgres.kill()
    await postgres.start()
    assert await ask(postgres.dsn("lifeos"), "SELECT answer FROM kept") == 42

    # As after a supervisor that was killed: the server runs, and who starts now knows only the directory.
    heir = PostgreSQL(tmp_path / "postgres", tmp_path / "heir.log")
    try:
        await heir.start()
        assert heir.dsn("lifeos") == postgres.dsn("lifeos")
        assert await ask(heir.dsn("lifeos"), "SELECT answer FROM kept") == 42
    finally:
        await heir.stop()


async def test_a_stale_pid_that_is_now_another_process_is_left_alone(postgres: PostgreSQL, bystander: int) -> None:
    await postgres.start()
    await postgres.stop()
    (postgres.data / "postmaster.pid").write_text(f"{bystander}\n{postgres.data}\n")
    await postgres.start()
    assert postgres.pid is not None


async def test_a_server_that_does_not_start_says_why(postgres: PostgreSQL) -> None:
    await postgres.start()
    await postgres.stop()
    (postgres.data / "PG_VERSION").write_text("11\n")
    with pytest.raises(StackError, match="incompatible"):
        await postgres.start()


async def test_nobody_else_may_read_the_state(postgres: PostgreSQL) -> None:
    await postgres.start()
    assert [path.stat().st_mode & 0o077 for path in (postgres.state, postgres.data)] == [0, 0]


async def test_kafka_keeps_its_identity_and_port_and_takes_over_an_orphan(tmp_path: Path) -> None:
    ours = await servers.prepare(
        tmp_path, environment.state_directory(), {"LIFEOS_DATABASE_URL": "given"}, lambda _: None
    )
    assert ours.postgres is None
    assert ours.kafka is not None
    await ours.kafka.start()
    identity = await cluster_id("127.0.0.1", ours.kafka.port)
    heir = (
        await servers.prepare(tmp_path, environment.state_directory(), {"LIFEOS_DATABASE_URL": "x"}, lambda _: None)
    ).kafka
    assert heir is not None
    try:
        await heir.start()
        assert heir.bootstrap == ours.kafka.bootstrap
        assert await cluster_id("127.0.0.1", heir.port) == identity
        assert ours.kafka.pid is None
        # `down` finds it too, though no supervisor runs.
        assert await stack.down(tmp_path)
        assert not await stack.down(tmp_path)
    finally:
        await heir.stop()


async def test_kafkas_data_stay_where_they_belong_whatever_the_letters_of_the_path(tmp_path: Path) -> None:
    place = tmp_path / "Müller, späte\\n Größe 数据"
    nobodys = {"LIFEOS_DATABASE_URL": "given"}
    ours = await servers.prepare(place, environment.state_directory(), nobodys, lambda _: None)
    assert ours.kafka is not None
    try:
        await ours.kafka.start()
        assert (place / "kafka" / "data" / "meta.properties").exists()
        await ours.kafka.stop()
        await ours.kafka.start()
    finally:
        await ours.kafka.stop()
    assert "Kafka Server started" in (place / "log" / "kafka.log").read_text("utf-8")
    assert [found.name for found in tmp_path.iterdir()] == [place.name]


async def test_kafkas_stale_pid_that_is_now_another_process_is_left_alone(tmp_path: Path, bystander: int) -> None:
    kafka = Kafka(tmp_path / "kafka", tmp_path / "kafka.log", Runtime(Path("java"), tmp_path))
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "pid").write_text(str(bystander))
    assert not await kafka.dislodge()
    (tmp_path / "kafka" / "pid").write_text(str(os.getpid()))
    assert not await kafka.dislodge()


async def test_whatever_else_answers_at_a_port_is_not_taken_for_kafka() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await cluster_id("127.0.0.1", port, bound=0.5) is None
    assert await cluster_id("127.0.0.1", ports.fresh(set())) is None
