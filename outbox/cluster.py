"""What a Kafka cluster says of itself: groups and how far they are, records at a place, topics as they are. Read only."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError, for_code
from aiokafka.structs import ConsumerRecord

from outbox.kafka import STOP_SECONDS, Partition, administering, options, started
from schemas.settings import KafkaSettings

ANSWER_SECONDS: Final = 5.0
"""Bound of one question about a partition: asked for one that does not exist, aiokafka tries on for 40 seconds."""
AT_ONCE: Final = 16
"""Groups that are asked side by side."""


class Place(NamedTuple):
    """Where a record stands."""

    topic: str
    partition: int
    offset: int


class Bounds(NamedTuple):
    """The offset of the oldest record that a partition still holds, and the one after the newest."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Described:
    """A topic as it is. `replicas` is the fewest of any partition, `missing` counts replicas that are not in sync."""

    name: str
    partitions: int
    replicas: int
    missing: int
    leaderless: int
    config: Mapping[str, str]


async def committed(settings: KafkaSettings, partitions: Collection[Partition]) -> dict[Partition, dict[str, int]]:
    """How far every consumer group has come: the next offset that each has committed, by group.

    A group that we may not ask about is not in the answer.
    """
    asked = [TopicPartition(*partition) for partition in sorted(partitions)]
    found: dict[Partition, dict[str, int]] = {partition: {} for partition in partitions}
    if not asked:
        return found
    places = asyncio.Semaphore(AT_ONCE)

    async def ask(admin: AIOKafkaAdminClient, group: str) -> None:
        try:
            async with places:
                offsets = await admin.list_consumer_group_offsets(group, partitions=asked)
        except KafkaError:
            return
        for tp, (offset, *_) in offsets.items():
            if offset >= 0:
                found[(tp.topic, tp.partition)][group] = offset

    async with administering(settings) as admin:
        groups = sorted(name for name, *_ in await admin.list_consumer_groups())
        await asyncio.gather(*(ask(admin, group) for group in groups))
    return {partition: dict(sorted(groups.items())) for partition, groups in found.items()}


async def owners(settings: KafkaSettings, group: str) -> dict[Partition, str]:
    """Which member of a group holds each partition, by its client's address."""
    async with administering(settings) as admin:
        answers: list[Any] = await admin.describe_consumer_groups([group])
    return {
        (topic, partition): host
        for answer in answers
        for described in answer.groups
        for _, _, host, _, assignment, *_ in described[5]
        if assignment
        for topic, partitions in ConsumerProtocolMemberAssignment.decode(assignment).assignment
        for partition in partitions
    }


async def records_at(
    settings: KafkaSettings, places: Collection[Place]
) -> dict[Place, ConsumerRecord[Any, Any] | None]:
    """The records at these places; None for one that is past its retention, or never was."""
    if not places:
        return {}
    client = AIOKafkaConsumer(**options(settings), enable_auto_commit=False, auto_offset_reset="none")
    await started(client.start, client.stop)
    try:
        client.assign(list({TopicPartition(place.topic, place.partition) for place in places}))
        return {place: await _record_at(client, place) for place in sorted(places)}
    finally:
        await _stop(client)


async def _record_at(client: AIOKafkaConsumer, place: Place) -> ConsumerRecord[Any, Any] | None:
    tp = TopicPartition(place.topic, place.partition)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            first, end = (await client.beginning_offsets([tp]))[tp], (await client.end_offsets([tp]))[tp]
            if not first <= place.offset < end:
                return None
            client.seek(tp, place.offset)
            record: ConsumerRecord[Any, Any] = await client.getone(tp)
    except (KafkaError, TimeoutError):
        return None
    return record if record.offset == place.offset else None


async def bounds(settings: KafkaSettings, partitions: Collection[Partition]) -> dict[Partition, Bounds]:
    """From where to where these partitions reach. Raises `KafkaError` for one that does not exist."""
    if not partitions:
        return {}
    asked = [TopicPartition(*partition) for partition in sorted(partitions)]
    client = AIOKafkaConsumer(**options(settings), enable_auto_commit=False)
    await started(client.start, client.stop)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            firsts, ends = await client.beginning_offsets(asked), await client.end_offsets(asked)
        return {(tp.topic, tp.partition): Bounds(firsts[tp], ends[tp]) for tp in asked}
    finally:
        await _stop(client)


async def described(settings: KafkaSettings, names: Sequence[str]) -> dict[str, Described]:
    """Those of these topics that exist, as they are."""
    async with administering(settings) as admin:
        existing = set(await admin.list_topics())
        asked = [name for name in names if name in existing]
        if not asked:
            return {}
        topics = await admin.describe_topics(asked)
        answers: list[Any] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, n) for n in asked])
    config = _configs(answers)
    return {topic["topic"]: _described(topic, config[topic["topic"]]) for topic in topics}


def _described(topic: Mapping[str, Any], config: Mapping[str, str]) -> Described:
    partitions = topic["partitions"]
    return Described(
        name=topic["topic"],
        partitions=len(partitions),
        replicas=min(len(p["replicas"]) for p in partitions),
        missing=sum(len(p["replicas"]) - len(p["isr"]) for p in partitions),
        leaderless=sum(p["leader"] < 0 for p in partitions),
        config=config,
    )


async def brokers(settings: KafkaSettings) -> list[int]:
    """The ids of the brokers."""
    async with administering(settings) as admin:
        return sorted(broker["node_id"] for broker in (await admin.describe_cluster())["brokers"])


async def broker_settings(settings: KafkaSettings, names: Sequence[str]) -> dict[int, Mapping[str, str]]:
    """These settings of every broker, by its id. Raises `KafkaError` where we may not ask."""
    asked = dict.fromkeys(names, "")
    ids = await brokers(settings)
    async with administering(settings) as admin:
        answers: list[Any] = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.BROKER, str(id_), asked) for id_ in ids]
        )
    return {int(name): config for name, config in _configs(answers).items()}


def _configs(answers: Sequence[Any]) -> dict[str, dict[str, str]]:
    """What was answered for each resource. Raises `KafkaError` for one that we may not ask about."""
    configs = {}
    for answer in answers:
        for code, message, _, name, entries in answer.resources:
            if code:
                raise for_code(code)(message or name)
            configs[name] = {entry[0]: entry[1] for entry in entries}
    return configs


async def _stop(client: AIOKafkaConsumer) -> None:
    # A client whose own task has not begun yet would end the task that stops it, with a cancellation that nobody asked for.
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await client.stop()
    except TimeoutError:
        pass
