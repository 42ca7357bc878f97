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
from processors.handle import handle
from schemas.delivery import Delivery, Via
from schemas.plan import Run
from schemas.receipt import Known, Receipt, Target
from tests.outbox.spine import ACCOUNT

ROWS = "select * from webhook_subscriptions order by created_at, id"
CURSOR = "select * from sync_cursors where resource = $1"
SOON = datetime(2026, 12, 1, tzinfo=UTC)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
WORK = "calendar/events/work"


@pytest.fixture
async def connection(pool: Pool, vault: Vault) -> UUID:
    return await connect(pool, vault)


async def connect(pool: Pool, vault: Vault, account: str = ACCOUNT) -> UUID:
    return await connections.add(
        pool, vault, provider="google", account=account, token="t", resources=["calendar/list"], watched=["calendar"]
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
    await follow(pool, connection, [WORK], [])
    await follow(pool, connection, [WORK], [])
    assert [row["resource"] for row in await rows(pool)] == ["calendar/list", WORK]
    await follow(pool, connection, [], [WORK])
    assert [row["status"] for row in await rows(pool)] == ["pending", "stopping"]
    await follow(pool, connection, [WORK], [])
    assert [row["status"] for row in await rows(pool)] == ["pending", "stopping", "pending"]


async def test_a_resource_that_is_no_more_gets_none_however_often_the_list_changes(
    pool: Pool, connection: UUID
) -> None:
    await follow(pool, connection, [WORK], [])
    await follow(pool, connection, [], [WORK])
    await follow(pool, connection, ["calendar/events/home"], [])
    await follow(pool, connection, [], [])
    assert [(row["resource"], row["status"]) for row in await rows(pool)] == [
        ("calendar/list", "pending"),
        (WORK, "stopping"),
        ("calendar/events/home", "pending"),
    ]


async def test_only_resources_of_a_product_that_is_watched_get_one(pool: Pool, connection: UUID) -> None:
    await follow(pool, connection, ["drive/changes", "calendars/of another product", WORK], [])
    assert [row["resource"] for row in await rows(pool)] == ["calendar/list", WORK]


@pytest.mark.parametrize("status", ["pending", "active", "unwatchable", "failed"])
async def test_whatever_became_of_it_it_ends_with_its_resource(pool: Pool, connection: UUID, status: str) -> None:
    await follow(pool, connection, [WORK], [])
    await pool.execute("update webhook_subscriptions set status = $1, attempts = 7, due_at = 'infinity'", status)
    await follow(pool, connection, [], [WORK])
    listed, work = await rows(pool)
    assert (listed["status"], work["status"], work["attempts"]) == (status, "stopping", 0)
    assert work["due_at"] <= datetime.now(UTC)


async def test_a_calendar_that_one_person_gives_up_stays_watched_for_another(
    pool: Pool, vault: Vault, connection: UUID
) -> None:
    other = await connect(pool, vault, "another")
    for one in (connection, other):
        await follow(pool, one, [WORK], [])
    await follow(pool, connection, [], [WORK])
    await follow(pool, other, [], [])
    of = {connection: ["stopping"], other: ["pending"]}
    assert await of_work(pool) == of
    await pool.execute("update sync_cursors set closed = true where resource = $1", WORK)
    await follow(pool, connection, [], [])
    assert await of_work(pool) == of, "the other's own run sees to it"


async def of_work(pool: Pool) -> dict[UUID, list[str]]:
    """What became of each connection's subscriptions of that calendar."""
    found: dict[UUID, list[str]] = {}
    for row in await rows(pool):
        if row["resource"] == WORK:
            found.setdefault(row["connection_id"], []).append(row["status"])
    return found


async def test_one_that_has_expired_makes_room_for_another(pool: Pool, vault: Vault, connection: UUID) -> None:
    other = await connect(pool, vault, "another")
    await follow(pool, connection, [WORK, "calendar/events/home"], [])
    await pool.execute(
        """update webhook_subscriptions set status = 'active', external_id = 'r', expires_at =
        case when resource = $1 then now() - interval '1 s' when resource = 'calendar/list' then now() + interval '1 h' end""",
        WORK,
    )
    await pool.execute("update webhook_subscriptions set expires_at = $2 where connection_id = $1", other, LONG_AGO)
    await follow(pool, connection, [], [])
    found = await rows(pool)
    await follow(pool, connection, [], [])
    assert await rows(pool) == found
    assert sorted((row["resource"], row["status"]) for row in found if row["connection_id"] == connection) == [
        ("calendar/events/home", "active"),
        (WORK, "pending"),
        (WORK, "stopped"),
        ("calendar/list", "active"),
    ]
    assert [row["status"] for row in found if row["connection_id"] == other] == ["active"], "its own run sees to it"
    await pool.execute("delete from webhook_subscriptions where connection_id = $1", other)
    nearest = await subscriptions.nearest_expiry(pool)
    assert nearest == pytest.approx(3600, abs=60), "what has a successor alarms nobody"


async def test_one_that_was_refused_is_asked_for_again_by_connecting_again_only(
    pool: Pool, vault: Vault, connection: UUID
) -> None:
    await connect(pool, vault, "another")
    for failing in await errand(pool), await errand(pool):
        await subscriptions.over(pool, failing, "failed", "403")
    await follow(pool, connection, [WORK], [])
    await follow(pool, connection, [], [WORK])
    assert [row["status"] for row in await rows(pool)] == ["failed", "failed", "stopping"]
    await connect(pool, vault)
    assert sorted((row["resource"], row["connection_id"] == connection, row["status"]) for row in await rows(pool)) == [
        (WORK, True, "stopping"),
        ("calendar/list", False, "failed"),
        ("calendar/list", True, "pending"),
        ("calendar/list", True, "stopped"),
    ]


async def test_a_provider_that_knows_every_id_is_asked_later_and_later(pool: Pool, connection: UUID) -> None:
    pauses = []
    for attempt in range(1, 5):
        await pool.execute("update webhook_subscriptions set due_at = now(), leased_until = '-infinity'")
        await subscriptions.replace(pool, await errand(pool), "taken")
        *_, newest = await rows(pool)
        assert (newest["status"], newest["attempts"], newest["last_error"]) == ("pending", attempt, "taken")
        pauses.append((newest["due_at"] - newest["created_at"]).total_seconds())
    assert all(2**n * 0.5 <= pause <= 2**n * 1.5 for n, pause in enumerate(pauses)), pauses
    await pool.execute("update webhook_subscriptions set attempts = 60, due_at = now(), leased_until = '-infinity'")
    await subscriptions.replace(pool, await errand(pool), "taken")
    *_, newest = await rows(pool)
    assert newest["due_at"] - newest["created_at"] <= 1.5 * subscriptions.LONGEST_BACKOFF


@pytest.mark.parametrize("status", ["unwatchable", "failed"])
async def test_one_that_is_to_be_ended_stays_so_whatever_the_provider_says(
    pool: Pool, connection: UUID, status: str
) -> None:
    making = await ended_while_it_is_made(pool, connection)
    await subscriptions.over(pool, making, status, "no")
    _, row = await rows(pool)
    assert (row["status"], row["last_error"]) == ("stopping", "no")
    assert row["due_at"] <= datetime.now(UTC)
    await subscriptions.over(pool, making, "stopped", None)
    _, row = await rows(pool)
    assert row["status"] == "stopped"


async def test_one_that_is_to_be_ended_gets_no_successor(pool: Pool, connection: UUID) -> None:
    making = await ended_while_it_is_made(pool, connection)
    await subscriptions.replace(pool, making, "taken")
    assert [row["status"] for row in await rows(pool) if row["resource"] == WORK] in (["stopping"], ["stopped"])


async def ended_while_it_is_made(pool: Pool, connection: UUID) -> Errand:
    """What a process holds that is asking the provider while the resource goes."""
    await follow(pool, connection, [WORK], [])
    await pool.execute("update webhook_subscriptions set due_at = 'infinity' where resource <> $1", WORK)
    making = await errand(pool)
    await follow(pool, connection, [], [WORK])
    return making


async def test_one_that_is_ended_while_it_is_made_stays_so_and_can_be_ended(pool: Pool, connection: UUID) -> None:
    making = await ended_while_it_is_made(pool, connection)
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


async def test_no_later_push_changes_what_is_known_of_it(pool: Pool, vault: Vault, connection: UUID) -> None:
    making = await errand(pool)
    target = (await subscriptions.known(pool, "google", [making.held.key]))[making.held.key].target
    assert target is not None
    told = [("resource-1", SOON), ("resource-2", SOON + timedelta(days=1)), (None, None)]
    for message, (external_id, expires_at) in enumerate(told, 1):
        via = Via(making.held.key, external_id, message, None if expires_at is None else expires_at.isoformat())
        await accept(
            pool, vault, Receipt(message, "d", "google", "exists", ACCOUNT, None, "wanted", targets=[target], via=via)
        )
        (row,) = await rows(pool)
        assert (row["external_id"], row["message"], row["expires_at"]) == ("resource-1", message, SOON)


async def test_a_push_through_a_living_subscription_of_a_closed_resource_concerns_nothing(
    pool: Pool, vault: Vault, connection: UUID
) -> None:
    await follow(pool, connection, [WORK], [])
    await pool.execute("update webhook_subscriptions set status = 'active', external_id = 'r'")
    await pool.execute("update sync_cursors set closed = true where resource = $1", WORK)
    ids = {row["resource"]: row["id"] for row in await rows(pool)}
    said = await subscriptions.known(pool, "google", list(ids.values()))
    assert (said[ids[WORK]].live, said[ids[WORK]].target) == (True, None)
    assert said[ids["calendar/list"]].target is not None
    push = Delivery("d-1", "google", "look", "", 0, "exists", SOON.isoformat(), b"", False, Via(ids[WORK], "r", 2))
    assert handle(push, 0, Known({}, said)).outcome == "stale"


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
