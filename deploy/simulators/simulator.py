"""What every provider's simulator is made of: accounts behind bearer tokens, pushes on their way, faults, storms."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from pydantic import BaseModel

from deploy.simulators.books import Records
from deploy.simulators.faults import A, AllFaults, FaultSwitch
from deploy.simulators.posts import Posts, Unanswered
from deploy.simulators.pushes import P, Sender
from deploy.simulators.storm import Storm

YIELD_EVERY: Final = 20
"""Changes made before others on the loop get their turn."""


class Held(Protocol):
    """What is kept about an account."""

    token: str

    @property
    def books(self) -> Records[Any]: ...


H = TypeVar("H", bound=Held)


class Simulated(ABC, Generic[H, P, A]):
    """State in memory; `saved` and `restore` carry it from one process to the next.

    H is what is kept of an account, P a push, A a fault of an API call.
    """

    PROVIDER: ClassVar[str]
    """As a person calls it."""
    SAVED: ClassVar[type[BaseModel]]
    """What `saved` gives and `restore` takes."""

    def __init__(
        self, faults: AllFaults[A], *, connections: int, seed: int | None, now: Callable[[], datetime]
    ) -> None:
        self.url = ""
        self.faults: FaultSwitch[A] = FaultSwitch(faults)
        self.now = now
        self.storms: dict[str, Storm] = {}
        self._dice = Random(seed)
        self._connections = connections
        self._sender: Sender[P] = Sender(self._post, self._pause, self.faults)
        self._holdings: dict[str, H] = {}
        self._work: set[asyncio.Task[None]] = set()

    @property
    @abstractmethod
    def target(self) -> str:
        """Where pushes go, for a person."""

    @property
    @abstractmethod
    def state(self) -> object:
        """Another one means that there is something new to save."""

    @abstractmethod
    def saved(self) -> BaseModel: ...

    @abstractmethod
    def restore(self, saved: Any) -> None:
        """Have what an earlier process saved. Nothing is announced."""

    @abstractmethod
    def create(self, account: str, token: str, full_name: str = "Ann Example") -> object:
        """A new account, reached with `Bearer <token>`. Raises ValueError when id or token is taken."""

    @abstractmethod
    def listed(self) -> list[dict[str, Any]]:
        """One line of each account: `account`, `full_name`, `sequence`."""

    @abstractmethod
    def read(self, account: str, parts: tuple[str, ...] | None = None) -> dict[str, Any]:
        """The books of an account as JSON; only these parts, where some are named. Raises KeyError."""

    @abstractmethod
    async def mix(self, account: str, changes: int, seed: int | None = None) -> None:
        """Make so many random changes of every kind, as fast as their pushes find room."""

    @abstractmethod
    def announce(self, holding: H) -> None:
        """Push what an account's API call has changed."""

    @abstractmethod
    def next_push(self, account: str, edits: bool) -> Callable[[], P]:
        """What makes the pushes of a storm, of real edits or of nothing new. Raises ValueError where none can be."""

    @abstractmethod
    async def _post(self, push: P) -> int: ...

    @abstractmethod
    def _pause(self, result: int | str, attempts: int) -> float | None: ...

    @abstractmethod
    def _id(self) -> str:
        """An opaque id of the provider's style."""

    def accounts(self) -> list[H]:
        return list(self._holdings.values())

    def holding(self, account: str) -> H:
        """Raises KeyError."""
        return self._holdings[account]

    def account_of(self, authorization: str) -> str | None:
        """Whose bearer token this is."""
        scheme, _, token = authorization.partition(" ")
        owners = (account for account, holding in self._holdings.items() if holding.token == token)
        return next(owners, None) if scheme.lower() == "bearer" else None

    def books(self, account: str) -> dict[str, Any]:
        """All books of an account as JSON."""
        return self.read(account)

    def calls(self, account: str) -> int:
        """Calls of the API that an account made."""
        return self.holding(account).books.calls.total()

    def begin_storm(
        self, account: str, pushes: int, *, edits: bool = False, concurrency: int = 64
    ) -> tuple[str, Storm]:
        """Start `storm` in the background. Returns its id in `storms` and its progress."""
        id_, storm = self._id(), Storm(pushes)
        next_push = self.next_push(account, edits)
        self.storms[id_] = storm
        self._begin(storm.rage(next_push, self._sender.deliver, min(concurrency, self._connections)))
        return id_, storm

    async def storm(self, account: str, pushes: int, *, edits: bool = False, concurrency: int = 64) -> Storm:
        """Push at full speed over `concurrency` connections, out of order; faults for pushes do not apply.

        Without `edits` nothing changes: each push repeats that there is something new.
        """
        storm = Storm(pushes)
        next_push = self.next_push(account, edits)
        await storm.rage(next_push, self._sender.deliver, min(concurrency, self._connections))
        return storm

    async def quiesce(self, timeout: float = 30.0) -> None:
        """Wait until all pushes are accepted, dropped or given up, and storms are over. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while self._work:
                await asyncio.wait(self._work)
            await self._sender.quiet()

    async def room(self) -> None:
        """Wait while too many pushes are pending."""
        await self._sender.room()

    @property
    def pending(self) -> int:
        return self._sender.pending

    async def close(self) -> None:
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._sender.close()

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)


def utc_now() -> datetime:
    return datetime.now(UTC)


async def post(posts: Posts | None, push: Any) -> int:
    """Raises `Unanswered`."""
    if posts is None:
        raise Unanswered("there is no webhook address any more")
    return await posts.post(push.headers, push.body)
