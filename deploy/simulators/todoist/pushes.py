"""Webhooks: signed, sent in order per account, sent again when the answer is not exactly 200.

https://developer.todoist.com/api/v1/, "Webhooks".
"""

import asyncio
import uuid
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from hmac import digest
from random import Random
from typing import Any, Final

import orjson

from deploy.simulators.posts import Posts, Unanswered
from deploy.simulators.todoist.account import Account, Change
from deploy.simulators.todoist.faults import FaultSwitch, Shuffle

REDELIVERIES: Final = 3
"""As the provider: at most three, all with the first delivery id."""

REORDER_HOLD: Final = 0.2
"""Seconds after which pushes held for reordering go on although no later one came."""


def signature(secret: str, body: bytes) -> str:
    """`X-Todoist-Hmac-SHA256`: base64 of HMAC-SHA256 over the exact bytes of the body."""
    return b64encode(digest(secret.encode(), body, "sha256")).decode()


def headers(secret: str, body: bytes, delivery_id: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "Todoist-Webhooks",
        "X-Todoist-Hmac-SHA256": signature(secret, body),
        "X-Todoist-Delivery-ID": delivery_id,
    }


def payload(account: Account, change: Change, triggered_at: str) -> bytes:
    """The body of a push."""
    told: dict[str, Any] = {
        "event_name": change.event,
        "user_id": account.user_id,
        "event_data": change.entity,
        "initiator": {
            "id": account.user_id,
            "full_name": account.full_name,
            "email": f"{account.user_id}@example.org",
            "image_id": None,
            "is_premium": False,
        },
        "triggered_at": triggered_at,
        "version": "1",
    }
    if change.extra is not None:
        told["event_data_extra"] = change.extra
    return orjson.dumps(told)


@dataclass(slots=True)
class Push:
    """One delivery and what became of it: an entry of the books. `attempts` has a status each, or why there is none."""

    delivery_id: str
    account: str
    event: str
    entity_id: str
    seq: int
    body: bytes = field(repr=False)
    storm: bool = False
    dropped: bool = False
    duplicate: bool = False
    attempts: list[int | str] = field(default_factory=list)
    copies: int = 1
    """How many sendings have not ended yet. The body is let go with the last."""

    @property
    def accepted(self) -> bool:
        return 200 in self.attempts

    def entry(self) -> dict[str, Any]:
        return {
            "delivery_id": self.delivery_id,
            "event": self.event,
            "entity_id": self.entity_id,
            "seq": self.seq,
            "storm": self.storm,
            "dropped": self.dropped,
            "duplicate": self.duplicate,
            "attempts": self.attempts,
            "accepted": self.accepted,
        }


class Sender:
    """Sends pushes. Those of one account go out one after another, so they arrive in order; accounts do not wait for
    each other, and a redelivery waits apart, as at the provider.

    The provider redelivers after 15 minutes; here it is `redelivery_delay` seconds, so that demos and tests converge.
    """

    def __init__(
        self, posts: Posts | None, secret: str, faults: FaultSwitch, *, redelivery_delay: float, capacity: int = 50_000
    ) -> None:
        self.posts = posts
        self._secret = secret
        self._faults = faults
        self._redelivery_delay = redelivery_delay
        self._capacity = capacity
        self._lanes: dict[str, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pending = 0
        self._moved = asyncio.Condition()

    @property
    def pending(self) -> int:
        """Pushes that are neither answered with 200 nor given up."""
        return self._pending

    def announce(self, push: Push) -> None:
        """Take a push over. What the faults do to it is decided here, so that a seed decides it alike every time."""
        faults, dice = self._faults.push, self._faults.dice
        push.dropped = dice.random() < faults.drop
        push.duplicate = dice.random() < faults.duplicate
        if push.dropped:
            push.body = b""
            return
        due = asyncio.get_running_loop().time() + dice.uniform(*faults.delay)
        lane = self._lanes.setdefault(push.account, _Lane())
        push.copies = 1 + push.duplicate
        self._pending += push.copies
        for _ in range(push.copies):
            lane.ready.extend(lane.shuffle.offer((due, push), faults.reorder, dice))
        if not lane.busy:
            lane.busy = True
            self._start(self._drain(lane))

    async def deliver(self, push: Push) -> None:
        """Send a push now, past the queue of its account."""
        self._pending += 1
        await self._attempt(push, REDELIVERIES)

    def aim(self, posts: Posts | None) -> None:
        """Send elsewhere from now on; what is pending goes there too."""
        if self.posts is not None:
            self.posts.close()
        self.posts = posts

    async def room(self) -> None:
        """Wait until fewer pushes than the capacity are pending: whoever makes changes waits here first."""
        await self._until(lambda: self._pending < self._capacity)

    async def quiet(self) -> None:
        """Wait until every push is answered with 200, dropped, or given up."""
        await self._until(lambda: self._pending == 0)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.aim(None)

    async def _until(self, reached: Callable[[], bool]) -> None:
        if not reached():
            async with self._moved:
                await self._moved.wait_for(reached)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self, lane: "_Lane") -> None:
        loop = asyncio.get_running_loop()
        while lane.ready or lane.shuffle:
            if not lane.ready:
                await asyncio.sleep(REORDER_HOLD)
                if not lane.ready:
                    lane.ready.extend(lane.shuffle.flush(self._faults.dice))
            due, push = lane.ready.popleft()
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            await self._attempt(push, REDELIVERIES)
        lane.busy = False

    async def _attempt(self, push: Push, left: int) -> None:
        try:
            push.attempts.append(await self._post(push))
        except Unanswered as error:
            push.attempts.append(str(error))
        if push.attempts[-1] != 200 and left > 0:
            self._start(self._redeliver(push, left - 1))
        else:
            await self._settled(push)

    async def _post(self, push: Push) -> int:
        if self.posts is None:
            raise Unanswered("there is no webhook address any more")
        return await self.posts.post(headers(self._secret, push.body, push.delivery_id), push.body)

    async def _redeliver(self, push: Push, left: int) -> None:
        await asyncio.sleep(self._redelivery_delay)
        await self._attempt(push, left)

    async def _settled(self, push: Push) -> None:
        self._pending -= 1
        push.copies -= 1
        if not push.copies:
            push.body = b""
        if self._pending in (0, self._capacity - 1):
            async with self._moved:
                self._moved.notify_all()


class _Lane:
    """The pushes of one account that wait, each with the time before which it must not go."""

    def __init__(self) -> None:
        self.ready: deque[tuple[float, Push]] = deque()
        self.shuffle: Shuffle[tuple[float, Push]] = Shuffle()
        self.busy = False


def pushed(account: Account, change: Change, dice: Random, now: datetime, *, storm: bool = False) -> Push:
    """The push of a change, with a fresh delivery id."""
    assert change.event is not None
    body = payload(account, change, now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    delivery_id = str(uuid.UUID(int=dice.getrandbits(128), version=4))
    return Push(delivery_id, account.user_id, change.event, change.entity["id"], change.seq, body, storm)
