"""Following an id through tables in which something died, waits, or is no longer kept."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
import pytest

from outbox import follow as module
from outbox.follow import follow
from outbox.postgres import Pool
from tests.outbox.spine import RUN, Spine

RECEIPT: Final = """
insert into receipts (topic, partition, "offset", delivery_id, provider, event, account, outcome, tenant_id, connection_id,
    cursor_id, wanted, accepted_at)
select 'webhooks.todoist', 0, $2, $1, 'todoist', 'item:added', '2671355', 'wanted', tenant_id, connection_id, id, $3,
    clock_timestamp() - $4::interval
from sync_cursors returning accepted_at"""
RAN: Final = """
insert into sync_runs (run_id, tenant_id, connection_id, cursor_id, resource, started_at, ended_at, outcome, found_by,
    causation_id, wanted, created, updated, deleted, rejected)
select $1, tenant_id, connection_id, id, resource, clock_timestamp() - $4::interval - interval '1 s',
    clock_timestamp() - $4::interval, $2, 'push', $5, $3, 0, 0, 0, 0
from sync_cursors"""
BIG: Final = {"receipts", "sync_history", "sync_runs", "outbox", "outbox_published", "integration_data_mapping"}


async def received(pool: Pool, delivery: str, wanted: int, ago: float, offset: int = 0) -> None:
    await pool.execute(RECEIPT, delivery, offset, wanted, timedelta(seconds=ago))


async def ran(pool: Pool, outcome: str, wanted: int, ago: float, cause: str = "delivery-1") -> UUID:
    run_id = uuid4()
    await pool.execute(RAN, run_id, outcome, wanted, timedelta(seconds=ago), cause)
    return run_id


async def changed(spine: Spine, *names: str) -> None:
    """A run that commits so many tasks, and dies before it says how it ended."""
    from outbox.commit import Step, apply
    from outbox.vault import Vault
    from schemas.settings import KeyRing

    held = await spine.claim("a run that dies")
    titled = spine.titled({name: f"{name} {uuid4()}" for name in names})
    await apply(spine.pool, Vault(KeyRing({1: bytes(32)})), held, spine.run, Step(titled, titled.items))
    await spine.pool.execute("update sync_cursors set leased_until = '-infinity'")


async def test_the_runs_of_a_delivery_end_with_the_first_that_had_seen_it_and_ended_well(
    pool: Pool, spine: Spine
) -> None:
    await received(pool, "d", wanted=5, ago=60)
    before = [await ran(pool, "done", 4, ago=70), await ran(pool, "done", 4, ago=55)]
    tries = [
        await ran(pool, "retried", 5, ago=50),
        await ran(pool, "halted", 6, ago=40),
        await ran(pool, "done", 6, 30),
    ]
    after = await ran(pool, "done", 7, ago=20)
    trail = await follow(pool, "d", 20)
    assert [run["run_id"] for run in trail.runs] == tries
    assert not {after, *before} & {run["run_id"] for run in trail.runs}
    assert trail.runs[-1]["deliveries"] == 2
    assert trail.waiting == []


async def test_a_run_tells_every_delivery_that_it_was_the_first_to_see(pool: Pool, spine: Spine) -> None:
    await received(pool, "seen before", wanted=4, ago=80, offset=1)
    await ran(pool, "done", 4, ago=70)
    # In one transaction that began before the run did, and in two after.
    for number, (wanted, ago) in enumerate(((6, 75), (6, 75), (7, 66), (8, 60))):
        await received(pool, f"d{number}", wanted, ago, offset=number)
    failed = await ran(pool, "retried", 7, ago=62)
    done = await ran(pool, "done", 8, ago=50)
    await received(pool, "while it ran", wanted=9, ago=50.5, offset=9)
    for id_ in (str(done), "d0", "d3"):
        runs = {run["run_id"]: run for run in (await follow(pool, id_, 20)).runs}
        assert [one["delivery_id"] for one in runs[done]["saw"]] == ["d0", "d1", "d2", "d3"]
        assert runs[done]["saw_left_off"] == 0
    (run,) = (await follow(pool, str(failed), 20)).runs
    assert run["saw"] == []


async def test_of_very_many_deliveries_the_first_are_told_and_the_rest_is_counted(pool: Pool, spine: Spine) -> None:
    for number in range(module.SEEN + 3):
        await received(pool, f"d{number}", wanted=23, ago=60 - number / 10, offset=number)
    done = await ran(pool, "done", 23, ago=50)
    (run,) = (await follow(pool, str(done), 20)).runs
    assert [one["delivery_id"] for one in run["saw"]] == [f"d{number}" for number in range(module.SEEN)]
    assert run["saw_left_off"] == 3


@pytest.mark.parametrize(
    ("state", "column", "expected"),
    [
        ("due_at = now() + interval '1 h', not_before = now() + interval '1 h'", "halted", False),
        ("due_at = 'infinity', not_before = 'infinity'", "halted", True),
        ("closed = true", "closed", True),
        ("owner = 'somebody', leased_until = now() + interval '1 h'", "leased_by", "somebody"),
        ("attempts = 2, last_error = 'Todoist answered 500'", "last_error", "Todoist answered 500"),
    ],
)
async def test_a_delivery_that_no_run_has_seen_comes_with_its_cursor(
    pool: Pool, spine: Spine, state: str, column: str, expected: object
) -> None:
    await received(pool, "d", wanted=5, ago=60)
    await pool.execute(f"update sync_cursors set wanted = 5, {state}")
    trail = await follow(pool, "d", 20)
    assert trail.runs == []
    (cursor,) = trail.waiting
    assert cursor[column] == expected
    assert (cursor["due_at"] is None) == ("'infinity'" in state)


async def test_a_run_that_died_is_known_by_what_it_committed(pool: Pool, spine: Spine) -> None:
    await received(pool, "d", wanted=5, ago=60)
    await changed(spine, "a", "b")
    trail = await follow(pool, "d", 20)
    (lost,) = trail.runs
    assert (lost["run_id"], lost["outcome"]) == (RUN, "cut short")
    assert {change["external_id"] for change in trail.changes} == {"a", "b"}
    for id_ in (str(RUN), trail.changes[0]["change_id"], str(trail.changes[0]["item_id"])):
        found = await follow(pool, id_, 20)
        assert found.changes
        assert all(change["state"] == "waiting" for change in found.changes)
    by_its_id = await follow(pool, str(RUN), 1)
    assert (by_its_id.found, len(by_its_id.changes), by_its_id.left_off) == (["run"], 1, 1)
    assert by_its_id.runs[0]["outcome"] == "cut short"


@pytest.mark.parametrize("id_", ["d", str(RUN), "an item"])
async def test_a_run_that_is_under_way_is_not_taken_for_dead(pool: Pool, spine: Spine, id_: str) -> None:
    await received(pool, "d", wanted=5, ago=60)
    await pool.execute("update sync_cursors set last_start = now()")
    await changed(spine, "a")
    await pool.execute("update sync_cursors set leased_until = now() + interval '1 h'")
    trail = await follow(pool, str(spine.item("a")) if id_ == "an item" else id_, 20)
    assert [(run["run_id"], run["outcome"]) for run in trail.runs] == [(RUN, "under way")]


async def test_however_often_it_was_tried_in_vain_the_run_that_saw_a_delivery_is_found(
    pool: Pool, spine: Spine
) -> None:
    await received(pool, "d", wanted=5, ago=100)
    for ago in range(90, 60, -1):
        await ran(pool, "retried", 5, ago)
    done = await ran(pool, "done", 5, ago=50)
    trail = await follow(pool, "d", 20)
    assert trail.runs[-1]["run_id"] == done
    assert len(trail.runs) == module.TRIES + 1
    assert trail.waiting == []


async def test_what_a_delivery_caused_is_found_when_its_receipt_is_no_longer_kept(pool: Pool, spine: Spine) -> None:
    run_id = await ran(pool, "done", 5, ago=10, cause="long-gone")
    trail = await follow(pool, "long-gone", 20)
    assert (trail.found, trail.deliveries) == (["cause"], [])
    assert [run["run_id"] for run in trail.runs] == [run_id]


async def test_a_change_outlives_its_outbox_row(pool: Pool, spine: Spine) -> None:
    await changed(spine, "a")
    await pool.execute("delete from outbox")
    (change,) = (await follow(pool, str(spine.item("a")), 20)).changes
    assert (change["state"], change["lane"], change["topic"]) == ("dropped", None, None)


async def test_an_items_versions_are_followed_back_even_past_a_clock_that_went_back(pool: Pool, spine: Spine) -> None:
    for _ in range(4):
        await changed(spine, "a")
    # As if a fail-over had set the clock back by an hour before the last two: their versions are ahead of their moments.
    await pool.execute("""
        update sync_history set recorded_at = recorded_at - interval '1 h'
        where version in (select version from sync_history order by version desc limit 2)""")
    trail = await follow(pool, str(spine.item("a")), 20)
    versions = sorted(change["version"] for change in trail.changes)
    assert len(versions) == 4
    assert [change["prev_version"] for change in sorted(trail.changes, key=lambda c: c["version"])] == [
        None,
        *versions[:-1],
    ]
    newest = await follow(pool, str(spine.item("a")), 2)
    assert sorted(change["version"] for change in newest.changes) == versions[-2:]


async def test_an_item_is_found_by_the_id_that_its_provider_has_for_it(pool: Pool, spine: Spine) -> None:
    await changed(spine, "a/b")
    ((connection,),) = await pool.fetch("select id from integration_connections")
    for whose in (None, connection):
        trail = await follow(pool, "a/b", 20, whose)
        assert (trail.found, [item["item_id"] for item in trail.items]) == (["item"], [spine.item("a/b")])
    for sought, whose in (("a", None), ("a/b", UUID(int=1))):
        with pytest.raises(LookupError, match="and by a provider's own ids"):
            await follow(pool, sought, 20, whose)


async def test_among_many_connections_the_provider_s_id_needs_to_be_told_whose(pool: Pool, spine: Spine) -> None:
    await changed(spine, "a")
    ((connection,),) = await pool.fetch("select id from integration_connections")
    await pool.execute(
        """
        insert into integration_connections (tenant_id, profile_id, provider, account, lane, credentials)
        select tenant_id, profile_id, provider, account || n, lane, credentials
        from integration_connections, generate_series(1, $1) n""",
        module.FEW,
    )
    assert (await follow(pool, "a", 20, connection)).found == ["item"]
    with pytest.raises(LookupError, match="--connection"):
        await follow(pool, "a", 20)


async def test_a_batch_that_was_sent_twice_is_found_where_it_was_last_acknowledged(pool: Pool, spine: Spine) -> None:
    await changed(spine, "a", "b", "c")
    lane = spine.run.lane
    await pool.execute("update outbox_lanes set published = 3 where lane = $1", lane)
    await pool.execute(
        """
        insert into outbox_published (lane, first_seq, last_seq, kind, topic, partition, first_offset)
        values ($1, 1, 1, 'task', 't', 0, 100), ($1, 2, 3, 'task', 't', 0, 200), ($1, 1, 9, 'sync', 's', 0, 300)""",
        lane,
    )
    trail = await follow(pool, str(RUN), 20)
    places = {change["seq"]: (change["topic"], change["offset"]) for change in trail.changes}
    assert places == {1: ("t", 100), 2: ("t", 200), 3: ("t", 201)}


@pytest.mark.parametrize(
    "id_",
    [
        "",
        "x",
        "\0",
        "\udcff",
        "é" * 500,
        str(UUID(int=7)),
        f"{UUID(int=7)}.1",
        f"{UUID(int=7)}.",
        f"{UUID(int=7)}.{2**63}",
    ],
)
async def test_an_id_that_nothing_has_raises_what_was_searched(pool: Pool, spine: Spine, id_: str) -> None:
    with pytest.raises(LookupError, match=r"nothing has the id .*: searched receipts"):
        await follow(pool, id_, 20)


STATEMENTS: Final = {
    "DELIVERIES": ("x", 20),
    "RUN_BY_ID": (UUID(int=1),),
    "RUNS_BY_CAUSE": ("x", 20),
    "SAW": (UUID(int=1), None, None, 1, 2, 100_000, 20),
    "ENDED_WELL": (UUID(int=1), None, 1),
    "TRIED": (UUID(int=1), None, 1, None, 20),
    "CUT_SHORT": (UUID(int=1), UUID(int=1), None, None, UUID(int=1), 20),
    "OF_A_RUN": (UUID(int=1), UUID(int=1), None, None, UUID(int=1), 20),
    "VERSION": (UUID(int=1), UUID(int=1), None, None, UUID(int=1), 1),
    "ITEM_BY_ID": (UUID(int=1),),
    "ITEMS": ([UUID(int=1)], [UUID(int=1)]),
    "PLACES": ([UUID(int=1)], [1]),
}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_every_question_has_an_index(pool: Pool, name: str) -> None:
    arguments = STATEMENTS[name]
    assert await read_whole(pool, getattr(module, name), *arguments) == set()


async def test_but_the_last_resort(pool: Pool) -> None:
    """A run that left nothing but changes, known by its id alone."""
    assert await read_whole(pool, module.OF_A_LOST_RUN, UUID(int=1), 20) == {"sync_history"}


async def read_whole(pool: Pool, statement: str, *arguments: object) -> set[str]:
    """The tables that grow with time which a statement would read from end to end, for want of an index."""
    async with pool.acquire() as db, db.transaction():
        await db.execute("set local enable_seqscan = off")
        now = await db.fetchval("select now()")
        given = [now if argument is None else argument for argument in arguments]
        plan = await db.fetchval(f"explain (format json) {statement}", *given)
    whole = {node["Relation Name"] for node in nodes(orjson.loads(plan)[0]["Plan"]) if not looks_up(node)}
    return {re.sub(r"_\d{8}$", "", table) for table in whole} & BIG


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def looks_up(node: dict[str, Any]) -> bool:
    """Whether it reads no table, or only the rows that an index names."""
    return "Relation Name" not in node or any("Index Cond" in one for one in (node, *node.get("Plans", ())))
