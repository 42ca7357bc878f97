from collections.abc import AsyncIterator

import httpx
import pytest

from deploy.simulators.google.server import running as running_google
from deploy.simulators.google.simulator import Simulator as Google
from deploy.simulators.todoist.server import running
from deploy.simulators.todoist.simulator import Simulator
from tests.simulators.receiver import Door, Receiver, open_door

ANN = "2671355"
DANA = "113774264463038321964"
BOB = "101010101010101010101"


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


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    """A simulated Google with Dana's account (token `dana`) and Bob's (token `bob`), which sends again after 10 ms."""
    async with running_google(Google(seed=1, retry_delay=0.01)) as simulator:
        simulator.create(DANA, "dana", "Dana Demo", email="dana@example.org")
        simulator.create(BOB, "bob", "Bob Builder", email="bob@example.org", time_zone="America/New_York")
        yield simulator


@pytest.fixture
async def dana(google: Google) -> AsyncIterator[httpx.AsyncClient]:
    """Dana's API client, at the Calendar API's base address."""
    async with httpx.AsyncClient(
        base_url=f"{google.url}/calendar/v3/", headers={"Authorization": "Bearer dana"}
    ) as client:
        yield client


@pytest.fixture
async def bob(google: Google) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=f"{google.url}/calendar/v3/", headers={"Authorization": "Bearer bob"}
    ) as client:
        yield client
