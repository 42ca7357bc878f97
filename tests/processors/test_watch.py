"""Subscriptions as a process makes and ends them: every answer a provider may give, and every moment to die at."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from outbox import connections, subscriptions
from outbox.postgres import Pool
from outbox.vault import Vault
from processors.providers import Access, Channel
from processors.watch import Watch
from schemas.identity import channel, lane
from schemas.outcome import Gone, Reauthorize, RetryAfter, Taken, Unwatchable, Watched, Watching
from schemas.providers import Provider
from schemas.settings import KeyRing
from tests.outbox.conditions import until

ACCOUNT = "113774264463038321964"
KEYS = KeyRing({1: bytes(range(32))})
DOOR = "https://door.example"
ROWS = "select * from webhook_subscriptions order by created_at, id"
SOON = datetime(2026, 12, 1, tzinfo=UTC)


@dataclass
class Scripted:
    """A provider that answers call by call as it is told, and remembers what it was asked."""

    answers: list[Watching] = field(default_factory=list)
    endings: list[RetryAfter | Reauthorize | None] = field(default_factory=list)
    asked: list[tuple[str, Channel]] = field(default_factory=list)
    ended: list[tuple[UUID, str]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)

    PROVIDER: Provider = "google"
    PRODUCT: str = "calendar"
    UNWATCHED_POLL: timedelta = timedelta(minutes=15)
    WEBHOOK: str = "/webhooks/google/channel"

    async def watch(
        self, client: httpx.AsyncClient, access: Access, resource: str, channel: Channel, now: datetime
    ) -> Watching:
        self.tokens.add(access.token)
        self.asked.append((resource, channel))
        return self.answers.pop(0)

    async def stop(
        self, client: httpx.AsyncClient, access: Access, channel: Channel, external_id: str
    ) -> RetryAfter | Reauthorize | None:
        self.ended.append((channel.id, external_id))
        return self.endings.pop(0)


@pytest.fixture
def provider() -> Scripted:
    return Scripted()


async def connect(pool: Pool, vault: Vault) -> UUID:
    return await connections.add(
        pool, vault, provider="google", account=ACCOUNT, token="demo", resources=["calendar/list"], watched=["calendar"]
    )


@asynccontextmanager
async def watching(pool: Pool, vault: Vault, provider: Scripted) -> AsyncIterator[Watch]:
    async with driven(
        Watch(pool, vault, "me", {"google": "http://provider"}, KEYS, DOOR, lambda *_: provider)
    ) as watch:
        yield watch


@asynccontextmanager
async def driven(watch: Watch) -> AsyncIterator[Watch]:
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        watch.stop()
        async with asyncio.timeout(10):
            await task


async def became(pool: Pool, holds: Callable[[list[Any]], bool], what: str) -> list[Any]:
    async def now() -> bool:
        return holds(list(await pool.fetch(ROWS)))

    await until(now, what)
    return list(await pool.fetch(ROWS))


async def test_a_resource_is_watched_under_the_id_and_the_secret_of_its_row(
    pool: Pool, vault: Vault, provider: Scripted
) -> None:
    connection = await connect(pool, vault)
    provider.answers = [Watched("resource-1", SOON)]
    async with watching(pool, vault, provider):
        (row,) = await became(pool, lambda rows: rows[0]["status"] == "active", "it is active")
    assert (row["external_id"], row["expires_at"], row["connection_id"]) == ("resource-1", SOON, connection)
    ((resource, asked),) = provider.asked
    assert (resource, asked.id, asked.address) == ("calendar/list", row["id"], DOOR + "/webhooks/google/channel")
    assert channel(KEYS, "google", asked.token.encode()) == (row["id"], lane("google", ACCOUNT))
    assert provider.tokens == {"demo"}


async def test_a_resource_that_cannot_be_watched_is_not_asked_for_again(
    pool: Pool, vault: Vault, provider: Scripted
) -> None:
    await connect(pool, vault)
    provider.answers = [Unwatchable("not this calendar")]
    async with watching(pool, vault, provider):
        (row,) = await became(pool, lambda rows: rows[0]["status"] == "unwatchable", "it is unwatchable")
        assert row["last_error"] == "not this calendar"
        await connect(pool, vault)
    assert len(provider.asked) == 1


async def test_a_failure_that_passes_is_tried_again_with_the_same_row(
    pool: Pool, vault: Vault, provider: Scripted
) -> None:
    await connect(pool, vault)
    provider.answers = [RetryAfter("500", datetime.now(UTC)), Watched("resource-1", None)]
    async with watching(pool, vault, provider):
        (row,) = await became(pool, lambda rows: rows[0]["status"] == "active", "it is active")
    assert (row["attempts"], row["last_error"]) == (0, None)
    assert {asked.id for _, asked in provider.asked} == {row["id"]}


async def test_an_answer_that_was_lost_is_made_good_with_another_row(
    pool: Pool, vault: Vault, provider: Scripted
) -> None:
    await connect(pool, vault)
    provider.answers = [Taken("known already"), Watched("resource-1", None)]
    async with watching(pool, vault, provider):
        old, new = await became(pool, lambda rows: [r["status"] for r in rows] == ["stopped", "active"], "replaced")
    assert [asked.id for _, asked in provider.asked] == [old["id"], new["id"]]


async def test_an_answer_that_was_lost_is_not_missed_where_a_push_has_told_as_much(
    pool: Pool, vault: Vault, provider: Scripted
) -> None:
    await connect(pool, vault)
    await pool.execute("update webhook_subscriptions set external_id = 'resource-1', expires_at = $1", SOON)
    provider.answers = [Taken("known already")]
    async with watching(pool, vault, provider):
        (row,) = await became(pool, lambda rows: rows[0]["status"] == "active", "it is active")
    assert (row["external_id"], row["expires_at"]) == ("resource-1", SOON)


async def test_without_access_it_waits_for_the_person_and_connecting_again_asks_again(
    pool: Pool, vault: Vault, provider: Scripted
) -> None:
    await connect(pool, vault)
    provider.answers = [Reauthorize("401"), Watched("resource-1", None)]
    async with watching(pool, vault, provider):
        await became(pool, lambda rows: rows[0]["status"] == "failed", "it has failed")
        await connect(pool, vault)
        await became(pool, lambda rows: [r["status"] for r in rows] == ["stopped", "active"], "made anew")


async def test_a_resource_that_the_provider_denies_is_looked_up_in_the_list(
    pool: Pool, vault: Vault, provider: Scripted
) -> None:
    await connect(pool, vault)
    provider.answers = [Gone("404")]
    async with watching(pool, vault, provider):
        (row,) = await became(pool, lambda rows: rows[0]["attempts"] == 1, "it is tried again later")
        assert (row["status"], row["last_error"]) == ("pending", "404; what lists it is asked")

        async def looked() -> bool:
            return bool(await pool.fetchval("select wanted = 1 and cause is null from sync_cursors"))

        await until(looked, "the list is wanted")


async def test_a_provider_that_knows_every_id_is_not_asked_without_a_pause(
    pool: Pool, vault: Vault, provider: Scripted
) -> None:
    await connect(pool, vault)
    provider.answers = [Taken("known already")] * 9
    async with watching(pool, vault, provider):
        rows = await became(pool, lambda rows: len(rows) == 3, "replaced twice")
    assert [row["status"] for row in rows] == ["stopped", "stopped", "pending"]
    assert [row["attempts"] for row in rows] == [0, 1, 2]
    assert timedelta(seconds=1) <= rows[2]["due_at"] - rows[2]["created_at"] <= timedelta(seconds=3)
    assert rows[2]["created_at"] - rows[1]["created_at"] >= timedelta(seconds=0.5)
    assert [asked.id for _, asked in provider.asked] == [row["id"] for row in rows[:2]]


class Overtaken(Scripted):
    """A provider that is being asked when the resource goes."""

    def __init__(self, answer: Watching, ending: Callable[[], Awaitable[None]]) -> None:
        super().__init__([answer], [None])
        self._ending = ending

    async def watch(self, *asked: Any) -> Watching:
        await self._ending()
        return await super().watch(*asked)


@pytest.mark.parametrize(
    ("answer", "ended"),
    [
        (Watched("resource-1", SOON), True),
        (Unwatchable("not this calendar"), False),
        (Taken("known already"), False),
        (Reauthorize("401"), False),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_resource_that_goes_while_the_provider_is_asked_leaves_nothing_to_be_watched(
    pool: Pool, vault: Vault, answer: Watching, ended: bool
) -> None:
    connection = await connect(pool, vault)

    async def go() -> None:
        await pool.execute("update sync_cursors set closed = true")
        async with pool.acquire() as db, db.transaction():
            await subscriptions.follow(db, connections.DEMO_TENANT, connection, ["calendar"])

    provider = Overtaken(answer, go)
    async with watching(pool, vault, provider):
        (row,) = await became(pool, lambda rows: rows[-1]["status"] == "stopped", "it is stopped")
    assert provider.ended == ([(row["id"], "resource-1")] if ended else [])
    assert len(provider.asked) == 1


@pytest.mark.parametrize("sealed", [b"\xff\xfe", b"demo\x80"], ids=["nothing of it", "but a part of it"])
async def test_credentials_that_are_no_text_are_no_call_and_a_counted_failure(
    pool: Pool, vault: Vault, provider: Scripted, sealed: bytes
) -> None:
    at = connections.place(await connect(pool, vault))
    await pool.execute("update integration_connections set credentials = $1", vault.seal(sealed, at))
    async with watching(pool, vault, provider):
        (row,) = await became(pool, lambda rows: rows[0]["attempts"] == 1, "it is tried again later")
    assert row["last_error"].startswith("the credentials cannot be opened: ")
    assert (row["status"], row["due_at"] > row["updated_at"], provider.asked) == ("pending", True, [])


async def test_credentials_that_cannot_be_opened_are_no_call(pool: Pool, vault: Vault, provider: Scripted) -> None:
    await connect(pool, vault)
    async with watching(pool, Vault(KeyRing({2: bytes(32)})), provider):
        (row,) = await became(pool, lambda rows: rows[0]["attempts"] == 1, "it is tried again later")
    assert row["last_error"].startswith("the credentials cannot be opened: ")
    assert provider.asked == []


@pytest.mark.parametrize("ending", [None, Reauthorize("revoked")], ids=["it is over", "we may not any more"])
async def test_the_subscription_of_a_closed_resource_is_ended(
    pool: Pool, vault: Vault, provider: Scripted, ending: Reauthorize | None
) -> None:
    await connect(pool, vault)
    await pool.execute("update webhook_subscriptions set status = 'stopping', external_id = 'resource-1'")
    provider.endings = [RetryAfter("500", datetime.now(UTC)), ending]
    async with watching(pool, vault, provider):
        (row,) = await became(pool, lambda rows: rows[0]["status"] == "stopped", "it is stopped")
    assert provider.ended == [(row["id"], "resource-1")] * 2


async def test_one_that_was_never_made_is_ended_without_a_call(pool: Pool, vault: Vault, provider: Scripted) -> None:
    await connect(pool, vault)
    await pool.execute("update webhook_subscriptions set status = 'stopping'")
    async with watching(pool, vault, provider):
        await became(pool, lambda rows: rows[0]["status"] == "stopped", "it is stopped")
    assert (provider.asked, provider.ended) == ([], [])


@pytest.mark.parametrize(("status", "ends"), [("pending", "failed"), ("stopping", "stopped")])
async def test_one_that_this_version_knows_nothing_of_is_left_where_a_person_sees_it(
    pool: Pool, vault: Vault, status: str, ends: str
) -> None:
    await connect(pool, vault)
    await pool.execute("update webhook_subscriptions set status = $1", status)
    watch = Watch(pool, vault, "me", {"google": "http://provider"}, KEYS, DOOR, lambda *_: None)
    async with driven(watch):
        (row,) = await became(pool, lambda rows: rows[0]["last_error"] is not None, "it is looked at")
    assert (row["status"], row["last_error"]) == (ends, "this version asks for no such subscription")
    assert await pool.fetchval("select due_at = 'infinity' from webhook_subscriptions"), "nobody asks again and again"
