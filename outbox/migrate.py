"""The schema: numbered SQL files, append-only, applied in one transaction under an advisory lock.

`migrate` is a step of a deployment; every other process only calls `check` and refuses a schema that is not its own.
"""

from importlib.resources import files
from typing import Final, NamedTuple

from outbox import retention
from outbox.postgres import Connection, Pool, connection

LOCK: Final = 5_207_716_343_112_007_001
"""Any number, as long as it stays: two migrations at once wait for each other on it."""

CREATE = """
create table if not exists schema_migrations (
    number integer primary key, name text not null, applied_at timestamptz not null default now())"""
APPLIED = "select number from schema_migrations order by number"
RECORD = "insert into schema_migrations (number, name) values ($1, $2)"
EXISTS = "select to_regclass('schema_migrations') is not null"
NEWEST = "select max(number) from schema_migrations"


class SchemaDrift(RuntimeError):
    """The database is not at the version of this code. The text is one line that says what to do."""


class Migration(NamedTuple):
    number: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """All migrations of this version, in order. Their numbers are 1, 2, 3, …"""
    found = [
        Migration(int(file.name.partition("_")[0]), file.name.removesuffix(".sql"), file.read_text())
        for file in files("schemas").joinpath("sql").iterdir()
        if file.name.endswith(".sql")
    ]
    found.sort()
    assert [migration.number for migration in found] == list(range(1, len(found) + 1))
    return found


async def migrate(dsn: str) -> list[str]:
    """Brings the schema to this version, makes the partitions of the coming days, and returns what it applied."""
    async with connection(dsn, "migrate", lock_timeout="5s") as db, db.transaction():
        await db.execute("select pg_advisory_xact_lock($1)", LOCK)
        await db.execute(CREATE)
        applied = {row[0] for row in await db.fetch(APPLIED)}
        _refuse_newer(max(applied, default=0))
        missing = [migration for migration in migrations() if migration.number not in applied]
        for migration in missing:
            await db.execute(migration.sql)
            await db.execute(RECORD, migration.number, migration.name)
        await retention.make_ahead(db)
    return [migration.name for migration in missing]


def _refuse_newer(at: int) -> None:
    if at > len(migrations()):
        ours = len(migrations())
        raise SchemaDrift(f"the database is at version {at}, newer than this code ({ours}): deploy the newer version")


async def check(db: "Connection | Pool") -> None:
    """Raises `SchemaDrift` unless the database is exactly at this version."""
    at = await db.fetchval(NEWEST) if await db.fetchval(EXISTS) else 0
    _refuse_newer(at)
    if at < len(migrations()):
        raise SchemaDrift(f"the database is at version {at}, this code needs {len(migrations())}: run lifeos migrate")
