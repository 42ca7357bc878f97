"""Google Calendar's objects as items. Pure and total: any JSON value ends as an item or as a rejection.

Source of the objects: developers.google.com/workspace/calendar/api/v3/reference (providers.md §1.2). Source of the items:
RFC 8984 (JSCalendar Event) and `schemas.item`. What an item has no property for stands under `google.com:more` as it
came, fields that nobody knows yet included; only `etag` and `kind` are left out, which say nothing about the event. A
word of Google's that JSCalendar lacks (a status of next year) is kept there, too, and is no error.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from pydantic import JsonValue

from processors.derive import google_parts as parts
from processors.derive import times
from processors.derive.google_objects import (
    CalendarName,
    Entry,
    Event,
    EventHead,
    EventName,
    GoogleObject,
    Removed,
    When,
)
from processors.derive.google_recurrence import Recurrence, recurrence
from processors.derive.ids import Ids
from processors.derive.objects import Seen, derived
from schemas import item
from schemas.plan import Observed, Rejected

COLLECTION: Final = "calendar/"
"""What the external id of a calendar's collection begins with; the rest is Google's id of the calendar."""

STATUS: Final[Mapping[str, Literal["confirmed", "tentative"]]] = {"confirmed": "confirmed", "tentative": "tentative"}
FREE_BUSY: Final[Mapping[str, Literal["free", "busy"]]] = {"opaque": "busy", "transparent": "free"}
PRIVACY: Final[Mapping[str, Literal["public", "private"]]] = {
    "public": "public",
    "private": "private",
    "confidential": "private",
}
"""Google's `confidential` is its `private` in an older word; `default` follows the calendar, and so says nothing."""

_HTML = re.compile(r"</?[a-zA-Z][^<>]*>|&(#\d{1,7}|#x[0-9a-fA-F]{1,6}|[a-zA-Z]{2,31});")
"""A description may hold HTML (it is not said which do): one with a tag or a character reference does."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """The calendar that an event was read from: its id, and the zone of times that name none.

    `expanded`: it shows the occurrences of series and never the series themselves, so none is a part of one.
    """

    id: str
    time_zone: str | None
    expanded: bool = False


def derive_calendar(value: object, ids: Ids) -> Observed | Rejected:
    """The collection that an entry of the calendar list stands for; without a snapshot where it left the list."""

    def seen(uid: UUID, words: object) -> Seen:
        entry = Entry.model_validate(words)
        return Seen(None if entry.deleted else _collection(entry, uid).snapshot())

    return derived("collection", lambda: COLLECTION + CalendarName.model_validate(value).id, value, ids, seen)


def derive_event(value: object, calendar: Calendar, ids: Ids) -> Observed | Rejected:
    """The item that one event stands for: a single event, a series, or an exception of a series.

    Cancelled, it is deleted; only a cancelled occurrence of a series is an item that says so (providers.md §1.2), for as
    long as the series lives. An object that the API's documents do not allow is rejected with the name of the first
    field that is wrong.
    """

    def seen(uid: UUID, words: object) -> Seen:
        head = EventHead.model_validate(value)  # not `words`: what is an id is never repaired
        whole = head.recurring_event_id
        series = ids.item("calendar-event", f"{calendar.id}/{whole}") if whole else None
        part_of = None if calendar.expanded else series
        if head.status != "cancelled":
            return Seen(_event(Event.model_validate(words), uid, series, calendar, ids).snapshot(), part_of)
        if part_of is None:
            return Seen(None)
        removed = _removed(Removed.model_validate(words), part_of, calendar, ids)
        return Seen(removed.snapshot(), part_of, only_within=True)

    return derived("calendar-event", lambda: f"{calendar.id}/{EventName.model_validate(value).id}", value, ids, seen)


def _collection(entry: Entry, uid: UUID) -> item.Collection:
    return item.Collection(
        uid=str(uid),
        role="calendar",
        name=entry.summary_override or entry.summary or "",
        description=entry.description or None,
        time_zone=entry.time_zone,
        color=entry.background_color,
        google_more=entry.more(summary=entry.summary if entry.summary_override else None),
    )


def _removed(event: Removed, series: UUID, calendar: Calendar, ids: Ids) -> item.Event:
    """RFC 8984 §4.3.6. Of nothing but what is guaranteed: whatever else an answer shows of it may be missing next time."""
    original = _moment(event.original_start_time, calendar)
    return item.Event(
        uid=str(series),
        title="",
        start=original.local,
        time_zone=original.zone,
        show_without_time=original.all_day,
        recurrence_id=original.local,
        recurrence_id_time_zone=original.zone,
        excluded=True,
        google_calendar=_held_by(calendar, ids),
        google_more={"originalStartTime": original.words} if original.words else None,
    )


def _event(event: Event, uid: UUID, series: UUID | None, calendar: Calendar, ids: Ids) -> item.Event:
    start, end = _moment(event.start, calendar), _moment(event.end, calendar)
    original = _moment(event.original_start_time, calendar) if event.original_start_time else None
    occurrence = original if series else None
    length = _length(start, end)
    told = _recurrence(event, start) if series is None else Recurrence()
    attachments, alerts, meetings = parts.attachments(event), parts.alerts(event), parts.meetings(event)
    return item.Event(
        uid=str(series if occurrence else uid),
        title=event.summary or "",
        description=event.description or None,
        description_content_type="text/html" if _HTML.search(event.description or "") else None,
        created=event.created,
        updated=event.updated,
        sequence=event.sequence,
        start=start.local,
        time_zone=start.zone,
        duration=length,
        show_without_time=start.all_day,
        status=STATUS.get(event.status or ""),
        free_busy_status=FREE_BUSY.get(event.transparency or ""),
        privacy=PRIVACY.get(event.visibility or ""),
        locations=_locations(event, start, end) or None,
        virtual_locations=meetings.told or None,
        links=parts.links(event) | attachments.told or None,
        participants=parts.participants(event) or None,
        reply_to=parts.reply_to(event),
        use_default_alerts=(event.reminders and event.reminders.use_default) or None,
        alerts=alerts.told or None,
        recurrence_id=occurrence.local if occurrence else None,
        recurrence_id_time_zone=occurrence.zone if occurrence else None,
        recurrence_rules=told.rules or None,
        excluded_recurrence_rules=told.excluded_rules or None,
        recurrence_overrides=told.overrides or None,
        google_calendar=_held_by(calendar, ids),
        google_recurrence=event.recurrence or None,
        google_more=event.more(
            status=parts.unknown(event.status, STATUS),
            transparency=parts.unknown(event.transparency, FREE_BUSY),
            visibility=parts.unknown(event.visibility, {"public", "private", "default"}),
            start=start.words,
            end=end.words if length else event.end.words(),
            originalStartTime=occurrence.words if occurrence else _words(event.original_start_time),
            recurringEventId=None if occurrence else event.recurring_event_id,
            attachments=attachments.left,
            reminders=event.reminders.more(overrides=alerts.left) if event.reminders else None,
            conferenceData=event.conference_data.more(entryPoints=meetings.left) if event.conference_data else None,
            source=_words(event.source) if event.source and not event.source.url else None,
        ),
    )


def _held_by(calendar: Calendar, ids: Ids) -> str:
    return str(ids.item("collection", COLLECTION + calendar.id))


def _words(one: GoogleObject | None) -> dict[str, JsonValue] | None:
    return one.words() if one else None


# Times ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Moment:
    """A day or a time as an item tells it. `at` is aware for a time, and naive for a day.

    `words` are Google's, where these say more than the item can: an unknown zone, the second of two equal local times, a
    leap second, a year that the zone does not have.
    """

    local: str
    zone: str | None
    at: datetime
    words: dict[str, JsonValue] | None

    @property
    def all_day(self) -> Literal[True] | None:
        return True if self.at.tzinfo is None else None


def _moment(when: When, calendar: Calendar) -> _Moment:
    if when.date_time is None:
        more = when.more(timeZone=when.time_zone)
        return _Moment(f"{when.date}T00:00:00", None, datetime.fromisoformat(f"{when.date}"), more and when.words())
    written, name = times.read(when.date_time), when.time_zone or calendar.time_zone or times.UNKNOWN
    zone = times.zone(name)
    at = written.at.replace(tzinfo=zone or UTC if written.offset is None else times.fixed(written.offset))
    try:
        local = at.astimezone(zone or UTC)
    except OverflowError:
        return _Moment(times.text_of(written.at), times.UNKNOWN, at, when.words())
    exact = zone is not None and written.exact and not local.fold and not when.more()
    text = times.text_of(local.replace(tzinfo=None))
    return _Moment(text, name if zone else times.UNKNOWN, at, None if exact else when.words())


def _length(start: _Moment, end: _Moment) -> str | None:
    """RFC 8984 §1.4.6: days for days, real time for times. None for an event that ends before it starts."""
    if start.all_day:
        days = (end.at - start.at).days
        return f"P{days}D" if days >= 0 else None
    length = times.elapsed(start.at, end.at)
    return times.duration(length) if length >= timedelta() else None


def _recurrence(event: Event, start: _Moment) -> Recurrence:
    return recurrence(event.recurrence or (), times.zone(start.zone) if start.zone else None)


# Places ---------------------------------------------------------------------------------------------------------------


def _locations(event: Event, start: _Moment, end: _Moment) -> dict[str, item.Location]:
    """The place; and where the event ends in another zone than it starts, that zone (RFC 8984 §4.2.5)."""
    places = {"place": item.Location(name=event.location)} if event.location else {}
    if event.end.time_zone and end.zone == event.end.time_zone and end.zone != start.zone:
        places["end"] = item.Location(relative_to="end", time_zone=end.zone)
    return places
