"""Concurrent writers: transactions of many items in several lanes, versioned as *apply* versions them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from random import Random
from typing import Final
from uuid import UUID

from outbox import lanes
from outbox.postgres import Connection, Pool
from schemas.change import Change
from schemas.identity import item_id
from schemas.plan import Clock
from schemas.providers import Kind
from tests.outbox.books import Books

TENANT: Final = UUID("0b7a1f4e-3c52-4d0e-9a55-6b0f3f2f8c11")
CONNECTION: Final = UUID("5f0c3a52-8a3e-4f0e-8c1d-2f5b7a9d1e60")
RUN: Final = UUID("0198f2ab-7c00-7000-8000-00000000a11e")
EIGHT_LANES: Final = (3, 41, 78, 91, 105, 160, 201, 255)
ITEMS_PER_LANE: Final = 60
WRITERS: Final = 12

TABLE = """
create table written_items (id uuid primary key, lane smallint not null, kind text not null, version bigint)
with (fillfactor = 50)"""
FILL = "insert into written_items (id, lane, kind) select * from unnest($1::uuid[], $2::smallint[], $3::text[])"
LOCK = """
select id, lane, kind, version from written_items where id = any($1::uuid[]) order by id for no key update"""
STORE = """
update written_items w set version = n.version from unnest($1::uuid[], $2::bigint[]) n(id, version) where w.id = n.id"""
CLOCK = "select clock_timestamp()"


async def items(pool: Pool, where: Sequence[int] = EIGHT_LANES, each: int = ITEMS_PER_LANE) -> list[UUID]:
    """Makes the items that the writers will change, tasks and collections, so many in each lane."""
    made = [(lane, "collection" if n % 4 == 0 else "task", f"{lane}/{n}") for lane in where for n in range(each)]
    ids = [item_id(TENANT, "todoist", str(lane), kind, name) for lane, kind, name in made]
    await pool.execute(TABLE)
    await pool.execute(FILL, ids, [lane for lane, _, _ in made], [kind for _, kind, _ in made])
    return ids


async def change(db: Connection, picked: Sequence[UUID], statement: str = lanes.APPEND) -> list[Change]:
    """Inside a transaction: locks the items, gives each occurrence in `picked` the next version, appends them all."""
    known = {row[0]: row for row in await db.fetch(LOCK, list(set(picked)))}
    now = Clock(await db.fetchval(CLOCK))
    at: dict[UUID, int | None] = {id: row[3] for id, row in known.items()}
    changes = []
    for id in picked:
        previous = at[id]
        version = max((previous or 0) + 1, now.microseconds)
        changes.append(made(id, known[id][1], known[id][2], version, previous, now.now))
        at[id] = version
    await db.execute(STORE, list(at), list(at.values()))
    await lanes.append(db, changes, statement)
    return changes


def made(id: UUID, lane: int, kind: Kind, version: int, previous: int | None, at: datetime) -> Change:
    """A change such as a plan makes."""
    return Change(
        tenant_id=TENANT,
        connection_id=CONNECTION,
        provider="todoist",
        lane=lane,
        kind=kind,
        item_id=id,
        external_id=f"6XGgm{version % 10_000}",
        version=version,
        prev_version=previous,
        action="created" if previous is None else "updated",
        item={"@type": "Task", "uid": str(id), "title": f"Water the plants, {version}", "progress": "needs-action"},
        changed=("title",),
        found_by="push",
        run_id=RUN,
        causation_id="delivery-1",
        recorded_at=at,
    )


async def commit(pool: Pool, books: Books, picked: Sequence[UUID], statement: str = lanes.APPEND) -> None:
    """One whole transaction, entered in the books once COMMIT was answered."""
    async with pool.acquire() as db:
        async with db.transaction():
            changes = await change(db, picked, statement)
        books.enter(changes)


def pick(random: Random, ids: Sequence[UUID], batch: int) -> list[UUID]:
    """Items of any lane, a quarter of the occurrences repeating another, so that writers meet in items and in lanes."""
    picked = random.sample(ids, batch * 3 // 4)
    return picked + random.choices(picked, k=batch - len(picked))


async def write(pool: Pool, books: Books, ids: Sequence[UUID], rows: int, batch: int = 100) -> None:
    """So many rows by concurrent writers, as fast as they can."""
    left = iter(range(-(-rows // batch)))

    async def writer(random: Random) -> None:
        for _ in left:
            await commit(pool, books, pick(random, ids, batch))

    await _together(writer)


@asynccontextmanager
async def writing(
    pool: Pool, books: Books, ids: Sequence[UUID], at_least: int, batch: int = 100
) -> AsyncIterator[None]:
    """Concurrent writers that go on for as long as the body runs, and until they have committed so many rows.

    While the body runs they keep a pace that a relay can follow.
    """
    enough = asyncio.Event()

    async def writer(random: Random) -> None:
        while not enough.is_set() or len(books.committed) < at_least:
            await commit(pool, books, pick(random, ids, batch))
            with suppress(TimeoutError):
                await asyncio.wait_for(enough.wait(), random.uniform(0, 0.2))

    running = asyncio.create_task(_together(writer))
    try:
        yield
    finally:
        enough.set()
        await running


async def _together(writer: Callable[[Random], Coroutine[None, None, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(WRITERS):
            group.create_task(writer(Random(number)))
