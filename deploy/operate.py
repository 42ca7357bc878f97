"""What an operator asks: `tail`, `deliveries`, and (in development) `connections add`."""

import asyncio
import logging
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar
from uuid import UUID

import click

from deploy import outside
from schemas import topics
from schemas.outcome import AcceptOutcome
from schemas.providers import KINDS, PROVIDERS
from schemas.settings import BadSettings, ConnectSettings, DatabaseSettings, KafkaSettings, NotSet, load

T = TypeVar("T")
S = TypeVar("S", KafkaSettings, DatabaseSettings, ConnectSettings)

OUTCOMES: tuple[AcceptOutcome | Literal["synced"], ...] = ("wanted", "synced", "unmatched", "parked")
HEADINGS = ("accepted", "outcome", "delivery", "account", "place", "event")
"""What one needs most comes first: the right edge of a narrow screen cuts the rest."""


def _ask(model: type[S], work: Callable[[S], Awaitable[T]]) -> T:
    """Runs an operator's question. Exit status: 1 what was asked cannot be had, 2 a setting is wrong."""
    from deploy.local.environment import environment
    from outbox.kafka import KafkaError, KafkaUnavailable
    from outbox.migrate import SchemaDrift
    from outbox.postgres import REFUSED, TRANSIENT, UNAVAILABLE

    # It logs every retry; what is wrong is said once, by the error that ends it.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        settings = load(model, environment())
    except NotSet as error:
        click.echo(f"lifeos: {error}{outside.NO_STACK}", err=True)
        sys.exit(2)
    except BadSettings as error:
        click.echo(f"lifeos: {error}", err=True)
        sys.exit(2)
    try:
        return asyncio.run(_awaited(work(settings)))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever reads has had enough: click ends quietly
        raise
    except BadSettings as error:
        click.echo(f"lifeos: {error}", err=True)
        sys.exit(2)
    except (KafkaError, KafkaUnavailable, SchemaDrift, LookupError, *REFUSED, *TRANSIENT, *UNAVAILABLE) as error:
        click.echo(f"lifeos: {_told_of(settings, error)}", err=True)
        sys.exit(1)


def _told_of(settings: KafkaSettings | DatabaseSettings, error: BaseException) -> str:
    """One line that names the server, where one is to blame. A verb asks one server only: that of its settings."""
    from outbox.kafka import KafkaError, KafkaUnavailable
    from outbox.postgres import REFUSED, TRANSIENT, UNAVAILABLE

    if isinstance(settings, KafkaSettings) and isinstance(error, (KafkaError, KafkaUnavailable)):
        return outside.kafka_does_not_answer(settings, error)
    if isinstance(settings, DatabaseSettings) and isinstance(error, REFUSED):
        return outside.postgresql_refuses(settings, error)
    if isinstance(settings, DatabaseSettings) and isinstance(error, (*TRANSIENT, *UNAVAILABLE)):
        return outside.postgresql_does_not_answer(settings, error)
    return str(error) or type(error).__name__


async def _awaited(work: Awaitable[T]) -> T:
    return await work


# connections ---------------------------------------------------------------------------------------------------------


@click.group()
def connections() -> None:
    """Connections: whose account at which provider."""


def _filled(context: click.Context, option: click.Parameter, text: str) -> str:
    if not text.strip():
        raise click.BadParameter("must not be empty")
    return text


@connections.command(short_help="Connect an account of a simulator, or again.")
@click.argument("provider", type=click.Choice(PROVIDERS))
@click.option("--account", required=True, callback=_filled, help="The provider's id (Todoist: of the user).")
@click.option("--token", required=True, callback=_filled, help="The access token that the provider's simulator knows.")
def add(provider: Any, account: str, token: str) -> None:
    """Connect an account of a simulator, or connect it again; a full read follows. Only in development."""

    async def work(settings: ConnectSettings) -> UUID:
        from outbox import connections, migrate
        from outbox.postgres import pool
        from outbox.vault import Vault
        from processors.providers import BY_NAME

        async with pool(settings.database_url.get_secret_value(), "operator", size=1) as db:
            await migrate.check(db)
            return await connections.add(
                db,
                Vault(settings.vault_keys),
                provider=provider,
                account=account,
                token=token,
                resources=BY_NAME[provider].RESOURCES,
            )

    def only_here(settings: ConnectSettings) -> Awaitable[UUID]:
        if not settings.development:
            raise LookupError("connections add is for development: people connect their accounts themselves")
        return work(settings)

    click.echo(f"connected {provider} account {account}: connection {_ask(ConnectSettings, only_here)}")


# deliveries ----------------------------------------------------------------------------------------------------------


@click.command()
@click.option("--provider", type=click.Choice(PROVIDERS))
@click.option("--outcome", type=click.Choice(OUTCOMES))
@click.option("--connection", type=click.UUID, help="Only deliveries for this connection.")
@click.option("--hours", type=click.FloatRange(0.01, 168), default=24.0, show_default=True, help="How far back.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line; `became` is the outcome as shown.")
def deliveries(
    provider: str | None, outcome: str | None, connection: UUID | None, hours: float, limit: int, as_json: bool
) -> None:
    """List deliveries, the newest first: one line each, with what became of it.

    `wanted`: its connection's cursor was made due; such a one is `synced` once a run has seen it. `unmatched`: nobody
    connected this account. `parked`: it could not be handled, and is kept with the reason. The place is partition and
    offset in the topic of its provider.
    """

    async def work(settings: DatabaseSettings) -> list[dict[str, Any]]:
        from outbox import migrate, receipts
        from outbox.postgres import pool

        async with pool(settings.database_url.get_secret_value(), "operator", size=1) as db:
            await migrate.check(db)
            return await receipts.latest(
                db,
                provider=provider,
                outcome=outcome,
                connection_id=connection,
                within=timedelta(hours=hours),
                most=limit,
            )

    rows = _ask(DatabaseSettings, work)
    if as_json:
        _json_lines(rows)
    elif rows:
        _show(rows)
    else:
        click.echo(f"no deliveries in the last {hours:g} hours that match")


def _json_lines(rows: Iterable[dict[str, Any]]) -> None:
    import orjson

    for row in rows:
        click.echo(orjson.dumps(row, default=str).decode())


def _table(rows: Sequence[dict[str, Any]], columns: int | None) -> Iterator[str]:
    """One line each, the delivery id whole; where there are only so many columns, the right edge cuts what is beyond."""
    lines = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield _cut("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), columns)


def _columns() -> int | None:
    """How wide a line may be: as the terminal, and as it likes where a program reads it."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _cut(text: str, columns: int | None) -> str:
    return text if columns is None or len(text) <= columns else text[: columns - 1] + "…"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    became = row["became"] + (f": {row['reason']}" if row["reason"] else "")
    when = row["accepted_at"].strftime("%a %H:%M:%S")  # receipts are kept for a week
    place, event = f"{row['partition']}/{row['offset']}", f"{row['provider']} {row['event']}"
    return when, became, row["delivery_id"], row["account"], place, event


def _show(rows: Sequence[dict[str, Any]]) -> None:
    heading, *lines = _table(rows, _columns())
    click.secho(heading, bold=True)
    for row, line in zip(rows, lines, strict=True):
        colour = {"unmatched": "yellow", "parked": "red", "synced": "green"}.get(row["became"])
        became = _cells(row)[1]
        click.echo(line.replace(became, click.style(became, fg=colour), 1))


# tail ----------------------------------------------------------------------------------------------------------------


@click.command()
@click.argument("topic")
@click.option("--from-beginning", is_flag=True, help="Start with what the topic still holds.")
@click.option("--connection", type=click.UUID, help="Only changes of this connection.")
@click.option("--kind", type=click.Choice(KINDS), help="Only changes of this kind.")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: coordinates, headers, value.")
def tail(
    topic: str, from_beginning: bool, connection: UUID | None, kind: str | None, limit: int | None, as_json: bool
) -> None:
    """Follow TOPIC (for example changes.task or webhooks.todoist) in readable form, until Ctrl-C."""

    async def work(settings: KafkaSettings) -> None:
        from outbox.kafka import Reader

        name = topic if topic.startswith(settings.topic_prefix) else settings.topic_prefix + topic
        names = [known.name for known in topics.every(settings.topic_prefix)]
        if name not in names:
            raise LookupError(f"there is no topic {topic}; there are {', '.join(names)}")
        _matchable(name.removeprefix(settings.topic_prefix), connection, kind)
        left = limit
        async with Reader(settings, name, from_beginning=from_beginning) as reader:
            while True:
                for record in await reader.read(within=1.0):
                    if not _wanted(record, connection, kind):
                        continue
                    click.echo(_as_json(record) if as_json else _cut(_readable(record), _columns()))
                    left = None if left is None else left - 1
                    if left == 0:
                        return

    _ask(KafkaSettings, work)


def _matchable(topic: str, connection: UUID | None, kind: str | None) -> None:
    """Raises UsageError where a filter could never match, so that nobody waits for it."""
    if kind is not None and topic != topics.changes(kind):
        raise click.UsageError(f"{topic} has no changes of kind {kind}: they are in {topics.changes(kind)}")
    if connection is not None and not topic.startswith(topics.changes("")):
        raise click.UsageError(f"{topic} has deliveries, which name an account and no connection")


def _headers(record: Any) -> dict[str, str]:
    return {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}


def _wanted(record: Any, connection: UUID | None, kind: str | None) -> bool:
    headers = _headers(record)
    return (connection is None or headers.get("ce_connectionid") == str(connection)) and (
        kind is None or headers.get("ce_type", "").startswith(f"lifeos.{kind}.")
    )


def _as_json(record: Any) -> str:
    import orjson

    try:
        value = orjson.loads(record.value)
    except (orjson.JSONDecodeError, TypeError):
        value = None if record.value is None else record.value.decode("utf-8", "replace")
    place = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
    }
    return orjson.dumps({**place, "headers": _headers(record), "value": value}).decode()


def _readable(record: Any) -> str:
    """One line, whatever the record is: a topic may hold what is none of ours, and no terminal obeys it."""
    return "".join(character if character.isprintable() else "�" for character in _told(record))


def _told(record: Any) -> str:
    import orjson

    when = datetime.fromtimestamp(record.timestamp / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]
    place = f"{record.partition}/{record.offset}"
    try:
        body = orjson.loads(record.value)
    except (orjson.JSONDecodeError, TypeError):
        return f"{when}  {place}  (not JSON, {len(record.value or b'')} bytes)"
    if not isinstance(body, dict):
        return f"{when}  {place}  {str(body)[:100]}"
    return f"{when}  {place:<8}  " + (_change(record, body) if "itemId" in body else _delivery(body))


def _change(record: Any, body: dict[str, Any]) -> str:
    item, names = body.get("item"), body.get("changed")
    item = item if isinstance(item, dict) else {}
    title = item.get("title") or item.get("name") or item.get("status") or ""
    kind = _headers(record).get("ce_type", "").split(".")[1:2]
    changed = f"  ({', '.join(map(str, names))})" if isinstance(names, list) and body.get("action") == "updated" else ""
    found = _headers(record).get("ce_foundby", "")
    return (
        f"{''.join(kind)} {body.get('action')}  {title!r}{changed}  {body['itemId']} v{body.get('version')}  by {found}"
    )


def _delivery(body: dict[str, Any]) -> str:
    said = f"{body.get('provider')} {body.get('event')}  account {body.get('account')}"
    return f"{said}  {body.get('kind')}  delivery {body.get('id')}"
