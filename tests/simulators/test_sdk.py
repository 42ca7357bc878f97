"""The measure of the simulator: the official SDK drives it and notices no difference."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import httpx
import pytest
from todoist_api_python.api import TodoistAPI

from deploy.simulators.todoist.simulator import Simulator
from tests.simulators.conftest import ANN
from tests.simulators.receiver import Receiver

T = TypeVar("T")


class Rerouted(httpx.HTTPTransport):
    """Sends every request to the simulator; the path stays."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = httpx.URL(address)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        to = self._address
        request.url = request.url.copy_with(scheme=to.scheme, host=to.host, port=to.port)
        return super().handle_request(request)


@pytest.fixture
async def sdk(simulator: Simulator) -> AsyncIterator[TodoistAPI]:
    with httpx.Client(transport=Rerouted(simulator.url)) as client:
        yield TodoistAPI("ann", client=client)


async def call(work: Callable[[], T]) -> T:
    """The SDK blocks, so it runs beside the loop that serves it."""
    return await asyncio.to_thread(work)


async def test_projects(sdk: TodoistAPI) -> None:
    def work() -> None:
        home = sdk.add_project("Home", description="Where the heart is", color="green", view_style="board")
        room = sdk.add_project("Room", parent_id=home.id)
        assert sdk.get_project(home.id) == home
        assert room.parent_id == home.id
        assert sdk.update_project(home.id, name="House", is_favorite=True).is_favorite
        assert sdk.archive_project(room.id).is_archived
        assert [project.name for page in sdk.get_projects() for project in page] == ["Inbox", "House"]
        assert not sdk.unarchive_project(room.id).is_archived
        assert sdk.delete_project(home.id)
        assert [project.name for page in sdk.get_projects() for project in page] == ["Inbox"]

    await call(work)


async def test_sections_and_labels(sdk: TodoistAPI) -> None:
    def work() -> None:
        home = sdk.add_project("Home")
        section = sdk.add_section("Kitchen", home.id, order=3)
        assert sdk.get_section(section.id) == section
        assert section.order == 3
        assert sdk.update_section(section.id, name="Pantry").name == "Pantry"
        assert [s.name for page in sdk.get_sections(project_id=home.id) for s in page] == ["Pantry"]
        assert sdk.delete_section(section.id)
        assert [s for page in sdk.get_sections() for s in page] == []
        label = sdk.add_label("errand", color="red", item_order=2)
        assert (sdk.get_label(label.id), label.order) == (label, 2)
        assert sdk.update_label(label.id, name="shopping").name == "shopping"
        assert [known.name for page in sdk.get_labels() for known in page] == ["shopping"]
        assert sdk.delete_label(label.id)

    await call(work)


async def test_a_task_and_its_life(sdk: TodoistAPI, simulator: Simulator, receiver: Receiver) -> None:
    def work() -> None:
        task = sdk.add_task(
            "Write the report",
            description="Ten pages",
            labels=["deep work"],
            priority=4,
            due_datetime=datetime(2027, 3, 1, 17, tzinfo=UTC),
            deadline_date=date(2027, 3, 5),
            duration=45,
            duration_unit="minute",
        )
        assert sdk.get_task(task.id) == task
        assert task.due is not None
        assert task.deadline is not None
        assert task.duration is not None
        assert (task.due.date, task.deadline.date) == (datetime(2027, 3, 1, 17, tzinfo=UTC), date(2027, 3, 5))
        assert (task.duration.amount, task.creator_id, task.is_completed) == (45, ANN, False)
        updated = sdk.update_task(task.id, content="Write it", due_string="every day", order=9)
        assert updated.due is not None
        assert (updated.due.is_recurring, updated.order) == (True, 9)
        assert sdk.update_task(task.id, due_string="no date").due is None
        assert sdk.complete_task(task.id)
        assert sdk.get_task(task.id).is_completed
        assert [t for page in sdk.get_tasks() for t in page] == []
        assert sdk.uncomplete_task(task.id)
        assert sdk.move_task(task.id, project_id=sdk.add_project("Work").id)
        assert sdk.delete_task(task.id)
        with pytest.raises(httpx.HTTPStatusError, match="404"):
            sdk.get_task(task.id)

    await call(work)
    await simulator.quiesce()
    assert [push.json["event_name"] for push in receiver.received] == [
        *("item:added", "item:updated", "item:updated", "item:completed", "item:uncompleted"),
        *("project:added", "item:updated", "item:deleted"),
    ]


async def test_lists_come_in_pages_and_filtered(sdk: TodoistAPI, simulator: Simulator) -> None:
    home = simulator.run(ANN, "project_add", name="Home")["id"]
    contents = [f"task {number}" for number in range(120)]
    for content in contents:
        simulator.run(ANN, "item_add", content=content, project_id=home, labels=["even"] * (int(content[5:]) % 2 == 0))

    def work() -> None:
        pages = list(sdk.get_tasks(limit=50))
        assert [len(page) for page in pages] == [50, 50, 20]
        assert [task.content for page in pages for task in page] == contents
        assert sum(len(page) for page in sdk.get_tasks(project_id=home, label="even", limit=7)) == 60
        two = [pages[0][3].id, pages[2][1].id]
        assert [task.id for page in sdk.get_tasks(ids=two) for task in page] == two

    await call(work)


async def test_completed_tasks_come_in_pages_by_the_date_of_their_completion(
    sdk: TodoistAPI, simulator: Simulator
) -> None:
    tasks = [simulator.run(ANN, "item_add", content=f"task {number}", priority=3)["id"] for number in range(120)]
    for id_ in tasks[:110]:
        simulator.run(ANN, "item_complete", id=id_)
    now = datetime.now(UTC)

    def work() -> None:
        def window(**days: int) -> list[list[str]]:
            since, until = now - timedelta(days=days["since"]), now + timedelta(days=1)
            pages = sdk.get_completed_tasks_by_completion_date(since=since, until=until, limit=50)
            return [[task.id for task in page if task.is_completed and task.priority == 3] for page in pages]

        pages = window(since=80)
        assert [len(page) for page in pages] == [50, 50, 10]
        assert [id_ for page in pages for id_ in page] == tasks[:110][::-1]
        with pytest.raises(httpx.HTTPStatusError, match="400"):
            window(since=100)

    await call(work)


async def test_a_cursor_is_good_for_its_question_only(api: httpx.AsyncClient, simulator: Simulator) -> None:
    for number in range(3):
        simulator.run(ANN, "item_add", content=str(number))
    cursor = (await api.get("/api/v1/tasks", params={"limit": 2})).json()["next_cursor"]
    wrong: tuple[dict[str, Any], ...] = (
        {"limit": 1, "cursor": cursor},
        {"limit": 2, "cursor": "é"},
        {"limit": 201},
        {"limit": "x"},
    )
    for params in wrong:
        assert (await api.get("/api/v1/tasks", params=params)).status_code == 400
    assert (await api.get("/api/v1/Tasks")).status_code == 404
