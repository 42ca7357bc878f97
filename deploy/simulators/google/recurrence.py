"""When a series occurs, on its own clock. Pure. What cannot be worked out is not refused: Google keeps such lines, too."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from itertools import islice
from typing import Any, Final

from deploy.simulators.google.times import local, zone

Entity = dict[str, Any]
MOST: Final = 20_000
"""Occurrences that are looked at; whoever asks for a later one is believed."""

RULES: Final = import_module("dateutil.rrule")  # it comes without types

_UNTIL = re.compile(r"UNTIL=(\d{8}T\d{6}Z)")
_VALUE = re.compile(r"(\d{8})(T\d{6})?(Z)?")


def occurrences(series: Entity) -> Iterator[datetime] | None:
    """The local starts of a series in order; None where its lines cannot be worked out."""
    start = local(series["start"])
    clock = series["start"].get("timeZone", "UTC")
    try:
        rules = RULES.rruleset()
        rules.rdate(start)
        for line in series["recurrence"]:
            _add(rules, line, start, clock)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None
    found: Iterator[datetime] = iter(rules)
    return found


def occurs(series: Entity, at: datetime) -> bool:
    """Whether a series has an occurrence that begins then, on its own clock."""
    found = occurrences(series)
    if found is None:
        return True
    for occurrence in islice(found, MOST):
        if occurrence >= at:
            return occurrence == at
    return next(found, None) is not None


def _add(rules: Any, line: str, start: datetime, clock: str) -> None:
    name, _, value = line.partition(":")
    kind = name.partition(";")[0].upper()
    if kind in ("RRULE", "EXRULE"):
        plain = _UNTIL.sub(lambda found: f"UNTIL={_local(found[1], clock):%Y%m%dT%H%M%S}", value)
        rule = RULES.rrulestr(plain, dtstart=start)
        rules.rrule(rule) if kind == "RRULE" else rules.exrule(rule)
    elif kind in ("RDATE", "EXDATE"):
        given = re.search(r"TZID=([^;:]+)", name)
        for one in value.split(","):
            at = _local(one, clock, given[1] if given else clock)
            rules.rdate(at) if kind == "RDATE" else rules.exdate(at)
    else:
        raise ValueError(line)


def _local(text: str, clock: str, spoken: str | None = None) -> datetime:
    """A date or time of a recurrence line on the clock of the series; `spoken` is the zone of one without `Z`."""
    found = _VALUE.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    at = datetime.strptime(found[1] + (found[2] or "T000000"), "%Y%m%dT%H%M%S")  # noqa: DTZ007 - on a clock of its own
    if found[2] and found[3]:
        at = at.replace(tzinfo=UTC).astimezone(zone(clock)).replace(tzinfo=None)
    elif found[2] and spoken and spoken != clock:
        at = at.replace(tzinfo=zone(spoken)).astimezone(zone(clock)).replace(tzinfo=None)
    return at
