"""What is slow, stuck or refused holds up nobody else, and asks its provider no more than it may: be it one connection, or
all of a provider's."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, get_args
from uuid import uuid4

import asyncpg
import pytest

from deploy.simulators.faults import AllFaults
from deploy.simulators.google import faults as google
from deploy.simulators.todoist import faults as todoist
from deploy.simulators.todoist.faults import ApiFault, Faults, PushFaults
from processors.sync import RUNS_AT_ONCE
from schemas.identity import lane
from schemas.providers import Provider
from tests.flow.calendars import Owner, owner
from tests.flow.people import Person, person
from tests.flow.world import World
from tests.outbox.conditions import until

LOCK = "select from sync_cursors where connection_id = $1 for update"
LEASED = "select count(*) from sync_cursors where connection_id = any($1::uuid[]) and leased_until > now()"
RUNS = "select count(*) from sync_runs where connection_id = $1"
# Seconds from where a delivery is accepted to its run, and from where a change is committed to its topic.
STEPS = """
select
    (select percentile_cont(0.5) within group (order by extract(epoch from r.started_at - d.accepted_at))
     from sync_runs r join receipts d on d.delivery_id = r.causation_id
     where r.connection_id = any($1::uuid[]) and r.started_at > $2),
    (select percentile_cont(0.5) within group (order by extract(epoch from p.published_at - o.recorded_at))
     from outbox o join outbox_published p on p.lane = o.lane and p.kind = o.kind and o.seq between p.first_seq and p.last_seq
     where o.connection_id = any($1::uuid[]) and o.recorded_at > $2)"""
UNHANDLED = "select count(*) from receipts where account = $1"


@pytest.fixture
async def running(shared: World) -> World:
    if not shared.service.processors.running:
        await shared.service.start()
    return shared


async def apart(running: World, from_: Person) -> Person:
    """Somebody whose deliveries stand in another partition."""
    while lane("todoist", (other := await person(running)).account) % 6 == lane("todoist", from_.account) % 6:
        pass
    return other


async def test_a_cursor_that_somebody_keeps_locked_holds_up_its_own_partition_only(running: World) -> None:
    ann = await person(running)
    ben = await apart(running, ann)
    held = await asyncpg.connect(running.database)
    try:
        async with held.transaction():
            await held.execute(LOCK, ann.connection)
            ann.run("item_add", content="stuck before its cursor")
            # Both deliveries are there; what ben waits for is proven while ann's lock is still held.
            await ben.hears()
            assert (await running.ask(UNHANDLED, ann.account))[0][0] == 0
            assert running.service.processors.running
    finally:
        await held.close()
    await ann.hears()
    await running.settled()


async def test_a_provider_that_says_at_once_is_not_taken_at_its_word(running: World) -> None:
    ann = await person(running)
    await running.settled()
    before = running.calls(ann.account)
    fault = ApiFault(kind="rate_limited", retry_after=0, account=ann.account)
    running.simulator.faults.set(Faults(api=(fault,)))
    ann.run("item_add", content="too many calls")

    async def tried(times: int) -> bool:
        return bool((await ann.cursor())["attempts"] >= times)

    await until(lambda: tried(3), "three tries", 20)
    cursor = await ann.cursor()
    assert cursor["due_at"] > cursor["last_start"]
    assert running.calls(ann.account) - before <= 4
    running.simulator.faults.set(Faults())
    await ann.hears()


# One provider beside another ------------------------------------------------------------------------------------------

SLOW: Final = 4.0
"""Seconds that a slow answer takes: more than anybody waits for meanwhile."""
LATE: Final = 10.0
"""Seconds from a push to its topic that nobody may ever need; most need a tenth of one."""
AT_ONCE: Final = 0.2
"""Seconds that half of all take less than."""
OFTEN: Final = 100_000
"""How many calls a fault hits: as good as all, and counted."""
PUSHES: Final = PushFaults(drop=0.3, duplicate=0.3, reorder=5, seed=1)

Ways = Mapping[str, AllFaults[Any]]
"""To be broken: every one in which a simulator can be."""
Made = Callable[[World], Awaitable[Person | Owner]]


def broken_todoist() -> Ways:
    calls = {kind: todoist.ApiFault(kind=kind, seconds=SLOW, times=OFTEN) for kind in get_args(todoist.ApiFaultKind)}
    calls["hangs"] = todoist.ApiFault(kind="slow", seconds=2 * SLOW, times=OFTEN)
    return {"pushes": todoist.Faults(push=PUSHES)} | {what: todoist.Faults(api=(one,)) for what, one in calls.items()}


def broken_google() -> Ways:
    calls = {kind: google.ApiFault(kind=kind, seconds=SLOW, times=OFTEN) for kind in get_args(google.ApiFaultKind)}
    calls["hangs"] = google.ApiFault(kind="slow", seconds=2 * SLOW, times=OFTEN)
    calls["refused as too many"] = google.ApiFault(
        kind="rate_limited", status=403, reason="userRateLimitExceeded", times=OFTEN
    )
    return {"pushes": google.Faults(push=PUSHES)} | {what: google.Faults(api=(one,)) for what, one in calls.items()}


@pytest.mark.parametrize("broken", ["todoist", "google"])
async def test_whatever_a_provider_does_the_other_does_not_notice(running: World, broken: Provider) -> None:
    """For each way to be broken somebody who meets it, and somebody with the other provider who hears of a change."""
    ways = broken_todoist() if broken == "todoist" else broken_google()
    simulator: Any = running.simulator if broken == "todoist" else running.google
    made: tuple[Made, Made] = (person, owner) if broken == "todoist" else (owner, person)
    sick, sound = [{way: await make(running) for way in ways} for make in made]
    await running.settled()
    runs, calls = await counted(running, sound.values()), {way: one.calls for way, one in sound.items()}
    ((began,),) = await running.ask("select now()")
    for way, faults in ways.items():
        simulator.faults.set(faults)
        await meets(simulator, sick[way])
        await sound[way].hears(LATE)
    simulator.faults.set(simulator.faults.none)
    for one in sick.values():
        await one.connect_again()
    await running.settled()

    assert {way: one.calls - calls[way] for way, one in sound.items()} == dict.fromkeys(ways, 1)
    assert await counted(running, sound.values()) == [count + 1 for count in runs]
    # What sleeps looks once a second; it is woken for each of these.
    ((to_its_run, to_its_topic),) = await running.ask(STEPS, [one.connection for one in sound.values()], began)
    assert to_its_run < AT_ONCE
    assert to_its_topic < AT_ONCE
    subscriber = await running.subscriber()
    assert subscriber.breaches == []
    for one in (*sick.values(), *sound.values()):
        one.is_told_to(subscriber)


async def test_a_provider_that_hangs_takes_all_its_own_places_and_none_of_another(running: World) -> None:
    """One account in more workspaces than there are places, so that one change makes each of them ask."""
    ann = await owner(running)
    running.simulator.create("9000001", "hangs")
    hanging = [await running.connect("9000001", "hangs", uuid4(), uuid4()) for _ in range(RUNS_AT_ONCE + 6)]
    await running.settled()
    hang = todoist.ApiFault(kind="slow", seconds=2 * SLOW, account="9000001")
    running.simulator.faults.set(Faults(api=(hang,)))
    running.simulator.run("9000001", "item_add", content="Asked for by all of them")

    async def every_place_is_taken() -> bool:
        return bool((await running.ask(LEASED, hanging))[0][0] >= RUNS_AT_ONCE)

    await until(every_place_is_taken, "runs hang in every place")
    assert await ann.hears() < SLOW / 2
    assert await every_place_is_taken()
    running.simulator.faults.set(Faults())


async def counted(running: World, people: Iterable[Person | Owner]) -> list[int]:
    """How many runs each of them had."""
    return [int((await running.ask(RUNS, one.connection))[0][0]) for one in people]


async def meets(simulator: Any, one: Person | Owner) -> None:
    """Changes something of theirs until a call is hit by what is broken; of pushes, until some of them were."""
    if any(fault.kind == "invalid_cursor" for fault in simulator.faults.get().api):
        simulator.expire_sync_tokens(one.account)  # only a full read has such pages
    for _ in range(1 if simulator.faults.get().api else 20):
        one.change()

    async def hit() -> bool:
        return all(fault.times < OFTEN for fault in simulator.faults.get().api)

    await until(hit, f"{one.account} meets what is broken")
