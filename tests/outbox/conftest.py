"""A pool on the test's own database, and the topics of its own prefix."""

from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from outbox import kafka, postgres
from outbox.postgres import Pool
from outbox.vault import Vault
from schemas.settings import KafkaSettings, KeyRing, load
from tests.outbox.spine import Spine, connect


class Bootstrap(Protocol):
    """What these tests need of the servers that all tests share."""

    @property
    def bootstrap(self) -> str: ...


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """As a process of ours would open it."""
    async with postgres.pool(database, "test", size=20) as opened:
        yield opened


@pytest.fixture
async def topics(stack: Bootstrap, prefix: str) -> KafkaSettings:
    """Settings of a cluster on which all topics of this test exist, empty."""
    environ = {"LIFEOS_ENV": "development", "LIFEOS_KAFKA_BOOTSTRAP": stack.bootstrap, "LIFEOS_TOPIC_PREFIX": prefix}
    settings = load(KafkaSettings, environ)
    await kafka.create_topics(settings)
    return settings


@pytest.fixture
def vault() -> Vault:
    return Vault(KeyRing({3: bytes(range(32)), 1: bytes(range(32, 64))}))


@pytest.fixture
async def spine(pool: Pool, vault: Vault) -> Spine:
    """A connected account, its cursor due."""
    return await connect(pool, vault)
