"""Connections: whose account at which provider, with its sealed credentials and one cursor per resource.

A new connection begins with the resources that every account has; what they list opens others (`cursors.open_and_close`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from outbox import subscriptions
from outbox.postgres import Pool
from outbox.vault import Vault
from schemas.identity import lane
from schemas.providers import Provider
from schemas.receipt import Target

LOCK = """
select from sync_cursors s join integration_connections c on c.tenant_id = s.tenant_id and c.id = s.connection_id
where c.tenant_id = $1 and c.provider = $2 and c.account = $3 order by s.id for no key update of s"""
PROFILE = """
insert into user_profiles (tenant_id, id, name) values ($1, $2, $3)
on conflict (tenant_id, id) do nothing"""
ADD = """
insert into integration_connections (tenant_id, profile_id, provider, account, lane, credentials)
values ($1, $2, $3, $4, $5, '') on conflict (tenant_id, provider, account)
do update set profile_id = excluded.profile_id, status = 'active', detail = null, updated_at = now()
returning id"""
SEAL = "update integration_connections set credentials = $3 where tenant_id = $1 and id = $2"
CURSORS = """
with begun as (
    insert into sync_cursors (tenant_id, connection_id, provider, resource) select $1, $2, $4, unnest($3::text[])
    on conflict (tenant_id, connection_id, resource) do nothing)
update sync_cursors
set due_at = now(), not_before = '-infinity', attempts = 0, last_error = null, position = null, full_run = null,
    epoch = epoch + 1, owner = null, leased_until = '-infinity'
where tenant_id = $1 and connection_id = $2 and not closed"""
TARGETS = """
select c.account, c.tenant_id, c.id, s.id from integration_connections c
join sync_cursors s on s.tenant_id = c.tenant_id and s.connection_id = c.id
where c.provider = $1 and c.account = any($2::text[]) and not s.closed order by c.account, s.id"""

DEMO_TENANT: Final = UUID("0b7a1f4e-3c52-4d0e-9a55-6b0f3f2f8c11")
DEMO_PROFILE: Final = UUID("5b0f8c1d-2f5b-4a9d-9e60-3c524d0e9a55")


async def add(
    pool: Pool,
    vault: Vault,
    *,
    provider: Provider,
    account: str,
    token: str,
    resources: Sequence[str],
    watched: Sequence[str] = (),
    tenant_id: UUID = DEMO_TENANT,
    profile_id: UUID = DEMO_PROFILE,
    name: str = "Demo",
) -> UUID:
    """Connects an account, or connects it again, and makes its cursors due for a full read. Returns the connection's id.

    The full read comes after this commit, so a delivery that found no connection until now has lost nothing. A run that
    is under way loses its fence: it would store a position that skips that read. `watched` names the products whose
    resources need a subscription each.
    """
    async with pool.acquire() as db, db.transaction():
        # Cursors before their connection, as a run that halts locks them.
        await db.execute(LOCK, tenant_id, provider, account)
        await db.execute(PROFILE, tenant_id, profile_id, name)
        connection_id = await db.fetchval(ADD, tenant_id, profile_id, provider, account, lane(provider, account))
        assert isinstance(connection_id, UUID)
        await db.execute(SEAL, tenant_id, connection_id, vault.seal(token.encode(), place(connection_id)))
        await db.execute(CURSORS, tenant_id, connection_id, resources, provider)
        await subscriptions.forget_failures(db, tenant_id, connection_id)
        await subscriptions.follow(db, tenant_id, connection_id, watched)
    return connection_id


def place(connection_id: UUID) -> str:
    """What the sealed credentials of a connection are bound to."""
    return f"integration_connections/{connection_id}/credentials"


async def targets(pool: Pool, provider: str, accounts: Iterable[str]) -> Mapping[str, Sequence[Target]]:
    """The cursors that a delivery for each account concerns. An account nobody connected is not in the answer."""
    found: dict[str, list[Target]] = {}
    for account, tenant_id, connection_id, cursor_id in await pool.fetch(TARGETS, provider, list(accounts)):
        found.setdefault(account, []).append(Target(tenant_id, connection_id, cursor_id))
    return found
