"""Webhooks as Todoist sends them, over real HTTP on loopback."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from deploy.simulators import captured
from deploy.simulators.todoist.faults import Faults, PushFaults
from deploy.simulators.todoist.pushes import signature
from deploy.simulators.todoist.server import running
from deploy.simulators.todoist.simulator import Simulator
from tests.simulators.conftest import ANN
from tests.simulators.receiver import Received, Receiver

SECRET = "test-client-secret"
EXCHANGES = sorted(folder for folder in (Path(__file__).parents[1] / "captured/todoist").iterdir() if folder.is_dir())


def switch(simulator: Simulator, push: PushFaults) -> None:
    simulator.faults.set(Faults(push=push))


def add(simulator: Simulator, count: int) -> list[str]:
    contents = [f"task {number}" for number in range(count)]
    for content in contents:
        simulator.run(ANN, "item_add", content=content)
    return contents


def test_the_derived_vector_is_signed_alike() -> None:
    body = b'{"event_name":"item:added","user_id":"1","event_data":{"id":"a"},"version":"1"}'
    assert signature(SECRET, body) == "nHlEoq9iTPKOTAiXCZ9IVHV/VNCX1HfKByNaV//u5s8="


@pytest.mark.parametrize("folder", EXCHANGES, ids=lambda folder: folder.name)
def test_every_captured_exchange_carries_its_signature(folder: Path) -> None:
    request = captured.read(folder)
    assert request.headers["X-Todoist-Hmac-SHA256"] == signature(SECRET, request.body)
    assert request.headers["User-Agent"] == "Todoist-Webhooks"
    assert captured.signed_by_todoist(request, SECRET) == request


async def test_a_change_is_pushed_signed_with_all_its_headers(simulator: Simulator, receiver: Receiver) -> None:
    task = simulator.run(ANN, "item_add", content="Grüße")
    (push,) = await receiver.heard(1)
    assert push.headers["x-todoist-hmac-sha256"] == signature(SECRET, push.body)
    assert push.headers["user-agent"] == "Todoist-Webhooks"
    assert push.headers["content-type"] == "application/json"
    told = push.json
    assert (told["event_name"], told["user_id"], told["version"]) == ("item:added", ANN, "1")
    assert told["event_data"] == task
    assert told["initiator"]["id"] == ANN
    assert told["triggered_at"].endswith("Z")
    assert "event_data_extra" not in told


async def test_an_update_says_what_was_meant_and_what_was_before(simulator: Simulator, receiver: Receiver) -> None:
    task = simulator.run(ANN, "item_add", content="x")
    simulator.run(ANN, "item_update", id=task["id"], priority=4)
    pushes = await receiver.heard(2)
    assert pushes[1].json["event_data_extra"] == {"update_intent": "item_updated", "old_item": task}


async def test_every_event_of_a_life_is_told_in_order(simulator: Simulator, receiver: Receiver) -> None:
    task = simulator.run(ANN, "item_add", content="x")["id"]
    project = simulator.run(ANN, "project_add", name="Home")["id"]
    section = simulator.run(ANN, "section_add", name="Kitchen", project_id=project)["id"]
    label = simulator.run(ANN, "label_add", name="errand")["id"]
    for type_, id_ in (
        ("item_complete", task),
        ("item_uncomplete", task),
        ("item_delete", task),
        ("label_update", label),
        ("label_delete", label),
        ("section_archive", section),
        ("section_unarchive", section),
        ("section_delete", section),
        ("project_archive", project),
        ("project_unarchive", project),
        ("project_delete", project),
    ):
        simulator.run(ANN, type_, id=id_)
    told = [push.json["event_name"] for push in await receiver.heard(15)]
    assert told == [
        *("item:added", "project:added", "section:added", "label:added"),
        *("item:completed", "item:uncompleted", "item:deleted", "label:updated", "label:deleted"),
        *("section:archived", "section:unarchived", "section:deleted"),
        *("project:archived", "project:unarchived", "project:deleted"),
    ]


async def test_pushes_of_an_account_keep_their_order(simulator: Simulator, receiver: Receiver) -> None:
    contents = add(simulator, 200)
    await receiver.heard(200)
    assert receiver.contents == contents
    assert len({push.delivery_id for push in receiver.received}) == 200


@pytest.mark.parametrize("status", [500, 503, 401, 204, 202])
async def test_anything_but_200_is_redelivered_with_the_same_id(
    simulator: Simulator, receiver: Receiver, status: int
) -> None:
    receiver.answers.append(status)
    simulator.run(ANN, "item_add", content="x")
    first, second = await receiver.heard(2)
    assert first == second
    await simulator.quiesce()
    (entry,) = pushes_of(simulator)
    assert entry["attempts"] == [status, 200]
    assert entry["accepted"] is True


async def test_a_push_is_given_up_after_three_redeliveries(simulator: Simulator, receiver: Receiver) -> None:
    receiver.answers.extend([503] * 4)
    simulator.run(ANN, "item_add", content="x")
    await simulator.quiesce()
    assert len(receiver.received) == 4
    (entry,) = pushes_of(simulator)
    assert (entry["attempts"], entry["accepted"]) == ([503] * 4, False)


async def test_a_receiver_that_is_away_counts_as_unanswered(receiver: Receiver) -> None:
    async with running(Simulator(webhook_url="http://127.0.0.1:1/", redelivery_delay=0.01)) as simulator:
        simulator.create(ANN, "ann")
        simulator.run(ANN, "item_add", content="x")
        await receiver_is_back(simulator, receiver)
    assert receiver.contents == ["x"]


async def receiver_is_back(simulator: Simulator, receiver: Receiver) -> None:
    simulator.webhook_url = receiver.url
    await simulator.quiesce()


async def test_drops_and_duplicates_follow_the_seed(receiver: Receiver) -> None:
    kept = [await told_with_losses(receiver, seed) for seed in (7, 7, 8)]
    assert kept[0] == kept[1] != kept[2]
    counts = Counter(kept[0])
    assert 0 < 100 - len(counts) < 40
    assert set(counts.values()) == {1, 2}


async def told_with_losses(receiver: Receiver, seed: int) -> list[str]:
    receiver.received.clear()
    async with running(Simulator(webhook_url=receiver.url)) as simulator:
        simulator.create(ANN, "ann")
        switch(simulator, PushFaults(drop=0.2, duplicate=0.2, reorder=5, seed=seed))
        add(simulator, 100)
        await simulator.quiesce()
        entries = pushes_of(simulator)
    ids = Counter(push.delivery_id for push in receiver.received)
    assert ids == Counter({e["delivery_id"]: 1 + e["duplicate"] for e in entries if not e["dropped"]})
    return receiver.contents


async def test_reordered_pushes_all_arrive_within_their_window(simulator: Simulator, receiver: Receiver) -> None:
    switch(simulator, PushFaults(reorder=5, seed=3))
    contents = add(simulator, 100)
    await simulator.quiesce()
    assert receiver.contents != contents
    assert sorted(receiver.contents) == sorted(contents)
    late = [receiver.contents.index(content) - contents.index(content) for content in contents]
    assert min(late) >= -5


async def test_delayed_pushes_keep_their_order(simulator: Simulator, receiver: Receiver) -> None:
    switch(simulator, PushFaults(delay=(0.0, 0.05), seed=3))
    contents = add(simulator, 20)
    await simulator.quiesce()
    assert receiver.contents == contents


async def test_a_storm_repeats_the_present_under_fresh_ids(simulator: Simulator, receiver: Receiver) -> None:
    add(simulator, 3)
    await simulator.quiesce()
    sequence = simulator.holding(ANN).account.seq
    storm = await simulator.storm(ANN, 500)
    assert (storm.accepted, storm.refused, storm.ended) == (500, 0, True)
    assert simulator.holding(ANN).account.seq == sequence
    assert len({push.delivery_id for push in receiver.received}) == 503
    assert all(signed(push) for push in receiver.received)


async def test_a_storm_of_edits_changes_as_often_as_it_pushes(simulator: Simulator) -> None:
    add(simulator, 3)
    sequence = simulator.holding(ANN).account.seq
    await simulator.storm(ANN, 100, edits=True)
    assert simulator.holding(ANN).account.seq == sequence + 100


async def test_a_mix_of_changes_is_repeatable_and_fully_told(receiver: Receiver) -> None:
    lives = []
    for _ in range(2):
        async with running(Simulator(webhook_url=receiver.url, seed=1)) as simulator:
            simulator.create(ANN, "ann")
            await simulator.mix(ANN, 300, seed=5)
            await simulator.quiesce()
            account = simulator.holding(ANN).account
            lives.append(
                [(e["id"], e.get("content", e.get("name"))) for k in account.entities.values() for e in k.values()]
            )
            told = [change for change in simulator.holding(ANN).books.changes if change.event]
            assert len(told) == len(pushes_of(simulator)) >= 300
    assert lives[0] == lives[1]


def signed(push: Received) -> bool:
    return push.headers["x-todoist-hmac-sha256"] == signature(SECRET, push.body)


def pushes_of(simulator: Simulator) -> list[dict[str, Any]]:
    return [push.entry() for push in simulator.holding(ANN).books.pushes]
