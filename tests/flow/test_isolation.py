"""One connection that is slow, stuck or refused holds up nobody else, and asks its provider no more than it may."""

import asyncpg
import pytest

from deploy.simulators.todoist.faults import ApiFault, Faults
from schemas.identity import lane
from tests.flow.people import Person, person
from tests.flow.world import World
from tests.outbox.conditions import until

LOCK = "select from sync_cursors where connection_id = $1 for update"
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
