"""What may go wrong on request: pushes that are late, lost, doubled or out of order; API calls that are refused or broken."""

import random
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=600)]
T = TypeVar("T")


class _Fault(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PushFaults(_Fault):
    """How pushes misbehave. The same `seed` and the same pushes give the same losses, copies and order."""

    delay: tuple[Seconds, Seconds] = (0.0, 0.0)
    """Each push waits a time from this range before its first attempt; an account's pushes keep their order."""
    drop: Fraction = 0.0
    """This part of the pushes is never sent."""
    duplicate: Fraction = 0.0
    """This part is sent twice, with one delivery id."""
    reorder: Annotated[int, Field(ge=0, le=10_000)] = 0
    """A push may be overtaken by so many later ones of its account. 0 keeps the order."""
    seed: int | None = None


ApiFaultKind = Literal[
    "rate_limited",  # 429 with error_extra.retry_after
    "server_error",  # `status`, 503 by default
    "slow",  # the answer begins after `seconds`
    "trickle",  # the body takes `seconds`
    "broken_json",  # 200 with half a body
    "no_sync_token",  # /sync answers without its sync_token
    "invalid_sync_token",  # /sync refuses every token but *
    "full_sync",  # /sync answers in full whatever the token
    "invalid_cursor",  # a list of tasks refuses every page but the first
    "malformed_item",  # the first item of a page is not what the documents promise
    "revoked",  # `status`, 401 by default
]

NARROW: Final[dict[ApiFaultKind, str]] = {
    "no_sync_token": "/api/v1/sync",
    "invalid_sync_token": "/api/v1/sync",
    "full_sync": "/api/v1/sync",
    "invalid_cursor": "/api/v1/tasks",
}
"""Faults that mean something on some paths only: calls of others do not use them up."""


class ApiFault(_Fault):
    """One way for API calls to fail: for the next `times` calls (None: until cleared), each with chance `fraction`."""

    kind: ApiFaultKind
    times: Annotated[int, Field(ge=1)] | None = None
    fraction: Fraction = 1.0
    account: str | None = None
    """Only calls of this account; None means every account's."""
    path: str = "/api/v1/"
    """Only calls whose path begins so."""
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    retry_after: Annotated[int, Field(ge=0)] = 1
    seconds: Seconds = 1.0

    @model_validator(mode="after")
    def _status_fits(self) -> "ApiFault":
        if self.kind == "revoked" and self.status not in (None, 401, 403):
            raise ValueError("a revoked token is answered with 401 or 403")
        return self


class Faults(_Fault):
    """Everything that is switched on."""

    push: PushFaults = PushFaults()
    api: tuple[ApiFault, ...] = ()


@dataclass(slots=True)
class _Armed:
    fault: ApiFault
    times: int | None


class FaultSwitch:
    """The faults in force. `draw` uses up the counted ones."""

    def __init__(self) -> None:
        self.set(Faults())

    def set(self, faults: Faults) -> None:
        self.push = faults.push
        self.dice = random.Random(faults.push.seed)
        # Apart from the pushes' dice: how often the API is called must not change which pushes are lost.
        self._api_dice = random.Random(faults.push.seed)
        self._api = [_Armed(fault, fault.times) for fault in faults.api]

    def get(self) -> Faults:
        """What is in force, with the calls that counted faults have left."""
        left = [armed.fault.model_copy(update={"times": armed.times}) for armed in self._api]
        return Faults(push=self.push, api=tuple(left))

    def draw(self, account: str | None, path: str) -> dict[ApiFaultKind, ApiFault]:
        """The faults that hit this call, one of each kind."""
        hit: dict[ApiFaultKind, ApiFault] = {}
        for armed in self._api:
            if armed.fault.kind not in hit and self._hits(armed.fault, account, path):
                hit[armed.fault.kind] = armed.fault
                armed.times = armed.times - 1 if armed.times is not None else None
        self._api = [armed for armed in self._api if armed.times != 0]
        return hit

    def _hits(self, fault: ApiFault, account: str | None, path: str) -> bool:
        return (
            fault.account in (None, account)
            and path.startswith(fault.path)
            and path.startswith(NARROW.get(fault.kind, ""))
            and self._api_dice.random() < fault.fraction
        )


class Shuffle(Generic[T]):
    """Puts things out of order within a window: it holds up to `window` of them and lets a random one go."""

    def __init__(self) -> None:
        self._held: list[T] = []

    def offer(self, thing: T, window: int, dice: random.Random) -> list[T]:
        """What may go on now that `thing` came; with window 0, everything, in order."""
        self._held.append(thing)
        if not window:
            return self._release(len(self._held), None)
        return self._release(len(self._held) - window, dice)

    def flush(self, dice: random.Random) -> list[T]:
        """Everything still held, in random order."""
        return self._release(len(self._held), dice)

    def __len__(self) -> int:
        return len(self._held)

    def _release(self, count: int, dice: random.Random | None) -> list[T]:
        return [self._held.pop(dice.randrange(len(self._held)) if dice else 0) for _ in range(count)]


def malformed(item: dict[str, Any] | None) -> dict[str, Any]:
    """An item no document promises: `item` without its content and with a number for its project, or a bare one."""
    broken = {name: value for name, value in (item or {"id": "6malformed"}).items() if name != "content"}
    return broken | {"project_id": 17, "labels": "none"}
