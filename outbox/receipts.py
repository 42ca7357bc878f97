"""Receipts: every delivery that was accepted, and what became of it."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from outbox.offsets import Position
from outbox.postgres import Connection, Pool
from schemas.receipt import Receipt

RECORD = """
insert into receipts (topic, partition, "offset", match, delivery_id, provider, event, account, received_at,
    outcome, reason, subscription_id, message, trace, tenant_id, connection_id, cursor_id, wanted)
select $1, $2, r.* from unnest($3::bigint[], $4::smallint[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::timestamptz[], $10::text[], $11::text[], $12::uuid[], $13::bigint[], $14::text[], $15::uuid[], $16::uuid[],
    $17::uuid[], $18::bigint[]) r"""

LATEST = """
select * from (
    select r.accepted_at, r.received_at, r.provider, r.event, r.account, r.delivery_id, r.outcome, r.reason,
        r.connection_id, r.topic, r.partition, r."offset", coalesce(c.done >= r.wanted, false) as synced,
        case when c.done >= r.wanted then 'synced' else r.outcome end as became
    from receipts r left join sync_cursors c on c.id = r.cursor_id
    where ($1::text is null or r.provider = $1)
        and ($3::uuid is null or r.connection_id = $3) and r.accepted_at > now() - $4::interval) l
where $2::text is null or $2 in (l.outcome, l.became)
order by l.accepted_at desc, l."offset" desc limit $5"""


async def record(
    connection: Connection, position: Position, receipts: Sequence[Receipt], wanted: Mapping[UUID, int]
) -> None:
    """Writes one row for each delivery and connection it is for; an unmatched or parked delivery has one row."""
    rows = [row for receipt in receipts for row in _rows(receipt, wanted)]
    await connection.execute(RECORD, position.topic, position.partition, *map(list, zip(*rows, strict=True)))


def _rows(receipt: Receipt, wanted: Mapping[UUID, int]) -> list[tuple[object, ...]]:
    said = (receipt.delivery_id, receipt.provider, receipt.event, receipt.account, receipt.received_at)
    via = receipt.via
    became = (receipt.outcome, receipt.reason, via and via.subscription_id, via and via.message, receipt.trace)
    if not receipt.targets:
        return [(receipt.offset, 0, *said, *became, None, None, None, None)]
    return [
        (receipt.offset, n, *said, *became, t.tenant_id, t.connection_id, t.cursor_id, wanted.get(t.cursor_id))
        for n, t in enumerate(receipt.targets)
    ]


async def latest(
    pool: Pool, *, provider: str | None, outcome: str | None, connection_id: UUID | None, within: Any, most: int
) -> list[dict[str, Any]]:
    """The newest receipts first, as dictionaries of the columns above. A `synced` one is `wanted`, too."""
    return [dict(row) for row in await pool.fetch(LATEST, provider, outcome, connection_id, within, most)]
