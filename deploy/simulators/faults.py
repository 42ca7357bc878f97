"""What may go wrong on request: pushes that are late, lost, doubled or out of order; API calls that are refused or broken.

Which ways for calls to fail exist is each provider's own: see its `faults`.
"""

import random
from dataclasses import dataclass
from typing import Annotated, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=600)]
T = TypeVar("T")


class Fault(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PushFaults(Fault):
    """How pushes misbehave. The same `seed` and the same pushes give the same losses, copies and order."""

    delay: tuple[Seconds, Seconds] = (0.0, 0.0)
    """Each push waits a time from this range before its first attempt; pushes that have an order keep it."""
    drop: Fraction = 0.0
    """This part of the pushes is never sent."""
    duplicate: Fraction = 0.0
    """This part is sent twice, both alike."""
    reorder: Annotated[int, Field(ge=0, le=10_000)] = 0
    """A push may be overtaken by so many later ones. 0 keeps the order."""
    seed: int | None = None


class CallFault(Fault):
    """One way for API calls to fail: for the next `times` calls (None: until cleared), each with chance `fraction`."""

    narrow: ClassVar[dict[str, str]] = {}
    """Kinds that mean something on some paths only, by how those begin: calls of others do not use them up."""

    kind: str
    times: Annotated[int, Field(ge=1)] | None = None
    fraction: Fraction = 1.0
    account: str | None = None
    """Only calls of this account; None means every account's."""
    path: str = "/"
    """Only calls whose path begins so."""
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    seconds: Seconds = 1.0


A = TypeVar("A", bound=CallFault)


class AllFaults(Fault, Generic[A]):
    """Everything that is switched on."""

    push: PushFaults = PushFaults()
    api: tuple[A, ...] = ()


@dataclass(slots=True)
class _Armed(Generic[A]):
    fault: A
    times: int | None


class FaultSwitch(Generic[A]):
    """The faults in force. `draw` uses up the counted ones."""

    def __init__(self, none: AllFaults[A]) -> None:
        """`none` is a provider's faults with nothing switched on."""
        self.none = none
        self.set(none)

    def set(self, faults: AllFaults[A]) -> None:
        self.push = faults.push
        self.dice = random.Random(faults.push.seed)
        # Apart from the pushes' dice: how often the API is called must not change which pushes are lost.
        self._api_dice = random.Random(faults.push.seed)
        self._api = [_Armed(fault, fault.times) for fault in faults.api]

    def get(self) -> AllFaults[A]:
        """What is in force, with the calls that counted faults have left."""
        left = tuple(armed.fault.model_copy(update={"times": armed.times}) for armed in self._api)
        return self.none.model_copy(update={"push": self.push, "api": left})

    def draw(self, account: str | None, path: str) -> dict[str, A]:
        """The faults that hit this call, one of each kind."""
        hit: dict[str, A] = {}
        for armed in self._api:
            if armed.fault.kind not in hit and self._hits(armed.fault, account, path):
                hit[armed.fault.kind] = armed.fault
                armed.times = armed.times - 1 if armed.times is not None else None
        self._api = [armed for armed in self._api if armed.times != 0]
        return hit

    def _hits(self, fault: A, account: str | None, path: str) -> bool:
        return (
            fault.account in (None, account)
            and path.startswith(fault.path)
            and path.startswith(fault.narrow.get(fault.kind, ""))
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
