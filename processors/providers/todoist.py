"""Todoist: one page of changes from the Sync API v1 (https://developer.todoist.com/api/v1/, providers.md §3.5)."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any, Final, assert_never

import httpx
import orjson

from processors.derive import todoist as derive
from processors.derive.ids import Ids
from processors.derive.todoist import shown
from processors.providers.access import Access
from schemas.outcome import Expired, Fetching, Reauthorize, RetryAfter
from schemas.plan import Observed, Page, Rejected
from schemas.providers import Provider
from schemas.telemetry import PROVIDER_CALLS

__all__ = ["NAME", "RESOURCES", "SAFETY_POLL", "classify", "fetch", "shown"]

NAME: Final[Provider] = "todoist"

RESOURCES: Final = ("everything",)
"""One cursor for all: a `sync_token` covers every resource type that is asked for with it."""

SAFETY_POLL: Final = timedelta(hours=6)
"""Deliveries may be late or missing (providers.md §3.4), so a quiet account is read this often."""

DEADLINE: Final = 20.0
"""Seconds for the whole call, the last byte included. The API itself gives up after 15."""

MAX_BODY: Final = 64 << 20
"""Bytes of an answer, unpacked. A full read of the largest plan is about a tenth of it."""

STALE: Final = timedelta(minutes=1)
"""A full read may be served from a copy; older than this, an incremental call has to follow at once."""

MAX_WAIT: Final = timedelta(hours=1)
"""Limits are counted over 15 minutes; nothing an answer says may silence a cursor for longer than this."""

OFF_LOOP: Final = 256 << 10
"""Answers larger than this are read in a thread: seconds of parsing would let this process's leases run out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, read to its end."""

    status: int
    headers: httpx.Headers
    body: bytes


async def fetch(
    client: httpx.AsyncClient,
    access: Access,
    position: str | None,
    ids: Ids,
    now: datetime,
    *,
    deadline: float = DEADLINE,
) -> Page | Fetching:
    """The changes since `position`; everything there is when it is None. `now` is aware.

    `Page.full` is what the answer says, whatever was asked: the API may answer any call with a full read, which replaces
    what is held. Raises nothing that the network or the provider can cause.
    """
    answer = await _call(client, access, position, deadline)
    outcome = answer if isinstance(answer, RetryAfter) else await _read(answer, position, ids, now)
    PROVIDER_CALLS.labels(NAME, _word(outcome)).inc()
    return outcome


async def _read(answer: Answer, position: str | None, ids: Ids, now: datetime) -> Page | Fetching:
    refused = classify(answer, incremental=position is not None, now=now)
    if refused is not None:
        return refused
    if len(answer.body) > OFF_LOOP:
        return await asyncio.to_thread(_page, answer.body, position, ids, now)
    return _page(answer.body, position, ids, now)


def classify(answer: Answer, *, incremental: bool, now: datetime) -> Fetching | None:
    """What an answer means for the run; None when it is a success. The only place that knows Todoist's status codes.

    A refused `sync_token` has no documented answer (providers.md §3.5), so any other 4xx to a call that sent one counts
    as that; a 4xx to a full read leaves nothing to start over with, and is tried again later.
    """
    status = answer.status
    if status == 200:
        return None
    if status in (401, 403):
        return Reauthorize(f"Todoist answered {status}: the access was revoked or has expired")
    if status == 429:
        return RetryAfter("Todoist answered 429: too many calls", _retry_at(answer, now))
    if 400 <= status < 500 and status != 408 and incremental:
        return Expired(f"Todoist answered {status} to the sync token")
    return RetryAfter(f"Todoist answered {status}")


async def _call(
    client: httpx.AsyncClient, access: Access, position: str | None, deadline: float
) -> Answer | RetryAfter:
    """The exchange itself. An error is told by its type alone: its text may quote the request, token included."""
    try:
        async with asyncio.timeout(deadline), client.stream("POST", **_request(access, position)) as response:
            body = await _bounded(response)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, TimeoutError, OSError) as error:
        return RetryAfter(f"Todoist could not be asked: {type(error).__name__}")
    if body is None:
        return RetryAfter(f"Todoist's answer is larger than {MAX_BODY} bytes")
    return Answer(response.status_code, response.headers, body)


def _request(access: Access, position: str | None) -> dict[str, Any]:
    return {
        "url": f"{access.base_url}/api/v1/sync",
        "headers": {"Authorization": f"Bearer {access.token}"},
        "data": {
            "sync_token": "*" if position is None else position,
            "resource_types": orjson.dumps(derive.RESOURCES).decode(),
        },
    }


async def _bounded(response: httpx.Response) -> bytes | None:
    """The body, or None as soon as it is too large."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


def _page(body: bytes, position: str | None, ids: Ids, now: datetime) -> Page | RetryAfter:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return RetryAfter("Todoist's answer is not JSON")
    if wrong := _wrong(answer):
        return RetryAfter(f"Todoist's answer is not what its documents promise: {wrong}")
    full, token = answer["full_sync"], answer["sync_token"]
    derived = [derive.derive(name, value, ids) for name in derive.RESOURCES for value in answer.get(name, ())]
    return Page(
        observed=[item for item in derived if isinstance(item, Observed)],
        rejected=[item for item in derived if isinstance(item, Rejected)],
        position=token,
        # A token we have just used would only bring the same answer again.
        more=full and token != position and _stale(answer.get("full_sync_date_utc"), now),
        full=full,
    )


def _wrong(answer: object) -> str | None:
    """The first thing that is wrong with the envelope.

    In a full read every array has to be there: what it does not show counts as deleted. An incremental answer may leave
    out what has no changes.
    """
    if not isinstance(answer, dict):
        return "not an object"
    token, full = answer.get("sync_token"), answer.get("full_sync")
    if not isinstance(token, str) or not token or "\0" in token:
        return "sync_token is missing or not text"
    if not isinstance(full, bool):
        return "full_sync is missing or neither true nor false"
    absent = None if full else ()
    return next((f"{n} is not an array" for n in derive.RESOURCES if not _is_array(answer.get(n, absent))), None)


def _is_array(value: object) -> bool:
    return isinstance(value, list | tuple)


def _stale(text: object, now: datetime) -> bool:
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else now
    except ValueError:
        return False
    return now - (at if at.tzinfo else at.replace(tzinfo=UTC)) > STALE


def _retry_at(answer: Answer, now: datetime) -> datetime | None:
    """When a 429 lets us in again: `error_extra.retry_after` (documented), else the header (RFC 9110 §10.2.3)."""
    seconds = _retry_in_body(answer.body)
    if seconds is None:
        seconds = _retry_in_header(answer.headers.get("retry-after", ""), now)
    if seconds is None or not isfinite(seconds):
        return None
    return now + timedelta(seconds=min(max(seconds, 0.0), MAX_WAIT.total_seconds()))


def _retry_in_body(body: bytes) -> float | None:
    try:
        seconds = orjson.loads(body)["error_extra"]["retry_after"]
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        return None
    return float(seconds) if isinstance(seconds, int | float) and not isinstance(seconds, bool) else None


def _retry_in_header(text: str, now: datetime) -> float | None:
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


def _word(outcome: Page | Fetching) -> str:
    match outcome:
        case Page():
            return "page"
        case RetryAfter():
            return "retry"
        case Reauthorize():
            return "reauthorize"
        case Expired():
            return "expired"
    assert_never(outcome)
