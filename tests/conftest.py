"""The servers that tests share: one PostgreSQL and one Kafka per run, a fresh database and topic prefix per test."""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import uvloop
from hypothesis import HealthCheck, settings

from deploy.local import environment, servers
from deploy.local.kafka import Kafka
from deploy.local.postgres import PostgreSQL

# How long an example takes says how busy the machine is, and nothing about us.
settings.register_profile("lifeos", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lifeos")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Everything is proven on the loop that production runs."""
    return {"uvloop": uvloop.new_event_loop}


class Given:
    """A server that came with the environment: used, never stopped; a test that must kill it is skipped."""

    async def start(self) -> None:
        pytest.skip("the environment names this server, so it is not ours to kill and start")

    kill = stop = start


@dataclass(frozen=True)
class Stack:
    """The two servers. `await stack.kafka.kill()` is SIGKILL, `await stack.kafka.start()` brings it up again in
    place (same port, same data) and returns when it answers; `stack.postgres` likewise."""

    postgres: PostgreSQL | Given
    kafka: Kafka | Given

    @property
    def bootstrap(self) -> str:
        return self.kafka.bootstrap if isinstance(self.kafka, Kafka) else os.environ["LIFEOS_KAFKA_BOOTSTRAP"]

    def dsn(self, database: str) -> str:
        """The address of a database on this server, whether it exists or not."""
        if isinstance(self.postgres, PostgreSQL):
            return self.postgres.dsn(database)
        return urlunsplit(urlsplit(os.environ["LIFEOS_DATABASE_URL"])._replace(path=f"/{database}"))


@pytest.fixture(scope="session")
async def stack() -> AsyncIterator[Stack]:
    """One broker and one database server for the whole run; stopped, and their files removed, at its end."""
    state = Path(tempfile.mkdtemp(prefix="lifeos-tests-")).resolve()
    jars = environment.state_directory()
    jars.mkdir(mode=0o700, exist_ok=True)
    ours = await servers.prepare(state, jars, os.environ, lambda _: None)
    try:
        await servers.start(ours)
        yield Stack(ours.postgres or Given(), ours.kafka or Given())
    finally:
        await servers.stop(ours)
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture(scope="session")
async def template(stack: Stack) -> AsyncIterator[str]:
    """A migrated database to copy; nobody may be connected to it."""
    from outbox import migrate

    name = f"template_{secrets.token_hex(4)}"
    await administer(stack, f"CREATE DATABASE {name}")
    await migrate.migrate(stack.dsn(name))
    yield name
    await administer(stack, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(stack: Stack, template: str) -> AsyncIterator[str]:
    """The address of a database of this test's own, with the current schema and nothing in it."""
    async with copied(stack, template) as address:
        yield address


@asynccontextmanager
async def copied(stack: Stack, template: str) -> AsyncIterator[str]:
    """A copy of a template, for whoever needs one that outlives a test."""
    name = f"test_{secrets.token_hex(6)}"
    await administer(stack, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
    yield stack.dsn(name)
    await administer(stack, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def prefix() -> str:
    """What the names of this test's topics and groups begin with, so that tests never meet."""
    return fresh_prefix()


def fresh_prefix() -> str:
    return f"t{secrets.token_hex(3)}."


async def administer(stack: Stack, statement: str) -> None:
    connection = await asyncpg.connect(stack.dsn("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
