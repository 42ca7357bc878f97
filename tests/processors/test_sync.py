"""Runs over a cursor: what a provider answers in pages, and what our own faults leave behind."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from deploy.simulators.google import server as google
from deploy.simulators.google.simulator import Simulator as GoogleSimulator
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
from processors.run import EMPTY_PAGES, STEP, OneRun
from processors.sync import Sync
from schemas.outcome import Expired, Fetching, Gone, Reauthorize, RetryAfter
from schemas.plan import Mapping, Observed, Page
from schemas.providers import Kind, Provider
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

    PROVIDER: Provider = "todoist"
    PRODUCT = "all"
    ROOTS = ("all",)
    SAFETY_POLL = timedelta(hours=1)

    def __init__(self, spine: Spine, *answers: Page | Fetching) -> None:
        self.spine = spine
        self.answers = list(answers)
        self.asked: list[str | None] = []

    async def fetch(
        self, client: httpx.AsyncClient, access: Access, resource: str, position: str | None, ids: Ids, now: datetime
    ) -> Page | Fetching:
        self.asked.append(position)
        return self.answers.pop(0)

    def holds(self, kind: Kind, external_id: str) -> str | None:
        return f"all/{external_id}" if kind == "collection" else None

    def shown(self, mapping: Mapping, now: datetime) -> bool:
        return mapping.snapshot.get("progress") != "completed"

    async def run(self, vault: Vault) -> None:
        """One run, as `Sync` would begin it now."""
        pool = self.spine.pool
        await pool.execute("update sync_cursors set due_at = '-infinity' where resource not like 'all/%'")
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


async def test_how_synchronisation_stands_outlives_every_full_read(spine: Spine, vault: Vault) -> None:
    for position in "12":
        await Scripted(spine, page(spine, named("a"), position, full=True)).run(vault)
        await spine.pool.execute("update sync_cursors set position = null")
    stands = await spine.pool.fetch("select action from sync_history where kind = 'sync'")
    assert [row["action"] for row in stands] == ["created"], "no read shows it, which says nothing against it"


class Endless(Scripted):
    """A provider that leads on from empty page to empty page, but for those that it is to show."""

    def __init__(self, spine: Spine, shown: dict[int, Page]) -> None:
        super().__init__(spine)
        self.pages = shown

    async def fetch(self, *_: object) -> Page:
        at = len(self.asked)
        self.asked.append(str(at))
        return self.pages.get(at, Page([], [], str(at), more=True, full=False))


async def test_pages_without_end_and_without_items_end_the_run_with_another_try(spine: Spine, vault: Vault) -> None:
    provider = Endless(spine, {})
    await provider.run(vault)
    assert len(provider.asked) == EMPTY_PAGES
    row = await spine.pool.fetchrow("select attempts, due_at > now() as later, last_error from sync_cursors")
    assert row is not None
    assert tuple(row) == (1, True, f"{EMPTY_PAGES} pages one after the other show nothing")


async def test_empty_pages_between_others_end_nothing(spine: Spine, vault: Vault) -> None:
    half = EMPTY_PAGES // 2 + 1
    shown = {half: page(spine, named("a"), "half", more=True), 2 * half: page(spine, named("b"), "end")}
    await Endless(spine, shown).run(vault)
    assert await spine.pool.fetchval("select position from sync_cursors") == "end"
    assert [name for name, _, _ in await told(spine.pool)] == ["a", "b"]


@pytest.mark.parametrize("sealed", [b"\xff\xfe", b"demo\x80"], ids=["nothing of it", "but a part of it"])
async def test_credentials_that_are_no_text_are_no_call_and_a_counted_failure(
    spine: Spine, vault: Vault, sealed: bytes
) -> None:
    at = connections.place(spine.run.connection_id)
    await spine.pool.execute("update integration_connections set credentials = $1", vault.seal(sealed, at))
    reader = Scripted(spine)
    await reader.run(vault)
    assert reader.asked == []
    cursor = await spine.pool.fetchrow(CURSOR)
    assert cursor is not None
    assert (cursor["attempts"], cursor["due_at"] > cursor["last_start"]) == (1, True)
    assert cursor["last_error"].startswith("the credentials cannot be opened: ")


async def test_credentials_that_cannot_be_opened_are_no_call_and_a_reason(spine: Spine) -> None:
    reader = Scripted(spine)
    await reader.run(Vault(KeyRing({2: bytes(32)})))
    assert reader.asked == []
    cursor = await spine.pool.fetchrow(CURSOR)
    assert cursor is not None
    assert cursor["last_error"].startswith("the credentials cannot be opened: ")
    assert cursor["due_at"] > cursor["last_start"]


# Resources that come and go -------------------------------------------------------------------------------------------

RESOURCES = """
select resource, closed, due_at <= now() as due, due_at = 'infinity' as over, position, epoch from sync_cursors
where resource <> 'all'"""
HELD = """
select m.external_id, m.deleted, m.part_of from integration_data_mapping m join sync_cursors s on s.id = m.cursor_id
where s.resource = $1 and m.kind <> 'sync' order by m.external_id"""
RAN = """
select outcome, detail, found_by, wanted, created, updated, deleted, rejected from sync_runs order by ended_at"""


def listed(spine: Spine, names: dict[str, bool], position: str) -> Page:
    """A page of the resource that lists others: those that are there, and those that are there no more."""
    observed = [
        Observed("collection", name, spine.item(name), {"@type": "Collection", "name": name} if there else None)
        for name, there in names.items()
    ]
    return Page(observed, [], position, more=False, full=False)


async def run_resource(reader: Scripted, vault: Vault, resource: str) -> None:
    """One run of the cursor that was opened for a resource."""
    pool = reader.spine.pool
    await pool.execute(
        "update sync_cursors set due_at = case resource when $1 then now() else 'infinity' end", resource
    )
    held = await reader.spine.claim("test")
    work = await cursors.begin(pool, held)
    assert work is not None
    assert work.resource == resource
    async with httpx.AsyncClient() as client:
        await OneRun(pool, vault, Hint(pool), reader, reader.SAFETY_POLL, work).to_its_end(client, "http://provider")
    await lease.release(pool, CURSORS, "test", [held])


async def test_what_is_listed_is_read_from_the_commit_on_that_shows_it(spine: Spine, vault: Vault) -> None:
    await Scripted(spine, listed(spine, {"work": True, "home": True}, "1")).run(vault)
    rows = await spine.pool.fetch(RESOURCES)
    assert {(row["resource"], row["closed"], row["due"]) for row in rows} == {
        ("all/work", False, True),
        ("all/home", False, True),
    }
    before = {row["resource"]: row["epoch"] for row in rows}
    await run_resource(Scripted(spine, page(spine, named("ab"), "w1", full=True)), vault, "all/work")
    again = Page(
        [Observed("collection", "work", spine.item("work"), {"@type": "Collection", "name": "Work"})],
        [],
        "2",
        False,
        False,
    )
    await Scripted(spine, again).run(vault)
    (row,) = await spine.pool.fetch("select position, epoch from sync_cursors where resource = 'all/work'")
    assert tuple(row) == ("w1", before["all/work"] + 1), "another name is no other resource"


async def test_what_is_listed_no_more_is_deleted_with_all_it_held_and_comes_back_whole(
    spine: Spine, vault: Vault
) -> None:
    await Scripted(spine, listed(spine, {"work": True}, "1")).run(vault)
    await run_resource(Scripted(spine, page(spine, named("ab"), "w1", full=True)), vault, "all/work")
    await Scripted(spine, listed(spine, {"work": False}, "2")).run(vault)
    nobody = Scripted(spine)
    await run_resource(nobody, vault, "all/work")
    assert nobody.asked == [], "a resource that is no more is not asked for"
    assert [(row["external_id"], row["deleted"]) for row in await spine.pool.fetch(HELD, "all/work")] == [
        ("a", True),
        ("b", True),
    ]
    row = await spine.pool.fetchrow(RESOURCES)
    assert row is not None
    assert (row["closed"], row["over"]) == (True, True)
    assert await spine.pool.fetchval("select deleted from integration_data_mapping where external_id = 'all'") is False
    await Scripted(spine, listed(spine, {"work": True}, "3")).run(vault)
    row = await spine.pool.fetchrow(RESOURCES)
    assert row is not None
    assert (row["closed"], row["due"], row["position"]) == (False, True, None)
    await run_resource(Scripted(spine, page(spine, named("b"), "w2", full=True)), vault, "all/work")
    assert [(row["external_id"], row["deleted"]) for row in await spine.pool.fetch(HELD, "all/work")] == [
        ("a", True),
        ("b", False),
    ]


async def test_a_run_of_a_resource_that_is_closed_meanwhile_commits_nothing(spine: Spine, vault: Vault) -> None:
    await Scripted(spine, listed(spine, {"work": True}, "1")).run(vault)

    class Closing(Scripted):
        async def fetch(self, *_: object) -> Page | Fetching:
            await spine.pool.execute("update sync_cursors set due_at = now() where resource = 'all'")
            await Scripted(spine, listed(spine, {"work": False}, "2")).run(vault)
            return page(spine, named("a"), "w1", full=True)

    with pytest.raises(FenceLost):
        await run_resource(Closing(spine), vault, "all/work")
    assert await spine.pool.fetch(HELD, "all/work") == []


async def test_a_resource_that_a_provider_denies_is_deleted_only_by_what_lists_it(spine: Spine, vault: Vault) -> None:
    await Scripted(spine, listed(spine, {"work": True}, "1")).run(vault)
    await run_resource(Scripted(spine, page(spine, named("ab"), "w1", full=True)), vault, "all/work")
    await run_resource(Scripted(spine, Gone("404")), vault, "all/work")
    assert [row["deleted"] for row in await spine.pool.fetch(HELD, "all/work")] == [False, False]
    (row,) = await spine.pool.fetch("select last_error, due_at > now() from sync_cursors where resource = 'all/work'")
    assert tuple(row) == ("404; what lists it is asked", True)
    (row,) = await spine.pool.fetch("select wanted - done, cause from sync_cursors where resource = 'all'")
    assert tuple(row) == (1, None), "what lists it is looked at"


async def test_every_run_leaves_a_row_that_says_how_it_ended_and_what_it_had_seen(spine: Spine, vault: Vault) -> None:
    await Scripted(spine, page(spine, named("abc"), "1", full=True)).run(vault)
    await spine.pool.execute("update sync_cursors set wanted = 3, cause = 'delivery-7'")
    await Scripted(spine, page(spine, {"a": None, "b": "Other"}, "2")).run(vault)
    await spine.pool.execute("update sync_cursors set wanted = 4")
    await Scripted(spine, RetryAfter("not now")).run(vault)
    await spine.pool.execute("update sync_cursors set due_at = now()")
    await Scripted(spine, page(spine, {}, "3")).run(vault)
    await Scripted(spine, Reauthorize("revoked")).run(vault)
    assert [tuple(row) for row in await spine.pool.fetch(RAN)] == [
        ("done", None, "full", 0, 3, 0, 0, 0),
        ("done", None, "push", 3, 0, 1, 1, 0),
        ("retried", "not now", "push", 4, 0, 0, 0, 0),
        ("done", None, "push", 4, 0, 0, 0, 0),
        ("halted", "revoked", "poll", 4, 0, 0, 0, 0),
    ]


async def test_a_whole_takes_its_parts_with_it_and_nothing_that_only_speaks_of_it_stays(
    spine: Spine, vault: Vault
) -> None:
    series, moved, removed = spine.item("series"), spine.item("moved"), spine.item("removed")

    def seen(name: str, snapshot: dict[str, Any] | None, **how: Any) -> Observed:
        return Observed("task", name, spine.item(name), snapshot, **how)

    title = {"@type": "Task", "title": "t"}
    shown = [
        seen("series", title),
        seen("moved", title, part_of=series),
        seen("removed", title, part_of=series, only_within=True),
    ]
    await Scripted(spine, Page(shown, [], "1", more=False, full=True)).run(vault)
    over = [seen("series", None), seen("removed", title | {"late": True}, part_of=series, only_within=True)]
    await Scripted(spine, Page(over, [], "2", more=False, full=False)).run(vault)
    rows = await spine.pool.fetch(HELD, "all")
    assert {(row["external_id"], row["deleted"], row["part_of"]) for row in rows} == {
        ("series", True, None),
        ("moved", True, series),
        ("removed", True, series),
    }
    assert {moved, removed} <= {
        row[0] for row in await spine.pool.fetch("select item_id from integration_data_mapping")
    }
    late = [seen("removed", title | {"later": True}, part_of=series, only_within=True)]
    await Scripted(spine, Page(late, [], "3", more=False, full=False)).run(vault)
    assert all(row["deleted"] for row in await spine.pool.fetch(HELD, "all"))


async def test_what_becomes_part_of_a_whole_later_is_deleted_with_it(spine: Spine, vault: Vault) -> None:
    series = spine.item("series")

    def seen(name: str, title: str | None, part_of: UUID | None = None) -> Observed:
        snapshot = None if title is None else {"@type": "Task", "title": title}
        return Observed("task", name, spine.item(name), snapshot, part_of)

    for position, *shown in (
        ("1", seen("series", "t"), seen("late", "t")),
        ("2", seen("late", "moved", series)),
        ("3", seen("series", None)),
    ):
        await Scripted(spine, Page(shown, [], position, more=False, full=False)).run(vault)
    rows = await spine.pool.fetch(HELD, "all")
    assert [(row["external_id"], row["deleted"], row["part_of"]) for row in rows] == [
        ("late", True, series),
        ("series", True, None),
    ]


# How often a quiet resource is read -----------------------------------------------------------------------------------

NEXT = "select resource, extract(epoch from due_at - last_done)::float8 / 60 as minutes from sync_cursors"


async def test_what_nobody_announces_is_read_again_in_minutes_and_what_is_watched_in_hours(
    pool: Pool, vault: Vault
) -> None:
    async with google.running(GoogleSimulator(seed=3)) as simulator:
        simulator.create("ann", "demo", email="ann@example.com")
        await connections.add(
            pool,
            vault,
            provider="google",
            account="ann",
            token="demo",
            resources=["calendar/list"],
            watched=["calendar"],
        )
        async with driven(Sync(pool, vault, Hint(pool), "me", {"google": simulator.url})) as sync:
            await read(pool, sync)
            assert await looked_at_again(pool) == {"calendar/list": 15, "calendar/events/ann@example.com": 15}
            await pool.execute(
                """update webhook_subscriptions set status = 'active', external_id = 'r', expires_at = now() + '1 day'
                where resource = 'calendar/list'"""
            )
            await read(pool, sync)
            assert await looked_at_again(pool) == {"calendar/list": 360, "calendar/events/ann@example.com": 15}


async def read(pool: Pool, sync: Sync) -> None:
    """Every resource, from now on."""
    now = await pool.fetchval("update sync_cursors set due_at = now(), last_done = null returning now()")
    sync.wake()

    async def over() -> bool:
        return bool(await pool.fetchval("select bool_and(coalesce(last_done > $1, false)) from sync_cursors", now))

    await until(over, "all is read")


async def looked_at_again(pool: Pool) -> dict[str, int]:
    """In about how many minutes: where it is one of those that a quiet resource waits, give or take a tenth."""
    rows = await pool.fetch(NEXT)
    return {
        row["resource"]: next((m for m in (15, 60, 360) if abs(row["minutes"] - m) <= m / 10), round(row["minutes"]))
        for row in rows
    }


# Our own faults ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def syncing(pool: Pool, vault: Vault) -> AsyncIterator[tuple[Simulator, Sync]]:
    """A simulated account of three tasks, connected, and a process's share of the runs."""
    async with running(Simulator(seed=3)) as simulator:
        simulator.create(ACCOUNT, "demo")
        for number in range(3):
            simulator.run(ACCOUNT, "item_add", content=f"Task {number}")
        await connections.add(pool, vault, provider="todoist", account=ACCOUNT, token="demo", resources=["everything"])
        async with driven(Sync(pool, vault, Hint(pool), "me", {"todoist": simulator.url})) as sync:
            yield simulator, sync


@asynccontextmanager
async def driven(sync: Sync) -> AsyncIterator[Sync]:
    task = asyncio.create_task(sync.run())
    try:
        yield sync
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
            return bool(await pool.fetchval("select is_called from faults")) and not sync.busy

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
