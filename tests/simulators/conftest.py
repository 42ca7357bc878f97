from collections.abc import AsyncIterator

import httpx
import pytest

from deploy.simulators.todoist.server import running
from deploy.simulators.todoist.simulator import Simulator
from tests.simulators.receiver import Door, Receiver, open_door

ANN = "2671355"


@pytest.fixture(scope="session")
async def door() -> AsyncIterator[tuple[Door, str]]:
    async with open_door() as opened:
        yield opened


@pytest.fixture
def receiver(door: tuple[Door, str]) -> Receiver:
    """A fresh receiver, reached at `receiver.url`."""
    opened, url = door
    opened.receiver = Receiver(url)
    return opened.receiver


@pytest.fixture
async def simulator(receiver: Receiver) -> AsyncIterator[Simulator]:
    """A simulator with Ann's account (token `ann`), which redelivers after 10 ms."""
    async with running(Simulator(webhook_url=receiver.url, redelivery_delay=0.01, seed=1)) as simulator:
        simulator.create(ANN, "ann")
        yield simulator


@pytest.fixture
async def api(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """Ann's API client."""
    async with httpx.AsyncClient(base_url=simulator.url, headers={"Authorization": "Bearer ann"}) as client:
        yield client
