"""Webhooks on their way: in order where a provider keeps one, sent again as it would, misbehaving on request."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from deploy.simulators.faults import FaultSwitch, Shuffle
from deploy.simulators.posts import Unanswered

REORDER_HOLD: Final = 0.2
"""Seconds after which pushes held for reordering go on although no later one came."""


@dataclass(slots=True, kw_only=True)
class Push:
    """One delivery and what became of it: an entry of the books. `attempts` has a status each, or why there is none."""

    order: str
    """Pushes of one order go out one after another; orders do not wait for each other."""
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    accepting: frozenset[int]
    """The statuses that the provider takes for a success."""
    storm: bool = False
    dropped: bool = False
    duplicate: bool = False
    attempts: list[int | str] = field(default_factory=list)
    copies: int = 1
    """How many sendings have not ended yet. Headers and body are let go with the last."""

    @property
    def accepted(self) -> bool:
        return not self.accepting.isdisjoint(self.attempts)

    def entry(self) -> dict[str, Any]:
        """What the books tell of it."""
        return {
            "storm": self.storm,
            "dropped": self.dropped,
            "duplicate": self.duplicate,
            "attempts": self.attempts,
            "accepted": self.accepted,
        }

    def let_go(self) -> None:
        self.headers, self.body = {}, b""


P = TypeVar("P", bound=Push)


class Sender(Generic[P]):
    """Sends pushes. Those of one order go out one after another, so they arrive in order; a redelivery waits apart."""

    def __init__(
        self,
        post: Callable[[P], Awaitable[int]],
        pause: Callable[[int | str, int], float | None],
        faults: FaultSwitch[Any],
        *,
        capacity: int = 50_000,
    ) -> None:
        """`post` sends one and returns the status, or raises `Unanswered`. `pause` tells from what came of an attempt
        (its status, or why there is none) and from the attempts made for how many seconds to wait before the next; None
        gives up."""
        self._post = post
        self._pause = pause
        self._faults = faults
        self._capacity = capacity
        self._lanes: dict[str, _Lane[P]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pending = 0
        self._moved = asyncio.Condition()

    @property
    def pending(self) -> int:
        """Pushes that are neither accepted nor given up."""
        return self._pending

    def announce(self, push: P) -> None:
        """Take a push over. What the faults do to it is decided here, so that a seed decides it alike every time."""
        faults, dice = self._faults.push, self._faults.dice
        push.dropped = dice.random() < faults.drop
        push.duplicate = dice.random() < faults.duplicate
        if push.dropped:
            push.let_go()
            return
        due = asyncio.get_running_loop().time() + dice.uniform(*faults.delay)
        lane = self._lanes.setdefault(push.order, _Lane())
        push.copies = 1 + push.duplicate
        self._pending += push.copies
        for _ in range(push.copies):
            lane.ready.extend(lane.shuffle.offer((due, push), faults.reorder, dice))
        if not lane.busy:
            lane.busy = True
            self._start(self._drain(push.order, lane))

    async def deliver(self, push: P) -> None:
        """Send a push now, past the queue of its order."""
        self._pending += 1
        await self._attempt(push, 1)

    async def room(self) -> None:
        """Wait until fewer pushes than the capacity are pending: whoever makes changes waits here first."""
        await self._until(lambda: self._pending < self._capacity)

    async def quiet(self) -> None:
        """Wait until every push is accepted, dropped, or given up."""
        await self._until(lambda: self._pending == 0)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _until(self, reached: Callable[[], bool]) -> None:
        if not reached():
            async with self._moved:
                await self._moved.wait_for(reached)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self, order: str, lane: "_Lane[P]") -> None:
        loop = asyncio.get_running_loop()
        while lane.ready or lane.shuffle:
            if not lane.ready:
                await asyncio.sleep(REORDER_HOLD)
                if not lane.ready:
                    lane.ready.extend(lane.shuffle.flush(self._faults.dice))
            due, push = lane.ready.popleft()
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            await self._attempt(push, 1)
        lane.busy = False
        del self._lanes[order]

    async def _attempt(self, push: P, attempts: int) -> None:
        result: int | str
        try:
            result = await self._post(push)
        except Unanswered as error:
            result = str(error)
        push.attempts.append(result)
        pause = None if result in push.accepting else self._pause(result, attempts)
        if pause is None:
            await self._settled(push)
        else:
            self._start(self._again(push, pause, attempts + 1))

    async def _again(self, push: P, pause: float, attempts: int) -> None:
        await asyncio.sleep(pause)
        await self._attempt(push, attempts)

    async def _settled(self, push: P) -> None:
        self._pending -= 1
        push.copies -= 1
        if not push.copies:
            push.let_go()
        if self._pending in (0, self._capacity - 1):
            async with self._moved:
                self._moved.notify_all()


class _Lane(Generic[P]):
    """The pushes of one order that wait, each with the time before which it must not go."""

    def __init__(self) -> None:
        self.ready: deque[tuple[float, P]] = deque()
        self.shuffle: Shuffle[tuple[float, P]] = Shuffle()
        self.busy = False
