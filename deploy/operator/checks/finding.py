"""What a check is given, and what it says."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from outbox.postgres import Pool
from schemas import topics
from schemas.providers import PROVIDERS
from schemas.settings import DatabaseSettings, KafkaSettings

Status = Literal["ok", "warn", "bad", "unknown"]
"""`unknown`: what it asks does not answer or is not there, which a check of its own says."""

STILL: Final = 3.0
"""Seconds within which what is behind has to have moved, and a lane or partition to have found somebody."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check says, and what to do next where it is not well."""

    status: Status
    said: str
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Ward:
    """What is looked at. A check gets one that has what it needs."""

    variables: Mapping[str, str]
    kafka_settings: KafkaSettings | None
    database_settings: DatabaseSettings | None
    opened: "Pool | None"

    @property
    def kafka(self) -> KafkaSettings:
        assert self.kafka_settings is not None
        return self.kafka_settings

    @property
    def database(self) -> DatabaseSettings:
        assert self.database_settings is not None
        return self.database_settings

    @property
    def pool(self) -> "Pool":
        assert self.opened is not None
        return self.opened

    @property
    def group(self) -> str:
        """The consumer group of `lifeos processors`."""
        return f"{self.kafka.topic_prefix}lifeos.processors"

    @property
    def webhooks(self) -> list[str]:
        return [topics.webhooks(provider, self.kafka.topic_prefix) for provider in PROVIDERS]


def ok(said: str) -> Finding:
    return Finding("ok", said)


def warn(said: str, next_: str) -> Finding:
    return Finding("warn", said, next_)


def bad(said: str, next_: str) -> Finding:
    return Finding("bad", said, next_)


def some(things: Iterable[object], most: int = 3) -> str:
    """The first few of many, and how many more there are."""
    every = [str(thing) for thing in things]
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
