"""Records that nobody promised: set aside with their reason and their bytes, while their neighbours are accepted once."""

import secrets
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

import asyncpg
import orjson
import pytest

from outbox import postgres
from outbox.connections import DEMO_TENANT
from outbox.vault import CannotOpen, Vault
from schemas.delivery import Delivery, encode
from schemas.identity import lane
from schemas.settings import KeyRing
from tests.flow.expected import assert_same
from tests.flow.people import Person, person
from tests.flow.records import Put, put, where
from tests.flow.world import RING, World
from tests.outbox.conditions import someone_waits_for_a_lock, until

RECEIPTS = """
select "offset", delivery_id, outcome, reason, tenant_id from receipts
where partition = $1 and "offset" = any($2::bigint[]) order by "offset", match"""
PARKED = "select reason, detail, source, sealed from parked where source = any($1::text[]) and reason = $2"
BY_ACCOUNT = "select delivery_id, outcome, match, tenant_id from receipts where account = $1 order by 1, match"
COUNTED = "select attempts from counted order by at"
OWNERS = "select distinct tenant_id, connection_id from {}"
ITEMS = "select item_id, external_id from integration_data_mapping where tenant_id = $1 and kind <> 'sync'"

# Each failure of a single delivery, as it was counted.
COUNTS = """
create table counted ("offset" bigint, attempts int, at timestamptz default clock_timestamp());
create function count_it() returns trigger language plpgsql as $$
begin insert into counted values (new."offset", new.attempts); return null; end $$;
create trigger count_it after insert or update on delivery_failures for each row execute function count_it()"""

# The third failure waits for the test, which holds the lock.
HELD: Final = 42
POISON = f"""
create function refuse_poison() returns trigger language plpgsql as $$ begin
    if exists (select from delivery_failures where attempts = 2) then
        perform pg_advisory_xact_lock({HELD});
    end if;
    raise check_violation using message = 'planted';
end $$;
create trigger refuse_poison before insert on receipts for each row
    when (new.delivery_id = 'poison' and new.outcome <> 'parked') execute function refuse_poison()"""

# A sequence counts on although its transaction is rolled back.
TROUBLES = """
create sequence troubles;
create function trouble() returns trigger language plpgsql as $$ begin
    case nextval('troubles')
        when 1 then raise deadlock_detected;
        when 2 then raise serialization_failure;
        when 3 then raise lock_not_available;
        when 4 then perform pg_terminate_backend(pg_backend_pid());
        else null;
    end case;
    return new;
end $$;
create trigger trouble before insert on receipts for each row
    when (new.delivery_id = 'in trouble') execute function trouble()"""


@pytest.fixture(scope="module")
async def ann(shared: World) -> Person:
    """Whoever the good deliveries are for. The processes are not started yet."""
    await shared.plant(COUNTS)
    return await person(shared)


@pytest.fixture
async def running(shared: World) -> World:
    if not shared.service.processors.running:
        await shared.service.start()
    return shared


async def test_a_record_that_is_no_delivery_is_set_aside_and_its_neighbours_are_accepted_once(
    shared: World, ann: Person
) -> None:
    bad = [*undecodable(ann.account), *unlabelled()]
    puts: list[Put] = [good(ann)]
    for one in bad:
        puts += [one, good(ann)]
    offsets = await put(shared, ann, puts)  # nobody consumes yet, so all of them are one batch
    await shared.service.start()
    await handled(shared, ann)
    accepted, refused = offsets[::2], offsets[1::2]
    told = {row["offset"]: row for row in await receipts(shared, ann, accepted)}
    assert {row["outcome"] for row in told.values()} == {"wanted"}
    assert [row["offset"] for row in await receipts(shared, ann, accepted)] == accepted
    assert (await ann.cursor())["wanted"] == len(accepted)
    aside = await receipts(shared, ann, refused)
    assert [(row["offset"], row["outcome"], row["reason"]) for row in aside] == [
        (offset, "parked", "undecodable") for offset in refused
    ]
    assert await kept(shared, ann, refused, "undecodable") == [value or b"" for value, _ in bad]
    assert await shared.ask(COUNTED) == []


async def test_a_delivery_that_our_own_code_or_the_database_refuses_is_parked_as_a_bug(
    running: World, ann: Person
) -> None:
    wanted = (await ann.cursor())["wanted"]
    bad = list(unacceptable(ann))
    puts: list[Put] = [good(ann)]
    for one in bad:
        puts += [one, good(ann)]
    offsets = await put(running, ann, puts)
    await handled(running, ann)
    refused = offsets[1::2]
    assert [row["outcome"] for row in await receipts(running, ann, offsets[::2])] == ["wanted"] * len(offsets[::2])
    assert (await ann.cursor())["wanted"] == wanted + len(offsets[::2])
    assert [row["reason"] for row in await receipts(running, ann, refused)] == ["bug"] * len(bad)
    assert await kept(running, ann, refused, "bug") == [value for value, _ in bad]
    assert [row["attempts"] for row in await running.ask(COUNTED)] == [1, 2, 3] * len(bad)
    assert await running.ask("select 1 from delivery_failures") == []


async def test_three_failures_are_three_although_the_process_dies_before_the_third(running: World, ann: Person) -> None:
    await running.plant("truncate counted")
    await running.plant(POISON)
    wanted = (await ann.cursor())["wanted"]
    async with held(running):
        offsets = await put(running, ann, [good(ann), good(ann, id="poison"), good(ann)])
        async with postgres.pool(running.database, "test", size=1) as db:
            await someone_waits_for_a_lock(db)
        await running.service.processors.kill()
    await running.service.processors.start()
    await handled(running, ann)
    assert [row["attempts"] for row in await running.ask(COUNTED)] == [1, 2, 3]
    told = await receipts(running, ann, offsets)
    assert [(row["offset"], row["outcome"], row["reason"]) for row in told] == [
        (offsets[0], "wanted", None),
        (offsets[1], "parked", "bug"),
        (offsets[2], "wanted", None),
    ]
    assert (await ann.cursor())["wanted"] == wanted + 2
    assert await running.ask("select 1 from delivery_failures") == []


async def test_what_passes_by_itself_is_tried_again_and_counted_against_nobody(running: World, ann: Person) -> None:
    await running.plant("truncate counted")
    await running.plant(TROUBLES)
    offsets = await put(running, ann, [good(ann), good(ann, id="in trouble"), good(ann)])
    await handled(running, ann)
    assert [row["outcome"] for row in await receipts(running, ann, offsets)] == ["wanted"] * 3
    assert (await running.ask("select last_value from troubles"))[0][0] == 5
    assert await running.ask(COUNTED) == []


async def test_a_delivery_for_nobody_has_a_receipt_and_connecting_later_misses_nothing(running: World) -> None:
    running.simulator.create("8000001", "a-stranger")
    running.simulator.run("8000001", "item_add", content="Nobody listens")
    await running.settled()
    rows = await running.ask(BY_ACCOUNT, "8000001")
    assert [(row["outcome"], row["match"], row["tenant_id"]) for row in rows] == [("unmatched", 0, None)]
    connection = await running.connect("8000001", "a-stranger")
    await running.settled()
    assert_same(await running.subscriber(), running.simulator, "8000001", connection)


async def test_one_account_in_two_tenants_is_told_to_both_and_neither_sees_the_other(running: World) -> None:
    ours, theirs = DEMO_TENANT, uuid4()
    account, token = "8000002", "shared-by-two"
    connections = [
        await running.connect(account, token),
        await running.connect(account, token, theirs, uuid4()),
    ]
    await running.settled()
    await running.simulator.mix(account, 60, seed=5)
    await running.settled()
    rows = [tuple(row) for row in await running.ask(BY_ACCOUNT, account)]
    deliveries = {row[0] for row in rows}
    assert len(rows) == 2 * len(deliveries)
    assert {(outcome, match) for _, outcome, match, _ in rows} == {("wanted", 0), ("wanted", 1)}
    assert {(delivery, tenant) for delivery, _, _, tenant in rows} == {
        (delivery, tenant) for delivery in deliveries for tenant in (ours, theirs)
    }
    subscriber = await running.subscriber()
    assert subscriber.breaches == []
    for connection, tenant in zip(connections, (ours, theirs), strict=True):
        assert_same(subscriber, running.simulator, account, connection, tenant)
    for table in ("integration_data_mapping", "sync_history", "outbox", "sync_cursors"):
        owners = {tuple(row) for row in await running.ask(OWNERS.format(table))}
        assert {tenant for tenant, connection in owners if connection == connections[1]} == {theirs}, table
        assert {tenant for tenant, connection in owners if connection != connections[1]} == {ours}, table
    items = [await running.ask(ITEMS, tenant) for tenant in (ours, theirs)]
    ids = [{row["item_id"] for row in rows} for rows in items]
    externals = [{row["external_id"] for row in rows} for rows in items]
    assert externals[1]
    assert externals[1] <= externals[0]
    assert not ids[0] & ids[1]


# What is put in ------------------------------------------------------------------------------------------------------


def delivery(account: str, **changed: Any) -> Delivery:
    made = Delivery(
        id=str(uuid4()),
        provider="todoist",
        kind="look",
        account=account,
        lane=lane("todoist", account),
        event="item:updated",
        received_at="2026-11-22T12:00:00.000000+00:00",
        raw=b"{}",
        raw_is_json=True,
    )
    return replace(made, **changed)


def record(made: Delivery) -> Put:
    value, headers = encode(made)
    return value, [*headers]


def good(one: Person, **changed: Any) -> Put:
    return record(delivery(one.account, **changed))


def undecodable(account: str) -> Iterable[Put]:
    """Values that are no deliveries, under the headers of one."""
    value, headers = encode(delivery(account))
    body = orjson.loads(value)
    wrong: list[dict[str, Any]] = [
        {"provider": "slack"},
        {"kind": "rumour"},
        {"lane": 256},
        {"lane": True},
        {"lane": None},
        {"id": 17},
        {"account": None},
        {"account": "\0"},
        {"event": ["item:added"]},
        {"received_at": {}},
    ]
    values = [
        None,
        b"",
        b"hello",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"[" * 10_000,
        value[:-1],
        *(orjson.dumps(body | change) for change in wrong),
        *(orjson.dumps({name: v for name, v in body.items() if name != absent}) for absent in body),
        orjson.dumps({**{name: v for name, v in body.items() if name != "raw"}, "raw_base64": "é"}),
    ]
    return [(value, [*headers]) for value in values]


def unlabelled() -> Iterable[Put]:
    """Values that are no deliveries, under headers that are none of ours either."""
    ids: list[bytes | None] = [None, b"", b"\xff\xfe", b"a\0b", secrets.token_hex(8_000).encode()]
    return [(b"hello", []), *((b"hello", [("ce_id", id_)]) for id_ in ids)]


def unacceptable(one: Person) -> Iterable[Put]:
    """Deliveries in form that can be neither understood nor stored."""
    return [
        good(one, received_at="yesterday"),
        good(one, received_at=""),
        good(one, received_at="0001-01-01T00:00:00+14:00"),
        good(one, id=secrets.token_hex(8_000)),
    ]


# What became of it ---------------------------------------------------------------------------------------------------


async def handled(world: World, one: Person) -> None:
    """Returns when every record of the account's partition is accepted or set aside."""

    async def all_of_it() -> bool:
        assert world.service.processors.running, world.service.processors.said()
        return await world.unhandled() == 0

    await until(all_of_it, "the partition goes on", within=30)


async def receipts(world: World, one: Person, offsets: list[int]) -> list[Any]:
    return await world.ask(RECEIPTS, where(one), offsets)


async def kept(world: World, one: Person, offsets: list[int], reason: str) -> list[bytes]:
    """The sealed bytes of what was parked, opened, in the order of the offsets; they open where they stand only."""
    places = [f"{world.prefix}webhooks.todoist/{where(one)}/{offset}" for offset in offsets]
    rows = {row["source"]: row for row in await world.ask(PARKED, places, reason)}
    assert sorted(rows) == sorted(places)
    assert all(row["detail"] for row in rows.values())
    vault = Vault(KeyRing.parse(RING))
    with pytest.raises(CannotOpen):
        vault.open(rows[places[0]]["sealed"], f"parked/{places[1]}")
    return [vault.open(rows[place]["sealed"], f"parked/{place}") for place in places]


class held:  # noqa: N801 - a context manager in all but name
    """Holds the lock at which a planted trigger waits."""

    def __init__(self, world: World) -> None:
        self._database = world.database

    async def __aenter__(self) -> None:
        self._connection = await asyncpg.connect(self._database)
        await self._connection.execute(f"select pg_advisory_lock({HELD})")

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()
