"""Completed tasks by the date of their completion: windows, pages, filters, faults, and the books that count the calls."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from deploy.simulators.todoist.faults import ApiFault, Faults
from deploy.simulators.todoist.simulator import Simulator
from tests.simulators.conftest import ANN

PATH = "/api/v1/tasks/completed/by_completion_date"
NOON = datetime(2031, 5, 5, 12, tzinfo=UTC)
"""Later than now: an account's stamps never go back."""
WEEK = {"since": "2031-05-01T00:00:00Z", "until": "2031-05-08T00:00:00Z"}


@pytest.fixture(autouse=True)
async def done(simulator: Simulator) -> list[str]:
    """Five tasks completed on May 1, 2, 3, 4 and 5 at noon, by id; and one that is not."""
    return [completed(simulator, NOON + timedelta(days=day)) for day in range(-4, 1)]


def completed(simulator: Simulator, at: datetime) -> str:
    simulator.now = lambda: at
    id_: str = simulator.run(ANN, "item_add", content="task")["id"]
    simulator.run(ANN, "item_add", content="open")
    simulator.run(ANN, "item_complete", id=id_)
    return id_


async def listed(api: httpx.AsyncClient, **params: Any) -> list[str]:
    answer = (await api.get(PATH, params=WEEK | params)).json()
    return [item["id"] for item in answer["items"]]


async def test_what_is_completed_is_listed_as_sync_would_show_it(
    api: httpx.AsyncClient, simulator: Simulator, done: list[str]
) -> None:
    simulator.run(ANN, "item_delete", id=done[0])
    simulator.run(ANN, "item_uncomplete", id=done[1])
    answer = (await api.get(PATH, params=WEEK)).json()
    tasks = simulator.holding(ANN).account.entities["item"]
    assert answer == {"items": [tasks[id_] for id_ in reversed(done[2:])], "next_cursor": None}


async def test_a_window_includes_both_its_ends(api: httpx.AsyncClient, simulator: Simulator, done: list[str]) -> None:
    times = [simulator.holding(ANN).account.get("item", id_)["completed_at"] for id_ in done]
    assert await listed(api, since=times[1], until=times[3]) == [done[3], done[2], done[1]]
    assert await listed(api, since="2031-05-03", until="2031-05-04T00:00:00") == [done[2]]


async def test_pages_hold_everything_once_whatever_is_reopened_meanwhile(
    api: httpx.AsyncClient, simulator: Simulator, done: list[str]
) -> None:
    first = (await api.get(PATH, params=WEEK | {"limit": 2})).json()
    simulator.run(ANN, "item_uncomplete", id=done[4])
    simulator.run(ANN, "item_uncomplete", id=done[3])
    second = (await api.get(PATH, params=WEEK | {"limit": 2, "cursor": first["next_cursor"]})).json()
    third = (await api.get(PATH, params=WEEK | {"limit": 2, "cursor": second["next_cursor"]})).json()
    assert [[item["id"] for item in page["items"]] for page in (first, second, third)] == [
        [done[4], done[3]],
        [done[2], done[1]],
        [done[0]],
    ]
    assert third["next_cursor"] is None


async def test_filters(api: httpx.AsyncClient, simulator: Simulator, done: list[str]) -> None:
    home = simulator.run(ANN, "project_add", name="Home")["id"]
    simulator.run(ANN, "item_move", id=done[2], project_id=home)
    assert await listed(api, project_id=home) == [done[2]]
    assert await listed(api, parent_id=done[2]) == []


@pytest.mark.parametrize(
    "params",
    [
        {"since": "2031-05-01T00:00:00Z"},
        {"until": "2031-05-01T00:00:00Z"},
        WEEK | {"since": "yesterday"},
        WEEK | {"since": "2031-05-09T00:00:00Z"},
        WEEK | {"since": "2031-02-07T23:59:59Z"},
        WEEK | {"limit": "0"},
        WEEK | {"limit": "201"},
        WEEK | {"cursor": "a.b"},
    ],
)
async def test_a_wrong_question_is_refused(api: httpx.AsyncClient, params: dict[str, str]) -> None:
    assert (await api.get(PATH, params=params)).status_code == 400


async def test_three_months_are_allowed(api: httpx.AsyncClient) -> None:
    for since, until in (("2031-02-08", "2031-05-08"), ("2031-11-30", "2032-02-28"), ("2031-01-31", "2031-04-30")):
        assert (await api.get(PATH, params={"since": since, "until": until})).status_code == 200


async def test_a_cursor_is_good_for_its_own_window_and_list_only(api: httpx.AsyncClient) -> None:
    cursor = (await api.get(PATH, params=WEEK | {"limit": 2})).json()["next_cursor"]
    assert (await api.get(PATH, params=WEEK | {"limit": 2, "cursor": cursor})).status_code == 200
    for other in ({"limit": "3"}, {"limit": "2", "until": "2031-05-07T00:00:00Z"}):
        assert (await api.get(PATH, params=WEEK | other | {"cursor": cursor})).status_code == 400
    assert (await api.get("/api/v1/tasks", params={"limit": 2, "cursor": cursor})).status_code == 400


async def test_the_books_count_the_calls(api: httpx.AsyncClient, simulator: Simulator) -> None:
    await listed(api)
    await api.get(PATH)
    assert simulator.holding(ANN).books.called() == {f"GET {PATH}": {"200": 1, "400": 1}}


@pytest.mark.parametrize(
    ("fault", "status"),
    [({"kind": "rate_limited"}, 429), ({"kind": "server_error"}, 503), ({"kind": "revoked", "status": 403}, 403)],
)
async def test_it_fails_like_every_other_path(
    api: httpx.AsyncClient, simulator: Simulator, fault: dict[str, Any], status: int
) -> None:
    simulator.faults.set(Faults(api=(ApiFault.model_validate(fault | {"times": 1, "path": PATH}),)))
    assert (await api.post("/api/v1/sync", data={"sync_token": "*", "resource_types": "[]"})).status_code == 200
    assert [(await api.get(PATH, params=WEEK)).status_code for _ in range(2)] == [status, 200]


async def test_a_malformed_item_comes_in_a_page_too(api: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.faults.set(Faults(api=(ApiFault(kind="malformed_item", times=1),)))
    first, second = [(await api.get(PATH, params=WEEK)).json()["items"] for _ in range(2)]
    assert [("content" in item) for item in first] == [False, True, True, True, True]
    assert first[1:] == second[1:]


async def test_a_refused_cursor_spares_the_first_page(api: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.faults.set(Faults(api=(ApiFault(kind="invalid_cursor"),)))
    cursor = (await api.get(PATH, params=WEEK | {"limit": 2})).json()["next_cursor"]
    assert (await api.get(PATH, params=WEEK | {"limit": 2, "cursor": cursor})).status_code == 400


async def test_a_fault_of_sync_is_not_used_up_by_other_calls(api: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.faults.set(Faults(api=(ApiFault(kind="no_sync_token", times=1),)))
    await listed(api)
    answer = await api.post("/api/v1/sync", data={"sync_token": "*", "resource_types": "[]"})
    assert "sync_token" not in answer.json()
