"""One exchange with a provider's API, as every reader has it: bounded in bytes and seconds, and never raising."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any, Final, TypeVar

import httpx
import orjson

from schemas.outcome import Expired, Fetching, Gone, Reauthorize, RetryAfter, Taken, Unwatchable, Watched, Watching
from schemas.plan import Page
from schemas.providers import Provider
from schemas.telemetry import PROVIDER_CALLS

DEADLINE: Final = 20.0
"""Seconds for the whole call, the last byte included."""

SILENCE: Final = 10.0
"""Seconds that may pass without a byte. Shorter than a whole call may last, so that a provider that is stuck is left early."""

CONNECT: Final = 5.0

MAX_BODY: Final = 64 << 20
"""Bytes of an answer, unpacked. A reader asks for pages that cannot be larger."""

MAX_WAIT: Final = timedelta(hours=1)
"""Nothing an answer says may silence a cursor for longer than this."""

OFF_LOOP: Final = 256 << 10
"""Answers larger than this are read in a thread: seconds of parsing would let this process's leases run out."""

WORDS: Final[Mapping[type, str]] = {
    Page: "page",
    RetryAfter: "retry",
    Reauthorize: "reauthorize",
    Expired: "expired",
    Gone: "gone",
    Watched: "watched",
    Unwatchable: "unwatchable",
    Taken: "taken",
    type(None): "stopped",
}
"""How a call ended, in the word of the metric. None is the end of a subscription."""

T = TypeVar("T")
Outcome = TypeVar("Outcome", bound=Page | Fetching | Watching | None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, read to its end."""

    status: int
    headers: httpx.Headers
    body: bytes


def client(calls_at_once: int) -> httpx.AsyncClient:
    """Connections for so many calls at once, none of which waits for another's."""
    return httpx.AsyncClient(
        limits=httpx.Limits(max_connections=calls_at_once), timeout=httpx.Timeout(SILENCE, connect=CONNECT, pool=None)
    )


async def ask(
    client: httpx.AsyncClient, request: Mapping[str, Any], called: str, deadline: float = DEADLINE
) -> Answer | RetryAfter:
    """The answer to a request (the arguments of `httpx.AsyncClient.stream`) of the API that is `called` so.

    An error is told by its type alone: its text may quote the request, token included.
    """
    try:
        async with asyncio.timeout(deadline), client.stream(**request) as response:
            body = await _bounded(response)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, TimeoutError, OSError) as error:
        return RetryAfter(f"{called} could not be asked: {type(error).__name__}")
    if body is None:
        return RetryAfter(f"{called}'s answer is larger than {MAX_BODY} bytes")
    return Answer(response.status_code, response.headers, body)


async def _bounded(response: httpx.Response) -> bytes | None:
    """The body, or None as soon as it is too large."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


def parsed(body: bytes) -> Any:
    """The JSON value of a body. Raises ValueError.

    RFC 8259 §8.2 allows half of a surrogate pair as an escape, which no text can hold: it becomes U+FFFD, so that one item
    does not make a page unreadable for ever.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        if b"\\u" not in body:
            raise
    try:
        return _whole(json.loads(body, parse_constant=_no_number))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _whole(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_whole(one) for one in value]
        case dict():
            return {_whole(name): _whole(one) for name, one in value.items()}
    return value


async def read(answer: Answer, reading: Callable[[bytes], T]) -> T:
    """What `reading` makes of the body, without holding up the loop."""
    if len(answer.body) > OFF_LOOP:
        return await asyncio.to_thread(reading, answer.body)
    return reading(answer.body)


def counted(provider: Provider, outcome: Outcome) -> Outcome:
    """Counts a call by how it ended."""
    PROVIDER_CALLS.labels(provider, WORDS[type(outcome)]).inc()
    return outcome


def retry_at(answer: Answer, now: datetime, seconds: float | None = None) -> datetime | None:
    """When a limit lets us in again: in the `seconds` that the body says, else as the header does (RFC 9110 §10.2.3)."""
    if seconds is None:
        seconds = _in_header(answer.headers.get("retry-after", ""), now)
    if seconds is None or not isfinite(seconds):
        return None
    return now + timedelta(seconds=min(max(seconds, 0.0), MAX_WAIT.total_seconds()))


def _in_header(text: str, now: datetime) -> float | None:
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    except (ValueError, OverflowError, TypeError):
        return None
