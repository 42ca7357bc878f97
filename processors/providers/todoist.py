"""Todoist: one page of changes, from the Sync API v1 (https://developer.todoist.com/api/v1/, providers.md §3.5).

`/sync` in full shows what is active; the completed tasks of a full read come from `tasks/completed/by_completion_date`.
`todoist_position` says in which order, and where a read goes on that was cut short.
"""

from datetime import datetime, timedelta
from typing import Any, Final, assert_never

import httpx
import orjson

from processors.derive import todoist as derive
from processors.derive.ids import Ids
from processors.derive.todoist import shown
from processors.providers.access import Access
from processors.providers.exchange import DEADLINE, Answer, ask, counted, parsed, read, retry_at
from processors.providers.todoist_position import (
    MARK,
    Completed,
    Everything,
    Following,
    Position,
    Since,
    begin,
    parse,
)
from schemas.outcome import Expired, Fetching, Reauthorize, RetryAfter
from schemas.plan import Observed, Page, Rejected
from schemas.providers import Kind, Provider

__all__ = ["PRODUCT", "PROVIDER", "ROOTS", "SAFETY_POLL", "classify", "fetch", "holds", "shown"]

PROVIDER: Final[Provider] = "todoist"

PRODUCT: Final = "everything"
ROOTS: Final = (PRODUCT,)
"""One cursor for all: a `sync_token` covers every resource type that is asked for with it."""

SAFETY_POLL: Final = timedelta(hours=6)
"""Deliveries may be late or missing (providers.md §3.4), so a quiet account is read this often."""

PAGE: Final = 200
"""Completed tasks of one page; the most that may be asked for."""


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

    The API may answer any call for changes with a full read, which replaces what is held: `Page.full` is what it says,
    whatever was asked. Raises nothing that the network or the provider can cause.
    """
    place = _place(position)
    if place is None:
        return Expired("the stored position is none that is known here")
    answer = await ask(client, _request(access, place), "Todoist", deadline)
    outcome = answer if isinstance(answer, RetryAfter) else await _read(answer, place, ids, now)
    return counted(PROVIDER, outcome)


def holds(kind: Kind, external_id: str) -> str | None:
    """No item of Todoist stands for a resource: one cursor reads everything."""
    return None


def _place(text: str | None) -> Position | None:
    try:
        return parse(text)
    except ValueError:
        return None


async def _read(answer: Answer, place: Position, ids: Ids, now: datetime) -> Page | Fetching:
    refused = classify(answer, incremental=_may_expire(place), now=now)
    if refused is not None:
        return refused
    return await read(answer, lambda body: _page(body, place, ids, now))


def _may_expire(place: Position) -> bool:
    """Whether the question itself holds something that Todoist may have forgotten: a sync token, or a page's cursor."""
    return isinstance(place, Since | Following) or (isinstance(place, Completed) and place.cursor is not None)


def classify(answer: Answer, *, incremental: bool, now: datetime) -> Fetching | None:
    """What an answer means for the run; None when it is a success. The only place that knows Todoist's status codes.

    `incremental`: a sync token or a page's cursor was sent. What a refused one is answered with is not documented
    (providers.md §3.5), so any other 4xx counts as that; without one there is nothing to start over, and it is tried
    again later.
    """
    status = answer.status
    if status == 200:
        return None
    if status in (401, 403):
        return Reauthorize(f"Todoist answered {status}: the access was revoked or has expired")
    if status == 429:
        return RetryAfter("Todoist answered 429: too many calls", retry_at(answer, now, _retry_in_body(answer.body)))
    if 400 <= status < 500 and status != 408 and incremental:
        return Expired(f"Todoist answered {status} to a position it gave")
    return RetryAfter(f"Todoist answered {status}")


def _request(access: Access, place: Position) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {access.token}"}
    match place:
        case Completed():
            url = f"{access.base_url}/api/v1/tasks/completed/by_completion_date"
            asked = {"since": place.since, "until": place.until, "limit": str(PAGE)}
            cursor = {"cursor": place.cursor} if place.cursor else {}
            return {"method": "GET", "url": url, "headers": headers, "params": asked | cursor}
        case Everything() | Since() | Following():
            url = f"{access.base_url}/api/v1/sync"
            token = "*" if isinstance(place, Everything) else place.token
            form = {"sync_token": token, "resource_types": orjson.dumps(derive.RESOURCES).decode()}
            return {"method": "POST", "url": url, "headers": headers, "data": form}
    assert_never(place)


def _page(body: bytes, place: Position, ids: Ids, now: datetime) -> Page | RetryAfter:
    try:
        answer = parsed(body)
    except ValueError:
        return RetryAfter("Todoist's answer is not JSON")
    if wrong := _wrong_list(answer, place) if isinstance(place, Completed) else _wrong(answer):
        return RetryAfter(f"Todoist's answer is not what its documents promise: {wrong}")
    return _completed_page(answer, place, ids) if isinstance(place, Completed) else _sync_page(answer, place, ids, now)


def _sync_page(answer: dict[str, Any], place: Everything | Since | Following, ids: Ids, now: datetime) -> Page:
    """A page of `/sync`. One in full begins a full read; the last part of a full read ends it."""
    observed, rejected = _derived(answer, ids)
    last_part, token = isinstance(place, Following), answer["sync_token"]
    if answer["full_sync"]:
        after = begin(token, now, follow=not last_part)
        return Page(observed, rejected, after.text(), more=True, full=True)
    return Page(observed, rejected, token, more=False, full=last_part, continues=last_part)


def _completed_page(answer: dict[str, Any], place: Completed, ids: Ids) -> Page:
    """A page of completed tasks: the same objects as the `items` of `/sync`.

    After the last one, what changed while they were read. Without that, a task reopened meanwhile would be in no part
    and count as deleted; and the first part may have been served from an old copy (providers.md §3.5).
    """
    observed, rejected = _derived({"items": answer["items"]}, ids)
    cursor: str | None = answer.get("next_cursor")
    if cursor is None and not place.follow:
        return Page(observed, rejected, place.token, more=False, full=True, continues=True)
    after = place.model_copy(update={"cursor": cursor}) if cursor else Following(token=place.token)
    return Page(observed, rejected, after.text(), more=True, full=True, continues=True)


def _derived(answer: dict[str, Any], ids: Ids) -> tuple[list[Observed], list[Rejected]]:
    derived = [derive.derive(name, value, ids) for name in derive.RESOURCES for value in answer.get(name, ())]
    observed = [item for item in derived if isinstance(item, Observed)]
    return observed, [item for item in derived if isinstance(item, Rejected)]


def _wrong(answer: object) -> str | None:
    """The first thing that is wrong with the envelope of `/sync`.

    In a full read every array has to be there: what it does not show counts as deleted. An incremental answer may leave
    out what has no changes.
    """
    if not isinstance(answer, dict):
        return "not an object"
    token, full = answer.get("sync_token"), answer.get("full_sync")
    if not isinstance(token, str) or not token or "\0" in token or token.startswith(MARK):
        return "sync_token is missing or not text"
    if not isinstance(full, bool):
        return "full_sync is missing or neither true nor false"
    absent = None if full else ()
    return next((f"{n} is not an array" for n in derive.RESOURCES if not _is_array(answer.get(n, absent))), None)


def _wrong_list(answer: object, place: Completed) -> str | None:
    """The first thing that is wrong with the envelope of completed tasks. The last page may leave `next_cursor` out."""
    if not isinstance(answer, dict):
        return "not an object"
    if not _is_array(answer.get("items")):
        return "items is not an array"
    cursor = answer.get("next_cursor")
    if cursor is not None and (not isinstance(cursor, str) or not cursor):
        return "next_cursor is not text"
    return "next_cursor leads to the same page" if cursor and cursor == place.cursor else None


def _is_array(value: object) -> bool:
    return isinstance(value, list | tuple)


def _retry_in_body(body: bytes) -> float | None:
    """`error_extra.retry_after`, which is documented."""
    try:
        seconds = orjson.loads(body)["error_extra"]["retry_after"]
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        return None
    return float(seconds) if isinstance(seconds, int | float) and not isinstance(seconds, bool) else None
