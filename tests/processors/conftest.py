"""A pool on the test's own database, the topics of its own prefix, and one connected account."""

from collections.abc import AsyncIterator

import pytest

from outbox import kafka, postgres
from outbox.postgres import Pool
from outbox.vault import Vault
from schemas.settings import KafkaSettings, KeyRing, load
from tests.conftest import Stack
from tests.outbox.spine import Spine, connect


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with postgres.pool(database, "test", size=20) as opened:
        yield opened


@pytest.fixture
async def settings(stack: Stack, prefix: str) -> KafkaSettings:
    """Of a cluster on which all topics of this test exist, empty."""
    environ = {"LIFEOS_ENV": "development", "LIFEOS_KAFKA_BOOTSTRAP": stack.bootstrap, "LIFEOS_TOPIC_PREFIX": prefix}
    loaded = load(KafkaSettings, environ)
    await kafka.create_topics(loaded)
    return loaded


@pytest.fixture
def vault() -> Vault:
    return Vault(KeyRing({1: bytes(32)}))


@pytest.fixture
async def spine(pool: Pool, vault: Vault) -> Spine:
    return await connect(pool, vault)
