"""Work that lies in leased rows: due ones become tasks, several at once, each under its lease.

A process that dies leaves its rows due and its leases to run out; whoever claims them begins the work again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Final

import httpx

from outbox import lease
from outbox.lease import RENEW_SECONDS, FenceLost, Held, Leasable
from outbox.postgres import TRANSIENT, UNAVAILABLE, Pool
from processors.providers.exchange import client
from schemas.providers import Provider

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How often an idle process looks for due rows; what makes one due in the same process wakes it at once."""
SOON_SECONDS: Final = 0.01
LATER_SECONDS: Final = 0.25
"""Where nothing could be claimed although something is due, its owner has its share, or somebody keeps the row locked."""
WIND_DOWN_SECONDS: Final = 5.0


class ByProvider:
    """One process's share of the due rows of a table, with places and connections for each provider apart: one whose API
    hangs takes no other's."""

    def __init__(
        self,
        pool: Pool,
        what: Leasable,
        owner: str,
        at_once: int,
        providers: Iterable[Provider],
        work: Callable[[httpx.AsyncClient, Held], Awaitable[None]],
        next_due: Callable[[Provider], Awaitable[float | None]],
    ) -> None:
        """`work` does what one row asks for, over the connections of its provider; `at_once` is for each of them."""
        self._clients = {p: client(at_once) for p in providers}
        self._shares = [
            Leased(pool, what.of(provider), owner, at_once, partial(work, own), partial(next_due, provider))
            for provider, own in self._clients.items()
        ]

    def wake(self) -> None:
        """A row became due."""
        for share in self._shares:
            share.wake()

    def stop(self) -> None:
        """Ends `run`."""
        for share in self._shares:
            share.stop()

    async def run(self) -> None:
        """Works on due rows until `stop`. Raises, in a group, what leases cannot be kept for."""
        async with AsyncExitStack() as clients, asyncio.TaskGroup() as shares:
            for one in self._clients.values():
                await clients.enter_async_context(one)
            for share in self._shares:
                shares.create_task(share.run())

    @property
    def busy(self) -> bool:
        """Whether any row is being worked on."""
        return any(share.busy for share in self._shares)


class Leased:
    """One process's share of the due rows of a table that may be claimed at all."""

    def __init__(
        self,
        pool: Pool,
        what: Leasable,
        owner: str,
        at_once: int,
        work: Callable[[Held], Awaitable[None]],
        next_due: Callable[[], Awaitable[float | None]],
    ) -> None:
        """`work` does what one row asks for. `next_due` says in how many seconds a row is due, negative when one has been."""
        self._pool = pool
        self._what = what
        self._owner = owner
        self._at_once = at_once
        self._work = work
        self._next_due = next_due
        self._running: dict[Held, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()
        self._stopping = False

    @property
    def busy(self) -> bool:
        """Whether any row is being worked on."""
        return bool(self._running)

    def wake(self) -> None:
        """A row became due."""
        self._woken.set()

    def stop(self) -> None:
        """Ends `run`. Work that is under way gets five seconds to end; what is cut short then is begun again elsewhere."""
        self._stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Claims due rows and works on them until `stop`. Raises, in a group, what its leases cannot be kept for."""
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(self._renew())
            try:
                while not self._stopping:
                    claimed = await self._claim()
                    await self._rest(SOON_SECONDS if claimed else LATER_SECONDS)
            finally:
                await self._wind_down()
                renewing.cancel()

    async def _claim(self) -> int:
        free = self._at_once - len(self._running)
        try:
            claimed = await lease.claim(self._pool, self._what, self._owner, free) if free else []
        except (*UNAVAILABLE, *TRANSIENT) as error:
            log.warning("database is away", extra={"detail": f"{type(error).__name__}: {error}"[:200]})
            return 0
        for held in claimed:
            task = asyncio.create_task(self._one(held))
            self._running[held] = task
            task.add_done_callback(partial(self._ended, held))
        return len(claimed)

    def _ended(self, held: Held, _: asyncio.Task[None]) -> None:
        self._running.pop(held, None)
        self._woken.set()

    async def _rest(self, least: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(await self._pause(least)):
                await self._woken.wait()
        self._woken.clear()

    async def _pause(self, least: float) -> float:
        """Until the next row is due, at most a second. With every place taken, until one is free."""
        try:
            until = await self._next_due()
        except (*UNAVAILABLE, *TRANSIENT):
            return LOOK_SECONDS
        if until is None or len(self._running) >= self._at_once:
            return LOOK_SECONDS
        return min(LOOK_SECONDS, max(least, until))

    async def _renew(self) -> None:
        """Prolongs the leases of all work; what has lost its lease is ended, since it can commit nothing."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            asked = list(self._running)
            with suppress(*UNAVAILABLE, *TRANSIENT):
                renewed = set(await lease.renew(self._pool, self._what, self._owner, asked)) if asked else set()
                for held in set(asked) - renewed:
                    if task := self._running.get(held):
                        task.cancel()

    async def _wind_down(self) -> None:
        """Lets work end, in bounded time."""
        running = list(self._running.values())
        if running:
            _, late = await asyncio.wait(running, timeout=WIND_DOWN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _one(self, held: Held) -> None:
        """The work on one row, whatever becomes of it. Only a fault of our own is an error in the log.

        A failure that could not even be written down leaves the row due: its lease, kept to its end, is the pause.
        """
        give_back, named = True, {self._what.log_name: held.key}
        try:
            await self._work(held)
        except FenceLost as lost:
            log.info("work was fenced out", extra={**named, "detail": str(lost)})
        except (*UNAVAILABLE, *TRANSIENT) as error:
            log.warning("work was cut short", extra={**named, "detail": f"{type(error).__name__}: {error}"[:200]})
        except Exception:
            give_back = False
            log.exception("work failed, and could not say so", extra=named)
        finally:
            if give_back:
                with suppress(*UNAVAILABLE, *TRANSIENT):
                    await lease.release(self._pool, self._what, self._owner, [held])
