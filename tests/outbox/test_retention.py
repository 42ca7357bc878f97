"""Growth is bounded: day partitions are made ahead and dropped whole, whatever day it is."""

from datetime import UTC, date, datetime, timedelta

import pytest

from outbox import lanes, postgres, retention
from outbox.postgres import Connection, Pool
from outbox.retention import LADDER, PARTITIONED
from tests.outbox import writers

TODAY = datetime(2031, 3, 1, 0, 0, 1, tzinfo=UTC)
BOUNDS = """
select c.relname, pg_get_expr(c.relpartbound, c.oid) from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'outbox'::regclass order by c.relname"""


async def days(db: "Connection | Pool", table: str) -> list[date]:
    rows = await db.fetch(retention.CHILDREN, table)
    return sorted(datetime.strptime(row[0][-8:], "%Y%m%d").replace(tzinfo=UTC).date() for row in rows)


async def test_a_fresh_database_has_yesterday_and_a_week_ahead(pool: Pool) -> None:
    today = (await pool.fetchval("select now()")).date()
    for table, _ in PARTITIONED:
        assert await days(pool, table) == [today + timedelta(days=n) for n in range(-1, 8)]


async def test_partitions_are_made_ahead_of_any_day_once(pool: Pool) -> None:
    async with pool.acquire() as db:
        made = await retention.make_ahead(db, TODAY)
        assert len(made) == 9 * len(PARTITIONED)
        assert {name for name in made if name.startswith("receipts")} == {
            *("receipts_20310228", "receipts_20310301", "receipts_20310302", "receipts_20310303", "receipts_20310304"),
            *("receipts_20310305", "receipts_20310306", "receipts_20310307", "receipts_20310308"),
        }
        assert await retention.make_ahead(db, TODAY) == []
        assert await retention.make_ahead(db, TODAY + timedelta(days=1)) == [
            f"{table}_20310309" for table, _ in PARTITIONED
        ]


async def test_a_day_is_a_day_of_utc_wherever_the_server_is(database: str) -> None:
    async with postgres.connection(database, "test") as db:
        await db.execute("set timezone to 'Pacific/Kiritimati'")
        await retention.make_ahead(db, TODAY)
        await db.execute("set timezone to 'UTC'")
        bounds = {row[0]: row[1] for row in await db.fetch(BOUNDS)}
        assert bounds["outbox_20310301"] == "FOR VALUES FROM ('2031-03-01 00:00:00+00') TO ('2031-03-02 00:00:00+00')"


async def test_what_is_past_its_keep_is_dropped_and_nothing_else(pool: Pool) -> None:
    async with pool.acquire() as db:
        for passed in range(0, 121, 8):
            await retention.make_ahead(db, TODAY + timedelta(days=passed))
        now = TODAY + timedelta(days=120)
        await retention.drop_past(db, now)
        for table, keep in PARTITIONED:
            left = await days(db, table)
            assert left[0] == max(now - keep, TODAY - timedelta(days=1)).date()
            assert left[-1] == now.date() + timedelta(days=7)
            assert left == [left[0] + timedelta(days=n) for n in range(len(left))], "a hole"
        assert await retention.drop_past(db, now) == []


async def test_a_day_with_something_unpublished_stays_however_old(pool: Pool) -> None:
    async with pool.acquire() as db:
        await retention.make_ahead(db, TODAY)
        id, *_ = await writers.items(pool, (78,), each=1)
        async with db.transaction():
            await lanes.append(db, [writers.made(id, 78, "task", 1, None, TODAY)])
        later = TODAY + timedelta(days=400)
        dropped = await retention.drop_past(db, later)
        assert "outbox_20310302" in dropped
        assert "outbox_20310301" not in dropped
        await db.execute("update outbox_lanes set published = head")
        assert await retention.drop_past(db, later) == ["outbox_20310301"]


def test_every_rung_of_the_ladder_outlives_the_one_below() -> None:
    retention.assert_ladder()
    assert tuple(sorted(LADDER)) == LADDER


@pytest.mark.parametrize("wrong", range(1, len(LADDER)))
def test_a_ladder_that_does_not_rise_is_refused(wrong: int) -> None:
    ladder = list(LADDER)
    ladder[wrong] = ladder[wrong - 1]
    with pytest.raises(ValueError, match="does not rise"):
        retention.assert_ladder(ladder)


async def test_who_reads_an_old_day_keeps_it_and_takes_no_coming_day_from_us(pool: Pool, database: str) -> None:
    old = datetime.now(UTC) - timedelta(days=20)
    async with pool.acquire() as db:
        await retention.make_ahead(db, old)
        await db.execute("create table receipts_archive partition of receipts default")
        missing = f"receipts_{datetime.now(UTC) + timedelta(days=3):%Y%m%d}"
        await db.execute(f"drop table {missing}")
    kept = f"receipts_{old:%Y%m%d}"
    async with postgres.connection(database, "reader") as reader, reader.transaction():
        await reader.fetch(f"select from {kept}")
        await retention.tend(pool)
        assert await pool.fetchval("select to_regclass($1) is not null", missing)
        assert await pool.fetchval("select to_regclass($1) is not null", kept)
    await retention.tend(pool)
    assert not await pool.fetchval("select to_regclass($1) is not null", kept)
