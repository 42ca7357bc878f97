"""One call gives a page of a calendar list or of events, or an outcome that says who must act; nothing raises."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from processors.derive.ids import Ids
from processors.derive.objects import MAX_SNAPSHOT_BYTES
from processors.providers import Access, reader, roots, watcher
from processors.providers.exchange import MAX_BODY, MAX_WAIT, Answer
from processors.providers.google_calendar import (
    EVENTS,
    EVENTS_ASKED,
    LIST,
    SAFETY_POLL,
    UNWATCHED_POLL,
    classify,
    fetch,
    holds,
    shown,
)
from processors.providers.google_calendar_position import MARK, VERSION, Everything, Next, Since, parse
from schemas.outcome import Expired, Fetching, Gone, Reauthorize, RetryAfter
from schemas.plan import Mapping, Page
from tests.processors.loopback import served, trickle

NOW = datetime(2026, 5, 5, 12, 0, tzinfo=UTC)
IDS = Ids(UUID(int=2), "google", "113774264463038321964")
ACCESS = Access("http://google.test", "secret-token")

ANN = EVENTS + "ann@example.com"
RESOURCES = (LIST, ANN)
LAST: dict[str, Any] = {"items": [], "timeZone": "Europe/Madrid", "nextSyncToken": "s1"}
MORE: dict[str, Any] = {"items": [], "timeZone": "Europe/Madrid", "nextPageToken": "p2"}

INCREMENTAL_PAGE = Next(page="p1", since="s0")
FULL_PAGE = Next(page="p1")


def event(id_: str, **fields: object) -> dict[str, Any]:
    at = {"dateTime": "2026-05-09T10:00:00+02:00"}
    return {"id": id_, "status": "confirmed", "start": at, "end": at} | fields


def exception(id_: str, series: str, **fields: object) -> dict[str, Any]:
    original = {"dateTime": "2026-05-16T10:00:00+02:00", "timeZone": "Europe/Madrid"}
    return event(id_, recurringEventId=series, originalStartTime=original, **fields)


def error(code: int, reason: str, **fields: object) -> dict[str, Any]:
    return {"error": {"code": code, "message": "No", "errors": [{"domain": "global", "reason": reason}]} | fields}


class Google:
    """Answers every question with what it was told to, and remembers what it was asked."""

    def __init__(self, content: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._body = content if isinstance(content, bytes) else orjson.dumps(content)
        self._status = status
        self._headers = headers
        self.asked: list[tuple[str, dict[str, str], str]] = []
        self._app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET"])])

    async def _answer(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode().partition("?")[0]
        self.asked.append((path, dict(request.query_params), request.headers["authorization"]))
        return Response(self._body, self._status, self._headers)

    async def fetch(self, position: str | None = "s0", resource: str = ANN) -> Page | Fetching:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app)) as client:
            return await fetch(client, ACCESS, resource, position, IDS, NOW)


async def page(content: object, position: str | None = "s0", resource: str = ANN) -> Page:
    outcome = await Google(content).fetch(position, resource)
    assert isinstance(outcome, Page), outcome
    return outcome


async def retry(content: object, position: str | None = "s0", status: int = 200, **headers: str) -> RetryAfter:
    outcome = await Google(content, status, {k.replace("_", "-"): v for k, v in headers.items()}).fetch(position)
    assert isinstance(outcome, RetryAfter), outcome
    return outcome


def test_a_connection_begins_with_its_list_of_calendars_and_each_calendar_opens_its_events() -> None:
    assert roots("google") == (LIST,)
    assert holds("collection", "calendar/ann@example.com") == ANN
    assert holds("calendar-event", "calendar/e1") is None
    assert holds("collection", "project/1") is None
    for resource in RESOURCES:
        assert reader("google", resource).PRODUCT == "calendar"
        assert watcher("google", resource) is not None


def test_whatever_exists_is_shown_in_a_full_read() -> None:
    for snapshot in ({"role": "calendar", "google.com:more": {"hidden": True}}, {"excluded": True}):
        assert shown(Mapping(UUID(int=1), "collection", "calendar/1", 1, snapshot, deleted=False), NOW)


def test_what_nobody_announces_is_read_more_often() -> None:
    assert UNWATCHED_POLL < SAFETY_POLL


async def test_a_calendar_list_is_asked_for_with_what_is_hidden() -> None:
    google = Google(LAST)
    await google.fetch(None, LIST)
    path = "/calendar/v3/users/me/calendarList"
    assert google.asked == [(path, {"maxResults": "250", "showHidden": "true"}, "Bearer secret-token")]


async def test_events_are_asked_for_as_series_and_never_expanded() -> None:
    google = Google(LAST)
    await google.fetch(None, ANN)
    path = "/calendar/v3/calendars/ann%40example.com/events"
    assert google.asked == [(path, {"maxResults": "250", "singleEvents": "false"}, "Bearer secret-token")]


@pytest.mark.parametrize(
    ("calendar", "path"),
    [
        ("addressbook#contacts@group.v.calendar.google.com", "addressbook%23contacts%40group.v.calendar.google.com"),
        ("en.usa#holiday/x?y=1&z", "en.usa%23holiday%2Fx%3Fy%3D1%26z"),
        ("größe %2F", "gr%C3%B6%C3%9Fe%20%252F"),
    ],
)
async def test_an_id_is_one_part_of_the_path_whatever_it_holds(calendar: str, path: str) -> None:
    google = Google(LAST)
    await google.fetch(None, EVENTS + calendar)
    assert google.asked[0][0] == f"/calendar/v3/calendars/{path}/events"


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize(
    ("position", "tokens"),
    [
        (None, {}),
        ("s0", {"syncToken": "s0"}),
        (INCREMENTAL_PAGE.text(), {"syncToken": "s0", "pageToken": "p1"}),
        (Next(page="p+/=&%41 é", since="s?#").text(), {"syncToken": "s?#", "pageToken": "p+/=&%41 é"}),
        (FULL_PAGE.text(), {"pageToken": "p1"}),
    ],
)
async def test_every_page_is_asked_for_with_the_same_words_and_its_tokens(
    resource: str, position: str | None, tokens: dict[str, str]
) -> None:
    first, google = Google(LAST), Google(LAST)
    await first.fetch(None, resource)
    await google.fetch(position, resource)
    assert google.asked[0][1] == first.asked[0][1] | tokens


async def test_a_resource_of_another_product_is_a_mistake_of_ours() -> None:
    with pytest.raises(LookupError):
        await Google(LAST).fetch(None, "drive/changes")


async def test_a_page_shows_the_events_and_sets_aside_what_is_malformed() -> None:
    answer = LAST | {"items": [event("e1"), event("e2", start=None), event("e3", status="cancelled")]}
    shown = await page(answer)
    assert [(o.external_id, o.snapshot is None) for o in shown.observed] == [
        ("ann@example.com/e1", False),
        ("ann@example.com/e3", True),
    ]
    assert [r.external_id for r in shown.rejected] == ["ann@example.com/e2"]
    assert (shown.position, shown.more, shown.full, shown.continues) == ("s1", False, False, False)


async def test_a_page_of_the_list_shows_the_calendars() -> None:
    items = [{"id": "ann@example.com", "summary": "Ann"}, {"id": "gone@example.com", "deleted": True}, {"id": 5}]
    shown = await page(LAST | {"items": items}, resource=LIST)
    assert [(o.kind, o.external_id, o.snapshot is None) for o in shown.observed] == [
        ("collection", "calendar/ann@example.com", False),
        ("collection", "calendar/gone@example.com", True),
    ]
    assert [r.detail for r in shown.rejected] == ["id: Input should be a valid string"]


async def test_times_that_name_no_zone_are_in_that_of_the_calendar() -> None:
    [seen] = (await page(LAST | {"items": [event("e1")], "timeZone": "Asia/Kathmandu"})).observed
    assert seen.snapshot is not None
    assert (seen.snapshot["start"], seen.snapshot["timeZone"]) == ("2026-05-09T13:45:00", "Asia/Kathmandu")


async def test_a_series_comes_before_its_exceptions() -> None:
    items = [exception("s_1", "s"), event("a"), exception("s_2", "s", status="cancelled"), event("s")]
    shown = await page(LAST | {"items": items})
    assert [o.external_id.partition("/")[2] for o in shown.observed] == ["a", "s", "s_1", "s_2"]
    series = shown.observed[1].item_id
    assert [(o.part_of, o.only_within) for o in shown.observed[2:]] == [(series, False), (series, True)]


async def test_where_only_free_and_busy_are_shown_an_occurrence_is_part_of_nothing() -> None:
    items = [exception("s_1", "s"), exception("s_2", "s", status="cancelled")]
    shown = await page(LAST | {"items": items, "accessRole": "freeBusyReader"})
    assert [(o.part_of, o.snapshot is None) for o in shown.observed] == [(None, False), (None, True)]


async def test_a_large_page_is_the_same_as_a_small_one() -> None:
    items = [event(f"e{n}", description="x" * 2000) for n in range(250)]
    shown = await page(LAST | {"items": items})
    assert [o.external_id for o in shown.observed] == [f"ann@example.com/e{n}" for n in range(250)]


async def test_half_of_a_surrogate_pair_costs_no_page_and_no_other_text() -> None:
    body = orjson.dumps(
        LAST | {"items": [event("e1", summary="LONE"), event("e2", summary="Über 😀"), event("e3", summary="PAIR")]}
    )
    body = body.replace(b"LONE", rb"a\ud83db\udE00c\\ud83d").replace(b"PAIR", rb"\ud83d\ude00\u00fc\u0000!")
    shown = await page(body)
    assert (shown.position, shown.rejected) == ("s1", [])
    titles = [seen.snapshot and seen.snapshot["title"] for seen in shown.observed]
    assert titles == ["a\ufffdb\ufffdc\\ud83d", "Über 😀", "😀ü!"]


async def test_half_of_a_surrogate_pair_makes_no_json_of_what_is_none() -> None:
    for body in (
        rb'{"items":[],"x":"\ud83d","y":NaN}',
        rb'{"items":["\ud83d"}',
        rb'"\ud83d' + b"[" * 100_000,
        b'{"x":"\xff\\ud83d"}',
    ):
        assert "is not JSON" in (await retry(body)).why
    deep = b'{"x":"\\ud83d","y":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert "is not JSON" in (await retry(deep)).why


def test_a_page_of_the_largest_events_fits_the_largest_answer() -> None:
    assert int(EVENTS_ASKED["maxResults"]) * MAX_SNAPSHOT_BYTES <= MAX_BODY


# Pages ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource", RESOURCES)
async def test_a_full_read_goes_from_page_to_page_and_ends_with_a_sync_token(resource: str) -> None:
    first = await page(MORE, None, resource)
    assert (first.position, first.more, first.full, first.continues) == (Next(page="p2").text(), True, True, False)
    second = await page(MORE | {"nextPageToken": "p3"}, first.position, resource)
    assert (second.position, second.more, second.full, second.continues) == (Next(page="p3").text(), True, True, True)
    last = await page(LAST, second.position, resource)
    assert (last.position, last.more, last.full, last.continues) == ("s1", False, True, True)


async def test_a_full_read_of_one_page_is_its_beginning_and_its_end() -> None:
    only = await page(LAST, None)
    assert (only.position, only.more, only.full, only.continues) == ("s1", False, True, False)


@pytest.mark.parametrize("resource", RESOURCES)
async def test_an_incremental_read_repeats_its_sync_token_on_every_page(resource: str) -> None:
    first = await page(MORE, "s0", resource)
    following = Next(page="p2", since="s0")
    assert (first.position, first.more, first.full, first.continues) == (following.text(), True, False, False)
    last = await page(LAST, first.position, resource)
    assert (last.position, last.more, last.full, last.continues) == ("s1", False, False, False)


@pytest.mark.parametrize("position", [None, "s0"])
async def test_an_empty_page_may_have_another_behind_it(position: str | None) -> None:
    shown = await page(MORE, position)
    assert (shown.observed, shown.rejected, shown.more) == ([], [], True)


async def test_an_incremental_answer_may_leave_out_what_has_no_changes() -> None:
    assert (await page({"nextSyncToken": "s1"})).observed == []


@pytest.mark.parametrize(
    ("body", "position", "why"),
    [
        (b"", "s0", "is not JSON"),
        (b"<html>", None, "is not JSON"),
        (b"[]", "s0", "not an object"),
        (b"null", "s0", "not an object"),
        ({}, "s0", "nextSyncToken is missing or not text"),
        ({"items": []}, FULL_PAGE.text(), "nextSyncToken is missing or not text"),
        (LAST | {"nextSyncToken": ""}, "s0", "nextSyncToken is missing or not text"),
        (LAST | {"nextSyncToken": 7}, "s0", "nextSyncToken is missing or not text"),
        (LAST | {"nextSyncToken": "a\0"}, "s0", "nextSyncToken is missing or not text"),
        (LAST | {"nextSyncToken": FULL_PAGE.text()}, "s0", "nextSyncToken is missing or not text"),
        (LAST | {"nextPageToken": 7}, "s0", "nextPageToken is not text"),
        (LAST | {"nextPageToken": ""}, "s0", "nextPageToken is not text"),
        (LAST | {"nextPageToken": "a\0"}, "s0", "nextPageToken is not text"),
        (LAST | {"nextPageToken": "p1"}, INCREMENTAL_PAGE.text(), "nextPageToken leads to the same page"),
        (LAST | {"nextPageToken": "p1"}, FULL_PAGE.text(), "nextPageToken leads to the same page"),
        (LAST | {"items": {}}, "s0", "items is not an array"),
        (LAST | {"items": None}, "s0", "items is not an array"),
        ({"nextSyncToken": "s1"}, None, "items is not an array"),
        ({"nextSyncToken": "s1"}, FULL_PAGE.text(), "items is not an array"),
        (LAST | {"timeZone": 7}, "s0", "timeZone is not text"),
    ],
)
async def test_an_answer_that_breaks_its_documents_is_asked_for_again(
    body: object, position: str | None, why: str
) -> None:
    outcome = await retry(body, position)
    assert why in outcome.why
    assert outcome.at is None


# Positions ------------------------------------------------------------------------------------------------------------


def test_every_position_is_read_back_as_it_was_written() -> None:
    assert parse(None) == Everything()
    for token in ("s1", "pag", "Page/1:", '{"page":"p1"}'):
        assert parse(token) == Since(token)
    for place in (INCREMENTAL_PAGE, FULL_PAGE, Next(page='é\ud7ff"', since="page")):
        assert parse(place.text()) == place


MALFORMED = (
    "page/",
    "page/2:" + FULL_PAGE.model_dump_json(),
    FULL_PAGE.model_dump_json().join(("page/1:", " ")),
    "page/1:null",
    "page/1:{}",
    'page/1:{"page":"p1"}',
    'page/1:{"page":"","since":null}',
    'page/1:{"page":"p1","since":""}',
    'page/1:{"page":"p1","since":null,"more":1}',
    'page/1:{"since":null,"page":"p1"}',
    INCREMENTAL_PAGE.text()[:-1],
)


@pytest.mark.parametrize("position", MALFORMED)
async def test_a_position_that_nobody_wrote_leads_to_a_full_read_without_a_call(position: str) -> None:
    google = Google(LAST)
    assert isinstance(await google.fetch(position), Expired)
    assert google.asked == []


@given(st.text() | st.text().map(lambda text: MARK + text) | st.text().map(lambda text: f"{MARK}{VERSION}{text}"))
def test_no_text_stands_for_two_positions_or_raises_anything_else(text: str) -> None:
    try:
        place = parse(text)
    except ValueError:
        assert text.startswith(MARK)
        return
    assert isinstance(place, Since | Next)
    assert (place.token if isinstance(place, Since) else place.text()) == text


# Refusals -------------------------------------------------------------------------------------------------------------

POSITIONS = (None, "s0", INCREMENTAL_PAGE.text(), FULL_PAGE.text())
LIMITS = ("rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded")


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("position", POSITIONS)
async def test_an_access_that_is_refused_needs_the_person(resource: str, position: str | None) -> None:
    scopes = {"errors": None, "details": [{"reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}]}
    for status, body in (
        (401, b""),
        (401, error(401, "authError")),
        (403, error(403, "insufficientPermissions")),
        (403, error(403, "authError")),
        (403, error(403, "", **scopes)),
    ):
        assert isinstance(await Google(body, status).fetch(position, resource), Reauthorize)


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("position", POSITIONS)
async def test_a_limit_is_waited_for(resource: str, position: str | None) -> None:
    for status, reason in ((429, "rateLimitExceeded"), (429, ""), *((403, reason) for reason in LIMITS)):
        outcome = await Google(error(status, reason), status, {"retry-after": "90"}).fetch(position, resource)
        assert isinstance(outcome, RetryAfter)
        assert outcome.at == NOW + timedelta(seconds=90)
    bare = await Google(error(403, "quotaExceeded"), 403).fetch(position, resource)
    assert bare == RetryAfter("Google Calendar answered 403: quotaExceeded")


async def test_no_limit_silences_a_cursor_for_long() -> None:
    assert (await retry(b"", status=429, retry_after="9" * 20)).at == NOW + MAX_WAIT


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("position", POSITIONS)
async def test_a_calendar_that_is_shown_no_more_is_gone_and_the_list_of_them_never_is(
    status: int, position: str | None
) -> None:
    body = error(status, "forbidden" if status == 403 else "notFound")
    assert await Google(body, status).fetch(position) == Gone(f"Google Calendar answered {status}")
    assert isinstance(await Google(body, status).fetch(position, LIST), RetryAfter)


async def test_a_project_that_may_not_call_the_api_says_nothing_about_its_calendars() -> None:
    for reason in ("accessNotConfigured", "SERVICE_DISABLED"):
        assert isinstance(await Google(error(403, reason), 403).fetch(), RetryAfter)


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize(("status", "reason"), [(410, "fullSyncRequired"), (400, "invalid")])
async def test_a_refused_token_leads_to_a_full_read_and_a_refused_full_read_to_another_try(
    resource: str, status: int, reason: str
) -> None:
    for position in POSITIONS[1:]:
        assert isinstance(await Google(error(status, reason), status).fetch(position, resource), Expired)
    first = await Google(error(status, reason), status).fetch(None, resource)
    assert first == RetryAfter(f"Google Calendar answered {status}")


@pytest.mark.parametrize("status", [500, 502, 503, 504, 302, 204, 408, 409, 422])
@pytest.mark.parametrize("position", POSITIONS)
async def test_trouble_on_their_side_is_left_to_the_back_off(status: int, position: str | None) -> None:
    assert await retry(b"", position, status) == RetryAfter(f"Google Calendar answered {status}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text() | st.sampled_from(["reason", *LIMITS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["reason", "errors"]), inner),
    max_leaves=6,
)
ERRORS = st.fixed_dictionaries({"error": JSON | st.dictionaries(st.sampled_from(["errors", "details"]), JSON)})


@given(st.sampled_from([400, 401, 403, 404, 410, 429, 500]), JSON | ERRORS, st.booleans(), st.sampled_from(RESOURCES))
def test_every_error_has_a_meaning_and_quotes_nothing(
    status: int, body: object, positioned: bool, resource: str
) -> None:
    answer = Answer(status, httpx.Headers(), orjson.dumps(body, default=str))
    outcome = classify(answer, resource, positioned=positioned, now=NOW)
    assert outcome is not None
    assert set(outcome.why.removeprefix(f"Google Calendar answered {status}").replace(":", "").split()) <= {
        *LIMITS,
        *["to", "a", "position", "it", "gave"],
    }


# The call -------------------------------------------------------------------------------------------------------------


async def test_an_error_that_is_far_too_long_is_told_by_its_status() -> None:
    long = error(403, "rateLimitExceeded", message="x" * (1 << 20))
    assert isinstance(await Google(long, 403).fetch(), Gone)


async def test_a_call_ends_at_its_deadline_and_quotes_nothing() -> None:
    async with served(trickle) as base_url, httpx.AsyncClient() as client:
        access = Access(base_url, "secret-token")
        outcome = await fetch(client, access, ANN, "s0", IDS, NOW, deadline=0.05)
    assert outcome == RetryAfter("Google Calendar could not be asked: TimeoutError")
    assert "secret" not in repr(access)


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, "page"), (503, "retry"), (401, "reauthorize"), (410, "expired"), (404, "gone")]
)
async def test_every_call_is_counted_by_its_outcome(status: int, outcome: str) -> None:
    def count() -> float:
        labels = {"provider": "google", "outcome": outcome}
        return REGISTRY.get_sample_value("lifeos_provider_calls_total", labels) or 0.0

    before = count()
    await Google(LAST, status).fetch()
    assert count() == before + 1
