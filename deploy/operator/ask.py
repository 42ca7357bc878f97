"""How a verb asks its servers, and what it says when it cannot."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NoReturn, TypeVar

import click

from deploy import outside
from deploy.operator.lines import printable
from schemas.settings import BadSettings, ConnectSettings, DatabaseSettings, KafkaSettings, NotSet, load

if TYPE_CHECKING:
    from outbox.postgres import Pool

T = TypeVar("T")


class BothSettings(KafkaSettings, DatabaseSettings):
    """What a verb needs that asks both servers."""


S = TypeVar("S", KafkaSettings, DatabaseSettings, ConnectSettings, BothSettings)


def variables() -> Mapping[str, str]:
    """The environment of a verb: what is given, over that of the stack that runs here."""
    from deploy.local.environment import environment

    return environment()


def ask(model: type[S], work: Callable[[S], Awaitable[T]]) -> T:
    """Runs an operator's question. Exit status: 1 what was asked cannot be had, 2 a setting is wrong."""
    from outbox.kafka import KafkaError, KafkaUnavailable
    from outbox.migrate import SchemaDrift
    from outbox.postgres import BAD_DATA, REFUSED, TRANSIENT, UNAVAILABLE

    quiet()
    try:
        settings = load(model, variables())
    except BadSettings as error:
        refuse(error)
    try:
        return asyncio.run(_awaited(work, settings))
    except BadSettings as error:
        refuse(error)
    except (
        KafkaError,
        KafkaUnavailable,
        SchemaDrift,
        LookupError,
        *REFUSED,
        *TRANSIENT,
        *UNAVAILABLE,
        *BAD_DATA,
    ) as error:
        click.echo(f"lifeos: {printable(told_of(settings, error))}", err=True)
        sys.exit(1)


def quiet() -> None:
    """aiokafka logs every retry; what is wrong is said once, by the error that ends it."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def refuse(error: BadSettings) -> NoReturn:
    """Ends the verb over a setting."""
    click.echo(f"lifeos: {error}{outside.NO_STACK if isinstance(error, NotSet) else ''}", err=True)
    sys.exit(2)


def told_of(settings: KafkaSettings | DatabaseSettings, error: BaseException) -> str:
    """One line that names the server, where one is to blame."""
    from outbox.kafka import KafkaError, KafkaUnavailable
    from outbox.postgres import REFUSED, TRANSIENT, UNAVAILABLE

    if isinstance(settings, KafkaSettings) and isinstance(error, (KafkaError, KafkaUnavailable)):
        return outside.kafka_does_not_answer(settings, error)
    if isinstance(settings, DatabaseSettings) and isinstance(error, REFUSED):
        return outside.postgresql_refuses(settings, error)
    if isinstance(settings, DatabaseSettings) and isinstance(error, (*TRANSIENT, *UNAVAILABLE)):
        return outside.postgresql_does_not_answer(settings, error)
    if isinstance(settings, KafkaSettings) and isinstance(error, TimeoutError):
        return outside.kafka_does_not_answer(settings, error)
    return str(error) or type(error).__name__


@asynccontextmanager
async def database(settings: DatabaseSettings, size: int = 1) -> AsyncIterator["Pool"]:
    """The database, at this version. Raises `SchemaDrift`, and what `told_of` has words for."""
    from outbox import migrate
    from outbox.postgres import pool

    async with pool(settings.database_url.get_secret_value(), "operator", size=size) as db:
        await migrate.check(db)
        yield db


async def _awaited(work: Callable[[S], Awaitable[T]], settings: S) -> T:
    return await work(settings)
