"""The recurrence of an event (RFC 5545 §3.8.5) as RFC 8984 tells it (§4.3). Pure; no rule is ever expanded.

A line is told whole or not at all: one that JSCalendar cannot hold, or that makes no sense, is left to the property that
keeps the lines as they came.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, Final

from icalendar import vDDDTypes, vRecur
from icalendar.parser import Contentline

from processors.derive import times
from schemas.item import NDay, Override, RecurrenceRule

MAX_CHARACTERS: Final = 64 << 10
"""Of all lines together. Longer ones are not read: the dates of ten years of working days are half of it."""

MAX_VALUES: Final = 1000
"""In one part of a rule: more than any period has days, or numbered days of the week."""


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Rules, excluded rules, and the occurrences that are named, by their time: added or `excluded`."""

    rules: list[RecurrenceRule] = field(default_factory=list)
    excluded_rules: list[RecurrenceRule] = field(default_factory=list)
    overrides: dict[str, Override] = field(default_factory=dict)
    excluded: dict[str, Override] = field(default_factory=dict)


_read: Callable[[str], Contentline] = Contentline.from_ical


class _Unheld(Exception):
    """JSCalendar has no words for it."""


def recurrence(lines: Sequence[str], zone: tzinfo | None) -> Recurrence:
    """What the lines of a series say whose times are told in `zone`, or that consists of days where it is None."""
    told = Recurrence()
    if sum(map(len, lines)) <= MAX_CHARACTERS:
        for line in lines:
            with suppress(_Unheld, ValueError, OverflowError):
                _tell(line, zone, told)
    told.overrides.update(told.excluded)  # what is excluded does not take place, though it was added, too
    return told


def _tell(line: str, zone: tzinfo | None, told: Recurrence) -> None:
    if any(end in line for end in "\r\n"):
        raise _Unheld
    name, parameters, value = _read(line).parts()
    match name.upper():
        case "RRULE":
            told.rules.append(_rule(value, zone))
        case "EXRULE":
            told.excluded_rules.append(_rule(value, zone))
        case "RDATE":
            told.overrides.update(_dates(value, parameters, zone))
        case "EXDATE":
            told.excluded.update(dict.fromkeys(_dates(value, parameters, zone), Override(excluded=True)))


_NUMBERS: Final = {
    "BYMONTHDAY": ("by_month_day", range(1, 32), True),
    "BYYEARDAY": ("by_year_day", range(1, 367), True),
    "BYWEEKNO": ("by_week_no", range(1, 54), True),
    "BYSETPOS": ("by_set_position", range(1, 367), True),
    "BYHOUR": ("by_hour", range(24), False),
    "BYMINUTE": ("by_minute", range(60), False),
    "BYSECOND": ("by_second", range(61), False),
}
"""The parts that are lists of numbers: property, what they may be, and whether they may count from the end, too."""

_SINGLE: Final = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "RSCALE", "SKIP")
_PARTS: Final = frozenset((*_SINGLE, *_NUMBERS, "BYDAY", "BYMONTH"))
_BELOW_A_DAY: Final = frozenset(("BYHOUR", "BYMINUTE", "BYSECOND"))
_NEVER_WITH: Final = {
    "BYWEEKNO": ("MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"),
    "BYYEARDAY": ("MONTHLY", "WEEKLY", "DAILY"),
    "BYMONTHDAY": ("WEEKLY",),
}
"""RFC 5545 §3.3.10."""


def _rule(text: str, zone: tzinfo | None) -> RecurrenceRule:
    parts: Mapping[str, list[Any]] = vRecur.from_ical(text)
    _check(parts, text, zone)
    single = {name: parts[name][0] for name in _SINGLE if name in parts}
    frequency = str(single["FREQ"])
    return RecurrenceRule.model_validate(
        {
            "frequency": frequency.lower(),
            "interval": single.get("INTERVAL"),
            "rscale": str(single["RSCALE"]).lower() if "RSCALE" in single else None,
            "skip": str(single["SKIP"].value).lower() if "SKIP" in single else None,
            "first_day_of_week": str(single["WKST"]).lower() if "WKST" in single else None,
            "by_day": [_day(day, frequency) for day in parts["BYDAY"]] if "BYDAY" in parts else None,
            "by_month": [_month(month) for month in parts["BYMONTH"]] if "BYMONTH" in parts else None,
            "count": single.get("COUNT"),
            "until": _until(single["UNTIL"], zone) if "UNTIL" in single else None,
        }
        | {_NUMBERS[name][0]: _numbers(name, parts[name]) for name in _NUMBERS if name in parts}
    )


def _check(parts: Mapping[str, list[Any]], text: str, zone: tzinfo | None) -> None:
    """What RFC 5545 §3.3.10 demands of a rule as a whole. The parser keeps the last of two parts of a name."""
    written = [part for part in text.split(";") if part]
    frequency = [str(one) for one in parts.get("FREQ", ())]
    below_a_day = not _BELOW_A_DAY.isdisjoint(parts) or not {"HOURLY", "MINUTELY", "SECONDLY"}.isdisjoint(frequency)
    if (
        len(frequency) != 1
        or len(written) != len(parts)
        or not _PARTS.issuperset(parts)
        or any(len(values) > MAX_VALUES or (name in _SINGLE and len(values) != 1) for name, values in parts.items())
        or ("COUNT" in parts and "UNTIL" in parts)
        or any(name in parts and frequency[0] in never for name, never in _NEVER_WITH.items())
        or (zone is None and below_a_day)
    ):
        raise _Unheld


def _numbers(name: str, values: Sequence[Any]) -> list[int]:
    _, allowed, signed = _NUMBERS[name]
    numbers = [int(value) for value in values]
    if any((abs(number) if signed else number) not in allowed for number in numbers):
        raise _Unheld
    return numbers


def _day(day: Any, frequency: str) -> NDay:
    nth: int | None = day.relative
    if len(day) > len("MO") and (frequency not in ("MONTHLY", "YEARLY") or not nth or abs(nth) > 53):
        raise _Unheld
    return NDay.model_validate({"day": str(day.weekday).lower(), "nth_of_period": nth})


def _month(month: Any) -> str:
    """A leap month of another calendar than ours carries an L (RFC 7529)."""
    if not 1 <= int(month) <= 13:
        raise _Unheld
    return str(month)


def _until(until: date, zone: tzinfo | None) -> str:
    """The last moment of a rule. A day in a rule of times, and a time in one of days, occur: what they mean is plain."""
    if isinstance(until, datetime):
        return _local(until, zone) if zone else f"{until.date().isoformat()}T00:00:00"
    return f"{until.isoformat()}T23:59:59" if zone else f"{until.isoformat()}T00:00:00"


def _dates(value: str, parameters: Mapping[str, Any], zone: tzinfo | None) -> dict[str, Override]:
    name = next((str(text) for key, text in parameters.items() if key.upper() == "TZID"), None)
    written_in = times.zone(name) if name else zone
    if name and written_in is None:
        raise _Unheld
    return dict(_occurrence(one, written_in, zone) for one in map(vDDDTypes.from_ical, value.split(",")))


def _occurrence(one: object, written_in: tzinfo | None, zone: tzinfo | None) -> tuple[str, Override]:
    match one:
        case (datetime() as start, datetime() | timedelta() as end) if zone:
            start, end = _placed(start, written_in), _placed(end, written_in) if isinstance(end, datetime) else end
            length = end if isinstance(end, timedelta) else times.elapsed(start, end)
            return _local(start, zone), Override(duration=times.duration(length))
        case datetime() if zone:
            return _local(_placed(one, written_in), zone), Override()
        case date() if zone is None and not isinstance(one, datetime):
            return f"{one.isoformat()}T00:00:00", Override()
    raise _Unheld


def _placed(at: datetime, zone: tzinfo | None) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=zone)


def _local(at: datetime, zone: tzinfo) -> str:
    """A time in the zone of the series. Where that has no such year, as it was written: the end of all time is meant."""
    if at.tzinfo is not None:
        with suppress(OverflowError):
            at = at.astimezone(zone)
    return times.text_of(at.replace(tzinfo=None))
