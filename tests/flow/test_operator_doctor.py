"""The doctor finds what was broken on purpose, says what to do, and says nothing else. Read only, within its bounds."""

import asyncio
import re
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import asyncpg
import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy.operator.checks import CHECKS
from tests.conftest import Stack, administer, fresh_prefix
from tests.flow.calendars import Owner, owner
from tests.flow.command import BOUND_SECONDS, CLOSED, HIDDEN, json_lines, run, start, variables
from tests.flow.people import Person, person
from tests.flow.records import where
from tests.flow.world import World
from tests.outbox.conditions import until

ANOTHER_CLOCK: Final = """
create function public.clock_timestamp() returns timestamptz language sql as
    $$ select pg_catalog.clock_timestamp() + interval '{seconds} s' $$"""

SUBSCRIBED: Final = """
insert into webhook_subscriptions (tenant_id, profile_id, connection_id, provider, resource, due_at, status, expires_at,
    created_at)
select tenant_id, profile_id, id, 'google', 'calendar/list', 'infinity', {columns} from integration_connections"""


@pytest.fixture(scope="module")
async def ann(shared: World) -> Person:
    """Somebody whose account is read, in a world where everything runs."""
    made = await person(shared, tasks=2)
    await shared.service.start()
    made.run("item_add", content="One more")
    await shared.settled()
    return made


async def examine(world: World, **more: str) -> dict[str, Any]:
    """What the doctor finds: its overall status, and each check by its name. Its exit status is held against it."""
    said = await run(variables(world) | more, "doctor", "--json")
    assert said.err == "", said.err
    told = orjson.loads(said.out)
    assert said.status == {"ok": 0, "bad": 1, "warn": 3}[told["status"]]
    checks = {check["name"]: check for check in told["checks"]}
    assert list(checks) == [name for name, _, _ in CHECKS]
    assert all((check["next"] is None) == (check["status"] in ("ok", "unknown")) for check in checks.values())
    return {"status": told["status"]} | checks


def trouble(told: dict[str, Any]) -> dict[str, str]:
    """The checks that are not ok, with their status."""
    return {name: check["status"] for name, check in told.items() if name != "status" and check["status"] != "ok"}


async def test_a_healthy_world_is_ok_and_exits_with_0(ann: Person) -> None:
    told = await examine(ann.world)
    assert trouble(told) == {}
    assert told["status"] == "ok"
    said = await run(variables(ann.world), "doctor")
    assert (said.status, said.err) == (0, "")
    assert max(map(len, said.out.splitlines())) <= 80
    assert {line.split()[0] for line in said.out.splitlines() if not line.startswith(" ")} == {"ok"}


async def test_a_world_with_calendars_and_their_subscriptions_is_healthy_too(ann: Person) -> None:
    world = ann.world
    gil = await owner(world)
    await world.settled()
    await until(lambda: is_watched(gil), "every resource has its subscription")
    told = await examine(world)
    await world.plant("""
        delete from webhook_subscriptions; delete from integration_data_mapping where connection_id in (
            select id from integration_connections where provider = 'google');
        delete from integration_connections where provider = 'google'""")
    assert trouble(told) == {}
    assert re.fullmatch(r"\d active, the next expires in \d+ (d|h)", told["subscriptions"]["said"])


async def is_watched(one: Owner) -> bool:
    statuses = [row["status"] for row in await one.world.ask("select status from webhook_subscriptions")]
    return len(statuses) >= 3 and set(statuses) <= {"active", "unwatchable"}


async def test_a_stopped_relay(ann: Person) -> None:
    world = ann.world
    assert await world.service.relay.stop() == 0
    try:
        ann.run("item_add", content="Stays in the outbox")
        await until(lambda: behind(world), "a change waits")
        told = await examine(world)
    finally:
        await world.service.relay.start()
    assert trouble(told) == {"lanes": "bad", "relays": "bad"}
    assert re.fullmatch(r"nobody holds 256 of 256; \d+ changes in 1 lane not published, .*", told["lanes"]["said"])
    assert told["lanes"]["next"] == "start lifeos relay"
    await world.settled()


async def behind(world: World) -> bool:
    return bool(await world.ask("select from outbox_lanes where head > published"))


async def test_stopped_processors(ann: Person) -> None:
    world = ann.world
    assert await world.service.processors.stop() == 0
    try:
        await world.plant("update sync_cursors set due_at = now() - interval '40 s'")
        told = await examine(world)
    finally:
        await world.service.processors.start()
    assert trouble(told) == {"partitions": "bad", "cursors": "bad"}
    assert told["partitions"]["said"].startswith("nobody handles ")
    assert "start lifeos processors" in told["partitions"]["next"]
    assert re.match(r"\d+ due for more than 30 s and not begun, the oldest for 4\d s", told["cursors"]["said"])
    await world.service.processors.ready()
    await world.settled()


async def test_a_partition_that_stands_still(ann: Person) -> None:
    """Its owner lives and is in the group, and yet nothing of it is handled: the position is locked by somebody."""
    world, topic = ann.world, f"{ann.world.prefix}webhooks.todoist"
    async with locked(world, topic, where(ann)):
        ann.run("item_add", content="Not handled")
        await until(lambda: unhandled(world), "a delivery is in the topic")
        told = await examine(world)
    assert trouble(told) == {"partitions": "bad"}
    assert told["partitions"]["said"] == f"does not move, and is behind: {topic}/{where(ann)}"
    await world.settled()


@asynccontextmanager
async def locked(world: World, topic: str, partition: int) -> AsyncIterator[None]:
    db = await asyncpg.connect(world.database)
    try:
        async with db.transaction():
            await db.execute(
                "select from consumer_offsets where topic = $1 and partition = $2 for update", topic, partition
            )
            yield
    finally:
        await db.close()


async def unhandled(world: World) -> bool:
    return await world.unhandled() > 0


async def test_a_position_that_its_partition_does_not_reach_to(ann: Person) -> None:
    world = ann.world
    nowhere = f"partition = {where(ann)} and topic like '%todoist'"
    await world.plant(f"update consumer_offsets set next_offset = next_offset + 1000 where {nowhere}")
    try:
        told = await examine(world)
    finally:
        await world.plant(f"update consumer_offsets set next_offset = next_offset - 1000 where {nowhere}")
    assert trouble(told) == {"partitions": "bad"}
    assert told["partitions"]["said"].startswith("positions that their partitions do not reach to: ")


@pytest.mark.parametrize(
    ("planted", "mended", "check", "status", "said"),
    [
        (
            "update integration_connections set status = 'needs_reauthorization'",
            "update integration_connections set status = 'active'",
            "connections",
            "warn",
            r"1 of 1 waits for somebody to connect again",
        ),
        (
            "update sync_cursors set attempts = 3, last_error = 'Todoist answered 500'",
            "update sync_cursors set attempts = 0, last_error = null",
            "connections",
            "warn",
            r"1 of 1 failed 3 times in a row or more",
        ),
        (
            "update sync_cursors set resource = 'gone/1', due_at = now() + interval '1 h'",
            "update sync_cursors set resource = 'everything'",
            "readers",
            "bad",
            r"this version reads no todoist gone/1 \(1\)",
        ),
        (
            "insert into parked (provider, reason, detail, source, sealed) values ('todoist', 'bug', 'x', 'x', '')",
            "delete from parked",
            "parked",
            "warn",
            r"in the last 24 h: 1 bug",
        ),
        (
            "insert into schema_migrations (number, name) values (9, '0009_later')",
            "delete from schema_migrations where number = 9",
            "schema",
            "bad",
            r"the database is at version 9, newer than this code \(\d\)",
        ),
    ],
    ids=["halted", "retrying", "unread", "parked", "newer-schema"],
)
async def test_what_stands_wrong_in_a_table(
    ann: Person, planted: str, mended: str, check: str, status: str, said: str
) -> None:
    await ann.world.plant(planted)
    try:
        told = await examine(ann.world)
    finally:
        await ann.world.plant(mended)
    assert trouble(told) == {check: status}
    assert re.fullmatch(said, told[check]["said"])
    assert told["status"] == status


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("'active', now() + interval '3 h', now()", "1 expires soon, the first in 3 h"),
        ("'active', now() + interval '2 d', now() - interval '30 d'", "1 expires soon, the first in 48 h"),
        ("'active', now() - interval '1 s', now()", "1 expired: what changes there is only found from time to time"),
        ("'pending', null, now() - interval '6 min'", "1 could not be made for 5 min"),
        ("'failed', null, now()", "1 failed"),
        ("'active', now() + interval '6 d', now()", None),
        ("'stopped', now() - interval '6 d', now()", None),
    ],
)
async def test_a_subscription(ann: Person, columns: str, said: str | None) -> None:
    await ann.world.plant(SUBSCRIBED.format(columns=columns))
    try:
        told = await examine(ann.world)
    finally:
        await ann.world.plant("delete from webhook_subscriptions")
    assert trouble(told) == ({} if said is None else {"subscriptions": "warn"})
    assert said is None or told["subscriptions"]["said"] == said


@pytest.mark.parametrize(
    "columns", ["'active', now() - interval '1 d', now()", "'failed', null, now() - interval '1 d'"]
)
async def test_a_subscription_that_another_has_replaced_is_no_trouble(ann: Person, columns: str) -> None:
    for one in (columns, "'active', now() + interval '6 d', now()"):
        await ann.world.plant(SUBSCRIBED.format(columns=one))
    try:
        told = await examine(ann.world)
    finally:
        await ann.world.plant("delete from webhook_subscriptions")
    assert trouble(told) == {}
    assert told["subscriptions"]["said"] == "1 active, the next expires in 6 d"


@pytest.mark.parametrize(
    ("table", "day", "status", "said"),
    [
        ("parked", "current_date", "bad", "no day partition for today: parked_"),
        ("outbox", "current_date + 1", "warn", "day partitions reach 0 days ahead only, missing: outbox_"),
        ("receipts", "current_date + 2", "warn", "day partitions reach 1 day ahead only, missing: receipts_"),
        ("receipts", "current_date + 7", "ok", "day partitions reach 6 days ahead, and none is past its keep"),
    ],
)
async def test_a_day_partition_that_is_missing(ann: Person, table: str, day: str, status: str, said: str) -> None:
    world = ann.world
    ((name,),) = await world.ask(f"select '{table}_' || to_char({day}, 'YYYYMMDD')")
    ((after,), (before,)) = await world.ask(f"select ({day} + n)::timestamptz from unnest(array[1, 0]) n")
    await world.plant(f"alter table {table} detach partition {name}; alter table {name} rename to kept_aside")
    try:
        told = await examine(world)
    finally:
        await world.plant(f"alter table kept_aside rename to {name}")
        await world.plant(f"alter table {table} attach partition {name} for values from ('{before}') to ('{after}')")
    assert trouble(told) == ({} if status == "ok" else {"days": status})
    assert told["days"]["said"].startswith(said)
    assert status == "ok" or "lifeos migrate" in told["days"]["next"]


async def test_a_day_partition_that_should_be_gone(ann: Person) -> None:
    old = "receipts_20200101"
    await ann.world.plant(
        f"create table {old} partition of receipts for values from ('2020-01-01Z') to ('2020-01-02Z')"
    )
    try:
        told = await examine(ann.world)
    finally:
        await ann.world.plant(f"drop table {old}")
    assert trouble(told) == {"days": "warn"}
    assert told["days"]["said"] == f"past their keep and not dropped: {old}"


@pytest.mark.parametrize(
    ("name", "value", "check", "status"),
    [
        ("retention.ms", "60000", "retention", "bad"),
        ("retention.ms", "-1", "retention", "warn"),
        ("message.timestamp.type", "CreateTime", "topics", "bad"),
        ("cleanup.policy", "compact", "topics", "bad"),
        ("max.message.bytes", "1000", "topics", "bad"),
    ],
)
async def test_a_topic_that_is_set_wrong(ann: Person, name: str, value: str, check: str, status: str) -> None:
    topic = f"{ann.world.prefix}changes.task"
    right = {"retention.ms": str(14 * 86_400_000), "message.timestamp.type": "LogAppendTime"}
    right |= {"cleanup.policy": "delete", "max.message.bytes": str(2 << 20)}
    await configure(ann.world, topic, right | {name: value})
    try:
        told = await examine(ann.world)
    finally:
        await configure(ann.world, topic, right)
    assert trouble(told) == {check: status}
    assert topic in told[check]["said"]
    assert f"{name}={right[name]}" in told[check]["next"]


async def configure(world: World, topic: str, config: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=world.stack.bootstrap)
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, config)])
    finally:
        await admin.close()


async def test_topics_that_are_not_there(ann: Person) -> None:
    told = await examine(ann.world, LIFEOS_TOPIC_PREFIX=fresh_prefix())
    assert trouble(told) == {"topics": "bad", "partitions": "unknown"}
    assert told["topics"]["next"] == "run lifeos migrate, which creates them"


@pytest.mark.parametrize(("seconds", "status"), [(5, "warn"), (-40, "bad")])
async def test_a_clock_that_is_wrong(ann: Person, seconds: int, status: str) -> None:
    """The database answers with another function of that name, found before PostgreSQL's own."""
    world = ann.world
    name = world.database.rpartition("/")[2].partition("?")[0]
    await world.plant(ANOTHER_CLOCK.format(seconds=seconds))
    await administer(world.stack, f"alter database {name} set search_path = public, pg_catalog")
    try:
        told = await examine(world)
    finally:
        await administer(world.stack, f"alter database {name} reset search_path")
        await world.plant("drop function public.clock_timestamp()")
    assert trouble(told) == {"clock": status}
    assert re.search(rf"is {abs(seconds)}\.\d s (ahead of|behind) ours", told["clock"]["said"])


async def test_production_is_held_to_more_than_development(ann: Person) -> None:
    told = await examine(ann.world, LIFEOS_ENV="production")
    assert trouble(told) == {"topics": "bad"}
    assert "has 1 replica, 3 are needed" in told["topics"]["said"]
    assert told["durability"]["said"] == "a commit is on disk before it counts; no standby"


async def test_a_setting_that_is_wrong_hides_no_other_check(ann: Person) -> None:
    told = await examine(ann.world, LIFEOS_VAULT_KEYS="1:short")
    assert trouble(told) == {"settings": "bad"}
    assert told["settings"]["said"] == "processors: LIFEOS_VAULT_KEYS: key 1 is not base64"


@contextmanager
def silent() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


async def test_a_server_that_is_away_leaves_the_checks_of_the_other(ann: Person, stack: Stack) -> None:
    gone = f"postgresql://lifeos:{HIDDEN}@{CLOSED}/lifeos"
    with silent() as address:
        no_kafka, no_database, neither = await asyncio.gather(
            examine(ann.world, LIFEOS_KAFKA_BOOTSTRAP=CLOSED),
            examine(ann.world, LIFEOS_DATABASE_URL=gone),
            examine(
                ann.world,
                LIFEOS_KAFKA_BOOTSTRAP=address,
                LIFEOS_DATABASE_URL=f"postgresql://lifeos:{HIDDEN}@{address}/lifeos",
            ),
        )
    of_kafka = {name for name, _, needs in CHECKS if "kafka" in needs}
    of_database = {name for name, _, needs in CHECKS if "postgresql" in needs}
    assert trouble(no_kafka) == dict.fromkeys(of_kafka, "unknown") | {"kafka": "bad"}
    assert trouble(no_database) == dict.fromkeys(of_database, "unknown") | {"postgresql": "bad"}
    assert neither["settings"]["status"] == "ok"
    assert set(trouble(neither)) == of_kafka | of_database
    assert no_database["postgresql"]["said"] == f"PostgreSQL at {CLOSED} does not answer: Connection refused"
    assert HIDDEN not in str(no_database)


async def test_a_check_that_cannot_look_hides_no_other(ann: Person) -> None:
    db = await asyncpg.connect(ann.world.database)
    try:
        async with db.transaction():
            await db.execute("lock table parked in access exclusive mode")
            told = await examine(ann.world)
    finally:
        await db.close()
    assert trouble(told) == {"parked": "bad"}
    assert told["parked"]["said"] == "could not be looked at: canceling statement due to statement timeout"


@pytest.mark.parametrize(
    ("unset", "said"),
    [
        (("LIFEOS_CHANNEL_KEYS",), "LIFEOS_CHANNEL_KEYS is not set, and google is connected: .*"),
        (
            ("LIFEOS_CHANNEL_KEYS", "LIFEOS_PUBLIC_URL"),
            "LIFEOS_CHANNEL_KEYS and LIFEOS_PUBLIC_URL are not set, and google is connected: .*",
        ),
        (("LIFEOS_CHANNEL_KEYS", "LIFEOS_VAULT_KEYS"), None),
        ((), None),
    ],
)
async def test_google_is_connected_where_no_channel_can_be_made(
    ann: Person, unset: tuple[str, ...], said: str | None
) -> None:
    given = {name: value for name, value in variables(ann.world).items() if name not in unset}
    before = await doctor(given)
    await ann.world.plant(
        "update integration_connections set provider = 'google'; update sync_cursors set provider = 'google'"
    )
    try:
        told = await doctor(given)
    finally:
        await ann.world.plant(
            "update integration_connections set provider = 'todoist'; update sync_cursors set provider = 'todoist'"
        )
    assert before["channels"]["status"] == "ok"
    assert told["channels"]["status"] == ("ok" if said is None else "warn")
    assert said is None or re.fullmatch(said, told["channels"]["said"])


async def doctor(given: dict[str, str]) -> dict[str, Any]:
    """The checks by name."""
    said = await run(given, "doctor", "--json")
    return {check["name"]: check for check in orjson.loads(said.out)["checks"]}


async def test_a_server_that_never_answers_timed_out(ann: Person) -> None:
    with silent() as address:
        told = await examine(ann.world, LIFEOS_KAFKA_BOOTSTRAP=address)
    assert re.fullmatch(rf"Kafka at {address} does not answer: timed out \(.*\)", told["kafka"]["said"])


async def test_without_a_stack_machines_are_told_in_json_too(ann: Person) -> None:
    said = await run({"LIFEOS_STATE_DIR": "/nonexistent"}, "doctor", "--json")
    told = orjson.loads(said.out)
    statuses = {check["name"]: check["status"] for check in told["checks"]}
    assert statuses == dict.fromkeys([name for name, _, _ in CHECKS], "unknown") | {"settings": "bad"}
    assert (said.status, told["status"]) == (2, "bad")
    assert said.err == "lifeos: LIFEOS_ENV is not set. Is the stack running? ./deploy/up starts it.\n"


async def test_only_what_is_given_is_judged(ann: Person) -> None:
    """An operator has the addresses of the servers, and none of the secrets."""
    names = ("LIFEOS_ENV", "LIFEOS_DATABASE_URL", "LIFEOS_KAFKA_BOOTSTRAP", "LIFEOS_TOPIC_PREFIX", "LIFEOS_STATE_DIR")
    given = {name: value for name, value in variables(ann.world).items() if name in names}
    said = await run(given, "doctor", "--json")
    assert said.status == 0, said.out
    (settings,) = [check for check in json_lines(said)[0]["checks"] if check["name"] == "settings"]
    assert settings["said"].endswith("not given here: those of ingress, processors, connections")


async def test_ctrl_c_ends_the_doctor_quietly(ann: Person) -> None:
    with silent() as address:
        child = await start(variables(ann.world) | {"LIFEOS_KAFKA_BOOTSTRAP": address}, "doctor")
        await until(lambda: asks(ann.world), "it has begun to ask")
        child.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(child.communicate(), BOUND_SECONDS)
    assert (child.returncode, out, err) == (130, b"", b"")


async def asks(world: World) -> bool:
    return bool(await world.ask("select from pg_stat_activity where application_name = 'lifeos-doctor'"))


async def test_the_doctor_only_reads(ann: Person) -> None:
    """In a session that may write nothing, it finds the same."""
    only_reads = f"{ann.world.database}{'&' if '?' in ann.world.database else '?'}default_transaction_read_only=on"
    told = await examine(ann.world, LIFEOS_DATABASE_URL=only_reads)
    assert trouble(told) == {}
