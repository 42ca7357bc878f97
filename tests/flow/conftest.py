"""The world of a flow test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import Stack
from tests.flow.world import World, world


@pytest.fixture
async def everything(stack: Stack, database: str, prefix: str, tmp_path: Path) -> AsyncIterator[World]:
    """The whole path, running, with one connected account."""
    async with world(stack, database, prefix, tmp_path) as made:
        await made.connect()
        await made.service.start()
        yield made
