"""What a subscriber must hold of Google's calendars, said by the simulator's own books and the contract, not by the code
that derives it."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from deploy.simulators.google import times
from deploy.simulators.google.simulator import Simulator
from outbox.connections import DEMO_TENANT
from schemas.identity import item_id
from schemas.providers import Kind
from tests.flow.books import Subscriber

Words = dict[str, Any]

FREE_BUSY: Final = {"opaque": "busy", "transparent": "free", None: None}
ANSWERS: Final = {
    "needsAction": "needs-action",
    "declined": "declined",
    "tentative": "tentative",
    "accepted": "accepted",
}
UNHELD: Final = ("iCalUID", "creator", "eventType", "colorId", "extendedProperties")
"""What JSCalendar, or the part of it that is used, has no property for."""
OF_ENTRIES: Final = ("id", "etag", "kind", "summary", "summaryOverride", "description", "timeZone", "backgroundColor")
"""What a collection tells of a calendar in properties, or not at all."""
UNTOLD: Final = "accessRole"
"""A role that alone changes is not told (calendarList.list, syncToken), so what is held of it may be older."""


def assert_same(
    subscriber: Subscriber, google: Simulator, account: str, connection: UUID, tenant: UUID = DEMO_TENANT
) -> None:
    """The items rebuilt from topics are the provider's present ones, field by field: nothing more and nothing less."""
    state: Any = google.read(account, ("state",))["state"]
    ids = _Ids(tenant, account)
    collections = subscriber.living("collection", connection)
    listed = {f"calendar/{entry['id']}": entry for entry in state["calendars"]}
    assert sorted(collections) == sorted(listed)
    for external_id, entry in listed.items():
        assert _told_collection(collections[external_id]) == _collection(entry), external_id
    events = subscriber.living("calendar-event", connection)
    there = {
        f"{calendar}/{event['id']}": (calendar, event) for calendar, found in state["events"].items() for event in found
    }
    assert sorted(events) == sorted(there)
    for external_id, (calendar, event) in there.items():
        assert _told(events[external_id]) == _event(event, calendar, ids), external_id
    resources = ["calendar/list", *(f"calendar/events/{entry['id']}" for entry in state["calendars"])]
    assert sorted(subscriber.living("sync", connection)) == sorted(resources)


class _Ids:
    def __init__(self, tenant: UUID, account: str) -> None:
        self._tenant, self._account = tenant, account

    def of(self, kind: Kind, external_id: str) -> str:
        return str(item_id(self._tenant, "google", self._account, kind, external_id))


# Calendars ------------------------------------------------------------------------------------------------------------


def _told_collection(item: Words) -> Words:
    more = {name: value for name, value in item.get("google.com:more", {}).items() if name != UNTOLD}
    return {name: item.get(name) for name in ("role", "name", "description", "timeZone", "color")} | {"more": more}


def _collection(entry: Words) -> Words:
    own = {"summary": entry["summary"]} if entry.get("summaryOverride") else {}
    return {
        "role": "calendar",
        "name": entry.get("summaryOverride") or entry["summary"],
        "description": entry.get("description"),
        "timeZone": entry["timeZone"],
        "color": entry["backgroundColor"],
        "more": own | {name: value for name, value in entry.items() if name not in (*OF_ENTRIES, UNTOLD)},
    }


# Events ---------------------------------------------------------------------------------------------------------------


def _told(item: Words) -> Words:
    """An item in the order of `_event`, without the names under which its parts stand."""
    plain = (
        "uid", "title", "description", "created", "updated", "sequence", "start", "timeZone", "duration",
        "showWithoutTime", "status", "freeBusyStatus", "privacy", "useDefaultAlerts", "recurrenceId",
        "recurrenceIdTimeZone", "excluded", "google.com:calendar", "google.com:recurrence",
    )  # fmt: skip
    return {name: item.get(name) for name in plain} | {
        "places": sorted(place["name"] for place in item.get("locations", {}).values() if "name" in place),
        "meetings": sorted(meeting["uri"] for meeting in item.get("virtualLocations", {}).values()),
        "page": [link["href"] for link in item.get("links", {}).values() if link["rel"] == "alternate"],
        "people": sorted(
            (one["email"], one.get("participationStatus"), sorted(one["roles"]))
            for one in item.get("participants", {}).values()
        ),
        "alerts": sorted((one["action"], one["trigger"]["offset"]) for one in item.get("alerts", {}).values()),
        "rules": [_told_rule(rule) for rule in item.get("recurrenceRules", ())],
        "more": item.get("google.com:more", {}),
    }


def _event(event: Words, calendar: str, ids: _Ids) -> Words:
    if event["status"] == "cancelled":
        return _removed(event, calendar, ids)
    start, end, original = event["start"], event["end"], event.get("originalStartTime")
    own = event["recurringEventId"] if original else event["id"]
    reminders, conference = event.get("reminders", {}), event.get("conferenceData", {})
    nothing: Words = {
        "uid": ids.of("calendar-event", f"{calendar}/{own}"),
        "title": event.get("summary", ""),
        "description": event.get("description"),
        "created": _moment(event.get("created")),
        "updated": _moment(event.get("updated")),
        "sequence": event.get("sequence"),
        "start": _local(start),
        "timeZone": start.get("timeZone"),
        "duration": _length(start, end),
        "showWithoutTime": True if "date" in start else None,
        "status": event["status"],
        "freeBusyStatus": FREE_BUSY[event.get("transparency")],
        "privacy": event.get("visibility"),
        "useDefaultAlerts": reminders.get("useDefault") or None,
        "recurrenceId": _local(original) if original else None,
        "recurrenceIdTimeZone": original.get("timeZone") if original else None,
        "excluded": None,
        "google.com:calendar": ids.of("collection", f"calendar/{calendar}"),
        "google.com:recurrence": event.get("recurrence"),
        "places": [event["location"]] if "location" in event else [],
        "meetings": sorted(point["uri"] for point in conference.get("entryPoints", ())),
        "page": [event["htmlLink"]] if "htmlLink" in event else [],
        "people": _people(event),
        "alerts": sorted(("display", f"-PT{one['minutes']}M") for one in reminders.get("overrides", ())),
        "rules": [_rule(line, start) for line in event.get("recurrence", ())],
        "more": _more(event),
    }
    return nothing


def _removed(event: Words, calendar: str, ids: _Ids) -> Words:
    """An occurrence that does not take place: whose it is, and which; all else is not guaranteed."""
    original = event["originalStartTime"]
    nothing = {"uid": "", "title": "", "start": _local(original), "google.com:more": {}}
    return _told(nothing) | {
        "uid": ids.of("calendar-event", f"{calendar}/{event['recurringEventId']}"),
        "timeZone": original.get("timeZone"),
        "showWithoutTime": True if "date" in original else None,
        "recurrenceId": _local(original),
        "recurrenceIdTimeZone": original.get("timeZone"),
        "excluded": True,
        "google.com:calendar": ids.of("collection", f"calendar/{calendar}"),
    }


def _local(when: Words) -> str:
    return times.local(when).isoformat()


def _moment(written: str | None) -> str | None:
    """RFC 8984 §1.4.4: no zeros behind a fraction, and no fraction that is zero."""
    return None if written is None else f"{written.rstrip('Z').rstrip('0').rstrip('.')}Z" if "." in written else written


def _length(start: Words, end: Words) -> str:
    length = times.point(end) - times.point(start)
    if "date" in start:
        return f"P{length.days}D"
    hours, rest = divmod(length, timedelta(hours=1))
    minutes = rest // timedelta(minutes=1)
    return "PT" + (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "")


def _people(event: Words) -> list[tuple[str, str | None, list[str]]]:
    organizer = [(event["organizer"]["email"], None, ["owner"])] if "organizer" in event else []
    guests = [(one["email"], ANSWERS[one["responseStatus"]], ["attendee"]) for one in event.get("attendees", ())]
    return sorted([*organizer, *guests])


def _more(event: Words) -> Words:
    conference = {name: value for name, value in event.get("conferenceData", {}).items() if name != "entryPoints"}
    unheld = {name: event[name] for name in UNHELD if name in event}
    return unheld | ({"conferenceData": conference} if conference else {})


# Rules ----------------------------------------------------------------------------------------------------------------


def _told_rule(rule: Words) -> Words:
    days = sorted(f"{day.get('nthOfPeriod', '')}{day['day']}" for day in rule.get("byDay", ()))
    return {name: rule.get(name) for name in ("frequency", "interval", "count", "until")} | {"days": days}


def _rule(line: str, start: Words) -> Words:
    parts = dict(part.split("=") for part in line.removeprefix("RRULE:").split(";"))
    return {
        "frequency": parts["FREQ"].lower(),
        "interval": int(parts["INTERVAL"]) if "INTERVAL" in parts else None,
        "count": int(parts["COUNT"]) if "COUNT" in parts else None,
        "until": _until(parts["UNTIL"], start) if "UNTIL" in parts else None,
        "days": sorted(parts["BYDAY"].lower().split(",")) if "BYDAY" in parts else [],
    }


def _until(text: str, start: Words) -> str:
    day = f"{text[:4]}-{text[4:6]}-{text[6:8]}"
    if "date" in start:
        return f"{day}T00:00:00"
    instant = f"{day}T{text[9:11]}:{text[11:13]}:{text[13:15]}Z"
    return _local({"dateTime": instant, "timeZone": start["timeZone"]})
