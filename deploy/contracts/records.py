"""The examples: records that a running system sent, one for each thing that may be said of an item."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson

from outbox.kafka import Reader
from schemas import topics
from schemas.change import VALUES
from schemas.settings import KafkaSettings

SECONDS = 60.0
"""So long a topic may take to be read to its end."""


class Record(Protocol):
    """What a Kafka client hands out."""

    @property
    def key(self) -> Any: ...
    @property
    def headers(self) -> Any: ...
    @property
    def value(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Example:
    """One record as a person reads it. `name` says what it is an example of, and is that of its file."""

    name: str
    headers: dict[str, str]
    key: str
    value: dict[str, Any]


def read(directory: Path) -> list[Example]:
    """The examples of a directory, by name."""
    return [_of_file(path) for path in sorted(directory.glob("*.json"))]


def _of_file(path: Path) -> Example:
    return Example(name=path.stem, **orjson.loads(path.read_bytes()))


async def record(settings: KafkaSettings, directory: Path) -> list[str]:
    """Writes an example of everything that the topics hold now; what they do not hold stays. Returns the names."""
    found: dict[str, Example] = {}
    for kind in VALUES:
        for one in map(example, await _all(settings, topics.changes(kind, settings.topic_prefix))):
            if one.name not in found or _tells_more(one, found[one.name]):
                found[one.name] = one
    _write(directory, found.values())
    return sorted(found)


def _write(directory: Path, examples: Iterable[Example]) -> None:
    directory.mkdir(exist_ok=True)
    for one in examples:
        body = {name: part for name, part in asdict(one).items() if name != "name"}
        (directory / f"{one.name}.json").write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n")


def example(sent: Record) -> Example:
    """A record, named for what it says: `task.updated`, `collection.project.created`, `calendar-event.series.deleted`."""
    headers = {name: text.decode() for name, text in sent.headers}
    body = orjson.loads(sent.value)
    kind = headers["ce_type"].split(".")[1]
    name = ".".join([kind, *_sort(body["item"]), body["action"]])
    return Example(name, headers, sent.key.decode(), body)


def _sort(item: dict[str, Any]) -> Iterator[str]:
    match item["@type"]:
        case "Collection":
            yield item["role"]
        case "Sync":
            yield item["status"]
        case "Event":
            yield _event(item)


def _event(item: dict[str, Any]) -> str:
    if "recurrenceId" in item:
        return "excluded" if item.get("excluded") else "exception"
    return "series" if "recurrenceRules" in item or "google.com:recurrence" in item else "single"


def _tells_more(one: Example, other: Example) -> bool:
    return len(one.value["item"]) > len(other.value["item"])


async def _all(settings: KafkaSettings, topic: str) -> Iterable[Record]:
    """Everything that a topic holds now."""
    records: list[Any] = []
    async with Reader(settings, topic, from_beginning=True) as reader, asyncio.timeout(SECONDS):
        ends = {partition: end for partition, end in (await reader.ends()).items() if end}
        while ends:
            for one in await reader.read(0.2):
                records.append(one)
                if one.offset + 1 >= ends.get((one.topic, one.partition), 0):
                    ends.pop((one.topic, one.partition), None)
    return records
