"""Starts and ends as Google takes and shows them: days, or instants with the offset of the calendar's time zone. Pure."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from deploy.simulators.google.refused import Refused, bad_request, invalid, required

Entity = dict[str, Any]
UNIX_DAY: Final = date(1970, 1, 1)


def zone(name: str) -> ZoneInfo:
    """Raises `Refused` for one that is not in the IANA database."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Refused(400, "invalid", f"Invalid time zone definition: {name}") from None


def shown(at: datetime, name: str) -> str:
    """An instant with the offset it has in a zone; `Z` in UTC."""
    return at.astimezone(zone(name)).isoformat(timespec="seconds").replace("+00:00", "Z")


def normal(given: object, what: str, calendar_zone: str, *, recurs: bool) -> Entity:
    """A start or end as it is kept: `date`, or `dateTime` with the calendar's offset and `timeZone`. Raises `Refused`.

    The offset is the calendar's, whatever `timeZone` says: the local time there is for the reader to find.
    """
    if not isinstance(given, dict) or not (given.get("date") or given.get("dateTime")):
        raise required(f"Missing {what} time.")
    if given.get("date") and given.get("dateTime"):
        raise bad_request(f"Invalid {what} time.")
    if day := given.get("date"):
        return {"date": _day(day, what).isoformat()}
    name = given.get("timeZone")
    if recurs and not name:
        raise required(f"Missing time zone definition for {what} time.")
    return {
        "dateTime": shown(_instant(given["dateTime"], name, what), calendar_zone),
        "timeZone": name or calendar_zone,
    }


def check_order(start: Entity, end: Entity) -> None:
    """Raises `Refused` unless both are days or both instants, and the end is not before the start."""
    if ("date" in start) != ("date" in end):
        raise bad_request("Start and end times must either both be date or both be dateTime.")
    if point(end) < point(start):
        raise Refused(400, "timeRangeEmpty", "The specified time range is empty.", domain="calendar")


def point(when: Entity) -> datetime:
    """A start or end as an instant; a day as its midnight in UTC, good to compare with other days."""
    if "date" in when:
        return datetime.combine(date.fromisoformat(when["date"]), datetime.min.time(), UTC)
    return datetime.fromisoformat(when["dateTime"])


def local(when: Entity) -> datetime:
    """A start or end on its own clock, without a zone: what recurrence rules count in."""
    if "date" in when:
        return point(when).replace(tzinfo=None)
    return point(when).astimezone(zone(when["timeZone"])).replace(tzinfo=None)


def moved(when: Entity, to: datetime, calendar_zone: str) -> Entity:
    """The same kind of start or end at another time of its own clock."""
    if "date" in when:
        return {"date": to.date().isoformat()}
    instant = to.replace(tzinfo=zone(when["timeZone"]))
    return {"dateTime": shown(instant, calendar_zone), "timeZone": when["timeZone"]}


def stamp(start: Entity) -> str:
    """How an occurrence that begins so is named in its id."""
    if "date" in start:
        return str(start["date"]).replace("-", "")
    return point(start).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def length(event: Entity) -> timedelta:
    return point(event["end"]) - point(event["start"])


def _day(text: object, what: str) -> date:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        raise invalid(f"{what}.date") from None


def _instant(text: object, name: str | None, what: str) -> datetime:
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        raise invalid(f"{what}.dateTime") from None
    if at.tzinfo is None:
        if not name:
            raise required(f"Missing time zone definition for {what} time.")
        at = at.replace(tzinfo=zone(name))
    elif name:
        zone(name)
    return at
