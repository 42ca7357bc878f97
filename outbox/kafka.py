"""Every Kafka client of ours: a producer of whole batches, a consumer whose offsets live elsewhere, an administrator.

What aiokafka 0.14 does that this file works round is said where it does.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    MessageSizeTooLargeError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.structs import ConsumerRecord

from outbox.failpoint import reach
from schemas import topics
from schemas.settings import KafkaSettings

__all__ = [
    "Acknowledged", "AssignmentLost", "Consumer", "KafkaError", "KafkaUnavailable", "Partition", "Producer", "Reader",
    "Record", "UnsafeCluster", "check_cluster", "create_topics",
]  # fmt: skip

log = logging.getLogger(__name__)

SESSION_TIMEOUT_MS: Final = 3000
"""How long the group waits for a silent member, where the brokers' `group.min.session.timeout.ms` allows so little."""
STOCK_SHORTEST_SESSION_MS: Final = 6000
STOP_SECONDS: Final = 2.0
"""Bound of closing a client: aiokafka's `stop` waits for ever while no broker leads its partitions."""
ASSIGN_SECONDS: Final = 2.0
"""Bound of the work on assignment: a listener longer than the session is evicted without noticing."""

Partition = tuple[str, int]
"""A topic's name and the number of one of its partitions."""


class KafkaUnavailable(ConnectionError):
    """The cluster did not answer in time."""


class UnsafeCluster(RuntimeError):
    """The cluster lacks a topic, or would lose data. The text is one line that says what to do."""


class AssignmentLost(RuntimeError):
    """Taking over partitions failed or was too slow. aiokafka only logs it, so the process has to end."""


class Record(NamedTuple):
    """One record to produce. Header values are bytes."""

    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]


class Acknowledged(NamedTuple):
    """So many records stand at `offset`, `offset` + 1, … of the partition."""

    offset: int
    records: int


def options(settings: KafkaSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap,
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol in ("SSL", "SASL_SSL"):
        options["ssl_context"] = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    if settings.security_protocol.startswith("SASL"):
        assert settings.sasl_password is not None
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    return options


async def started(
    start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]], within: float = 10.0
) -> None:
    """Starts a client, or leaves nothing of it behind. Raises `KafkaUnavailable`."""
    try:
        async with asyncio.timeout(within):
            await start()
    except (KafkaError, TimeoutError, OSError) as error:
        await stop()
        raise KafkaUnavailable(f"no Kafka broker answered: {str(error) or 'timed out'}") from None


class Producer:
    """Sends whole batches, idempotently, and waits for every in-sync replica.

    After any error but a time-out it must be thrown away: an idempotent producer that was refused once answers every
    later batch of that partition with `OutOfOrderSequenceNumber`. A timed-out batch may still be written later.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._client = AIOKafkaProducer(
            **options(settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=topics.MAX_BATCH_BYTES,
            # Far beyond any deadline of ours: a batch that aiokafka gives up unsent leaves no hole in the sequence, and
            # the next one would be written before its repeat.
            request_timeout_ms=40_000,
            retry_backoff_ms=50,
        )

    async def start(self, within: float = 5.0) -> None:
        """Connects. Raises `KafkaUnavailable` when no broker answers `within` seconds."""
        await started(self._client.start, self.stop, within)

    async def stop(self) -> None:
        """Flushes and closes, in bounded time; what is then still unsent is dropped, its waiters cancelled."""
        with suppress(TimeoutError, KafkaError, OSError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._client.stop()
                return
        # `stop` was cut short: end the sender, what waits for its batches, and the connections.
        sender = self._client._sender
        if sender is not None:
            with suppress(TimeoutError, asyncio.CancelledError, KafkaError, OSError):
                async with asyncio.timeout(STOP_SECONDS):
                    await sender.close()
        accumulator = self._client._message_accumulator
        for batch in [*accumulator._pending_batches, *chain(*accumulator._batches.values())]:
            batch.future.cancel()
        with suppress(TimeoutError, KafkaError, OSError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._client.client.close()

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises `KafkaUnavailable` when the cluster does not say in time."""
        try:
            async with asyncio.timeout(5):
                return len(await self._client.partitions_for(topic))
        except (KafkaError, TimeoutError) as error:
            raise KafkaUnavailable(f"topic {topic}: {str(error) or 'no answer'}") from None

    async def send(self, topic: str, partition: int, records: Iterable[Record]) -> list[Acknowledged]:
        """Writes the records in order and returns where they stand, when the cluster has acknowledged all of them.

        One caller at a time per partition keeps the order. Never times out by itself. Raises `KafkaError`.
        """
        sent: list[tuple[asyncio.Future[Any], int]] = []
        batch = self._client.create_batch()
        for record in records:
            if not _append(batch, record):
                sent.append(await self._submit(batch, topic, partition))
                batch = self._client.create_batch()
                if not _append(batch, record):
                    raise MessageSizeTooLargeError(f"{len(record.value)} bytes do not fit an empty batch")
        if batch.record_count():
            sent.append(await self._submit(batch, topic, partition))
        acknowledged = [Acknowledged((await future).offset, count) for future, count in sent]
        reach("produce.acknowledged")
        return acknowledged

    async def _submit(self, batch: Any, topic: str, partition: int) -> tuple[asyncio.Future[Any], int]:
        count = batch.record_count()
        future = await self._client.send_batch(batch, topic, partition=partition)
        # A batch that nobody waits for any more (its caller was cancelled) must not report its failure to nobody.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return future, count


def _append(batch: Any, record: Record) -> bool:
    """False when the batch is full. An empty batch takes any record, however large."""
    appended = batch.append(key=record.key, value=record.value, timestamp=None, headers=record.headers)
    return appended is not None


Claim = Callable[[Sequence[Partition]], Awaitable[Mapping[Partition, int | None]]]
"""Takes partitions over and says where each goes on: the next offset, or None where nothing was ever consumed."""


class Consumer(ConsumerRebalanceListener):
    """A member of a consumer group whose offsets are kept by `claim`, not by Kafka.

    aiokafka hands out records before a slow listener has finished, so assigned partitions are paused before the first
    await and only records of partitions that are `held` are returned. Offsets are also committed to the group so that
    lag tools see them; they are never read back.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        group: str,
        names: Sequence[str],
        claim: Claim,
        released: Callable[[Sequence[Partition]], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._group = group
        self._client: AIOKafkaConsumer
        self._names = names
        self._claim = claim
        self._released = released
        self._seeking: dict[Partition, int] = {}
        self._failure: BaseException | None = None
        self.held: set[Partition] = set()

    async def start(self, within: float = 10.0) -> None:
        """Joins the group. Raises `KafkaUnavailable`."""
        session = max(SESSION_TIMEOUT_MS, await _shortest_session_ms(self._settings))
        self._client = AIOKafkaConsumer(
            **options(self._settings),
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            session_timeout_ms=session,
            heartbeat_interval_ms=session // 3,
            max_partition_fetch_bytes=4 << 20,
            fetch_max_wait_ms=500,
        )
        self._client.subscribe(self._names, listener=self)
        await started(self._client.start, self.stop, within)

    async def stop(self) -> None:
        """Leaves the group, in bounded time."""
        with suppress(TimeoutError, KafkaError, OSError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._client.stop()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        assigned = list(assigned)
        self._client.pause(*assigned)
        try:
            async with asyncio.timeout(ASSIGN_SECONDS):
                await self._take_over(assigned)
        except BaseException as error:
            self._failure = error
            raise
        self._client.resume(*assigned)

    async def _take_over(self, assigned: Sequence[TopicPartition]) -> None:
        if not assigned:
            return
        positions = await self._claim([(tp.topic, tp.partition) for tp in assigned])
        beginnings = await self._client.beginning_offsets(assigned)
        for tp in assigned:
            stored = positions[(tp.topic, tp.partition)]
            if stored is not None and stored < beginnings[tp]:
                raise AssignmentLost(
                    f"{tp.topic}[{tp.partition}]: records {stored} to {beginnings[tp] - 1} are past their retention"
                )
            self._client.seek(tp, beginnings[tp] if stored is None else stored)
        held = {(tp.topic, tp.partition) for tp in assigned}
        self._seeking.update(dict.fromkeys(held, 0))
        self.held |= held

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        gone = [(tp.topic, tp.partition) for tp in revoked]
        self.held -= set(gone)
        self._released(gone)

    async def batches(
        self, most: int, within: float, besides: Collection[Partition] = ()
    ) -> dict[Partition, list[ConsumerRecord[Any, Any]]]:
        """At most `most` records of held partitions other than `besides`, waiting at most `within` seconds.

        Raises `AssignmentLost` when an assignment failed, or when the partition does not reach to its stored offset.
        """
        if self._failure is not None:
            raise AssignmentLost(
                f"taking over partitions failed: {str(self._failure) or 'too slow'}"
            ) from self._failure
        free = [TopicPartition(*partition) for partition in self.held.difference(besides)] if besides else []
        if besides and not free:
            await asyncio.sleep(within)
            return {}
        try:
            found = await self._client.getmany(*free, timeout_ms=int(within * 1000), max_records=most)
        except NoOffsetForPartitionError as error:
            self._tolerate(error)
            return {}
        except OffsetOutOfRangeError as error:
            raise AssignmentLost(
                f"a stored offset is outside its partition, was the topic made anew? {error}"
            ) from None
        return {
            (tp.topic, tp.partition): records for tp, records in found.items() if (tp.topic, tp.partition) in self.held
        }

    def _tolerate(self, error: NoOffsetForPartitionError) -> None:
        """`NoOffsetForPartitionError` comes until the seek, and sometimes once after it; later it is true."""
        partition = (error.args[0].topic, error.args[0].partition)
        if partition in self.held:
            self._seeking[partition] += 1
            if self._seeking[partition] > 1:
                raise error

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Shows the group where it stands. A stale generation is no error: the true offsets are elsewhere."""
        held = {TopicPartition(*p): offset for p, offset in offsets.items() if p in self.held}
        if held:
            with suppress(CommitFailedError, IllegalStateError, KafkaError, TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._client.commit(held)

    async def ends(self) -> dict[Partition, int]:
        """The offset after the newest record of each held partition; nothing where the broker does not say in time.

        Asked, not remembered from the last fetch: while a batch waits for the database nothing is fetched.
        """
        with suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                ends = await self._client.end_offsets([TopicPartition(*partition) for partition in self.held])
                return {(tp.topic, tp.partition): offset for tp, offset in ends.items()}
        return {}


class Reader:
    """Reads one topic, which has to exist, from outside any group."""

    def __init__(self, settings: KafkaSettings, name: str, *, from_beginning: bool) -> None:
        self._client = AIOKafkaConsumer(
            name,
            **options(settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest" if from_beginning else "latest",
        )

    async def __aenter__(self) -> "Reader":
        await started(self._client.start, self._client.stop)
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._client.stop()

    async def read(self, within: float) -> list[ConsumerRecord[Any, Any]]:
        """The records that arrive within so many seconds, in order per partition; returns as soon as there are any."""
        found = await self._client.getmany(timeout_ms=int(within * 1000))
        return [record for records in found.values() for record in records]

    async def ends(self) -> dict[Partition, int]:
        """The offset after the newest record, per partition."""
        ends = await self._client.end_offsets(self._client.assignment())
        return {(tp.topic, tp.partition): offset for tp, offset in ends.items()}


async def create_topics(settings: KafkaSettings) -> list[str]:
    """Creates the topics that are missing, and returns their names. Existing ones are left as they are."""
    safety = {} if settings.development else {"min.insync.replicas": "2", "unclean.leader.election.enable": "false"}
    wanted = [
        NewTopic(t.name, t.partitions, 1 if settings.development else 3, topic_configs=t.config() | safety)
        for t in topics.every(settings.topic_prefix)
    ]
    async with administering(settings) as admin:
        existing = set(await admin.list_topics())
        missing = [topic for topic in wanted if topic.name not in existing]
        if missing:
            answer: Any = await admin.create_topics(missing)
            for name, code, *message in answer.topic_errors:
                if code and code != TopicAlreadyExistsError.errno:
                    raise UnsafeCluster(f"topic {name} cannot be created: {message or for_code(code).__name__}")
    return [topic.name for topic in missing]


async def check_cluster(settings: KafkaSettings) -> None:
    """Raises `UnsafeCluster` when a topic is missing or, in production, could lose an acknowledged record."""
    names = [topic.name for topic in topics.every(settings.topic_prefix)]
    async with administering(settings) as admin:
        existing = set(await admin.list_topics())
        if missing := [name for name in names if name not in existing]:
            raise UnsafeCluster(f"topic {missing[0]} does not exist: run lifeos migrate")
        if settings.development:
            return
        for described in await admin.describe_topics(names):
            replicas = min(len(partition["replicas"]) for partition in described["partitions"])
            if replicas < 3:
                raise UnsafeCluster(f"topic {described['topic']} has {replicas} replicas, 3 are needed")
        answers: list[Any] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, n) for n in names])
        for answer in answers:
            for _, _, _, name, entries in answer.resources:
                _check_topic(name, {entry[0]: entry[1] for entry in entries})


async def _shortest_session_ms(settings: KafkaSettings) -> int:
    """The cluster's `group.min.session.timeout.ms`; Kafka's own default where we may not ask."""
    name = "group.min.session.timeout.ms"
    async with administering(settings) as admin:
        with suppress(KafkaError, LookupError, ValueError):
            broker = (await admin.describe_cluster())["brokers"][0]["node_id"]
            asked = ConfigResource(ConfigResourceType.BROKER, str(broker), {name: ""})
            answers: list[Any] = await admin.describe_configs([asked])
            found = [entry[1] for answer in answers for resource in answer.resources for entry in resource[4]]
            return int(found[0])
    return STOCK_SHORTEST_SESSION_MS


def _check_topic(name: str, config: Mapping[str, str]) -> None:
    if int(config["min.insync.replicas"]) < 2:
        raise UnsafeCluster(f"topic {name}: min.insync.replicas is {config['min.insync.replicas']}, 2 is needed")
    if config["unclean.leader.election.enable"] != "false":
        raise UnsafeCluster(f"topic {name}: unclean.leader.election.enable must be false")
    if int(config["max.message.bytes"]) < topics.MAX_MESSAGE_BYTES:
        raise UnsafeCluster(f"topic {name}: max.message.bytes must be at least {topics.MAX_MESSAGE_BYTES}")


class administering:  # noqa: N801 - a context manager in all but name
    def __init__(self, settings: KafkaSettings) -> None:
        self._client = AIOKafkaAdminClient(**options(settings), request_timeout_ms=10_000)

    async def __aenter__(self) -> AIOKafkaAdminClient:
        await started(self._client.start, self._client.close)
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
