"""`lifeos tail`: a topic as it grows."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click

from deploy.operator.ask import ask
from deploy.operator.lines import say
from schemas import topics
from schemas.providers import KINDS
from schemas.settings import KafkaSettings


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
                    click.echo(_as_json(record)) if as_json else say(_told(record))
                    left = None if left is None else left - 1
                    if left == 0:
                        return

    ask(KafkaSettings, work)


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


def _told(record: Any) -> str:
    """One line, whatever the record is."""
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
    changed = (
        f"  (changed: {', '.join(map(str, names))})"
        if isinstance(names, list) and body.get("action") == "updated"
        else ""
    )
    found = _headers(record).get("ce_foundby", "")
    return (
        f"{''.join(kind)} {body.get('action')}  {title!r}{changed}  {body['itemId']} v{body.get('version')}  by {found}"
    )


def _delivery(body: dict[str, Any]) -> str:
    said = f"{body.get('provider')} {body.get('event')}  account {body.get('account')}"
    return f"{said}  {body.get('kind')}  delivery {body.get('id')}"
