"""Random lives: every change they choose is accepted, and reading along by the documents gives the whole."""

from collections.abc import AsyncIterator

import httpx
import pytest

from deploy.simulators.google.faults import ApiFault, Faults
from deploy.simulators.google.simulator import Simulator
from tests.simulators.conftest import DANA
from tests.simulators.google_reader import Reader, state_of


@pytest.fixture
async def reader(google: Simulator) -> AsyncIterator[Reader]:
    async with httpx.AsyncClient(base_url=google.url, headers={"Authorization": "Bearer dana"}) as api:
        yield Reader(api)


@pytest.mark.parametrize("page_size", [None, 3])
async def test_a_reader_who_follows_the_tokens_ends_with_the_same_state(
    google: Simulator, reader: Reader, page_size: int | None
) -> None:
    google.page_size = page_size
    for seed in range(40):
        await google.mix(DANA, 50, seed)
        await reader.follow()
    assert reader.state == state_of(google.books(DANA))
    kinds = [event for events in reader.state["events"].values() for event in events]
    assert any(event.get("recurrence") for event in kinds)
    assert any(event["status"] == "cancelled" for event in kinds)
    assert any("recurringEventId" in event and event["status"] != "cancelled" for event in kinds)


async def test_tokens_that_expire_on_the_way_cost_a_full_read_and_nothing_else(
    google: Simulator, reader: Reader
) -> None:
    google.page_size = 5
    google.faults.set(Faults(api=(ApiFault(kind="invalid_page_token", fraction=0.02),)))
    for seed in range(20):
        await google.mix(DANA, 50, seed)
        if seed % 5 == 0:
            google.expire_sync_tokens(DANA)
        await reader.follow()
    assert reader.state == state_of(google.books(DANA))


async def test_the_same_seed_makes_the_same_changes() -> None:
    summaries = []
    for _ in range(2):
        simulator = Simulator(seed=4)
        simulator.create(DANA, "dana")
        await simulator.mix(DANA, 300, seed=9)
        state = simulator.books(DANA)["state"]
        summaries.append([[event.get("summary") for event in events] for events in state["events"].values()])
    assert summaries[0] == summaries[1]
