"""An operator follows one delivery, by whatever id is at hand, to the group that has read its change."""

import asyncio
import os
import re
import signal
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
import pytest
from aiokafka import AIOKafkaConsumer

from deploy.simulators import captured
from deploy.simulators.todoist.faults import ApiFault, Faults
from outbox import cluster, postgres
from outbox.cluster import Place
from outbox.connections import DEMO_TENANT
from outbox.follow import follow
from schemas.identity import item_id
from tests.flow.calendars import owner
from tests.flow.command import BOUND_SECONDS, CLOSED, NO_KAFKA, Said, json_lines, run, start, variables
from tests.flow.people import Person, person
from tests.flow.records import put
from tests.flow.world import World
from tests.outbox.conditions import until

PUSH: Final = Path(__file__).parents[1] / "captured" / "google" / "calendar_exists"
RECEIPT: Final = "select * from receipts where delivery_id = $1"
RUN_OF: Final = "select * from sync_runs where causation_id = $1"
CHANGES: Final = "select item_id, version from sync_history"


@dataclass(frozen=True)
class Followed:
    """Somebody made a task, was heard, and a group of subscribers has read it while another has not."""

    ann: Person
    delivery: str
    item: UUID
    readers: str
    latecomers: str


@pytest.fixture(scope="module")
async def followed(shared: World) -> Followed:
    ann = await person(shared, tasks=2)
    await shared.service.start()
    await shared.settled()
    readers, latecomers = f"{shared.prefix}readers", f"{shared.prefix}latecomers"
    await reads(shared, latecomers, 2)
    task = ann.run("item_add", content="Buy milk")
    await shared.settled()
    await reads(shared, readers, 3)
    push = shared.simulator.holding(ann.account).books.pushes[-1]
    item = item_id(DEMO_TENANT, "todoist", ann.account, "task", task["id"])
    return Followed(ann, push.delivery_id, item, readers, latecomers)


async def reads(world: World, group: str, records: int) -> None:
    """A group reads so many tasks and commits where it is."""
    topic = f"{world.prefix}changes.task"
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=world.stack.bootstrap, group_id=group, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        seen = 0
        async with asyncio.timeout(30):
            while seen < records:
                seen += sum(map(len, (await consumer.getmany(timeout_ms=200)).values()))
        await consumer.commit()
    finally:
        await consumer.stop()


async def show(world: World, id_: object, *more: str) -> dict[str, Any]:
    said = await run(variables(world), "deliveries", "show", str(id_), "--json", *more)
    assert (said.status, said.err) == (0, ""), said
    told: dict[str, Any] = orjson.loads(said.out)
    return told


async def test_a_push_is_followed_from_its_request_to_the_group_that_has_read_its_change(followed: Followed) -> None:
    world = followed.ann.world
    told = await show(world, followed.delivery)
    assert told["found"] == ["delivery"]
    (delivery,) = told["deliveries"]
    ((receipt),) = await world.ask(RECEIPT, followed.delivery)
    for name in ("event", "account", "topic", "partition", "offset", "wanted"):
        assert delivery[name] == receipt[name], name
    assert (delivery["outcome"], delivery["resource"], delivery["synced"]) == ("wanted", "everything", True)
    assert delivery["record"]["value"]["id"] == followed.delivery
    assert [(group["group"], group["passed"]) for group in delivery["groups"]] == [
        (f"{world.prefix}lifeos.processors", True)
    ]
    (ran,) = await world.ask(RUN_OF, followed.delivery)
    assert [(one["run_id"], one["outcome"], one["created"]) for one in told["runs"]] == [
        (str(ran["run_id"]), "done", 1)
    ]
    assert told["waiting"] == []
    task, sync = told["changes"]
    assert (task["item_id"], task["kind"], task["action"]) == (str(followed.item), "task", "created")
    assert (sync["kind"], sync["seq"]) == ("sync", task["seq"] + 1)
    assert {(group["group"], group["passed"]) for group in task["groups"]} == {
        (followed.readers, True),
        (followed.latecomers, False),
    }
    assert {item["item_id"] for item in told["items"]} == {task["item_id"], sync["item_id"]}
    assert (told["changes_left_off"], told["kafka"]) == (0, None)


async def test_any_id_leads_to_the_same_delivery_run_and_change(followed: Followed) -> None:
    world = followed.ann.world
    whole = await show(world, followed.delivery)
    change = whole["changes"][0]
    for id_, found in (
        (whole["runs"][0]["run_id"], "run"),
        (followed.item, "item"),
        (change["change_id"], "change"),
        (change["causation_id"], "delivery"),
    ):
        told = await show(world, id_)
        assert told["found"] == [found]
        assert [one["delivery_id"] for one in told["deliveries"]] == [followed.delivery]
        assert [one["run_id"] for one in told["runs"]] == [whole["runs"][0]["run_id"]]
        assert change in told["changes"]


async def test_what_stands_at_a_place_is_followed_from_there(followed: Followed) -> None:
    world = followed.ann.world
    whole = await show(world, followed.delivery)
    (delivery,), change = whole["deliveries"], whole["changes"][0]
    for thing, found in ((delivery, "delivery"), (change, "change")):
        place = f"{thing['topic']}/{thing['partition']}/{thing['offset']}"
        for words in (place, place.removeprefix(world.prefix)):
            told = await show(world, words)
            assert (told["id"], told["found"]) == (words, [found])
            assert [one["delivery_id"] for one in told["deliveries"]] == [followed.delivery]
    nowhere = f"webhooks.todoist/{delivery['partition']}/999999"
    said = await run(variables(world), "deliveries", "show", nowhere)
    assert said == Said(1, "", f"lifeos: no record stands at {nowhere}: it is past its retention, or never was\n")


async def test_an_item_is_followed_by_the_id_that_its_provider_has_for_it(followed: Followed) -> None:
    ann = followed.ann
    (known,) = await ann.world.ask("select external_id from integration_data_mapping where item_id = $1", followed.item)
    told = await show(ann.world, known[0])
    assert (told["found"], told["items"][0]["item_id"]) == (["item"], str(followed.item))
    assert (await show(ann.world, known[0], "--connection", str(ann.connection)))["found"] == ["item"]


async def test_a_change_stands_where_it_is_said_to_stand(followed: Followed) -> None:
    """Lanes mix kinds and batches, topics mix lanes: the offset is counted, and has to be right for every change."""
    world = followed.ann.world
    others = [await person(world, tasks=30) for _ in range(3)]
    await world.settled()
    # Several runs wait for the relay, so that a batch of one kind has rows of the others between its own.
    assert await world.service.relay.stop() == 0
    for turn in range(3):
        await asyncio.gather(*(world.simulator.mix(one.account, 30, seed=turn) for one in others))
        await until(lambda: is_read(world), "everything is read", within=30)
    await world.service.relay.start()
    await world.settled()
    claimed: dict[Place, str] = {}
    async with postgres.pool(world.database, "test", size=1) as db:
        for item, version in await world.ask(CHANGES):
            (change,) = (await follow(db, f"{item}.{version}", 1)).changes
            claimed[Place(change["topic"], change["partition"], change["offset"])] = f"{item}.{version}"
    assert len(claimed) > 150
    assert {place.topic.rpartition(".")[2] for place in claimed} == {"task", "collection", "sync"}
    records = await cluster.records_at(world.kafka, claimed)
    assert {place: dict(record.headers)["ce_id"].decode() for place, record in records.items() if record} == claimed


async def is_read(world: World) -> bool:
    """Every push is out and accepted, and a run has seen it."""
    unread = await world.ask("select from sync_cursors where wanted > done")
    return world.simulator.pending == 0 and await world.unhandled() == 0 and not unread


async def test_the_story_fits_eighty_columns_and_is_told_in_the_order_of_time(followed: Followed) -> None:
    said = await run(variables(followed.ann.world), "deliveries", "show", followed.delivery)
    assert (said.status, said.err) == (0, "")
    lines = said.out.splitlines()
    assert max(map(len, lines)) <= 80
    times = [line[:12] for line in lines if re.match(r"\d\d:\d\d:\d\d\.\d{3}  ", line)]
    assert times == sorted(times)
    assert len(times) == 6
    story = " ".join(said.out.split())
    for words in (
        f"{followed.delivery} is a delivery",
        f"received from todoist: item:added for account {followed.ann.account}",
        "accepted as wanted: a run will see it",
        "resource everything",
        "run began, found by push",
        "task created",
        f"passed by {followed.readers} not yet by {followed.latecomers} (at ",
        "run done (1 created)",
        "task 'Buy milk', changed",
    ):
        assert words in story, words


async def test_what_was_parked_says_why_and_what_nobody_connected_says_so(followed: Followed) -> None:
    world = followed.ann.world
    (offset,) = await put(world, followed.ann, [(b"hello", [("ce_id", b"a-parked-one")])])
    world.simulator.create("9100001", "token")
    world.simulator.run("9100001", "item_add", content="Nobody is told")
    await world.settled()
    (push,) = world.simulator.holding("9100001").books.pushes
    (parked,) = (await show(world, "a-parked-one"))["deliveries"]
    assert (parked["outcome"], parked["reason"], parked["offset"]) == ("parked", "undecodable", offset)
    assert parked["parked_detail"].startswith("value is not JSON")
    assert parked["record"]["value"] == "hello"
    story = await run(variables(world), "deliveries", "show", "a-parked-one")
    assert "parked as undecodable: value is not JSON" in story.out
    unmatched = await run(variables(world), "deliveries", "show", push.delivery_id)
    assert "accepted, unmatched: nobody connected this account" in unmatched.out


async def test_one_run_for_many_deliveries_tells_them_all(followed: Followed) -> None:
    world = followed.ann.world
    eve = await person(world)
    await world.settled()
    # The cursor is held by nobody who runs it, so that what comes meanwhile becomes one run.
    held = "update sync_cursors set leased_until = now() + interval '{}' where connection_id = '{}'"
    await world.plant(held.format("1 h", eve.connection))
    tasks = [eve.run("item_add", content=f"Task {number}") for number in range(3)]
    pushes = world.simulator.holding(eve.account).books.pushes

    async def accepted() -> bool:
        return len(pushes) == 3 and all([await has_receipt(world, push.delivery_id) for push in pushes])

    await until(accepted, "every push is accepted")
    await world.plant(held.format("-1 s", eve.connection))
    await world.settled()
    item = item_id(DEMO_TENANT, "todoist", eve.account, "task", tasks[0]["id"])
    for id_ in (item, pushes[0].delivery_id):
        (run_,) = (await show(world, id_))["runs"]
        assert [one["delivery_id"] for one in run_["saw"]] == [push.delivery_id for push in pushes]
    story = await run(variables(world), "deliveries", "show", str(item))
    assert "was the first to see 3 deliveries:" in story.out
    assert all(push.delivery_id in story.out for push in pushes)


async def test_a_change_that_is_not_published_yet_says_who_should(followed: Followed) -> None:
    world, ann = followed.ann.world, followed.ann
    assert await world.service.relay.stop() == 0
    try:
        task = ann.run("item_add", content="Nobody relays this")
        item = item_id(DEMO_TENANT, "todoist", ann.account, "task", task["id"])

        async def committed() -> bool:
            return bool(await world.ask("select from sync_history where item_id = $1", item))

        await until(committed, "the task is committed")
        told = await show(world, item)
        (change,) = told["changes"]
        assert (change["state"], change["relay"], change["topic"]) == ("waiting", None, None)
        assert change["published"] < change["seq"] <= change["head"]
        said = await run(variables(world), "deliveries", "show", str(item))
        assert "not published yet" in said.out
        assert "no relay holds the lane" in " ".join(said.out.split())
    finally:
        await world.service.relay.start()
    await world.settled()
    ((change),) = (await show(world, item))["changes"]
    assert change["record"]["state"] == "there"


async def test_a_delivery_that_no_run_has_seen_says_what_its_cursor_waits_for(followed: Followed) -> None:
    world = followed.ann.world
    bob = await person(world)
    await world.settled()
    world.simulator.faults.set(Faults(api=(ApiFault(kind="revoked", account=bob.account),)))
    bob.run("item_add", content="No access")
    await until(lambda: is_halted(bob), "the cursor is halted")
    (push,) = world.simulator.holding(bob.account).books.pushes
    await until(lambda: has_receipt(world, push.delivery_id), "the push is accepted")
    told = await show(world, push.delivery_id)
    assert [one["outcome"] for one in told["runs"]] == ["halted"]
    (cursor,) = told["waiting"]
    assert (cursor["halted"], cursor["attempts"]) == (True, 1)
    story = " ".join((await run(variables(world), "deliveries", "show", push.delivery_id)).out.split())
    assert "no run before the account is connected again" in story
    assert "run halted: Todoist answered 401" in story
    world.simulator.faults.set(Faults())
    await world.connect(bob.account, f"token-{bob.account}")
    await world.settled()
    told = await show(world, push.delivery_id)
    assert [one["outcome"] for one in told["runs"]] == ["halted", "done"]
    assert told["waiting"] == []


async def is_halted(one: Person) -> bool:
    return (await one.status())[0] == "needs_reauthorization"


async def has_receipt(world: World, delivery: str) -> bool:
    return bool(await world.ask(RECEIPT, delivery))


async def test_a_delivery_for_several_tenants_is_followed_in_each(followed: Followed) -> None:
    world = followed.ann.world
    tenant = uuid4()
    one = await person(world)
    theirs = await world.connect(one.account, f"token-{one.account}", tenant, uuid4())
    await world.settled()
    one.run("item_add", content="Everybody's")
    await world.settled()
    (push,) = world.simulator.holding(one.account).books.pushes
    told = await show(world, push.delivery_id)
    assert {delivery["connection_id"] for delivery in told["deliveries"]} == {str(one.connection), str(theirs)}
    assert {item["tenant_id"] for item in told["items"] if item["kind"] == "task"} == {str(DEMO_TENANT), str(tenant)}
    assert len(told["runs"]) == 2


async def test_a_push_without_content_is_followed_through_its_subscription(followed: Followed) -> None:
    """Google says only that something changed in a calendar; the delivery names our subscription and no account."""
    world = followed.ann.world
    gil = await owner(world)
    await world.settled()
    event = gil.add("Rehearsal", gil.choir)
    await world.settled()
    item = item_id(DEMO_TENANT, "google", gil.account, "calendar-event", f"{gil.choir}/{event}")
    told = await show(world, item)
    (change,) = told["changes"]
    (delivery,) = told["deliveries"]
    (ran,) = told["runs"]
    resource = gil.events(gil.choir)
    assert (delivery["resource"], ran["resource"], change["action"]) == (resource, resource, "created")
    assert delivery["subscription_id"] == str((await gil.subscriptions(resource))[0]["id"])
    assert delivery["message"] == delivery["record"]["value"]["via"]["message"]
    assert told["items"][0]["name"] == "Rehearsal"
    assert change in (await show(world, delivery["delivery_id"]))["changes"]
    story = " ".join((await run(variables(world), "deliveries", "show", delivery["delivery_id"])).out.split())
    assert f"subscription {delivery['subscription_id']}, message {delivery['message']}" in story


async def test_a_captured_push_reaches_the_resource_of_the_channel_it_is_sent_for(
    followed: Followed, tmp_path: Path
) -> None:
    """And one that names another resource than that channel's is told from one whose subscription is over."""
    world = followed.ann.world
    ida = await owner(world)
    await world.settled()
    resource = ida.events(ida.choir)
    channel = (await ida.subscriptions(resource))[0]["id"]
    given = variables(world) | {"LIFEOS_PUBLIC_URL": world.service.variables["LIFEOS_PUBLIC_URL"]}
    named = captured.read(PUSH)
    captured.write(tmp_path, replace(named, headers=named.headers | {"X-Goog-Channel-ID": str(channel)}))
    told: list[tuple[str, str, Said]] = []
    for words in ((str(PUSH), "--channel", str(channel)), (str(tmp_path),)):
        sent = await run(given, "simulate", "--send", *words)
        assert (sent.status, sent.err) == (0, ""), sent
        await world.settled()
        (newest,) = json_lines(await run(given, "deliveries", "--provider", "google", "--limit", "1", "--json"))
        id_ = newest["delivery_id"]
        told.append((newest["became"], id_, await run(given, "deliveries", "show", id_)))
    (wanted, _, first), (stale, delivery, second) = told
    assert (wanted, stale) == ("synced", "stale")
    assert f"resource {resource}" in " ".join(first.out.split())
    story = " ".join(second.out.split())
    assert "accepted, stale: it names the resource ret08u3rv24htgh289g, and the subscription it came through" in story
    await world.plant(f"update webhook_subscriptions set status = 'stopped', external_id = null where id = '{channel}'")
    over = await run(given, "deliveries", "show", delivery)
    assert "accepted, stale: the subscription it came through is over" in " ".join(over.out.split())


async def test_only_so_many_changes_are_shown_and_the_rest_is_counted(followed: Followed) -> None:
    world = followed.ann.world
    many = await person(world, tasks=30)
    await world.settled()
    (ran,) = [run["run_id"] for run in await many.history() if run["kind"] == "sync"]
    told = await show(world, ran, "--limit", "5")
    assert (len(told["changes"]), told["changes_left_off"]) == (5, len(await many.history()) - 5)
    said = await run(variables(world), "deliveries", "show", str(ran), "--limit", "5")
    assert f"and {told['changes_left_off']} more changes" in said.out


async def test_an_id_that_nothing_has_is_one_line_that_says_what_was_searched(followed: Followed) -> None:
    given = variables(followed.ann.world)
    unknown = uuid4()
    ids = ("nothing", str(unknown), f"{unknown}.17", f"{unknown}.{1 << 70}", f"{unknown}.x", "", "a" * 3000)
    for id_, said in zip(
        ids, await asyncio.gather(*(run(given, "deliveries", "show", id_) for id_ in ids)), strict=True
    ):
        assert (said.status, said.out) == (1, ""), id_
        assert re.fullmatch(r"lifeos: nothing has the id .*: searched receipts .*\n", said.err), said.err
    said = await run(given, "deliveries", "show", str(followed.ann.connection))
    assert said == Said(
        1,
        "",
        f"lifeos: {followed.ann.connection} is a connection: lifeos connections show {followed.ann.connection}\n",
    )


async def test_without_kafka_the_story_ends_with_the_database(followed: Followed) -> None:
    given = variables(followed.ann.world) | {"LIFEOS_KAFKA_BOOTSTRAP": CLOSED}
    human, machine = await asyncio.gather(
        run(given, "deliveries", "show", followed.delivery),
        run(given, "deliveries", "show", followed.delivery, "--json"),
    )
    assert (human.status, machine.status) == (1, 1)
    assert re.fullmatch(f"lifeos: {NO_KAFKA}\n", human.err)
    assert "task created" in human.out
    assert "passed by" not in human.out
    told = orjson.loads(machine.out)
    assert re.fullmatch(NO_KAFKA, told["kafka"])
    assert [change["groups"] for change in told["changes"]] == [[], []]


async def test_ctrl_c_ends_it_quietly(followed: Followed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kafka = {"LIFEOS_KAFKA_BOOTSTRAP": f"127.0.0.1:{silent.getsockname()[1]}"}
        child = await start(variables(followed.ann.world) | kafka, "deliveries", "show", followed.delivery)
        asked, _ = await asyncio.wait_for(asyncio.to_thread(silent.accept), BOUND_SECONDS)
        child.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(child.communicate(), BOUND_SECONDS)
        asked.close()
    assert (child.returncode, out, err) == (130, b"", b"")


@pytest.mark.parametrize("words", [("show",), ("list", "--json", "--limit", "1000")])
async def test_a_reader_that_has_gone_ends_it_quietly(followed: Followed, words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    more = (followed.delivery,) if words == ("show",) else ()
    child = await start(variables(followed.ann.world), "deliveries", *words, *more, out=writing)
    os.close(writing)
    _, err = await asyncio.wait_for(child.communicate(), BOUND_SECONDS)
    assert (child.returncode, err) == (1, b"")


async def test_without_a_verb_deliveries_are_listed(followed: Followed) -> None:
    given = variables(followed.ann.world)
    bare, named = await asyncio.gather(
        run(given, "deliveries", "--json", "--limit", "3"), run(given, "deliveries", "list", "--json", "--limit", "3")
    )
    assert (bare.status, bare.err) == (0, "")
    assert json_lines(bare) == json_lines(named) != []
