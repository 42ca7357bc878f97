"""Consume: records of `webhooks.*` to receipts and wanted cursors, each exactly once in effect.

Per partition and batch one transaction, fenced by the epoch that this process took the partition over with. A batch that
fails on data is halved down to the single delivery; one that fails three times is parked, and the partition goes on.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from outbox import commit, connections, offsets, parked, subscriptions
from outbox.commit import Batch
from outbox.kafka import Consumer, Partition
from outbox.lease import FenceLost
from outbox.offsets import Position
from outbox.postgres import BAD_DATA, TRANSIENT, UNAVAILABLE, Pool
from outbox.vault import Vault
from processors.handle import handle
from schemas import topics, tracing
from schemas.delivery import Delivery, Undecodable, decode
from schemas.outcome import ParkReason
from schemas.providers import PROVIDERS
from schemas.receipt import Known, Receipt, SetAside
from schemas.settings import KafkaSettings
from schemas.telemetry import CONSUMER_LAG, HANDLED

log = logging.getLogger(__name__)

T = TypeVar("T")

RECORDS: Final = 500
"""Records of all partitions in one poll."""
POLL_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 0.25
"""After so long the other partitions no longer wait for a batch: the rows it needs may be locked by somebody."""
STRAGGLER_SECONDS: Final = 0.05
STOP_SECONDS: Final = 5.0
ATTEMPTS: Final = 3
"""Failures of a single delivery after which it is parked."""
TRANSACTION_ATTEMPTS: Final = 5
ID_BYTES: Final = 200
"""What is kept of a parked delivery's id. An index entry of `receipts` holds 2,704 bytes at most."""


class Consume:
    """One member of the group that accepts deliveries."""

    def __init__(
        self, pool: Pool, vault: Vault, settings: KafkaSettings, owner: str, on_wanted: Callable[[], None]
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._owner = owner
        self._name = f"{settings.topic_prefix}lifeos.processors"
        self._on_wanted = on_wanted
        self._positions: dict[Partition, Position] = {}
        self._moved: dict[Partition, int] = {}
        self._working: dict[Partition, asyncio.Task[None]] = {}
        self._stopping = False
        names = [topics.webhooks(provider, settings.topic_prefix) for provider in PROVIDERS]
        self._consumer = Consumer(settings, self._name, names, self._claim, self._released)

    def stop(self) -> None:
        """Ends `run` after the batch that is under way."""
        self._stopping = True

    async def run(self) -> None:
        """Consumes until `stop`. Raises `FenceLost` or `AssignmentLost`: then this process has to start again."""
        await self._consumer.start()
        committing = asyncio.create_task(self._show_progress())
        try:
            while not self._stopping:
                within = STRAGGLER_SECONDS if self._working else POLL_SECONDS
                found = await self._consumer.batches(RECORDS, within, besides=self._working)
                for partition, records in found.items():
                    self._working[partition] = asyncio.create_task(self._accept(partition, records))
                await self._finished(PATIENCE_SECONDS)
            await self._finished(STOP_SECONDS)
        except UNAVAILABLE as error:
            if not self._stopping:
                raise
            detail = f"{type(error).__name__}: {error}"[:200]
            log.warning(
                "stopped while the database is away: the batch is accepted by another", extra={"detail": detail}
            )
        finally:
            for task in (committing, *self._working.values()):
                task.cancel()
            await asyncio.gather(committing, *self._working.values(), return_exceptions=True)
            await self._commit_to_group()
            await self._consumer.stop()

    async def _finished(self, within: float) -> None:
        """Waits for the batches under way; one that takes longer goes on alone, and the other partitions beside it."""
        if self._working:
            await asyncio.wait(self._working.values(), timeout=within)
        for partition, task in list(self._working.items()):
            if task.done():
                del self._working[partition]
                task.result()

    async def _claim(self, partitions: Sequence[Partition]) -> Mapping[Partition, int | None]:
        claimed = await offsets.claim(self._pool, self._name, self._owner, partitions)
        self._positions.update(claimed)
        return {partition: position.next_offset for partition, position in claimed.items()}

    def _released(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)
            self._moved.pop(partition, None)
            with suppress(KeyError):
                CONSUMER_LAG.remove(*partition)

    async def _accept(self, partition: Partition, records: Sequence[Any]) -> None:
        """Accepts what is new to us; a record below the position was handled before a rebalance."""
        position = self._positions.get(partition)
        if position is None:
            return
        fresh = [r for r in records if position.next_offset is None or r.offset >= position.next_offset]
        try:
            if fresh:
                await self._accept_or_split(position, fresh)
                self._moved[partition] = fresh[-1].offset + 1
        except FenceLost as lost:
            if self._positions.get(partition) is position:
                raise
            # Kafka has given the partition to another member meanwhile, who handles these records.
            log.info(
                "batch was fenced out", extra={"topic": partition[0], "partition": partition[1], "detail": str(lost)}
            )

    async def _accept_or_split(self, position: Position, records: Sequence[Any]) -> None:
        """Accepts all of them, in the end. What holds up a batch may not hold up each of its halves."""
        while True:
            try:
                await self._accept_batch(position, records)
                return
            except HeldUp as held_up:
                log.warning("batch is held up", extra=_named(position, records[0], detail=str(held_up)[:200]))
                if len(records) > 1:
                    await self._accept_halves(position, records)
                    return

    async def _accept_halves(self, position: Position, records: Sequence[Any]) -> None:
        half = len(records) // 2
        await self._accept_or_split(position, records[:half])
        await self._accept_or_split(position, records[half:])

    async def _accept_batch(self, position: Position, records: Sequence[Any]) -> None:
        try:
            await self._commit(position, await self._batch(position, records))
        except BadBatch as bad:
            if len(records) > 1:
                await self._accept_halves(position, records)
            else:
                await self._try_again_or_park(position, records[0], bad)

    async def _try_again_or_park(self, position: Position, record: Any, bad: "BadBatch") -> None:
        attempts = await self._patiently(lambda: parked.failed(self._pool, position, record.offset, str(bad)))
        log.warning("delivery failed", extra=_named(position, record, attempt=attempts, detail=str(bad)[:200]))
        if attempts < ATTEMPTS:
            await self._accept_or_split(position, [record])
        else:
            await self._commit(position, _set_aside(position, record, "bug", str(bad)))

    async def _batch(self, position: Position, records: Sequence[Any]) -> Batch:
        """What the records mean. Raises `BadBatch` when our own code fails on one of them."""
        said = [(record, _read(record)) for record in records]
        known = await self._known(topics.provider(position.topic), [d for _, d in said if isinstance(d, Delivery)])
        try:
            return _batch(position, said, known)
        except Exception as error:
            raise BadBatch(f"{type(error).__name__}: {error}") from error

    async def _known(self, provider: str, said: Sequence[Delivery]) -> Known:
        accounts = {delivery.account for delivery in said if delivery.via is None}
        ids = {delivery.via.subscription_id for delivery in said if delivery.via is not None}
        return Known(
            await self._patiently(lambda: connections.targets(self._pool, provider, accounts)) if accounts else {},
            await self._patiently(lambda: subscriptions.known(self._pool, provider, ids)) if ids else {},
        )

    async def _commit(self, position: Position, batch: Batch) -> None:
        """Commits once, whatever happens to the connection: after an unknown COMMIT it looks, and does not repeat blindly."""
        unsure = False

        async def attempt() -> bool:
            nonlocal unsure
            if unsure and await offsets.happened(self._pool, position, batch.next_offset):
                position.next_offset = batch.next_offset
                return True
            unsure = True
            return await commit.accept(self._pool, self._vault, position, batch)

        with tracing.Spans("accept") as spans:
            for receipt in batch.receipts:
                spans.begin(receipt.trace, delivery_id=receipt.delivery_id, outcome=receipt.outcome)
            wanted = await self._patiently(attempt)
        if wanted:
            self._on_wanted()
        for receipt in batch.receipts:
            HANDLED.labels(receipt.provider, receipt.outcome).inc()

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Does it when the database can. Raises `BadBatch` for what some row is to blame for, and what nothing explains."""
        transient = 0
        while True:
            try:
                return await work()
            except BAD_DATA as error:
                raise BadBatch(f"{type(error).__name__}: {error}") from error
            except TRANSIENT as error:
                transient += 1
                if transient == TRANSACTION_ATTEMPTS:
                    raise HeldUp(f"{type(error).__name__}: {error}") from error
                await asyncio.sleep(random.uniform(0.01, 0.1) * transient)
            except UNAVAILABLE as error:
                if self._stopping:
                    raise
                log.warning("database is away", extra={"detail": f"{type(error).__name__}: {error}"[:200]})
                await asyncio.sleep(random.uniform(0.1, 0.5))

    async def _show_progress(self) -> None:
        """Commits offsets to the group for lag tools, and measures the lag, once a second."""
        while True:
            await asyncio.sleep(1)
            await self._commit_to_group()
            for partition, end in (await self._consumer.ends()).items():
                if position := self._positions.get(partition):
                    CONSUMER_LAG.labels(*partition).set(max(0, end - (position.next_offset or 0)))

    async def _commit_to_group(self) -> None:
        moved, self._moved = self._moved, {}
        await self._consumer.commit(moved)


class BadBatch(Exception):
    """Some record of a batch is to blame. The text says what went wrong."""


class HeldUp(Exception):
    """The database was too slow, or somebody's lock in the way, five times over. No record is to blame."""


def _named(position: Position, record: Any, **more: object) -> dict[str, object]:
    return {"topic": position.topic, "partition": position.partition, "offset": record.offset, **more}


def _read(record: Any) -> Delivery | Undecodable:
    try:
        return decode(record.value, record.headers)
    except Undecodable as error:
        return error


def _batch(
    position: Position,
    said: Sequence[tuple[Any, Delivery | Undecodable]],
    known: Known,
) -> Batch:
    receipts: list[Receipt] = []
    aside: list[SetAside] = []
    for record, delivery in said:
        if isinstance(delivery, Delivery):
            receipts.append(handle(delivery, record.offset, known))
        else:
            parked_one = _set_aside(position, record, "undecodable", str(delivery))
            receipts += parked_one.receipts
            aside += parked_one.aside
    return Batch(receipts, aside, said[-1][0].offset + 1)


def _set_aside(position: Position, record: Any, reason: ParkReason, detail: str) -> Batch:
    """The batch of one record that is parked: its receipt says so, its bytes are kept."""
    provider = topics.provider(position.topic)
    source = f"{position.topic}/{position.partition}/{record.offset}"
    receipt = Receipt(record.offset, _id(record), provider, "unknown", "", None, "parked", reason)
    return Batch([receipt], [SetAside(provider, reason, detail, source, record.value or b"")], record.offset + 1)


def _id(record: Any) -> str:
    """The delivery id that the record's headers name, cut to what can be stored; its place where they name none.

    Total: a header may lack its value, and what is parked because of its id must not fail again because of it.
    """
    named = dict(record.headers).get("ce_id") or b""
    return named[:ID_BYTES].decode("ascii", "replace").replace("\0", "") or f"offset-{record.offset}"
