"""Google Calendar: developers.google.com/workspace/calendar/api (providers.md §§1.1, 1.2).

Two kinds of list are read alike: the calendars that a person sees, and the events of each. Both give a sync token with
their last page, and take it for what changed since. Series come as they are, never expanded (`singleEvents=false`).
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import httpx
import orjson

from processors.derive.google_calendar import COLLECTION, Calendar, derive_calendar, derive_event
from processors.derive.ids import Ids
from processors.providers.access import Access, Channel
from processors.providers.exchange import DEADLINE, OFF_LOOP, Answer, ask, counted, parsed, read, retry_at
from processors.providers.google_calendar_position import (
    MARK,
    Everything,
    Next,
    Position,
    page_token,
    parse,
    sync_token,
)
from schemas import plan
from schemas.outcome import Expired, Fetching, Gone, Reauthorize, RetryAfter, Taken, Unwatchable, Watched, Watching
from schemas.plan import Observed, Page, Rejected
from schemas.providers import Kind, Provider

PROVIDER: Final[Provider] = "google"
PRODUCT: Final = "calendar"
LIST: Final = "calendar/list"
ROOTS: Final = (LIST,)
EVENTS: Final = "calendar/events/"
"""What the name of a calendar's events begins with; the rest is Google's id of the calendar."""

SAFETY_POLL: Final = timedelta(hours=6)
"""Some announcements are dropped in normal operation (providers.md §1.1)."""
UNWATCHED_POLL: Final = timedelta(minutes=15)
WEBHOOK: Final = "/webhooks/google/channel"

CALLED: Final = "Google Calendar"

CALENDARS_ASKED: Final = {"maxResults": "250", "showHidden": "true"}
"""A hidden calendar is one of the person's like any other, and a sync token shows it anyway. 250 is the most."""

EVENTS_ASKED: Final = {"maxResults": "250", "singleEvents": "false"}
"""The same with every sync token, as Google demands.

2,500 might be asked for. A page is held in memory whole and has to fit `exchange.MAX_BODY` whatever it holds, or it could
never be read: at 250, events of 256 KiB each do, and larger ones are rejected anyway. What a page of thousands would save
in calls, a restart in the middle of a long read would lose. `showDeleted` stays away: without it, the cancelled
occurrences of living series are shown in full reads, too, and with a sync token everything that was deleted is.
"""

FREE_BUSY: Final = "freeBusyReader"
"""Who may see no more than when somebody is busy is shown the occurrences of series, whatever is asked (§1.2)."""

LIFE: Final = timedelta(days=7)
"""How long a channel lives of which Google does not say it (`params.ttl`, providers.md §1.2)."""

LIMITS: Final = frozenset(
    {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded", "RATE_LIMIT_EXCEEDED"}
)
REFUSALS: Final = frozenset({"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "authError"})
OURS: Final = frozenset(
    {"accessNotConfigured", "SERVICE_DISABLED", "push.webhookUrlUnauthorized", "push.webhookUrlNotHttps"}
)
"""For these no person and no calendar can do anything: our project may not call the API, our address is not welcome."""

NOT_PUSHED: Final = "pushNotSupportedForRequestedResource"
TAKEN: Final = "channelIdNotUnique"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_REASONS: Final = LIMITS | REFUSALS | OURS | {NOT_PUSHED, TAKEN}


async def fetch(
    client: httpx.AsyncClient,
    access: Access,
    resource: str,
    position: str | None,
    ids: Ids,
    now: datetime,
    *,
    deadline: float = DEADLINE,
) -> Page | Fetching:
    """The changes since `position`; the first page of everything there is when it is None. `now` is aware, UTC.

    Raises nothing that the network or the provider can cause; LookupError for a resource that is not of this product.
    """
    url = f"{access.base_url}{_path(resource)}"
    try:
        place = parse(position)
    except ValueError:
        return Expired("the stored position is none that is known here")
    asked = CALENDARS_ASKED if resource == LIST else EVENTS_ASKED
    tokens = {"syncToken": sync_token(place), "pageToken": page_token(place)}
    params = asked | {name: token for name, token in tokens.items() if token is not None}
    request = {"method": "GET", "url": url, "headers": _headers(access), "params": params}
    answer = await ask(client, request, CALLED, deadline)
    outcome = answer if isinstance(answer, RetryAfter) else await _read(answer, resource, place, ids, now)
    return counted(PROVIDER, outcome)


def holds(kind: Kind, external_id: str) -> str | None:
    """A calendar stands for its events."""
    if kind != "collection" or not external_id.startswith(COLLECTION):
        return None
    return EVENTS + external_id.removeprefix(COLLECTION)


def shown(mapping: plan.Mapping, now: datetime) -> bool:
    """A full read shows all there is: hidden calendars, and the cancelled occurrences of living series as well."""
    return True


async def watch(
    client: httpx.AsyncClient,
    access: Access,
    resource: str,
    channel: Channel,
    now: datetime,
    *,
    deadline: float = DEADLINE,
) -> Watching:
    """Asks for a channel. `now` is aware, UTC. Raises LookupError for a resource that is not of this product."""
    body = {"id": str(channel.id), "type": "web_hook", "token": channel.token, "address": channel.address}
    url = f"{access.base_url}{_path(resource)}/watch"
    answer = await ask(client, _post(access, url, body), CALLED, deadline)
    return counted(PROVIDER, answer if isinstance(answer, RetryAfter) else await _watching(answer, resource, now))


async def stop(
    client: httpx.AsyncClient, access: Access, channel: Channel, external_id: str, *, deadline: float = DEADLINE
) -> RetryAfter | Reauthorize | None:
    """Ends a channel. One that Google does not know has ended by itself."""
    url = f"{access.base_url}/calendar/v3/channels/stop"
    body = {"id": str(channel.id), "resourceId": external_id}
    answer = await ask(client, _post(access, url, body), CALLED, deadline)
    return counted(PROVIDER, answer if isinstance(answer, RetryAfter) else _stopped(answer))


def _path(resource: str) -> str:
    if resource == LIST:
        return "/calendar/v3/users/me/calendarList"
    calendar_id = resource.removeprefix(EVENTS)
    if calendar_id == resource:
        raise LookupError(f"{resource} is not of {CALLED}")
    return f"/calendar/v3/calendars/{quote(calendar_id, safe='')}/events"


def _headers(access: Access) -> dict[str, str]:
    return {"Authorization": f"Bearer {access.token}"}


def _post(access: Access, url: str, body: Mapping[str, str]) -> dict[str, Any]:
    return {"method": "POST", "url": url, "headers": _headers(access), "json": body}


# Pages ----------------------------------------------------------------------------------------------------------------


async def _read(answer: Answer, resource: str, place: Position, ids: Ids, now: datetime) -> Page | Fetching:
    refused = classify(answer, resource, positioned=not isinstance(place, Everything), now=now)
    if refused is not None:
        return refused
    return await read(answer, lambda body: _page(body, resource, place, ids))


def classify(answer: Answer, resource: str, *, positioned: bool, now: datetime) -> Fetching | None:
    """What an answer means for the run; None when it is a success. The only place that knows Google's status codes.

    `positioned`: a sync token or a page token was sent. Without one there is nothing to start over, whatever the answer
    says. Errors: developers.google.com/workspace/calendar/api/guides/errors.
    """
    status = answer.status
    if status == 200:
        return None
    reasons = _reasons(answer)
    why = f"{CALLED} answered {': '.join((str(status), *sorted(reasons)))}"
    if reasons & OURS:
        return RetryAfter(why)
    if status == 401 or (status == 403 and reasons & REFUSALS):
        return Reauthorize(why)
    if status == 429 or (status == 403 and reasons & LIMITS):
        return RetryAfter(why, retry_at(answer, now))
    if status in (400, 410) and positioned:
        return Expired(f"{why} to a position it gave")
    if status in (403, 404) and resource != LIST:
        return Gone(why)
    return RetryAfter(why)


def _reasons(answer: Answer) -> frozenset[str]:
    """The reasons of an error that are known here, of its old shape (`errors`) and its new one (`details`)."""
    try:
        error = orjson.loads(answer.body)["error"] if len(answer.body) <= OFF_LOOP else {}
        listed = [*(error.get("errors") or ()), *(error.get("details") or ())]
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        return frozenset()
    return frozenset(r for one in listed if isinstance(one, dict) and (r := str(one.get("reason"))) in _REASONS)


def _page(body: bytes, resource: str, place: Position, ids: Ids) -> Page | RetryAfter:
    try:
        answer = parsed(body)
    except ValueError:
        return RetryAfter(f"{CALLED}'s answer is not JSON")
    if wrong := _wrong(answer, place):
        return RetryAfter(f"{CALLED}'s answer is not what its documents promise: {wrong}")
    since, full, page = sync_token(place), sync_token(place) is None, answer.get("nextPageToken")
    observed, rejected = _derived(answer, resource, ids)
    position = Next(page=page, since=since).text() if page else answer["nextSyncToken"]
    continues = full and isinstance(place, Next)
    return Page(observed, rejected, position, more=bool(page), full=full, continues=continues)


def _derived(answer: dict[str, Any], resource: str, ids: Ids) -> tuple[list[Observed], list[Rejected]]:
    items = answer.get("items", [])
    if resource == LIST:
        derived = [derive_calendar(value, ids) for value in items]
    else:
        expanded = answer.get("accessRole") == FREE_BUSY
        calendar = Calendar(resource.removeprefix(EVENTS), answer.get("timeZone"), expanded)
        derived = [derive_event(value, calendar, ids) for value in sorted(items, key=_is_part)]
    return [o for o in derived if isinstance(o, Observed)], [r for r in derived if isinstance(r, Rejected)]


def _is_part(value: object) -> bool:
    """A series comes before its exceptions: whoever reads the changes in order knows what they belong to."""
    return isinstance(value, dict) and bool(value.get("recurringEventId"))


def _wrong(answer: object, place: Position) -> str | None:
    """The first thing that is wrong with the envelope of a page.

    In a full read the array has to be there: what it does not show counts as deleted.
    """
    if not isinstance(answer, dict):
        return "not an object"
    page, token = answer.get("nextPageToken"), answer.get("nextSyncToken")
    if not isinstance(answer.get("items", None if sync_token(place) is None else []), list):
        return "items is not an array"
    if not isinstance(answer.get("timeZone"), str | None):
        return "timeZone is not text"
    if page is not None:
        return _wrong_page(page, place)
    if not isinstance(token, str) or not token or "\0" in token or token.startswith(MARK):
        return "nextSyncToken is missing or not text"
    return None


def _wrong_page(page: object, place: Position) -> str | None:
    if not isinstance(page, str) or not page or "\0" in page:
        return "nextPageToken is not text"
    return "nextPageToken leads to the same page" if page == page_token(place) else None


# Channels -------------------------------------------------------------------------------------------------------------


async def _watching(answer: Answer, resource: str, now: datetime) -> Watching:
    if answer.status >= 400:
        reasons = _reasons(answer)
        if TAKEN in reasons:
            return Taken(f"{CALLED} knows this channel already")
        if NOT_PUSHED in reasons:
            return Unwatchable(f"{CALLED} announces nothing of this calendar")
    match classify(answer, resource, positioned=False, now=now):
        case None:
            return await read(answer, lambda body: _watched(body, now))
        case Expired(why):  # only a position expires
            return RetryAfter(why)
        case refused:
            return refused


def _watched(body: bytes, now: datetime) -> Watched | RetryAfter:
    try:
        channel = orjson.loads(body)
    except orjson.JSONDecodeError:
        return RetryAfter(f"{CALLED}'s answer is not JSON")
    resource_id = channel.get("resourceId") if isinstance(channel, dict) else None
    if not isinstance(resource_id, str) or not resource_id or "\0" in resource_id:
        return RetryAfter(f"{CALLED}'s answer is not what its documents promise: resourceId is missing or not text")
    return Watched(resource_id, _expires_at(channel.get("expiration"), now))


def _expires_at(milliseconds: object, now: datetime) -> datetime:
    """Milliseconds since the epoch, as text or as a number. What is no such time is taken for the usual length of life."""
    text = str(milliseconds)
    try:
        return _EPOCH + timedelta(milliseconds=int(text)) if text.isascii() and text.isdigit() else now + LIFE
    except (ValueError, OverflowError):
        return now + LIFE


def _stopped(answer: Answer) -> RetryAfter | Reauthorize | None:
    if answer.status in (200, 204, 404):
        return None
    why = f"{CALLED} answered {answer.status}"
    refused = answer.status == 401 or (answer.status == 403 and _reasons(answer) & REFUSALS)
    return Reauthorize(why) if refused else RetryAfter(why)
