"""SIGKILL at every named point, servers killed under load, owners that sleep through their lease: nothing lost or doubled."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

import httpx
import pytest

from outbox.failpoint import FAILPOINTS
from processors.run import STEP
from schemas.providers import Provider
from tests.conftest import Stack
from tests.flow.calendars import NOON
from tests.flow.expected import assert_same
from tests.flow.expected_google import assert_same as assert_same_calendars
from tests.flow.service import Process, keeping
from tests.flow.world import ACCOUNT, World, world

GOOGLE = "113774264463038321964"
PAGE = 20
"""Items that no page of Google's exceeds: many a read has more than one."""
ROLE = {"produce": "ingress", "accept": "processors", "sync": "processors", "apply": "processors", "relay": "relay"}
CHANGES = 2_000
POLL = "update sync_cursors set due_at = now() where due_at < 'infinity' returning 1"
CONNECTIONS = "select provider, id from integration_connections"
KILLED = -9

BOTH: tuple[Provider, ...] = ("todoist", "google")
POINTS: list[tuple[str, tuple[Provider, ...]]] = [
    (point, providers)
    for point in FAILPOINTS
    for providers in (((BOTH[0],), (BOTH[1],)) if point.startswith(("sync", "apply")) else (BOTH,))
]
"""Every named point, with those whose changes lead there. A run is one provider's, so each dies at all points of one."""


@pytest.fixture
async def connected(stack: Stack, database: str, prefix: str, tmp_path: Path) -> AsyncIterator[World]:
    """A world whose processes are not started yet."""
    async with world(stack, database, prefix, tmp_path) as made:
        await made.connect()
        await made.connect_google(GOOGLE, "google")
        made.google.page_size = PAGE
        yield made


async def assert_whole(made: World) -> None:
    await made.settled(120)
    subscriber = await made.subscriber()
    assert subscriber.breaches == []
    connections = {row["provider"]: row["id"] for row in await made.ask(CONNECTIONS)}
    assert_same(subscriber, made.simulator, ACCOUNT, connections["todoist"])
    assert_same_calendars(subscriber, made.google, GOOGLE, connections["google"])


async def unheard(made: World) -> None:
    """Google does not repeat what it found no door for; the safety poll's time comes by the clock in the cursor."""
    await made.google.quiesce()
    await made.ask(POLL)


async def mix(made: World, changes: int, seed: int, providers: Iterable[Provider] = BOTH) -> None:
    """So many changes in all, of these providers at once."""
    mixing = {"todoist": partial(made.simulator.mix, ACCOUNT), "google": partial(made.google.mix, GOOGLE)}
    each = [mixing[provider] for provider in providers]
    await asyncio.gather(*(one(changes // len(each), seed) for one in each))


def change(made: World, provider: Provider) -> None:
    """One small change."""
    if provider == "todoist":
        made.simulator.run(ACCOUNT, "item_add", content="one more")
    else:
        made.google.insert(GOOGLE, "primary", {"summary": "one more", **NOON})


def role(made: World, failpoint: str) -> Process:
    process = getattr(made.service, ROLE[failpoint.partition(".")[0]])
    assert isinstance(process, Process)
    return process


async def test_a_process_killed_at_any_named_point_loses_and_doubles_nothing(connected: World) -> None:
    """One world, every point in turn, changes flowing all the while; each kill is seen to have happened there."""
    made = connected
    await made.service.start()
    await made.settled()
    for number, (failpoint, providers) in enumerate(POINTS):
        victim = role(made, failpoint)
        await revived(made, except_for=victim)
        if victim.running:
            assert await victim.stop() == 0
        if failpoint == "sync.between_pages":
            # More than one transaction or page holds, so that there is a middle to die in.
            for provider in providers:
                for _ in range(2 * STEP if provider == "todoist" else 5 * PAGE):
                    change(made, provider)
        await victim.start(LIFEOS_FAILPOINT=f"{failpoint}:{1 + number % 2}")
        mixing = asyncio.create_task(mix(made, CHANGES // len(POINTS), number, providers))
        await nudged(made, victim, failpoint, providers)
        await mixing
        if victim is made.service.ingress:
            await unheard(made)
    await revived(made)
    await assert_whole(made)


async def revived(made: World, except_for: Process | None = None) -> None:
    """Starts what has been killed."""
    for process in (made.service.ingress, made.service.processors, made.service.relay):
        if process is not except_for and not process.running:
            await process.start()
            await process.ready()


async def nudged(made: World, victim: Process, failpoint: str, providers: Iterable[Provider]) -> None:
    """Small changes, one after the other, until the armed process has met its point and died of it."""
    ending = asyncio.create_task(victim.ended(3600))
    try:
        async with asyncio.timeout(30):
            while not ending.done():
                for provider in providers:
                    change(made, provider)
                await asyncio.wait([ending], timeout=0.3)
    except TimeoutError:
        raise AssertionError(f"{failpoint} was not met: {await made.state()}") from None
    assert await ending == KILLED, victim.said()


@pytest.mark.parametrize("name", ["ingress", "processors", "relay"])
async def test_a_process_killed_again_and_again_under_load(connected: World, name: str) -> None:
    made = connected
    await made.service.start()
    victim: Process = getattr(made.service, name)
    async with keeping(victim) as statuses:
        for round_ in range(4):
            await mix(made, CHANGES // 4, seed=round_)
            await victim.ready()
            victim.signal_kill()
            async with asyncio.timeout(10):
                while len(statuses) <= round_:
                    await asyncio.sleep(0.01)
        if name == "ingress":
            await unheard(made)
        await assert_whole(made)
    assert statuses == [KILLED] * 4


@pytest.mark.parametrize("name", ["kafka", "postgres"])
async def test_a_server_killed_under_load_loses_and_doubles_nothing(connected: World, stack: Stack, name: str) -> None:
    made = connected
    await made.service.start()
    server = getattr(stack, name)
    async with AsyncExitStack() as kept:
        for process in (made.service.ingress, made.service.processors, made.service.relay):
            await kept.enter_async_context(keeping(process))
        mixing = asyncio.create_task(mix(made, CHANGES, seed=11))
        while made.simulator.holding(ACCOUNT).account.seq < CHANGES // 8:
            await asyncio.sleep(0.01)
        await server.kill()
        await server.start()
        await mixing
        await assert_whole(made)


async def test_a_paused_owner_that_wakes_commits_nothing(connected: World) -> None:
    """Processors and relay sleep past every lease while others take over, then wake in the middle of what they did."""
    made = connected
    await made.service.start()
    await made.settled()
    for name, table in (("processors", "sync_cursors"), ("relay", "outbox_lanes")):
        sleeper: Process = getattr(made.service, name)
        for provider in BOTH:
            change(made, provider)
        sleeper.pause()
        heir = made.service.another(name)
        try:
            await heir.start()
            await mix(made, 200, seed=5)
            await made.settled(60)
            (before,) = await made.ask(f"select sum(epoch) from {table}")
            held = await made.ask("select lane, published from outbox_lanes order by lane")
            history = await made.ask("select count(*), max(version) from sync_history")
            sleeper.go_on()
            await awake(sleeper)
            assert await made.ask("select count(*), max(version) from sync_history") == history
            assert await made.ask("select lane, published from outbox_lanes order by lane") == held
            assert (await made.ask(f"select sum(epoch) from {table}"))[0] >= before
        finally:
            await sleeper.kill()
            setattr(made.service, name, heir)
    await mix(made, 200, seed=6)
    await assert_whole(made)


async def awake(process: Process) -> None:
    """Returns when it answers again, or has ended because it found itself replaced."""
    async with asyncio.timeout(30):
        while process.running:
            try:
                await process.metrics()
                return
            except OSError:
                await asyncio.sleep(0.05)


async def test_the_lag_grows_while_postgresql_is_away_and_is_gone_afterwards(connected: World, stack: Stack) -> None:
    """What an operator sees of an outage in which every delivery is still answered 200."""
    made = connected
    await made.service.start()
    await made.settled()
    await stack.postgres.kill()
    try:
        for _ in range(30):
            made.simulator.run(ACCOUNT, "item_add", content="while nobody can write")
        await made.simulator.quiesce()
        await lag(made, 30)
    finally:
        await stack.postgres.start()
    await assert_whole(made)
    await lag(made, 0)


async def lag(made: World, expected: int) -> None:
    """Returns when the processors say so."""
    processors = made.service.processors
    async with asyncio.timeout(20):
        while True:
            assert processors.running, processors.said()
            with suppress(OSError, httpx.TransportError):
                lines = (await processors.metrics()).splitlines()
                found = [float(line.split()[-1]) for line in lines if line.startswith("lifeos_consumer_lag{")]
                if found and sum(found) == expected:
                    return
            await asyncio.sleep(0.1)
