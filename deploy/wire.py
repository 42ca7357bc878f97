"""The composition root: settings in, a running process out. What one room needs of another is handed over here."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, assert_never
from uuid import uuid4

import click

from deploy import outside
from schemas.settings import (
    BadSettings,
    DatabaseSettings,
    IngressSettings,
    KafkaSettings,
    Listen,
    MigrateSettings,
    NotSet,
    OpsSettings,
    ProcessorsSettings,
    RelaySettings,
    load,
)

if TYPE_CHECKING:
    from deploy.ops import Readiness
    from outbox.postgres import Pool
    from schemas.providers import Provider

log = logging.getLogger(__name__)

T = TypeVar("T")
S = TypeVar("S", KafkaSettings, IngressSettings, ProcessorsSettings, RelaySettings, MigrateSettings)

WAIT_SECONDS: Final = 30.0
"""How long a starting process waits for PostgreSQL and Kafka to answer before it gives up."""
TEND_SECONDS: Final = 3600.0

patience = click.option(
    "--wait",
    type=click.FloatRange(0, 3600),
    default=WAIT_SECONDS,
    show_default=True,
    help="Seconds to wait at the start for PostgreSQL and Kafka to answer.",
)


@click.command()
def ingress() -> None:
    """Run the public webhook door. Settings come from the environment; see deploy/docs/settings.md."""
    _run(IngressSettings, _ingress)


@click.command()
@patience
def processors(wait: float) -> None:
    """Run the consumers and the synchroniser. Any number of these processes share the work."""
    _run(ProcessorsSettings, partial(_processors, wait=wait))


@click.command()
@patience
def relay(wait: float) -> None:
    """Run the outbox relay. Any number of these processes share the lanes."""
    _run(RelaySettings, partial(_relay, wait=wait))


@click.command()
@patience
def migrate(wait: float) -> None:
    """Bring the database schema and the topics to this version, then exit. Safe to run again, and twice at once."""
    from deploy.local.environment import environment

    _run(MigrateSettings, partial(_migrate, wait=wait), environment(), unset=outside.NO_STACK, interrupted=130)


def _run(
    model: type[S],
    main: Callable[[S], Awaitable[None]],
    environ: Mapping[str, str] = os.environ,
    unset: str = "",
    interrupted: int = 0,
) -> None:
    """Exit status: 0 ended as asked, 1 something outside keeps it from running, 2 a setting is wrong.

    `unset` goes behind a setting that is not set. `interrupted` is the status after a signal that came before `main`
    listened to any: all that `migrate` ever gets.
    """
    import uvloop

    from outbox import failpoint
    from schemas import tracing
    from schemas.telemetry import configure_logging

    try:
        settings = load(model, environ)
        if settings.development and (armed := os.environ.get("LIFEOS_FAILPOINT")):
            failpoint.arm(armed)
    except ValueError as error:
        click.echo(f"lifeos: {error}{unset if isinstance(error, NotSet) else ''}", err=True)
        sys.exit(2)
    configure_logging()
    if endpoint := getattr(settings, "otlp_endpoint", None):
        tracing.configure(f"lifeos-{click.get_current_context().info_name}", endpoint)
    try:
        if not uvloop.run(_cut(main(settings))):
            sys.exit(interrupted)
    except BadSettings as error:
        click.echo(f"lifeos: {error}", err=True)
        sys.exit(2)
    except _expected() as error:
        click.echo(f"lifeos: {_last_words(settings, error)}", err=True)
        sys.exit(1)
    finally:
        tracing.close()


def _last_words(settings: KafkaSettings, error: BaseException) -> str:
    from outbox.kafka import KafkaUnavailable
    from outbox.postgres import REFUSED

    if isinstance(error, KafkaUnavailable):
        return outside.kafka_does_not_answer(settings, error)
    if isinstance(settings, DatabaseSettings) and isinstance(error, REFUSED):
        return outside.postgresql_refuses(settings, error)
    if isinstance(settings, DatabaseSettings) and not str(error):
        return outside.postgresql_does_not_answer(settings, error)
    return str(error) or type(error).__name__


async def _cut(main: Awaitable[None]) -> bool:
    """False when a signal ended `main` before it listened to signals itself. Lets the first cause out of groups."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await main
    except asyncio.CancelledError:
        return False
    except BaseExceptionGroup as group:
        cause: BaseException = group
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        raise cause from group
    return True


def _expected() -> tuple[type[BaseException], ...]:
    """What ends a process for a reason that one line can tell."""
    from outbox.kafka import AssignmentLost, UnsafeCluster
    from outbox.lease import FenceLost
    from outbox.migrate import SchemaDrift
    from outbox.postgres import REFUSED, TRANSIENT, UNAVAILABLE

    return (UnsafeCluster, SchemaDrift, AssignmentLost, FenceLost, *REFUSED, *TRANSIENT, *UNAVAILABLE)


def owner(role: str) -> str:
    """A name for this process that no other has, to write beside what it leases."""
    return f"{role}@{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


@asynccontextmanager
async def _signalled(stop: Callable[[], None]) -> AsyncIterator[None]:
    """Calls `stop` on SIGTERM and SIGINT."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@contextmanager
def _listening(name: str, address: Listen) -> Iterator[None]:
    """Raises ConnectionError that names the setting when its address cannot be listened on."""
    try:
        yield
    except OSError as error:
        why = outside.why(error)
        raise ConnectionError(f"{name}: cannot listen on {address.host}:{address.port}: {why}") from None


@asynccontextmanager
async def _ops(settings: OpsSettings, readiness: "Readiness") -> AsyncIterator[None]:
    from deploy.ops import serving

    async with AsyncExitStack() as stack:
        with _listening("LIFEOS_OPS_LISTEN", settings.ops_listen):
            await stack.enter_async_context(serving(settings.ops_listen, readiness))
        yield


async def _postgresql(settings: DatabaseSettings, attempt: Callable[[], Awaitable[T]], wait: float) -> T:
    told = partial(outside.postgresql_does_not_answer, settings)
    return await _available(outside.postgresql(settings), attempt, wait, told)


async def _kafka(settings: KafkaSettings, attempt: Callable[[], Awaitable[T]], wait: float) -> T:
    told = partial(outside.kafka_does_not_answer, settings)
    return await _available(outside.kafka(settings), attempt, wait, told)


async def _available(
    what: str, attempt: Callable[[], Awaitable[T]], wait: float, told: Callable[[BaseException], str]
) -> T:
    """Tries until a server answers. Raises ConnectionError with one line when it does not in `wait` seconds."""
    from outbox.kafka import KafkaUnavailable
    from outbox.postgres import UNAVAILABLE

    deadline = asyncio.get_running_loop().time() + wait
    said = False
    while True:
        try:
            return await attempt()
        except (KafkaUnavailable, *UNAVAILABLE) as error:
            if asyncio.get_running_loop().time() > deadline:
                raise ConnectionError(told(error)) from None
            if not said:
                log.info("waiting for a server", extra={"address": what, "detail": outside.why(error)})
                said = True
            await asyncio.sleep(0.5)


async def _ingress(settings: IngressSettings) -> None:
    from deploy.ops import Readiness
    from ingress.app import application
    from ingress.publish import Publisher
    from ingress.server import Server
    from outbox.kafka import check_cluster

    publisher = Publisher(settings)
    app = application(settings, publisher)
    readiness = Readiness()

    def set_ready(ready: bool) -> None:
        app.ready = readiness.ready = ready

    async def start() -> None:
        """While Kafka is away the door answers 503; a cluster that lacks our topics or could lose data closes it."""
        try:
            await _kafka(settings, lambda: check_cluster(settings), wait=float("inf"))
        except BaseException:
            server.should_exit = True
            raise
        await publisher.start()
        set_ready(True)

    def drain() -> None:
        starting.cancel()
        set_ready(False)

    async with _ops(settings, readiness):
        with _listening("LIFEOS_INGRESS_LISTEN", settings.listen):
            server = Server(app, settings.listen, draining=drain)
        starting = asyncio.create_task(start())
        gc.freeze()
        try:
            await server.serve()
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await publisher.stop()
        if not starting.cancelled():
            starting.result()


async def _processors(settings: ProcessorsSettings, wait: float) -> None:
    from deploy.ops import Readiness
    from outbox import retention
    from outbox.hint import Hint
    from outbox.postgres import pool
    from outbox.vault import Vault
    from processors.consume import Consume
    from processors.sync import Sync
    from processors.watch import Watch
    from schemas.providers import PROVIDERS

    name, vault, readiness = owner("processors"), Vault(settings.vault_keys), Readiness()
    dsn = settings.database_url.get_secret_value()
    async with _ops(settings, readiness):
        await _check(settings, wait)
        async with pool(dsn, "processors", size=24) as db:
            # Before anything is written: there may be no partition for today after a week of standing still.
            await retention.tend(db)
            urls = {provider: _base_url(provider, settings) for provider in PROVIDERS}
            poll = settings.safety_poll_seconds and timedelta(seconds=settings.safety_poll_seconds)
            sync = Sync(db, vault, Hint(db), name, urls, poll or None)
            consume = Consume(db, vault, settings, name, on_wanted=sync.wake)
            working: list[Consume | Sync | Watch] = [consume, sync]
            if settings.channel_keys and settings.public_url:
                working.append(Watch(db, vault, name, urls, settings.channel_keys, settings.public_url))
            else:
                log.warning("no subscriptions are made: LIFEOS_CHANNEL_KEYS or LIFEOS_PUBLIC_URL is not set")
            tending = asyncio.create_task(_tend(db))

            def stop() -> None:
                readiness.ready = False
                for one in working:
                    one.stop()

            async with _signalled(stop):
                try:
                    async with asyncio.TaskGroup() as work:
                        for one in working:
                            work.create_task(one.run())
                        readiness.ready = True
                        gc.freeze()
                finally:
                    tending.cancel()
                    await asyncio.gather(tending, return_exceptions=True)


def _base_url(provider: "Provider", settings: ProcessorsSettings) -> str:
    match provider:
        case "google":
            return settings.google_url
        case "todoist":
            return settings.todoist_url
        case _:
            assert_never(provider)


async def _tend(db: "Pool") -> None:
    """Keeps the time partitions: some days ahead, none past its keep."""
    from outbox import retention
    from outbox.postgres import TRANSIENT, UNAVAILABLE

    while True:
        try:
            await retention.tend(db)
        except (*UNAVAILABLE, *TRANSIENT) as error:
            log.warning("partitions were not tended", extra={"detail": outside.why(error)})
        except Exception:
            # Whatever it is, there is a week to mend it in, and every hour says so.
            log.exception("partitions were not tended")
        await asyncio.sleep(TEND_SECONDS)


async def _relay(settings: RelaySettings, wait: float) -> None:
    from deploy.ops import Readiness
    from outbox import retention
    from outbox.postgres import pool
    from outbox.relay import Relay

    readiness = Readiness()
    dsn = settings.database_url.get_secret_value()
    async with _ops(settings, readiness):
        await _check(settings, wait)
        async with pool(dsn, "relay", size=4) as db:
            await retention.tend(db)
            relay = Relay(db, dsn, settings, owner("relay"))

            def stop() -> None:
                readiness.ready = False
                relay.stop()

            async with _signalled(stop):
                readiness.ready = True
                gc.freeze()
                await relay.run()


async def _migrate(settings: MigrateSettings, wait: float) -> None:
    from outbox import migrate
    from outbox.kafka import create_topics

    applied = await _postgresql(settings, lambda: migrate.migrate(settings.database_url.get_secret_value()), wait)
    for name in applied:
        click.echo(f"migrated {name}")
    created = await _kafka(settings, lambda: create_topics(settings), wait)
    for name in created:
        click.echo(f"created topic {name}")
    if not applied and not created:
        click.echo("schema and topics are at this version")


async def _check(settings: ProcessorsSettings | RelaySettings, wait: float) -> None:
    """Refuses a schema that is not ours and a cluster that would lose data."""
    from outbox import migrate
    from outbox.kafka import check_cluster
    from outbox.postgres import connection

    async def schema() -> None:
        async with connection(settings.database_url.get_secret_value(), "check") as db:
            await migrate.check(db)

    await _postgresql(settings, schema, wait)
    await _kafka(settings, lambda: check_cluster(settings), wait)
