"""What the tables say about the service's health. Read only: nothing is judged here, and nothing is mended."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple

from outbox.kafka import Partition
from outbox.postgres import Pool
from outbox.retention import AHEAD_DAYS, PARTITIONED
from outbox.standing import BEST

SETTINGS: Final = """
select current_setting('server_version') as version, current_setting('fsync') = 'on' as fsync,
    current_setting('full_page_writes') = 'on' as full_page_writes,
    current_setting('synchronous_commit') as synchronous_commit, pg_is_in_recovery() as standby,
    array(select sync_state from pg_stat_replication where state is distinct from 'backup') as standbys"""
CLOCK: Final = "select extract(epoch from clock_timestamp())::float8"
OVERDUE: Final = """
select count(*), coalesce(max(extract(epoch from now() - due_at)), 0)::float8 from sync_cursors
where due_at < now() - $1::interval and leased_until < now()"""
ACCOUNTS: Final = """
select count(*), count(*) filter (where c.status <> 'active'),
    count(*) filter (where c.status = 'active' and exists (
        select from sync_cursors s where s.tenant_id = c.tenant_id and s.connection_id = c.id and s.attempts >= $1
            and not s.closed))
from integration_connections c"""
LANES: Final = """
select count(*) filter (where l.head > l.published), coalesce(sum(l.head - l.published), 0)::bigint,
    count(*) filter (where l.leased_until < now()),
    coalesce(max(extract(epoch from now() - (
        select o.recorded_at from outbox o where o.lane = l.lane and o.seq = l.published + 1 limit 1)))
        filter (where l.head > l.published), 0)::float8
from outbox_lanes l"""
RELAYS: Final = "select count(*) from outbox_relays where seen_until > now()"
SUBSCRIPTIONS: Final = """
select count(*) filter (where status = 'active'),
    count(*) filter (where status = 'active' and expires_at <= now()),
    count(*) filter (where status = 'active' and expires_at > now() and (
        expires_at < now() + $1::interval or (expires_at - now()) < (expires_at - created_at) * $2::float8)),
    extract(epoch from min(expires_at) filter (where status = 'active' and expires_at > now()) - now())::float8,
    count(*) filter (where status = 'pending' and created_at < now() - $3::interval),
    count(*) filter (where status = 'failed'),
    (array_agg(last_error order by updated_at desc)
        filter (where last_error is not null and status in ('pending', 'failed')))[1]
from best"""
PARKED: Final = """
select reason, count(*) from parked where parked_at > now() - $1::interval group by reason order by reason"""
DAYS: Final = """
select i.inhparent::regclass::text, c.relname, (select now())::date as today
from unnest($1::text[]) t(name) left join pg_inherits i on i.inhparent = t.name::regclass
left join pg_class c on c.oid = i.inhrelid"""
PRODUCTS: Final = """
select c.provider, min(s.resource), count(*) from sync_cursors s
join integration_connections c on c.tenant_id = s.tenant_id and c.id = s.connection_id
where not s.closed group by c.provider, split_part(s.resource, '/', 1) order by 1, 2"""
POSITIONS: Final = "select topic, partition, next_offset from consumer_offsets where consumer = $1"


@dataclass(frozen=True, slots=True)
class Server:
    """How PostgreSQL is set. `standbys` are their `sync_state`s; None is one whose state we may not see."""

    version: str
    fsync: bool
    full_page_writes: bool
    synchronous_commit: str
    standby: bool
    standbys: Sequence[str | None]


async def server(pool: Pool) -> Server:
    return Server(*await _one(pool, SETTINGS))


async def clock(pool: Pool) -> float:
    """Seconds by which the database's clock is ahead of ours; negative: behind. Right to half a round trip."""
    async with pool.acquire() as db:
        before = time.time()
        theirs: float = await db.fetchval(CLOCK)
        return theirs - (before + time.time()) / 2


class Overdue(NamedTuple):
    cursors: int
    oldest_seconds: float


async def overdue(pool: Pool, grace: timedelta) -> Overdue:
    """Cursors that have been due for longer than `grace` and that nobody runs."""
    return Overdue(*await _one(pool, OVERDUE, grace))


class Accounts(NamedTuple):
    connections: int
    halted: int
    retrying: int


async def accounts(pool: Pool, attempts: int) -> Accounts:
    """Connections: all, those that wait for a person, and those of which something failed so often in a row."""
    return Accounts(*await _one(pool, ACCOUNTS, attempts))


class Lanes(NamedTuple):
    """`rows` are not published; `unowned` lanes nobody holds; `oldest_seconds` is the age of the oldest such row."""

    behind: int
    rows: int
    unowned: int
    oldest_seconds: float


async def lanes(pool: Pool) -> Lanes:
    return Lanes(*await _one(pool, LANES))


async def relays(pool: Pool) -> int:
    """How many relays are alive."""
    alive: int = await pool.fetchval(RELAYS)
    return alive


class Subscriptions(NamedTuple):
    """Counts by what is the matter with a resource's best one; `nearest_seconds` is until the next of them expires, None:
    none does."""

    active: int
    expired: int
    near: int
    nearest_seconds: float | None
    waiting: int
    failed: int
    error: str | None


async def subscriptions(pool: Pool, near: timedelta, share: float, patience: timedelta) -> Subscriptions:
    """`near`: expires within so long, or less than that share of its life is left. `waiting`: pending for too long."""
    return Subscriptions(*await _one(pool, BEST + SUBSCRIPTIONS, near, share, patience))


async def parked(pool: Pool, within: timedelta) -> dict[str, int]:
    """What was parked lately, by reason."""
    return {row[0]: row[1] for row in await pool.fetch(PARKED, within)}


class Days(NamedTuple):
    """Names of day partitions: those that are not there for today or a day to come, and those that should be gone.

    `reach`: for so many days after today every table has its partition, without a gap; -1 where today's is missing.
    """

    today: Sequence[str]
    ahead: Sequence[str]
    past: Sequence[str]
    reach: int


async def days(pool: Pool) -> Days:
    """The day partitions that ought to be there and are not, and the reverse. The last day ahead may still be made."""
    rows = await pool.fetch(DAYS, [one.table for one in PARTITIONED])
    present = {row[1] for row in rows}
    today: date = rows[0]["today"]

    def absent(table: str, after: int) -> list[str]:
        name = f"{table}_{today + timedelta(days=after):%Y%m%d}"
        return [] if name in present else [name]

    gaps = (n for n in range(AHEAD_DAYS + 1) if any(absent(one.table, n) for one in PARTITIONED))
    return Days(
        today=[name for one in PARTITIONED for name in absent(one.table, 0)],
        ahead=[name for one in PARTITIONED for after in range(1, AHEAD_DAYS) for name in absent(one.table, after)],
        past=[
            name
            for one in PARTITIONED
            # A day that has just passed its keep is dropped within the hour.
            for name in sorted(name for name in present if name and name.startswith(f"{one.table}_2"))
            if _day(name) < today - one.keep - timedelta(days=1)
        ],
        reach=next(gaps, AHEAD_DAYS + 1) - 1,
    )


def _day(name: str) -> date:
    digits = name.rpartition("_")[2]
    return datetime.strptime(digits, "%Y%m%d").date()  # noqa: DTZ007 - a date alone


class Product(NamedTuple):
    """So many open cursors of a product; `resource` is one of them."""

    provider: str
    resource: str
    cursors: int


async def products(pool: Pool) -> list[Product]:
    return [Product(*row) for row in await pool.fetch(PRODUCTS)]


async def positions(pool: Pool, consumer: str) -> Mapping[Partition, int | None]:
    """The next offset to handle of each partition that was ever taken over; None before anything was handled."""
    return {(row[0], row[1]): row[2] for row in await pool.fetch(POSITIONS, consumer)}


async def _one(pool: Pool, statement: str, *arguments: object) -> tuple[Any, ...]:
    row = await pool.fetchrow(statement, *arguments)
    assert row is not None
    return tuple(row)
