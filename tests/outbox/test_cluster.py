"""What a real cluster says of groups, records and itself."""

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from outbox import cluster
from outbox.cluster import Bounds, Place
from outbox.kafka import KafkaError, Producer, Record
from schemas.settings import KafkaSettings


@pytest.fixture
async def tasks(topics: KafkaSettings) -> str:
    """A topic whose first partition holds five records, the first two of them past their retention."""
    name = f"{topics.topic_prefix}changes.task"
    producer = Producer(topics)
    await producer.start()
    try:
        await producer.send(name, 0, [Record(None, b"%d" % number, []) for number in range(5)])
    finally:
        await producer.stop()
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(name, 0): RecordsToDelete(before_offset=2)})
    await admin.close()
    return name


async def test_a_record_is_read_where_it_stands_and_none_where_none_is(topics: KafkaSettings, tasks: str) -> None:
    places = [Place(tasks, 0, offset) for offset in (1, 2, 4, 5)]
    nowhere = [Place(tasks, 1, 0), Place(tasks, 99, 0), Place(f"{tasks}.absent", 0, 0)]
    found = await cluster.records_at(topics, [*places, *nowhere])
    values = {place: record and record.value for place, record in found.items()}
    assert values == {**dict(zip(places, (None, b"2", b"4", None), strict=True)), **dict.fromkeys(nowhere)}


async def test_partitions_tell_from_where_to_where_they_reach(topics: KafkaSettings, tasks: str) -> None:
    assert await cluster.bounds(topics, [(tasks, 0), (tasks, 1)]) == {
        (tasks, 0): Bounds(2, 5),
        (tasks, 1): Bounds(0, 0),
    }
    assert await cluster.bounds(topics, []) == {}
    with pytest.raises((KafkaError, TimeoutError)):
        await cluster.bounds(topics, [(f"{tasks}.absent", 0)])


async def test_groups_tell_how_far_they_are_and_which_member_holds_what(topics: KafkaSettings, tasks: str) -> None:
    group = f"{topics.topic_prefix}readers"
    consumer = AIOKafkaConsumer(tasks, bootstrap_servers=topics.bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    await consumer.getmany(timeout_ms=100)
    await consumer.commit({TopicPartition(tasks, 0): 3})
    assert await cluster.committed(topics, [(tasks, 0), (tasks, 1)]) == {(tasks, 0): {group: 3}, (tasks, 1): {}}
    assert set(await cluster.owners(topics, group)) == {(tasks, number) for number in range(6)}
    await consumer.stop()
    assert await cluster.owners(topics, group) == {}
    assert await cluster.committed(topics, [(tasks, 0)]) == {(tasks, 0): {group: 3}}


async def test_a_topic_is_described_as_it_is_and_one_that_is_not_there_not_at_all(
    topics: KafkaSettings, tasks: str
) -> None:
    (topic,) = (await cluster.described(topics, [tasks, f"{tasks}.absent"])).values()
    assert (topic.name, topic.partitions, topic.replicas, topic.missing, topic.leaderless) == (tasks, 6, 1, 0, 0)
    assert topic.config["message.timestamp.type"] == "LogAppendTime"
    assert await cluster.described(topics, [f"{tasks}.absent"]) == {}


async def test_brokers_tell_what_they_are_set_to(topics: KafkaSettings) -> None:
    name = "auto.create.topics.enable"
    assert await cluster.broker_settings(topics, [name]) == {
        broker: {name: "false"} for broker in await cluster.brokers(topics)
    }
