"""The verbs that drive a running Google simulator."""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, get_args

import click

from deploy.simulators.driving import Driven, say, show_json
from deploy.simulators.failure import Failure, Wrong
from deploy.simulators.fault_verbs import fault_verbs
from deploy.simulators.google.faults import ApiFaultKind
from deploy.simulators.verbs import shared_verbs

if TYPE_CHECKING:
    from deploy.simulators.google.drive import GoogleRemote

P = ParamSpec("P")

ACCOUNT = "113774264463038321964"
EVERY = {"day": "FREQ=DAILY", "week": "FREQ=WEEKLY", "month": "FREQ=MONTHLY", "year": "FREQ=YEARLY"}


def _remote(environ: Mapping[str, str]) -> "GoogleRemote":
    from deploy.simulators.google.drive import GoogleRemote
    from deploy.simulators.settings import GoogleDriving
    from schemas.settings import load

    return GoogleRemote(load(GoogleDriving, environ).url)


driving = Driven(ACCOUNT, _remote, "state,changes,pushes,calls,resources,channels")

in_calendar = click.option("--calendar", default="primary", show_default=True, help="Its id; `calendars` lists them.")


def event_fields(command: Callable[P, None]) -> Callable[P, None]:
    """The options that describe an event."""
    for option in (
        click.option("--guest", "guests", multiple=True, metavar="EMAIL", help="May be given several times."),
        click.option("--location"),
        click.option("--description"),
        click.option("--zone", help="Of --at, such as America/New_York. Default: Europe/Zurich."),
        click.option(
            "--minutes", type=click.IntRange(0, 10_080), help="How long it takes. Default: 60; a day with --on."
        ),
        click.option("--on", metavar="DATE", help="All day, such as 2027-03-01."),
        click.option("--at", metavar="TIME", help="Such as 2027-03-01T09:30."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("title")
@event_fields
@click.option("--every", type=click.Choice(list(EVERY)), help="Make it a series.")
@in_calendar
@driving
def create(
    remote: "GoogleRemote", account: str, as_json: bool, /, title: str, calendar: str, every: str | None, **given: Any
) -> None:
    """Create an event; without --at or --on, tomorrow at nine."""
    if not (given["at"] or given["on"]):
        given["at"] = f"{_tomorrow()}T09:00"
    recurs = {"recurrence": [f"RRULE:{EVERY[every]}"]} if every else {}
    fields = {"summary": title, **_event(**given), **recurs}
    _show(remote.mutate(account, "insert", calendar=calendar, fields=fields), "created", as_json)


@click.command()
@click.argument("id")
@click.option("--title")
@event_fields
@in_calendar
@driving
def edit(
    remote: "GoogleRemote", account: str, as_json: bool, /, id: str, title: str | None, calendar: str, **given: Any
) -> None:
    """Edit an event, a series, or (by the id of an occurrence) one occurrence."""
    fields = _event(**given) | ({"summary": title} if title else {})
    if not fields:
        raise Wrong("nothing to change: give --title, --at, --on, --location, --description or --guest")
    _show(remote.mutate(account, "patch", calendar=calendar, event=id, fields=fields), "edited", as_json)


@click.command()
@click.argument("id")
@click.argument("destination")
@in_calendar
@driving
def move(remote: "GoogleRemote", account: str, as_json: bool, /, id: str, destination: str, calendar: str) -> None:
    """Move an event to another calendar."""
    moved = remote.mutate(account, "move", calendar=calendar, event=id, destination=destination)
    _show(moved, "moved", as_json)


@click.command()
@click.argument("id")
@in_calendar
@driving
def delete(remote: "GoogleRemote", account: str, as_json: bool, /, id: str, calendar: str) -> None:
    """Delete an event, a series, or one occurrence."""
    remote.mutate(account, "delete", calendar=calendar, event=id)
    if as_json:
        show_json({"id": id})
    else:
        click.echo(f"deleted {id}")


@click.command()
@in_calendar
@driving
def events(remote: "GoogleRemote", account: str, as_json: bool, /, calendar: str) -> None:
    """List a calendar's events: series, single ones, exceptions."""
    state = remote.books(account, "state")["state"]
    primary = next((one["id"] for one in state["calendars"] if one.get("primary")), "")
    listed = state["events"].get(primary if calendar == "primary" else calendar)
    if listed is None:
        raise Failure(f"account {account} has no calendar {calendar}: `lifeos simulate google calendars` lists them")
    if as_json:
        show_json(listed)
        return
    for event in listed:
        say(f"{event['id']}  {event.get('summary', event['status'])}{_when(event)}")


@click.command()
@click.option("--create", "new", metavar="NAME", help="Make this one first.")
@click.option("--delete", "gone", metavar="ID", help="Delete this one first.")
@driving
def calendars(remote: "GoogleRemote", account: str, as_json: bool, /, new: str | None, gone: str | None) -> None:
    """List the calendars of an account, or make or delete one."""
    if new is not None:
        remote.mutate(account, "add_calendar", fields={"summary": new})
    if gone is not None:
        remote.mutate(account, "delete_calendar", calendar=gone)
    state = remote.books(account, "state")["state"]
    if as_json:
        show_json(state["calendars"])
        return
    for one in state["calendars"]:
        name = one.get("summaryOverride") or one.get("summary", "")
        say(f"{one['id']}  {name} ({one['accessRole']}, {len(state['events'][one['id']])} events)")


@click.command()
@click.argument("calendar")
@click.option("--role", type=click.Choice(["none", "freeBusyReader", "reader", "writer", "owner"]))
@click.option("--watchable/--unwatchable", default=None, help="Whether Google would push for its events.")
@driving
def access(
    remote: "GoogleRemote", account: str, as_json: bool, /, calendar: str, role: str | None, watchable: bool | None
) -> None:
    """Change what an account may do with a calendar, or whether the calendar can be watched."""
    if role is None and watchable is None:
        raise Wrong("nothing to change: give --role, --watchable or --unwatchable")
    remote.access(account, calendar, role, watchable)
    if as_json:
        show_json({"calendar": calendar, "role": role, "watchable": watchable})
    else:
        click.echo(f"changed {calendar}")


@click.command()
@click.option("--pages", "what", flag_value="page", help="Page tokens instead of sync tokens.")
@click.option("--channels", "what", flag_value="channel", help="Channels: they push no more.")
@click.option("--status", type=click.Choice(["400", "410"]), default="410", show_default=True, help="For page tokens.")
@click.option("--resource", metavar="NAME", help="Only of calendar/list, or of calendar/events/ID.")
@driving
def expire(
    remote: "GoogleRemote", account: str, as_json: bool, /, what: str | None, status: str, resource: str | None
) -> None:
    """Make every sync token, page token or channel there is so far invalid."""
    what = what or "sync"
    remote.expire(account, what, resource, int(status))
    if as_json:
        show_json({"account": account, "expired": what, "resource": resource})
    else:
        click.echo(f"the {what}{'s' if what == 'channel' else ' tokens'} of {account} are invalid now")


@click.command()
@click.argument("size", type=click.IntRange(0))
@driving
def pages(remote: "GoogleRemote", account: str, as_json: bool, /, size: int) -> None:
    """Let no page hold more than SIZE entries, whatever is asked for; 0 leaves it to who asks."""
    remote.pages(size or None)
    if as_json:
        show_json({"size": size or None})
    else:
        click.echo(f"pages hold {size} entries at most" if size else "pages are as large as asked for")


def _counted(read: dict[str, Any]) -> list[str]:
    state = read.get("state", {"calendars": [], "events": {}})
    channels = [channel for channel in read.get("channels", []) if channel["live"]]
    return [
        f"calendars: {len(state['calendars'])}",
        f"events: {sum(len(events) for events in state['events'].values())}",
        f"channels: {len(channels)} living",
    ]


VERBS = (
    *(create, edit, move, delete, events, calendars, access, expire, pages),
    *shared_verbs(driving, _counted),
    fault_verbs(
        driving,
        get_args(ApiFaultKind),
        click.option(
            "--reason",
            type=click.Choice(["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"]),
            help="For rate_limited.",
        ),
    ),
)


def _event(
    at: str | None,
    on: str | None,
    minutes: int | None,
    zone: str | None,
    description: str | None,
    location: str | None,
    guests: tuple[str, ...],
) -> dict[str, Any]:
    if at and on:
        raise Wrong("--at and --on exclude each other")
    if not at and (zone or (minutes is not None and not on)):
        raise Wrong("--zone and --minutes go with --at")
    given: dict[str, Any] = {"description": description, "location": location}
    given["attendees"] = [{"email": guest, "responseStatus": "needsAction"} for guest in guests] or None
    fields = {name: value for name, value in given.items() if value is not None}
    if on:
        first = _parsed(date.fromisoformat, on, "--on")
        days = max(1, (minutes or 1440) // 1440)
        return fields | {"start": _day(first), "end": _day(first + timedelta(days=days))}
    if at:
        start = _parsed(datetime.fromisoformat, at, "--at")
        end = start + timedelta(minutes=60 if minutes is None else minutes)
        return fields | {"start": _time(start, zone), "end": _time(end, zone)}
    return fields


def _parsed(parse: Callable[[str], Any], text: str, option: str) -> Any:
    try:
        return parse(text)
    except ValueError:
        raise Wrong(f"{option}: {text!r} is not such as 2027-03-01{'T09:30' if option == '--at' else ''}") from None


def _day(day: date) -> dict[str, Any]:
    # An event that was at a time of day loses that, and the other way round: a patch keeps what it does not name.
    return {"date": day.isoformat(), "dateTime": None, "timeZone": None}


def _time(at: datetime, zone: str | None) -> dict[str, Any]:
    return {"date": None, "dateTime": at.isoformat(), "timeZone": zone or "Europe/Zurich"}


def _tomorrow() -> date:
    return datetime.now().astimezone().date() + timedelta(days=1)


def _show(event: dict[str, Any], what: str, as_json: bool) -> None:
    if as_json:
        show_json(event)
    else:
        say(f"{what} {event['id']}  {event.get('summary', '')}{_when(event)}")


def _when(event: dict[str, Any]) -> str:
    if event["status"] == "cancelled" or "start" not in event:
        return ""
    start = event["start"].get("date") or re.sub(r":00(?=[Z+-])", "", event["start"]["dateTime"], count=1)
    rule = "".join(f", {line.removeprefix('RRULE:')}" for line in event.get("recurrence", ()))
    return f"  ({start}{rule})"
