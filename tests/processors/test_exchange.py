"""Whatever a provider's API does, an exchange with it ends: with a whole answer, or in words that quote nothing."""

import asyncio
import gzip
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import NoneType
from typing import get_args

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from processors.providers.exchange import MAX_BODY, MAX_WAIT, OFF_LOOP, WORDS, Answer, ask, read, retry_at
from schemas.outcome import Fetching, RetryAfter, Watching
from schemas.plan import Page
from tests.processors.loopback import endless, served, trickle

NOW = datetime(2026, 5, 5, 12, 0, tzinfo=UTC)
SECRET = {"Authorization": "Bearer secret-token"}


async def asked(base_url: str, deadline: float = 5.0, headers: dict[str, str] = SECRET) -> Answer | RetryAfter:
    request = {"method": "GET", "url": f"{base_url}/api", "headers": headers}
    async with httpx.AsyncClient(timeout=None) as client:  # noqa: S113 - the deadline under test is ask's own
        return await ask(client, request, "The API", deadline)


async def answered(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Answer | RetryAfter:
    async def answer(_: Request) -> Response:
        return Response(body, status, headers)

    transport = httpx.ASGITransport(Starlette(routes=[Route("/api", answer)]))
    async with httpx.AsyncClient(transport=transport) as client:
        return await ask(client, {"method": "GET", "url": "http://api.test/api"}, "The API")


async def test_an_answer_is_read_to_its_end_whatever_it_says() -> None:
    answer = await answered(b"{}", 503, {"retry-after": "7"})
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (503, b"{}", "7")


async def test_an_endless_answer_is_cut_off() -> None:
    async with served(endless) as base_url:
        assert await asked(base_url, 20) == RetryAfter(f"The API's answer is larger than {MAX_BODY} bytes")


async def test_an_answer_that_unpacks_without_end_is_cut_off() -> None:
    bomb = gzip.compress(b" " * (MAX_BODY + 1))
    outcome = await answered(bomb, headers={"content-encoding": "gzip"})
    assert outcome == RetryAfter(f"The API's answer is larger than {MAX_BODY} bytes")


async def test_an_answer_that_trickles_is_given_up_at_the_deadline() -> None:
    async with served(trickle) as base_url:
        assert await asked(base_url, 0.05) == RetryAfter("The API could not be asked: TimeoutError")


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", b"SSH-2.0-x\r\n"])
async def test_a_broken_connection_is_left_to_the_back_off(sent: bytes) -> None:
    async def breaks(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)

    async with served(breaks) as base_url:
        outcome = await asked(base_url)
    assert isinstance(outcome, RetryAfter)
    assert outcome.why.startswith("The API could not be asked: ")
    assert outcome.at is None


async def test_an_answer_that_cannot_be_unpacked_is_left_to_the_back_off() -> None:
    outcome = await answered(b"no gzip", headers={"content-encoding": "gzip"})
    assert outcome == RetryAfter("The API could not be asked: DecodingError")


@pytest.mark.parametrize(
    ("base_url", "token"),
    [
        ("http://127.0.0.1:1", "secret-token"),
        ("http://[", "secret-token"),
        ("http://127.0.0.1:port", "secret-token"),
        ("todoist", "secret-token"),
        ("http://127.0.0.1:1", "secret\ntoken"),
        ("http://127.0.0.1:1", "secret-tökén"),
    ],
)
async def test_what_cannot_be_asked_is_tried_again_and_no_error_quotes_the_token(base_url: str, token: str) -> None:
    outcome = await asked(base_url, headers={"Authorization": f"Bearer {token}"})
    assert isinstance(outcome, RetryAfter)
    assert "secret" not in outcome.why


@pytest.mark.parametrize(("size", "in_a_thread"), [(OFF_LOOP, False), (OFF_LOOP + 1, True)])
async def test_a_large_answer_is_read_beside_the_loop(size: int, in_a_thread: bool) -> None:
    answer = Answer(200, httpx.Headers(), b" " * size)
    length, thread = await read(answer, lambda body: (len(body), threading.get_ident()))
    assert (length, thread != threading.get_ident()) == (size, in_a_thread)


@pytest.mark.parametrize(
    ("header", "in_body", "seconds"),
    [
        ("90", None, 90),
        ("90", 7, 7),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), None, 30),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), None, 0),
        ("Tue, 05 May 2026 12:00:30", None, 30),
        ("9" * 20, None, MAX_WAIT.total_seconds()),
        ("", 1e300, MAX_WAIT.total_seconds()),
        ("", -5, 0),
        ("", float("inf"), None),
        ("9" * 5000, None, None),
        ("²", None, None),
        ("soon", None, None),
        ("", None, None),
    ],
)
def test_a_limit_says_when_to_come_back(header: str, in_body: float | None, seconds: float | None) -> None:
    headers = httpx.Headers([(b"retry-after", header.encode())])
    at = retry_at(Answer(429, headers, b""), NOW, in_body)
    assert at == (None if seconds is None else NOW + timedelta(seconds=seconds))


def test_every_way_in_which_a_call_may_end_has_a_word_of_its_own() -> None:
    assert set(WORDS) == {Page, NoneType, *get_args(Fetching), *get_args(Watching)}
    assert len(set(WORDS.values())) == len(WORDS)
