"""Every way in which the Google simulator's API fails on request, and its own paths."""

from random import Random
from typing import Any, get_args

import httpx
import pytest

from deploy.local.environment import PROJECT
from deploy.simulators.google import demo
from deploy.simulators.google.faults import ApiFault, ApiFaultKind, Faults
from deploy.simulators.google.simulator import Simulator
from tests.simulators.conftest import BOB, DANA

EVENTS = "calendars/primary/events"
LIST = "users/me/calendarList"
MONDAY = {"start": {"date": "2026-11-23"}, "end": {"date": "2026-11-24"}}


def switch(google: Simulator, **fault: Any) -> None:
    google.faults.set(Faults(api=(ApiFault.model_validate(fault),)))


def reason(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["errors"][0]["reason"]


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer other", "Basic dana"])
async def test_without_a_known_bearer_token_nothing_is_told(dana: httpx.AsyncClient, authorization: str) -> None:
    assert reason(await dana.get(LIST, headers={"Authorization": authorization})) == (401, "authError")


@pytest.mark.parametrize(
    ("fault", "status", "why", "retry_after"),
    [
        ({"kind": "rate_limited"}, 429, "rateLimitExceeded", None),
        ({"kind": "rate_limited", "retry_after": 7}, 429, "rateLimitExceeded", "7"),
        ({"kind": "rate_limited", "status": 403}, 403, "rateLimitExceeded", None),
        (
            {"kind": "rate_limited", "status": 403, "reason": "userRateLimitExceeded"},
            403,
            "userRateLimitExceeded",
            None,
        ),
        ({"kind": "server_error"}, 503, "backendError", None),
        ({"kind": "server_error", "status": 500}, 500, "backendError", None),
        ({"kind": "revoked"}, 401, "authError", None),
        ({"kind": "no_scope"}, 403, "insufficientPermissions", None),
        ({"kind": "not_found"}, 404, "notFound", None),
    ],
)
async def test_refusals(
    google: Simulator,
    dana: httpx.AsyncClient,
    fault: dict[str, Any],
    status: int,
    why: str,
    retry_after: str | None,
) -> None:
    switch(google, times=1, **fault)
    answer = await dana.get(EVENTS)
    assert reason(answer) == (status, why)
    assert answer.headers.get("retry-after") == retry_after
    assert (await dana.get(EVENTS)).status_code == 200


async def test_tokens_that_have_expired_or_are_missing(google: Simulator, dana: httpx.AsyncClient) -> None:
    for _ in range(2):
        google.insert(DANA, "primary", MONDAY)
    token = (await dana.get(EVENTS)).json()["nextSyncToken"]
    page = (await dana.get(EVENTS, params={"maxResults": 1})).json()["nextPageToken"]
    switch(google, kind="invalid_sync_token")
    assert reason(await dana.get(EVENTS, params={"syncToken": token})) == (410, "fullSyncRequired")
    switch(google, kind="invalid_page_token")
    assert (await dana.get(EVENTS, params={"pageToken": page})).status_code == 410
    switch(google, kind="invalid_page_token", status=400)
    assert (await dana.get(EVENTS, params={"pageToken": page})).status_code == 400
    switch(google, kind="no_sync_token")
    answer = (await dana.get(EVENTS)).json()
    assert not {"nextSyncToken", "nextPageToken"} & answer.keys()


async def test_an_empty_page_has_one_after_it(google: Simulator, dana: httpx.AsyncClient) -> None:
    event = google.insert(DANA, "primary", MONDAY)
    switch(google, kind="empty_page", times=2)
    answer = (await dana.get(EVENTS)).json()
    pages = 0
    while "nextPageToken" in answer:
        assert answer["items"] == []
        answer = (await dana.get(EVENTS, params={"pageToken": answer["nextPageToken"]})).json()
        pages += 1
    assert (pages, [item["id"] for item in answer["items"]]) == (2, [event["id"]])


@pytest.mark.parametrize("path", [EVENTS, LIST])
async def test_a_malformed_item_comes_first(google: Simulator, dana: httpx.AsyncClient, path: str) -> None:
    switch(google, kind="malformed_item", times=1)
    assert (await dana.get(path)).json()["items"][0]["start"] == 17
    assert all("start" not in item for item in (await dana.get(path)).json()["items"])


async def test_answers_that_come_in_pieces_or_not_whole(google: Simulator, dana: httpx.AsyncClient) -> None:
    whole = (await dana.get(EVENTS)).json()
    for kind in ("slow", "trickle"):
        switch(google, kind=kind, seconds=0.05)
        late = await dana.get(EVENTS)
        assert late.elapsed.total_seconds() >= 0.05
        assert late.json()["nextSyncToken"] == whole["nextSyncToken"]
    switch(google, kind="broken_json")
    with pytest.raises(ValueError):
        (await dana.get(EVENTS)).json()
    switch(google, kind="truncated")
    with pytest.raises(httpx.RemoteProtocolError):
        await dana.get(EVENTS)
    google.faults.set(Faults())
    assert (await dana.get(EVENTS)).status_code == 200


async def test_a_fault_of_one_account_or_path_spares_the_others(
    google: Simulator, dana: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    switch(google, kind="server_error", account=BOB)
    assert [(await api.get(LIST)).status_code for api in (dana, bob)] == [200, 503]
    switch(google, kind="server_error", path="/calendar/v3/calendars/primary/")
    assert [(await dana.get(path)).status_code for path in (LIST, EVENTS)] == [200, 503]


async def test_faults_that_make_no_sense_are_refused(google: Simulator, dana: httpx.AsyncClient) -> None:
    for wrong in (
        {"kind": "rate_limited", "status": 500},
        {"kind": "invalid_page_token", "status": 404},
        {"kind": "x"},
    ):
        answer = await dana.put(f"{google.url}/simulator/faults", json={"api": [wrong]})
        assert (answer.status_code, "api.0" in answer.json()["error"]) == (400, True)
    shown = await dana.put(f"{google.url}/simulator/faults", json={"api": [{"kind": "rate_limited", "times": 2}]})
    assert shown.json()["api"][0]["times"] == 2
    assert (await dana.delete(f"{google.url}/simulator/faults")).json()["api"] == []


async def test_the_simulator_is_driven_over_its_own_paths(google: Simulator) -> None:
    async with httpx.AsyncClient(base_url=f"{google.url}/simulator/") as control:
        assert (await control.post("accounts", json={"account": "77", "token": "cleo"})).status_code == 201
        assert (await control.post("accounts", json={"account": "77", "token": "other"})).status_code == 400
        assert {one["account"] for one in (await control.get("accounts")).json()} == {DANA, BOB, "77"}
        change = {"do": "insert", "fields": {"summary": "x", **MONDAY}}
        made = (await control.post("mutate/77", json=change)).json()["entity"]
        assert made["summary"] == "x"
        refused = (await control.post("mutate/77", json={"do": "delete", "event": "nope"})).json()["error"]
        assert refused["errors"][0]["reason"] == "notFound"
        assert (await control.post("mix/77", json={"changes": 20, "seed": 1})).json()["account"] == "77"
        assert (await control.post("mix/78", json={"changes": 20})).status_code == 404
        assert (await control.post("storm/77", json={"pushes": 1})).status_code == 400
        assert (await control.post("expire/77", json={"tokens": "page", "status": 400})).status_code == 204
        assert (await control.put("pages", json={"size": 3})).status_code == 204
        assert google.page_size == 3
        access = {"calendar": "77@example.org", "watchable": False}
        assert (await control.put("access/77", json=access)).status_code == 204
        assert google.world.calendars["77@example.org"].watchable is False
        assert (await control.put("access/77", json={"calendar": "nobody"})).status_code == 404
        assert (await control.get("books/77?parts=calls")).json().keys() == {"account", "sequence", "calls"}
        assert (await control.post("quiesce", json={})).json() == {"pending": 0}


async def test_the_demo_account_keeps_changing_and_stays_small() -> None:
    google = Simulator(seed=1)
    demo.furnish(google)
    demo.furnish(google)
    state = google.books(demo.ACCOUNT)["state"]
    assert [entry["summary"] for entry in state["calendars"]] == [demo.EMAIL, "Work", "Family"]
    dice, before = Random(1), google.state
    for _ in range(1000):
        demo.step(google, dice)
        assert google.state != before
        before = google.state
    events = google.books(demo.ACCOUNT)["state"]["events"]
    assert 10 < sum(len(of_calendar) for of_calendar in events.values()) < 120


def test_every_fault_is_in_the_page() -> None:
    page = (PROJECT / "deploy" / "docs" / "simulator.md").read_text("utf-8")
    assert all(f"`{kind}`" in page for kind in get_args(ApiFaultKind))
