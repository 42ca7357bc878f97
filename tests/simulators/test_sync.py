"""`/sync` over HTTP: authentication, forms, both sides, limits and every fault."""

import json
from datetime import timedelta
from time import perf_counter
from typing import Any

import httpx
import pytest

from deploy.simulators.todoist.faults import ApiFault, Faults
from deploy.simulators.todoist.limits import Limits
from deploy.simulators.todoist.server import running
from deploy.simulators.todoist.simulator import Simulator
from tests.simulators.conftest import ANN

EVERYTHING = json.dumps(["items", "projects", "sections", "labels"])


async def sync(api: httpx.AsyncClient, token: str = "*", **form: str) -> httpx.Response:
    return await api.post("/api/v1/sync", data={"sync_token": token, "resource_types": EVERYTHING, **form})


def switch(simulator: Simulator, **fault: Any) -> None:
    simulator.faults.set(Faults(api=(ApiFault.model_validate(fault),)))


async def test_both_sides_in_one_request(api: httpx.AsyncClient) -> None:
    token = (await sync(api)).json()["sync_token"]
    command = {"type": "item_add", "uuid": "u1", "temp_id": "t1", "args": {"content": "x"}}
    answer = (await sync(api, token, commands=json.dumps([command]))).json()
    assert answer["sync_status"] == {"u1": "ok"}
    assert [item["id"] for item in answer["items"]] == [answer["temp_id_mapping"]["t1"]]


async def test_a_command_alone_needs_no_token_and_gives_one(api: httpx.AsyncClient) -> None:
    commands = json.dumps([{"type": "item_add", "uuid": "u1", "args": {"content": "x"}}])
    answer = (await api.post("/api/v1/sync", data={"commands": commands})).json()
    assert answer["sync_status"] == {"u1": "ok"}
    assert (await sync(api, answer["sync_token"])).json()["items"] == []


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer other", "Basic ann"])
async def test_without_a_known_bearer_token_nothing_is_told(api: httpx.AsyncClient, authorization: str) -> None:
    answer = await api.post("/api/v1/sync", data={"sync_token": "*"}, headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert answer.json()["error_tag"] == "UNAUTHORIZED"


@pytest.mark.parametrize("form", [{"sync_token": "*"}, {"commands": "{}"}, {"sync_token": "*", "resource_types": "[1"}])
async def test_a_wrong_form_is_refused(api: httpx.AsyncClient, form: dict[str, str]) -> None:
    assert (await api.post("/api/v1/sync", data=form)).status_code == 400


async def test_only_a_posted_form_within_bounds_is_read(api: httpx.AsyncClient) -> None:
    assert (await api.get("/api/v1/sync")).status_code == 405
    assert (await api.post("/api/v1/sync", json={"sync_token": "*"})).status_code == 415
    assert (await sync(api, padding="x" * 1024 * 1024)).status_code == 413


async def test_accounts_do_not_see_each_other(simulator: Simulator, api: httpx.AsyncClient) -> None:
    simulator.create("77", "bob")
    simulator.run("77", "item_add", content="Bob's")
    assert (await sync(api)).json()["items"] == []
    answer = await api.get("/api/v1/tasks", headers={"Authorization": "Bearer bob"})
    assert [task["content"] for task in answer.json()["results"]] == ["Bob's"]


async def test_reading_too_often_is_answered_with_when_to_come_back() -> None:
    limits = Limits(full=2, partial=1, window=timedelta(minutes=15))
    async with running(Simulator(limits=limits)) as simulator:
        simulator.create(ANN, "ann")
        async with httpx.AsyncClient(base_url=simulator.url, headers={"Authorization": "Bearer ann"}) as api:
            token = (await sync(api)).json()["sync_token"]
            statuses = [(await sync(api, t)).status_code for t in (token, token, "*", "*")]
            refused = await sync(api)
    assert statuses == [200, 429, 200, 429]
    assert 0 < refused.json()["error_extra"]["retry_after"] <= 900


async def test_the_books_count_calls_and_kinds_of_reads(simulator: Simulator, api: httpx.AsyncClient) -> None:
    token = (await sync(api)).json()["sync_token"]
    await sync(api, token)
    await sync(api, "wrong")
    await api.get("/api/v1/tasks/unknown")
    books = (await api.get(f"/simulator/books/{ANN}", params={"parts": "calls"})).json()
    assert books["calls"] == {"POST /api/v1/sync": {"200": 2, "400": 1}, "GET /api/v1/tasks/{id}": {"404": 1}}
    assert books["syncs"] == {"full": 1, "partial": 1}


async def test_rate_limited(simulator: Simulator, api: httpx.AsyncClient) -> None:
    switch(simulator, kind="rate_limited", times=2, retry_after=7)
    answers = [await sync(api) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].json()["error_extra"] == {"retry_after": 7}


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_server_error(simulator: Simulator, api: httpx.AsyncClient, status: int) -> None:
    switch(simulator, kind="server_error", status=status)
    assert (await sync(api)).status_code == status


@pytest.mark.parametrize("status", [401, 403])
async def test_revoked(simulator: Simulator, api: httpx.AsyncClient, status: int) -> None:
    switch(simulator, kind="revoked", status=status, account=ANN)
    assert (await sync(api)).status_code == status


async def test_a_fault_of_one_account_or_path_spares_the_others(simulator: Simulator, api: httpx.AsyncClient) -> None:
    switch(simulator, kind="server_error", account="someone else")
    assert (await sync(api)).status_code == 200
    switch(simulator, kind="server_error", path="/api/v1/tasks")
    assert (await sync(api)).status_code == 200
    assert (await api.get("/api/v1/tasks")).status_code == 503


async def test_a_fraction_of_the_calls(simulator: Simulator, api: httpx.AsyncClient) -> None:
    simulator.limits = Limits(full=1000)
    switch(simulator, kind="server_error", fraction=0.5)
    statuses = {(await sync(api)).status_code for _ in range(40)}
    assert statuses == {200, 503}


@pytest.mark.parametrize("kind", ["slow", "trickle"])
async def test_late_answers_are_whole(simulator: Simulator, api: httpx.AsyncClient, kind: str) -> None:
    switch(simulator, kind=kind, seconds=0.1)
    started = perf_counter()
    assert (await sync(api)).json()["full_sync"] is True
    assert perf_counter() - started >= 0.1


async def test_broken_json(simulator: Simulator, api: httpx.AsyncClient) -> None:
    switch(simulator, kind="broken_json", times=1)
    answer = await sync(api)
    assert answer.status_code == 200
    with pytest.raises(ValueError):
        answer.json()
    assert (await sync(api)).json()["full_sync"] is True


async def test_no_sync_token(simulator: Simulator, api: httpx.AsyncClient) -> None:
    switch(simulator, kind="no_sync_token")
    assert "sync_token" not in (await sync(api)).json()


async def test_an_invalid_token_once(simulator: Simulator, api: httpx.AsyncClient) -> None:
    token = (await sync(api)).json()["sync_token"]
    switch(simulator, kind="invalid_sync_token", times=1)
    assert [(await sync(api, token)).status_code for _ in range(2)] == [400, 200]


async def test_every_token_of_the_past_expires(api: httpx.AsyncClient) -> None:
    token = (await sync(api)).json()["sync_token"]
    assert (await api.post(f"/simulator/expire/{ANN}")).status_code == 204
    assert (await sync(api, token)).status_code == 400
    fresh = (await sync(api)).json()["sync_token"]
    assert (await sync(api, fresh)).status_code == 200


async def test_a_full_answer_to_an_incremental_question(simulator: Simulator, api: httpx.AsyncClient) -> None:
    simulator.run(ANN, "item_add", content="x")
    token = (await sync(api)).json()["sync_token"]
    switch(simulator, kind="full_sync")
    answer = (await sync(api, token)).json()
    assert answer["full_sync"] is True
    assert len(answer["items"]) == 1


async def test_a_malformed_item_comes_once_and_is_right_again_after(
    simulator: Simulator, api: httpx.AsyncClient
) -> None:
    task = simulator.run(ANN, "item_add", content="x")
    switch(simulator, kind="malformed_item", times=1)
    first, second = [(await sync(api)).json()["items"] for _ in range(2)]
    assert first[0]["id"] == task["id"]
    assert "content" not in first[0]
    assert second == [task]


async def test_faults_are_shown_with_what_is_left_and_cleared(api: httpx.AsyncClient) -> None:
    faults = {"push": {"drop": 0.5}, "api": [{"kind": "rate_limited", "times": 3}]}
    assert (await api.put("/simulator/faults", json=faults)).status_code == 200
    await sync(api)
    shown = (await api.get("/simulator/faults")).json()
    assert (shown["push"]["drop"], shown["api"][0]["times"]) == (0.5, 2)
    assert (await api.delete("/simulator/faults")).json()["api"] == []
    refused = await api.put("/simulator/faults", json={"push": {"drop": 2}})
    assert (refused.status_code, "push.drop" in refused.json()["error"]) == (400, True)
