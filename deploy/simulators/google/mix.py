"""Random but repeatable changes of every kind, as busy people make them in their calendars. Pure: the dice are given."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from itertools import islice
from random import Random
from typing import Final

from deploy.simulators.google import recurrence, times
from deploy.simulators.google.calendar import Calendar
from deploy.simulators.google.log import Entity
from deploy.simulators.google.world import World

Step = Callable[[World, str, Calendar, Random], bool]
"""Makes one change; False where there is nothing here that it could change."""

MOST_CALENDARS: Final = 7
DAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
VERBS: Final = ("Meet", "Call", "Lunch with", "Plan", "Review with", "Visit", "Train with", "Thank")
WHOM: Final = ("Ann", "the team", "Grandma", "the dentist", "José", "the landlord", "chapter 3", "the choir")
ZONES: Final = ("Europe/Zurich", "America/New_York", "Asia/Kolkata", "UTC")
BEGINNING: Final = date(2026, 11, 23)
"""A Monday. Around it lies everything that happens."""


def title(dice: Random) -> str:
    return f"{dice.choice(VERBS)} {dice.choice(WHOM)}"


def mixed(world: World, account: str, dice: Random, *, calendar_id: str | None = None) -> None:
    """Make the next change: always one that the account, as things are, may make. `calendar_id` stays within one."""
    while True:
        step = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if calendar_id is not None and step in OF_CALENDARS:
            continue
        calendar = world.calendars[calendar_id] if calendar_id else dice.choice(_writable(world, account))
        if step(world, account, calendar, dice):
            return


def add_single(world: World, account: str, calendar: Calendar, dice: Random) -> bool:
    world.insert(account, calendar.id, {"summary": title(dice), **_timed(dice, calendar.zone), **_details(dice)})
    return True


def add_day(world: World, account: str, calendar: Calendar, dice: Random) -> bool:
    world.insert(account, calendar.id, {"summary": title(dice), **_days(dice), **_details(dice)})
    return True


def add_series(world: World, account: str, calendar: Calendar, dice: Random) -> bool:
    when = _days(dice) if dice.random() < 0.3 else _timed(dice, dice.choice(ZONES))
    world.insert(account, calendar.id, {"summary": title(dice), **when, **_details(dice), "recurrence": [_rule(dice)]})
    return True


def edit(world: World, account: str, calendar: Calendar, dice: Random) -> bool:
    events = [event for event in present(calendar) if not event.get("recurrence")]
    if not events:
        return False
    event = dice.choice(events)
    when: Entity = {}
    if "recurringEventId" not in event and dice.random() < 0.4:
        when = _days(dice) if "date" in event["start"] else _timed(dice, calendar.zone)
    world.patch(account, calendar.id, event["id"], {"summary": title(dice), **when, **_details(dice)})
    return True


def edit_series(world: World, account: str, calendar: Calendar, dice: Random) -> bool:
    series = _series(calendar, dice)
    if series is None:
        return False
    change: Entity = {"summary": title(dice), **_details(dice)}
    if dice.random() < 0.3:
        change["recurrence"] = [_rule(dice)]
    world.patch(account, calendar.id, series["id"], change)
    return True


def edit_occurrence(world: World, account: str, calendar: Calendar, dice: Random) -> bool:
    """An exception: renamed, or moved by some hours or days."""
    found = _occurrence(calendar, dice)
    if found is None:
        return False
    change: Entity = {"summary": title(dice)}
    if dice.random() < 0.6:
        by = timedelta(days=1) if "date" in found["start"] else timedelta(minutes=dice.choice((-90, 15, 60, 1440)))
        change |= {
            name: times.moved(found[name], times.local(found[name]) + by, calendar.zone) for name in ("start", "end")
        }
    world.patch(account, calendar.id, found["id"], change)
    return True


def remove_occurrence(world: World, account: str, calendar: Calendar, dice: Random) -> bool:
    found = _occurrence(calendar, dice)
    if found is None:
        return False
    world.delete(account, calendar.id, found["id"])
    return True


def restore_occurrence(world: World, account: str, calendar: Calendar, dice: Random) -> bool:
    """A removed occurrence comes back."""
    removed = [entry.value for entry in calendar.log.living() if entry.value["status"] == "cancelled"]
    if not removed:
        return False
    world.patch(account, calendar.id, dice.choice(removed)["id"], {"status": "confirmed"})
    return True


def split(world: World, account: str, calendar: Calendar, dice: Random) -> bool:
    """This and following: the series ends before an occurrence, and a new one begins there."""
    series = _series(calendar, dice)
    found = None if series is None else _nth(series, dice.randint(2, 6))
    if series is None or found is None or "COUNT=" in series["recurrence"][0]:
        return False
    start = times.moved(series["start"], found, calendar.zone)
    end = times.moved(series["end"], found + (times.local(series["end"]) - times.local(series["start"])), calendar.zone)
    rule = series["recurrence"][0].partition(";UNTIL=")[0]
    last = found - timedelta(days=1) if "date" in start else times.point(start) - timedelta(seconds=1)
    until = times.stamp({"date": f"{last:%Y-%m-%d}"} if "date" in start else {"dateTime": last.isoformat()})
    world.patch(account, calendar.id, series["id"], {"recurrence": [f"{rule};UNTIL={until}"]})
    world.insert(
        account,
        calendar.id,
        {"summary": f"{title(dice)}, from now on", "start": start, "end": end, "recurrence": [rule]},
    )
    return True


def move(world: World, account: str, calendar: Calendar, dice: Random) -> bool:
    events = [event for event in present(calendar) if "recurringEventId" not in event]
    others = [other for other in _writable(world, account) if other is not calendar]
    if not events or not others:
        return False
    world.move(account, calendar.id, dice.choice(events)["id"], dice.choice(others).id)
    return True


def delete(world: World, account: str, calendar: Calendar, dice: Random) -> bool:
    events = [event for event in present(calendar) if not event.get("recurrence")]
    if not events:
        return False
    world.delete(account, calendar.id, dice.choice(events)["id"])
    return True


def delete_series(world: World, account: str, calendar: Calendar, dice: Random) -> bool:
    series = _series(calendar, dice)
    if series is None:
        return False
    world.delete(account, calendar.id, series["id"])
    return True


def add_calendar(world: World, account: str, calendar: Calendar, dice: Random) -> bool:
    if len(_writable(world, account)) >= MOST_CALENDARS:
        return False
    world.add_calendar(account, {"summary": title(dice), "timeZone": dice.choice(ZONES)})
    return True


def edit_calendar(world: World, account: str, calendar: Calendar, dice: Random) -> bool:
    """What a person sets for a calendar in their own list."""
    world.patch_entry(account, calendar.id, {"summaryOverride": title(dice), "colorId": str(dice.randint(1, 24))})
    return True


def delete_calendar(world: World, account: str, calendar: Calendar, dice: Random) -> bool:
    """The newest: it holds the least, so an account grows although calendars go."""
    owned = [one for one in _writable(world, account) if one.owner == account and one.id != world.people[account].email]
    if not owned:
        return False
    world.delete_calendar(account, owned[-1].id)
    return True


WEIGHTS: Final[dict[Step, int]] = {
    add_single: 18,
    add_day: 7,
    add_series: 8,
    edit: 20,
    edit_series: 5,
    edit_occurrence: 12,
    remove_occurrence: 6,
    restore_occurrence: 2,
    split: 4,
    move: 6,
    delete: 8,
    delete_series: 2,
    add_calendar: 2,
    edit_calendar: 2,
    delete_calendar: 1,
}
OF_CALENDARS: Final = (move, add_calendar, edit_calendar, delete_calendar)


def _writable(world: World, account: str) -> list[Calendar]:
    """In the order in which they came to the list."""
    listed = (world.calendars[entry.id] for entry in world.people[account].list.living())
    return [calendar for calendar in listed if calendar.roles.get(account) in ("owner", "writer")]


def present(calendar: Calendar) -> list[Entity]:
    """What is there and not cancelled."""
    return [entry.value for entry in calendar.log.living() if entry.value["status"] != "cancelled"]


def _series(calendar: Calendar, dice: Random) -> Entity | None:
    found = [event for event in present(calendar) if event.get("recurrence")]
    return dice.choice(found) if found else None


def _nth(series: Entity, number: int) -> datetime | None:
    return next(islice(recurrence.occurrences(series) or iter(()), number, None), None)


def _occurrence(calendar: Calendar, dice: Random) -> Entity | None:
    """Some occurrence that is there, exception or not."""
    series = _series(calendar, dice)
    at = None if series is None else _nth(series, dice.randint(0, 8))
    if series is None or at is None:
        return None
    start = times.moved(series["start"], at, calendar.zone)
    found = calendar.find(f"{series['id']}_{times.stamp(start)}")
    return found if found["status"] != "cancelled" else None


def _timed(dice: Random, zone: str) -> Entity:
    begins = datetime.combine(BEGINNING, datetime.min.time()) + timedelta(
        days=dice.randint(-20, 60), minutes=15 * dice.randint(24, 80)
    )
    ends = begins + timedelta(minutes=dice.choice((15, 30, 45, 60, 90, 600)))
    return {name: {"dateTime": at.isoformat(), "timeZone": zone} for name, at in (("start", begins), ("end", ends))}


def _days(dice: Random) -> Entity:
    begins = BEGINNING + timedelta(days=dice.randint(-20, 60))
    ends = begins + timedelta(days=dice.choice((1, 1, 1, 2, 7)))
    return {"start": {"date": begins.isoformat()}, "end": {"date": ends.isoformat()}}


def _rule(dice: Random) -> str:
    return "RRULE:" + dice.choice(
        (
            "FREQ=DAILY",
            "FREQ=DAILY;INTERVAL=3;COUNT=12",
            f"FREQ=WEEKLY;BYDAY={','.join(dice.sample(DAYS, 2))}",
            "FREQ=WEEKLY;INTERVAL=2",
            "FREQ=MONTHLY",
            f"FREQ=MONTHLY;BYDAY={dice.choice((1, 2, -1))}{dice.choice(DAYS)}",
            "FREQ=YEARLY",
        )
    )


def _details(dice: Random) -> Entity:
    """What else there may be to an event."""
    return dice.choice(
        (
            {},
            {"location": dice.choice(("Room 4", "https://meet.example.org/x", "Bahnhofstrasse 1, Zürich"))},
            {"description": f"<b>Agenda</b> {dice.randint(1, 999)}"},
            {"colorId": str(dice.randint(1, 11))},
            {"transparency": "transparent"},
            {"visibility": dice.choice(("private", "public"))},
            {"status": "tentative"},
            {"reminders": {"useDefault": False, "overrides": [{"method": "popup", "minutes": dice.choice((5, 30))}]}},
            {"attendees": _guests(dice)},
            {"conferenceData": _conference(dice)},
            {"extendedProperties": {"private": {"step": str(dice.randint(1, 999))}}},
        )
    )


def _guests(dice: Random) -> list[Entity]:
    answers = ("needsAction", "declined", "tentative", "accepted")
    names = dice.sample(("ann", "bob", "cleo", "dev"), 2)
    return [{"email": f"{name}@example.com", "responseStatus": dice.choice(answers)} for name in names]


def _conference(dice: Random) -> Entity:
    code = "".join(dice.choices("abcdefghijkmnopqrstuvwxyz", k=10))
    uri = f"https://meet.google.com/{code[:3]}-{code[3:7]}-{code[7:]}"
    return {
        "conferenceId": code,
        "conferenceSolution": {"key": {"type": "hangoutsMeet"}, "name": "Google Meet"},
        "entryPoints": [{"entryPointType": "video", "uri": uri, "label": uri.removeprefix("https://")}],
    }
