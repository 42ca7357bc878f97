"""The channels on which Google announces changes: made once, whenever a process dies; heard only as long as they are ours."""

from collections.abc import Iterator
from random import Random
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from deploy.simulators.google.channels import Channel, pushed
from deploy.simulators.google.faults import ApiFault, Faults, PushFaults
from outbox.connections import DEMO_TENANT
from schemas.identity import channel_token, lane
from schemas.settings import KeyRing
from tests.flow.calendars import RECEIPTS, Owner, owners
from tests.flow.world import CHANNEL_RING, RING, World
from tests.outbox.conditions import until

RAN_OUT = (
    "update webhook_subscriptions set leased_until = now() where leased_until > now() returning 1",
    "update sync_cursors set leased_until = now() where leased_until > now() returning 1",
)
BY_NUMBER = "select outcome, tenant_id from receipts where provider = 'google' and message = $1"


@pytest.fixture(scope="module")
async def running(shared: World) -> World:
    await shared.service.start()
    return shared


@pytest.fixture(scope="module")
async def everybody(running: World) -> Iterator[Owner]:
    """People who are connected and read already."""
    return iter(await owners(running, 4))


@pytest.fixture
def ann(everybody: Iterator[Owner]) -> Owner:
    return next(everybody)


def slow_to_answer(one: Owner, calendar: str, seconds: float) -> ApiFault:
    """The channel is there at once; that it is takes some seconds to say."""
    return ApiFault(kind="trickle", seconds=seconds, path=one.path(calendar, "/watch"))


def channels(one: Owner, calendar: str) -> list[Channel]:
    """Those of a calendar that Google knows of and that have not ended, in order."""
    every = one.google.channels.by_id.values()
    return [channel for channel in every if channel.resource == one.events(calendar) and channel.live(one.google.now())]


async def asked(one: Owner, calendar: str) -> None:
    """Returns when Google has the channel of a calendar, and has not said so yet."""

    async def there() -> bool:
        return bool(channels(one, calendar))

    await until(there, "a channel is asked for")


async def test_what_is_pushed_before_a_channel_is_answered_for_finds_its_row(running: World, ann: Owner) -> None:
    new = ann.add_calendar("New")
    event = ann.add(calendar=new)
    running.google.faults.set(Faults(api=(slow_to_answer(ann, new, 2),)))

    async def heard() -> bool:
        return any(row["heard_at"] for row in await ann.subscriptions(ann.events(new)))

    await until(heard, "the first push is accepted")
    (row,) = await ann.subscriptions(ann.events(new))
    (channel,) = channels(ann, new)
    assert row["status"] == "pending"
    assert (row["external_id"], row["message"]) == (channel.resource_id, 1)
    running.google.faults.set(Faults())
    await running.settled()
    (row,) = await ann.subscriptions(ann.events(new))
    assert (str(row["id"]), row["status"]) == (channel.id, "active")
    assert row["expires_at"].timestamp() == int(channel.expires_at.timestamp() * 1000) / 1000
    assert ann.reads(ann.events(new), "watch") == 1
    receipts = await running.ask(RECEIPTS, row["id"])
    assert [(one["event"], one["outcome"]) for one in receipts] == [("sync", "wanted")]
    assert (f"{new}/{event}", "created", "full") in await ann.told()
    ann.is_told_to(await running.subscriber())


async def test_a_process_that_dies_before_it_notes_a_channel_leaves_one_that_is_heard(
    running: World, everybody: Iterator[Owner]
) -> None:
    """Google knows the id then. Its first push told us the rest; where that was lost, another channel takes its place."""
    heard, unheard = next(everybody), next(everybody)
    new = {heard: heard.add_calendar("New")}
    running.google.faults.set(Faults(api=(slow_to_answer(heard, new[heard], 5),)))

    async def is_heard() -> bool:
        return any(row["heard_at"] for row in await heard.subscriptions(heard.events(new[heard])))

    await until(is_heard, "the first push is accepted")
    new[unheard] = unheard.add_calendar("New")
    # What is pushed from now on is lost, so the first push of that channel, too.
    slow = tuple(slow_to_answer(one, calendar, 5) for one, calendar in new.items())
    running.google.faults.set(Faults(api=slow, push=PushFaults(drop=1.0)))
    await asked(unheard, new[unheard])
    for one, calendar in new.items():
        assert [row["status"] for row in await one.subscriptions(one.events(calendar))] == ["pending"]
    await running.service.processors.kill()
    running.google.faults.set(Faults())
    for statement in RAN_OUT:
        await running.ask(statement)
    await running.service.processors.start()
    await running.service.processors.ready()
    await running.settled()

    ended = {one: await one.subscriptions(one.events(calendar)) for one, calendar in new.items()}
    assert [row["status"] for row in ended[heard]] == ["active"]
    assert [row["status"] for row in ended[unheard]] == ["stopped", "active"]
    assert [str(row["id"]) for row in ended[unheard]] == [channel.id for channel in channels(unheard, new[unheard])]
    before = {one: len(await one.told()) for one in new}
    made = {one: one.add(calendar=calendar) for one, calendar in new.items()}
    await running.settled()
    for one, calendar in new.items():
        assert await one.told(before[one]) == [(f"{calendar}/{made[one]}", "created", "push")]
        one.is_told_to(await running.subscriber())
    outcomes = [{row["outcome"] for row in await running.ask(RECEIPTS, one["id"])} for one in ended[unheard]]
    assert outcomes == [{"stale"}, {"wanted"}]


async def test_pushes_of_no_living_channel_of_ours_have_no_effect(running: World, ann: Owner) -> None:
    """Forged ones are refused; what our own secret proves is answered as a success, and has a receipt that says why not."""
    (own,), (ended,) = channels(ann, ann.own), channels(ann, ann.choir)
    ann.google.unsubscribe(ann.account, ann.choir)
    await running.settled()
    ann.google.subscribe(ann.account, ann.choir, "owner")
    gone = ann.add_calendar("Gone")
    await running.settled()
    (closed,) = channels(ann, gone)
    ann.google.delete_calendar(ann.account, gone)
    await running.settled()

    nobody, token = uuid4(), own.token or ""
    refused: list[dict[str, str | None]] = [
        {"X-Goog-Channel-Token": None},
        {"X-Goog-Channel-Token": token[:-1] + ("A" if token[-1] != "A" else "Q")},
        {"X-Goog-Channel-Token": channel_token(KeyRing.parse(RING), "google", lane_of(ann), UUID(own.id))},
        {"X-Goog-Channel-Token": channel_token(KeyRing.parse(CHANNEL_RING), "todoist", lane_of(ann), UUID(own.id))},
        {"X-Goog-Channel-ID": ended.id},
    ]
    accepted: list[tuple[Channel, dict[str, str | None], str]] = [
        (own, {"X-Goog-Resource-ID": ended.resource_id}, "stale"),
        (ended, {}, "stale"),
        (closed, {}, "stale"),
        (own, {"X-Goog-Channel-ID": str(nobody), "X-Goog-Channel-Token": minted(ann, nobody)}, "unmatched"),
        (own, {}, "wanted"),
    ]
    wanted, calls = (await ann.cursor())["wanted"], ann.calls
    numbers = iter(range(9_000_001, 9_000_100))
    for changed in refused:
        number = next(numbers)
        assert await push(running, own, number, changed) == 401
        assert await running.ask(BY_NUMBER, number) == []
    for channel, changed, outcome in accepted:
        number = next(numbers)
        assert await push(running, channel, number, changed) == 200
        await running.settled()
        rows = await running.ask(BY_NUMBER, number)
        assert [(row["outcome"], row["tenant_id"]) for row in rows] == [
            (outcome, DEMO_TENANT if outcome == "wanted" else None)
        ], channel.resource
    # The last push of all was the only one that counted: one run over one resource.
    assert (await ann.cursor())["wanted"] == wanted + 1
    assert ann.calls == calls + 1
    ann.is_told_to(await running.subscriber())


def lane_of(one: Owner) -> int:
    return lane("google", one.account)


def minted(one: Owner, subscription: UUID) -> str:
    """A token as our own keys make it."""
    return channel_token(KeyRing.parse(CHANNEL_RING), "google", lane_of(one), subscription)


async def push(world: World, channel: Channel, number: int, changed: dict[str, str | None]) -> int:
    """The answer to a push as Google sends it on a channel, but for the headers that are changed or (None) left out."""
    sent: dict[str, Any] = pushed(channel.model_copy(), "exists", Random(1)).headers
    sent |= {"X-Goog-Message-Number": str(number)} | changed
    headers = {name: value for name, value in sent.items() if value is not None}
    async with httpx.AsyncClient(trust_env=False) as client:
        url = f"{world.service.variables['LIFEOS_PUBLIC_URL']}/webhooks/google/channel"
        return (await client.post(url, headers=headers)).status_code
