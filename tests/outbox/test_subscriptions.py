"""Subscriptions: made and ended under a lease, replaced where the provider knows more than we do, found by what comes through."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from outbox import commit, connections, cursors, lease, offsets, subscriptions
from outbox.commit import Batch
from outbox.lease import FenceLost, Held
from outbox.postgres import Pool
from outbox.subscriptions import SUBSCRIPTIONS, Errand
from outbox.vault import Vault
from schemas.delivery import Via
from schemas.plan import Run
from schemas.receipt import Receipt, Target
from tests.outbox.spine import ACCOUNT

ROWS = "select * from webhook_subscriptions order by created_at, id"
CURSOR = "select * from sync_cursors where resource = $1"
SOON = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
async def connection(pool: Pool, vault: Vault) -> UUID:
    return await connect(pool, vault)


async def connect(pool: Pool, vault: Vault) -> UUID:
    return await connections.add(
        pool, vault, provider="google", account=ACCOUNT, token="t", resources=["calendar/list"], watched=["calendar"]
    )


async def rows(pool: Pool) -> list[Any]:
    return list(await pool.fetch(ROWS))


async def errand(pool: Pool, owner: str = "one") -> Errand:
    (held,) = await lease.claim(pool, SUBSCRIPTIONS, owner, 1)
    found = await subscriptions.begin(pool, held)
    assert found is not None
    return found


async def follow(pool: Pool, connection: UUID, opened: list[str], closed: list[str]) -> None:
    """As a run does that shows resources coming and going."""
    run = Run(
        uuid4(),
        connections.DEMO_TENANT,
        connections.DEMO_PROFILE,
        connection,
        "google",
        ACCOUNT,
        0,
        "calendar/list",
        "push",
        "delivery",
    )
    async with pool.acquire() as db, db.transaction():
        await cursors.open_and_close(db, run, opened, closed)
        await subscriptions.follow(db, run.tenant_id, connection, ["calendar"])


async def test_connecting_asks_for_one_subscription_and_connecting_again_for_no_other(pool: Pool, vault: Vault) -> None:
    await connect(pool, vault)
    await connect(pool, vault)
    (row,) = await rows(pool)
    assert (row["resource"], row["status"], row["external_id"]) == ("calendar/list", "pending", None)
    assert await subscriptions.next_due(pool, "google") is not None


async def test_a_subscription_that_is_made_makes_its_resource_due_for_what_nobody_announced(
    pool: Pool, connection: UUID
) -> None:
    await pool.execute("update sync_cursors set due_at = now() + interval '1 hour', last_start = now()")
    await subscriptions.made(pool, await errand(pool), "resource-1", SOON)
    (row,) = await rows(pool)
    assert (row["status"], row["external_id"], row["expires_at"]) == ("active", "resource-1", SOON)
    (cursor,) = await pool.fetch(CURSOR, "calendar/list")
    assert cursor["due_at"] < datetime.now(UTC) + timedelta(seconds=5)
    assert (cursor["wanted"] - cursor["done"], cursor["cause"]) == (1, None)
    assert await subscriptions.next_due(pool, "google") is None
    assert await subscriptions.nearest_expiry(pool) == pytest.approx((SOON - datetime.now(UTC)).total_seconds(), abs=60)


async def test_only_the_holder_of_the_lease_says_what_became_of_it(pool: Pool, connection: UUID) -> None:
    slept = await errand(pool)
    await pool.execute("update webhook_subscriptions set leased_until = '-infinity'")
    await errand(pool, "two")
    assert await subscriptions.begin(pool, slept.held) is None
    for late in (
        subscriptions.made(pool, slept, "resource-1", None),
        subscriptions.over(pool, slept, "failed", "late"),
        subscriptions.again(pool, slept, "late", None),
        subscriptions.replace(pool, slept, "late"),
    ):
        with pytest.raises(FenceLost):
            await late
    (row,) = await rows(pool)
    assert (row["status"], row["external_id"], row["attempts"]) == ("pending", None, 0)
    (cursor,) = await pool.fetch(CURSOR, "calendar/list")
    assert cursor["wanted"] == 0, "what does not happen makes nothing due"


async def test_a_failure_is_tried_again_later_and_later(pool: Pool, connection: UUID) -> None:
    pauses = []
    for _ in range(4):
        await pool.execute("update webhook_subscriptions set due_at = now(), leased_until = '-infinity'")
        await subscriptions.again(pool, await errand(pool), "500", None)
        (row,) = await rows(pool)
        pauses.append((row["due_at"] - row["updated_at"]).total_seconds())
    (row,) = await rows(pool)
    assert (row["attempts"], row["last_error"]) == (4, "500")
    assert all(2**n * 0.5 <= pause <= 2**n * 1.5 for n, pause in enumerate(pauses)), pauses


async def test_one_that_the_provider_knows_already_gives_way_to_another(pool: Pool, connection: UUID) -> None:
    first = await errand(pool)
    await subscriptions.replace(pool, first, "taken")
    old, new = await rows(pool)
    assert (old["id"], old["status"], old["last_error"]) == (first.held.key, "stopped", "taken")
    assert (new["status"], new["resource"]) == ("pending", "calendar/list")
    assert new["id"] != old["id"]


async def test_resources_get_a_subscription_as_they_come_and_lose_it_as_they_go(pool: Pool, connection: UUID) -> None:
    await follow(pool, connection, ["calendar/events/work"], [])
    await follow(pool, connection, ["calendar/events/work"], [])
    assert [row["resource"] for row in await rows(pool)] == ["calendar/list", "calendar/events/work"]
    await follow(pool, connection, [], ["calendar/events/work"])
    assert [row["status"] for row in await rows(pool)] == ["pending", "stopping"]
    await follow(pool, connection, ["calendar/events/work"], [])
    assert [row["status"] for row in await rows(pool)] == ["pending", "stopping", "pending"]


async def test_one_that_is_ended_while_it_is_made_stays_so_and_can_be_ended(pool: Pool, connection: UUID) -> None:
    await follow(pool, connection, ["calendar/events/work"], [])
    await pool.execute("update webhook_subscriptions set due_at = 'infinity' where resource = 'calendar/list'")
    making = await errand(pool)
    await follow(pool, connection, [], ["calendar/events/work"])
    await subscriptions.made(pool, making, "resource-2", SOON)
    row = (await rows(pool))[1]
    assert (row["status"], row["external_id"]) == ("stopping", "resource-2")
    assert row["due_at"] < datetime.now(UTC) + timedelta(seconds=1)


async def accept(pool: Pool, vault: Vault, receipt: Receipt) -> None:
    await pool.execute("delete from consumer_offsets")
    place = ("webhooks.google", 0)
    position = (await offsets.claim(pool, "group", "me", [place]))[place]
    await commit.accept(pool, vault, position, Batch([receipt], [], receipt.offset + 1))


async def test_the_first_push_may_come_before_the_answer_and_tells_as_much(
    pool: Pool, vault: Vault, connection: UUID
) -> None:
    making = await errand(pool)
    found = await subscriptions.known(pool, "google", [making.held.key, uuid4()])
    assert list(found) == [making.held.key]
    said = found[making.held.key]
    assert (said.live, said.external_id, said.account) == (True, None, ACCOUNT)
    assert isinstance(said.target, Target)
    for message in (3, 2):
        via = Via(making.held.key, "resource-1", message, SOON.isoformat())
        await accept(
            pool,
            vault,
            Receipt(message, "d", "google", "sync", ACCOUNT, None, "wanted", targets=[said.target], via=via),
        )
    (row,) = await rows(pool)
    assert (row["external_id"], row["message"], row["expires_at"]) == ("resource-1", 3, SOON)
    assert row["heard_at"] is not None
    receipt = await pool.fetchrow("select subscription_id, message, wanted from receipts order by accepted_at limit 1")
    assert receipt is not None
    assert tuple(receipt) == (making.held.key, 3, 1)


async def test_a_stale_push_tells_nothing(pool: Pool, vault: Vault, connection: UUID) -> None:
    making = await errand(pool)
    via = Via(making.held.key, "another", 9, None)
    await accept(pool, vault, Receipt(1, "d", "google", "exists", ACCOUNT, None, "stale", via=via))
    (row,) = await rows(pool)
    assert (row["external_id"], row["message"]) == (None, None)


@pytest.mark.parametrize(
    ("change", "live", "targeted"),
    [
        ("status = 'active', expires_at = now() + interval '1 hour'", True, True),
        ("status = 'active', expires_at = now() - interval '1 minute'", True, True),
        ("status = 'active', expires_at = now() - interval '1 hour'", False, True),
        ("status = 'stopping'", False, True),
        ("status = 'stopped'", False, True),
        ("status = 'failed'", False, True),
        ("resource = 'calendar/events/none'", True, False),
    ],
)
async def test_which_subscriptions_live(pool: Pool, connection: UUID, change: str, live: bool, targeted: bool) -> None:
    await pool.execute(f"update webhook_subscriptions set {change}")
    (row,) = await rows(pool)
    said = (await subscriptions.known(pool, "google", [row["id"]]))[row["id"]]
    assert (said.live, said.target is not None) == (live, targeted)
    assert await subscriptions.known(pool, "todoist", [row["id"]]) == {}, "another provider's pushes do not find it"


async def test_whether_a_resource_is_watched_decides_how_often_it_is_read(pool: Pool, connection: UUID) -> None:
    async def watched() -> bool:
        await pool.execute("update sync_cursors set due_at = now(), leased_until = '-infinity'")
        (held,) = await lease.claim(pool, lease.CURSORS, "one", 1)
        work = await cursors.begin(pool, held)
        assert work is not None
        return work.watched

    assert not await watched()
    await subscriptions.made(pool, await errand(pool), "resource-1", None)
    assert await watched()
    await pool.execute("update webhook_subscriptions set expires_at = now()")
    assert not await watched()


async def test_a_claim_is_of_what_is_due_and_to_be_made_or_ended(pool: Pool, connection: UUID) -> None:
    for status in ("active", "unwatchable", "stopped", "failed"):
        await pool.execute("update webhook_subscriptions set status = $1, due_at = now()", status)
        assert await lease.claim(pool, SUBSCRIPTIONS, "one", 1) == []
    await pool.execute("update webhook_subscriptions set status = 'stopping'")
    (held,) = await lease.claim(pool, SUBSCRIPTIONS, "one", 1)
    assert isinstance(held, Held)
