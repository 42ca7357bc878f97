"""Records put straight into the topic of deliveries, past the door."""

from collections.abc import Iterable

from aiokafka import AIOKafkaProducer

from schemas.identity import lane
from schemas.topics import PARTITIONS, partition
from tests.flow.people import Person
from tests.flow.world import World

Put = tuple[bytes | None, list[tuple[str, bytes | None]]]
"""A record: value and headers. Kafka allows both to be absent."""


def where(one: Person) -> int:
    """The partition of their deliveries."""
    return partition(lane("todoist", one.account), PARTITIONS)


async def put(world: World, one: Person, puts: Iterable[Put]) -> list[int]:
    """Puts records where the account's deliveries go, as one batch; returns their offsets."""
    producer = AIOKafkaProducer(bootstrap_servers=world.stack.bootstrap, acks="all", max_batch_size=1 << 20)
    await producer.start()
    try:
        batch = producer.create_batch()
        for value, headers in puts:
            appended = batch.append(key=b"", value=value, timestamp=None, headers=headers)
            assert appended is not None, "more than one batch"
        count = batch.record_count()
        sent = await producer.send_batch(batch, f"{world.prefix}webhooks.todoist", partition=where(one))
        first = (await sent).offset
        return list(range(first, first + count))
    finally:
        await producer.stop()
