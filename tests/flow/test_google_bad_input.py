"""Events that no calendar promised: what can be told is told whole, what cannot is set aside, and its neighbours go on."""

from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest

from outbox.vault import Vault
from processors.derive.objects import MAX_SNAPSHOT_BYTES
from schemas.settings import KeyRing
from tests.flow.calendars import NOON, Owner, owners
from tests.flow.world import RING, World

PARKED = "select reason, detail, source, sealed from parked where connection_id = $1 order by parked_at, source"

UNHELD: Final[dict[str, Any]] = {
    "anyoneCanAddSelf": True,
    "attendeesOmitted": True,
    "birthdayProperties": {"contact": "people/c1", "type": "anniversary"},
    "endTimeUnspecified": True,
    "eventType": "workingLocation",
    "extendedProperties": {"private": {"a": "1"}, "shared": {"b": "2"}},
    "focusTimeProperties": {"autoDeclineMode": "declineAll", "chatStatus": "doNotDisturb"},
    "gadget": {"display": "chip", "height": 17, "preferences": {"x": "y"}},
    "guestsCanInviteOthers": False,
    "guestsCanModify": True,
    "guestsCanSeeOtherGuests": False,
    "iCalUID": "7@example.org",
    "locked": True,
    "outOfOfficeProperties": {"declineMessage": "Away"},
    "privateCopy": True,
    "workingLocationProperties": {"type": "officeLocation", "officeLocation": {"deskId": "4b"}},
    # Nobody knows these yet.
    "status": "someday",
    "transparency": "translucent",
    "moonPhase": {"illuminated": 0.5, "names": ["waxing", None]},
}
"""What Google says, or may say next year, and no property of an item holds."""

STRANGE_ZONE: Final = {"dateTime": "2026-11-24T12:00:00+01:00", "timeZone": "Customized Time Zone"}

DATES: Final = [f"{year}01{day:02}T120000Z" for year in range(1900, 2100) for day in range(1, 29)]

ABSURD: Final[dict[str, list[str]]] = {
    "every second": ["RRULE:FREQ=SECONDLY"],
    "two billion times": ["RRULE:FREQ=SECONDLY;INTERVAL=1;COUNT=2147483647"],
    "no interval": ["RRULE:FREQ=DAILY;INTERVAL=0"],
    "more than can be counted": ["RRULE:FREQ=DAILY;COUNT=99999999999999999999999"],
    "never": ["RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31"],
    "until no day": ["RRULE:FREQ=DAILY;UNTIL=99999999"],
    "no frequency": ["RRULE:"],
    "a frequency of its own": ["RRULE:FREQ=FORTNIGHTLY"],
    "nothing": [""],
    "no line of a calendar": ["\u202e\ud7ff;:=,", "RRULE:FREQ=DAILY\r\nRRULE:FREQ=WEEKLY"],
    "a hundred rules": ["RRULE:FREQ=DAILY;INTERVAL=2"] * 100,
    "thousands of dates": [f"RDATE:{','.join(DATES[:3_500])}"],
    "more dates than are read": [f"RDATE:{','.join(DATES)}"],
    "a line of 100 kB": [f"RRULE:FREQ=DAILY;BYSECOND={','.join(['1'] * 50_000)}"],
    "a line of 100 kB that means nothing": ["X" * 100_000],
}


@pytest.fixture(scope="module")
async def running(shared: World) -> World:
    await shared.service.start()
    return shared


@pytest.fixture(scope="module")
async def everybody(running: World) -> Iterator[Owner]:
    """People who are connected and read already."""
    return iter(await owners(running, 4))


@pytest.fixture
def ann(everybody: Iterator[Owner]) -> Owner:
    return next(everybody)


async def items(one: Owner) -> dict[str, Any]:
    """What a subscriber holds of their own calendar, by event id; the subscriber found no fault with it."""
    await one.world.settled()
    subscriber = await one.world.subscriber()
    assert subscriber.breaches == []
    living = subscriber.living("calendar-event", one.connection)
    return {id_.removeprefix(f"{one.own}/"): item for id_, item in living.items()}


async def set_aside(one: Owner) -> dict[str, tuple[Any, str]]:
    """What was parked of theirs, by event id: the event as only the vault shows it, and why."""
    vault = Vault(KeyRing.parse(RING))
    rows = await one.world.ask(PARKED, one.connection)
    assert {row["reason"] for row in rows} <= {"item_malformed"}
    opened = [(orjson.loads(vault.open(row["sealed"], f"parked/{row['source']}")), row["detail"]) for row in rows]
    return {str(event.get("id")): (event, why) for event, why in opened}


async def test_what_an_item_has_no_property_for_is_kept_as_it_came(ann: Owner) -> None:
    ann.google.put(ann.own, {"id": "unheld", "summary": "Strange", **NOON, **UNHELD})
    ann.google.put(ann.own, {"id": "zone", "start": STRANGE_ZONE, "end": STRANGE_ZONE})
    ann.google.put(ann.own, {"id": "backwards", "start": NOON["end"], "end": NOON["start"]})
    held = await items(ann)
    assert held["unheld"]["google.com:more"] == UNHELD
    assert held["unheld"]["title"] == "Strange"
    assert (held["zone"]["start"], held["zone"]["timeZone"]) == ("2026-11-24T11:00:00", "Etc/UTC")
    assert held["zone"]["google.com:more"]["start"] == STRANGE_ZONE
    assert held["backwards"]["google.com:more"]["end"] == NOON["start"]
    assert await set_aside(ann) == {}


async def test_absurd_recurrences_are_kept_line_by_line_and_hold_up_nothing(ann: Owner) -> None:
    for number, lines in enumerate(ABSURD.values()):
        ann.google.put(ann.own, {"id": f"absurd{number}", **NOON, "recurrence": lines})
        ann.add(f"Neighbour {number}")
    held = await items(ann)
    assert len(held) == 2 * len(ABSURD)
    for number, (what, lines) in enumerate(ABSURD.items()):
        assert held[f"absurd{number}"]["google.com:recurrence"] == lines, what
    dates = held[f"absurd{list(ABSURD).index('thousands of dates')}"]["recurrenceOverrides"]
    assert len(dates) == 3_500
    assert held["absurd0"]["recurrenceRules"] == [{"@type": "RecurrenceRule", "frequency": "secondly"}]
    assert await set_aside(ann) == {}
    ended = [(run["outcome"], run["rejected"]) for run in await ann.runs()]
    assert set(ended) == {("done", 0)}


async def test_malformed_events_are_set_aside_and_neither_their_neighbours_nor_what_was_held_of_them_is_lost(
    running: World, ann: Owner
) -> None:
    once_good = ann.add("Well-formed once")
    await running.settled()
    malformed: list[dict[str, Any]] = [
        {"id": once_good, "summary": "Malformed now", "start": 17, "end": NOON["end"]},
        {"id": "nostart", "summary": "Begins never"},
        {"id": "both", "start": NOON["start"], "end": {"date": "2026-11-25"}},
        {"id": "status", **NOON, "status": ["confirmed"]},
        {"id": "series", **NOON, "recurringEventId": 7},
        {"id": "occurrence", "status": "cancelled", "recurringEventId": once_good},
        {"id": "title", **NOON, "summary": {"text": "Lunch"}},
        {"id": "nul\0", **NOON},
    ]
    good = []
    for event in malformed:
        ann.google.put(ann.own, event)
        good.append(ann.add("Neighbour"))
    held = await items(ann)
    assert sorted(held) == sorted([once_good, *good])
    assert held[once_good]["title"] == "Well-formed once"
    aside = await set_aside(ann)
    assert sorted(aside) == sorted(event["id"] for event in malformed)
    for event in malformed:
        kept, why = aside[event["id"]]
        assert {name: kept.get(name) for name in event} == event
        assert why
    assert (await ann.states(ann.events()))[-1]["rejected"] == len(malformed)

    # A full read has seen them, if not understood: none is taken for deleted.
    ann.google.expire_sync_tokens(ann.account, ann.events())
    good.append(ann.add("One that makes it look"))
    assert sorted(await items(ann)) == sorted([once_good, *good])
    ann.google.put(ann.own, {"id": once_good, "summary": "Well-formed again", **NOON})
    assert (await items(ann))[once_good]["title"] == "Well-formed again"


async def test_an_event_that_is_too_large_is_set_aside_and_one_that_is_barely_not_is_told(ann: Owner) -> None:
    ann.google.put(ann.own, {"id": "large", **NOON, "description": "x" * (MAX_SNAPSHOT_BYTES - 10_000)})
    ann.google.put(ann.own, {"id": "toolarge", **NOON, "description": "x" * MAX_SNAPSHOT_BYTES})
    guests = [{"email": f"guest{number}@example.org", "responseStatus": "accepted"} for number in range(200)]
    ann.google.put(ann.own, {"id": "feast", **NOON, "attendees": guests})
    held = await items(ann)
    assert sorted(held) == ["feast", "large"]
    assert len(held["feast"]["participants"]) == 200
    assert len(held["large"]["description"]) == MAX_SNAPSHOT_BYTES - 10_000
    aside = await set_aside(ann)
    assert {id_: why for id_, (_, why) in aside.items()} == {
        "toolarge": f"item: larger than {MAX_SNAPSHOT_BYTES} bytes"
    }
