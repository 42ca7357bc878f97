"""Watch: subscriptions that are to be made or ended, each under its lease.

The row was committed with the resource it is for, and its id and secret are the channel's; so whatever the provider sends,
however early, finds it.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, assert_never

import httpx

from outbox import cursors, subscriptions
from outbox.connections import place
from outbox.lease import Held
from outbox.postgres import Pool
from outbox.subscriptions import SUBSCRIPTIONS, Errand
from outbox.vault import CannotOpen, Vault
from processors.leased import ByProvider
from processors.providers import Access, Channel, Watcher, reader, watcher
from schemas.identity import channel_token
from schemas.outcome import Gone, Reauthorize, RetryAfter, Taken, Unwatchable, Watched, Watching
from schemas.providers import Provider
from schemas.settings import KeyRing
from schemas.telemetry import SUBSCRIPTION_NEAREST_EXPIRY

log = logging.getLogger(__name__)

CALLS_AT_ONCE: Final = 8
"""Of one provider."""


class Watch:
    """One process's share of the subscriptions."""

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        owner: str,
        base_urls: Mapping[Provider, str],
        keys: KeyRing,
        public_url: str,
        asks: Callable[[Provider, str], Watcher | None] = watcher,
    ) -> None:
        """`public_url` is where providers find our door; `keys` make the secrets that they echo there.

        `asks` finds who knows how to ask for a resource.
        """
        self._pool = pool
        self._vault = vault
        self._base_urls = base_urls
        self._keys = keys
        self._public_url = public_url
        self._asks = asks
        shares = ByProvider(pool, SUBSCRIPTIONS, owner, CALLS_AT_ONCE, base_urls, self._run, self._next_due)
        self.stop, self.run = shares.stop, shares.run

    async def _next_due(self, provider: Provider) -> float | None:
        nearest = await subscriptions.nearest_expiry(self._pool)
        SUBSCRIPTION_NEAREST_EXPIRY.set(float("inf") if nearest is None else nearest)
        return await subscriptions.next_due(self._pool, provider)

    async def _run(self, client: httpx.AsyncClient, held: Held) -> None:
        errand = await subscriptions.begin(self._pool, held)
        if errand is None:
            return
        asked = self._asks(errand.provider, errand.resource)
        if asked is None:
            status = "stopped" if errand.status == "stopping" else "failed"
            await subscriptions.over(self._pool, errand, status, "this version asks for no such subscription")
        elif errand.status == "stopping":
            await self._end(client, errand, asked)
        else:
            await self._make(client, errand, asked)

    async def _make(self, client: httpx.AsyncClient, errand: Errand, asked: Watcher) -> None:
        access = self._access(errand)
        answer: Watching
        if isinstance(access, Access):
            now = datetime.now(UTC)
            answer = await asked.watch(client, access, errand.resource, self._channel(errand, asked), now)
        else:
            answer = access
        await self._note(errand, answer)

    async def _note(self, errand: Errand, answer: Watching) -> None:
        match answer:
            case Watched(external_id, expires_at):
                await subscriptions.made(self._pool, errand, external_id, expires_at)
            case Unwatchable(why):
                await subscriptions.over(self._pool, errand, "unwatchable", why)
            case Taken(why):
                await self._taken(errand, why)
            case Reauthorize(why):
                await subscriptions.over(self._pool, errand, "failed", why)
            case Gone(why):
                await subscriptions.again(self._pool, errand, f"{why}; what lists it is asked", None)
                lists = reader(errand.provider, errand.resource).ROOTS
                await cursors.look(self._pool, errand.tenant_id, errand.connection_id, lists)
            case RetryAfter(why, at):
                await subscriptions.again(self._pool, errand, why, at)
            case _:
                assert_never(answer)
        self._tell(errand, answer)

    async def _taken(self, errand: Errand, why: str) -> None:
        """An earlier call got through. Its first push has told us the rest, or nobody will: then we ask with another id."""
        if errand.external_id is not None:
            await subscriptions.made(self._pool, errand, errand.external_id, None)
        else:
            await subscriptions.replace(self._pool, errand, why)

    async def _end(self, client: httpx.AsyncClient, errand: Errand, asked: Watcher) -> None:
        access = self._access(errand)
        if errand.external_id is None or not isinstance(access, Access):
            # It was never made, or cannot be ended by us: the provider lets it expire, and its pushes are stale.
            await subscriptions.over(self._pool, errand, "stopped", None)
            return
        answer = await asked.stop(client, access, self._channel(errand, asked), errand.external_id)
        match answer:
            case None:
                await subscriptions.over(self._pool, errand, "stopped", None)
            case Reauthorize(why):
                await subscriptions.over(self._pool, errand, "stopped", why)
            case RetryAfter(why, at):
                await subscriptions.again(self._pool, errand, why, at)
            case _:
                assert_never(answer)

    def _access(self, errand: Errand) -> Access | RetryAfter:
        try:
            token = self._vault.open_text(errand.credentials, place(errand.connection_id))
        except CannotOpen as error:
            return RetryAfter(f"the credentials cannot be opened: {error}")
        return Access(self._base_urls[errand.provider], token)

    def _channel(self, errand: Errand, asked: Watcher) -> Channel:
        token = channel_token(self._keys, errand.provider, errand.lane, errand.held.key)
        return Channel(errand.held.key, token, self._public_url + asked.WEBHOOK)

    def _tell(self, errand: Errand, answer: Watching) -> None:
        if isinstance(answer, Watched):
            return
        log.warning(
            "resource is not watched",
            extra={
                "subscription_id": errand.held.key,
                "connection_id": errand.connection_id,
                "resource": errand.resource,
                "attempt": errand.attempts + 1,
                "outcome": type(answer).__name__.lower(),
                "detail": answer.why,
            },
        )
