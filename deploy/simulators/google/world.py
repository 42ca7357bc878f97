"""Everything at the simulated Google: people, their calendars and calendar lists. Pure: ids and time are given.

developers.google.com/workspace/calendar/api/v3/reference/calendarList, .../reference/calendars
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel

from deploy.simulators.google import times
from deploy.simulators.google.calendar import ROLES, Calendar, Role, Stamp, busy, detached, merged
from deploy.simulators.google.listing import expanded, whole
from deploy.simulators.google.log import Entity, Entry, Log, SavedLog
from deploy.simulators.google.refused import Refused, forbidden, not_found, required

Action = Literal["created", "updated", "deleted"]

OF_THE_CALENDAR: Final = ("summary", "description", "location", "timeZone", "conferenceProperties")
OF_THE_ENTRY: Final = (
    "summaryOverride",
    "colorId",
    "backgroundColor",
    "foregroundColor",
    "hidden",
    "selected",
    "defaultReminders",
    "notificationSettings",
)
COLORS: Final = ("#16a765", "#f83a22", "#7bd148", "#4986e7", "#9a9cff", "#cd74e6", "#fbe983")

LIST: Final = "calendar/list"


def events_of(calendar_id: str) -> str:
    """The resource that holds a calendar's events."""
    return f"calendar/events/{calendar_id}"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of a resource that changed. `account`: whose calendar list; None for a calendar, which is everybody's."""

    resource: str
    account: str | None
    id: str
    action: Action
    at: str


@dataclass
class Person:
    """An account: its name, the address that is also its primary calendar, its calendar list."""

    account: str
    email: str
    full_name: str
    list: Log


class SavedCalendar(BaseModel):
    id: str
    fields: Entity
    owner: str | None
    roles: dict[str, Role]
    log: SavedLog
    watchable: bool
    gone: bool
    seen: dict[str, list[str]]


class SavedPerson(BaseModel):
    account: str
    email: str
    full_name: str
    list: SavedLog


class SavedWorld(BaseModel):
    number: int
    calendars: list[SavedCalendar] = []
    people: list[SavedPerson] = []


@dataclass
class World:
    """Every way to change it leaves `Change`s, which `take` hands out."""

    ids: Callable[[int], str]
    """An opaque id of so many characters (a–v, 0–9)."""
    now: Callable[[], datetime]
    life: str
    calendars: dict[str, Calendar] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)
    number: int = 0
    _fresh: list[Change] = field(default_factory=list)

    def take(self) -> list[Change]:
        """The changes made since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def saved(self) -> SavedWorld:
        calendars = [
            SavedCalendar(
                id=one.id,
                fields=one.fields,
                owner=one.owner,
                roles=one.roles,
                log=one.log.saved(),
                watchable=one.watchable,
                gone=one.gone,
                seen=one.seen,
            )
            for one in self.calendars.values()
        ]
        people = [
            SavedPerson(account=one.account, email=one.email, full_name=one.full_name, list=one.list.saved())
            for one in self.people.values()
        ]
        return SavedWorld(number=self.number, calendars=calendars, people=people)

    def restore(self, saved: SavedWorld) -> None:
        self.number = saved.number
        for one in saved.calendars:
            log = Log.restored(one.log, self.life)
            self.calendars[one.id] = Calendar(
                one.id, one.fields, one.owner, one.roles, log, one.watchable, one.gone, one.seen
            )
        for person in saved.people:
            log = Log.restored(person.list, self.life)
            self.people[person.account] = Person(person.account, person.email, person.full_name, log)

    # People and access ------------------------------------------------------------------------------------------------

    def open(self, account: str, full_name: str, email: str, time_zone: str) -> Person:
        """Somebody with a primary calendar."""
        person = Person(account, email, full_name, Log(f"{LIST} of {account}", self.life))
        self.people[account] = person
        self._calendar(email, {"summary": email, "timeZone": time_zone}, account)
        self._enter(account, email, {"selected": True, "defaultReminders": [{"method": "popup", "minutes": 10}]})
        return person

    def calendar(self, account: str, calendar_id: str, least: Role = "freeBusyReader") -> Calendar:
        """A calendar that an account may use so. Raises `Refused`: 404 where it is not there for them at all."""
        known = self.people[account].email if calendar_id == "primary" else calendar_id
        calendar = self.calendars.get(known)
        if calendar is None or calendar.gone or account not in calendar.roles:
            raise not_found()
        if ROLES.index(calendar.roles[account]) < ROLES.index(least):
            raise forbidden(least)
        return calendar

    def share(self, calendar_id: str, account: str, role: Role | None) -> None:
        """Give, change or (None) take away an account's access.

        The sync tokens for its events end with that, and a list entry appears or goes; but one whose role alone changed is
        not told by an incremental read of the list (calendarList.list, syncToken).
        """
        calendar = self.calendars[calendar_id]
        if role is None:
            calendar.roles.pop(account, None)
            self._leave(account, calendar_id)
        else:
            calendar.roles[account] = role
        calendar.log.expire(account)

    def forget_calendar(self, calendar_id: str) -> None:
        """A calendar of nobody here is gone, or one whose owner deletes it."""
        calendar = self.calendars[calendar_id]
        calendar.gone = True
        for account in self.people:
            self._leave(account, calendar_id)
        self._tell(events_of(calendar_id), None, calendar_id, "deleted", self._stamp())

    # Calendars --------------------------------------------------------------------------------------------------------

    def add_calendar(self, account: str, body: Entity) -> Entity:
        """calendars.insert: a secondary calendar, which appears in its owner's list."""
        if not body.get("summary"):
            raise required("Missing summary.")
        time_zone = body.get("timeZone") or self.calendars[self.people[account].email].zone
        times.zone(time_zone)
        calendar_id = f"c_{self.ids(40)}@group.calendar.google.com"
        fields = {name: body[name] for name in OF_THE_CALENDAR if body.get(name) is not None}
        calendar = self._calendar(calendar_id, fields | {"timeZone": time_zone}, account)
        self._enter(account, calendar_id, {"selected": True, "defaultReminders": []})
        return self.shown_calendar(calendar)

    def patch_calendar(self, account: str, calendar_id: str, body: Entity) -> Entity:
        """calendars.patch. No list entry is told anew by it: the name there is read-only (calendarList.list, syncToken)."""
        calendar = self.calendar(account, calendar_id, "owner")
        if zone := body.get("timeZone"):
            times.zone(zone)
        given: Entity = {name: body[name] for name in OF_THE_CALENDAR if name in body}
        calendar.fields = merged(calendar.fields, given) | {"etag": self._stamp().etag}
        return self.shown_calendar(calendar)

    def delete_calendar(self, account: str, calendar_id: str) -> None:
        """calendars.delete, for secondary calendars only."""
        calendar = self.calendar(account, calendar_id, "owner")
        if calendar.id == self.people[account].email:
            raise Refused(403, "cannotDeletePrimaryCalendar", "Cannot delete the primary calendar.", "calendar")
        self.forget_calendar(calendar.id)

    def shown_calendar(self, calendar: Calendar) -> Entity:
        return {"kind": "calendar#calendar", "id": calendar.id} | calendar.fields

    # Calendar lists ---------------------------------------------------------------------------------------------------

    def subscribe(self, account: str, body: Entity) -> Entity:
        """calendarList.insert: a calendar that somebody shares appears in one's list, or appears again."""
        calendar = self.calendar(account, str(body.get("id", "")))
        self._enter(account, calendar.id, {name: body[name] for name in OF_THE_ENTRY if name in body})
        return self.listed(account, calendar.id)

    def patch_entry(self, account: str, calendar_id: str, body: Entity) -> Entity:
        entry = self._entry(account, calendar_id)
        self._enter(account, entry.id, merged(entry.value, {n: v for n, v in body.items() if n in OF_THE_ENTRY}))
        return self.listed(account, entry.id)

    def unsubscribe(self, account: str, calendar_id: str) -> None:
        """calendarList.delete: it leaves the list and goes on for others."""
        self._leave(account, self._entry(account, calendar_id).id)

    def listed(self, account: str, calendar_id: str) -> Entity:
        """calendarList.get. Raises `Refused`."""
        return self.shown_entry(account, self._entry(account, calendar_id))

    def shown_entry(self, account: str, entry: Entry) -> Entity:
        """An entry as the list shows it, with what it takes from its calendar; a deleted one says that."""
        head = {"kind": "calendar#calendarListEntry", "etag": entry.value["etag"], "id": entry.id}
        if entry.gone:
            return head | {"deleted": True}
        calendar = self.calendars[entry.id]
        of_calendar = {name: calendar.fields[name] for name in OF_THE_CALENDAR if name in calendar.fields}
        of_person: Entity = {"accessRole": calendar.roles[account]}
        if calendar.id == self.people[account].email:
            of_person |= {"primary": True}
        elif calendar.owner is not None:
            of_person |= {"dataOwner": self.people[calendar.owner].email}
        return head | of_calendar | {name: value for name, value in entry.value.items() if name != "etag"} | of_person

    # Events -----------------------------------------------------------------------------------------------------------

    def insert(self, account: str, calendar_id: str, body: Entity) -> Entity:
        calendar, person = self.calendar(account, calendar_id, "writer"), self.people[account]
        creator = {"email": person.email, "displayName": person.full_name}
        stamp = self._stamp()
        return self._told(calendar, calendar.insert(detached(body), creator, lambda: self.ids(26), stamp), stamp)

    def patch(self, account: str, calendar_id: str, event_id: str, body: Entity, if_match: str | None = None) -> Entity:
        calendar, stamp = self.calendar(account, calendar_id, "writer"), self._stamp()
        return self._told(calendar, calendar.patch(event_id, detached(body), stamp, if_match), stamp)

    def update(
        self, account: str, calendar_id: str, event_id: str, body: Entity, if_match: str | None = None
    ) -> Entity:
        calendar, stamp = self.calendar(account, calendar_id, "writer"), self._stamp()
        return self._told(calendar, calendar.update(event_id, detached(body), stamp, if_match), stamp)

    def delete(self, account: str, calendar_id: str, event_id: str, if_match: str | None = None) -> None:
        calendar, stamp = self.calendar(account, calendar_id, "writer"), self._stamp()
        calendar.delete(event_id, stamp, if_match)
        self._told(calendar, calendar.log.entries[event_id].value, stamp)

    def move(self, account: str, calendar_id: str, event_id: str, destination: str) -> Entity:
        """It keeps its id: cancelled in one calendar, there in the other."""
        source = self.calendar(account, calendar_id, "writer")
        target = self.calendar(account, destination, "writer")
        stamp = self._stamp()
        if target is source:
            return source.find(event_id)
        living = target.log.entries.get(event_id)
        if living is not None and not living.gone:
            raise Refused(409, "duplicate", "The requested identifier already exists.")
        given = source.give(event_id, stamp)
        self._told(source, source.log.entries[event_id].value, stamp)
        moved = target.take(given, self._stamp())
        return self._told(target, moved, stamp)

    def put(self, calendar_id: str, event: Entity) -> Entity:
        """Hold an event as it is, whatever Google would say of it."""
        calendar, stamp = self.calendars[calendar_id], self._stamp()
        return self._told(calendar, calendar.put(detached(event), stamp), stamp)

    def state(self, account: str) -> dict[str, Any]:
        """The present: `calendars` as the list shows them, hidden ones too, and `events` by calendar, as a full read of
        each would show them."""
        entries = list(self.people[account].list.living())
        return {
            "calendars": [self.shown_entry(account, entry) for entry in entries],
            "events": {entry.id: self._events(account, self.calendars[entry.id]) for entry in entries},
        }

    def _events(self, account: str, calendar: Calendar) -> list[Entity]:
        if calendar.roles[account] == "freeBusyReader":
            now = self.now()
            shown = (expanded(calendar, entry, now, incremental=False) for entry in calendar.log.living())
            return [busy(event) for events in shown for event in events]
        return [event for entry in calendar.log.living() for event in whole(calendar, entry, deleted=False)]

    def _calendar(self, calendar_id: str, fields: Entity, owner: str) -> Calendar:
        calendar = Calendar(
            calendar_id,
            fields | {"etag": self._stamp().etag},
            owner,
            {owner: "owner"},
            Log(events_of(calendar_id), self.life),
        )
        self.calendars[calendar_id] = calendar
        return calendar

    def _entry(self, account: str, calendar_id: str) -> Entry:
        person = self.people[account]
        entry = person.list.entries.get(person.email if calendar_id == "primary" else calendar_id)
        if entry is None or entry.gone:
            raise not_found()
        return entry

    def _enter(self, account: str, calendar_id: str, value: Entity) -> None:
        list_, stamp = self.people[account].list, self._stamp()
        known = list_.entries.get(calendar_id)
        if "colorId" not in value and "backgroundColor" not in value:
            color = len(list_.entries) % len(COLORS)
            value = {"colorId": str(color + 1), "backgroundColor": COLORS[color], "foregroundColor": "#000000"} | value
        list_.put(calendar_id, value | {"etag": stamp.etag})
        self._tell(LIST, account, calendar_id, "updated" if known and not known.gone else "created", stamp)

    def _leave(self, account: str, calendar_id: str) -> None:
        list_ = self.people[account].list
        entry = list_.entries.get(calendar_id)
        if entry is not None and not entry.gone:
            stamp = self._stamp()
            list_.put(calendar_id, {"etag": stamp.etag}, gone=True)
            self._tell(LIST, account, calendar_id, "deleted", stamp)

    def _told(self, calendar: Calendar, event: Entity, stamp: Stamp) -> Entity:
        """Tell a change of an event; those of exceptions that it brought about are told with it."""
        entry = calendar.log.entries[event["id"]]
        action: Action = "created" if entry.born == entry.seq else "updated"
        if event["status"] == "cancelled":
            action = "deleted"
        self._tell(events_of(calendar.id), None, event["id"], action, stamp)
        return event

    def _tell(self, resource: str, account: str | None, id_: str, action: Action, stamp: Stamp) -> None:
        self._fresh.append(Change(resource, account, id_, action, stamp.at))

    def _stamp(self) -> Stamp:
        """The moment of the next change: now, with a number higher than every one before."""
        now = self.now()
        self.number = max(int(now.timestamp() * 1_000_000) * 2, self.number + 2)
        return Stamp(now, self.number)
