"""The outbox's order: 256 lanes, each numbered without gaps in the order of commits.

A lane row is locked from the moment its numbers are taken until the transaction ends, so within a lane a higher number
was committed later, and a reader that has seen number n has seen all below it. Measured against the xmin horizon in
deploy/decisions/0001.
"""

from collections.abc import Sequence

import orjson

from outbox.postgres import Connection
from schemas.change import Change, attributes, value

# `locked` takes the lane rows in order, whatever the order of the changes; numbers are handed out under those locks.
APPEND = """
with c as (
    select * from unnest($1::timestamptz[], $2::smallint[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[],
        $7::bigint[], $8::uuid[], $9::bytea[], $10::bytea[]) with ordinality
        c(recorded_at, lane, kind, tenant_id, connection_id, item_id, version, run_id, headers, value, nth)),
need as (select lane, count(*) as rows from c group by lane),
locked as materialized (
    select l.lane, l.head, l.published from outbox_lanes l
    where l.lane in (select lane from need) order by l.lane for no key update),
taken as (
    update outbox_lanes l set head = l.head + need.rows from need join locked using (lane)
    where l.lane = need.lane returning l.lane, locked.head as base, locked.published),
put as (
    insert into outbox (recorded_at, lane, seq, kind, tenant_id, connection_id, item_id, version, run_id, headers, value)
    select c.recorded_at, c.lane, taken.base + row_number() over (partition by c.lane order by c.nth), c.kind,
        c.tenant_id, c.connection_id, c.item_id, c.version, c.run_id, c.headers, c.value
    from c join taken using (lane))
select bool_or(base = published) from taken"""


async def append(connection: Connection, changes: Sequence[Change], statement: str = APPEND) -> bool:
    """Writes changes to the outbox, as the last statement of their transaction, since the lanes stay locked until its end.

    True when a lane had nothing left to publish: then the relay may be asleep and wants a hint. `statement` is another
    one only where a test proves that it would notice.
    """
    drained = await connection.fetchval(
        statement,
        [c.recorded_at for c in changes],
        [c.lane for c in changes],
        [c.kind for c in changes],
        [c.tenant_id for c in changes],
        [c.connection_id for c in changes],
        [c.item_id for c in changes],
        [c.version for c in changes],
        [c.run_id for c in changes],
        [orjson.dumps(attributes(c)) for c in changes],
        [value(c) for c in changes],
    )
    return bool(drained)
