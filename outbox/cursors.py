"""Cursors: how far a resource of a connection is read, and when it is due again.

A resource that exists no more has its cursor closed: one more run deletes what it held, and it is not due again.

A push only counts `wanted` up and pulls `due_at` nearer, never past two seconds after the last start: a thousand pushes
become one run, and nothing ever postpones one. A run notes `wanted` when it begins and sets `done` to it when it ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple, assert_never
from uuid import UUID

from outbox.lease import Held
from outbox.postgres import Connection, Pool
from schemas.plan import Run
from schemas.providers import Provider

SPACING: Final = timedelta(seconds=2)
"""From the start of one run to the start of the next that pushes ask for."""
LONGEST_BACKOFF: Final = timedelta(minutes=15)

WANT = """
with w as (select * from unnest($1::uuid[], $2::bigint[], $3::text[], $5::text[]) w(id, pushes, cause, trace)),
locked as (select c.id from sync_cursors c where c.id in (select id from w) order by c.id for no key update)
update sync_cursors c
set wanted = c.wanted + w.pushes, cause = w.cause, trace = w.trace,
    due_at = least(c.due_at, greatest(now(), least(c.last_start, now()) + $4::interval, c.not_before))
from w join locked using (id) where c.id = w.id
returning c.id, c.wanted"""

# Counted like a push, so that a run that is under way does not end the matter; but nobody announced anything.
LOOK = """
update sync_cursors
set wanted = wanted + 1, cause = case when wanted > done then cause end, trace = case when wanted > done then trace end,
    due_at = least(due_at, greatest(now(), least(last_start, now()) + $4::interval, not_before))
where tenant_id = $1 and connection_id = $2 and resource = any($3::text[]) and not closed"""

# Cursors are locked by their ids wherever several are.
LOCK = """
select from sync_cursors where tenant_id = $1 and connection_id = $2 and resource = any($3::text[])
order by id for no key update"""

# The announcement that showed the resource to come or to go is the cause of the run that follows.
OPEN = """
insert into sync_cursors as s (tenant_id, connection_id, provider, resource, wanted, cause, trace)
select $1, $2, $4, unnest($3::text[]), 1, $5, $6
on conflict (tenant_id, connection_id, resource) do update
set wanted = s.wanted + 1, cause = excluded.cause, trace = excluded.trace, closed = false, due_at = now(),
    not_before = '-infinity', attempts = 0, last_error = null, position = null, full_run = null,
    epoch = s.epoch + 1, owner = null, leased_until = '-infinity'
where s.closed"""

# A new epoch: what a run that is under way still finds in the resource may not come after its end.
CLOSE = """
update sync_cursors
set wanted = wanted + 1, cause = $4, trace = $5, closed = true, due_at = now(),
    not_before = '-infinity', attempts = 0, last_error = null, position = null, full_run = null,
    epoch = epoch + 1, owner = null, leased_until = '-infinity'
where tenant_id = $1 and connection_id = $2 and resource = any($3::text[]) and not closed"""

BEGIN = """
update sync_cursors s set last_start = now()
from integration_connections c
where s.id = $1 and s.epoch = $2 and c.tenant_id = s.tenant_id and c.id = s.connection_id
returning s.tenant_id, s.connection_id, s.resource, s.position, s.full_run, s.wanted, s.done, s.cause, s.trace,
    s.attempts, s.closed, c.profile_id, c.provider, c.account, c.lane, c.credentials,
    exists (select from webhook_subscriptions w where w.tenant_id = s.tenant_id and w.connection_id = s.connection_id
        and w.resource = s.resource and w.status = 'active' and coalesce(w.expires_at > now(), true))"""

ADVANCE = "update sync_cursors set position = $2, full_run = $3 where id = $1"

FINISH = """
update sync_cursors
set position = $2, full_run = null, done = $3, last_done = now(), attempts = 0, last_error = null,
    not_before = '-infinity',
    due_at = case when wanted > $3 then greatest(now(), least(last_start, now()) + $5::interval)
                  else now() + $4::interval * (0.9 + 0.2 * random()) end
where id = $1"""

RETRY = """
update sync_cursors
set attempts = attempts + 1, last_error = $2, not_before = again.at, due_at = again.at
from (select case when $3::timestamptz is null
        then now() + least($4::interval, '1 s'::interval * power(2, least(attempts, 16))) * (0.5 + random())
        else greatest($3::timestamptz, now() + '1 s') end as at
      from sync_cursors where id = $1) again
where id = $1"""

HALT = """
with stopped as (
    update sync_cursors set attempts = attempts + 1, last_error = $2, not_before = 'infinity', due_at = 'infinity'
    where id = $1 returning tenant_id, connection_id)
update integration_connections c set status = 'needs_reauthorization', detail = $2, updated_at = now()
from stopped s where c.tenant_id = s.tenant_id and c.id = s.connection_id"""

SHUT = """
update sync_cursors
set due_at = 'infinity', not_before = 'infinity', position = null, full_run = null, done = wanted, last_done = now(),
    attempts = 0, last_error = null
where id = $1"""

NEXT_DUE = """
select extract(epoch from due_at - now())::float8 from sync_cursors
where provider = $1 and due_at < 'infinity' and leased_until < now() order by due_at limit 1"""


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed cursor with all its run needs. `credentials` are still sealed.

    `closed`: the resource exists no more. `watched`: the provider announces its changes through a subscription of ours.
    """

    held: Held
    tenant_id: UUID
    connection_id: UUID
    resource: str
    position: str | None
    full_run: UUID | None
    wanted: int
    done: int
    cause: str | None
    trace: str | None
    attempts: int
    closed: bool
    profile_id: UUID
    provider: Provider
    account: str
    lane: int
    credentials: bytes
    watched: bool


@dataclass(frozen=True, slots=True)
class Advance:
    """A whole page is stored; the next fetch goes on here. `full_run` names the full read that it is part of."""

    position: str
    full_run: UUID | None


@dataclass(frozen=True, slots=True)
class Finish:
    """The run is over: everything pushed up to `done` is seen. Without pushes the next look is after `poll`."""

    position: str
    done: int
    poll: timedelta


@dataclass(frozen=True, slots=True)
class Retry:
    """It did not work; again at `at`, or after a back-off of its own."""

    why: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Halt:
    """Nothing can work until the person has granted access again."""

    why: str


@dataclass(frozen=True, slots=True)
class Shut:
    """Everything that the closed resource held is deleted."""


Progress = Advance | Finish | Retry | Halt | Shut


class Push(NamedTuple):
    """What made a cursor wanted: how many deliveries, the id and the trace context of the last of them."""

    pushes: int
    cause: str
    trace: str | None


async def want(connection: Connection, pushes: Mapping[UUID, Push]) -> Mapping[UUID, int]:
    """Counts pushes in and makes the cursors due. Returns each cursor's counter, which its next run will reach."""
    counts, causes, traces = map(list, zip(*pushes.values(), strict=True))
    rows = await connection.fetch(WANT, list(pushes), counts, causes, SPACING, traces)
    return {row[0]: row[1] for row in rows}


async def look(db: "Connection | Pool", tenant_id: UUID, connection_id: UUID, resources: Sequence[str]) -> None:
    """Makes resources due that nobody announced a change of: there is a reason of our own to read them now."""
    await db.execute(LOOK, tenant_id, connection_id, resources, SPACING)


async def open_and_close(connection: Connection, run: Run, opened: Sequence[str], closed: Sequence[str]) -> None:
    """Gives resources that are new a cursor each, and those that are no more their last run."""
    whose, cause = (run.tenant_id, run.connection_id), run.causation_id if run.found_by == "push" else None
    await connection.execute(LOCK, *whose, [*opened, *closed])
    if opened:
        await connection.execute(OPEN, *whose, opened, run.provider, cause, run.trace)
    if closed:
        await connection.execute(CLOSE, *whose, closed, cause, run.trace)


async def begin(pool: Pool, held: Held) -> Work | None:
    """Starts the run of a claimed cursor; None when the lease went to another meanwhile."""
    row = await pool.fetchrow(BEGIN, held.key, held.epoch)
    return None if row is None else Work(held, *row)


async def progress(connection: Connection, held: Held, step: Progress) -> None:
    """Writes how far the run has come. The caller has taken the fence."""
    match step:
        case Advance(position, full_run):
            await connection.execute(ADVANCE, held.key, position, full_run)
        case Finish(position, done, poll):
            await connection.execute(FINISH, held.key, position, done, poll, SPACING)
        case Retry(why, at):
            await connection.execute(RETRY, held.key, why, at, LONGEST_BACKOFF)
        case Halt(why):
            await connection.execute(HALT, held.key, why)
        case Shut():
            await connection.execute(SHUT, held.key)
        case _:
            assert_never(step)


async def next_due(pool: Pool, provider: Provider) -> float | None:
    """Seconds until the provider's first cursor that nobody runs is due; negative, for how long it has been. None: none is."""
    seconds: float | None = await pool.fetchval(NEXT_DUE, provider)
    return seconds
