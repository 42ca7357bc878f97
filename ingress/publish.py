"""Deliveries into Kafka: nothing is reported as published that the cluster has not acknowledged.

Batches form by themselves: while one produce of a partition is in flight, the next one fills. Three things go wrong and
are told apart: Kafka does not answer in time (the breaker opens, the batch in flight may still arrive), Kafka refuses
(the producer is useless from then on, DESIGN.md §5, and is thrown away), more comes in than goes out (`overloaded`).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from outbox.kafka import Producer, Record
from schemas import topics
from schemas.delivery import Delivery, encode
from schemas.providers import PROVIDERS, Provider
from schemas.settings import KafkaSettings
from schemas.telemetry import PRODUCER_REBUILDS, PUBLISH_BREAKER

log = logging.getLogger(__name__)

DEADLINE: Final = 2.0
"""Seconds a request waits for its acknowledgement; the fail-over budget of DESIGN.md §5."""
SWEEP: Final = 0.05
MAX_RECORDS: Final = 8192
MAX_BYTES: Final = 64 << 20
"""What may wait or be in flight at once: the bound of this process's memory while Kafka is slow."""
RECORD_OVERHEAD: Final = 512
"""What a record costs beside its value, roughly: key, headers, objects."""
REBUILD_PAUSE: Final = 0.5
REBUILD_WITHIN: Final = 2.0
PROBES: Final = 16
"""Requests let through to a new producer before its first acknowledgement shows that it works."""
MAX_SEQUENCE: Final = 1 << 30
"""Records of one partition in one producer session. aiokafka counts wrongly past 2^31 - 1, and is refused ever after."""

Cause = Literal["overloaded", "breaker_open", "deadline", "producer_failed", "stopping", "bug"]
"""Why an authentic request was answered 503."""

CAUSES: Final[Mapping[Cause, str]] = {
    "overloaded": "More deliveries are waiting for Kafka than this process may hold: add processes or partitions.",
    "breaker_open": "Kafka did not answer a moment ago, so it was not asked: look at the brokers.",
    "deadline": "Kafka did not acknowledge in time. The delivery may be in the topic; its repeat is harmless.",
    "producer_failed": "Kafka refused a batch and its producer was replaced: look at the error logged beside it.",
    "stopping": "This process is shutting down.",
    "bug": "Our own code failed: look at the error in the log.",
}
"""What each cause means to an operator."""


class Unavailable(Exception):
    """Not known to be published: the provider has to send it again."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(CAUSES[cause])
        self.cause: Cause = cause


class TooLarge(ValueError):
    """A delivery whose record no topic of ours takes. It never reaches Kafka."""


@dataclass(slots=True, eq=False)
class _Ticket:
    """One request: `left` of its records are neither acknowledged nor given up."""

    done: asyncio.Future[None]
    deadline: float
    left: int

    def fail(self, cause: Cause) -> None:
        if not self.done.done():
            self.done.set_exception(Unavailable(cause))


class _Waiting(NamedTuple):
    record: Record
    ticket: _Ticket

    @property
    def size(self) -> int:
        return len(self.record.value) + RECORD_OVERHEAD


@dataclass(slots=True, eq=False)
class _Queue:
    """What waits for one partition. `sender` is the session whose task empties it, None while nothing does."""

    topic: str
    number: int
    pending: deque[_Waiting] = field(default_factory=deque)
    sender: "_Session | None" = None

    def take(self) -> list[_Waiting]:
        """The next batch: all that waits, or as much of it as one produce request carries."""
        batch: list[_Waiting] = []
        room = topics.MAX_BATCH_BYTES
        while self.pending and (not batch or self.pending[0].size <= room):
            room -= self.pending[0].size
            batch.append(self.pending.popleft())
        return batch


@dataclass(slots=True, eq=False)
class _Session:
    """One producer from its start until it is thrown away."""

    producer: Producer
    partitions: Mapping[str, int]
    sent: dict[tuple[str, int], int] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Publisher:
    """Publishes deliveries to `webhooks.<provider>` and recovers from every outage by itself."""

    def __init__(
        self, settings: KafkaSettings, providers: Sequence[Provider] = PROVIDERS, *, max_sequence: int = MAX_SEQUENCE
    ) -> None:
        self._settings = settings
        self._topics: dict[Provider, str] = {p: topics.webhooks(p, settings.topic_prefix) for p in providers}
        self._max_sequence = max_sequence
        self._session: _Session | None = None
        self._queues: dict[tuple[str, int], _Queue] = {}
        self._tickets: deque[_Ticket] = deque()
        self._records = self._bytes = 0
        # Requests that may still go to Kafka: none while the breaker is open, a few while it is half open, else all.
        self._admitted: float = 0
        self._healthy = False
        self._closed: Cause = "breaker_open"
        self._rebuilding: asyncio.Task[None] | None = None
        self._rebuilt_at = float("-inf")
        self._retiring: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def open(self) -> bool:
        """Whether the breaker is open: Kafka is not asked."""
        return self._admitted == 0

    @property
    def waiting(self) -> tuple[int, int]:
        """Records, and their bytes, that are neither acknowledged nor given up."""
        return self._records, self._bytes

    @property
    def session(self) -> object:
        """The identity of the producer in use: another one after each replacement, None while there is none."""
        return self._session

    async def start(self) -> None:
        """Returns when Kafka has answered, however long that takes. Until then `publish` raises `Unavailable`."""
        self._loop = asyncio.get_running_loop()
        self._sweep()
        self._rebuild()
        assert self._rebuilding is not None
        await self._rebuilding
        self._close()

    async def stop(self) -> None:
        """Sends what waits, in bounded time, and closes every client. Whatever is left fails as `stopping`."""
        self._admitted, self._closed = 0, "stopping"
        if self._rebuilding is not None:
            self._rebuilding.cancel()
            await asyncio.wait([self._rebuilding])
        if self._session is not None:
            await self._retire(self._session)
            self._session = None
        self._fail_pending("stopping")
        if self._retiring:
            await asyncio.wait(self._retiring)
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def publish(self, deliveries: Sequence[Delivery]) -> None:
        """Returns when all of them are acknowledged by every in-sync replica.

        Raises `TooLarge` before any of them reaches Kafka; `Unavailable` when some may not have, within `DEADLINE`.
        """
        if not deliveries:
            return
        records = [(self._topics[d.provider], d.lane, _record(d)) for d in deliveries]
        self._admit(len(records), sum(len(record.value) + RECORD_OVERHEAD for _, _, record in records))
        assert self._session is not None
        ticket = _Ticket(self._loop.create_future(), self._loop.time() + DEADLINE, len(records))
        self._tickets.append(ticket)
        for topic, lane, record in records:
            queue = self._queues[topic, topics.partition(lane, self._session.partitions[topic])]
            queue.pending.append(_Waiting(record, ticket))
            self._send(queue)
        await ticket.done

    def _admit(self, records: int, size: int) -> None:
        if self._admitted <= 0:
            raise Unavailable(self._closed)
        if self._records + records > MAX_RECORDS or self._bytes + size > MAX_BYTES:
            raise Unavailable("overloaded")
        self._admitted -= 1
        self._records += records
        self._bytes += size

    def _settle(self, batch: Sequence[_Waiting], failed: Cause | None) -> None:
        """The one place where a request is told that it is published."""
        for waiting in batch:
            self._records -= 1
            self._bytes -= waiting.size
            ticket = waiting.ticket
            ticket.left -= 1
            if failed is not None:
                ticket.fail(failed)
            elif ticket.left == 0 and not ticket.done.done():
                ticket.done.set_result(None)

    def _fail_pending(self, cause: Cause) -> None:
        for queue in self._queues.values():
            batch = list(queue.pending)
            queue.pending.clear()
            self._settle(batch, cause)

    # One task per partition that has something to send.

    def _send(self, queue: _Queue) -> None:
        session = self._session
        if session is not None and queue.sender is not session:
            queue.sender = session
            task = self._loop.create_task(self._drain(queue, session))
            session.tasks.add(task)
            task.add_done_callback(session.tasks.discard)

    async def _drain(self, queue: _Queue, session: _Session) -> None:
        try:
            while queue.pending and queue.sender is session:
                await self._produce(queue, session, queue.take())
        finally:
            if queue.sender is session:
                queue.sender = None

    async def _produce(self, queue: _Queue, session: _Session, batch: list[_Waiting]) -> None:
        try:
            await session.producer.send(queue.topic, queue.number, [waiting.record for waiting in batch])
        except Exception as error:
            self._settle(batch, "producer_failed")
            self._discard(session, error)
        except BaseException:
            self._settle(batch, "stopping")
            raise
        else:
            self._settle(batch, None)
            self._acknowledged(queue, session, len(batch))

    def _acknowledged(self, queue: _Queue, session: _Session, records: int) -> None:
        if session is not self._session or self._closed == "stopping":
            return
        self._close()
        sent = session.sent.get((queue.topic, queue.number), 0) + records
        session.sent[queue.topic, queue.number] = sent
        if sent >= self._max_sequence:
            self._rebuild()

    # The breaker.

    def _open(self, why: Cause) -> None:
        if self._closed == "stopping":
            return
        if self._healthy:
            log.warning("Kafka does not take deliveries: answering 503 until it does", extra={"reason": why})
        self._healthy, self._admitted = False, 0
        PUBLISH_BREAKER.set(1)
        self._fail_pending("breaker_open")
        self._rebuild()

    def _close(self) -> None:
        if not self._healthy:
            log.info("Kafka takes deliveries")
            self._healthy, self._admitted = True, float("inf")
            PUBLISH_BREAKER.set(0)

    def _sweep(self) -> None:
        """Ends requests whose time is over. Batches are in flight longer: Kafka may still acknowledge them."""
        self._sweeper = self._loop.call_later(SWEEP, self._sweep)
        now = self._loop.time()
        while self._tickets and (self._tickets[0].left == 0 or self._tickets[0].deadline <= now):
            ticket = self._tickets.popleft()
            if ticket.left:
                ticket.fail("deadline")
                self._open("deadline")

    # Producers come and go.

    def _discard(self, session: _Session, error: Exception) -> None:
        if session is self._session:
            log.error("Kafka refused a batch: its producer is replaced", extra={"detail": f"{error!r:.200}"})
            self._session = None
            self._retire_soon(session)
            self._open("producer_failed")

    def _rebuild(self) -> None:
        if self._rebuilding is None or self._rebuilding.done():
            self._rebuilding = self._loop.create_task(self._replace())

    async def _replace(self) -> None:
        """A new session in place of the old one, tried until it starts."""
        attempts = 0
        while (session := await self._attempt(silent=attempts > 0)) is None:
            attempts += 1
        self._swap(session)

    async def _attempt(self, *, silent: bool) -> _Session | None:
        await asyncio.sleep(self._rebuilt_at + REBUILD_PAUSE - self._loop.time())
        self._rebuilt_at = self._loop.time()
        try:
            return await self._connect()
        except Exception as error:
            if not silent:
                log.warning("Kafka cannot be reached: trying on", extra={"detail": f"{error!r:.200}"})
            return None

    async def _connect(self) -> _Session:
        producer = Producer(self._settings)
        try:
            await producer.start(REBUILD_WITHIN)
            return _Session(producer, {topic: await producer.partitions(topic) for topic in self._topics.values()})
        except BaseException:
            await producer.stop()
            raise

    def _swap(self, session: _Session) -> None:
        if self._queues:
            PRODUCER_REBUILDS.labels("ingress").inc()
        old, self._session = self._session, session
        for topic, partitions in session.partitions.items():
            for number in range(partitions):
                self._queues.setdefault((topic, number), _Queue(topic, number))
        if self.open:
            self._admitted = PROBES
        if old is not None:
            self._retire_soon(old)
        for queue in self._queues.values():
            if queue.pending:
                self._send(queue)

    def _retire_soon(self, session: _Session) -> None:
        task = self._loop.create_task(self._retire(session))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retire(self, session: _Session) -> None:
        """What is in flight gets its time; then the producer is closed."""
        if session.tasks:
            await asyncio.wait(session.tasks, timeout=DEADLINE)
        for task in session.tasks:
            task.cancel()
        if session.tasks:
            await asyncio.wait(session.tasks)
        await session.producer.stop()


def _record(delivery: Delivery) -> Record:
    value, headers = encode(delivery)
    if len(value) > topics.MAX_RECORD_BYTES:
        raise TooLarge(f"a record of {len(value)} bytes; {topics.MAX_RECORD_BYTES} is the most")
    whose = delivery.account if delivery.via is None else str(delivery.via.subscription_id)
    return Record(whose.encode(), value, headers)
