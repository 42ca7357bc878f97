"""Google Calendar's objects as its documents describe them (developers.google.com/workspace/calendar/api/v3/reference).

Only the fields that an item has a property for are named; all others are kept as they came (`GoogleObject.more`).
"""

import re
from datetime import datetime
from typing import Annotated, Any, Self

import orjson
from pydantic import AfterValidator, ConfigDict, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel

from processors.derive import times
from processors.derive.objects import Object, no_nul

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _day(text: str) -> str:
    if not _DATE.fullmatch(text):
        raise ValueError("is not YYYY-MM-DD")
    datetime.fromisoformat(text)
    return text


def _written(text: str) -> str:
    times.read(text)
    return text


Id = Annotated[str, Field(min_length=1, max_length=1200), AfterValidator(no_nul)]
"""1,024 characters may be chosen for an event; those of an occurrence add its time. Bounded, because it is part of keys."""
Utc = Annotated[str, AfterValidator(times.utc)]


def _one_segment(text: str) -> str:
    """What stands in a path as itself, whatever is percent-encoded. Raises ValueError."""
    if text in (".", ".."):
        raise ValueError("is not an id")
    return text


def _no_slash(text: str) -> str:
    """An event's id is letters and digits (and `_`): so the first `/` behind its calendar's id is the last. Raises ValueError."""
    if "/" in text:
        raise ValueError("is not an id")
    return text


CalendarId = Annotated[Id, AfterValidator(_one_segment)]
EventId = Annotated[Id, AfterValidator(_no_slash)]


class GoogleObject(Object):
    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    def words(self) -> dict[str, Any]:
        """The object as it came."""
        return self.model_dump(by_alias=True, exclude_unset=True)

    def more(self, **left: JsonValue) -> dict[str, JsonValue] | None:
        """The fields that are not named here, and of those that are, the ones that are `left`. None when there are none."""
        known = {name: value for name, value in left.items() if value is not None}
        return (self.model_extra or {}) | known or None


class CalendarName(GoogleObject):
    id: CalendarId


class EventName(GoogleObject):
    id: EventId


class EventHead(EventName):
    """What decides how an event is read."""

    status: str | None = None
    recurring_event_id: EventId | None = None


class When(GoogleObject):
    """A day, or a time: with an offset, or in a zone."""

    date: Annotated[str, AfterValidator(_day)] | None = None
    date_time: Annotated[str, AfterValidator(_written)] | None = None
    time_zone: str | None = None

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.date is None) == (self.date_time is None):
            raise ValueError("is not either a date or a dateTime")
        if self.date_time and times.read(self.date_time).offset is None and not self.time_zone:
            raise ValueError("has neither an offset nor a timeZone")
        return self


class Removed(EventHead):
    """A cancelled occurrence of a series: nothing more is guaranteed of it."""

    original_start_time: When


class Person(GoogleObject):
    id: str | None = None
    email: str | None = None
    display_name: str | None = None

    @property
    def identity(self) -> str:
        return (self.email or self.id or "").lower()


class Attendee(Person):
    comment: str | None = None
    optional: bool = False
    organizer: bool = False
    resource: bool = False
    response_status: str | None = None


class Attachment(GoogleObject):
    file_url: str | None = None
    mime_type: str | None = None
    title: str | None = None


class Source(GoogleObject):
    url: str | None = None
    title: str | None = None


class EntryPoint(GoogleObject):
    uri: str | None = None
    label: str | None = None
    entry_point_type: str | None = None


class Conference(GoogleObject):
    entry_points: list[EntryPoint] | None = None


class Reminder(GoogleObject):
    method: str | None = None
    minutes: Annotated[int, Field(ge=0, le=40320)] | None = None


class Reminders(GoogleObject):
    use_default: bool | None = None
    overrides: list[Reminder] | None = None


class Event(EventHead):
    etag: JsonValue = None
    kind: JsonValue = None
    summary: str | None = None
    description: str | None = None
    location: str | None = None
    created: Utc | None = None
    updated: Utc | None = None
    sequence: Annotated[int, Field(ge=0)] | None = None
    start: When
    end: When
    original_start_time: When | None = None
    transparency: str | None = None
    visibility: str | None = None
    html_link: str | None = None
    hangout_link: str | None = None
    recurrence: list[str] | None = None
    reminders: Reminders | None = None
    attendees: list[Attendee] | None = None
    organizer: Person | None = None
    attachments: list[Attachment] | None = None
    source: Source | None = None
    conference_data: Conference | None = None

    @model_validator(mode="after")
    def _days_or_times(self) -> Self:
        if (self.start.date is None) != (self.end.date is None):
            raise ValueError("start and end are not both dates or both times")
        return self


class Entry(CalendarName):
    """An entry of the calendar list."""

    etag: JsonValue = None
    kind: JsonValue = None
    deleted: bool = False
    summary: str | None = None
    summary_override: str | None = None
    description: str | None = None
    time_zone: str | None = None
    background_color: str | None = None


def canonical(value: object) -> str:
    """One spelling for objects that differ only in the order of their keys."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
