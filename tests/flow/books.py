"""A subscriber's books: what it read from `changes.*`, and what that proves. It knows the published contract, nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer

from schemas.providers import KINDS
from schemas.topics import changes


@dataclass(slots=True)
class Item:
    """One item as its changes tell it."""

    kind: str
    connection: str
    found_by: str
    version: int
    deleted: bool
    external_id: str
    value: dict[str, Any]


@dataclass(slots=True)
class Subscriber:
    """Takes records in topic order. Keeps the highest version of each item and notes every breach of the contract."""

    items: dict[str, Item] = field(default_factory=dict)
    seen: dict[str, bytes] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=dict)
    firsts: int = 0
    repeats: int = 0
    breaches: list[str] = field(default_factory=list)

    def take(self, record: Any) -> None:
        headers = {name: value.decode() for name, value in record.headers}
        body = orjson.loads(record.value)
        id_, version = headers["ce_id"], int(headers["ce_itemversion"])
        content = orjson.dumps([sorted(headers.items()), body])
        if id_ in self.seen:
            self.repeats += 1
            self._hold(self.seen[id_] == content, f"{id_}: a repeat differs from its first occurrence")
            return
        self.seen[id_] = content
        self.firsts += 1
        before = self.items.get(body["itemId"])
        self._hold(record.key.decode() == headers["ce_subject"] == body["itemId"], f"{id_}: key, subject, item differ")
        self._hold(before is None or before.version < version, f"{id_}: after version {before and before.version}")
        previous = headers.get("ce_prevversion")
        expected = None if before is None else str(before.version)
        self._hold(previous == expected, f"{id_}: prevversion {previous}, but {expected} came before it")
        # An account has one lane, and so its changes have one order, in all topics the same partition's.
        partition = self.partitions.setdefault(headers["ce_connectionid"], record.partition)
        self._hold(record.partition == partition, f"{id_}: in partition {record.partition}, others in {partition}")
        _, kind, ending, _ = headers["ce_type"].split(".")
        self.items[body["itemId"]] = Item(
            kind,
            headers["ce_connectionid"],
            headers["ce_foundby"],
            version,
            ending == "deleted",
            body["externalId"],
            body["item"],
        )

    def living(self, kind: str, connection: object = None) -> dict[str, dict[str, Any]]:
        """The items of a kind that are not deleted, by external id; of one connection, or of all."""
        items = (item for item in self.items.values() if connection is None or item.connection == str(connection))
        return {item.external_id: item.value for item in items if item.kind == kind and not item.deleted}

    def _hold(self, true: bool, breach: str) -> None:
        if not true:
            self.breaches.append(breach)


async def read_all(bootstrap: str, topics: Iterable[str]) -> list[Any]:
    """Everything that topics hold now, each partition in its order."""
    consumer = AIOKafkaConsumer(*topics, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        records: list[Any] = []
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for some in (await consumer.getmany(timeout_ms=500)).values():
                records += some
        return records
    finally:
        await consumer.stop()


async def subscribe(bootstrap: str, prefix: str) -> Subscriber:
    """A subscriber that has read every change topic to its present end."""
    subscriber = Subscriber()
    for record in await read_all(bootstrap, [changes(kind, prefix) for kind in KINDS]):
        subscriber.take(record)
    return subscriber
