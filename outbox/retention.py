"""Growth is bounded: time partitions are made ahead and dropped whole, never deleted from.

The ladder: each rung has to outlive the one below it, so that what refers to something finds it.
"""

import logging
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from asyncpg import LockNotAvailableError

from outbox import subscriptions
from outbox.postgres import Connection, Pool

log = logging.getLogger(__name__)

DEDUPE: Final = timedelta(hours=48)
AHEAD_DAYS: Final = 7


class Partitioned(NamedTuple):
    table: str
    keep: timedelta


RECEIPTS: Final = Partitioned("receipts", timedelta(days=7))
OUTBOX: Final = Partitioned("outbox", timedelta(days=14))
PUBLISHED: Final = Partitioned("outbox_published", timedelta(days=14))
PARKED: Final = Partitioned("parked", timedelta(days=30))
RUNS: Final = Partitioned("sync_runs", timedelta(days=14))
HISTORY: Final = Partitioned("sync_history", timedelta(days=90))

PARTITIONED: Final = (RECEIPTS, OUTBOX, PUBLISHED, RUNS, PARKED, HISTORY)
LADDER: Final = (DEDUPE, RECEIPTS.keep, OUTBOX.keep, PARKED.keep, HISTORY.keep)

CHILDREN = """
select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = $1::regclass"""
UNPUBLISHED = """
select exists (select from outbox_lanes l cross join lateral (
    select from {partition} o where o.lane = l.lane and o.seq > l.published limit 1) o)"""
CLOCK = "select now()"
TURN = "select pg_try_advisory_xact_lock($1)"
LOCK: Final = 5_207_716_343_112_007_002


def assert_ladder(ladder: Iterable[timedelta] = LADDER) -> None:
    """Raises ValueError unless every rung outlives the one before it."""
    rungs = list(ladder)
    if any(lower >= upper for lower, upper in pairwise(rungs)):
        raise ValueError(f"the retention ladder does not rise: {', '.join(map(str, rungs))}")


async def make_ahead(db: Connection, now: datetime | None = None) -> list[str]:
    """Makes the day partitions from yesterday to a week ahead that are missing. `now` is the database's by default."""
    assert_ladder()
    today = await _today(db, now)
    made = []
    for table, _ in PARTITIONED:
        existing = await _children(db, table)
        for day in (today + timedelta(days=n) for n in range(-1, AHEAD_DAYS + 1)):
            if _name(table, day) not in existing:
                await db.execute(
                    f"create table if not exists {_name(table, day)} partition of {table} "
                    f"for values from ('{day}Z') to ('{day + timedelta(days=1)}Z')"
                )
                made.append(_name(table, day))
    return made


async def drop_past(db: Connection, now: datetime | None = None) -> list[str]:
    """Drops the day partitions that are past their keep, and returns their names.

    A day of the outbox that still has something unpublished stays, however old.
    """
    today = await _today(db, now)
    dropped = []
    for table, keep in PARTITIONED:
        oldest = today - keep
        for child in sorted(await _children(db, table)):
            if _day(child) >= oldest or (table == OUTBOX.table and await _holds_unpublished(db, child)):
                continue
            if await _dropped(db, child):
                dropped.append(child)
    return dropped


async def _dropped(db: Connection, partition: str) -> bool:
    """Drops one partition in a transaction of its own. One that somebody reads is left for the next time."""
    try:
        async with db.transaction():
            await db.execute("set local lock_timeout = '500ms'")
            await db.execute(f"drop table if exists {partition}")
    except LockNotAvailableError:
        log.info("partition is in use, and dropped later", extra={"detail": partition})
        return False
    return True


async def tend(pool: Pool) -> None:
    """Makes ahead, unless another process is just doing it, and drops what is past. The one never undoes the other."""
    async with pool.acquire() as db:
        async with db.transaction():
            await db.execute("set local lock_timeout = '2s'")
            if await db.fetchval(TURN, LOCK):
                await make_ahead(db)
        await drop_past(db)
        await subscriptions.drop_past(db, OUTBOX.keep)


async def _holds_unpublished(db: Connection, partition: str) -> bool:
    return bool(await db.fetchval(UNPUBLISHED.format(partition=partition)))


async def _today(db: Connection, now: datetime | None) -> date:
    moment = now or await db.fetchval(CLOCK)
    assert isinstance(moment, datetime)
    return moment.astimezone(UTC).date()


async def _children(db: Connection, table: str) -> set[str]:
    """The day partitions of a table; one that somebody attached under another name is not ours to judge."""
    named = re.compile(rf"{table}_[0-9]{{8}}")
    return {row[0] for row in await db.fetch(CHILDREN, table) if named.fullmatch(row[0])}


def _name(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"


def _day(partition: str) -> date:
    return datetime.strptime(partition.rpartition("_")[2], "%Y%m%d").replace(tzinfo=UTC).date()
