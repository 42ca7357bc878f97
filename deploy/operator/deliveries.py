"""`lifeos deliveries`: what came in, and what became of it."""

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

import click

from deploy import outside
from deploy.operator import story
from deploy.operator.ask import BothSettings, ask, database
from deploy.operator.lines import json, json_lines, printable, show
from deploy.operator.listing import Listing
from schemas import topics
from schemas.outcome import AcceptOutcome
from schemas.providers import PROVIDERS
from schemas.settings import DatabaseSettings

if TYPE_CHECKING:
    from outbox.cluster import Place

OUTCOMES: Final[tuple[AcceptOutcome | Literal["synced"], ...]] = ("wanted", "synced", "unmatched", "stale", "parked")
HEADINGS: Final = ("accepted", "outcome", "delivery", "account", "place", "event")
COLOURS: Final = {"unmatched": "yellow", "stale": "yellow", "parked": "red", "synced": "green"}


@click.group(cls=Listing)
def deliveries() -> None:
    """Deliveries: what came in, and what became of it. Without a verb: `list`, with its options."""


@deliveries.command("list", short_help="List deliveries, the newest first.")
@click.option("--provider", type=click.Choice(PROVIDERS))
@click.option("--outcome", type=click.Choice(OUTCOMES))
@click.option("--connection", type=click.UUID, help="Only deliveries for this connection.")
@click.option("--hours", type=click.FloatRange(0.01, 168), default=24.0, show_default=True, help="How far back.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line; `became` is the outcome as shown.")
def list_(
    provider: str | None, outcome: str | None, connection: UUID | None, hours: float, limit: int, as_json: bool
) -> None:
    """List deliveries, the newest first: one line each, with what became of it.

    `wanted`: its connection's cursor was made due; such a one is `synced` once a run has seen it. `unmatched`: nobody
    connected this account. `stale`: the subscription it came through is over, or announces another resource. `parked`:
    it could not be handled, and is kept with the reason. The place is partition and offset in the topic of its provider.
    """

    async def work(settings: DatabaseSettings) -> list[dict[str, Any]]:
        from outbox import receipts

        async with database(settings) as db:
            return await receipts.latest(
                db,
                provider=provider,
                outcome=outcome,
                connection_id=connection,
                within=timedelta(hours=hours),
                most=limit,
            )

    rows = ask(DatabaseSettings, work)
    if as_json:
        json_lines(rows)
    elif rows:
        show(HEADINGS, [cells(row) for row in rows], [COLOURS.get(row["became"]) for row in rows], painted=1)
    else:
        click.echo(f"no deliveries in the last {hours:g} hours that match")


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """A receipt as the line of a table, under `HEADINGS`."""
    became = row["became"] + (f": {row['reason']}" if row["reason"] else "")
    when = row["accepted_at"].strftime("%a %H:%M:%S")  # receipts are kept for a week
    place, event = f"{row['partition']}/{row['offset']}", f"{row['provider']} {row['event']}"
    return when, became, row["delivery_id"], row["account"], place, event


@deliveries.command("show", short_help="Follow one delivery to its changes and their readers.")
@click.argument("id_", metavar="ID")
@click.option("--connection", type=click.UUID, help="Whose, where ID is the provider's: needed beyond 100 connections.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Changes of a run.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: what is shown, and more of it.")
def show_(id_: str, connection: UUID | None, limit: int, as_json: bool) -> None:
    """Follow one delivery: request, receipt, runs, changes, where they stand in their topics, and who has read them.

    ID is that of a delivery, a run, an item or a change (<item>.<version>), whatever `ce_causationid` of a change says,
    where a record stands (<topic>/<partition>/<offset>), or an item's at its provider (of an event, <calendar>/<event>);
    the rest is found from it. Times are UTC.

    A group has passed a record when it has committed an offset behind it. Exit status: 1 nothing has this ID, or Kafka
    does not answer (then what the database knows is shown all the same).
    """

    async def work(settings: BothSettings) -> dict[str, Any]:
        from outbox.follow import follow
        from outbox.kafka import KafkaError, KafkaUnavailable

        async with database(settings) as db:
            trail = await follow(db, await _noted(settings, id_), limit, connection)
        told: dict[str, Any] = {
            "id": id_,
            "found": trail.found,
            "deliveries": trail.deliveries,
            "waiting": trail.waiting,
            "runs": trail.runs,
            "changes": trail.changes,
            "changes_left_off": trail.left_off,
            "items": trail.items,
            "kafka": None,
        }
        try:
            await _ask_kafka(settings, told)
        except (KafkaError, KafkaUnavailable, TimeoutError) as error:
            told["kafka"] = outside.kafka_does_not_answer(settings, error)
        return told

    told = ask(BothSettings, work)
    if as_json:
        click.echo(json(told))
    else:
        for line in story.tell(told, datetime.now(UTC)):
            click.echo(line)
    if told["kafka"]:
        click.echo(f"lifeos: {printable(told['kafka'])}", err=True)
        sys.exit(1)


async def _noted(settings: BothSettings, id_: str) -> str:
    """The id of what stands at these coordinates, as its receipt or its change has it; any other id as it is."""
    from outbox import cluster

    place = _coordinates(id_, settings.topic_prefix)
    if place is None:
        return id_
    record = (await cluster.records_at(settings, [place]))[place]
    if record is None:
        raise LookupError(f"no record stands at {id_}: it is past its retention, or never was")
    named = dict(record.headers).get("ce_id") or b""
    return named.decode("ascii", "replace") or f"offset-{place.offset}"


def _coordinates(id_: str, prefix: str) -> "Place | None":
    """The place that `<topic>/<partition>/<offset>` names; None where it is no such thing, or no topic of ours."""
    from outbox.cluster import Place

    topic, *numbers = id_.split("/")
    name = topic if topic.startswith(prefix) else prefix + topic
    ours = name in {known.name for known in topics.every(prefix)}
    if not ours or len(numbers) != 2 or not all(re.fullmatch("[0-9]{1,18}", number) for number in numbers):
        return None
    return Place(name, *map(int, numbers))


async def _ask_kafka(settings: BothSettings, told: dict[str, Any]) -> None:
    """Adds to each delivery and each published change its `record` and the `groups` that read there."""
    from outbox import cluster

    for thing in (*told["deliveries"], *told["changes"]):
        thing |= {"record": None, "groups": []}
    placed = [(_place(thing), thing) for thing in (*told["deliveries"], *told["changes"]) if thing["topic"]]
    places = {place for place, _ in placed}
    groups = await cluster.committed(settings, {(place.topic, place.partition) for place in places})
    records = await cluster.records_at(settings, places)
    for place, thing in placed:
        thing["record"] = _record(thing, records[place])
        thing["groups"] = [
            {"group": group, "next_offset": offset, "passed": offset > place.offset}
            for group, offset in groups[(place.topic, place.partition)].items()
        ]


def _place(thing: dict[str, Any]) -> Any:
    from outbox.cluster import Place

    return Place(thing["topic"], thing["partition"], thing["offset"])


def _record(thing: dict[str, Any], record: Any) -> dict[str, Any]:
    """What stands at the place of a delivery or change. `state`: `there`, `gone` (past its retention), or `another`."""
    import orjson

    if record is None:
        return {"state": "gone"}
    named = dict(record.headers).get("ce_id", b"") or b""
    ours = "change_id" not in thing or named == thing["change_id"].encode()
    try:
        value = orjson.loads(record.value)
    except (orjson.JSONDecodeError, TypeError):
        value = None if record.value is None else record.value.decode("utf-8", "replace")
    return {"state": "there" if ours else "another", "timestamp": record.timestamp, "value": value}
