"""The paths of Calendar API v3: each handler turns an authenticated call into one change or one read.

The paths and parameters are those of Google's discovery document.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from deploy.simulators.api import Said
from deploy.simulators.google import listing
from deploy.simulators.google.calendar import Calendar
from deploy.simulators.google.faults import CALENDARS, ApiFault
from deploy.simulators.google.listing import Answer
from deploy.simulators.google.log import Entity, Entry
from deploy.simulators.google.refused import Refused, bad_request, invalid, not_found, sync_token_expired
from deploy.simulators.google.simulator import Holding, Simulator
from deploy.simulators.google.world import LIST, World, events_of

LIST_PAGE: Final = 100
LARGEST_LIST_PAGE: Final = 250

Hit = dict[str, ApiFault]


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated call, taken apart."""

    simulator: Simulator
    holding: Holding
    hit: Hit
    path: dict[str, str]
    query: dict[str, str]
    body: Entity
    if_match: str | None
    if_none_match: str | None

    @property
    def world(self) -> World:
        return self.simulator.world

    @property
    def account(self) -> str:
        return self.holding.account

    @property
    def calendar(self) -> str:
        return self.path["calendar"]

    @property
    def event(self) -> str:
        return self.path["event"]

    def enter(self, resource: str, *whats: str) -> None:
        """In the books of the account: what was done to a resource."""
        for what in whats:
            self.holding.books.resources[resource, what] += 1


Handler = Callable[[Call], Awaitable[Said]]


async def list_calendars(call: Call) -> Said:
    query = call.query
    call.enter(LIST, "call")
    if "syncToken" in query:
        for name in ("minAccessRole", "showOwnOrganizationOnly"):
            if name in query:
                raise bad_request(f"Sync token cannot be used together with {name}.")
        for name in ("showDeleted", "showHidden"):
            if query.get(name, "true").lower() == "false":
                raise bad_request(f"{name} cannot be false with a sync token.")
    deleted, hidden = listing.flag(query, "showDeleted"), listing.flag(query, "showHidden")

    def shown(incremental: bool) -> Callable[[Entry], list[Entity]]:
        def items(entry: Entry) -> list[Entity]:
            skipped = (entry.gone and not deleted) or (entry.value.get("hidden") is True and not hidden)
            return [] if skipped and not incremental else [call.world.shown_entry(call.account, entry)]

        return items

    most = listing.size(query, LIST_PAGE, LARGEST_LIST_PAGE, call.simulator.page_size)
    log = call.world.people[call.account].list
    answer = _read(
        call, LIST, lambda: listing.read(log, call.account, query, most, shown, empty="empty_page" in call.hit)
    )
    return 200, {"kind": "calendar#calendarList", "etag": f'"p{log.seq}"', **_paged(answer, call.hit)}


async def get_entry(call: Call) -> Said:
    return 200, call.world.listed(call.account, call.calendar)


async def insert_entry(call: Call) -> Said:
    return 200, call.world.subscribe(call.account, call.body)


async def patch_entry(call: Call) -> Said:
    return 200, call.world.patch_entry(call.account, call.calendar, call.body)


async def delete_entry(call: Call) -> Said:
    call.world.unsubscribe(call.account, call.calendar)
    return 204, None


async def insert_calendar(call: Call) -> Said:
    return 200, call.world.add_calendar(call.account, call.body)


async def get_calendar(call: Call) -> Said:
    return 200, call.world.shown_calendar(call.world.calendar(call.account, call.calendar))


async def patch_calendar(call: Call) -> Said:
    return 200, call.world.patch_calendar(call.account, call.calendar, call.body)


async def delete_calendar(call: Call) -> Said:
    call.world.delete_calendar(call.account, call.calendar)
    return 204, None


async def list_events(call: Call) -> Said:
    """A calendar that is not there is entered under the name it was asked for."""
    call.enter(events_of(_known(call)), "call")
    calendar = call.world.calendar(call.account, call.calendar)
    role = calendar.roles[call.account]

    def read() -> Answer:
        return listing.events(
            calendar,
            call.account,
            role,
            call.query,
            call.simulator.now(),
            at_most=call.simulator.page_size,
            empty="empty_page" in call.hit,
        )

    answer = _read(call, events_of(calendar.id), read)
    changed = max((str(item.get("updated", "")) for item in answer.items), default="")
    envelope: Entity = {
        "kind": "calendar#events",
        "etag": f'"p{calendar.log.seq}"',
        "summary": calendar.fields.get("summary", ""),
        "description": calendar.fields.get("description", ""),
        "updated": changed or call.simulator.now().strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "timeZone": calendar.zone,
        "accessRole": role,
        "defaultReminders": _reminders(call, calendar),
    }
    return 200, {**envelope, **_paged(answer, call.hit)}


async def list_instances(call: Call) -> Said:
    calendar = call.world.calendar(call.account, call.calendar, "reader")
    series = calendar.find(call.event)
    if series["status"] == "cancelled":
        raise not_found()
    listing.check({name: value for name, value in call.query.items() if name != "syncToken"})
    found = calendar.occurrences(series, call.simulator.now()) if series.get("recurrence") else [series]
    most = listing.size(call.query, listing.PAGE, listing.LARGEST_PAGE, call.simulator.page_size)
    start = call.query.get("pageToken", "0")
    if not start.isascii() or not start.isdigit():
        raise invalid("pageToken")
    fitting = [event for event in found if listing.fits(event, call.query)]
    page = fitting[int(start) : int(start) + most]
    rest = {"nextPageToken": str(int(start) + most)} if len(fitting) > int(start) + most else {}
    return 200, {"kind": "calendar#events", "timeZone": calendar.zone, "items": page, **rest}


async def get_event(call: Call) -> Said:
    calendar = call.world.calendar(call.account, call.calendar, "reader")
    event = calendar.find(call.event)
    if call.if_none_match == event["etag"]:
        return 304, None
    return 200, event


async def insert_event(call: Call) -> Said:
    return 200, call.world.insert(call.account, call.calendar, call.body)


async def patch_event(call: Call) -> Said:
    return 200, call.world.patch(call.account, call.calendar, call.event, call.body, call.if_match)


async def update_event(call: Call) -> Said:
    return 200, call.world.update(call.account, call.calendar, call.event, call.body, call.if_match)


async def delete_event(call: Call) -> Said:
    call.world.delete(call.account, call.calendar, call.event, call.if_match)
    return 204, None


async def move_event(call: Call) -> Said:
    if not call.query.get("destination"):
        raise Refused(400, "required", "Required parameter: destination", location="destination")
    return 200, call.world.move(call.account, call.calendar, call.event, call.query["destination"])


async def watch_calendars(call: Call) -> Said:
    call.enter(LIST, "call", "watch")
    uri = f"{call.simulator.url}{CALENDARS}users/me/calendarList?alt=json"
    return await _watch(call, LIST, call.account, uri)


async def watch_events(call: Call) -> Said:
    call.enter(events_of(_known(call)), "call", "watch")
    calendar = call.world.calendar(call.account, call.calendar)
    if not calendar.watchable:
        message = "Push notifications are not supported by this resource."
        raise Refused(400, "pushNotSupportedForRequestedResource", message, domain="calendar")
    uri = f"{call.simulator.url}{CALENDARS}calendars/{quote(calendar.id)}/events?alt=json"
    return await _watch(call, events_of(calendar.id), None, uri)


async def stop_channel(call: Call) -> Said:
    known = call.simulator.channels.by_id.get(str(call.body.get("id")))
    if known is not None:
        call.enter(known.resource, "call", "stop")
    call.simulator.channels.stop(call.account, call.body, call.simulator.now())
    return 204, None


ROUTES: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "users/me/calendarList", list_calendars),
    ("POST", "users/me/calendarList", insert_entry),
    ("POST", "users/me/calendarList/watch", watch_calendars),
    ("GET", "users/me/calendarList/{calendar}", get_entry),
    ("PATCH", "users/me/calendarList/{calendar}", patch_entry),
    ("PUT", "users/me/calendarList/{calendar}", patch_entry),
    ("DELETE", "users/me/calendarList/{calendar}", delete_entry),
    ("POST", "calendars", insert_calendar),
    ("GET", "calendars/{calendar}", get_calendar),
    ("PATCH", "calendars/{calendar}", patch_calendar),
    ("PUT", "calendars/{calendar}", patch_calendar),
    ("DELETE", "calendars/{calendar}", delete_calendar),
    ("GET", "calendars/{calendar}/events", list_events),
    ("POST", "calendars/{calendar}/events", insert_event),
    ("POST", "calendars/{calendar}/events/watch", watch_events),
    ("GET", "calendars/{calendar}/events/{event}", get_event),
    ("PATCH", "calendars/{calendar}/events/{event}", patch_event),
    ("PUT", "calendars/{calendar}/events/{event}", update_event),
    ("DELETE", "calendars/{calendar}/events/{event}", delete_event),
    ("POST", "calendars/{calendar}/events/{event}/move", move_event),
    ("GET", "calendars/{calendar}/events/{event}/instances", list_instances),
    ("POST", "channels/stop", stop_channel),
)


def _read(call: Call, resource: str, read: Callable[[], Answer]) -> Answer:
    """One page, entered in the books; with its last page a read is `full` or `partial`."""
    if "invalid_sync_token" in call.hit and "syncToken" in call.query:
        raise sync_token_expired()
    if "invalid_page_token" in call.hit and "pageToken" in call.query:
        if call.hit["invalid_page_token"].status == 400:
            raise invalid("pageToken")
        raise Refused(410, "fullSyncRequired", "Page token is no longer valid.", "calendar", "pageToken")
    answer = read()
    call.enter(resource, "page")
    if answer.sync_token is not None:
        call.enter(resource, "full" if answer.full else "partial")
    return answer


def _paged(answer: Answer, hit: Hit) -> Entity:
    items = answer.items
    if "malformed_item" in hit:
        items = [malformed(items[0] if items else None), *items[1:]]
    if answer.page_token is not None:
        return {"nextPageToken": answer.page_token, "items": items}
    if "no_sync_token" in hit:
        return {"items": items}
    return {"nextSyncToken": answer.sync_token, "items": items}


def malformed(item: Entity | None) -> Entity:
    """An item no document promises: `item` with numbers where texts belong and no start, or a bare one."""
    broken = {name: value for name, value in (item or {"id": "malformed"}).items() if name not in ("start", "summary")}
    return broken | {"start": 17, "summary": 17, "status": ["confirmed"], "accessRole": 17}


async def _watch(call: Call, resource: str, owner: str | None, uri: str) -> Said:
    channel = await call.simulator.watch(call.holding, resource, owner, uri, call.body)
    return 200, channel.shown()


def _known(call: Call) -> str:
    """The id of the calendar that is asked for, under whichever name."""
    return call.world.people[call.account].email if call.calendar == "primary" else call.calendar


def _reminders(call: Call, calendar: Calendar) -> Any:
    entry = call.world.people[call.account].list.entries.get(calendar.id)
    return entry.value.get("defaultReminders", []) if entry and not entry.gone else []
