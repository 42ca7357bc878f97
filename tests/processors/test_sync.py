"""Runs over a cursor: what a provider answers in pages, and what our own faults leave behind."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from deploy.simulators.todoist.faults import ApiFault, Faults
from deploy.simulators.todoist.server import running
from deploy.simulators.todoist.simulator import Simulator
from outbox import connections, cursors, lease
from outbox.hint import Hint
from outbox.lease import CURSORS, FenceLost
from outbox.postgres import Pool
from outbox.vault import Vault
from processors.derive.ids import Ids
from processors.providers import Access
from processors.run import STEP, OneRun
from processors.sync import Sync
from schemas.outcome import Expired, Fetching, RetryAfter
from schemas.plan import Mapping, Observed, Page
from schemas.providers import Provider
from schemas.settings import KeyRing
from tests.outbox.conditions import until
from tests.outbox.spine import ACCOUNT, Spine

TOLD = """
select external_id, action, found_by from sync_history where kind <> 'sync' order by recorded_at, version, external_id"""
WRITTEN = "select (select count(*) from sync_history), (select sum(head) from outbox_lanes)"
CURSOR = "select * from sync_cursors"
PARKED = "select reason, detail, source from parked"
FREE = "select owner is null and leased_until < now() from sync_cursors"

# Our own code fails where nothing can be blamed on an item: twice, or for ever.
FAULTS = """
create sequence faults;
create function fail() returns trigger language plpgsql as $$ begin
    if nextval('faults') <= {times} then raise exception 'planted'; end if;
    return new;
end $$;
create trigger fail before {when} for each row execute function fail()"""

# No failed attempt can be written down.
REFUSAL = """
create function refuse() returns trigger language plpgsql as $$ begin raise exception 'planted'; end $$;
create trigger refuse before update on sync_cursors for each row when (new.attempts > 0) execute function refuse()"""


class Scripted:
    """A provider that answers call by call as it is told, and remembers what it was asked."""

    NAME: Provider = "todoist"
    RESOURCES = ("all",)
    SAFETY_POLL = timedelta(hours=1)

    def __init__(self, spine: Spine, *answers: Page | Fetching) -> None:
        self.spine = spine
        self.answers = list(answers)
        self.asked: list[str | None] = []

    async def fetch(
        self, client: httpx.AsyncClient, access: Access, position: str | None, ids: Ids, now: datetime
    ) -> Page | Fetching:
        self.asked.append(position)
        return self.answers.pop(0)

    def shown(self, mapping: Mapping, now: datetime) -> bool:
        return mapping.snapshot.get("progress") != "completed"

    async def run(self, vault: Vault) -> None:
        """One run, as `Sync` would begin it now."""
        pool = self.spine.pool
        await pool.execute("update sync_cursors set due_at = now()")
        held = await self.spine.claim("test")
        work = await cursors.begin(pool, held)
        assert work is not None
        async with httpx.AsyncClient() as client:
            await OneRun(pool, vault, Hint(pool), self, self.SAFETY_POLL, work).to_its_end(client, "http://provider")
        await lease.release(pool, CURSORS, "test", [held])

    def page(self, titles: dict[str, str | None], position: str, **how: Any) -> Page:
        """A page of tasks: their titles by name; None means that it is deleted."""
        return page(self.spine, titles, position, **how)


def page(spine: Spine, titles: dict[str, str | None], position: str, **how: Any) -> Page:
    observed = [
        Observed("task", name, spine.item(name), None if title is None else {"@type": "Task", "title": title})
        for name, title in titles.items()
    ]
    return Page(observed, [], position, **({"more": False, "full": False} | how))


def named(names: Iterable[str]) -> dict[str, str | None]:
    return {name: f"Task {name}" for name in names}


async def told(pool: Pool) -> list[tuple[str, str, str]]:
    return [tuple(row) for row in await pool.fetch(TOLD)]


# Pages ---------------------------------------------------------------------------------------------------------------


async def test_a_full_read_that_was_cut_short_goes_on_where_it_was_and_sweeps_once(spine: Spine, vault: Vault) -> None:
    await Scripted(spine, page(spine, named("abc"), "1", full=True)).run(vault)
    first = page(spine, named("ad"), "2", full=True, more=True)
    await Scripted(spine, Expired("too old"), first, RetryAfter("not now")).run(vault)
    assert await told(spine.pool) == [(n, "created", "full") for n in "abcd"], "nothing is swept before the end"
    rest = Scripted(spine, page(spine, named("b"), "3", full=True, continues=True))
    await rest.run(vault)
    assert rest.asked == ["2"]
    assert (await told(spine.pool))[4:] == [("c", "deleted", "full")]
    cursor = await spine.pool.fetchrow(CURSOR)
    assert cursor is not None
    assert (cursor["position"], cursor["full_run"], cursor["attempts"]) == ("3", None, 0)


async def test_a_full_read_that_begins_anew_counts_only_what_it_shows_itself(spine: Spine, vault: Vault) -> None:
    first = page(spine, named("ab"), "1", full=True, more=True)
    await Scripted(spine, first, RetryAfter("not now")).run(vault)
    await Scripted(spine, Expired("forgotten"), page(spine, named("b"), "2", full=True)).run(vault)
    assert await told(spine.pool) == [("a", "created", "full"), ("b", "created", "full"), ("a", "deleted", "full")]


async def test_more_items_than_one_transaction_takes_are_read_and_swept_in_steps(spine: Spine, vault: Vault) -> None:
    many = [f"{number:04}" for number in range(2 * STEP + 100)]
    await Scripted(spine, page(spine, named(many), "1", full=True)).run(vault)
    await Scripted(spine, page(spine, named(many[:10]), "2", full=True)).run(vault)
    actions = await told(spine.pool)
    assert actions[: len(many)] == [(name, "created", "full") for name in many]
    assert sorted(actions[len(many) :]) == [(name, "deleted", "full") for name in many[10:]]


async def test_a_page_that_shows_nothing_new_leaves_no_trace_but_the_position(spine: Spine, vault: Vault) -> None:
    await Scripted(spine, page(spine, named("ab"), "1", full=True)).run(vault)
    before = await spine.pool.fetchrow(WRITTEN)
    await Scripted(spine, page(spine, named("a") | {"never known": None}, "2")).run(vault)
    assert await spine.pool.fetchrow(WRITTEN) == before
    assert await spine.pool.fetchval("select position from sync_cursors") == "2"


async def test_the_one_item_that_the_database_refuses_is_set_aside_and_not_swept(spine: Spine, vault: Vault) -> None:
    names = [f"{number:03}" for number in range(STEP + 50)]
    await Scripted(spine, page(spine, {"017": "As it was"}, "1", full=True)).run(vault)
    await Scripted(spine, page(spine, named(names) | {"017": "NUL \0"}, "2", full=True)).run(vault)
    actions = (await told(spine.pool))[1:]
    assert sorted(actions) == [(name, "created", "full") for name in names if name != "017"]
    (parked,) = await spine.pool.fetch(PARKED)
    assert (parked["reason"], parked["source"].endswith("/task/017")) == ("bug", True)
    await Scripted(spine, page(spine, {"017": "As it should be"}, "3")).run(vault)
    assert (await told(spine.pool))[-1] == ("017", "updated", "poll")


async def test_a_connection_made_again_during_a_run_ends_it_before_it_stores_a_position(
    spine: Spine, vault: Vault
) -> None:
    class Overtaken(Scripted):
        async def fetch(self, *_: object) -> Page | Fetching:
            await connections.add(
                spine.pool, vault, provider="todoist", account=ACCOUNT, token="granted again", resources=["all"]
            )
            return page(spine, named("a"), "1", full=True)

    with pytest.raises(FenceLost):
        await Overtaken(spine).run(vault)
    assert await told(spine.pool) == []
    assert await spine.pool.fetchval("select position from sync_cursors") is None


async def test_credentials_that_cannot_be_opened_are_no_call_and_a_reason(spine: Spine) -> None:
    reader = Scripted(spine)
    await reader.run(Vault(KeyRing({2: bytes(32)})))
    assert reader.asked == []
    cursor = await spine.pool.fetchrow(CURSOR)
    assert cursor is not None
    assert cursor["last_error"].startswith("the credentials cannot be opened: ")
    assert cursor["due_at"] > cursor["last_start"]


# Our own faults ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def syncing(pool: Pool, vault: Vault) -> AsyncIterator[tuple[Simulator, Sync]]:
    """A simulated account of three tasks, connected, and a process's share of the runs."""
    async with running(Simulator(seed=3)) as simulator:
        simulator.create(ACCOUNT, "demo")
        for number in range(3):
            simulator.run(ACCOUNT, "item_add", content=f"Task {number}")
        await connections.add(pool, vault, provider="todoist", account=ACCOUNT, token="demo", resources=["everything"])
        sync = Sync(pool, vault, Hint(pool), "me", {"todoist": simulator.url})
        task = asyncio.create_task(sync.run())
        try:
            yield simulator, sync
        finally:
            sync.stop()
            async with asyncio.timeout(10):
                await task


async def finished(pool: Pool) -> None:
    async def done() -> bool:
        return bool(await pool.fetchval("select last_done is not null from sync_cursors"))

    await until(done, "a run ends well", within=20)


async def test_a_fault_of_our_own_is_tried_again_and_says_so(pool: Pool, vault: Vault) -> None:
    await pool.execute(FAULTS.format(times=1, when="insert on sync_history"))
    async with syncing(pool, vault):

        async def failed() -> bool:
            return bool(await pool.fetchval("select attempts = 1 from sync_cursors"))

        await until(failed, "the failure is written down")
        assert await pool.fetchval("select last_error from sync_cursors") == "RaiseError in our own code"
        await finished(pool)
    assert {action for _, action, _ in await told(pool)} == {"created"}
    assert await pool.fetchval("select last_error from sync_cursors") is None


async def test_a_failure_that_cannot_even_be_written_down_is_not_repeated_without_a_pause(
    pool: Pool, vault: Vault
) -> None:
    await pool.execute(FAULTS.format(times=1, when="insert on sync_history"))
    await pool.execute(REFUSAL)
    async with syncing(pool, vault) as (_, sync):

        async def over() -> bool:
            return bool(await pool.fetchval("select is_called from faults")) and not sync._running

        await until(over, "the run has failed")
        assert await pool.fetchval("select leased_until > now() and attempts = 0 from sync_cursors")
        await pool.execute("update sync_cursors set leased_until = '-infinity'")
        await finished(pool)
    assert {action for _, action, _ in await told(pool)} == {"created"}


async def test_a_process_that_is_told_to_stop_ends_its_run_and_gives_the_cursor_back(pool: Pool, vault: Vault) -> None:
    async with syncing(pool, vault) as (simulator, sync):
        await finished(pool)
        simulator.faults.set(Faults(api=(ApiFault(kind="slow", seconds=1, times=1),)))
        simulator.run(ACCOUNT, "item_add", content="In the middle of it")
        await pool.execute("update sync_cursors set due_at = now()")
        sync.wake()

        async def claimed() -> bool:
            return bool(await pool.fetchval("select owner = 'me' from sync_cursors"))

        await until(claimed, "a run begins")
    assert await pool.fetchval(FREE)
    assert [row[1] for row in await told(pool)].count("created") == 5  # the inbox and four tasks


async def test_a_process_does_not_wait_for_ever_for_a_run_that_does_not_end(pool: Pool, vault: Vault) -> None:
    async with syncing(pool, vault) as (simulator, sync):
        await finished(pool)
        simulator.faults.set(Faults(api=(ApiFault(kind="slow", seconds=60, times=1),)))
        await pool.execute("update sync_cursors set due_at = now()")
        sync.wake()

        async def asked() -> bool:
            return simulator.faults.get().api == ()

        await until(asked, "the call is under way")
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 9
    assert await pool.fetchval(FREE)
    assert await pool.fetchval("select due_at <= now() from sync_cursors")
