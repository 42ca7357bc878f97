"""The schema: numbered files, applied once, in one step; a process refuses any other version than its own."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from importlib.resources import files

import pytest

from outbox import migrate, postgres
from outbox.migrate import SchemaDrift
from outbox.postgres import Pool
from tests.conftest import Stack, administer
from tests.outbox.conditions import until

SHAPE = """
select table_name, column_name, data_type, is_nullable, column_default from information_schema.columns
where table_schema = 'public' order by 1, 2"""
RULES = """
select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
where connamespace = 'public'::regnamespace order by 1, 2"""
WAITING = "select count(*) from pg_locks where locktype = 'advisory' and not granted"


@pytest.fixture
async def empty(stack: Stack) -> AsyncIterator[str]:
    """The address of a database with nothing in it."""
    name = f"empty_{secrets.token_hex(6)}"
    await administer(stack, f"CREATE DATABASE {name}")
    yield stack.dsn(name)
    await administer(stack, f"DROP DATABASE {name} WITH (FORCE)")


def test_the_files_are_numbered_without_gaps() -> None:
    names = sorted(file.name for file in files("schemas").joinpath("sql").iterdir() if file.name.endswith(".sql"))
    assert [int(name.split("_")[0]) for name in names] == list(range(1, len(names) + 1))
    assert [f"{migration.name}.sql" for migration in migrate.migrations()] == names


async def test_the_first_time_applies_everything_and_the_second_nothing(empty: str) -> None:
    everything = [migration.name for migration in migrate.migrations()]
    assert await migrate.migrate(empty) == everything
    assert await migrate.migrate(empty) == []
    async with postgres.connection(empty, "test") as db:
        await migrate.check(db)


async def test_a_database_from_the_template_is_the_same_as_one_migrated_from_nothing(empty: str, database: str) -> None:
    await migrate.migrate(empty)
    async with postgres.connection(empty, "test") as one, postgres.connection(database, "test") as other:
        assert await one.fetch(SHAPE) == await other.fetch(SHAPE)
        assert await one.fetch(RULES) == await other.fetch(RULES)


async def test_two_at_once_wait_for_each_other_and_apply_it_once(empty: str) -> None:
    async with postgres.connection(empty, "test") as db:
        async with db.transaction():
            await db.execute("select pg_advisory_xact_lock($1)", migrate.LOCK)
            both = [asyncio.create_task(migrate.migrate(empty)) for _ in range(2)]

            async def both_wait() -> bool:
                return bool(await db.fetchval(WAITING) == 2)

            await until(both_wait, "both wait for the lock")
        applied = await asyncio.gather(*both)
    assert sorted(map(len, applied)) == [0, len(migrate.migrations())]


async def test_a_migration_that_fails_leaves_nothing_behind(empty: str) -> None:
    async with postgres.connection(empty, "test") as db:
        await db.execute("create table sync_cursors (in_the_way int)")
        with pytest.raises(Exception, match="sync_cursors"):
            await migrate.migrate(empty)
        assert [
            row[0]
            for row in await db.fetch(
                "select distinct table_name from information_schema.columns where table_schema = 'public'"
            )
        ] == ["sync_cursors"]


async def test_a_process_refuses_a_database_without_a_schema(empty: str) -> None:
    async with postgres.connection(empty, "test") as db:
        with pytest.raises(SchemaDrift, match=r"^the database is at version 0, .* run lifeos migrate$"):
            await migrate.check(db)


async def test_a_process_refuses_an_older_schema_and_says_what_to_do(pool: Pool) -> None:
    await migrate.check(pool)
    newest = len(migrate.migrations())
    await pool.execute("update schema_migrations set number = number - 1")
    with pytest.raises(SchemaDrift, match=rf"^the database is at version {newest - 1}, .* run lifeos migrate$"):
        await migrate.check(pool)


async def test_a_newer_schema_is_refused_by_process_and_migration_which_would_not_help(
    pool: Pool, database: str
) -> None:
    newer = len(migrate.migrations()) + 1
    await pool.execute("insert into schema_migrations (number, name) values ($1, 'of tomorrow')", newer)
    said = rf"^the database is at version {newer}, newer than this code \({newer - 1}\): deploy the newer version$"
    with pytest.raises(SchemaDrift, match=said):
        await migrate.check(pool)
    with pytest.raises(SchemaDrift, match=said):
        await migrate.migrate(database)


HELD = """
insert into user_profiles (tenant_id, id, name)
    values ('0b7a1f4e-3c52-4d0e-9a55-6b0f3f2f8c11', '5b0f8c1d-2f5b-4a9d-9e60-3c524d0e9a55', 'Ann');
insert into integration_connections (tenant_id, id, profile_id, provider, account, lane, credentials)
    select tenant_id, id, id, 'todoist', '2671355', 78, '' from user_profiles;
insert into sync_cursors (tenant_id, connection_id, resource, position)
    select tenant_id, id, 'everything', 'sync-token' from integration_connections"""


async def test_what_the_version_before_wrote_is_there_afterwards(empty: str) -> None:
    first, *_ = migrate.migrations()
    async with postgres.connection(empty, "test") as db:
        await db.execute(migrate.CREATE)
        await db.execute(first.sql)
        await db.execute(migrate.RECORD, first.number, first.name)
        await db.execute(HELD)
    assert first.name not in await migrate.migrate(empty)
    async with postgres.connection(empty, "test") as db:
        (cursor,) = await db.fetch("select provider, resource, position, closed from sync_cursors")
    assert tuple(cursor) == ("todoist", "everything", "sync-token", False)
