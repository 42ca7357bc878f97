"""The provider answers late, wrongly or not at all: its connection waits, others do not, and at the end nothing is missing."""

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette

from deploy.local.ports import fresh
from deploy.simulators.todoist import app
from deploy.simulators.todoist.faults import ApiFault, Faults, PushFaults
from deploy.simulators.todoist.server import listening
from outbox.vault import Vault
from schemas.settings import KeyRing
from tests.conftest import Stack
from tests.flow.expected import assert_same
from tests.flow.people import Person, person
from tests.flow.world import ACCOUNT, RING, World, world
from tests.outbox.conditions import until

# The database's own books on when runs began.
STARTS = """
create table starts (connection_id uuid, at timestamptz);
create function started() returns trigger language plpgsql as $$
begin insert into starts values (new.connection_id, new.last_start); return null; end $$;
create trigger started after update on sync_cursors for each row
    when (new.last_start is distinct from old.last_start) execute function started()"""
STARTED = "select at from starts where connection_id = $1 order by at"
PARKED = "select reason, source, sealed, tenant_id from parked where connection_id = $1 order by parked_at"
RECEIPTS = "select count(*) from receipts where connection_id = $1"
LIVING = "select external_id, deleted from integration_data_mapping where connection_id = $1 and kind = 'task'"
FOUND_BY = "select distinct found_by from sync_history"
POLLED = "select last_start > $1 and last_done > last_start from sync_cursors"
WRITTEN = "select (select sum(head) from outbox_lanes), (select count(*) from sync_history)"

BROKEN: dict[str, ApiFault] = {
    "500 once": ApiFault(kind="server_error", status=500, times=1),
    "502 twice": ApiFault(kind="server_error", status=502, times=2),
    "slow": ApiFault(kind="slow", seconds=2, times=1),
    "trickle": ApiFault(kind="trickle", seconds=2, times=1),
    "broken JSON": ApiFault(kind="broken_json", times=1),
    "no sync token": ApiFault(kind="no_sync_token", times=1),
    "429, come back at once": ApiFault(kind="rate_limited", retry_after=0, times=1),
}
LASTING = ApiFault(kind="server_error", times=3)


@dataclass
class Provider:
    """Where the processes find the simulator's API, as long as it is `up`."""

    api: Starlette
    port: int
    _served: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def up(self) -> None:
        await self._served.enter_async_context(listening(self.api, port=self.port))

    async def down(self) -> None:
        """Connections that are open are closed, new ones refused."""
        await self._served.aclose()


@pytest.fixture(scope="module")
async def provider(shared: World) -> AsyncIterator[Provider]:
    made = Provider(Starlette(routes=app.routes(shared.simulator)), fresh(set()))
    await made.up()
    yield made
    await made.down()


@pytest.fixture(scope="module")
async def running(shared: World, provider: Provider) -> World:
    await shared.plant(STARTS)
    service = shared.service
    service.processors = service.another("processors", LIFEOS_TODOIST_URL=provider.url)
    await service.start()
    return shared


@pytest.fixture(scope="module")
async def neighbour(running: World) -> Person:
    """Somebody whose account works, whatever happens to others."""
    return await person(running)


async def test_answers_that_break_the_promise_hold_up_their_own_connection_only(
    running: World, neighbour: Person
) -> None:
    people = {what: await person(running) for what in (*BROKEN, "lasting")}
    await running.settled()
    api = {**BROKEN, "lasting": LASTING}
    faults = [fault.model_copy(update={"account": people[what].account}) for what, fault in api.items()]
    running.simulator.faults.set(Faults(api=tuple(faults)))
    for seed, one in enumerate(people.values()):
        await running.simulator.mix(one.account, 40, seed)
    await neighbour.hears()
    await running.settled()
    assert running.simulator.faults.get().api == (), "a fault was not met"
    subscriber = await running.subscriber()
    assert subscriber.breaches == []
    for one in (*people.values(), neighbour):
        one.is_told_to(subscriber)
    # Subscribers hear of a failure that lasts, and of its end; of a short one they hear nothing.
    told = [(state["status"], state.get("detail")) for state in await people["lasting"].states()]
    assert [status for status, _ in told] == ["ok", "retrying", "ok"]
    assert told[1][1] == "Todoist answered 503"
    assert {state["status"] for state in await people["broken JSON"].states()} == {"ok"}


async def test_a_429_is_waited_for_although_pushes_come_in(running: World, neighbour: Person) -> None:
    limited = await person(running)
    await running.settled()
    running.simulator.faults.set(
        Faults(api=(ApiFault(kind="rate_limited", retry_after=3, times=1, account=limited.account),))
    )
    limited.run("item_add", content="One too many")
    await fails(limited)
    cursor = await limited.cursor()
    assert cursor["not_before"] - cursor["last_start"] >= timedelta(seconds=3)
    assert cursor["last_error"] == "Todoist answered 429: too many calls"
    while (await limited.cursor())["now"] < cursor["not_before"] - timedelta(seconds=1):
        limited.run("item_add", content="And one more")
        await neighbour.hears()
    await running.settled()
    starts = [row["at"] for row in await running.ask(STARTED, limited.connection)]
    refused = starts.index(cursor["last_start"])
    assert starts[refused + 1] >= cursor["not_before"]
    assert len(limited.world.simulator.holding(limited.account).account.living("item")) > 2
    subscriber = await running.subscriber()
    assert subscriber.breaches == []
    limited.is_told_to(subscriber)


async def test_a_lost_position_is_found_again_and_only_true_differences_are_told(running: World) -> None:
    ways = ("expired", "refused", "answered in full")
    people = {way: await person(running, tasks=6) for way in ways}
    tasks = {way: one.world.simulator.holding(one.account).account.living("item") for way, one in people.items()}
    await running.settled()
    for way, one in people.items():  # a full read shows neither of these two, which says nothing about them
        one.run("item_complete", id=tasks[way][5]["id"])
        project = one.run("project_add", name="Put away")
        one.run("project_archive", id=project["id"])
    await running.settled()
    before = {way: len(await one.history()) for way, one in people.items()}

    running.simulator.faults.set(
        Faults(
            api=(
                ApiFault(kind="invalid_sync_token", times=1, account=people["refused"].account),
                ApiFault(kind="full_sync", times=1, account=people["answered in full"].account),
            )
        )
    )
    running.simulator.expire_sync_tokens(people["expired"].account)
    fresh = {}
    for way, one in people.items():
        one.run("item_update", id=tasks[way][0]["id"], content="Edited meanwhile")
        one.run("item_delete", id=tasks[way][1]["id"])
        fresh[way] = one.run("item_add", content="Added meanwhile")
    await running.settled()

    subscriber = await running.subscriber()
    assert subscriber.breaches == []
    for way, one in people.items():
        told = (await one.history())[before[way] :]
        assert {(row["external_id"], row["action"], row["found_by"]) for row in told} == {
            (tasks[way][0]["id"], "updated", "full"),
            (tasks[way][1]["id"], "deleted", "full"),
            (fresh[way]["id"], "created", "full"),
            ("everything", "updated", "full"),
        }, way
        assert len(told) == 4, way
        one.is_told_to(subscriber)


async def test_an_item_against_the_documents_is_set_aside_and_nothing_else_is(running: World) -> None:
    one = await person(running, tasks=4)
    await running.settled()
    first, second = one.world.simulator.holding(one.account).account.living("item")[:2]
    malformed = ApiFault(kind="malformed_item", times=1, account=one.account)
    full = ApiFault(kind="full_sync", times=1, account=one.account)

    running.simulator.faults.set(Faults(api=(malformed,)))
    one.run("item_update", id=first["id"], content="Well-formed")
    one.run("item_update", id=second["id"], content="Malformed on its way")  # the newest is told first
    await running.settled()
    assert await set_aside(one) == [second["id"]]
    held = {row["external_id"]: row["deleted"] for row in await running.ask(LIVING, one.connection)}
    assert len(held) == 4
    assert not any(held.values())
    assert (await one.states())[-1]["rejected"] == 1
    assert (await running.subscriber()).living("task", one.connection)[first["id"]]["title"] == "Well-formed"

    # In a full read too it was seen, if not understood: it is not taken for deleted.
    running.simulator.faults.set(Faults(api=(malformed, full)))
    one.run("item_add", content="One that makes it look")
    await running.settled()
    assert len(await set_aside(one)) == 2
    assert "deleted" not in {row["action"] for row in await one.history()}

    for task in one.world.simulator.holding(one.account).account.living("item"):
        one.run("item_update", id=task["id"], description="Whole again")
    await running.settled()
    one.is_told_to(await running.subscriber())


async def test_revoked_access_is_announced_waited_for_and_healed_by_connecting_again(
    running: World, neighbour: Person
) -> None:
    revoked = await person(running, tasks=3)
    await running.settled()
    running.simulator.faults.set(Faults(api=(ApiFault(kind="revoked", account=revoked.account),)))
    revoked.run("item_add", content="Nobody may see this")
    await until(lambda: has_status(revoked, "needs_reauthorization"), "the refusal was understood")
    calls, since = revoked.calls, await receipts(revoked)

    for number in range(5):
        revoked.run("item_add", content=f"Nor this, {number}")
    await neighbour.hears()
    await until(lambda: has_receipts(revoked, since + 5), "its deliveries are still accepted")
    running.simulator.faults.set(Faults())
    revoked.run("item_add", content="Access alone does not make us try again")
    await until(lambda: has_receipts(revoked, since + 6), "its deliveries are still accepted")
    await neighbour.hears()
    assert revoked.calls == calls
    _, detail = await revoked.status()
    assert detail == "Todoist answered 401: the access was revoked or has expired"
    subscriber = await running.subscriber()
    assert subscriber.living("sync", revoked.connection)["everything"]["status"] == "needs_reauthorization"

    running.simulator.holding(revoked.account).token = "granted-again"
    assert await running.connect(revoked.account, "granted-again") == revoked.connection
    await running.settled()
    assert await revoked.status() == ("active", None)
    assert [state["status"] for state in await revoked.states()] == ["ok", "needs_reauthorization", "ok"]
    subscriber = await running.subscriber()
    assert subscriber.breaches == []
    revoked.is_told_to(subscriber)


async def test_a_provider_that_is_down_is_asked_again_until_it_is_back(
    running: World, provider: Provider, neighbour: Person
) -> None:
    other = await person(running)
    await running.settled()
    await provider.down()
    for seed, one in enumerate((neighbour, other)):
        await running.simulator.mix(one.account, 40, seed)
    for one in (neighbour, other):
        await fails(one)
    assert (await other.cursor())["last_error"].startswith("Todoist could not be asked: ")
    await provider.up()
    await running.settled()
    subscriber = await running.subscriber()
    assert subscriber.breaches == []
    for one in (neighbour, other):
        one.is_told_to(subscriber)


async def test_pushes_without_end_start_a_run_every_two_seconds_at_most(running: World) -> None:
    busy = await person(running, tasks=2)
    await running.settled()
    begun = len(await running.ask(STARTED, busy.connection))

    async def some_more() -> bool:
        await running.simulator.storm(busy.account, 100, edits=True)
        return len(await running.ask(STARTED, busy.connection)) >= begun + 2

    await until(some_more, "runs begin while pushes come", within=30)
    await running.settled()
    starts = [row["at"] for row in await running.ask(STARTED, busy.connection)][begun - 1 :]
    assert min(later - earlier for earlier, later in itertools.pairwise(starts)) >= timedelta(seconds=2)
    busy.is_told_to(await running.subscriber())


async def test_without_any_push_the_safety_poll_finds_everything_and_says_so(
    stack: Stack, database: str, prefix: str, tmp_path: Path
) -> None:
    async with world(stack, database, prefix, tmp_path, LIFEOS_SAFETY_POLL_SECONDS="1") as quiet:
        quiet.simulator.faults.set(Faults(push=PushFaults(drop=1.0)))
        await quiet.connect()
        await quiet.service.start()
        await polls(quiet)
        await quiet.simulator.mix(ACCOUNT, 200, seed=4)
        await polls(quiet)
        await quiet.settled()
        subscriber = await quiet.subscriber()
        assert subscriber.breaches == []
        assert_same(subscriber, quiet.simulator, ACCOUNT)
        assert {row["found_by"] for row in await quiet.ask(FOUND_BY)} == {"full", "poll"}
        assert await quiet.ask("select 1 from receipts") == []

        written = await quiet.ask(WRITTEN)
        await polls(quiet)
        await polls(quiet)
        assert await quiet.ask(WRITTEN) == written


async def fails(one: Person) -> None:
    """Returns when a run of theirs did not succeed."""

    async def failed() -> bool:
        return bool((await one.cursor())["attempts"] > 0)

    await until(failed, f"a run of {one.account} fails")


async def polls(world: World) -> None:
    """Returns when a run that began after now has ended."""
    ((now,),) = await world.ask("select now()")

    async def polled() -> bool:
        return [tuple(row) for row in await world.ask(POLLED, now)] == [(True,)]

    await until(polled, "a poll begins and ends")


async def has_status(one: Person, status: str) -> bool:
    return (await one.status())[0] == status


async def receipts(one: Person) -> int:
    return int((await one.world.ask(RECEIPTS, one.connection))[0][0])


async def has_receipts(one: Person, count: int) -> bool:
    return await receipts(one) >= count


async def set_aside(one: Person) -> list[str]:
    """The provider's ids of the items that were parked, whose bytes only the vault opens, and only where they stand."""
    vault = Vault(KeyRing.parse(RING))
    rows: list[Any] = await one.world.ask(PARKED, one.connection)
    assert {row["reason"] for row in rows} == {"item_malformed"}
    return [orjson.loads(vault.open(row["sealed"], f"parked/{row['source']}"))["id"] for row in rows]
