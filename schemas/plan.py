"""What a page of a provider's changes means for what we hold: values in (`Observed`, `Mapping`), values out (`Plan`)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from schemas.change import Change, FoundBy
from schemas.providers import Kind, Provider


@dataclass(frozen=True, slots=True)
class Observed:
    """One item as the provider shows it now. `snapshot` is None when the provider says that it is deleted.

    `part_of` is the item without which this one cannot be, such as the series of an exception: deleted with it.
    `only_within`: it says something about that item and nothing by itself, such as an occurrence that does not take place.
    """

    kind: Kind
    external_id: str
    item_id: UUID
    snapshot: dict[str, Any] | None
    part_of: UUID | None = None
    only_within: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """One item of a page that its provider's documents do not allow. It is parked; the rest of the page goes on.

    `item_id` is known where its id could be read: the item was seen, so no sweep may take it for deleted.
    """

    kind: str
    external_id: str | None
    detail: str
    raw: bytes
    item_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of changes since a cursor, in the provider's own words already derived into items.

    `position` is where the next fetch goes on, and may be stored only once everything before it is. `more`: fetch again
    at once. `full`: this page is part of a full read, after whose last page what was not seen is gone. `continues`: it is
    not the first page of that read, which went on from a position stored before.
    """

    observed: Sequence[Observed]
    rejected: Sequence[Rejected]
    position: str
    more: bool
    full: bool
    continues: bool = False


@dataclass(frozen=True, slots=True)
class Mapping:
    """The last agreed state of an item. A deleted item keeps its last snapshot and its version."""

    item_id: UUID
    kind: Kind
    external_id: str
    version: int
    snapshot: dict[str, Any]
    deleted: bool
    part_of: UUID | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """The run that found it: whose, how and when. Everything a change needs beside the item itself.

    `wanted` is the cursor's counter when it began, `trace` the trace context of what it was begun for.
    """

    run_id: UUID
    tenant_id: UUID
    profile_id: UUID
    connection_id: UUID
    provider: Provider
    account: str
    lane: int
    resource: str
    found_by: FoundBy
    causation_id: str
    wanted: int = 0
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be written: new states of mappings, in the order of their changes. Empty when nothing differs.

    `opened` are resources that exist from now on and are read by cursors of their own, `closed` those that exist no more.
    """

    mappings: Sequence[Mapping] = field(default=())
    changes: Sequence[Change] = field(default=())
    opened: Sequence[str] = field(default=())
    closed: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True)
class Clock:
    """The database's clock, read under the locks of the rows it will version."""

    now: datetime

    @property
    def microseconds(self) -> int:
        """Microseconds since the epoch, exactly."""
        seconds = int(self.now.timestamp())
        return seconds * 1_000_000 + self.now.microsecond
