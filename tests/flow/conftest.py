"""The world of a flow test, and the one that the tests of a module share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import Stack, copied, fresh_prefix
from tests.flow.world import World, world


@pytest.fixture
async def everything(stack: Stack, database: str, prefix: str, tmp_path: Path) -> AsyncIterator[World]:
    """The whole path, running, with one connected account."""
    async with world(stack, database, prefix, tmp_path) as made:
        await made.connect()
        await made.service.start()
        yield made


@pytest.fixture(scope="module")
async def shared(stack: Stack, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The whole path, not started yet, for all tests of a module: each brings accounts of its own."""
    logs = tmp_path_factory.mktemp("logs")
    async with copied(stack, template) as database, world(stack, database, fresh_prefix(), logs) as made:
        yield made
