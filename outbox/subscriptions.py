"""Subscriptions: what a provider has to be asked for before it announces the changes of a resource.

A row is written before the provider is called, since its first push may come before its answer; the row's id is the
channel's. Each is made, and ended, under a lease of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from outbox import cursors, lease
from outbox.lease import WHOSE, Held, Leasable
from outbox.postgres import Connection, Pool
from schemas.providers import Provider
from schemas.receipt import Receipt, Subscription, Target

SUBSCRIPTIONS: Final = Leasable(
    "webhook_subscriptions",
    "id",
    "uuid",
    ready="status in ('pending', 'stopping') and due_at <= now()",
    order="due_at",
    log_name="subscription_id",
    whose=WHOSE,
)
LONGEST_BACKOFF: Final = timedelta(minutes=15)
LATE: Final = timedelta(minutes=5)
"""A push that was sent while its subscription lived may arrive so long after its end."""

# What has expired makes room for its successor; what has failed waits for a person.
RETIRE = """
update webhook_subscriptions set status = 'stopped', updated_at = now()
where tenant_id = $1 and connection_id = $2 and status = 'active' and expires_at <= now()"""

FOLLOW = """
with wanted as (
    select s.tenant_id, c.profile_id, s.connection_id, c.provider, s.resource
    from sync_cursors s join integration_connections c on c.tenant_id = s.tenant_id and c.id = s.connection_id
    where s.tenant_id = $1 and s.connection_id = $2 and not s.closed and split_part(s.resource, '/', 1) = any($3::text[])
        and not exists (
            select from webhook_subscriptions w
            where w.tenant_id = s.tenant_id and w.connection_id = s.connection_id and w.resource = s.resource
                and w.status in ('pending', 'active', 'unwatchable', 'failed')))
insert into webhook_subscriptions (tenant_id, profile_id, connection_id, provider, resource) select * from wanted"""

END = """
update webhook_subscriptions w set status = 'stopping', due_at = now(), attempts = 0, updated_at = now()
from sync_cursors s
where w.tenant_id = $1 and w.connection_id = $2 and w.status in ('pending', 'active', 'unwatchable', 'failed')
    and s.tenant_id = w.tenant_id and s.connection_id = w.connection_id and s.resource = w.resource and s.closed"""

BEGIN = """
select w.tenant_id, w.connection_id, w.resource, w.status, w.external_id, w.attempts, c.provider, c.lane, c.credentials
from webhook_subscriptions w join integration_connections c on c.tenant_id = w.tenant_id and c.id = w.connection_id
where w.id = $1 and w.epoch = $2"""

# One that was to be ended meanwhile stays so; what the provider calls it has to be known for that.
ACTIVE = """
update webhook_subscriptions
set status = case status when 'pending' then 'active' else status end, external_id = $2,
    expires_at = coalesce($3, expires_at), attempts = 0,
    last_error = null, due_at = case status when 'pending' then 'infinity'::timestamptz else now() end, updated_at = now()
where id = $1"""

OVER = """
update webhook_subscriptions
set last_error = $3, updated_at = now(),
    status = case when status = 'pending' or $2 = 'stopped' then $2 else status end,
    due_at = case when status = 'pending' or $2 = 'stopped' then 'infinity'::timestamptz else now() end
where id = $1"""

AGAIN = """
update webhook_subscriptions
set attempts = attempts + 1, last_error = $2, updated_at = now(), due_at = case when $3::timestamptz is null
    then now() + least($4::interval, '1 s'::interval * power(2, least(attempts, 16))) * (0.5 + random())
    else greatest($3::timestamptz, now() + '1 s') end
where id = $1"""

# The pauses grow from one row to the next, or a provider that knows every id would be asked without end.
REPLACE = """
insert into webhook_subscriptions (tenant_id, profile_id, connection_id, provider, resource, attempts, last_error, due_at)
select tenant_id, profile_id, connection_id, provider, resource, attempts + 1, $2,
    now() + least($3::interval, '1 s'::interval * power(2, least(attempts, 16))) * (0.5 + random())
from webhook_subscriptions where id = $1 and status = 'pending'"""

AGAIN_FAILED = """
update webhook_subscriptions set status = 'stopped', updated_at = now()
where tenant_id = $1 and connection_id = $2 and status = 'failed'"""

HEARD = """
with h as (
    select * from unnest($1::uuid[], $2::text[], $3::bigint[], $4::timestamptz[]) h(id, external_id, message, expires_at)),
locked as (select w.id from webhook_subscriptions w where w.id in (select id from h) order by w.id for no key update)
update webhook_subscriptions w
set external_id = coalesce(w.external_id, h.external_id), expires_at = coalesce(w.expires_at, h.expires_at),
    message = greatest(w.message, h.message), heard_at = now()
from h join locked using (id) where w.id = h.id"""

KNOWN = """
select w.id,
    w.status in ('pending', 'active') and coalesce(w.expires_at > now() - $3::interval, true),
    w.external_id, c.account, w.tenant_id, w.connection_id, s.id
from webhook_subscriptions w join integration_connections c on c.tenant_id = w.tenant_id and c.id = w.connection_id
left join sync_cursors s
    on s.tenant_id = w.tenant_id and s.connection_id = w.connection_id and s.resource = w.resource and not s.closed
where w.provider = $1 and w.id = any($2::uuid[])"""

PAST = """
delete from webhook_subscriptions where status = 'stopped' and updated_at < now() - $1::interval"""

NEXT_DUE = """
select extract(epoch from due_at - now())::float8 from webhook_subscriptions
where provider = $1 and status in ('pending', 'stopping') and due_at < 'infinity' and leased_until < now()
order by due_at limit 1"""

NEAREST_EXPIRY = """
select extract(epoch from min(expires_at) - now())::float8 from webhook_subscriptions where status = 'active'"""


@dataclass(frozen=True, slots=True)
class Errand:
    """A claimed subscription with all that making or ending it needs. `credentials` are still sealed."""

    held: Held
    tenant_id: UUID
    connection_id: UUID
    resource: str
    status: str
    external_id: str | None
    attempts: int
    provider: Provider
    lane: int
    credentials: bytes


async def follow(connection: Connection, tenant_id: UUID, connection_id: UUID, products: Sequence[str]) -> None:
    """Gives every open resource of these products the subscription it lacks, and ends those of closed ones.

    One that has failed is not asked for again: that takes a person (`forget_failures`).
    """
    await connection.execute(END, tenant_id, connection_id)
    await connection.execute(RETIRE, tenant_id, connection_id)
    await connection.execute(FOLLOW, tenant_id, connection_id, products)


async def forget_failures(connection: Connection, tenant_id: UUID, connection_id: UUID) -> None:
    """The person has connected again: what was refused before may be asked for again."""
    await connection.execute(AGAIN_FAILED, tenant_id, connection_id)


async def begin(pool: Pool, held: Held) -> Errand | None:
    """What a claimed row asks for; None when the lease went to another meanwhile."""
    row = await pool.fetchrow(BEGIN, held.key, held.epoch)
    return None if row is None else Errand(held, *row)


async def made(pool: Pool, errand: Errand, external_id: str, expires_at: datetime | None) -> None:
    """The provider announces changes from now on. What changed before now, nobody announced: the resource is due."""
    async with pool.acquire() as db, db.transaction():
        await cursors.look(db, errand.tenant_id, errand.connection_id, [errand.resource])
        await lease.fence(db, SUBSCRIPTIONS, errand.held)
        await db.execute(ACTIVE, errand.held.key, external_id, expires_at)


async def over(pool: Pool, errand: Errand, status: str, why: str | None) -> None:
    """It is `unwatchable`, `stopped` or `failed`, and needs nothing more; unless it was to be ended meanwhile."""
    async with pool.acquire() as db, db.transaction():
        await lease.fence(db, SUBSCRIPTIONS, errand.held)
        await db.execute(OVER, errand.held.key, status, why)


async def again(pool: Pool, errand: Errand, why: str, at: datetime | None) -> None:
    """It did not work; again at `at`, or after a back-off of its own."""
    async with pool.acquire() as db, db.transaction():
        await lease.fence(db, SUBSCRIPTIONS, errand.held)
        await db.execute(AGAIN, errand.held.key, why, at, LONGEST_BACKOFF)


async def replace(pool: Pool, errand: Errand, why: str) -> None:
    """The provider knows the id, and we do not know how it calls it: another row, with another id, takes its place."""
    async with pool.acquire() as db, db.transaction():
        await lease.fence(db, SUBSCRIPTIONS, errand.held)
        await db.execute(REPLACE, errand.held.key, why, LONGEST_BACKOFF)
        await db.execute(OVER, errand.held.key, "stopped", why)


async def heard(connection: Connection, receipts: Iterable[Receipt]) -> None:
    """Notes the newest word on each subscription that deliveries came through, and what they tell us of it."""
    last = {r.via.subscription_id: r for r in receipts if r.via is not None and r.outcome == "wanted"}
    if not last:
        return
    vias = [receipt.via for receipt in last.values() if receipt.via is not None]
    await connection.execute(
        HEARD,
        [via.subscription_id for via in vias],
        [via.external_id for via in vias],
        [via.message for via in vias],
        [via.expires_at and datetime.fromisoformat(via.expires_at) for via in vias],
    )


async def known(pool: Pool, provider: str, ids: Iterable[UUID]) -> Mapping[UUID, Subscription]:
    """Our subscriptions among these ids."""
    found = {}
    for id_, live, external_id, account, tenant_id, connection_id, cursor_id in await pool.fetch(
        KNOWN, provider, list(ids), LATE
    ):
        target = None if cursor_id is None else Target(tenant_id, connection_id, cursor_id)
        found[id_] = Subscription(live, external_id, account, target)
    return found


async def drop_past(connection: Connection, keep: timedelta) -> None:
    """Drops the rows of subscriptions that ended longer ago than anything that names them is kept."""
    await connection.execute(PAST, keep)


async def next_due(pool: Pool, provider: Provider) -> float | None:
    """Seconds until the provider's first row that nobody has claimed is due, negative when it was. None: none is."""
    seconds: float | None = await pool.fetchval(NEXT_DUE, provider)
    return seconds


async def nearest_expiry(pool: Pool) -> float | None:
    """Seconds until the first active subscription ends, negative when it has; None without any that ends."""
    seconds: float | None = await pool.fetchval(NEAREST_EXPIRY)
    return seconds
