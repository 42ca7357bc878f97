"""What an item is to LifeOS: the published vocabularies, and the subset of them that is used.

Tasks and events are JSCalendar Task and Event objects (RFC 8984); what JSCalendar cannot hold stays under a vendor
property (RFC 8984 §3.3) such as `todoist.com:project` or `google.com:more`. A collection (project, section, label,
calendar) and the state of synchronisation are our own.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

LocalDateTime = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?$")]
"""RFC 8984 §1.4.5: a date and time without an offset; `time_zone` says where."""
UTCDateTime = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]
"""RFC 8984 §1.4.4: ends in Z."""
_LENGTH = r"P(\d+W|\d+D|(\d+D)?T(\d+H(\d+M(\d+(\.\d+)?S)?)?|\d+M(\d+(\.\d+)?S)?|\d+(\.\d+)?S))"
Duration = Annotated[str, Field(pattern=rf"^{_LENGTH}$")]
"""RFC 8984 §1.4.6. Days are as long as the calendar makes them, hours are exact."""
SignedDuration = Annotated[str, Field(pattern=rf"^-?{_LENGTH}$")]
"""RFC 8984 §1.4.7."""
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")]
"""RFC 8984 §1.4.1: the name of a part of an object. The same part keeps it from one version to the next."""


class _Item(BaseModel):
    # A name outside camelCase is given as both aliases, not as `alias`: so type checkers know the argument by its field.
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def snapshot(self) -> dict[str, object]:
        """The item as published: JSON-ready, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Relation(_Item):
    """RFC 8984 §1.4.10: how another object relates to this one."""

    type: Literal["Relation"] = Field(default="Relation", validation_alias="@type", serialization_alias="@type")
    relation: dict[Literal["parent"], Literal[True]]


class Task(_Item):
    """RFC 8984 §5.2. `uid` is the LifeOS item id."""

    type: Literal["Task"] = Field(default="Task", validation_alias="@type", serialization_alias="@type")
    uid: str
    title: str
    description: str | None = None
    created: UTCDateTime | None = None
    updated: UTCDateTime | None = None
    due: LocalDateTime | None = None
    time_zone: str | None = None
    show_without_time: bool | None = None
    estimated_duration: str | None = None
    priority: Annotated[int, Field(ge=0, le=9)] = 0
    progress: Literal["needs-action", "completed"] = "needs-action"
    progress_updated: UTCDateTime | None = None
    keywords: dict[str, Literal[True]] | None = None
    related_to: dict[str, Relation] | None = None
    todoist_project: str | None = Field(
        default=None, validation_alias="todoist.com:project", serialization_alias="todoist.com:project"
    )
    todoist_section: str | None = Field(
        default=None, validation_alias="todoist.com:section", serialization_alias="todoist.com:section"
    )
    todoist_order: int | None = Field(
        default=None, validation_alias="todoist.com:order", serialization_alias="todoist.com:order"
    )
    todoist_deadline: str | None = Field(
        default=None, validation_alias="todoist.com:deadline", serialization_alias="todoist.com:deadline"
    )
    todoist_recurrence: str | None = Field(
        default=None, validation_alias="todoist.com:recurrence", serialization_alias="todoist.com:recurrence"
    )
    todoist_responsible: str | None = Field(
        default=None, validation_alias="todoist.com:responsible", serialization_alias="todoist.com:responsible"
    )


class _Google(_Item):
    """What Google says of a thing and no property here holds, in Google's own names and values: nothing is dropped."""

    google_more: dict[str, JsonValue] | None = Field(
        default=None, validation_alias="google.com:more", serialization_alias="google.com:more"
    )


class Location(_Item):
    """RFC 8984 §4.2.5. With `relative_to` end it says in which time zone an event ends, if not in that of its start."""

    type: Literal["Location"] = Field(default="Location", validation_alias="@type", serialization_alias="@type")
    name: str | None = None
    relative_to: Literal["start", "end"] | None = None
    time_zone: str | None = None


class VirtualLocation(_Google):
    """RFC 8984 §4.2.6: where to meet without going there."""

    type: Literal["VirtualLocation"] = Field(
        default="VirtualLocation", validation_alias="@type", serialization_alias="@type"
    )
    name: str | None = None
    uri: str
    features: dict[Literal["video", "phone"], Literal[True]] | None = None


class Link(_Google):
    """RFC 8984 §1.4.11. `rel`: `enclosure` an attachment, `alternate` the provider's own page, `via` where it came from."""

    type: Literal["Link"] = Field(default="Link", validation_alias="@type", serialization_alias="@type")
    href: str
    content_type: str | None = None
    rel: Literal["enclosure", "alternate", "via"]
    title: str | None = None


class Participant(_Google):
    """RFC 8984 §4.4.6. `roles`: `owner` organises, `attendee` is invited, `optional` need not come."""

    type: Literal["Participant"] = Field(default="Participant", validation_alias="@type", serialization_alias="@type")
    name: str | None = None
    email: str | None = None
    send_to: dict[Literal["imip"], str] | None = None
    kind: Literal["resource"] | None = None
    roles: dict[Literal["owner", "attendee", "optional"], Literal[True]]
    participation_status: Literal["needs-action", "accepted", "declined", "tentative"] | None = None
    participation_comment: str | None = None
    expect_reply: bool | None = None


class OffsetTrigger(_Item):
    """RFC 8984 §4.5.2: when to alert, from the start of the event."""

    type: Literal["OffsetTrigger"] = Field(
        default="OffsetTrigger", validation_alias="@type", serialization_alias="@type"
    )
    offset: SignedDuration


class Alert(_Google):
    """RFC 8984 §4.5.2."""

    type: Literal["Alert"] = Field(default="Alert", validation_alias="@type", serialization_alias="@type")
    trigger: OffsetTrigger
    action: Literal["display", "email"]


Weekday = Literal["mo", "tu", "we", "th", "fr", "sa", "su"]


class NDay(_Item):
    """RFC 8984 §4.3.3: a day of the week, or the nth of them in the period, counted from its end where negative."""

    type: Literal["NDay"] = Field(default="NDay", validation_alias="@type", serialization_alias="@type")
    day: Weekday
    nth_of_period: int | None = None


class RecurrenceRule(_Item):
    """RFC 8984 §4.3.3, an RRULE in JSON. `until` is local time in the event's zone, and included."""

    type: Literal["RecurrenceRule"] = Field(
        default="RecurrenceRule", validation_alias="@type", serialization_alias="@type"
    )
    frequency: Literal["yearly", "monthly", "weekly", "daily", "hourly", "minutely", "secondly"]
    interval: Annotated[int, Field(ge=1)] | None = None
    rscale: str | None = None
    skip: Literal["omit", "backward", "forward"] | None = None
    first_day_of_week: Weekday | None = None
    by_day: list[NDay] | None = None
    by_month_day: list[int] | None = None
    by_month: list[str] | None = None
    by_year_day: list[int] | None = None
    by_week_no: list[int] | None = None
    by_hour: list[Annotated[int, Field(ge=0, le=23)]] | None = None
    by_minute: list[Annotated[int, Field(ge=0, le=59)]] | None = None
    by_second: list[Annotated[int, Field(ge=0, le=60)]] | None = None
    by_set_position: list[int] | None = None
    count: Annotated[int, Field(ge=1)] | None = None
    until: LocalDateTime | None = None


class Override(_Item):
    """RFC 8984 §4.3.5, of an occurrence that is named in the series itself: added (empty, or of another length) or left
    out. An occurrence that was changed or removed by itself is an item of its own (`Event.recurrence_id`)."""

    excluded: Literal[True] | None = None
    duration: Duration | None = None


class Event(_Google):
    """RFC 8984 §5.1: a single event, a series (it has recurrence), or an exception of one (it has `recurrence_id`).

    `uid` is the LifeOS item id of the event or series. An exception has the uid of its series, as RFC 8984 §4.1.2 wants;
    the change that carries it has its own item id. With `excluded` it says that this occurrence does not take place.
    `google.com:recurrence` are the lines as they came (RFC 5545 §3.8.5): what of them JSCalendar cannot hold stands only
    there. `google.com:calendar` is the item id of the collection that holds it.
    """

    type: Literal["Event"] = Field(default="Event", validation_alias="@type", serialization_alias="@type")
    uid: str
    title: str
    description: str | None = None
    description_content_type: Literal["text/plain", "text/html"] | None = None
    created: UTCDateTime | None = None
    updated: UTCDateTime | None = None
    sequence: Annotated[int, Field(ge=0)] | None = None
    start: LocalDateTime
    time_zone: str | None = None
    duration: Duration | None = None
    show_without_time: bool | None = None
    status: Literal["confirmed", "tentative"] | None = None
    free_busy_status: Literal["free", "busy"] | None = None
    privacy: Literal["public", "private"] | None = None
    locations: dict[Id, Location] | None = None
    virtual_locations: dict[Id, VirtualLocation] | None = None
    links: dict[Id, Link] | None = None
    participants: dict[Id, Participant] | None = None
    reply_to: dict[Literal["imip"], str] | None = None
    use_default_alerts: bool | None = None
    alerts: dict[Id, Alert] | None = None
    recurrence_id: LocalDateTime | None = None
    recurrence_id_time_zone: str | None = None
    excluded: bool | None = None
    recurrence_rules: list[RecurrenceRule] | None = None
    excluded_recurrence_rules: list[RecurrenceRule] | None = None
    recurrence_overrides: dict[LocalDateTime, Override] | None = None
    google_calendar: str | None = Field(
        default=None, validation_alias="google.com:calendar", serialization_alias="google.com:calendar"
    )
    google_recurrence: list[str] | None = Field(
        default=None, validation_alias="google.com:recurrence", serialization_alias="google.com:recurrence"
    )


class Collection(_Google):
    """Something that holds items: a project, a section of one, a label, or a calendar. References are LifeOS item ids."""

    type: Literal["Collection"] = Field(default="Collection", validation_alias="@type", serialization_alias="@type")
    uid: str
    role: Literal["project", "section", "label", "calendar"]
    name: str
    description: str | None = None
    time_zone: str | None = None
    color: str | None = None
    parent: str | None = None
    order: int | None = None
    archived: bool | None = None
    favorite: bool | None = None


class Sync(_Item):
    """How the synchronisation of one resource stands, after a run that changed something or ended in another way."""

    type: Literal["Sync"] = Field(default="Sync", validation_alias="@type", serialization_alias="@type")
    uid: str
    resource: str
    run: str
    status: Literal["ok", "retrying", "needs_reauthorization"]
    found_by: str
    full: bool
    created: int
    updated: int
    deleted: int
    rejected: int
    detail: str | None = None
