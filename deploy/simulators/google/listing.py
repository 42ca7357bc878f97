"""events.list: what an account is shown of a calendar, page by page. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Final

from deploy.simulators.google import times
from deploy.simulators.google.calendar import Calendar, Role, bare, busy
from deploy.simulators.google.log import Entity, Entry, Log, Place
from deploy.simulators.google.refused import bad_request, invalid

NOT_WITH_SYNC_TOKEN: Final = (
    "iCalUID",
    "orderBy",
    "privateExtendedProperty",
    "q",
    "sharedExtendedProperty",
    "timeMin",
    "timeMax",
    "updatedMin",
)
PAGE: Final = 250
LARGEST_PAGE: Final = 2500


@dataclass(frozen=True, slots=True)
class Answer:
    """One page. `sync_token` is there on the last one only; `full` says whether it belongs to a full read."""

    items: list[Entity]
    page_token: str | None
    sync_token: str | None
    full: bool


def size(query: Mapping[str, str], default: int, largest: int, at_most: int | None) -> int:
    """How many a page holds: as asked, never more than `largest` nor `at_most`. Raises `Refused`."""
    text = query.get("maxResults", str(default))
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise invalid("maxResults")
    return min(int(text), largest, at_most or largest)


def flag(query: Mapping[str, str], name: str) -> bool:
    """Raises `Refused`."""
    text = query.get(name, "false").lower()
    if text not in ("true", "false"):
        raise invalid(name)
    return text == "true"


def read(
    log: Log,
    account: str,
    query: Mapping[str, str],
    most: int,
    shown: Callable[[bool], Callable[[Entry], list[Entity]]],
    *,
    empty: bool = False,
) -> Answer:
    """One page of a resource, by the tokens in `query`; `shown` tells for an incremental read or not what there is of
    an entry. With `empty` the page is, and there is one after it. Raises `Refused`."""
    question = blake2b(
        repr(
            sorted((name, value) for name, value in query.items() if name not in ("pageToken", "maxResults"))
        ).encode(),
        digest_size=6,
    ).hexdigest()
    since = log.since(account, query["syncToken"]) if "syncToken" in query else None
    place = Place(since, log.seq)
    if query.get("pageToken"):
        place = log.place(account, question, query["pageToken"])
    if empty:
        return Answer([], log.page_token(account, question, place), None, since is None)
    items, rest = log.page(place, most, shown(since is not None))
    if rest is not None:
        return Answer(items, log.page_token(account, question, rest), None, since is None)
    return Answer(items, None, log.sync_token(account, place.until), since is None)


def events(
    calendar: Calendar,
    account: str,
    role: Role,
    query: Mapping[str, str],
    now: datetime,
    *,
    at_most: int | None = None,
    empty: bool = False,
) -> Answer:
    """A page of events.list. Raises `Refused`."""
    check(query)
    most = size(query, PAGE, LARGEST_PAGE, at_most)
    hidden = role == "freeBusyReader"
    single, deleted = flag(query, "singleEvents") or hidden, flag(query, "showDeleted")

    def shown(incremental: bool) -> Callable[[Entry], list[Entity]]:
        def items(entry: Entry) -> list[Entity]:
            told = (
                expanded(calendar, entry, now, incremental=incremental)
                if single
                else whole(calendar, entry, deleted=deleted or incremental)
            )
            return [busy(event) if hidden else event for event in told if fits(event, query)]

        return items

    return read(calendar.log, account, query, most, shown, empty=empty)


def check(query: Mapping[str, str]) -> None:
    """Raises `Refused` for parameters that do not go together."""
    if "syncToken" in query:
        if wrong := [name for name in NOT_WITH_SYNC_TOKEN if name in query]:
            raise bad_request(f"Sync token cannot be used together with {', '.join(wrong)}.")
        if query.get("showDeleted", "true").lower() == "false":
            raise bad_request("Deleted events cannot be left out with a sync token.")
    if query.get("orderBy") == "startTime" and not flag(query, "singleEvents"):
        raise bad_request("The requested ordering is not available for the particular query.")
    for name in ("timeMin", "timeMax", "updatedMin"):
        if name in query:
            _bound(query, name)


def whole(calendar: Calendar, entry: Entry, *, deleted: bool) -> list[Entity]:
    """Series, single events and exceptions. Removed occurrences of what still recurs are always among them."""
    if entry.value["status"] != "cancelled":
        return [entry.value]
    return [bare(entry)] if deleted or not entry.gone else []


def expanded(calendar: Calendar, entry: Entry, now: datetime, *, incremental: bool) -> list[Entity]:
    """Single events, and occurrences instead of series. An incremental read tells what is no more, too."""
    event = entry.value
    if "recurringEventId" in event and not entry.gone and not incremental:
        return []  # its series tells it
    if not event.get("recurrence") and event["id"] not in calendar.seen:
        return whole(calendar, entry, deleted=incremental)
    living = [] if entry.gone or not event.get("recurrence") else calendar.occurrences(event, now)
    if entry.gone is False and not event.get("recurrence"):
        living = [event]
    ids = {one["id"] for one in living}
    before = calendar.seen.get(event["id"], [])
    calendar.seen[event["id"]] = [*before, *(id_ for id_ in ids if id_ not in before)]
    dead = [{"kind": "calendar#event", "id": id_, "status": "cancelled"} for id_ in before if id_ not in ids]
    return living + (dead if incremental else [])


def fits(event: Entity, query: Mapping[str, str]) -> bool:
    """Whether the filters of a list let an event pass."""
    if "iCalUID" in query and event.get("iCalUID") != query["iCalUID"]:
        return False
    if "q" in query and query["q"].lower() not in f"{event.get('summary')} {event.get('description')}".lower():
        return False
    if "updatedMin" in query and datetime.fromisoformat(event["updated"]) < _bound(query, "updatedMin"):
        return False
    if query.keys().isdisjoint(("timeMin", "timeMax")):
        return True  # not looked at: it may be held as Google would never have it
    if event["status"] == "cancelled" or "start" not in event or event.get("recurrence"):
        return True
    ends, starts = times.point(event["end"]), times.point(event["start"])
    return not ("timeMin" in query and ends <= _bound(query, "timeMin")) and not (
        "timeMax" in query and starts >= _bound(query, "timeMax")
    )


def _bound(query: Mapping[str, str], name: str) -> datetime:
    try:
        at = datetime.fromisoformat(query[name])
    except ValueError:
        raise invalid(name) from None
    if at.tzinfo is None:
        raise invalid(name)
    return at
