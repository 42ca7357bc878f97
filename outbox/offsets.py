"""How far each partition is handled. An epoch issued here, not by Kafka, decides who may say so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from outbox.kafka import Partition
from outbox.lease import FenceLost
from outbox.postgres import Connection, Pool

CLAIM = """
insert into consumer_offsets (consumer, topic, partition, epoch, owner)
select $1, p.topic, p.partition, 1, $4 from unnest($2::text[], $3::int[]) p(topic, partition)
order by p.topic, p.partition
on conflict (consumer, topic, partition)
    do update set epoch = consumer_offsets.epoch + 1, owner = excluded.owner, updated_at = now()
returning topic, partition, epoch, next_offset"""

ADVANCE = """
update consumer_offsets set next_offset = $6, updated_at = now()
where consumer = $1 and topic = $2 and partition = $3 and epoch = $4 and next_offset is not distinct from $5
returning 1"""

READ = "select epoch, next_offset from consumer_offsets where consumer = $1 and topic = $2 and partition = $3"


@dataclass(slots=True)
class Position:
    """A partition this process owns: under which epoch, and the next offset that it has not handled.

    `next_offset` is None until anything of the partition was ever handled.
    """

    consumer: str
    topic: str
    partition: int
    epoch: int
    next_offset: int | None


async def claim(pool: Pool, consumer: str, owner: str, partitions: Sequence[Partition]) -> Mapping[Partition, Position]:
    """Takes partitions over: whoever held them before can commit nothing any more."""
    topics, numbers = [p[0] for p in partitions], [p[1] for p in partitions]
    rows = await pool.fetch(CLAIM, consumer, topics, numbers, owner)
    return {(row[0], row[1]): Position(consumer, *row) for row in rows}


async def advance(connection: Connection, position: Position, next_offset: int) -> None:
    """The fence of *accept*: moves the partition on, if it is still ours and where we think. Raises `FenceLost`."""
    p = position
    moved = await connection.fetchval(ADVANCE, p.consumer, p.topic, p.partition, p.epoch, p.next_offset, next_offset)
    if moved is None:
        raise FenceLost(f"{p.topic}[{p.partition}]: epoch {p.epoch} at {p.next_offset} is over")


async def happened(pool: Pool, position: Position, next_offset: int) -> bool:
    """After a COMMIT whose answer was lost: did it happen? Raises `FenceLost` when another has taken over since."""
    row = await pool.fetchrow(READ, position.consumer, position.topic, position.partition)
    if row is None or row[0] != position.epoch:
        raise FenceLost(f"{position.topic}[{position.partition}]: epoch {position.epoch} is over")
    return bool(row[1] is not None and row[1] >= next_offset)
