"""Google's events become JSCalendar events (RFC 8984) and its calendars collections; nothing it says is dropped."""

import random
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.derive.google_calendar import Calendar, derive_calendar, derive_event
from processors.derive.ids import Ids
from processors.derive.objects import MAX_SNAPSHOT_BYTES
from schemas.item import Collection, Event
from schemas.plan import Observed, Rejected

IDS = Ids(UUID("0b7a1f4e-3c52-4d0e-9a55-6b0f3f2f8c11"), "google", "113774264463038321964")
ANN = Calendar("ann@example.com", "Europe/Madrid")

START = {"dateTime": "2026-05-09T10:00:00+02:00", "timeZone": "Europe/Madrid"}
END = {"dateTime": "2026-05-09T11:30:00+02:00", "timeZone": "Europe/Madrid"}
BARE: dict[str, Any] = {"id": "e1", "status": "confirmed", "start": START, "end": END}
EVENT: dict[str, Any] = BARE | {
    "kind": "calendar#event",
    "etag": '"3181161784712000"',
    "htmlLink": "https://www.google.com/calendar/event?eid=ZTE",
    "created": "2026-05-01T08:00:00.000Z",
    "updated": "2026-05-02T10:00:00.123Z",
    "summary": "Review",
    "description": "Bring the plan",
    "location": "Room 4",
    "colorId": "3",
    "creator": {"email": "ann@example.com", "self": True},
    "organizer": {"email": "ann@example.com", "self": True},
    "transparency": "transparent",
    "visibility": "private",
    "iCalUID": "e1@google.com",
    "sequence": 2,
    "eventType": "default",
    "guestsCanModify": True,
    "extendedProperties": {"private": {"k": "v"}, "shared": {"n": "m"}},
    "reminders": {"useDefault": False, "overrides": [{"method": "popup", "minutes": 10}]},
    "a_field_of_next_year": {"x": [1, None]},
}
ORIGINAL = {"dateTime": "2026-05-16T10:00:00+02:00", "timeZone": "Europe/Madrid"}
EXCEPTION: dict[str, Any] = BARE | {
    "id": "e1_20260516T080000Z",
    "summary": "Review, later",
    "recurringEventId": "e1",
    "originalStartTime": ORIGINAL,
    "start": {"dateTime": "2026-05-16T15:00:00+02:00", "timeZone": "Europe/Madrid"},
    "end": {"dateTime": "2026-05-16T16:00:00+02:00", "timeZone": "Europe/Madrid"},
}
REMOVED = {"id": "e1_20260516T080000Z", "status": "cancelled", "recurringEventId": "e1", "originalStartTime": ORIGINAL}
CALENDAR = str(IDS.item("collection", "calendar/ann@example.com"))


def uid(event_id: str) -> UUID:
    return IDS.item("calendar-event", f"ann@example.com/{event_id}")


def observed(value: object, calendar: Calendar = ANN) -> Observed:
    outcome = derive_event(value, calendar, IDS)
    assert isinstance(outcome, Observed), outcome
    return outcome


def snapshot(value: object, calendar: Calendar = ANN) -> dict[str, Any]:
    seen = observed(value, calendar).snapshot
    assert seen is not None
    return seen


def rejected(value: object) -> Rejected:
    outcome = derive_event(value, ANN, IDS)
    assert isinstance(outcome, Rejected), outcome
    return outcome


def said(value: dict[str, Any], *names: str, calendar: Calendar = ANN) -> dict[str, Any]:
    """The named properties of an event, those that it has."""
    item = snapshot(value, calendar)
    return {name: item[name] for name in names if name in item}


def more(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = snapshot(value).get("google.com:more", {})
    return found


def times(start: dict[str, Any], end: dict[str, Any], calendar: Calendar = ANN) -> dict[str, Any]:
    names = ("start", "timeZone", "duration", "showWithoutTime", "locations", "google.com:more")
    return said(BARE | {"start": start, "end": end}, *names, calendar=calendar)


def parts(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The parts of an event without their keys, in the order of their JSON."""
    return sorted(snapshot(value).get(name, {}).values(), key=orjson.dumps)


def test_an_event_is_a_jscalendar_event() -> None:
    item = snapshot(EVENT)
    (alert,), (participant,) = item["alerts"], item["participants"]
    assert item == {
        "@type": "Event",
        "uid": str(uid("e1")),
        "title": "Review",
        "description": "Bring the plan",
        "created": "2026-05-01T08:00:00Z",
        "updated": "2026-05-02T10:00:00.123Z",
        "sequence": 2,
        "start": "2026-05-09T10:00:00",
        "timeZone": "Europe/Madrid",
        "duration": "PT1H30M",
        "status": "confirmed",
        "freeBusyStatus": "free",
        "privacy": "private",
        "locations": {"place": {"@type": "Location", "name": "Room 4"}},
        "links": {
            "page": {
                "@type": "Link",
                "href": "https://www.google.com/calendar/event?eid=ZTE",
                "rel": "alternate",
            }
        },
        "participants": {
            participant: {
                "@type": "Participant",
                "email": "ann@example.com",
                "sendTo": {"imip": "mailto:ann@example.com"},
                "roles": {"owner": True},
                "google.com:more": {"self": True},
            }
        },
        "alerts": {
            alert: {
                "@type": "Alert",
                "trigger": {"@type": "OffsetTrigger", "offset": "-PT10M"},
                "action": "display",
            }
        },
        "google.com:calendar": CALENDAR,
        "google.com:more": {
            "colorId": "3",
            "creator": {"email": "ann@example.com", "self": True},
            "iCalUID": "e1@google.com",
            "eventType": "default",
            "guestsCanModify": True,
            "extendedProperties": {"private": {"k": "v"}, "shared": {"n": "m"}},
            "a_field_of_next_year": {"x": [1, None]},
        },
    }


def test_an_event_of_the_fewest_words_is_an_event() -> None:
    assert snapshot({"id": "e1", "start": {"date": "2026-05-09"}, "end": {"date": "2026-05-10"}}) == {
        "@type": "Event",
        "uid": str(uid("e1")),
        "title": "",
        "start": "2026-05-09T00:00:00",
        "duration": "P1D",
        "showWithoutTime": True,
        "google.com:calendar": CALENDAR,
    }


def test_an_event_of_which_only_free_and_busy_are_shown_is_what_is_known_of_it() -> None:
    assert snapshot(BARE | {"visibility": "private"}) == {
        "@type": "Event",
        "uid": str(uid("e1")),
        "title": "",
        "start": "2026-05-09T10:00:00",
        "timeZone": "Europe/Madrid",
        "duration": "PT1H30M",
        "status": "confirmed",
        "privacy": "private",
        "google.com:calendar": CALENDAR,
    }


def test_a_published_event_reads_back_as_one() -> None:
    for value in (EVENT, EXCEPTION, REMOVED, EVENT | {"recurrence": ["RRULE:FREQ=DAILY", "RDATE:20260520T080000Z"]}):
        item = snapshot(value)
        assert Event.model_validate(item).snapshot() == item


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("Bring <b>it</b>", "text/html"),
        ("one<br>two", "text/html"),
        ("R&amp;D", "text/html"),
        ("a < b > c", None),
        ("R&D; Q&A", None),
        ("plain", None),
    ],
)
def test_a_description_with_tags_or_character_references_is_html(text: str, type_: str | None) -> None:
    item = snapshot(BARE | {"description": text})
    assert (item["description"], item.get("descriptionContentType")) == (text, type_)


@pytest.mark.parametrize(
    ("word", "value", "name", "told", "kept"),
    [
        ("status", "tentative", "status", "tentative", None),
        ("status", "postponed", "status", None, "postponed"),
        ("transparency", "opaque", "freeBusyStatus", "busy", None),
        ("transparency", "misty", "freeBusyStatus", None, "misty"),
        ("visibility", "default", "privacy", None, None),
        ("visibility", "public", "privacy", "public", None),
        ("visibility", "confidential", "privacy", "private", "confidential"),
        ("visibility", "family", "privacy", None, "family"),
    ],
)
def test_a_word_that_jscalendar_lacks_is_kept(word: str, value: str, name: str, told: str | None, kept: str) -> None:
    item = snapshot(BARE | {word: value})
    assert (item.get(name), item.get("google.com:more", {}).get(word)) == (told, kept)


# Times ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "duration"),
    [
        ("2026-05-09", "2026-05-10", "P1D"),
        ("2026-03-28", "2026-04-02", "P5D"),
        ("2026-05-09", "2026-05-09", "P0D"),
        ("0001-01-01", "9999-12-31", "P3652058D"),
    ],
)
def test_a_full_day_is_local_midnight_without_a_zone_and_lasts_days(start: str, end: str, duration: str) -> None:
    assert times({"date": start}, {"date": end}) == {
        "start": f"{start}T00:00:00",
        "duration": duration,
        "showWithoutTime": True,
    }


@pytest.mark.parametrize(
    ("time", "zone", "local"),
    [
        ("2026-05-09T10:00:00+02:00", "Europe/Madrid", "2026-05-09T10:00:00"),
        ("2026-05-09T08:00:00Z", "Europe/Madrid", "2026-05-09T10:00:00"),
        ("2026-05-09t08:00:00z", "Europe/Madrid", "2026-05-09T10:00:00"),
        ("2026-01-09T08:00:00Z", "Europe/Madrid", "2026-01-09T09:00:00"),
        ("2026-05-09T23:30:00-03:00", "Asia/Kathmandu", "2026-05-10T08:15:00"),
        ("2026-05-09T10:00:00", "America/New_York", "2026-05-09T10:00:00"),
        ("2026-05-09T10:00:00.250+02:00", "Europe/Madrid", "2026-05-09T10:00:00.25"),
        ("2026-05-09T10:00:00.1234567890+02:00", "Europe/Madrid", "2026-05-09T10:00:00.123456"),
        ("1800-01-01T00:00:00Z", "Europe/Madrid", "1799-12-31T23:45:16"),
    ],
)
def test_a_time_is_told_in_its_own_zone(time: str, zone: str, local: str) -> None:
    when = {"dateTime": time, "timeZone": zone}
    assert times(when, when) == {"start": local, "timeZone": zone, "duration": "PT0S"}


@pytest.mark.parametrize(
    ("calendar_zone", "zone", "local"),
    [
        ("Europe/Madrid", "Europe/Madrid", "2026-05-09T10:00:00"),
        ("Asia/Tokyo", "Asia/Tokyo", "2026-05-09T17:00:00"),
        (None, "Etc/UTC", "2026-05-09T08:00:00"),
    ],
)
def test_a_time_that_names_no_zone_is_told_in_that_of_the_calendar(
    calendar_zone: str | None, zone: str, local: str
) -> None:
    when = {"dateTime": "2026-05-09T10:00:00+02:00"}
    told = {"start": local, "timeZone": zone, "duration": "PT0S"}
    assert times(when, when, Calendar("ann@example.com", calendar_zone)) == told


@pytest.mark.parametrize("zone", ["Mars/Olympus", "Europe", "../etc/passwd", "right/UTC", "localtime", "x" * 5000])
def test_a_zone_nobody_knows_is_utc_and_its_name_is_kept(zone: str) -> None:
    when = {"dateTime": "2026-05-09T10:00:00+02:00", "timeZone": zone}
    assert times(when, END) == {
        "start": "2026-05-09T08:00:00",
        "timeZone": "Etc/UTC",
        "duration": "PT1H30M",
        "locations": {"end": {"@type": "Location", "relativeTo": "end", "timeZone": "Europe/Madrid"}},
        "google.com:more": {"start": when},
    }
    assert times(START, when) == {
        "start": "2026-05-09T10:00:00",
        "timeZone": "Europe/Madrid",
        "duration": "PT0S",
        "google.com:more": {"end": when},
    }


def test_an_end_in_another_zone_is_a_place() -> None:
    landing = {"dateTime": "2026-05-09T13:00:00-04:00", "timeZone": "America/New_York"}
    assert times(START, landing) == {
        "start": "2026-05-09T10:00:00",
        "timeZone": "Europe/Madrid",
        "duration": "PT9H",
        "locations": {"end": {"@type": "Location", "relativeTo": "end", "timeZone": "America/New_York"}},
    }


@pytest.mark.parametrize(
    ("start", "end", "duration"),
    [
        ("2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00", "PT23H"),
        ("2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00", "PT25H"),
        ("2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "PT1H"),
        ("2026-05-09T10:00:00+02:00", "2026-05-09T11:00:30.5+02:00", "PT1H0M30.5S"),
        ("2026-05-09T10:00:00+02:00", "2026-05-12T10:00:00+02:00", "PT72H"),
        ("2026-05-09T10:00:00+02:00", "2026-05-09T10:45:00+02:00", "PT45M"),
        ("2026-05-09T10:00:00+02:00", "2026-05-09T10:01:05+02:00", "PT1M5S"),
        ("2026-05-09T10:00:00+02:00", "2026-05-09T10:00:07+02:00", "PT7S"),
        ("2026-03-29T00:00:00", "2026-03-30T00:00:00", "PT23H"),
    ],
)
def test_a_timed_event_lasts_as_long_as_it_really_does(start: str, end: str, duration: str) -> None:
    zone = {"timeZone": "Europe/Madrid"}
    assert times({"dateTime": start} | zone, {"dateTime": end} | zone)["duration"] == duration


def test_the_second_of_two_equal_local_times_is_kept_as_it_came() -> None:
    zone = {"timeZone": "Europe/Madrid"}
    first, second = ({"dateTime": f"2026-10-25T02:30:00+0{hours}:00"} | zone for hours in (2, 1))
    local = {"start": "2026-10-25T02:30:00", "timeZone": "Europe/Madrid", "duration": "PT0S"}
    assert times(first, first) == local
    assert times(second, second) == local | {"google.com:more": {"start": second, "end": second}}


@pytest.mark.parametrize(
    ("time", "zone", "local"),
    [
        ("0001-01-01T00:00:00+14:00", "Europe/Madrid", "0001-01-01T00:00:00"),
        ("0001-01-01T00:00:00Z", "America/New_York", "0001-01-01T00:00:00"),
        ("9999-12-31T23:59:59-12:00", "Europe/Madrid", "9999-12-31T23:59:59"),
        ("9999-12-31T23:59:59Z", "Asia/Tokyo", "9999-12-31T23:59:59"),
    ],
)
def test_a_year_that_a_zone_does_not_have_is_told_as_it_is_written_and_kept(time: str, zone: str, local: str) -> None:
    when = {"dateTime": time, "timeZone": zone}
    told = {"start": local, "timeZone": "Etc/UTC", "duration": "PT0S", "google.com:more": {"start": when, "end": when}}
    assert times(when, when) == told


def test_a_leap_second_is_the_second_after_it_and_is_kept() -> None:
    when = {"dateTime": "2016-12-31T23:59:60Z", "timeZone": "Etc/UTC"}
    assert times(when, {"dateTime": "2017-01-01T00:00:01Z", "timeZone": "Etc/UTC"}) == {
        "start": "2017-01-01T00:00:00",
        "timeZone": "Etc/UTC",
        "duration": "PT1S",
        "google.com:more": {"start": when},
    }
    assert snapshot(BARE | {"updated": "2016-12-31T23:59:60.5Z"})["updated"] == "2017-01-01T00:00:00.5Z"


@pytest.mark.parametrize(
    ("start", "end"),
    [(END, START), ({"date": "2026-05-10"}, {"date": "2026-05-09"})],
)
def test_an_event_that_ends_before_it_starts_has_no_duration_and_keeps_its_end(
    start: dict[str, str], end: dict[str, str]
) -> None:
    told = times(start, end)
    assert "duration" not in told
    assert told["google.com:more"] == {"end": end}


def test_a_day_that_names_a_zone_keeps_it() -> None:
    day = {"date": "2026-05-09", "timeZone": "Europe/Madrid"}
    assert times(day, {"date": "2026-05-10"})["google.com:more"] == {"start": day}


def test_what_nobody_knows_of_a_time_is_kept() -> None:
    start = START | {"precision": "hour"}
    assert times(start, END)["google.com:more"] == {"start": start}


# Series, exceptions, removed occurrences ------------------------------------------------------------------------------


def test_a_series_keeps_its_lines_and_says_them_as_rules() -> None:
    lines = ["RRULE:FREQ=WEEKLY;BYDAY=SA", "EXDATE;TZID=Europe/Madrid:20260523T100000"]
    assert said(EVENT | {"recurrence": lines}, "recurrenceRules", "recurrenceOverrides", "google.com:recurrence") == {
        "recurrenceRules": [
            {"@type": "RecurrenceRule", "frequency": "weekly", "byDay": [{"@type": "NDay", "day": "sa"}]}
        ],
        "recurrenceOverrides": {"2026-05-23T10:00:00": {"excluded": True}},
        "google.com:recurrence": lines,
    }


def test_a_rule_that_jscalendar_cannot_hold_is_kept_as_it_came() -> None:
    lines = ["RRULE:FREQ=FORTNIGHTLY", "RRULE:FREQ=DAILY;COUNT=0", "nonsense"]
    item = snapshot(EVENT | {"recurrence": lines})
    assert item["google.com:recurrence"] == lines
    assert not {"recurrenceRules", "excludedRecurrenceRules", "recurrenceOverrides"} & item.keys()


def test_an_exception_has_the_uid_of_its_series_and_says_which_occurrence_it_is() -> None:
    seen = observed(EXCEPTION)
    assert (seen.external_id, seen.item_id) == ("ann@example.com/e1_20260516T080000Z", uid("e1_20260516T080000Z"))
    assert (seen.part_of, seen.only_within) == (uid("e1"), False)
    assert seen.snapshot == {
        "@type": "Event",
        "uid": str(uid("e1")),
        "title": "Review, later",
        "start": "2026-05-16T15:00:00",
        "timeZone": "Europe/Madrid",
        "duration": "PT1H",
        "status": "confirmed",
        "recurrenceId": "2026-05-16T10:00:00",
        "recurrenceIdTimeZone": "Europe/Madrid",
        "google.com:calendar": CALENDAR,
    }


def test_an_exception_has_no_recurrence_of_its_own_but_keeps_the_lines() -> None:
    lines = ["RRULE:FREQ=DAILY"]
    item = snapshot(EXCEPTION | {"recurrence": lines})
    assert ("recurrenceRules" in item, item["google.com:recurrence"]) == (False, lines)


def test_an_occurrence_of_a_series_of_days_is_named_by_its_day() -> None:
    day = {"start": {"date": "2026-05-17"}, "end": {"date": "2026-05-18"}, "originalStartTime": {"date": "2026-05-16"}}
    assert said(EXCEPTION | day, "recurrenceId", "recurrenceIdTimeZone") == {"recurrenceId": "2026-05-16T00:00:00"}


def test_a_removed_occurrence_is_an_item_that_says_so() -> None:
    seen = observed(REMOVED)
    assert (seen.item_id, seen.part_of, seen.only_within) == (uid("e1_20260516T080000Z"), uid("e1"), True)
    assert seen.snapshot == {
        "@type": "Event",
        "uid": str(uid("e1")),
        "title": "",
        "start": "2026-05-16T10:00:00",
        "timeZone": "Europe/Madrid",
        "recurrenceId": "2026-05-16T10:00:00",
        "recurrenceIdTimeZone": "Europe/Madrid",
        "excluded": True,
        "google.com:calendar": CALENDAR,
    }


def test_a_removed_occurrence_is_the_same_whatever_else_an_answer_shows_of_it() -> None:
    assert observed(EXCEPTION | REMOVED) == observed(REMOVED)


def test_a_removed_day_of_a_series_of_days() -> None:
    item = snapshot(REMOVED | {"originalStartTime": {"date": "2026-05-16"}})
    assert (item["recurrenceId"], item["showWithoutTime"], item["excluded"]) == ("2026-05-16T00:00:00", True, True)


def test_a_removed_occurrence_in_a_zone_nobody_knows_keeps_its_name() -> None:
    original = {"dateTime": "2026-05-16T10:00:00+02:00", "timeZone": "Mars"}
    item = snapshot(REMOVED | {"originalStartTime": original})
    assert (item["recurrenceId"], item["recurrenceIdTimeZone"]) == ("2026-05-16T08:00:00", "Etc/UTC")
    assert item["google.com:more"] == {"originalStartTime": original}


def test_any_other_cancelled_event_is_deleted() -> None:
    assert observed({"id": "e1", "status": "cancelled", "start": 5}) == Observed(
        "calendar-event", "ann@example.com/e1", uid("e1"), None
    )


def test_an_occurrence_that_does_not_say_which_it_is_is_an_event_of_its_own() -> None:
    value = {name: EXCEPTION[name] for name in EXCEPTION if name != "originalStartTime"}
    seen = observed(value)
    assert seen.snapshot is not None
    assert (seen.snapshot["uid"], seen.part_of) == (str(seen.item_id), uid("e1"))
    assert seen.snapshot["google.com:more"] == {"recurringEventId": "e1"}


def test_where_series_are_never_shown_an_occurrence_stands_for_itself() -> None:
    expanded = Calendar("ann@example.com", "Europe/Madrid", expanded=True)
    assert observed(EXCEPTION, expanded).part_of is None
    assert observed(EXCEPTION, expanded).snapshot == snapshot(EXCEPTION)
    ended = observed(REMOVED, expanded)
    assert (ended.item_id, ended.snapshot, ended.part_of) == (uid("e1_20260516T080000Z"), None, None)


# People ---------------------------------------------------------------------------------------------------------------

BOB: dict[str, Any] = {"email": "bob@example.com", "displayName": "Bob", "responseStatus": "needsAction"}
CAT: dict[str, Any] = {
    "email": "cat@example.com",
    "responseStatus": "accepted",
    "optional": True,
    "comment": "On time",
    "additionalGuests": 2,
    "id": "77",
}
ROOM: dict[str, Any] = {"email": "room@resource.example", "resource": True, "responseStatus": "declined"}
OWN: dict[str, Any] = {"email": "Ann@example.com", "organizer": True, "self": True, "responseStatus": "accepted"}
GUESTS = [BOB, CAT, ROOM, OWN]


def test_attendees_are_participants() -> None:
    assert (
        parts(BARE | {"attendees": GUESTS}, "participants")
        == sorted(
            [
                {
                    "@type": "Participant",
                    "name": "Bob",
                    "email": "bob@example.com",
                    "sendTo": {"imip": "mailto:bob@example.com"},
                    "roles": {"attendee": True},
                    "participationStatus": "needs-action",
                    "expectReply": True,
                },
                {
                    "@type": "Participant",
                    "email": "cat@example.com",
                    "sendTo": {"imip": "mailto:cat@example.com"},
                    "roles": {"attendee": True, "optional": True},
                    "participationStatus": "accepted",
                    "participationComment": "On time",
                    "google.com:more": {"additionalGuests": 2, "id": "77"},
                },
                {
                    "@type": "Participant",
                    "email": "room@resource.example",
                    "sendTo": {"imip": "mailto:room@resource.example"},
                    "kind": "resource",
                    "roles": {"attendee": True},
                    "participationStatus": "declined",
                },
                {
                    "@type": "Participant",
                    "email": "Ann@example.com",
                    "sendTo": {"imip": "mailto:Ann@example.com"},
                    "roles": {"attendee": True, "owner": True},
                    "participationStatus": "accepted",
                    "google.com:more": {"self": True},
                },
            ],
            key=orjson.dumps,
        )
        or True
    )


def test_an_organizer_who_is_invited_is_one_participant_and_gets_the_answers() -> None:
    value = BARE | {"attendees": GUESTS, "organizer": {"email": "ann@example.com", "displayName": "Ann", "self": True}}
    item = snapshot(value)
    assert len(item["participants"]) == 4
    [owner] = [one for one in item["participants"].values() if "owner" in one["roles"]]
    assert owner["roles"] == {"attendee": True, "owner": True}
    assert owner["google.com:more"]["organizer"] == {"email": "ann@example.com", "displayName": "Ann"}
    assert item["replyTo"] == {"imip": "mailto:ann@example.com"}


def test_an_organizer_who_is_not_invited_is_a_participant_too() -> None:
    value = BARE | {"attendees": [BOB], "organizer": {"email": "team@example.com", "id": "9"}}
    [owner] = [one for one in parts(value, "participants") if "owner" in one["roles"]]
    assert (owner["email"], owner["roles"], owner["google.com:more"]) == (
        "team@example.com",
        {"owner": True},
        {"id": "9"},
    )


def test_without_guests_there_is_nobody_to_answer() -> None:
    assert "replyTo" not in snapshot(EVENT)


def test_an_answer_that_jscalendar_lacks_is_kept() -> None:
    [guest] = parts(BARE | {"attendees": [BOB | {"responseStatus": "maybe"}]}, "participants")
    assert ("participationStatus" in guest, guest["google.com:more"]) == (False, {"responseStatus": "maybe"})


def test_the_same_guests_in_another_order_are_the_same_snapshot() -> None:
    twice = [*GUESTS, BOB | {"comment": "again"}, {"displayName": "Nobody"}, {"displayName": "Somebody"}]
    value = EVENT | {"attendees": twice, "organizer": {"email": "ann@example.com"}}
    first = snapshot(value)
    assert len(first["participants"]) == 7
    for seed in range(20):
        order = random.Random(seed)
        guests = [dict(order.sample(sorted(guest.items()), len(guest))) for guest in order.sample(twice, len(twice))]
        shuffled = dict(order.sample(sorted((value | {"attendees": guests}).items()), len(value)))
        assert snapshot(shuffled) == first


def test_a_guest_keeps_the_key_when_others_come_and_go() -> None:
    [key] = snapshot(BARE | {"attendees": [BOB]})["participants"]
    assert key in snapshot(BARE | {"attendees": [CAT, BOB | {"responseStatus": "accepted"}]})["participants"]


# Meetings, links, alerts ----------------------------------------------------------------------------------------------

CONFERENCE: dict[str, Any] = {
    "conferenceId": "aaa-bbbb-ccc",
    "conferenceSolution": {"name": "Google Meet", "key": {"type": "hangoutsMeet"}},
    "entryPoints": [
        {"entryPointType": "video", "uri": "https://meet.google.com/aaa-bbbb-ccc", "label": "meet.google.com/aaa"},
        {"entryPointType": "phone", "uri": "tel:+12345678900", "pin": "1234", "regionCode": "US"},
        {"entryPointType": "more", "uri": "https://tel.meet/aaa-bbbb-ccc"},
    ],
}


def test_the_ways_into_a_conference_are_virtual_locations() -> None:
    value = BARE | {"conferenceData": CONFERENCE, "hangoutLink": "https://meet.google.com/aaa-bbbb-ccc"}
    found = {one["uri"]: one for one in parts(value, "virtualLocations")}
    assert found == {
        "https://meet.google.com/aaa-bbbb-ccc": {
            "@type": "VirtualLocation",
            "name": "meet.google.com/aaa",
            "uri": "https://meet.google.com/aaa-bbbb-ccc",
            "features": {"video": True},
        },
        "tel:+12345678900": {
            "@type": "VirtualLocation",
            "uri": "tel:+12345678900",
            "features": {"phone": True},
            "google.com:more": {"pin": "1234", "regionCode": "US"},
        },
        "https://tel.meet/aaa-bbbb-ccc": {
            "@type": "VirtualLocation",
            "uri": "https://tel.meet/aaa-bbbb-ccc",
            "google.com:more": {"entryPointType": "more"},
        },
    }
    assert more(value)["conferenceData"] == {name: CONFERENCE[name] for name in ("conferenceId", "conferenceSolution")}


def test_a_hangout_link_alone_is_a_way_in() -> None:
    [found] = parts(BARE | {"hangoutLink": "https://meet.google.com/x"}, "virtualLocations")
    assert (found["uri"], found["features"]) == ("https://meet.google.com/x", {"video": True})


def test_a_way_in_without_an_address_is_kept() -> None:
    value = BARE | {"conferenceData": {"entryPoints": [{"entryPointType": "phone", "pin": "1"}]}}
    assert "virtualLocations" not in snapshot(value)
    assert more(value) == {"conferenceData": {"entryPoints": [{"entryPointType": "phone", "pin": "1"}]}}


def test_attachments_and_the_source_are_links() -> None:
    attached = {"fileUrl": "https://drive.example/f", "title": "Plan", "mimeType": "text/plain", "fileId": "f"}
    value = BARE | {
        "attachments": [attached, {"title": "Lost"}],
        "source": {"url": "https://news.example", "title": "News"},
    }
    assert parts(value, "links") == [
        {"@type": "Link", "href": "https://news.example", "rel": "via", "title": "News"},
        {
            "google.com:more": {"fileId": "f"},
            "@type": "Link",
            "href": "https://drive.example/f",
            "contentType": "text/plain",
            "rel": "enclosure",
            "title": "Plan",
        },
    ]
    assert more(value) == {"attachments": [{"title": "Lost"}]}
    assert more(BARE | {"source": {"title": "News"}}) == {"source": {"title": "News"}}


def test_reminders_are_alerts() -> None:
    overrides = [
        {"method": "email", "minutes": 40320},
        {"method": "popup", "minutes": 0},
        {"method": "sms", "minutes": 5},
        {"method": "popup"},
    ]
    value = BARE | {"reminders": {"useDefault": False, "overrides": overrides, "x": 1}}
    found = [(one["trigger"]["offset"], one["action"], one.get("google.com:more")) for one in parts(value, "alerts")]
    assert sorted(found, key=str) == [
        ("-PT40320M", "email", None),
        ("-PT5M", "display", {"method": "sms"}),
        ("PT0S", "display", None),
    ]
    assert more(value) == {"reminders": {"x": 1, "overrides": [{"method": "popup"}]}}
    assert "useDefaultAlerts" not in snapshot(value)


def test_the_reminders_of_the_calendar_are_the_default_alerts() -> None:
    assert said(BARE | {"reminders": {"useDefault": True}}, "useDefaultAlerts", "alerts") == {"useDefaultAlerts": True}


# Calendars ------------------------------------------------------------------------------------------------------------

ENTRY: dict[str, Any] = {
    "kind": "calendar#calendarListEntry",
    "etag": '"1"',
    "id": "ann@example.com",
    "summary": "ann@example.com",
    "summaryOverride": "Ann",
    "description": "All of it",
    "timeZone": "Europe/Madrid",
    "colorId": "14",
    "backgroundColor": "#9fe1e7",
    "selected": True,
    "accessRole": "owner",
    "defaultReminders": [{"method": "popup", "minutes": 30}],
    "primary": True,
}


def test_a_calendar_is_a_collection() -> None:
    assert derive_calendar(ENTRY, IDS) == Observed(
        "collection",
        "calendar/ann@example.com",
        UUID(CALENDAR),
        {
            "@type": "Collection",
            "uid": CALENDAR,
            "role": "calendar",
            "name": "Ann",
            "description": "All of it",
            "timeZone": "Europe/Madrid",
            "color": "#9fe1e7",
            "google.com:more": {
                "summary": "ann@example.com",
                "colorId": "14",
                "selected": True,
                "accessRole": "owner",
                "defaultReminders": [{"method": "popup", "minutes": 30}],
                "primary": True,
            },
        },
    )


def test_a_published_calendar_reads_back_as_one() -> None:
    outcome = derive_calendar({"id": "x"}, IDS)
    assert isinstance(outcome, Observed)
    assert outcome.snapshot is not None
    assert outcome.snapshot["name"] == ""
    assert Collection.model_validate(outcome.snapshot).snapshot() == outcome.snapshot


def test_a_calendar_that_left_the_list_is_deleted() -> None:
    outcome = derive_calendar({"id": "ann@example.com", "deleted": True}, IDS)
    assert outcome == Observed("collection", "calendar/ann@example.com", UUID(CALENDAR), None)


def test_a_calendar_that_breaks_its_documents_is_rejected_by_its_name() -> None:
    outcome = derive_calendar(ENTRY | {"timeZone": 5}, IDS)
    assert isinstance(outcome, Rejected)
    assert outcome.detail == "timeZone: Input should be a valid string"
    assert (outcome.kind, outcome.external_id, outcome.item_id) == (
        "collection",
        "calendar/ann@example.com",
        UUID(CALENDAR),
    )


# What is wrong --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"id": 5}, "id: Input should be a valid string"),
        ({"id": ""}, "id: String should have at least 1 character"),
        ({"id": "a\0b"}, "id: contains NUL"),
        ({"id": "a\ufffdb"}, "id: contains what is no character"),
        ({"id": "x" * 1201}, "id: String should have at most 1200 characters"),
        ({"status": 1}, "status: Input should be a valid string"),
        ({"recurringEventId": "a\0b"}, "recurringEventId: contains NUL"),
        ({"recurringEventId": ["e1"]}, "recurringEventId: Input should be a valid string"),
        ({"start": None}, "start: Input should be a valid dictionary or instance of When"),
        ({"start": {}}, "start: is not either a date or a dateTime"),
        ({"start": START | {"date": "2026-05-09"}}, "start: is not either a date or a dateTime"),
        ({"start": {"dateTime": "2026-05-09T10:00:00"}}, "start: has neither an offset nor a timeZone"),
        ({"start": {"dateTime": "2026-05-09 10:00:00Z"}}, "start.dateTime: is not an RFC 3339 time"),
        ({"start": {"dateTime": "2026-05-09T10:00:00+24:00"}}, "start.dateTime: is not an RFC 3339 time"),
        ({"start": {"dateTime": "2026-02-30T10:00:00Z"}}, "start.dateTime: is not an RFC 3339 time"),
        ({"start": {"dateTime": "9999-12-31T23:59:60Z"}}, "start.dateTime: is not an RFC 3339 time"),
        ({"start": {"dateTime": "٢٠٢٦-05-09T10:00:00Z"}}, "start.dateTime: is not an RFC 3339 time"),
        ({"start": {"date": "2026-5-9"}}, "start.date: is not YYYY-MM-DD"),
        ({"start": {"date": "2026-02-30"}}, "start.date: day is out of range for month"),
        ({"start": {"date": "0000-01-01"}}, "start.date: year 0 is out of range"),
        ({"start": {"date": "2026-05-09"}}, "item: start and end are not both dates or both times"),
        ({"created": "2026-05-01"}, "created: is not an RFC 3339 time"),
        ({"updated": "0001-01-01T00:00:00+14:00"}, "updated: is not an RFC 3339 time"),
        ({"summary": ["x"]}, "summary: Input should be a valid string"),
        ({"sequence": -1}, "sequence: Input should be greater than or equal to 0"),
        ({"attendees": {}}, "attendees: Input should be a valid list"),
        ({"attendees": [BOB, 5]}, "attendees.1: Input should be a valid dictionary or instance of Attendee"),
        ({"attendees": [BOB | {"optional": "yes"}]}, "attendees.0.optional: Input should be a valid boolean"),
        ({"organizer": "ann"}, "organizer: Input should be a valid dictionary or instance of Person"),
        (
            {"reminders": {"overrides": [{"minutes": 40321}]}},
            "reminders.overrides.0.minutes: Input should be less than",
        ),
        ({"recurrence": "RRULE:FREQ=DAILY"}, "recurrence: Input should be a valid list"),
        ({"recurrence": [None]}, "recurrence.0: Input should be a valid string"),
    ],
)
def test_what_the_documents_do_not_allow_is_rejected_by_the_name_of_the_field(
    fields: dict[str, Any], detail: str
) -> None:
    value = EVENT | fields
    outcome = rejected(value)
    assert outcome.detail.startswith(detail)
    assert (outcome.kind, orjson.loads(outcome.raw)) == ("calendar-event", value)


def test_an_event_needs_an_end() -> None:
    assert rejected({"id": "e1", "start": START}).detail == "end: Field required"


def test_a_removed_occurrence_needs_to_say_which_it_is() -> None:
    value = {"id": "e1_x", "status": "cancelled", "recurringEventId": "e1"}
    assert rejected(value).detail == "originalStartTime: Field required"


def test_a_rejected_event_is_known_by_its_id_where_it_has_one() -> None:
    outcome = rejected(EVENT | {"start": None})
    assert (outcome.external_id, outcome.item_id) == ("ann@example.com/e1", uid("e1"))
    assert rejected({}).item_id is None


def test_a_rejection_never_quotes_what_it_read() -> None:
    assert "hunter2" not in rejected(EVENT | {"start": {"dateTime": "hunter2"}, "summary": ["hunter2"]}).detail


def test_an_event_larger_than_a_change_may_be_is_rejected() -> None:
    for fields in ({"description": "x" * MAX_SNAPSHOT_BYTES}, {"extendedProperties": {"x": "y" * MAX_SNAPSHOT_BYTES}}):
        assert rejected(EVENT | fields).detail == "item: larger than 262144 bytes"


@pytest.mark.parametrize("depth", [300, 1000])
def test_an_event_too_deep_to_be_written_again_is_rejected(depth: int) -> None:
    deep = orjson.loads(b"[" * depth + b"]" * depth)
    for value in (EVENT | {"x": deep}, EVENT | {"etag": deep}, {"id": "e1", "status": "cancelled", "x": deep}):
        assert (rejected(value).detail, rejected(value).raw) == ("item: nested too deeply", b"")


def test_an_item_is_never_deeper_than_can_be_written() -> None:
    for depth in range(240, 256):
        deep = orjson.loads(b"[" * depth + b"]" * depth)
        outcome = derive_event(EVENT | {"x": deep, "extendedProperties": {"private": {"x": deep}}}, ANN, IDS)
        assert isinstance(outcome, Rejected) or orjson.dumps(outcome.snapshot)


def test_nul_is_dropped_from_text_and_names_since_the_database_stores_none() -> None:
    value = EVENT | {"summary": "Re\0view", "extendedProperties": {"private": {"k\0": ["v\0"]}}}
    item = snapshot(value)
    assert item["title"] == "Review"
    assert item["google.com:more"]["extendedProperties"] == {"private": {"k": ["v"]}}


@pytest.mark.parametrize("value", [None, 5, "x", [], [EVENT], True, 1.5])
def test_what_is_no_object_is_rejected(value: object) -> None:
    assert rejected(value).external_id is None


# Any value ------------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
ZONES = st.sampled_from(["Europe/Madrid", "America/New_York", "Pacific/Kiritimati", "Etc/UTC", "Mars"]) | st.text()
CLOCK = st.sampled_from(["00:00:00", "02:30:00", "23:59:59.999999", "23:59:60", "24:00:00"])
DAYS = st.dates().map(str) | st.sampled_from(["0001-01-01", "9999-12-31", "2026-03-29", "2026-10-25", "2026-02-30"])
OFFSETS = st.sampled_from(["", "Z", "+14:00", "-12:00", "+05:45", "+23:59"])
TIMES = st.builds("{}T{}{}".format, DAYS, CLOCK, OFFSETS)
WHENS = (
    st.fixed_dictionaries({"date": DAYS})
    | st.fixed_dictionaries({"dateTime": TIMES}, optional={"timeZone": ZONES})
    | st.fixed_dictionaries({}, optional={"date": DAYS | JSON, "dateTime": TIMES | JSON, "timeZone": ZONES | JSON})
)
PEOPLE = st.fixed_dictionaries(
    {},
    optional={
        "email": st.sampled_from(["a@x", "A@x", "b@x", ""]) | JSON,
        "organizer": st.booleans(),
        "responseStatus": st.sampled_from(["accepted", "needsAction"]) | st.text(),
        "id": st.text(max_size=2),
        "x": JSON,
    },
)
LINES = st.lists(
    st.sampled_from(["RRULE:FREQ=DAILY;COUNT=3", "EXDATE;VALUE=DATE:20260101", "RDATE:20260101T000000Z"]) | st.text()
)
SHAPES = st.fixed_dictionaries(
    {"id": st.sampled_from(["e1", "e2"]) | st.text()},
    optional={
        "status": st.sampled_from(["confirmed", "tentative", "cancelled"]) | st.text(),
        "recurringEventId": st.just("e1") | JSON,
        "start": WHENS,
        "end": WHENS,
        "originalStartTime": WHENS,
        "recurrence": LINES,
        "attendees": st.lists(PEOPLE, max_size=4),
        "organizer": PEOPLE,
        "reminders": st.fixed_dictionaries(
            {"overrides": st.lists(st.fixed_dictionaries({"minutes": st.integers(-1, 40321)}))}
        ),
        "conferenceData": st.just(CONFERENCE) | JSON,
        "extendedProperties": JSON,
    },
)
FIELDS = st.dictionaries(st.sampled_from([*EVENT, "recurringEventId", "attendees", "recurrence"]), JSON, max_size=4)
CALENDARS = st.builds(Calendar, st.just("ann@example.com"), st.none() | ZONES, st.booleans())


@given(JSON | SHAPES | st.builds(lambda shape, fields: EVENT | shape | fields, SHAPES, FIELDS), CALENDARS)
def test_every_json_value_ends_as_an_item_or_a_rejection_that_can_be_stored(value: object, calendar: Calendar) -> None:
    outcome = derive_event(value, calendar, IDS)
    match outcome:
        case Observed(snapshot=dict() as item):
            assert b"\\u0000" not in orjson.dumps(item)
            assert Event.model_validate(item).snapshot() == item
        case Observed():
            pass
        case Rejected():
            assert outcome.raw == orjson.dumps(value)
            assert "\0" not in outcome.detail + (outcome.external_id or "")


@given(JSON | st.dictionaries(st.sampled_from([*ENTRY, "deleted"]), JSON).map(lambda fields: ENTRY | fields))
def test_every_json_value_ends_as_a_calendar_or_a_rejection_that_can_be_stored(value: object) -> None:
    match derive_calendar(value, IDS):
        case Observed(snapshot=item):
            assert b"\\u0000" not in orjson.dumps(item)
        case Rejected() as outcome:
            assert outcome.raw == orjson.dumps(value)
            assert "\0" not in outcome.detail + (outcome.external_id or "")


@given(SHAPES.map(lambda shape: EVENT | shape), JSON.filter(lambda value: b"\\u0000" not in orjson.dumps(value)))
def test_nothing_that_google_says_of_an_event_is_dropped(value: dict[str, Any], unknown: object) -> None:
    outcome = derive_event(value | {"status": "confirmed", "unknown": unknown}, ANN, IDS)
    if isinstance(outcome, Rejected):
        return
    item = outcome.snapshot
    assert item is not None
    assert item["google.com:more"]["unknown"] == unknown
    emails = {one.get("email") for one in value.get("attendees", []) if one.get("email")}
    assert emails <= {one.get("email") for one in item.get("participants", {}).values()}
    assert item.get("google.com:recurrence", []) == [line.replace("\0", "") for line in value.get("recurrence", [])]
