"""Times and time zones as providers write them (RFC 3339) and as items tell them (RFC 8984 §1.4). Pure, without a clock."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

UNKNOWN: Final = "Etc/UTC"
"""Where a time is told whose own zone nobody knows."""

_WRITTEN = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:)(\d\d)(\.\d+)?(?:([Zz])|([+-])(\d\d):(\d\d))?", re.ASCII)
_LENGTH_OF_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Written:
    """A time as it was written: `at` is naive, `offset` None where none stands there.

    `exact` is false for a leap second, which no datetime can be; `at` is the second after it.
    """

    at: datetime
    offset: timedelta | None
    exact: bool


def read(text: str) -> Written:
    """An RFC 3339 time, whose offset may be missing. Raises ValueError for anything else."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise ValueError("is not an RFC 3339 time")
    day, minute, second, fraction, zulu, sign, hours, minutes = match.groups()
    leap = second == "60"
    try:
        at = datetime.fromisoformat(f"{day}T{minute}{'59' if leap else second}{(fraction or '')[:7]}")
        at += timedelta(seconds=int(leap))
    except (ValueError, OverflowError):
        raise ValueError("is not an RFC 3339 time") from None
    if sign is None:
        return Written(at, timedelta() if zulu else None, not leap)
    if hours > "23" or minutes > "59":
        raise ValueError("is not an RFC 3339 time")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return Written(at, -offset if sign == "-" else offset, not leap)


def utc(text: str) -> str:
    """An RFC 3339 time as RFC 8984's UTCDateTime (§1.4.4). Raises ValueError, also where UTC has no such year."""
    written = read(text)
    if written.offset is None:
        raise ValueError("is not an RFC 3339 time")
    try:
        return text_of(written.at - written.offset) + "Z"
    except OverflowError:
        raise ValueError("is not an RFC 3339 time") from None


def text_of(at: datetime) -> str:
    """RFC 8984 §1.4.4–5: a fraction of a second stands there only if it is not zero, without trailing zeros."""
    text = at.isoformat()
    return text.rstrip("0") if at.microsecond else text


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo | None:
    """The zone of an IANA name. Others are unknown, also those that only this machine's database happens to have."""
    if name not in _names():
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones() - {"Factory", "localtime"})


def fixed(offset: timedelta) -> tzinfo:
    """The zone that is always this far from UTC."""
    return timezone(offset) if offset else UTC


def elapsed(start: datetime, end: datetime) -> timedelta:
    """The real time between two aware times. Python's own difference is that of the clocks where they share a zone."""
    return end.replace(tzinfo=None) - start.replace(tzinfo=None) - (_offset(end) - _offset(start))


def _offset(at: datetime) -> timedelta:
    return at.utcoffset() or timedelta()


def duration(length: timedelta) -> str:
    """RFC 8984 §1.4.6, in hours and less: these are exact, where a day has as many hours as the calendar gives it.

    Raises ValueError for a negative one.
    """
    if length < timedelta():
        raise ValueError("is negative")
    minutes, seconds = divmod(length.days * _LENGTH_OF_A_DAY + length.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{length.microseconds:06d}".rstrip("0") if length.microseconds else ""
    tail = f"{seconds}{fraction}S" if seconds or fraction else ""
    if hours:
        return f"PT{hours}H" + (f"{minutes}M{tail}" if minutes or tail else "")
    return "PT" + (f"{minutes}M{tail}" if minutes else tail or "0S")
