"""The topics, their sizes and how long they keep what they hold."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from schemas.providers import KINDS, PROVIDERS

PARTITIONS: Final = 6
"""Partitions of a new topic. Few keep batches full; the number of an existing topic is never changed."""

MAX_BATCH_BYTES: Final = 1 << 20
"""Largest producer batch. The broker's `max.message.bytes` limits the batch, not the record."""

MAX_MESSAGE_BYTES: Final = 2 << 20
"""`max.message.bytes` of every topic: room for one record that is larger than a batch wants to be."""

MAX_RECORD_BYTES: Final = MAX_MESSAGE_BYTES - (64 << 10)
"""Largest value of one record, with room left for its key, headers and the batch's own head."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as `lifeos migrate` creates it."""

    name: str
    partitions: int
    retention: timedelta

    def config(self) -> dict[str, str]:
        return {
            "retention.ms": str(int(self.retention.total_seconds() * 1000)),
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
            "message.timestamp.type": "LogAppendTime",
            "cleanup.policy": "delete",
        }


def webhooks(provider: str, prefix: str = "") -> str:
    """The topic of what a provider said."""
    return f"{prefix}webhooks.{provider}"


def provider(topic: str) -> str:
    """Whose word a topic of `webhooks` holds."""
    return topic.rpartition("webhooks.")[2]


def changes(kind: str, prefix: str = "") -> str:
    """The topic of what is now true of a kind of item."""
    return f"{prefix}changes.{kind}"


def every(prefix: str = "") -> tuple[Topic, ...]:
    """All topics of this version. Retention: webhooks 7 days, changes 14 (the ladder is `outbox.retention`)."""
    return (
        *(Topic(webhooks(p, prefix), PARTITIONS, timedelta(days=7)) for p in PROVIDERS),
        *(Topic(changes(k, prefix), PARTITIONS, timedelta(days=14)) for k in KINDS),
    )


def partition(lane: int, partitions: int) -> int:
    """Where a lane lives in a topic of `partitions` partitions."""
    return lane % partitions
