"""Sync: due cursors become runs, several at once, each under its lease."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import httpx

from outbox import cursors
from outbox.cursors import Work
from outbox.hint import Hint
from outbox.lease import CURSORS, FenceLost, Held
from outbox.postgres import TRANSIENT, UNAVAILABLE, Pool
from outbox.vault import Vault
from processors.leased import ByProvider
from processors.providers import Reader, reader, watcher
from processors.run import OneRun
from schemas.outcome import RetryAfter
from schemas.providers import Provider
from schemas.telemetry import CURSOR_OLDEST_DUE

log = logging.getLogger(__name__)

RUNS_AT_ONCE: Final = 64
"""Of one provider. A run holds no connection to the database while its provider answers; slow accounts take places, not work."""


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
        self._base_urls = base_urls
        self._poll = poll
        self._shares = ByProvider(pool, CURSORS, owner, RUNS_AT_ONCE, base_urls, self._run, self._next_due)
        self.wake, self.stop, self.run = self._shares.wake, self._shares.stop, self._shares.run

    @property
    def busy(self) -> bool:
        """Whether a run is under way."""
        return self._shares.busy

    async def _next_due(self, provider: Provider) -> float | None:
        until = await cursors.next_due(self._pool, provider)
        CURSOR_OLDEST_DUE.labels(provider).set(max(0.0, -(until or 0.0)))
        return until

    async def _run(self, client: httpx.AsyncClient, held: Held) -> None:
        work = await cursors.begin(self._pool, held)
        if work is not None:
            await self._run_work(client, work)

    async def _run_work(self, client: httpx.AsyncClient, work: Work) -> None:
        one = reader(work.provider, work.resource)
        run = OneRun(self._pool, self._vault, self._hint, one, self._poll or _poll(one, work), work)
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


def _poll(one: Reader, work: Work) -> timedelta:
    """How soon to look again when nothing is heard: often where nobody would tell us."""
    asked = watcher(work.provider, work.resource)
    return one.SAFETY_POLL if asked is None or work.watched else asked.UNWATCHED_POLL
