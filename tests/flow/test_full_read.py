"""A full read is made of parts; wherever it is cut short, what it tells at its end is what truly differs, and all of it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from deploy.simulators.todoist.faults import ApiFault, Faults
from processors.providers.todoist_position import Completed, Everything, Following, Since, parse
from tests.flow.people import Person, person
from tests.flow.world import World
from tests.outbox.conditions import until

PAGES = "GET /api/v1/tasks/completed/by_completion_date"
PUSHED = "update sync_cursors set wanted = wanted + 1, due_at = now() where connection_id = $1 returning 1"
RAN_OUT = "update sync_cursors set leased_until = now() where connection_id = $1 returning 1"
UNMARKED = "update sync_cursors set full_run = null, leased_until = now() where connection_id = $1 returning 1"
KILLED = -9
TWO_PAGES = 230
"""Completed tasks, of which a page shows 200."""


@pytest.fixture(scope="module")
async def running(shared: World) -> AsyncIterator[World]:
    """Processes that hear of no change by themselves: every push is lost."""
    shared.simulator.webhook_url = None
    await shared.service.start()
    yield shared
    shared.simulator.faults.set(Faults())


async def look(one: Person) -> None:
    """As if one push had come through."""
    await one.world.ask(PUSHED, one.connection)


async def looked(one: Person) -> None:
    await look(one)
    await one.world.settled()


def done(one: Person, tasks: int) -> list[str]:
    ids: list[str] = [one.run("item_add", content=f"Done {number}")["id"] for number in range(tasks)]
    for id_ in ids:
        one.run("item_complete", id=id_)
    return ids


def opened(one: Person) -> list[str]:
    return [task["id"] for task in one.world.simulator.holding(one.account).account.active("item")]


async def told(one: Person, before: int) -> list[tuple[str, str, str]]:
    """What subscribers were told since, but for the state of the cursor."""
    rows = (await one.history())[before:]
    return sorted((row["external_id"], row["action"], row["found_by"]) for row in rows if row["kind"] != "sync")


async def position(one: Person) -> Everything | Since | Completed | Following:
    return parse((await one.cursor())["position"])


async def killed_after(one: Person, pages: int) -> None:
    """A full read of theirs, whose process dies when it has stored so many pages."""
    processors = one.world.service.processors
    assert await processors.stop() == 0
    one.world.simulator.expire_sync_tokens(one.account)
    await processors.start(LIFEOS_FAILPOINT=f"sync.between_pages:{pages}")
    await processors.ready()
    await look(one)
    assert await processors.ended() == KILLED


async def revived(one: Person, statement: str = RAN_OUT) -> None:
    """Another process takes over, without waiting for the lease of the dead one to run out by itself."""
    await one.world.ask(statement, one.connection)
    await one.world.service.processors.start()
    await one.world.service.processors.ready()
    await one.world.settled()


async def test_what_happened_while_the_position_was_lost_is_told_exactly(running: World) -> None:
    simulator = running.simulator
    simulator.now = lambda: datetime.now(UTC) - timedelta(days=100)
    one = await person(running, tasks=7)
    finished, gone, finished_and_gone, reopened, kept, old, _ = opened(one)
    await running.settled()
    one.run("item_complete", id=old)
    simulator.now = lambda: datetime.now(UTC)
    for id_ in (finished_and_gone, reopened, kept):
        one.run("item_complete", id=id_)
    await looked(one)
    before = len(await one.history())

    simulator.expire_sync_tokens(one.account)
    one.run("item_complete", id=finished)
    one.run("item_delete", id=gone)
    one.run("item_delete", id=finished_and_gone)
    one.run("item_uncomplete", id=reopened)
    (new,) = done(one, 1)
    await looked(one)
    assert await told(one, before) == sorted(
        [
            (finished, "updated", "full"),
            (gone, "deleted", "full"),
            (finished_and_gone, "deleted", "full"),
            (reopened, "updated", "full"),
            (new, "created", "full"),
        ]
    )
    subscriber = await running.subscriber()
    assert subscriber.breaches == []
    one.is_told_to(subscriber)


async def test_an_account_is_connected_with_what_was_completed_before(running: World) -> None:
    running.simulator.create("8800001", "before")
    one = Person(running, "8800001", connection=UUID(int=0))
    ids = done(one, TWO_PAGES)
    one.run("item_delete", id=ids[7])
    one = replace(one, connection=await running.connect(one.account, "before"))
    await running.settled()
    subscriber = await running.subscriber()
    one.is_told_to(subscriber)
    assert len(subscriber.living("task", one.connection)) == TWO_PAGES - 1
    assert running.simulator.holding(one.account).books.called() == {
        "POST /api/v1/sync": {"200": 2},
        PAGES: {"200": 2},
    }


async def test_a_read_that_dies_between_its_pages_goes_on_where_it_was(running: World) -> None:
    """While it is dead a task of each kind changes: what one part has shown and what no part will show again."""
    one = await person(running, tasks=12)
    ids = done(one, TWO_PAGES)
    await running.settled()
    stored: list[Everything | Since | Completed | Following] = []
    for pages, left in ((1, 3), (2, 2), (3, 1), (4, 1)):
        before = len(await one.history())
        active = opened(one)
        finished, gone, finished_late = active[:3]
        one.run("item_complete", id=finished)
        one.run("item_delete", id=gone)
        one.run("item_delete", id=ids.pop())
        await killed_after(one, pages)
        stored.append(await position(one))
        assert (await one.cursor())["full_run"] is not None
        one.run("item_complete", id=finished_late)
        one.run("item_uncomplete", id=ids[0])
        one.run("item_uncomplete", id=ids[-1])
        one.run("item_delete", id=ids[1])
        calls = one.calls
        await revived(one)
        assert one.calls - calls == left, pages
        changes = await told(one, before)
        assert len(changes) == len({id_ for id_, _, _ in changes}) == 7
        assert {found_by for _, _, found_by in changes} == {"full"}
        assert sum(action == "deleted" for _, action, _ in changes) == 3
        one.run("item_complete", id=ids[0])
        one.run("item_complete", id=ids[-1])
        del ids[1]
        await looked(one)
    assert [type(place) for place in stored] == [Completed, Completed, Following, Since]
    assert [bool(place.cursor) for place in stored if isinstance(place, Completed)] == [False, True]
    subscriber = await running.subscriber()
    assert subscriber.breaches == []
    one.is_told_to(subscriber)


async def test_a_full_read_that_lost_its_mark_deletes_nothing(running: World) -> None:
    one = await person(running, tasks=3)
    await running.settled()
    one.run("item_delete", id=opened(one)[0])
    before = len(await one.history())
    await killed_after(one, 1)
    await revived(one, UNMARKED)
    assert await told(one, before) == []
    assert isinstance(await position(one), Since)
    running.simulator.expire_sync_tokens(one.account)
    await looked(one)
    assert [action for _, action, _ in await told(one, before)] == ["deleted"]


async def test_a_cursor_that_is_refused_again_and_again_is_no_endless_run(running: World) -> None:
    one = await person(running)
    done(one, TWO_PAGES)
    await looked(one)
    calls = one.calls
    running.simulator.faults.set(Faults(api=(ApiFault(kind="invalid_cursor", account=one.account),)))
    running.simulator.expire_sync_tokens(one.account)
    one.run("item_add", content="Waits for the end of this")
    await look(one)

    async def failed() -> bool:
        return bool((await one.cursor())["attempts"])

    await until(failed, "the run gave up")
    # The lost token, then everything and two pages, of which the second is refused; each further attempt asks as much.
    assert one.calls - calls <= 4 * (1 + (await one.cursor())["attempts"])
    running.simulator.faults.set(Faults())
    await running.settled()
    one.is_told_to(await running.subscriber())


async def test_an_api_that_answers_everything_in_full_is_read_once_more_and_left(running: World) -> None:
    one = await person(running, tasks=3)
    done(one, 2)
    await looked(one)
    before, calls = len(await one.history()), one.calls
    running.simulator.faults.set(Faults(api=(ApiFault(kind="full_sync", account=one.account),)))
    one.run("item_delete", id=opened(one)[0])
    await looked(one)
    running.simulator.faults.set(Faults())
    assert one.calls - calls == 4
    assert [action for _, action, _ in await told(one, before)] == ["deleted"]
    one.is_told_to(await running.subscriber())
