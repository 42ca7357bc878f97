"""A change: one version of one item, as it travels on `changes.<kind>`.

CloudEvents 1.0 in Kafka binary mode. The headers are made once, when the change is committed, and stored with it, so
that every repeat of a change is identical to its first occurrence. `value` and `attributes` make what is sent; `Value`
and `Attributes` say the same to those who read it: the published schemas come from them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from schemas.identity import change_id
from schemas.item import Collection, Event, Sync, Task, _Item
from schemas.providers import Kind, Provider

FoundBy = Literal["push", "poll", "full"]
"""How a change was found: announced by the provider, seen by the safety poll, or by a full read."""

Action = Literal["created", "updated", "deleted"]


@dataclass(frozen=True, slots=True)
class Change:
    """One version of one item. `prev_version` is None for the first; the chain of them proves that there is no gap.

    `trace` is the W3C `traceparent` of what led to it, None where nothing was traced.
    """

    tenant_id: UUID
    connection_id: UUID
    provider: Provider
    lane: int
    kind: Kind
    item_id: UUID
    external_id: str
    version: int
    prev_version: int | None
    action: Action
    item: dict[str, Any]
    changed: tuple[str, ...]
    found_by: FoundBy
    run_id: UUID
    causation_id: str
    recorded_at: datetime
    trace: str | None = None


def value(change: Change) -> bytes:
    """The record's JSON value: the whole item and the names of the fields that changed."""
    return orjson.dumps(
        {
            "itemId": str(change.item_id),
            "externalId": change.external_id,
            "version": change.version,
            "action": change.action,
            "changed": change.changed,
            "item": change.item,
        }
    )


def attributes(change: Change) -> dict[str, str]:
    """The CloudEvents attributes and extensions of the record, by header name.

    `itemversion` is a string of digits: microseconds do not fit the 32-bit Integer of CloudEvents.
    """
    recorded = change.recorded_at.isoformat()
    headers = {
        "ce_specversion": "1.0",
        "ce_id": change_id(change.item_id, change.version),
        "ce_source": f"/integrations/{change.provider}/{change.connection_id}",
        "ce_type": f"lifeos.{change.kind}.{'deleted' if change.action == 'deleted' else 'changed'}.v1",
        "ce_subject": str(change.item_id),
        "ce_time": recorded,
        "ce_tenantid": str(change.tenant_id),
        "ce_connectionid": str(change.connection_id),
        "ce_itemversion": str(change.version),
        "ce_foundby": change.found_by,
        "ce_causationid": change.causation_id,
        "ce_recordedtime": recorded,
        "content-type": "application/json",
    }
    if change.prev_version is not None:
        headers["ce_prevversion"] = str(change.prev_version)
    if change.trace is not None:
        headers["ce_traceparent"] = change.trace
    return headers


Digits = Annotated[str, Field(pattern=r"^[1-9][0-9]*$")]
"""A number as text: a version does not fit the 32-bit Integer of CloudEvents."""
TraceParent = Annotated[str, Field(pattern=r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")]
"""https://www.w3.org/TR/trace-context/#traceparent-header"""
ItemT = TypeVar("ItemT", bound=_Item)


class Value(BaseModel, Generic[ItemT]):
    """One version of one item. Keep the highest version of each item; records may be repeated at any time."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    item_id: UUID = Field(description="The item. The same when its account is connected again; the record's key.")
    external_id: str = Field(min_length=1, description="The provider's id, with what holds it where it needs that.")
    version: int = Field(ge=1, description="Never goes back, not even when the database fails over. Gaps mean nothing.")
    action: Action = Field(description="A deleted item may be created again, on the same chain of versions.")
    changed: list[str] = Field(
        description="Sorted names of the item's own fields that differ from the version before; empty when deleted."
    )
    item: ItemT = Field(description="The whole item as it now is; of a deleted one, its last state.")


class Attributes(BaseModel):
    """The record's headers: CloudEvents 1.0 in Kafka's binary mode, and this hop's trace. All are text in UTF-8."""

    model_config = ConfigDict(
        alias_generator=lambda name: f"ce_{name}", populate_by_name=True, extra="forbid", frozen=True
    )

    specversion: Literal["1.0"]
    id: str = Field(
        pattern=r"^[0-9a-f-]{36}\.[1-9][0-9]*$", description="`<item id>.<version>`: equal ids are repeats."
    )
    source: str = Field(
        pattern=r"^/integrations/[a-z]+/[0-9a-f-]{36}$", description="`/integrations/<provider>/<connection id>`"
    )
    type: str = Field(
        pattern=r"^lifeos\.[a-z]+(-[a-z]+)*\.(changed|deleted)\.v1$", description="`lifeos.<kind>.<what>.v1`"
    )
    subject: UUID = Field(description="The item id, as in the key.")
    time: datetime = Field(description="When it was committed, by the database's clock, in UTC.")
    tenantid: UUID = Field(description="Whose workspace.")
    connectionid: UUID = Field(description="Which connected account.")
    itemversion: Digits = Field(description="The version, in digits.")
    prevversion: Digits | None = Field(default=None, description="The version before; absent from an item's first.")
    foundby: FoundBy = Field(
        description="How it was found: announced by the provider, by the safety poll, or by a full read."
    )
    causationid: str = Field(min_length=1, description="The delivery that led to it; without one, the run.")
    recordedtime: datetime = Field(description="As `ce_time`.")
    traceparent: TraceParent | None = Field(
        default=None, description="W3C trace context of what led to the change, where that was traced."
    )
    content_type: Literal["application/json"] = Field(alias="content-type")
    hop: TraceParent | None = Field(
        default=None,
        alias="traceparent",
        description="W3C trace context of this record's sending, where that was traced; another in a repeat.",
    )


VALUES: Final[dict[Kind, type[Value[Any]]]] = {
    "calendar-event": Value[Event],
    "task": Value[Task],
    "collection": Value[Collection],
    "sync": Value[Sync],
}
"""What the value is on the topic of each kind."""
