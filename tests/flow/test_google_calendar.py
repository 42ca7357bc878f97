"""Google's calendars, from a push without content to a subscriber's topic, on real processes, Kafka and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from functools import partial

import pytest

from deploy.simulators.google.faults import ApiFault, Faults, PushFaults
from schemas.identity import lane
from schemas.topics import PARTITIONS, partition
from tests.flow.calendars import DAILY, LIST, NOON, RECEIPTS, Owner, occurrence, owners
from tests.flow.world import World
from tests.outbox.conditions import until

PAGE = 50
"""Items that no page exceeds, so that what the tests read has more than one."""
STANDS = "select distinct action from sync_history where connection_id = $1 and kind = 'sync'"
DUE = "update sync_cursors set due_at = now() where connection_id = $1 returning 1"


@pytest.fixture(scope="module")
async def running(shared: World) -> World:
    shared.google.page_size = PAGE
    await shared.service.start()
    return shared


@pytest.fixture(scope="module")
async def everybody(running: World) -> Iterator[Owner]:
    """People who are connected and read already, so that no test waits for that: each takes its own."""
    return iter(await owners(running, 16))


@pytest.fixture
def ann(everybody: Iterator[Owner]) -> Owner:
    return next(everybody)


@pytest.fixture
async def small(running: World) -> AsyncIterator[None]:
    """Pages of three items, each of which takes its time."""
    running.google.page_size = 3
    running.google.faults.set(Faults(api=(ApiFault(kind="slow", seconds=0.1),)))
    yield
    running.google.page_size = PAGE
    running.google.faults.set(Faults())


async def test_two_thousand_mixed_changes_arrive_once_in_order_and_whole(running: World, ann: Owner) -> None:
    await running.google.mix(ann.account, 2_000, seed=1)
    await running.settled()
    subscriber = await running.subscriber()
    assert subscriber.breaches == []
    assert subscriber.repeats == 0
    ann.is_told_to(subscriber)
    # However many pages that took, nothing was read in full twice.
    books = running.google.holding(ann.account).books.by_resource()
    assert max(read.get("page", 0) for read in books.values()) > 3
    assert max(read.get("full", 0) for read in books.values()) == 1


async def test_a_storm_of_pushes_becomes_few_provider_calls_and_every_delivery_has_a_receipt(
    running: World, ann: Owner
) -> None:
    before = ann.calls_for(ann.events())
    storm = await running.google.storm(ann.account, 10_000, concurrency=64)
    await running.settled()
    assert ann.calls_for(ann.events()) - before <= 20
    (channel,) = await ann.subscriptions()
    receipts = await running.ask(RECEIPTS, channel["id"])
    pushes = running.google.holding(ann.account).books.pushes
    sent = {push.number for push in pushes if push.storm}
    assert len(sent) == 10_000
    assert sent <= {row["message"] for row in receipts}
    assert {row["outcome"] for row in receipts} == {"wanted"}
    # One that was not answered 200 in time may have been accepted all the same, and came again.
    assert len(receipts) <= len([push for push in pushes if push.channel.id == str(channel["id"])]) + storm.refused
    assert channel["message"] == max(sent)
    assert {row["partition"] for row in receipts} == {partition(lane("google", ann.account), PARTITIONS)}


async def test_dropped_doubled_and_reordered_pushes_end_equal(running: World, ann: Owner) -> None:
    running.google.faults.set(Faults(push=PushFaults(drop=0.05, duplicate=0.05, reorder=20, seed=3)))
    await running.google.mix(ann.account, 1_000, seed=2)
    # The last change may be among the dropped: the safety poll finds it, whose time comes by the clock in the cursor.
    await running.google.quiesce()
    running.google.faults.set(Faults())
    await running.ask(DUE, ann.connection)
    await running.settled()
    pushes = running.google.holding(ann.account).books.pushes
    assert any(push.dropped for push in pushes)
    assert any(push.duplicate for push in pushes)
    subscriber = await running.subscriber()
    assert subscriber.breaches == []
    ann.is_told_to(subscriber)


async def test_a_token_that_expires_in_the_middle_costs_a_full_read_and_only_true_differences_are_told(
    running: World, everybody: Iterator[Owner], small: None
) -> None:
    """Of ten events four are renamed and two deleted, two are new: three pages of changes, four of everything."""
    google = running.google
    expiries: dict[str, Callable[[Owner], None]] = {
        "sync token": lambda one: google.expire_sync_tokens(one.account, one.events()),
        "page token": lambda one: google.expire_page_tokens(one.account, one.events()),
        "page token, refused as invalid": lambda one: google.expire_page_tokens(one.account, one.events(), 400),
        "page token of a full read": lambda one: google.expire_page_tokens(one.account, one.events()),
    }
    people = {what: next(everybody) for what in expiries}
    held = {what: [one.add(f"Event {number}") for number in range(10)] for what, one in people.items()}
    await running.settled()
    before = {what: len(await one.told()) for what, one in people.items()}
    full = {what: one.reads(one.events()) for what, one in people.items()}
    google.expire_sync_tokens(people["page token of a full read"].account)
    expected = {what: changed(one, held[what]) for what, one in people.items()}
    await asyncio.gather(*(after_a_page(one, partial(expiries[what], one)) for what, one in people.items()))
    await running.settled()

    subscriber = await running.subscriber()
    assert subscriber.breaches == []
    for what, one in people.items():
        told = await one.told(before[what])
        assert [(id_, action) for id_, action, _ in told] == expected[what], what
        assert "full" in {found_by for _, _, found_by in told}, what
        assert one.reads(one.events()) == full[what] + 1, what
        # No read shows how synchronisation stands, which says nothing against it.
        assert {row["action"] for row in await running.ask(STANDS, one.connection)} == {"created", "updated"}, what
        one.is_told_to(subscriber)


def changed(one: Owner, events: list[str]) -> list[tuple[str, str]]:
    """Changes some of them; what subscribers have to be told."""
    for event in events[:4]:
        one.rename(event, "Renamed meanwhile")
    for event in events[4:6]:
        one.remove(event)
    new = [one.add("Added meanwhile") for _ in range(2)]
    told = {"updated": events[:4], "deleted": events[4:6], "created": new}
    return sorted((f"{one.own}/{event}", action) for action, ids in told.items() for event in ids)


async def after_a_page(one: Owner, then: Callable[[], object], calendar: str | None = None) -> None:
    """Does it when the next page of their events was served, and the one behind it was not."""
    resource = one.events(calendar)
    pages = one.reads(resource, "page")

    async def served() -> bool:
        return one.reads(resource, "page") > pages

    await until(served, "a page is served")
    assert one.reads(resource, "page") == pages + 1
    then()


async def test_tokens_of_everything_that_expire_at_once_leave_no_calendar_behind(running: World, ann: Owner) -> None:
    gone = ann.choir
    stays, goes = ann.add(), ann.add(calendar=gone)
    await running.settled()
    before = len(await ann.told())
    running.google.expire_sync_tokens(ann.account)
    ann.google.delete_calendar(ann.account, gone)
    ann.rename(stays, "Renamed meanwhile")
    await running.ask(DUE, ann.connection)
    await running.settled()
    assert [told[:2] for told in await ann.told(before)] == sorted(
        [(f"calendar/{gone}", "deleted"), (f"{gone}/{goes}", "deleted"), (f"{ann.own}/{stays}", "updated")]
    )
    subscriber = await running.subscriber()
    assert subscriber.breaches == []
    ann.is_told_to(subscriber)


async def test_a_calendar_that_vanishes_takes_all_it_held_with_it_whenever_that_is(
    running: World, ann: Owner, small: None
) -> None:
    choir = ann.choir
    events = [ann.add(f"Event {number}", choir) for number in range(7)]
    await running.settled()
    for event in events:
        ann.rename(event, "Renamed", choir)
    await after_a_page(ann, lambda: ann.google.delete_calendar(ann.account, choir), choir)
    await running.settled()
    cursor = await ann.cursor(ann.events(choir))
    assert cursor["closed"]
    assert [row["status"] for row in await ann.subscriptions(ann.events(choir))] == ["stopped"]
    subscriber = await running.subscriber()
    assert subscriber.breaches == []
    assert not [id_ for id_ in subscriber.living("calendar-event", ann.connection) if id_.startswith(choir)]
    ann.is_told_to(subscriber)


async def test_a_calendar_that_comes_back_is_read_and_watched_again(running: World, ann: Owner) -> None:
    choir = ann.choir
    event = ann.add(calendar=choir)
    await running.settled()
    before = len(await ann.told())
    ann.google.unsubscribe(ann.account, choir)
    await running.settled()
    assert ann.reads(ann.events(choir), "stop") == 1
    ann.is_told_to(await running.subscriber())
    ann.google.subscribe(ann.account, choir, "owner")
    await running.settled()
    ann.rename(event, "Heard on the new channel", choir)
    await running.settled()
    actions = [(f"calendar/{choir}", "created"), (f"calendar/{choir}", "deleted")]
    actions += [(f"{choir}/{event}", action) for action in ("created", "deleted", "updated")]
    assert [told[:2] for told in await ann.told(before)] == sorted(actions)
    assert [row["status"] for row in await ann.subscriptions(ann.events(choir))] == ["stopped", "active"]
    subscriber = await running.subscriber()
    assert subscriber.breaches == []
    ann.is_told_to(subscriber)


async def test_a_calendar_that_is_missing_by_mistake_loses_nothing(running: World, ann: Owner) -> None:
    event = ann.add()
    await running.settled()
    before = len(await ann.told())
    running.google.faults.set(Faults(api=(ApiFault(kind="not_found", times=1, path=ann.path()),)))
    ann.rename(event, "Found in the end")
    await running.settled()
    assert running.google.faults.get().api == (), "the fault was not met"
    assert [told[:2] for told in await ann.told(before)] == [(f"{ann.own}/{event}", "updated")]
    ann.is_told_to(await running.subscriber())


async def test_access_reduced_to_free_and_busy_and_given_back_shows_what_may_be_seen(
    running: World, ann: Owner
) -> None:
    choir = ann.choir
    ann.add("Nobody's business", choir)
    series = ann.add("Rehearsal", choir, **DAILY)
    ann.rename(occurrence(series, 2), "Concert", choir)
    ann.remove(occurrence(series, 3), choir)
    await running.settled()
    ann.is_told_to(await running.subscriber())
    for role in ("freeBusyReader", "owner"):
        ann.google.set_role(ann.account, choir, role)
        # A role that changes is announced by nobody: the next change of an event shows it.
        ann.google.put(choir, {"id": f"seen{role.lower()}", "summary": f"Seen by {role}", **NOON})
        await running.settled()
        subscriber = await running.subscriber()
        assert subscriber.breaches == []
        ann.is_told_to(subscriber)
        events = subscriber.living("calendar-event", ann.connection)
        titles = {item["title"] for id_, item in events.items() if id_.startswith(choir)}
        assert ("Nobody's business" in titles) == (role == "owner")
        shown = [id_ for id_ in events if id_.startswith(f"{choir}/{series}")]
        assert len(shown) == (3 if role == "owner" else 19)


async def test_a_calendar_that_nobody_announces_changes_of_is_polled(running: World, ann: Owner) -> None:
    birthdays = ann.add_calendar("Birthdays")
    running.google.set_watchable(birthdays, False)
    await running.settled()
    assert [row["status"] for row in await ann.subscriptions(ann.events(birthdays))] == ["unwatchable"]
    cursor, watched = await ann.cursor(ann.events(birthdays)), await ann.cursor()
    assert timedelta(minutes=10) < cursor["due_at"] - cursor["last_done"] < timedelta(minutes=20)
    assert watched["due_at"] - watched["last_done"] > timedelta(hours=4)
    before = len(await ann.told())
    event = ann.add("Ben's birthday", birthdays)
    await running.settled()
    assert await ann.told(before) == []
    await running.ask(DUE, ann.connection)
    await running.settled()
    assert await ann.told(before) == [(f"{birthdays}/{event}", "created", "poll")]
    ann.is_told_to(await running.subscriber())


async def test_a_deleted_series_takes_its_exceptions_with_it_whether_each_is_told_or_not(
    running: World, ann: Owner
) -> None:
    told, untold, other = (ann.add(title, **DAILY) for title in ("Told", "Untold", "Other"))
    for series in (told, untold, other):
        ann.rename(occurrence(series, 2), "At another place")
        ann.remove(occurrence(series, 3))
    await running.settled()
    before = len(await ann.told())
    ann.remove(told)
    # All that is guaranteed of a deleted series is its own id (Event.status); its exceptions stay as they are here.
    ann.google.put(ann.own, {"id": untold, "status": "cancelled"})
    await running.settled()
    family = [id_ for series in (told, untold) for id_ in (series, occurrence(series, 2), occurrence(series, 3))]
    assert [told[:2] for told in await ann.told(before)] == sorted((f"{ann.own}/{id_}", "deleted") for id_ in family)
    subscriber = await running.subscriber()
    assert subscriber.breaches == []
    held = subscriber.living("calendar-event", ann.connection)
    assert sorted(held) == sorted(f"{ann.own}/{id_}" for id_ in (other, occurrence(other, 2), occurrence(other, 3)))


async def test_an_account_that_is_connected_again_is_read_from_the_beginning(running: World, ann: Owner) -> None:
    event = ann.add()
    await running.settled()
    before, full = len(await ann.told()), {name: ann.reads(name) for name in (LIST, ann.events())}
    running.google.faults.set(Faults(push=PushFaults(drop=1.0)))
    ann.rename(event, "Not announced")
    running.google.faults.set(Faults())
    await ann.connect_again()
    await running.settled()
    assert {name: ann.reads(name) for name in full} == {name: count + 1 for name, count in full.items()}
    assert await ann.told(before) == [(f"{ann.own}/{event}", "updated", "full")]
    assert [row["status"] for row in await ann.subscriptions()] == ["active"]
    ann.is_told_to(await running.subscriber())
