"""Lines of RFC 5545 are told as RFC 8984 tells them, whole or not at all, and never expanded."""

import time
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.derive.google_recurrence import MAX_CHARACTERS, MAX_VALUES, Recurrence, recurrence

MADRID = ZoneInfo("Europe/Madrid")
NOTHING: dict[str, Any] = {}


def rule(text: str, zone: ZoneInfo | None = MADRID) -> dict[str, Any]:
    """What one RRULE says; nothing where it is not told."""
    told = recurrence([f"RRULE:{text}"], zone)
    assert (told.excluded_rules, told.overrides) == ([], {})
    return told.rules[0].snapshot() if told.rules else NOTHING


def dates(*lines: str, zone: ZoneInfo | None = MADRID) -> dict[str, Any]:
    told = recurrence(lines, zone)
    assert (told.rules, told.excluded_rules) == ([], [])
    return {at: override.snapshot() for at, override in told.overrides.items()}


def day(name: str, nth: int | None = None) -> dict[str, Any]:
    return {"@type": "NDay", "day": name} | ({"nthOfPeriod": nth} if nth else {})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("FREQ=DAILY", {"frequency": "daily"}),
        ("FREQ=SECONDLY;INTERVAL=90", {"frequency": "secondly", "interval": 90}),
        ("freq=weekly;byday=mo,fr", {"frequency": "weekly", "byDay": [day("mo"), day("fr")]}),
        (
            "FREQ=WEEKLY;INTERVAL=2;WKST=SU;COUNT=10",
            {"frequency": "weekly", "interval": 2, "firstDayOfWeek": "su", "count": 10},
        ),
        (
            "FREQ=MONTHLY;BYDAY=-1FR,+2MO,3TU",
            {"frequency": "monthly", "byDay": [day("fr", -1), day("mo", 2), day("tu", 3)]},
        ),
        ("FREQ=MONTHLY;BYMONTHDAY=1,-1", {"frequency": "monthly", "byMonthDay": [1, -1]}),
        ("FREQ=YEARLY;BYMONTH=2,11;BYMONTHDAY=29", {"frequency": "yearly", "byMonth": ["2", "11"], "byMonthDay": [29]}),
        (
            "FREQ=YEARLY;BYYEARDAY=1,-366;BYSETPOS=-1",
            {"frequency": "yearly", "byYearDay": [1, -366], "bySetPosition": [-1]},
        ),
        ("FREQ=YEARLY;BYWEEKNO=20,-53", {"frequency": "yearly", "byWeekNo": [20, -53]}),
        (
            "FREQ=DAILY;BYHOUR=0,23;BYMINUTE=59;BYSECOND=60",
            {"frequency": "daily", "byHour": [0, 23], "byMinute": [59], "bySecond": [60]},
        ),
        (
            "RSCALE=CHINESE;FREQ=YEARLY;SKIP=FORWARD;BYMONTH=5L",
            {"frequency": "yearly", "rscale": "chinese", "skip": "forward", "byMonth": ["5L"]},
        ),
        ("FREQ=DAILY;COUNT=2147483647", {"frequency": "daily", "count": 2147483647}),
        ("FREQ=DAILY;", {"frequency": "daily"}),
    ],
)
def test_every_part_of_a_rule_has_its_property(text: str, told: dict[str, Any]) -> None:
    assert rule(text) == {"@type": "RecurrenceRule"} | told


@pytest.mark.parametrize(
    ("until", "zone", "local"),
    [
        ("20260701T080000Z", "Europe/Madrid", "2026-07-01T10:00:00"),
        ("20260101T080000Z", "Europe/Madrid", "2026-01-01T09:00:00"),
        ("20260701T235959Z", "Asia/Tokyo", "2026-07-02T08:59:59"),
        ("20260701T100000", "Asia/Tokyo", "2026-07-01T10:00:00"),
        ("20260701", "Asia/Tokyo", "2026-07-01T23:59:59"),
        ("20260701", None, "2026-07-01T00:00:00"),
        ("20260701T235959Z", None, "2026-07-01T00:00:00"),
        ("99991231T235959Z", "Asia/Tokyo", "9999-12-31T23:59:59"),
        ("00010101T000000Z", "America/New_York", "0001-01-01T00:00:00"),
    ],
)
def test_the_end_of_a_rule_is_local(until: str, zone: str | None, local: str) -> None:
    assert rule(f"FREQ=DAILY;UNTIL={until}", ZoneInfo(zone) if zone else None)["until"] == local


@pytest.mark.parametrize(
    "text",
    [
        "",
        "FREQ",
        "COUNT=3",
        "FREQ=",
        "FREQ=FORTNIGHTLY",
        "FREQ=DAILY,WEEKLY",
        "FREQ=DAILY;FREQ=WEEKLY",
        "FREQ=DAILY;COUNT",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;COUNT=-1",
        "FREQ=DAILY;COUNT=1,2",
        "FREQ=DAILY;COUNT=99999999999999999999",
        "FREQ=DAILY;COUNT=3;UNTIL=20260701T080000Z",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=x",
        "FREQ=DAILY;UNTIL=20260230",
        "FREQ=DAILY;UNTIL=20161231T235960Z",
        "FREQ=DAILY;UNTIL=soon",
        "FREQ=DAILY;X-EVERY=THIRD",
        "FREQ=DAILY;BYEASTER=1",
        "FREQ=WEEKLY;BYDAY=1MO",
        "FREQ=MONTHLY;BYDAY=0MO",
        "FREQ=YEARLY;BYDAY=54MO",
        "FREQ=WEEKLY;BYDAY=XX",
        "FREQ=WEEKLY;WKST=2MO",
        "FREQ=WEEKLY;BYMONTHDAY=1",
        "FREQ=MONTHLY;BYMONTHDAY=0",
        "FREQ=MONTHLY;BYMONTHDAY=32",
        "FREQ=MONTHLY;BYYEARDAY=1",
        "FREQ=MONTHLY;BYWEEKNO=1",
        "FREQ=YEARLY;BYYEARDAY=367",
        "FREQ=YEARLY;BYWEEKNO=-54",
        "FREQ=YEARLY;BYMONTH=14",
        "FREQ=YEARLY;BYMONTH=0",
        "FREQ=YEARLY;BYSETPOS=0",
        "FREQ=DAILY;BYHOUR=24",
        "FREQ=DAILY;BYHOUR=-1",
        "FREQ=DAILY;BYMINUTE=60",
        "FREQ=DAILY;BYSECOND=61",
        "FREQ=DAILY;SKIP=SIDEWAYS",
        "FREQ=WEEKLY;BYDAY=" + ",".join(["MO"] * (MAX_VALUES + 1)),
        "FREQ=DAILY;" * 3000,
    ],
)
def test_a_rule_that_makes_no_sense_is_not_told(text: str) -> None:
    assert rule(text) == NOTHING


@pytest.mark.parametrize("text", ["FREQ=HOURLY", "FREQ=DAILY;BYHOUR=3", "FREQ=SECONDLY", "FREQ=DAILY;BYSECOND=1"])
def test_days_recur_by_days(text: str) -> None:
    assert rule(text, None) == NOTHING
    assert rule(text, MADRID) != NOTHING


def test_a_rule_that_takes_away_is_one_of_its_own() -> None:
    told = recurrence(["RRULE:FREQ=DAILY", "EXRULE:FREQ=WEEKLY;BYDAY=SU"], MADRID)
    assert [r.frequency for r in told.rules] == ["daily"]
    assert [r.frequency for r in told.excluded_rules] == ["weekly"]


def test_one_line_that_cannot_be_told_does_not_hide_the_others() -> None:
    told = recurrence(["RRULE:FREQ=FORTNIGHTLY", "", ":", "DTSTART:20260101", "RRULE:FREQ=DAILY", "x" * 100], MADRID)
    assert [r.frequency for r in told.rules] == ["daily"]


@pytest.mark.parametrize(
    ("line", "local"),
    [
        ("RDATE:20260520T080000Z", ["2026-05-20T10:00:00"]),
        ("RDATE:20260520T100000", ["2026-05-20T10:00:00"]),
        ("RDATE;TZID=America/New_York:20260520T040000,20261220T040000", ["2026-05-20T10:00:00", "2026-12-20T10:00:00"]),
        ('rdate;tzid="Europe/London":20260520T090000', ["2026-05-20T10:00:00"]),
        ("RDATE;VALUE=DATE-TIME:20260520T080000Z", ["2026-05-20T10:00:00"]),
        ("RDATE;TZID=Asia/Tokyo:99991231T235959", ["9999-12-31T15:59:59"]),
    ],
)
def test_occurrences_are_added_in_local_time(line: str, local: list[str]) -> None:
    assert dates(line) == {at: {} for at in local}
    assert dates(line.replace("RDATE", "EXDATE").replace("rdate", "exdate")) == {at: {"excluded": True} for at in local}


def test_days_are_added_and_left_out_as_days() -> None:
    assert dates("RDATE;VALUE=DATE:20260520,20260522", "EXDATE:20260527", zone=None) == {
        "2026-05-20T00:00:00": {},
        "2026-05-22T00:00:00": {},
        "2026-05-27T00:00:00": {"excluded": True},
    }


@pytest.mark.parametrize(
    ("period", "duration"),
    [
        ("20260520T080000Z/PT3H", "PT3H"),
        ("20260520T080000Z/20260520T093000Z", "PT1H30M"),
        ("20260520T100000/P1D", "PT24H"),
    ],
)
def test_an_occurrence_may_have_a_length_of_its_own(period: str, duration: str) -> None:
    assert dates(f"RDATE;VALUE=PERIOD:{period}") == {"2026-05-20T10:00:00": {"duration": duration}}


def test_what_is_added_and_left_out_is_left_out() -> None:
    for lines in (("RDATE:20260520T080000Z", "EXDATE:20260520T080000Z"),) * 2:
        assert dates(*lines) == dates(*reversed(lines)) == {"2026-05-20T10:00:00": {"excluded": True}}


@pytest.mark.parametrize(
    ("line", "zone"),
    [
        ("EXDATE;VALUE=DATE:20260520", MADRID),
        ("EXDATE:20260520T080000Z", None),
        ("EXDATE;TZID=Mars/Olympus:20260520T080000", MADRID),
        ("RDATE;TZID=:20260520T080000", None),
        ("RDATE:20260520T080000Z,never", MADRID),
        ("RDATE:PT1H", MADRID),
        ("RDATE:", MADRID),
        ("RDATE;VALUE=PERIOD:20260520T080000Z/PT3H", None),
        ("RDATE;VALUE=PERIOD:20260520T080000Z/-PT3H", MADRID),
        ("RDATE;VALUE=PERIOD:20260520T080000Z/20260519T080000Z", MADRID),
        ("RDATE:00000520T080000Z", MADRID),
        ("RDATE:20260520T080000Z\r\nRRULE:FREQ=DAILY", MADRID),
    ],
)
def test_a_list_that_makes_no_sense_here_is_not_told(line: str, zone: ZoneInfo | None) -> None:
    assert dates(line, zone=zone) == {}


def test_lines_without_end_are_not_read() -> None:
    lines = ["EXDATE:" + ",".join(["20260520T080000Z"] * 100)] * (MAX_CHARACTERS // 1700 + 1)
    assert sum(map(len, lines)) > MAX_CHARACTERS
    assert recurrence(lines, MADRID) == Recurrence()


@pytest.mark.parametrize(
    "line",
    [
        "RRULE:FREQ=SECONDLY;UNTIL=99991231T235959Z;BYSECOND=" + ",".join(map(str, range(60))),
        "RRULE:FREQ=DAILY;COUNT=2147483647",
        "RRULE:" + "FREQ=DAILY;" * 5000,
        "RRULE:FREQ=DAILY;BYMONTHDAY=" + "1," * 30000,
        "EXDATE:" + "20260520T080000Z," * 3800,
        "RDATE;TZID=" + '"' + "a" * 60000 + '":20260520T080000',
        "RDATE" + ";A=B" * 15000 + ":20260520T080000",
    ],
)
def test_no_line_takes_long(line: str) -> None:
    assert len(line) <= MAX_CHARACTERS
    began = time.process_time()
    recurrence([line], MADRID)
    assert time.process_time() - began < 2


BITS = st.sampled_from(
    [
        "FREQ",
        "=",
        "DAILY",
        "WEEKLY",
        ";",
        "UNTIL",
        "20260101",
        "T000000",
        "Z",
        ",",
        "BYDAY",
        "MO",
        "-1",
        "+",
        "0",
        "99",
        "COUNT",
        "BYMONTH",
        "5L",
        "RSCALE",
        "SKIP",
        "OMIT",
        "WKST",
        "RRULE:",
        "EXDATE:",
        "RDATE;",
        "TZID=",
        "VALUE=PERIOD",
        ":",
        "/",
        "PT1H",
        "P1W",
        "-PT1H",
        "00000101T000000Z",
        "99991231T235959Z",
        "20161231T235960Z",
    ]
) | st.sampled_from(['"', "\\", "\0", "\n", "\r\n", "é", "^n", "%2C", " "])


@given(st.lists(st.lists(BITS, max_size=10).map("".join) | st.text(), max_size=3), st.sampled_from([MADRID, None]))
def test_any_lines_are_told_or_left(lines: list[str], zone: ZoneInfo | None) -> None:
    told = recurrence(lines, zone)
    assert len(told.rules) + len(told.excluded_rules) <= len(lines)


@given(st.lists(BITS, max_size=8).map("".join))
def test_any_rule_that_is_told_says_what_its_line_says(text: str) -> None:
    for told in (rule(f"FREQ=DAILY;{text}"), rule(f"FREQ=YEARLY;INTERVAL=3;{text}")):
        assert told == NOTHING or told["frequency"] in ("daily", "yearly")
