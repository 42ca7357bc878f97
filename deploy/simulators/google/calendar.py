"""One calendar and its events: what writing to it means. Pure: ids and time are given.

developers.google.com/workspace/calendar/api/v3/reference/events, .../guides/recurringevents
"""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from deploy.simulators.google import recurrence, times
from deploy.simulators.google.log import Entity, Entry, Log
from deploy.simulators.google.refused import Refused, bad_request, changed, deleted, duplicate, invalid, not_found

Role = Literal["freeBusyReader", "reader", "writer", "owner"]
ROLES: Final[tuple[Role, ...]] = ("freeBusyReader", "reader", "writer", "owner")

GIVEN_ONCE: Final = ("kind", "etag", "id", "htmlLink", "created", "updated", "creator", "iCalUID")
OF_AN_OCCURRENCE: Final = ("recurringEventId", "originalStartTime")
MINOR: Final = ("reminders",)
"""What may change without `updated` moving (Event.updated)."""

EVENT_ID: Final = re.compile(r"[a-v0-9]{5,1024}")
OCCURRENCE_ID: Final = re.compile(r"(.+)_(\d{8}(?:T\d{6}Z)?)")

HORIZON_BACK: Final = timedelta(days=30)
HORIZON: Final = timedelta(days=365)
"""What is shown of a series whose occurrences are listed one by one: not all of it, for it may have no end."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """The moment of a change: `at` as RFC 3339 and a number that no change before had."""

    now: datetime
    number: int

    @property
    def at(self) -> str:
        return self.now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{self.now.microsecond // 1000:03}Z"

    @property
    def etag(self) -> str:
        return f'"{self.number}"'


@dataclass
class Calendar:
    """`roles` by account; `log` holds the events, cancelled and deleted ones too."""

    id: str
    fields: Entity
    """As calendars.get shows it."""
    owner: str | None
    roles: dict[str, Role]
    log: Log
    watchable: bool = True
    gone: bool = False
    seen: dict[str, list[str]] = field(default_factory=dict)
    """Occurrences of a series that were listed one by one: once they are no more, that is told."""

    @property
    def zone(self) -> str:
        return str(self.fields["timeZone"])

    def find(self, event_id: str) -> Entity:
        """An event as events.get shows it, deleted ones too; an occurrence that is no exception is made up. Raises
        `Refused`."""
        entry = self.log.entries.get(event_id)
        if entry is None:
            return self._occurrence(event_id)
        if entry.gone and "recurringEventId" in entry.value:
            with suppress(Refused):  # its series has that occurrence again
                return self._occurrence(event_id)
        return entry.value

    def insert(self, body: Entity, creator: Entity, ids: Callable[[], str], stamp: Stamp) -> Entity:
        """A new event. Raises `Refused`, with 409 where its own id is taken, be it by a deleted one."""
        event_id = body.get("id") or ids()
        if not isinstance(event_id, str) or not EVENT_ID.fullmatch(event_id):
            raise invalid("id", "Invalid resource id value.")
        if event_id in self.log.entries:
            raise duplicate()
        made = {
            "kind": "calendar#event",
            "id": event_id,
            "status": "confirmed",
            "htmlLink": f"https://www.google.com/calendar/event?eid={event_id}",
            "created": stamp.at,
            "creator": creator,
            "organizer": creator | {"email": self.id, "self": True},
            "iCalUID": body.get("iCalUID") or f"{event_id}@google.com",
            "sequence": 0,
            "reminders": {"useDefault": True},
            "eventType": "default",
        }
        given = {name: value for name, value in body.items() if name not in (*GIVEN_ONCE, *OF_AN_OCCURRENCE)}
        return self._keep(made | {name: value for name, value in given.items() if value is not None}, stamp)

    def patch(self, event_id: str, body: Entity, stamp: Stamp, if_match: str | None = None) -> Entity:
        """Change the fields given; of objects the fields given, lists as a whole; null removes. Raises `Refused`."""
        before = self._writable(event_id, body, if_match)
        return self._change(before, merged(before, _writable_fields(body)), stamp)

    def update(self, event_id: str, body: Entity, stamp: Stamp, if_match: str | None = None) -> Entity:
        """Replace the event: what is not given is gone. Raises `Refused`."""
        before = self._writable(event_id, body, if_match)
        fixed = (*GIVEN_ONCE, *OF_AN_OCCURRENCE, "organizer", "sequence", "eventType", "status")
        kept = {name: before[name] for name in fixed if name in before}
        given = {name: value for name, value in _writable_fields(body).items() if value is not None}
        return self._change(before, kept | {"reminders": {"useDefault": True}} | given, stamp)

    def delete(self, event_id: str, stamp: Stamp, if_match: str | None = None) -> None:
        """Cancel an event; of a series, every exception too; of an occurrence, it alone. Raises `Refused`: 410 where
        that was done before."""
        before = self.find(event_id)
        _match(before, if_match)
        if before["status"] == "cancelled":
            raise deleted()
        self.cancel(before, stamp)

    def cancel(self, event: Entity, stamp: Stamp) -> None:
        """A removed occurrence stays for as long as its series does; anything else is only a tombstone."""
        entry = self._put(event | {"status": "cancelled"}, stamp, gone="recurringEventId" not in event)
        for exception in self.exceptions(event["id"]) if entry.gone and event.get("recurrence") else ():
            self._put(exception.value | {"status": "cancelled"}, stamp, gone=True)

    def exceptions(self, series_id: str) -> list[Entry]:
        """The exceptions of a series and its removed occurrences."""
        return [entry for entry in self.log.living() if entry.value.get("recurringEventId") == series_id]

    def give(self, event_id: str, stamp: Stamp) -> list[Entity]:
        """Let an event go to another calendar, with its exceptions: here they are deleted. Raises `Refused`."""
        event = self.find(event_id)
        if event["status"] == "cancelled":
            raise not_found()
        if "recurringEventId" in event:
            raise Refused(
                403, "cannotChangeOrganizerOfInstance", "Cannot change the organizer of an instance.", "calendar"
            )
        given = [event, *(entry.value for entry in self.exceptions(event_id))]
        self.cancel(event, stamp)
        return given

    def take(self, events: list[Entity], stamp: Stamp) -> Entity:
        """Have the events that another calendar gave, under the same ids. Returns the first."""
        for event in events:
            self._put(event | {"organizer": {"email": self.id, "self": True}}, stamp)
        return self.log.entries[events[0]["id"]].value

    def put(self, event: Entity, stamp: Stamp) -> Entity:
        """Hold an event as it is, with the least that every event has; nothing of it is checked."""
        least = {"kind": "calendar#event", "status": "confirmed", "created": stamp.at, "sequence": 0}
        return self._put(least | {"iCalUID": f"{event['id']}@google.com"} | event, stamp).value

    def occurrences(self, series: Entity, now: datetime) -> list[Entity]:
        """The occurrences of a series within the horizon, exceptions in place of what they replace, removed ones not."""
        found = recurrence.occurrences(series)
        if found is None:
            return [_of(series, series["start"], self.zone)]
        shown: list[Entity] = []
        for at in found:
            start = times.moved(series["start"], at, self.zone)
            if times.point(start) > now + HORIZON:
                break
            if times.point(start) >= now - HORIZON_BACK:
                known = self.log.entries.get(f"{series['id']}_{times.stamp(start)}")
                shown.append(known.value if known and not known.gone else _of(series, start, self.zone))
        return [event for event in shown if event["status"] != "cancelled"]

    def _occurrence(self, event_id: str) -> Entity:
        found = OCCURRENCE_ID.fullmatch(event_id)
        entry = self.log.entries.get(found[1]) if found else None
        if found is None or entry is None or entry.gone or not entry.value.get("recurrence"):
            raise not_found()
        series = entry.value
        start = _named(found[2], series["start"], self.zone)
        if start is None or not recurrence.occurs(series, times.local(start)):
            raise not_found()
        return _of(series, start, self.zone)

    def _writable(self, event_id: str, body: Entity, if_match: str | None) -> Entity:
        before = self.find(event_id)
        _match(before, if_match)
        if before["status"] == "cancelled" and body.get("status", "cancelled") == "cancelled":
            raise not_found()
        if "recurringEventId" in before and body.get("recurrence"):
            raise bad_request("An occurrence cannot recur.")
        return before

    def _change(self, before: Entity, after: Entity, stamp: Stamp) -> Entity:
        if after.get("status") == "cancelled":
            self.cancel(before, stamp)
            return self.log.entries[before["id"]].value
        when = ("start", "end", "recurrence", "status")
        if any(before.get(name) != after.get(name) for name in when):
            after = after | {"sequence": before.get("sequence", 0) + 1}
        event = self._keep(after, stamp, before)
        for exception in self.exceptions(event["id"]) if before.get("recurrence") else ():
            at = times.local(exception.value["originalStartTime"])
            if not event.get("recurrence") or not recurrence.occurs(event, at):
                self._put(exception.value | {"status": "cancelled"}, stamp, gone=True)
        return event

    def _keep(self, event: Entity, stamp: Stamp, before: Entity | None = None) -> Entity:
        """Hold what was asked for, once it has been found to make sense. Raises `Refused`."""
        lines = event.get("recurrence")
        if lines is not None and not (isinstance(lines, list) and all(isinstance(line, str) for line in lines)):
            raise invalid("recurrence")
        if not lines:
            event = {name: value for name, value in event.items() if name != "recurrence"}
        start = times.normal(event.get("start"), "start", self.zone, recurs=bool(lines))
        end = times.normal(event.get("end"), "end", self.zone, recurs=bool(lines))
        times.check_order(start, end)
        return self._put(event | {"start": start, "end": end}, stamp, before).value

    def _put(self, event: Entity, stamp: Stamp, before: Entity | None = None, *, gone: bool = False) -> Entry:
        minor = before is not None and all(
            name in MINOR for name in event.keys() | before.keys() if event.get(name) != before.get(name)
        )
        updated = before["updated"] if before is not None and minor else stamp.at
        return self.log.put(event["id"], event | {"etag": stamp.etag, "updated": updated}, gone=gone)


def merged(before: Entity, patch: Entity) -> Entity:
    """A JSON merge patch (RFC 7396), which is how Google's PATCH works."""
    after = dict(before)
    for name, value in patch.items():
        if value is None:
            after.pop(name, None)
        elif isinstance(value, dict) and isinstance(before.get(name), dict):
            after[name] = merged(before[name], value)
        else:
            after[name] = value
    return after


def _writable_fields(body: Entity) -> Entity:
    return {name: value for name, value in body.items() if name not in (*GIVEN_ONCE, *OF_AN_OCCURRENCE)}


def _match(event: Entity, if_match: str | None) -> None:
    if if_match not in (None, "*", event["etag"]):
        raise changed()


def _of(series: Entity, start: Entity, zone: str) -> Entity:
    """The occurrence of a series that begins then, as if it were an event of its own."""
    own = {name: value for name, value in series.items() if name != "recurrence"}
    end = times.moved(
        series["end"], times.local(start) + (times.local(series["end"]) - times.local(series["start"])), zone
    )
    return own | {
        "id": f"{series['id']}_{times.stamp(start)}",
        "recurringEventId": series["id"],
        "originalStartTime": start,
        "start": start,
        "end": end,
    }


def _named(text: str, like: Entity, zone: str) -> Entity | None:
    """The start that an occurrence id names; None where the series' own are of the other kind, or it is no time."""
    if ("date" in like) != (len(text) == len("YYYYMMDD")):
        return None
    try:
        if "date" in like:
            return {"date": f"{datetime.strptime(text, '%Y%m%d'):%Y-%m-%d}"}  # noqa: DTZ007 - a day has no zone
        return {"dateTime": times.shown(datetime.strptime(text, "%Y%m%dT%H%M%S%z"), zone), "timeZone": like["timeZone"]}
    except ValueError:
        return None


def bare(entry: Entry) -> Entity:
    """A cancelled event as a list shows it: no more of it than Google guarantees (Event.status)."""
    names = ("kind", "etag", "id", "status") if entry.gone else ("kind", "etag", "id", "status", *OF_AN_OCCURRENCE)
    return {name: entry.value[name] for name in names if name in entry.value}


def busy(event: Entity) -> Entity:
    """All that somebody sees who may only know when its owner is busy."""
    names = ("kind", "etag", "id", "status", "start", "end", *OF_AN_OCCURRENCE)
    return {name: event[name] for name in names if name in event} | {"visibility": "private"}


def detached(value: Any) -> Any:
    """A copy that shares nothing: what callers do to it later does not reach what is held."""
    if isinstance(value, dict):
        return {name: detached(one) for name, one in value.items()}
    return [detached(one) for one in value] if isinstance(value, list) else value
