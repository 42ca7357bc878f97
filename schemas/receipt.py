"""What accepting a delivery leaves behind: its receipt, or the record set aside with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from schemas.outcome import AcceptOutcome, ParkReason


@dataclass(frozen=True, slots=True)
class Target:
    """A cursor that a delivery makes wanted. One external account may be connected in several tenants."""

    tenant_id: UUID
    connection_id: UUID
    cursor_id: UUID


@dataclass(frozen=True, slots=True)
class Receipt:
    """One delivery and what became of it. `offset` is its place in the partition that is being accepted."""

    offset: int
    delivery_id: str
    provider: str
    event: str
    account: str
    received_at: datetime | None
    outcome: AcceptOutcome
    reason: str | None = None
    targets: Sequence[Target] = ()


@dataclass(frozen=True, slots=True)
class SetAside:
    """Something that could not be handled as it is: why, where it came from, and its bytes."""

    provider: str
    reason: ParkReason
    detail: str
    source: str
    plain: bytes
    tenant_id: UUID | None = None
    connection_id: UUID | None = None
