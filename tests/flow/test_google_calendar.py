"""Google's calendars, from a push without content to a subscriber's topic, on real processes, Kafka and PostgreSQL."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.flow.calendars import Owner, owners
from tests.flow.world import World

PAGE = 50
"""Items that no page exceeds, so that what the tests read has more than one."""


@pytest.fixture(scope="module")
async def running(shared: World) -> AsyncIterator[World]:
    shared.google.page_size = PAGE
    await shared.service.start()
    yield shared


@pytest.fixture(scope="module")
async def everybody(running: World) -> Iterator[Owner]:
    """People who are connected and read already, so that no test waits for that: each takes its own."""
    return iter(await owners(running, 24))


@pytest.fixture
def ann(everybody: Iterator[Owner]) -> Owner:
    return next(everybody)


async def test_two_thousand_mixed_changes_arrive_once_in_order_and_whole(running: World, ann: Owner) -> None:
    await running.google.mix(ann.account, 2_000, seed=1)
    await running.settled()
    subscriber = await running.subscriber()
    assert subscriber.breaches == []
    assert subscriber.repeats == 0
    ann.is_told_to(subscriber)
