"""What was synchronised: one row for each committed change."""

from collections.abc import Sequence

import orjson

from outbox.postgres import Connection
from schemas.change import Change
from schemas.plan import Run

RECORD = """
insert into sync_history (recorded_at, tenant_id, profile_id, connection_id, run_id, found_by, causation_id,
    item_id, kind, external_id, action, version, prev_version, changed)
select $1, $2, $3, $4, $5, $6, $7, c.item_id, c.kind, c.external_id, c.action, c.version, c.prev_version, c.changed::jsonb
from unnest($8::uuid[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::bigint[], $14::text[])
    c(item_id, kind, external_id, action, version, prev_version, changed)"""


async def record(connection: Connection, run: Run, changes: Sequence[Change]) -> None:
    """Writes the history of one commit; all its changes were recorded at the same moment."""
    await connection.execute(
        RECORD,
        changes[0].recorded_at,
        run.tenant_id,
        run.profile_id,
        run.connection_id,
        run.run_id,
        run.found_by,
        run.causation_id,
        [c.item_id for c in changes],
        [c.kind for c in changes],
        [c.external_id for c in changes],
        [c.action for c in changes],
        [c.version for c in changes],
        [c.prev_version for c in changes],
        # As text: asyncpg takes a list of lists for an array of two dimensions.
        [orjson.dumps(c.changed).decode() for c in changes],
    )
