"""Due dates: the few due strings the simulator understands, and the next date of a recurring one. Pure."""

import re
from calendar import day_name, monthrange
from datetime import date, timedelta
from typing import Any

from deploy.simulators.todoist.account import invalid

WEEKDAYS = [name.lower() for name in day_name]
STRING = re.compile(
    r"(?:(?P<day>today|tomorrow|\d{4}-\d\d-\d\d)|every (?:(?P<count>[1-9]\d{0,2}) )?(?P<unit>\w+?)s?)"
    r"(?: at (?P<time>[01]\d:[0-5]\d|2[0-3]:[0-5]\d))?",
    re.IGNORECASE,
)
DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,6})?Z?)?")


def due(given: dict[str, Any] | None, today: date) -> dict[str, Any] | None:
    """The API's due object for what a client sent: `string`, or `date`. Raises `Refused` for what it cannot read.

    A recurring date can only be made through `string`, as at the provider.
    """
    if given is None:
        return None
    string, when, lang = given.get("string"), given.get("date"), given.get("lang") or "en"
    if isinstance(when, str) and _is_date(when):
        return _object(
            when,
            string if isinstance(string, str) else when,
            lang,
            given.get("timezone"),
            bool(given.get("is_recurring")),
        )
    if not isinstance(string, str) or not (words := STRING.fullmatch(string.strip())):
        raise invalid("due", "Date is invalid")
    first = _first(words, today)
    return _object(_with_time(first, words["time"]), string, lang, None, recurring=words["unit"] is not None)


def advanced(present: dict[str, Any], today: date) -> dict[str, Any]:
    """The due object after a recurring task was completed: its next date later than both the present one and today."""
    words = STRING.fullmatch(present["string"].strip())
    if words is None or words["unit"] is None:
        raise invalid("due", "Date is not recurring")
    current = date.fromisoformat(present["date"][:10])
    following = _step(current, words)
    while following <= today:
        following = _step(following, words)
    return present | {"date": following.isoformat() + present["date"][10:]}


def _is_date(text: str) -> bool:
    try:
        return DATE.fullmatch(text) is not None and bool(date.fromisoformat(text[:10]))
    except ValueError:
        return False


def _object(when: str, string: str, lang: str, timezone: Any, recurring: bool) -> dict[str, Any]:
    return {"date": when, "timezone": timezone, "string": string, "lang": lang, "is_recurring": recurring}


def _with_time(day: date, time: str | None) -> str:
    return f"{day.isoformat()}T{time}:00" if time else day.isoformat()


def _first(words: re.Match[str], today: date) -> date:
    if words["unit"]:
        unit = words["unit"].lower()
        if unit not in ("day", "week", "month", *WEEKDAYS):
            raise invalid("due", "Date is invalid")
        return today if unit not in WEEKDAYS else today + timedelta(days=(WEEKDAYS.index(unit) - today.weekday()) % 7)
    if not _is_date(words["day"]):
        return today + timedelta(days=1 if words["day"].lower() == "tomorrow" else 0)
    return date.fromisoformat(words["day"])


def _step(current: date, words: re.Match[str]) -> date:
    count, unit = int(words["count"] or 1), words["unit"].lower()
    if unit != "month":
        return current + timedelta(days=count if unit == "day" else 7 * count)
    year, month = divmod(current.year * 12 + current.month - 1 + count, 12)
    return current.replace(year=year, month=month + 1, day=min(current.day, monthrange(year, month + 1)[1]))
