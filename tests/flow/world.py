"""A whole world for one test: simulated providers with their books, the real processes, a subscriber's books."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from deploy.simulators.google import server as google_server
from deploy.simulators.google.simulator import Simulator as Google
from deploy.simulators.todoist.server import running
from deploy.simulators.todoist.simulator import Simulator
from outbox import connections
from outbox.kafka import Reader, create_topics
from outbox.postgres import pool
from outbox.vault import Vault
from processors.providers import roots, watched
from schemas.providers import PROVIDERS, Provider
from schemas.settings import KafkaSettings, KeyRing, load
from schemas.topics import webhooks
from tests.conftest import Stack
from tests.flow.books import Subscriber, subscribe
from tests.flow.service import Service

ACCOUNT = "2671355"
TOKEN = "demo"
SECRET = "a-client-secret"
RING = "1:" + b64encode(bytes(32)).decode()
CHANNEL_RING = "7:" + b64encode(bytes(range(32))).decode()
"""Whose first key makes the tokens of channels."""

IDLE = """
select (select count(*) from sync_cursors
            where (wanted > done or position is null or full_run is not null or due_at <= now()) and due_at < 'infinity'
                or leased_until > now())
     + (select count(*) from webhook_subscriptions where status in ('pending', 'stopping'))
     + (select count(*) from outbox_lanes where head > published)"""
UNSETTLED = "select * from sync_cursors where wanted > done or position is null or leased_until > now() limit 20"
UNMADE = "select * from webhook_subscriptions where status in ('pending', 'stopping') limit 20"
BEHIND = "select lane, head - published from outbox_lanes where head > published"
HANDLED = "select topic, partition, next_offset from consumer_offsets"


class World:
    """What a test sees of everything."""

    def __init__(
        self, stack: Stack, database: str, prefix: str, simulator: Simulator, google: Google, service: Service
    ) -> None:
        """`simulator` is Todoist's."""
        self.stack = stack
        self.database = database
        self.prefix = prefix
        self.simulator = simulator
        self.google = google
        self.service = service

    async def connect(
        self,
        account: str = ACCOUNT,
        token: str = TOKEN,
        tenant: UUID = connections.DEMO_TENANT,
        profile: UUID = connections.DEMO_PROFILE,
    ) -> UUID:
        """An account at Todoist, connected, or connected again; its connection's id."""
        if account not in (holding.account.user_id for holding in self.simulator.accounts()):
            self.simulator.create(account, token)
        return await self._add("todoist", account, token, tenant, profile)

    async def connect_google(
        self,
        account: str,
        token: str,
        tenant: UUID = connections.DEMO_TENANT,
        profile: UUID = connections.DEMO_PROFILE,
    ) -> UUID:
        """An account at Google, connected, or connected again; its connection's id."""
        if account not in (holding.account for holding in self.google.accounts()):
            self.google.create(account, token)
        return await self._add("google", account, token, tenant, profile)

    async def _add(self, provider: Provider, account: str, token: str, tenant: UUID, profile: UUID) -> UUID:
        async with pool(self.database, "test", size=1) as db:
            return await connections.add(
                db,
                Vault(KeyRing.parse(RING)),
                provider=provider,
                account=account,
                token=token,
                resources=roots(provider),
                watched=watched(provider),
                tenant_id=tenant,
                profile_id=profile,
            )

    async def ask(self, statement: str, *arguments: Any) -> list[Any]:
        """A question to the database. One connection each, since some tests kill the server."""
        db = await asyncpg.connect(self.database)
        try:
            return list(await db.fetch(statement, *arguments))
        finally:
            await db.close()

    async def plant(self, statements: str) -> None:
        """Statements of a test's own in its database: a trigger that keeps books, or one that raises."""
        db = await asyncpg.connect(self.database)
        try:
            await db.execute(statements)
        finally:
            await db.close()

    async def settled(self, within: float = 60.0) -> None:
        """Every push is out, accepted deliveries are handled, cursors are read to their end, lanes are published.

        So are the pushes that come of it: a channel that is made announces itself.
        """
        await self.simulator.quiesce(within)
        await self.google.quiesce(within)
        try:
            async with asyncio.timeout(within):
                while not await self._idle():
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"did not settle: {await self.state()}") from None

    async def _idle(self) -> bool:
        """Asked twice: a delivery that is handled in between makes its cursor wanted."""
        try:
            return await self._nothing_is_due() and await self.unhandled() == 0 and await self._nothing_is_due()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False

    async def _nothing_is_due(self) -> bool:
        return self.simulator.pending == self.google.pending == 0 and (await self.ask(IDLE))[0][0] == 0

    async def unhandled(self) -> int:
        """Deliveries in Kafka that have no receipt yet, by offsets."""
        ends = await self._ends()
        handled = {(row[0], row[1]): row[2] or 0 for row in await self.ask(HANDLED)}
        return sum(end - handled.get(partition, 0) for partition, end in ends.items())

    async def _ends(self) -> dict[tuple[str, int], int]:
        ends: dict[tuple[str, int], int] = {}
        for provider in PROVIDERS:
            async with Reader(self.kafka, webhooks(provider, self.prefix), from_beginning=True) as reader:
                ends |= await reader.ends()
        return ends

    @property
    def kafka(self) -> KafkaSettings:
        return load(KafkaSettings, self.service.variables)

    async def subscriber(self) -> Subscriber:
        return await subscribe(self.stack.bootstrap, self.prefix)

    async def state(self) -> dict[str, Any]:
        """For the message of a failed test."""
        processes = (self.service.ingress, self.service.processors, self.service.relay)
        return {
            "unhandled": await self.unhandled(),
            "cursors": [dict(row) for row in await self.ask(UNSETTLED)],
            "subscriptions": [dict(row) for row in await self.ask(UNMADE)],
            "pushes": (self.simulator.pending, self.google.pending),
            "behind": [tuple(row) for row in await self.ask(BEHIND)],
            "logs": {process.role: process.said()[-1500:] for process in processes},
        }

    def calls(self, account: str = ACCOUNT) -> int:
        """Calls of the provider's API, by its own books."""
        called = self.simulator.holding(account).books.called()
        return sum(sum(by_status.values()) for by_status in called.values())


@asynccontextmanager
async def world(stack: Stack, database: str, prefix: str, logs: Path, **more: str) -> AsyncIterator[World]:
    """Both simulators and their pushes, topics, and processes that are not started yet; everything ends with the test.

    `more` are further variables of the processes.
    """
    async with (
        running(Simulator(client_secret=SECRET, seed=7, redelivery_delay=0.5)) as simulator,
        google_server.running(Google(seed=7)) as google,
    ):
        service = Service(
            {
                "LIFEOS_ENV": "development",
                "LIFEOS_DATABASE_URL": database,
                "LIFEOS_KAFKA_BOOTSTRAP": stack.bootstrap,
                "LIFEOS_TOPIC_PREFIX": prefix,
                "LIFEOS_VAULT_KEYS": RING,
                "LIFEOS_TODOIST_CLIENT_SECRETS": f"an-older-secret,{SECRET}",
                "LIFEOS_TODOIST_URL": simulator.url,
                "LIFEOS_GOOGLE_URL": google.url,
                "LIFEOS_CHANNEL_KEYS": CHANNEL_RING,
                **more,
            },
            logs,
        )
        await create_topics(load(KafkaSettings, service.variables))
        simulator.webhook_url = service.webhook_url
        made = World(stack, database, prefix, simulator, google, service)
        try:
            yield made
        finally:
            for process in (service.ingress, service.processors, service.relay):
                await process.kill() if process.running else None
