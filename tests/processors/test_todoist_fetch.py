"""One call gives a page, or an outcome that says who must act; nothing the network or the provider does raises."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl
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
from processors.providers import READERS, Access, reader, roots, watcher
from processors.providers.todoist import PRODUCT, fetch, holds
from processors.providers.todoist_position import (
    LOOK_AHEAD,
    LOOK_BACK,
    MARK,
    VERSION,
    Completed,
    Everything,
    Following,
    Since,
    begin,
    parse,
)
from schemas.outcome import Expired, Fetching, Reauthorize, RetryAfter
from schemas.plan import Page
from schemas.providers import PROVIDERS as NAMES
from tests.processors.loopback import served, trickle

NOW = datetime(2026, 5, 5, 12, 0, tzinfo=UTC)
IDS = Ids(UUID(int=2), "todoist", "2671355")
ACCESS = Access("http://todoist.test", "secret-token")
EMPTY: dict[str, Any] = {
    "sync_token": "t1",
    "full_sync": False,
    "items": [],
    "projects": [],
    "sections": [],
    "labels": [],
}
FULL = EMPTY | {"full_sync": True, "full_sync_date_utc": "2026-05-05T11:59:30Z"}
WINDOW = {"since": "2026-02-06T12:00:00Z", "until": "2026-05-06T12:00:00Z", "limit": "200"}

COMPLETED = begin("t1", NOW, follow=True)
SECOND_PAGE = COMPLETED.model_copy(update={"cursor": "a.b"})
FOLLOWING = Following(token="t1")
PARTS: tuple[Completed | Following, ...] = (COMPLETED, SECOND_PAGE, FOLLOWING)


class Todoist:
    """Answers every question with what it was told to, and remembers what it was asked."""

    def __init__(self, content: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._body = content if isinstance(content, bytes) else orjson.dumps(content)
        self._status = status
        self._headers = headers
        self.asked: list[tuple[dict[str, str], str]] = []
        completed = Route("/api/v1/tasks/completed/by_completion_date", self._answer, methods=["GET"])
        self._app = Starlette(routes=[Route("/api/v1/sync", self._answer, methods=["POST"]), completed])

    async def _answer(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        self.asked.append((form or dict(request.query_params), request.headers["authorization"]))
        return Response(self._body, self._status, self._headers)

    async def fetch(self, position: str | None = "t0") -> Page | Fetching:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app)) as client:
            return await fetch(client, ACCESS, PRODUCT, position, IDS, NOW)


async def page(content: object, position: str | None = "t0") -> Page:
    outcome = await Todoist(content).fetch(position)
    assert isinstance(outcome, Page), outcome
    return outcome


async def retry(content: object, position: str | None = "t0", status: int = 200, **headers: str) -> RetryAfter:
    outcome = await Todoist(content, status, {k.replace("_", "-"): v for k, v in headers.items()}).fetch(position)
    assert isinstance(outcome, RetryAfter), outcome
    return outcome


def test_every_provider_has_a_reader_for_each_of_its_roots() -> None:
    assert {one.PROVIDER for one in READERS} == set(NAMES)
    for one in READERS:
        assert set(one.ROOTS) <= set(roots(one.PROVIDER))
        assert all(reader(one.PROVIDER, root) is one for root in one.ROOTS)
    with pytest.raises(LookupError):
        reader("todoist", "calendar/list")


def test_one_cursor_reads_everything_and_is_announced_unasked() -> None:
    assert roots("todoist") == (PRODUCT,)
    assert holds("collection", "project/1") is None
    assert watcher("todoist", PRODUCT) is None


@pytest.mark.parametrize(("position", "sent"), [(None, "*"), ("t0", "t0")])
async def test_it_asks_for_what_changed_since_its_position(position: str | None, sent: str) -> None:
    todoist = Todoist(FULL)
    await todoist.fetch(position)
    [(form, authorization)] = todoist.asked
    assert form["sync_token"] == sent
    assert sorted(orjson.loads(form["resource_types"])) == ["items", "labels", "projects", "sections"]
    assert authorization == "Bearer secret-token"


async def test_a_page_shows_the_items_and_sets_aside_what_is_malformed() -> None:
    answer = EMPTY | {
        "items": [{"id": "1", "content": "Milk"}, {"id": "2"}, {"id": "3", "is_deleted": True}],
        "projects": [{"id": "1", "name": "Home"}],
    }
    shown = await page(answer)
    assert [o.external_id for o in shown.observed] == ["project/1", "1", "3"]
    assert [r.external_id for r in shown.rejected] == ["2"]
    assert (shown.position, shown.more, shown.full) == ("t1", False, False)


async def test_a_large_page_is_the_same_as_a_small_one() -> None:
    items = [{"id": str(n), "content": "x" * 500} for n in range(1000)]
    shown = await page(EMPTY | {"items": items})
    assert [o.external_id for o in shown.observed] == [item["id"] for item in items]


async def test_an_incremental_answer_may_leave_out_what_has_no_changes() -> None:
    shown = await page({"sync_token": "t1", "full_sync": False, "labels": [{"id": "1", "name": "Food"}]})
    assert [o.external_id for o in shown.observed] == ["label/1"]


@pytest.mark.parametrize("position", [None, "t0"])
async def test_an_answer_is_a_full_read_when_it_says_so_whatever_was_asked(position: str | None) -> None:
    assert (await page(FULL, position)).full
    assert not (await page(EMPTY, position)).full


@pytest.mark.parametrize("position", [None, "t0", "t1"])
async def test_a_full_answer_begins_a_full_read_that_goes_on_with_what_is_completed(position: str | None) -> None:
    shown = await page(FULL, position)
    assert (shown.position, shown.more, shown.full, shown.continues) == (COMPLETED.text(), True, True, False)


@pytest.mark.parametrize("cursor", [None, "a.b"])
async def test_completed_tasks_are_asked_for_by_the_same_window_on_every_page(cursor: str | None) -> None:
    todoist = Todoist({"items": []})
    position = begin("t1", NOW, follow=True).model_copy(update={"cursor": cursor}).text()
    await todoist.fetch(position)
    [(query, authorization)] = todoist.asked
    assert query == WINDOW | ({"cursor": cursor} if cursor else {})
    assert authorization == "Bearer secret-token"


def test_the_window_is_never_longer_than_three_months() -> None:
    window = LOOK_BACK + LOOK_AHEAD
    assert window == timedelta(days=28 + 31 + 30)  # from the first of February on


async def test_a_page_of_completed_tasks_shows_them_and_leads_to_the_next() -> None:
    items = [{"id": "1", "content": "Milk", "checked": True, "completed_at": "2026-05-01T08:00:00Z"}, {"id": "2"}]
    shown = await page({"items": items, "next_cursor": "a.b", "projects": [{"id": "1", "name": "x"}]}, COMPLETED.text())
    assert [(o.external_id, o.snapshot and o.snapshot["progress"]) for o in shown.observed] == [("1", "completed")]
    assert [r.external_id for r in shown.rejected] == ["2"]
    assert (shown.position, shown.more, shown.full, shown.continues) == (SECOND_PAGE.text(), True, True, True)


@pytest.mark.parametrize("position", [COMPLETED.text(), SECOND_PAGE.text()])
@pytest.mark.parametrize("end", [{}, {"next_cursor": None}])
async def test_after_the_last_page_of_them_comes_what_changed_meanwhile(position: str, end: dict[str, Any]) -> None:
    shown = await page({"items": []} | end, position)
    assert (shown.position, shown.more, shown.full, shown.continues) == (FOLLOWING.text(), True, True, True)


async def test_what_changed_meanwhile_is_the_last_part_and_ends_with_a_bare_token() -> None:
    todoist = Todoist(EMPTY | {"sync_token": "t2", "items": [{"id": "1", "content": "Reopened"}]})
    shown = await todoist.fetch(FOLLOWING.text())
    assert isinstance(shown, Page)
    assert [o.external_id for o in shown.observed] == ["1"]
    assert (shown.position, shown.more, shown.full, shown.continues) == ("t2", False, True, True)
    assert todoist.asked[0][0]["sync_token"] == "t1"


async def test_an_api_that_answers_everything_in_full_is_not_asked_for_ever() -> None:
    again = await page(FULL | {"sync_token": "t2"}, FOLLOWING.text())
    assert (again.more, again.full, again.continues) == (True, True, False)
    last = await page({"items": []}, again.position)
    assert (last.position, last.more, last.full, last.continues) == ("t2", False, True, True)


def test_every_position_is_read_back_as_it_was_written() -> None:
    assert parse(None) == Everything()
    for token in ("t1", "full-rea", "Full-read/1:", '{"part":"following"}'):
        assert parse(token) == Since(token)
    for part in (*PARTS, begin('é\ud7ff"', NOW, follow=False)):
        assert parse(part.text()) == part


MALFORMED = (
    "full-read/",
    "full-read/2:" + FOLLOWING.model_dump_json(),
    FOLLOWING.model_dump_json().join(("full-read/1:", " ")),
    "full-read/1:null",
    'full-read/1:{"part":"following"}',
    'full-read/1:{"part":"following","token":""}',
    'full-read/1:{"part":"following","token":"t1","more":1}',
    'full-read/1:{"token":"t1","part":"following"}',
    'full-read/1:{"part":"another","token":"t1"}',
    COMPLETED.text().replace("true", '"yes"'),
    SECOND_PAGE.text()[:-1],
)


@pytest.mark.parametrize("position", MALFORMED)
async def test_a_position_that_nobody_wrote_leads_to_a_full_read_without_a_call(position: str) -> None:
    todoist = Todoist(EMPTY)
    assert isinstance(await todoist.fetch(position), Expired)
    assert todoist.asked == []


@given(st.text() | st.text().map(lambda text: MARK + text) | st.text().map(lambda text: f"{MARK}{VERSION}{text}"))
def test_no_text_stands_for_two_positions_or_raises_anything_else(text: str) -> None:
    try:
        place = parse(text)
    except ValueError:
        assert text.startswith(MARK)
        return
    assert isinstance(place, Since | Completed | Following)
    assert (place.token if isinstance(place, Since) else place.text()) == text


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"[]", "not an object"),
        ({}, "items is not an array"),
        ({"items": None}, "items is not an array"),
        ({"results": []}, "items is not an array"),
        ({"items": [], "next_cursor": ""}, "next_cursor is not text"),
        ({"items": [], "next_cursor": 7}, "next_cursor is not text"),
        ({"items": [], "next_cursor": "a.b"}, "next_cursor leads to the same page"),
    ],
)
async def test_a_page_of_completed_tasks_that_breaks_its_documents_is_asked_for_again(body: object, why: str) -> None:
    assert why in (await retry(body, SECOND_PAGE.text())).why


@pytest.mark.parametrize("status", [400, 404, 410])
async def test_a_refused_page_leads_to_a_full_read_and_a_refused_first_page_to_another_try(status: int) -> None:
    for part in (SECOND_PAGE, FOLLOWING):
        assert isinstance(await Todoist({"error": "Invalid"}, status).fetch(part.text()), Expired)
    assert (await retry(b"", COMPLETED.text(), status)).why == f"Todoist answered {status}"


@pytest.mark.parametrize("part", PARTS)
async def test_a_full_read_is_refused_like_any_other(part: Completed | Following) -> None:
    for status in (401, 403):
        assert isinstance(await Todoist(b"", status).fetch(part.text()), Reauthorize)
    limited = await retry(LIMITED, part.text(), 429)
    assert limited.at == NOW + timedelta(seconds=7)
    assert await retry(b"", part.text(), 503) == RetryAfter("Todoist answered 503")
    assert await retry(b"<html>", part.text()) == RetryAfter("Todoist's answer is not JSON")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "is not JSON"),
        (b"<html>", "is not JSON"),
        (b"[]", "not an object"),
        ({}, "sync_token"),
        (EMPTY | {"sync_token": ""}, "sync_token"),
        (EMPTY | {"sync_token": 7}, "sync_token"),
        (EMPTY | {"sync_token": "a\0"}, "sync_token"),
        (EMPTY | {"sync_token": FOLLOWING.text()}, "sync_token"),
        (EMPTY | {"full_sync": None}, "full_sync"),
        (EMPTY | {"items": {}}, "items is not an array"),
        (EMPTY | {"labels": None}, "labels is not an array"),
        ({k: v for k, v in FULL.items() if k != "items"}, "items is not an array"),
    ],
)
async def test_an_answer_that_breaks_its_documents_is_asked_for_again(body: object, why: str) -> None:
    outcome = await retry(body)
    assert why in outcome.why
    assert outcome.at is None


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("position", [None, "t0"])
async def test_a_revoked_access_needs_the_person(status: int, position: str | None) -> None:
    assert isinstance(await Todoist(b"", status).fetch(position), Reauthorize)


@pytest.mark.parametrize("status", [400, 404, 410, 422])
async def test_a_refused_sync_token_leads_to_a_full_read_and_a_refused_full_read_to_another_try(status: int) -> None:
    assert isinstance(await Todoist({"error": "Invalid sync token"}, status).fetch("t0"), Expired)
    assert (await retry(b"", None, status)).why == f"Todoist answered {status}"


@pytest.mark.parametrize("status", [500, 502, 503, 504, 302, 204, 408])
async def test_trouble_on_their_side_is_left_to_the_back_off(status: int) -> None:
    assert await retry(b"", status=status) == RetryAfter(f"Todoist answered {status}")


LIMITED = {"error_tag": "LIMITS_REACHED", "error_extra": {"retry_after": 7}}


@pytest.mark.parametrize(
    ("body", "header", "seconds"),
    [
        (LIMITED, "", 7),
        (LIMITED, "90", 7),
        (b"slow down", "90", 90),
        ({"error_extra": {"retry_after": 1e300}}, "", 3600),
        ({"error_extra": {"retry_after": -5}}, "", 0),
        ({"error_extra": {"retry_after": True}}, "3", 3),
        ({"error_extra": {"retry_after": "7"}}, "3", 3),
        ({"error_extra": None}, "3", 3),
        ([1], "3", 3),
        (b"", "", None),
    ],
)
async def test_a_limit_says_when_to_come_back(body: object, header: str, seconds: int | None) -> None:
    outcome = await retry(body, status=429, retry_after=header)
    assert outcome.at == (None if seconds is None else NOW + timedelta(seconds=seconds))


async def test_a_call_ends_at_its_deadline_and_quotes_nothing() -> None:
    async with served(trickle) as base_url, httpx.AsyncClient() as client:
        access = Access(base_url, "secret-token")
        outcome = await fetch(client, access, PRODUCT, "t0", IDS, NOW, deadline=0.05)
    assert outcome == RetryAfter("Todoist could not be asked: TimeoutError")
    assert "secret" not in repr(access)


@pytest.mark.parametrize(("status", "outcome"), [(200, "page"), (503, "retry"), (401, "reauthorize"), (400, "expired")])
async def test_every_call_is_counted_by_its_outcome(status: int, outcome: str) -> None:
    def count() -> float:
        labels = {"provider": "todoist", "outcome": outcome}
        return REGISTRY.get_sample_value("lifeos_provider_calls_total", labels) or 0.0

    before = count()
    await Todoist(EMPTY, status).fetch()
    assert count() == before + 1
