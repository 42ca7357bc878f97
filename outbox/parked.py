"""What was set aside, sealed, with its reason; and the count of a delivery's failures that leads there."""

from collections.abc import Sequence

from outbox.offsets import Position
from outbox.postgres import Connection, Pool
from outbox.vault import Vault
from schemas.receipt import SetAside

PARK = """
insert into parked (tenant_id, connection_id, provider, reason, detail, source, sealed)
select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[])"""
FAILED = """
insert into delivery_failures as f (consumer, topic, partition, "offset", attempts, error) values ($1, $2, $3, $4, 1, $5)
on conflict (consumer, topic, partition, "offset")
do update set attempts = f.attempts + 1, error = excluded.error, failed_at = now()
returning attempts"""
FORGET = """
delete from delivery_failures where consumer = $1 and topic = $2 and partition = $3 and "offset" < $4"""


async def park(connection: Connection, vault: Vault, aside: Sequence[SetAside]) -> None:
    """Keeps what cannot be handled as it is, sealed and bound to where it came from."""
    await connection.execute(
        PARK,
        [a.tenant_id for a in aside],
        [a.connection_id for a in aside],
        [a.provider for a in aside],
        [a.reason for a in aside],
        [a.detail.replace("\0", "")[:500] for a in aside],
        [a.source for a in aside],
        [vault.seal(a.plain, f"parked/{a.source}") for a in aside],
    )


async def failed(pool: Pool, position: Position, offset: int, error: str) -> int:
    """Counts one more failure of a single delivery; returns how many that makes, over all processes."""
    attempts = await pool.fetchval(
        FAILED, position.consumer, position.topic, position.partition, offset, error.replace("\0", "")[:500]
    )
    assert isinstance(attempts, int)
    return attempts


async def forget(connection: Connection, position: Position, below: int) -> None:
    """Drops the counts of deliveries that are handled now."""
    await connection.execute(FORGET, position.consumer, position.topic, position.partition, below)
