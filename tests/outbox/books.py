"""The books of the order tests: what was committed, what stands in the topics, and what is wrong between the two.

The books are kept by the writers and by a consumer. Of the product they ask only which lane and number a row was given.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import UUID

from outbox.kafka import Reader
from outbox.postgres import Pool
from schemas import topics
from schemas.change import Change
from schemas.providers import KINDS, Kind
from schemas.settings import KafkaSettings

Version = tuple[UUID, int]
"""An item and one of its versions."""


class Seen(NamedTuple):
    """One record of a topic, as a consumer of it sees it."""

    topic: str
    partition: int
    offset: int
    version: Version
    previous: int | None
    content: bytes


@dataclass
class Books:
    """What the writers committed, each version with the one that it follows. Filled only after COMMIT was answered."""

    committed: dict[Version, int | None] = field(default_factory=dict)

    def enter(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self.committed[(change.item_id, change.version)] = change.prev_version


@dataclass(frozen=True)
class Verdict:
    """How the topics differ from the books, counted. `repeats` are allowed; everything below them is not."""

    rows: int
    records: int
    repeats: int
    missed: int
    phantoms: int
    inverted: int
    disordered: int
    gaps: int
    altered: int

    @property
    def flawless(self) -> bool:
        return not (self.missed or self.phantoms or self.inverted or self.disordered or self.gaps or self.altered)


async def consume(settings: KafkaSettings, kinds: Iterable[Kind] = KINDS) -> list[Seen]:
    """Every record that stands in the change topics now, each partition in its order."""
    seen: list[Seen] = []
    for kind in kinds:
        async with Reader(settings, topics.changes(kind, settings.topic_prefix), from_beginning=True) as reader:
            ends = {partition: end for partition, end in (await reader.ends()).items() if end}
            while ends:
                for record in await reader.read(1.0):
                    seen.append(_seen(record))
                    if record.offset + 1 >= ends.get((record.topic, record.partition), 0):
                        ends.pop((record.topic, record.partition), None)
    return seen


def _seen(record: Any) -> Seen:
    headers = dict(record.headers)
    item, version = UUID(headers["ce_subject"].decode()), int(headers["ce_itemversion"])
    assert record.key == headers["ce_subject"]
    assert headers["ce_id"].decode() == f"{item}.{version}"
    previous = int(headers["ce_prevversion"]) if "ce_prevversion" in headers else None
    content = blake2b(repr((record.key, sorted(record.headers), record.value)).encode(), digest_size=16).digest()
    return Seen(record.topic, record.partition, record.offset, (item, version), previous, content)


async def numbered(pool: Pool) -> dict[Version, tuple[int, int]]:
    """The lane and number that each committed version was given."""
    rows = await pool.fetch("select item_id, version, lane, seq from outbox")
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}


def audit(books: Books, seen: Sequence[Seen], numbers: dict[Version, tuple[int, int]]) -> Verdict:
    """Compares. Order and chains are judged on first occurrences; repeats have to be identical to theirs."""
    first: dict[Version, Seen] = {}
    altered = 0
    for record in seen:
        altered += first.setdefault(record.version, record).content != record.content
    firsts = [record for record in first.values() if record.version in books.committed]
    return Verdict(
        rows=len(books.committed),
        records=len(seen),
        repeats=len(seen) - len(first),
        missed=len(books.committed.keys() - first.keys()),
        phantoms=len(first.keys() - books.committed.keys()),
        inverted=_steps_back((record.version[0], record.version[1]) for record in firsts),
        disordered=_steps_back(((r.topic, numbers[r.version][0]), numbers[r.version][1]) for r in firsts),
        gaps=_gaps(firsts),
        altered=altered,
    )


def _steps_back(numbers: Iterable[tuple[object, int]]) -> int:
    """How often a number is not above all that came before it under the same key."""
    highest: dict[object, int] = defaultdict(int)
    back = 0
    for key, number in numbers:
        back += number <= highest[key]
        highest[key] = max(highest[key], number)
    return back


def _gaps(firsts: Iterable[Seen]) -> int:
    """How often the chain of `prevversion` does not lead to the occurrence before."""
    at: dict[UUID, int] = {}
    gaps = 0
    for record in firsts:
        item, version = record.version
        gaps += record.previous != at.get(item)
        at[item] = version
    return gaps
