"""A change: one version of one item, as it travels on `changes.<kind>`.

CloudEvents 1.0 in Kafka binary mode. The headers are made once, when the change is committed, and stored with it, so
that every repeat of a change is identical to its first occurrence.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import orjson

from schemas.identity import change_id
from schemas.providers import Kind, Provider

FoundBy = Literal["push", "poll", "full"]
"""How a change was found: announced by the provider, seen by the safety poll, or by a full read."""

Action = Literal["created", "updated", "deleted"]


@dataclass(frozen=True, slots=True)
class Change:
    """One version of one item. `prev_version` is None for the first; the chain of them proves that there is no gap."""

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
    return headers
