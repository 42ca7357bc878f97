"""The PostgreSQL pool, and which of its errors mean what."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy

from schemas.settings import BadSettings

# Generic only in their stubs, hence the quotes.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Row = asyncpg.Record

STATEMENT_TIMEOUT_MS: Final = 5_000
TRANSACTION_TIMEOUT_MS: Final = 30_000
IDLE_TRANSACTION_TIMEOUT_MS: Final = 1_500
"""A process that is stopped in the middle of a transaction keeps its locks so long. Less than the bound of taking over
partitions, whose rows it may hold."""

UNAVAILABLE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""The server is away, going, or coming back: wait and try again. What was sent may or may not have happened."""

REFUSED: Final = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
"""The server does not let us in as who we say we are, or has no such database. Waiting does not help."""

TRANSIENT: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.InvalidCachedStatementError,
)
"""The whole transaction may be tried again at once."""

BAD_DATA: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
"""Some row of the statement is to blame."""


async def _prepare(connection: Any) -> None:
    # The binary form of jsonb is a version byte, 1, and the text.
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda data: orjson.loads(data[1:]),
        format="binary",
    )


def _unusable(error: Exception) -> BadSettings:
    return BadSettings(f"LIFEOS_DATABASE_URL: {error}")


@asynccontextmanager
async def pool(dsn: str, role: str, size: int = 8) -> AsyncIterator[Pool]:
    """A pool of connections that name their role, close themselves when left open, and speak JSON through orjson.

    Raises `BadSettings` for an address that cannot be used.
    """
    try:
        opened = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=size,
            timeout=5,
            command_timeout=STATEMENT_TIMEOUT_MS / 1000 + 1,
            init=_prepare,
            server_settings={
                "application_name": f"lifeos-{role}",
                "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                "transaction_timeout": str(TRANSACTION_TIMEOUT_MS),
                "idle_in_transaction_session_timeout": str(IDLE_TRANSACTION_TIMEOUT_MS),
                "timezone": "UTC",
            },
        )
    except asyncpg.ClientConfigurationError as error:
        raise _unusable(error) from None
    try:
        yield opened
    finally:
        try:
            async with asyncio.timeout(2):
                await opened.close()
        except (TimeoutError, *UNAVAILABLE):
            opened.terminate()


@asynccontextmanager
async def connection(dsn: str, role: str, **settings: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """One connection of its own, outside any pool. Raises `BadSettings` for an address that cannot be used."""
    try:
        opened = await asyncpg.connect(
            dsn, timeout=5, server_settings={"application_name": f"lifeos-{role}", "timezone": "UTC"} | settings
        )
    except asyncpg.ClientConfigurationError as error:
        raise _unusable(error) from None
    try:
        await _prepare(opened)
        yield opened
    finally:
        try:
            await opened.close(timeout=2)
        except (TimeoutError, *UNAVAILABLE):
            opened.terminate()
