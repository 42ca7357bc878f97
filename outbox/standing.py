"""How connections and subscriptions stand: what is fresh, what is retried, what waits for a person. Read only.

Rows are dictionaries whose keys are the columns; a moment that never comes is None.
"""

from typing import Any, Final, Literal
from uuid import UUID

from outbox.postgres import Pool

Row = dict[str, Any]

State = Literal["ok", "unannounced", "reading", "retrying", "needs_reauthorization"]
"""Everything was read; so it was, and a subscription of it has failed or expired; something was never read to its end; the
last attempt at something failed; a person has to act."""
STATES: Final[tuple[State, ...]] = ("ok", "unannounced", "reading", "retrying", "needs_reauthorization")

# A resource is as well off as its best subscription.
BEST: Final = """
with best as (select distinct on (tenant_id, connection_id, resource) * from webhook_subscriptions
where status in ('pending', 'active', 'failed')
order by tenant_id, connection_id, resource, status = 'active' and coalesce(expires_at > now(), true) desc,
    expires_at desc nulls first, created_at desc)
"""

CONNECTIONS: Final = """
select * from (
    select c.id as connection_id, c.tenant_id, c.provider, c.account,
        case when c.status <> 'active' then c.status when s.retrying > 0 then 'retrying'
            when s.unread > 0 or s.resources = 0 then 'reading' when b.unannounced > 0 then 'unannounced' else 'ok' end
            as state,
        c.status, case when s.unread = 0 then s.fresh end as fresh, s.resources, s.retrying, s.unread, b.unannounced,
        case when c.status <> 'active' then coalesce(c.detail, s.last_error) else coalesce(s.last_error, b.last_error) end
            as last_error,
        c.lane, c.created_at, c.updated_at
    from integration_connections c cross join lateral (
        select count(*) as resources, count(*) filter (where attempts > 0) as retrying,
            count(*) filter (where last_done is null) as unread, min(last_done) as fresh,
            (array_agg(last_error order by attempts desc, resource) filter (where last_error is not null))[1] as last_error
        from sync_cursors where tenant_id = c.tenant_id and connection_id = c.id and not closed) s
    cross join lateral (
        select count(*) as unannounced,
            min(case when status = 'failed' then coalesce(last_error, 'a subscription failed')
                     else 'a subscription expired, and nothing made another' end) as last_error
        from best
        where tenant_id = c.tenant_id and connection_id = c.id
            and (status = 'failed' or status = 'active' and expires_at <= now())) b
    where ($1::text is null or c.provider = $1) and ($2::text is null or c.account = $2)
        and ($4::uuid is null or c.id = $4)) l
where $3::text is null or l.state = $3
order by array_position(array['needs_reauthorization', 'retrying', 'unannounced', 'reading', 'ok'], l.state),
    l.fresh nulls first, l.connection_id
limit $5"""

# What is active in its row may have ended by itself; and what is over needs nobody where another took its place.
SHOWN: Final = """
with shown as (
    select w.*, case
        when w.status not in ('active', 'failed') or w.status = 'active' and coalesce(w.expires_at > now(), true)
            then w.status
        when exists (
            select from webhook_subscriptions o where o.tenant_id = w.tenant_id and o.connection_id = w.connection_id
                and o.resource = w.resource and o.status = 'active' and coalesce(o.expires_at > now(), true))
            then 'replaced'
        when w.status = 'active' then 'expired' else w.status end as shown
    from webhook_subscriptions w)
"""

RESOURCES: Final = """
select s.id as cursor_id, s.resource, s.closed, s.last_done, s.full_run is not null as in_full, s.wanted, s.done,
    s.attempts, s.last_error, nullif(s.due_at, 'infinity') as due_at,
    nullif(nullif(s.not_before, '-infinity'), 'infinity') as not_before, s.due_at = 'infinity' as halted,
    case when s.leased_until > now() then s.owner end as leased_by,
    r.run_id as last_run_id, r.ended_at as last_run_ended_at, r.outcome as last_run_outcome, r.detail as last_run_detail,
    r.found_by as last_run_found_by, r.created as last_run_created, r.updated as last_run_updated,
    r.deleted as last_run_deleted, r.rejected as last_run_rejected,
    w.id as subscription_id, w.shown as subscription, w.expires_at as subscription_expires_at,
    w.heard_at as subscription_heard_at, w.last_error as subscription_error
from sync_cursors s
left join lateral (select * from sync_runs r where r.cursor_id = s.id order by r.ended_at desc limit 1) r on true
left join lateral (
    select * from shown w
    where w.tenant_id = s.tenant_id and w.connection_id = s.connection_id and w.resource = s.resource
    order by w.shown = 'active' desc, w.shown in ('replaced', 'stopping', 'stopped'), w.created_at desc limit 1) w on true
where s.tenant_id = $1 and s.connection_id = $2 order by s.closed, s.resource"""

WATCHES: Final = """
select w.id as subscription_id, w.tenant_id, w.connection_id, w.provider, c.account, w.resource, w.shown as status,
    w.expires_at, w.heard_at, w.message, w.external_id, w.attempts, w.last_error,
    nullif(w.due_at, 'infinity') as due_at, w.created_at, w.updated_at
from shown w join integration_connections c on c.tenant_id = w.tenant_id and c.id = w.connection_id
where ($1::text is null or w.provider = $1) and ($2::uuid is null or w.connection_id = $2)
    and case when $3::text is null then w.shown <> 'stopped' else w.shown = $3 end
order by w.shown = 'active', w.shown = 'replaced', w.expires_at nulls first, w.id limit $4"""


async def connections(
    pool: Pool,
    *,
    provider: str | None = None,
    account: str | None = None,
    state: State | None = None,
    connection_id: UUID | None = None,
    most: int = 1,
) -> list[Row]:
    """Connections, those in trouble first. `fresh` is since when everything is read; None: something never was."""
    rows = await pool.fetch(BEST + CONNECTIONS, provider, account, state, connection_id, most)
    return [dict(row) for row in rows]


async def resources(pool: Pool, tenant_id: UUID, connection_id: UUID) -> list[Row]:
    """What is read of a connection, each with its last run and its subscription; what exists no more comes last."""
    return [dict(row) for row in await pool.fetch(SHOWN + RESOURCES, tenant_id, connection_id)]


async def watches(
    pool: Pool, *, provider: str | None, connection_id: UUID | None, status: str | None, most: int
) -> list[Row]:
    """Subscriptions, those that are not active first, then by when they expire. Stopped ones only if asked for.

    `status` is that of the row, but `expired` where an active one has ended by itself, and `replaced` where one that
    expired or failed has a living one in its place.
    """
    return [dict(row) for row in await pool.fetch(SHOWN + WATCHES, provider, connection_id, status, most)]
