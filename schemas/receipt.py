"""What accepting a delivery leaves behind: its receipt, or the record set aside with the reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from schemas.delivery import Via
from schemas.outcome import AcceptOutcome, ParkReason


@dataclass(frozen=True, slots=True)
class Target:
    """A cursor that a delivery makes wanted. One external account may be connected in several tenants."""

    tenant_id: UUID
    connection_id: UUID
    cursor_id: UUID


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription of ours as accepting has to know it.

    `target` is the cursor of the resource it announces changes of, None where that is closed. `external_id` is the
    provider's name for what is watched, None as long as nobody has told us.
    """

    live: bool
    external_id: str | None
    account: str
    target: Target | None


@dataclass(frozen=True, slots=True)
class Known:
    """What accepting knows of the deliveries of a batch: the targets by account, the subscriptions by id."""

    accounts: Mapping[str, Sequence[Target]] = field(default_factory=dict)
    subscriptions: Mapping[UUID, Subscription] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """One delivery and what became of it. `offset` is its place in the partition that is being accepted.

    `via` is the subscription of ours it came through, if it did; `trace` the trace context of the request.
    """

    offset: int
    delivery_id: str
    provider: str
    event: str
    account: str
    received_at: datetime | None
    outcome: AcceptOutcome
    reason: str | None = None
    targets: Sequence[Target] = ()
    via: Via | None = None
    trace: str | None = None


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
