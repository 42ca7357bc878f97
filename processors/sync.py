"""Sync: due cursors become runs, several at once, each under its lease.

A process that dies leaves its cursors due and its leases to run out; whoever claims them begins the runs again.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Final

import httpx

from outbox import cursors, lease
from outbox.cursors import Work
from outbox.hint import Hint
from outbox.lease import CURSORS, RENEW_SECONDS, FenceLost, Held
from outbox.postgres import TRANSIENT, UNAVAILABLE, Pool
from outbox.vault import Vault
from processors.providers import BY_NAME
from processors.run import OneRun
from schemas.outcome import RetryAfter
from schemas.providers import Provider
from schemas.telemetry import CURSOR_OLDEST_DUE

log = logging.getLogger(__name__)

RUNS_AT_ONCE: Final = 64
"""A run holds no connection to the database while its provider answers; slow accounts take places, not work."""
LOOK_SECONDS: Final = 1.0
"""How often an idle process looks for due cursors; a push accepted in the same process wakes it at once."""


class Sync:
    """One process's share of the runs."""

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        hint: Hint,
        owner: str,
        base_urls: Mapping[Provider, str],
        poll: timedelta | None = None,
    ) -> None:
        """`base_urls` is where each provider's API is; `poll` overrides how often a quiet resource is read."""
        self._pool = pool
        self._vault = vault
        self._hint = hint
        self._owner = owner
        self._base_urls = base_urls
        self._poll = poll
        self._running: dict[Held, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """A cursor became due."""
        self._woken.set()

    def stop(self) -> None:
        """Ends `run`. Runs that are under way get five seconds to end; what is cut short then is begun again elsewhere."""
        self._stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Claims due cursors and runs them until `stop`. Raises, in a group, what its leases cannot be kept for."""
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=64)) as client, asyncio.TaskGroup() as group:
            renewing = group.create_task(self._renew())
            try:
                while not self._stopping:
                    await self._claim(client)
                    await self._rest()
            finally:
                await self._wind_down()
                renewing.cancel()

    async def _claim(self, client: httpx.AsyncClient) -> None:
        free = RUNS_AT_ONCE - len(self._running)
        try:
            claimed = await lease.claim(self._pool, CURSORS, self._owner, free) if free else []
        except (*UNAVAILABLE, *TRANSIENT) as error:
            log.warning("database is away", extra={"detail": f"{type(error).__name__}: {error}"[:200]})
            return
        for held in claimed:
            task = asyncio.create_task(self._run(client, held))
            self._running[held] = task
            task.add_done_callback(partial(self._ended, held))

    def _ended(self, held: Held, _: asyncio.Task[None]) -> None:
        self._running.pop(held, None)
        self._woken.set()

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(await self._pause()):
                await self._woken.wait()
        self._woken.clear()

    async def _pause(self) -> float:
        """Until the next cursor is due, at most a second. With every place taken, until one is free."""
        try:
            until = await cursors.next_due(self._pool)
        except (*UNAVAILABLE, *TRANSIENT):
            return LOOK_SECONDS
        CURSOR_OLDEST_DUE.set(max(0.0, -(until or 0.0)))
        if until is None or len(self._running) >= RUNS_AT_ONCE:
            return LOOK_SECONDS
        return min(LOOK_SECONDS, max(0.01, until))

    async def _renew(self) -> None:
        """Prolongs the leases of all runs; a run whose lease has gone is ended, since it can commit nothing."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            asked = list(self._running)
            with suppress(*UNAVAILABLE, *TRANSIENT):
                renewed = set(await lease.renew(self._pool, CURSORS, self._owner, asked)) if asked else set()
                for held in set(asked) - renewed:
                    if task := self._running.get(held):
                        task.cancel()

    async def _wind_down(self) -> None:
        """Lets runs end, in bounded time."""
        running = list(self._running.values())
        if running:
            _, late = await asyncio.wait(running, timeout=5)
            for task in late:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, client: httpx.AsyncClient, held: Held) -> None:
        """One run, whatever becomes of it. Only a fault of our own is an error in the log.

        A failure that could not even be written down leaves the cursor due: its lease, kept to its end, is the pause.
        """
        give_back = True
        try:
            work = await cursors.begin(self._pool, held)
            if work is not None:
                await self._run_work(client, work)
        except FenceLost as lost:
            log.info("run was fenced out", extra={"cursor_id": held.key, "detail": str(lost)})
        except (*UNAVAILABLE, *TRANSIENT) as error:
            log.warning(
                "run was cut short", extra={"cursor_id": held.key, "detail": f"{type(error).__name__}: {error}"}
            )
        except Exception:
            give_back = False
            log.exception("run failed, and could not say so", extra={"cursor_id": held.key})
        finally:
            if give_back:
                with suppress(*UNAVAILABLE, *TRANSIENT):
                    await lease.release(self._pool, CURSORS, self._owner, [held])

    async def _run_work(self, client: httpx.AsyncClient, work: Work) -> None:
        reader = BY_NAME[work.provider]
        poll = self._poll or reader.SAFETY_POLL
        run = OneRun(self._pool, self._vault, self._hint, reader, poll, work)
        try:
            await run.to_its_end(client, self._base_urls[work.provider])
        except (FenceLost, *UNAVAILABLE):
            raise
        except TRANSIENT as error:
            # Counted, so that a page the database cannot take in time is not asked for again and again without a pause.
            await run.fail(RetryAfter(f"{type(error).__name__} in the database"))
        except Exception as error:
            log.exception("run failed", extra={"cursor_id": work.held.key, "connection_id": work.connection_id})
            await run.fail(RetryAfter(f"{type(error).__name__} in our own code"))
