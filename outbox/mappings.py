"""The last agreed state of every item."""

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from outbox.postgres import Connection, Row
from schemas.plan import Clock, Mapping, Run

LOCK = """
select item_id, kind, external_id, version, snapshot, deleted, part_of from integration_data_mapping
where tenant_id = $1 and item_id = any($2::uuid[]) order by item_id for no key update"""

LOCK_WITH_PARTS = """
select item_id, kind, external_id, version, snapshot, deleted, part_of from integration_data_mapping
where tenant_id = $1 and (item_id = any($2::uuid[]) or (part_of = any($3::uuid[]) and not deleted))
order by item_id for no key update"""

UNSEEN = """
select item_id, kind, external_id, version, snapshot, deleted, part_of from integration_data_mapping
where cursor_id = $1 and not deleted and kind <> 'sync' and seen_in is distinct from $2
order by item_id limit $3 for no key update"""

CLOCK = "select clock_timestamp()"

WRITE = """
insert into integration_data_mapping
    (tenant_id, item_id, profile_id, connection_id, cursor_id, kind, external_id, version, snapshot, deleted,
        part_of)
select $1, m.item_id, $2, $3, $4, m.kind, m.external_id, m.version, m.snapshot, m.deleted, m.part_of
from unnest($5::uuid[], $6::text[], $7::text[], $8::bigint[], $9::jsonb[], $10::boolean[], $11::uuid[])
    m(item_id, kind, external_id, version, snapshot, deleted, part_of)
on conflict (tenant_id, item_id) do update
set profile_id = excluded.profile_id, connection_id = excluded.connection_id, cursor_id = excluded.cursor_id,
    version = excluded.version, snapshot = excluded.snapshot, deleted = excluded.deleted, part_of = excluded.part_of,
    updated_at = now()"""

SEEN = """
update integration_data_mapping set seen_in = $3, cursor_id = $4
where tenant_id = $1 and item_id = any($2::uuid[])"""


async def lock(
    connection: Connection, tenant_id: UUID, items: Iterable[UUID], wholes: Collection[UUID] = ()
) -> dict[UUID, Mapping]:
    """The mappings of the items that have one, and of the living parts of `wholes`, locked in the order of their ids."""
    if wholes:
        rows = await connection.fetch(LOCK_WITH_PARTS, tenant_id, list(items), list(wholes))
    else:
        rows = await connection.fetch(LOCK, tenant_id, list(items))
    return {row[0]: _mapping(row) for row in rows}


async def unseen(connection: Connection, cursor_id: UUID, full_run: UUID, most: int) -> dict[UUID, Mapping]:
    """At most so many items of a cursor that a full read did not show, locked in the order of their ids."""
    return {row[0]: _mapping(row) for row in await connection.fetch(UNSEEN, cursor_id, full_run, most)}


async def clock(connection: Connection) -> Clock:
    """The database's clock now, to be read after the locks of what it will version."""
    return Clock(await connection.fetchval(CLOCK))


async def write(connection: Connection, run: Run, cursor_id: UUID, mappings: Sequence[Mapping]) -> None:
    """Stores new states. The caller holds the fence and the locks."""
    await connection.execute(
        WRITE,
        run.tenant_id,
        run.profile_id,
        run.connection_id,
        cursor_id,
        [m.item_id for m in mappings],
        [m.kind for m in mappings],
        [m.external_id for m in mappings],
        [m.version for m in mappings],
        [m.snapshot for m in mappings],
        [m.deleted for m in mappings],
        [m.part_of for m in mappings],
    )


async def seen(connection: Connection, run: Run, cursor_id: UUID, items: Iterable[UUID], full_run: UUID) -> None:
    """Notes that a full read has shown these items."""
    await connection.execute(SEEN, run.tenant_id, list(items), full_run, cursor_id)


def _mapping(row: Row) -> Mapping:
    return Mapping(*row)
