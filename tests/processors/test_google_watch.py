"""A channel is asked for once per row: made, never to be had, made before, or to be asked for again; ended is ended."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from processors.providers import Access, Channel
from processors.providers.google_calendar import EVENTS, LIFE, LIST, WEBHOOK, stop, watch
from schemas.outcome import Gone, Reauthorize, RetryAfter, Taken, Unwatchable, Watched, Watching

NOW = datetime(2026, 5, 5, 12, 0, tzinfo=UTC)
ACCESS = Access("http://google.test", "secret-token")
CHANNEL = Channel(UUID("5f0c3a52-8a3e-4f0e-8c1d-2f5b7a9d1e60"), "channel-secret", "https://door.test" + WEBHOOK)
ANN = EVENTS + "ann@example.com"
MADE: dict[str, Any] = {
    "kind": "api#channel",
    "id": str(CHANNEL.id),
    "resourceId": "o3hgv1538sdjfh",
    "resourceUri": "https://www.googleapis.com/calendar/v3/calendars/ann%40example.com/events",
    "token": CHANNEL.token,
    "expiration": "1778500800123",
}


def error(code: int, reason: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": "No", "errors": [{"domain": "global", "reason": reason}]}}


class Google:
    """Answers every request with what it was told to, and remembers what it was asked for."""

    def __init__(self, content: object = b"", status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._body = content if isinstance(content, bytes) else orjson.dumps(content)
        self._status = status
        self._headers = headers
        self.asked: list[tuple[str, Any, str]] = []
        self._app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["POST"])])

    async def _answer(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode()
        self.asked.append((path, await request.json(), request.headers["authorization"]))
        return Response(self._body, self._status, self._headers)

    async def watch(self, resource: str = ANN) -> Watching:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app)) as client:
            return await watch(client, ACCESS, resource, CHANNEL, NOW)

    async def stop(self) -> RetryAfter | Reauthorize | None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app)) as client:
            return await stop(client, ACCESS, CHANNEL, "o3hgv1538sdjfh")


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        (LIST, "/calendar/v3/users/me/calendarList/watch"),
        (ANN, "/calendar/v3/calendars/ann%40example.com/events/watch"),
    ],
)
async def test_a_channel_is_asked_for_with_the_id_and_the_secret_of_its_row(resource: str, path: str) -> None:
    google = Google(MADE)
    assert await google.watch(resource) == Watched(
        "o3hgv1538sdjfh", datetime(2026, 5, 11, 12, 0, 0, 123000, tzinfo=UTC)
    )
    body = {
        "id": "5f0c3a52-8a3e-4f0e-8c1d-2f5b7a9d1e60",
        "type": "web_hook",
        "token": "channel-secret",
        "address": "https://door.test/webhooks/google/channel",
    }
    assert google.asked == [(path, body, "Bearer secret-token")]


async def test_a_resource_of_another_product_is_a_mistake_of_ours() -> None:
    with pytest.raises(LookupError):
        await Google(MADE).watch("drive/changes")


@pytest.mark.parametrize("expiration", [None, "", "soon", "9" * 30, "9" * 5000, -(10**18), True, {}, 1.5, "1e3"])
async def test_a_channel_whose_end_is_not_said_is_taken_to_live_no_longer_than_usual(expiration: object) -> None:
    assert await Google(MADE | {"expiration": expiration}).watch() == Watched("o3hgv1538sdjfh", NOW + LIFE)


async def test_an_end_may_be_a_number() -> None:
    watched = await Google(MADE | {"expiration": 1778500800123}).watch()
    assert isinstance(watched, Watched)
    assert watched.expires_at == datetime(2026, 5, 11, 12, 0, 0, 123000, tzinfo=UTC)


async def test_a_calendar_that_is_never_announced_is_unwatchable() -> None:
    refusal = error(400, "pushNotSupportedForRequestedResource")
    assert isinstance(await Google(refusal, 400).watch(), Unwatchable)


async def test_a_channel_that_google_knows_was_made_by_an_earlier_call() -> None:
    assert isinstance(await Google(error(400, "channelIdNotUnique"), 400).watch(), Taken)


@pytest.mark.parametrize("resource", [LIST, ANN])
async def test_an_access_that_is_refused_needs_the_person(resource: str) -> None:
    for status, reason in ((401, "authError"), (403, "insufficientPermissions")):
        assert isinstance(await Google(error(status, reason), status).watch(resource), Reauthorize)


async def test_an_address_that_google_does_not_want_is_no_matter_of_the_person() -> None:
    refusal = error(401, "push.webhookUrlUnauthorized")
    assert await Google(refusal, 401).watch() == RetryAfter("Google Calendar answered 401: push.webhookUrlUnauthorized")


@pytest.mark.parametrize(("status", "reason"), [(404, "notFound"), (403, "forbidden")])
async def test_a_calendar_that_is_shown_no_more_is_gone(status: int, reason: str) -> None:
    assert isinstance(await Google(error(status, reason), status).watch(), Gone)
    assert isinstance(await Google(error(status, reason), status).watch(LIST), RetryAfter)


@pytest.mark.parametrize(("status", "reason"), [(429, ""), (403, "userRateLimitExceeded")])
async def test_a_limit_is_waited_for(status: int, reason: str) -> None:
    outcome = await Google(error(status, reason), status, {"retry-after": "90"}).watch()
    assert isinstance(outcome, RetryAfter)
    assert outcome.at == NOW + timedelta(seconds=90)


@pytest.mark.parametrize("status", [400, 409, 410, 500, 503])
async def test_any_other_refusal_is_tried_again(status: int) -> None:
    assert await Google(error(status, "channelUnknown"), status).watch() == RetryAfter(
        f"Google Calendar answered {status}"
    )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "is not JSON"),
        (b"[]", "resourceId is missing or not text"),
        ({}, "resourceId is missing or not text"),
        (MADE | {"resourceId": ""}, "resourceId is missing or not text"),
        (MADE | {"resourceId": 7}, "resourceId is missing or not text"),
        (MADE | {"resourceId": "a\0"}, "resourceId is missing or not text"),
    ],
)
async def test_an_answer_that_breaks_its_documents_is_asked_for_again(body: object, why: str) -> None:
    outcome = await Google(body).watch()
    assert isinstance(outcome, RetryAfter)
    assert why in outcome.why


async def test_a_channel_is_ended_by_its_id_and_by_what_google_calls_its_resource() -> None:
    google = Google(status=204)
    assert await google.stop() is None
    body = {"id": str(CHANNEL.id), "resourceId": "o3hgv1538sdjfh"}
    assert google.asked == [("/calendar/v3/channels/stop", body, "Bearer secret-token")]


@pytest.mark.parametrize("status", [200, 204, 404])
async def test_a_channel_that_is_unknown_is_ended_as_well(status: int) -> None:
    assert await Google(status=status).stop() is None


async def test_ending_may_need_the_person_or_another_try() -> None:
    assert isinstance(await Google(error(401, "authError"), 401).stop(), Reauthorize)
    assert isinstance(await Google(error(403, "insufficientPermissions"), 403).stop(), Reauthorize)
    for status in (400, 429, 500):
        assert isinstance(await Google(status=status).stop(), RetryAfter)


async def test_what_cannot_be_asked_is_tried_again_and_no_error_quotes_a_secret() -> None:
    access = Access("http://127.0.0.1:1", "secret\ntoken")
    async with httpx.AsyncClient() as client:
        for outcome in (
            await watch(client, access, ANN, CHANNEL, NOW),
            await stop(client, access, CHANNEL, "o3hgv1538sdjfh"),
        ):
            assert isinstance(outcome, RetryAfter)
            assert "secret" not in outcome.why + repr(access) + repr(CHANNEL)


async def test_every_call_is_counted_by_its_outcome() -> None:
    def count(outcome: str) -> float:
        labels = {"provider": "google", "outcome": outcome}
        return REGISTRY.get_sample_value("lifeos_provider_calls_total", labels) or 0.0

    words = ("watched", "unwatchable", "taken", "stopped", "retry")
    before = [count(word) for word in words]
    await Google(MADE).watch()
    await Google(error(400, "pushNotSupportedForRequestedResource"), 400).watch()
    await Google(error(400, "channelIdNotUnique"), 400).watch()
    await Google(status=204).stop()
    await Google(status=503).stop()
    assert [count(word) for word in words] == [n + 1 for n in before]
