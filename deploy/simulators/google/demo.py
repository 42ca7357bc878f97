"""The demo account of the local stack: a small life that keeps changing gently."""

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

from deploy.simulators.google import mix
from deploy.simulators.google.log import Entity
from deploy.simulators.google.simulator import Simulator

ACCOUNT: Final = "113774264463038321964"
TOKEN: Final = "demo-google"  # noqa: S105 - opens a simulated account
EMAIL: Final = "dana@example.org"
ZONE: Final = "Europe/Zurich"
FEWEST: Final = 3
MOST: Final = 12


def furnish(simulator: Simulator) -> None:
    """Make the demo account with its calendars and first events, unless it is there already.

    Nothing of it is pushed: it was there before anybody connected it, and connecting reads it.
    """
    if ACCOUNT in (holding.account for holding in simulator.accounts()):
        return
    simulator.create(ACCOUNT, TOKEN, "Dana Demo", email=EMAIL, time_zone=ZONE)
    today = simulator.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    work = simulator.add_calendar(ACCOUNT, "Work", timeZone=ZONE)
    family = simulator.add_calendar(ACCOUNT, "Family", timeZone=ZONE)

    def timed(days: int, hour: int, minutes: int) -> Entity:
        begins = datetime(today.year, today.month, today.day, hour) + timedelta(days=days)  # noqa: DTZ001 - local time
        ends = begins + timedelta(minutes=minutes)
        return {name: {"dateTime": at.isoformat(), "timeZone": ZONE} for name, at in (("start", begins), ("end", ends))}

    def days(first: int, count: int) -> Entity:
        begins = (today + timedelta(days=first)).date()
        return {"start": {"date": f"{begins}"}, "end": {"date": f"{begins + timedelta(days=count)}"}}

    def add(calendar: str, summary: str, when: Entity, **more: object) -> None:
        simulator.insert(ACCOUNT, calendar, {"summary": summary, **when, **more})

    add("primary", "Dentist", timed(3, 10, 45), location="Bahnhofstrasse 1, Zürich")
    add("primary", "Choir", timed(1, 19, 90), recurrence=["RRULE:FREQ=WEEKLY"])
    add("primary", "Call Grandma", timed(2, 17, 30), reminders={"useDefault": False, "overrides": []})
    add(work, "Stand-up", timed(1, 9, 15), recurrence=["RRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"])
    add(
        work,
        "Plan the quarter",
        timed(4, 13, 120),
        attendees=[{"email": "ann@example.com", "responseStatus": "accepted"}],
    )
    add(work, "Submit the report", days(5, 1), transparency="transparent")
    add(family, "Ann's birthday", days(20, 1), recurrence=["RRULE:FREQ=YEARLY"])
    add(family, "Mountains", days(12, 4), description="Take the good boots")


async def live(simulator: Simulator, every: float = 3.0, dice: Random | None = None) -> None:
    """Make one change every so many seconds, for ever, keeping the number of events within bounds."""
    dice = dice or Random()
    while True:
        await asyncio.sleep(every)
        step(simulator, dice)


def step(simulator: Simulator, dice: Random) -> None:
    """What happens next: always something. Series stay; they have few occurrences that anything happens to."""
    world = simulator.world
    calendar = dice.choice([world.calendars[entry.id] for entry in world.people[ACCOUNT].list.living()])
    single = sum("recurringEventId" not in event and not event.get("recurrence") for event in mix.present(calendar))
    choices = GROWING if single < FEWEST else SHRINKING if single > MOST else LIVING
    if not any(one(world, ACCOUNT, calendar, dice) for one in dice.sample(choices, len(choices))):
        mix.add_single(world, ACCOUNT, calendar, dice)
    simulator.announce(simulator.holding(ACCOUNT))


GROWING: Final[tuple[mix.Step, ...]] = (mix.add_single, mix.add_day)
LIVING: Final[tuple[mix.Step, ...]] = (
    *(mix.edit, mix.edit, mix.edit, mix.edit_occurrence, mix.remove_occurrence, mix.restore_occurrence),
    *(mix.add_single, mix.delete, mix.move),
)
SHRINKING: Final[tuple[mix.Step, ...]] = (mix.delete,)
