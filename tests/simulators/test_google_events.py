"""What Google promises of events, calendars and access, asked for over HTTP."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from deploy.simulators.google.log import TOMBSTONES
from deploy.simulators.google.refused import Refused
from deploy.simulators.google.simulator import SavedSimulator, Simulator
from tests.simulators.conftest import BOB, DANA

Event = dict[str, Any]
EVENTS = "calendars/primary/events"
MONDAY = {"start": {"date": "2026-11-23"}, "end": {"date": "2026-11-24"}}
AT_NINE = {
    "start": {"dateTime": "2026-11-23T09:00:00", "timeZone": "America/New_York"},
    "end": {"dateTime": "2026-11-23T10:00:00", "timeZone": "America/New_York"},
}
DAILY = {"summary": "Stand-up", **AT_NINE, "recurrence": ["RRULE:FREQ=DAILY"]}


def insert(google: Simulator, body: Event, calendar: str = "primary") -> Event:
    return google.insert(DANA, calendar, body)


async def listed(api: httpx.AsyncClient, path: str = EVENTS, **query: Any) -> dict[str, Any]:
    return dict((await api.get(path, params=query)).raise_for_status().json())


def reason(answer: httpx.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    assert error["message"] == error["errors"][0]["message"]
    return answer.status_code, error["errors"][0]["reason"]


async def test_a_time_is_told_with_the_offset_of_the_calendar_and_the_zone_of_the_event(google: Simulator) -> None:
    made = insert(google, {"summary": "x", **AT_NINE})
    assert made["start"] == {"dateTime": "2026-11-23T15:00:00+01:00", "timeZone": "America/New_York"}
    utc = google.add_calendar(DANA, "UTC", timeZone="UTC")
    assert insert(google, AT_NINE, utc)["start"]["dateTime"] == "2026-11-23T14:00:00Z"
    plain = insert(google, {name: {"dateTime": "2026-07-01T09:00:00+05:30"} for name in ("start", "end")})
    assert plain["start"] == {"dateTime": "2026-07-01T05:30:00+02:00", "timeZone": "Europe/Zurich"}


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({}, 400, "required"),
        ({"start": MONDAY["start"]}, 400, "required"),
        ({"start": MONDAY["start"], "end": AT_NINE["end"]}, 400, "badRequest"),
        ({"start": MONDAY["end"], "end": MONDAY["start"]}, 400, "timeRangeEmpty"),
        ({"start": {"date": "2026-02-30"}, "end": MONDAY["end"]}, 400, "invalid"),
        ({"start": {"dateTime": "2026-11-23T09:00:00"}, "end": AT_NINE["end"]}, 400, "required"),
        (
            {
                **{name: {"dateTime": "2026-11-23T09:00:00Z"} for name in ("start", "end")},
                "recurrence": ["RRULE:FREQ=DAILY"],
            },
            400,
            "required",
        ),
        ({**AT_NINE, "start": {**AT_NINE["start"], "timeZone": "Middle/Earth"}}, 400, "invalid"),
        ({**MONDAY, "id": "No"}, 400, "invalid"),
        ({**MONDAY, "recurrence": "RRULE:FREQ=DAILY"}, 400, "invalid"),
    ],
)
async def test_what_makes_no_sense_is_refused(dana: httpx.AsyncClient, body: Event, status: int, why: str) -> None:
    assert reason(await dana.post(EVENTS, json=body)) == (status, why)
    assert (await listed(dana))["items"] == []


async def test_everything_else_is_kept_as_it_was_given(dana: httpx.AsyncClient) -> None:
    given = {
        "summary": "Ünïcode",
        "description": "<b>Agenda</b>",
        "visibility": "private",
        "transparency": "transparent",
        "colorId": "7",
        "attendees": [{"email": "a@example.com", "optional": True, "responseStatus": "declined"}],
        "conferenceData": {"entryPoints": [{"entryPointType": "video", "uri": "https://meet.example.org/x"}]},
        "hangoutLink": "https://meet.example.org/x",
        "attachments": [{"fileUrl": "https://drive.example.org/f", "title": "Minutes"}],
        "extendedProperties": {"shared": {"a": "b"}},
        "source": {"title": "A page", "url": "https://example.org"},
        "recurrence": ["RRULE:FREQ=SECONDLY;BYEASTER=0", "X-ABSURD:yes"],
    }
    made = (await dana.post(EVENTS, json={**AT_NINE, **given})).json()
    assert {name: made[name] for name in given} == given
    assert (made["status"], made["sequence"], made["eventType"]) == ("confirmed", 0, "default")
    assert made["organizer"] == {"email": "dana@example.org", "displayName": "Dana Demo", "self": True}


async def test_a_patch_merges_and_an_update_replaces(google: Simulator, dana: httpx.AsyncClient) -> None:
    made = insert(google, {"summary": "x", **MONDAY, "extendedProperties": {"private": {"a": "1"}}, "location": "here"})
    patch = {"extendedProperties": {"private": {"b": "2"}}, "location": None}
    patched = (await dana.patch(f"{EVENTS}/{made['id']}", json=patch)).json()
    assert patched["extendedProperties"] == {"private": {"a": "1", "b": "2"}}
    assert "location" not in patched
    updated = (await dana.put(f"{EVENTS}/{made['id']}", json={**MONDAY, "summary": "y"})).json()
    assert "extendedProperties" not in updated
    assert (updated["created"], updated["iCalUID"], updated["summary"]) == (made["created"], made["iCalUID"], "y")


async def test_only_what_matters_counts_as_an_update(google: Simulator) -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    google.now = lambda: now
    made = insert(google, {"summary": "x", **MONDAY})
    now = datetime(2026, 11, 22, 13, tzinfo=UTC)
    reminded = google.patch(DANA, "primary", made["id"], {"reminders": {"useDefault": False}})
    assert (reminded["updated"], reminded["sequence"]) == (made["updated"], 0)
    assert reminded["etag"] != made["etag"]
    renamed = google.patch(DANA, "primary", made["id"], {"summary": "y"})
    assert (renamed["updated"] > made["updated"], renamed["sequence"]) == (True, 0)
    assert google.patch(DANA, "primary", made["id"], {"end": {"date": "2026-11-25"}})["sequence"] == 1


async def test_an_etag_guards_a_write_and_saves_a_read(google: Simulator, dana: httpx.AsyncClient) -> None:
    made = insert(google, {"summary": "x", **MONDAY})
    path = f"{EVENTS}/{made['id']}"
    old = {"If-Match": made["etag"]}
    assert (await dana.get(path, headers={"If-None-Match": made["etag"]})).status_code == 304
    assert (await dana.patch(path, json={"summary": "y"}, headers=old)).status_code == 200
    assert reason(await dana.patch(path, json={"summary": "z"}, headers=old)) == (412, "conditionNotMet")
    assert reason(await dana.put(path, json=MONDAY, headers=old)) == (412, "conditionNotMet")
    assert reason(await dana.delete(path, headers=old)) == (412, "conditionNotMet")
    assert (await dana.delete(path, headers={"If-Match": "*"})).status_code == 204
    assert reason(await dana.delete(path)) == (410, "deleted")


async def test_a_deleted_event_is_told_by_its_id_alone(google: Simulator, dana: httpx.AsyncClient) -> None:
    made = insert(google, {"summary": "secret", **MONDAY})
    token = (await listed(dana))["nextSyncToken"]
    google.delete(DANA, "primary", made["id"])
    (told,) = (await listed(dana, syncToken=token))["items"]
    assert (told.keys(), told["status"]) == ({"kind", "etag", "id", "status"}, "cancelled")
    assert (await listed(dana))["items"] == []
    assert [event["id"] for event in (await listed(dana, showDeleted="true"))["items"]] == [made["id"]]
    assert (await dana.get(f"{EVENTS}/{made['id']}")).json()["status"] == "cancelled"
    assert reason(await dana.post(EVENTS, json={**MONDAY, "id": made["id"]})) == (409, "duplicate")
    back = (await dana.patch(f"{EVENTS}/{made['id']}", json={"status": "confirmed"})).json()
    assert (back["status"], back["summary"]) == ("confirmed", "secret")
    assert len((await listed(dana))["items"]) == 1


async def test_occurrences_are_named_by_when_they_were_to_begin(google: Simulator, dana: httpx.AsyncClient) -> None:
    series = insert(google, DAILY)
    # New York is at UTC-5 in November and at UTC-4 after the eighth of March: the series keeps its own clock.
    summer = f"{series['id']}_20270315T130000Z"
    found = (await dana.get(f"{EVENTS}/{summer}")).json()
    assert (found["recurringEventId"], found["start"]["dateTime"]) == (series["id"], "2027-03-15T14:00:00+01:00")
    assert found["originalStartTime"] == found["start"]
    for wrong in ("20270315T140000Z", "20261122T140000Z", "20270315", "2027"):
        assert reason(await dana.get(f"{EVENTS}/{series['id']}_{wrong}")) == (404, "notFound")
    days = insert(google, {"summary": "x", **MONDAY, "recurrence": ["RRULE:FREQ=WEEKLY", "EXDATE;VALUE=DATE:20261207"]})
    assert (await dana.get(f"{EVENTS}/{days['id']}_20261130")).json()["start"] == {"date": "2026-11-30"}
    assert (await dana.get(f"{EVENTS}/{days['id']}_20261207")).status_code == 404


async def test_an_exception_keeps_what_it_is_an_exception_of(google: Simulator, dana: httpx.AsyncClient) -> None:
    series = insert(google, DAILY)
    first, second, third = (f"{series['id']}_202611{day}T140000Z" for day in (24, 25, 26))
    moved = google.patch(
        DANA,
        "primary",
        first,
        {"start": {"dateTime": "2026-11-24T18:00:00+01:00"}, "end": {"dateTime": "2026-11-24T19:00:00+01:00"}},
    )
    assert moved["originalStartTime"]["dateTime"] == "2026-11-24T15:00:00+01:00"
    google.delete(DANA, "primary", second)
    google.patch(DANA, "primary", third, {"status": "cancelled"})
    items = (await listed(dana))["items"]
    assert [(item["id"], item["status"]) for item in items] == [
        (series["id"], "confirmed"),
        (first, "confirmed"),
        (second, "cancelled"),
        (third, "cancelled"),
    ]
    assert items[2].keys() == {"kind", "etag", "id", "status", "recurringEventId", "originalStartTime"}
    assert reason(await dana.delete(f"{EVENTS}/{second}")) == (410, "deleted")
    assert google.patch(DANA, "primary", second, {"status": "confirmed"})["summary"] == "Stand-up"


async def test_deleting_a_series_cancels_its_exceptions(google: Simulator, dana: httpx.AsyncClient) -> None:
    series = insert(google, DAILY)
    ids = [f"{series['id']}_202611{day}T140000Z" for day in (24, 25)]
    google.patch(DANA, "primary", ids[0], {"summary": "Long"})
    google.delete(DANA, "primary", ids[1])
    token = (await listed(dana))["nextSyncToken"]
    google.delete(DANA, "primary", series["id"])
    told = (await listed(dana, syncToken=token))["items"]
    assert {item["id"]: item["status"] for item in told} == dict.fromkeys([series["id"], *ids], "cancelled")
    assert (await listed(dana))["items"] == []


async def test_a_series_that_ends_earlier_loses_the_exceptions_after(
    google: Simulator, dana: httpx.AsyncClient
) -> None:
    series = insert(google, DAILY)
    before, after = (f"{series['id']}_202611{day}T140000Z" for day in (24, 27))
    for id_ in (before, after):
        google.patch(DANA, "primary", id_, {"summary": "Long"})
    token = (await listed(dana))["nextSyncToken"]
    google.patch(DANA, "primary", series["id"], {"recurrence": ["RRULE:FREQ=DAILY;UNTIL=20261126T045959Z"]})
    told = {item["id"]: item["status"] for item in (await listed(dana, syncToken=token))["items"]}
    assert told == {series["id"]: "confirmed", after: "cancelled"}
    assert [item["id"] for item in (await listed(dana))["items"]] == [series["id"], before]
    google.patch(DANA, "primary", series["id"], {"recurrence": ["RRULE:FREQ=DAILY"]})
    assert (await dana.get(f"{EVENTS}/{after}")).json()["summary"] == "Stand-up"


async def test_a_move_keeps_the_id_and_takes_exceptions_along(google: Simulator, dana: httpx.AsyncClient) -> None:
    work = google.add_calendar(DANA, "Work", timeZone="UTC")
    series = insert(google, DAILY)
    exception = f"{series['id']}_20261124T140000Z"
    google.patch(DANA, "primary", exception, {"summary": "Long"})
    tokens = [(await listed(dana, f"calendars/{one}/events"))["nextSyncToken"] for one in ("primary", work)]
    assert google.move(DANA, "primary", series["id"], work)["id"] == series["id"]
    here = (await listed(dana, syncToken=tokens[0]))["items"]
    there = (await listed(dana, f"calendars/{work}/events", syncToken=tokens[1]))["items"]
    assert {item["id"]: item["status"] for item in here} == dict.fromkeys([series["id"], exception], "cancelled")
    assert {item["id"]: item["status"] for item in there} == dict.fromkeys([series["id"], exception], "confirmed")
    google.move(DANA, work, series["id"], "primary")
    assert [item["id"] for item in (await listed(dana))["items"]] == [series["id"], exception]
    with pytest.raises(Refused) as refusal:
        google.move(DANA, "primary", exception, work)
    assert (refusal.value.http_code, refusal.value.reason) == (403, "cannotChangeOrganizerOfInstance")


async def test_access_decides_what_may_be_done_and_seen(google: Simulator, bob: httpx.AsyncClient) -> None:
    path = "calendars/dana@example.org/events"
    made = insert(google, {"summary": "secret", **MONDAY})
    insert(google, {**DAILY, "recurrence": ["RRULE:FREQ=DAILY;COUNT=3"]})
    google.now = lambda: datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert reason(await bob.get(path)) == (404, "notFound")
    google.subscribe(BOB, "dana@example.org", "reader")
    assert {event["summary"] for event in (await listed(bob, path))["items"]} == {"secret", "Stand-up"}
    assert reason(await bob.delete(f"{path}/{made['id']}")) == (403, "requiredAccessLevel")
    google.set_role(BOB, "dana@example.org", "writer")
    assert (await bob.patch(f"{path}/{made['id']}", json={"colorId": "1"})).status_code == 200
    google.set_role(BOB, "dana@example.org", "freeBusyReader")
    busy = await listed(bob, path)
    assert (busy["accessRole"], len(busy["items"])) == ("freeBusyReader", 4)
    known = {"kind", "etag", "id", "status", "start", "end", "visibility", "recurringEventId", "originalStartTime"}
    assert all(item.keys() <= known and item["visibility"] == "private" for item in busy["items"])
    assert google.books(BOB)["state"]["events"]["dana@example.org"] == busy["items"]
    assert reason(await bob.get(f"{path}/{made['id']}")) == (403, "requiredAccessLevel")
    google.set_role(BOB, "dana@example.org", None)
    assert reason(await bob.get(path)) == (404, "notFound")


async def test_busy_times_that_are_no_more_are_told(google: Simulator, bob: httpx.AsyncClient) -> None:
    path = "calendars/dana@example.org/events"
    google.now = lambda: datetime(2026, 11, 22, 12, tzinfo=UTC)
    google.subscribe(BOB, "dana@example.org", "freeBusyReader")
    series = insert(google, DAILY)
    first = await listed(bob, path, maxResults=2500)
    assert 300 < len(first["items"]) <= 366
    google.patch(DANA, "primary", series["id"], {"recurrence": ["RRULE:FREQ=DAILY;COUNT=2"]})
    told = (await listed(bob, path, maxResults=2500, syncToken=first["nextSyncToken"]))["items"]
    assert len([item for item in told if item["status"] == "confirmed"]) == 2
    assert len([item for item in told if item["status"] == "cancelled"]) == len(first["items"]) - 2


async def test_changed_access_expires_the_tokens_of_that_account_alone(
    google: Simulator, dana: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    path = "calendars/dana@example.org/events"
    google.subscribe(BOB, "dana@example.org", "reader")
    his, hers = [(await listed(one, path))["nextSyncToken"] for one in (bob, dana)]
    of_list = (await listed(bob, "users/me/calendarList"))["nextSyncToken"]
    google.set_role(BOB, "dana@example.org", "freeBusyReader")
    assert reason(await bob.get(path, params={"syncToken": his})) == (410, "fullSyncRequired")
    assert (await listed(dana, path, syncToken=hers))["items"] == []
    # "If only read-only fields such as calendar properties or ACLs have changed, the entry won't be returned."
    assert (await listed(bob, "users/me/calendarList", syncToken=of_list))["items"] == []
    assert {one["accessRole"] for one in (await listed(bob, "users/me/calendarList"))["items"]} == {
        "owner",
        "freeBusyReader",
    }


async def test_a_calendar_list_follows_calendars_that_come_and_go(google: Simulator, dana: httpx.AsyncClient) -> None:
    path = "users/me/calendarList"
    token = (await listed(dana, path))["nextSyncToken"]
    work = google.add_calendar(DANA, "Work")
    (told,) = (await listed(dana, path, syncToken=token))["items"]
    assert (told["id"], told["summary"], "primary" in told) == (work, "Work", False)
    token = (await listed(dana, path))["nextSyncToken"]
    google.patch_calendar(DANA, work, summary="The office")
    assert (await listed(dana, path, syncToken=token))["items"] == []
    google.patch_entry(DANA, work, hidden=True)
    assert [one["id"] for one in (await listed(dana, path))["items"]] == ["dana@example.org"]
    assert [one["hidden"] for one in (await listed(dana, path, syncToken=token))["items"]] == [True]
    google.unsubscribe(DANA, work)
    (gone,) = (await listed(dana, path, syncToken=token))["items"]
    assert (gone["id"], gone["deleted"]) == (work, True)
    google.subscribe(DANA, work, "owner")
    assert (await listed(dana, path, syncToken=token))["items"][0]["summary"] == "The office"
    google.delete_calendar(DANA, work)
    assert (await listed(dana, path, syncToken=token))["items"][0]["deleted"] is True
    for wrong in ({"minAccessRole": "owner"}, {"showDeleted": "false"}, {"showHidden": "false"}):
        assert (await dana.get(path, params={"syncToken": token, **wrong})).status_code == 400
    assert reason(await dana.delete("calendars/primary"))[0] == 403


async def test_the_envelope_says_whose_events_these_are(google: Simulator, dana: httpx.AsyncClient) -> None:
    insert(google, {"summary": "x", **MONDAY})
    told = await listed(dana)
    assert told["kind"] == "calendar#events"
    assert (told["summary"], told["timeZone"], told["accessRole"]) == ("dana@example.org", "Europe/Zurich", "owner")
    assert told["defaultReminders"] == [{"method": "popup", "minutes": 10}]
    assert {"etag", "updated", "nextSyncToken"} <= told.keys()
    assert "nextPageToken" not in told


@pytest.mark.parametrize(
    "query",
    [
        *({name: "2026-11-23T00:00:00Z"} for name in ("timeMin", "timeMax", "updatedMin")),
        *({name: "x"} for name in ("iCalUID", "orderBy", "privateExtendedProperty", "sharedExtendedProperty", "q")),
        {"showDeleted": "false"},
    ],
)
async def test_what_a_sync_token_forbids(dana: httpx.AsyncClient, query: dict[str, str]) -> None:
    token = (await listed(dana))["nextSyncToken"]
    assert reason(await dana.get(EVENTS, params={"syncToken": token, **query})) == (400, "badRequest")


@pytest.mark.parametrize(
    "query",
    [
        {"syncToken": "nonsense"},
        {"pageToken": "é"},
        {"maxResults": "0"},
        {"maxResults": "x"},
        {"singleEvents": "maybe"},
    ],
)
async def test_parameters_that_are_none(dana: httpx.AsyncClient, query: dict[str, str]) -> None:
    assert reason(await dana.get(EVENTS, params=query)) == (400, "invalid")


async def test_a_window_and_filters(google: Simulator, dana: httpx.AsyncClient) -> None:
    for day in (23, 24, 25):
        when = {"start": {"date": f"2026-11-{day}"}, "end": {"date": f"2026-11-{day + 1}"}}
        insert(google, {"summary": f"day {day}", **when})
    window = {"timeMin": "2026-11-24T00:00:00Z", "timeMax": "2026-11-25T00:00:00Z"}
    assert [event["summary"] for event in (await listed(dana, **window))["items"]] == ["day 24"]
    assert [event["summary"] for event in (await listed(dana, q="DAY 25"))["items"]] == ["day 25"]


async def test_a_token_of_another_account_or_resource_is_none(
    google: Simulator, dana: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    google.subscribe(BOB, "dana@example.org", "reader")
    token = (await listed(dana))["nextSyncToken"]
    work = google.add_calendar(DANA, "Work")
    assert reason(await dana.get(f"calendars/{work}/events", params={"syncToken": token})) == (400, "invalid")
    answer = await bob.get("calendars/dana@example.org/events", params={"syncToken": token})
    assert reason(answer) == (400, "invalid")


async def test_what_changes_while_pages_are_turned_is_not_lost(google: Simulator, dana: httpx.AsyncClient) -> None:
    for number in range(10):
        insert(google, {"summary": f"event {number}", **MONDAY})
    ids = [event["id"] for event in google.events(DANA, "primary")]
    page = await listed(dana, maxResults=4)
    shown = [event["id"] for event in page["items"]]
    assert "nextSyncToken" not in page
    google.patch(DANA, "primary", ids[0], {"summary": "already shown"})
    google.delete(DANA, "primary", ids[9])
    late = insert(google, {"summary": "late", **MONDAY})["id"]
    while "nextPageToken" in page:
        page = await listed(dana, maxResults=4, pageToken=page["nextPageToken"])
        shown += [event["id"] for event in page["items"]]
    assert shown == ids[:9]
    told = (await listed(dana, syncToken=page["nextSyncToken"]))["items"]
    assert {item["id"]: item["status"] for item in told} == {
        ids[0]: "confirmed",
        ids[9]: "cancelled",
        late: "confirmed",
    }


async def test_an_incremental_read_comes_in_pages_too(google: Simulator, dana: httpx.AsyncClient) -> None:
    token = (await listed(dana))["nextSyncToken"]
    ids = [insert(google, {"summary": f"event {number}", **MONDAY})["id"] for number in range(5)]
    google.page_size = 2
    page, shown = await listed(dana, syncToken=token), []
    while True:
        shown += [event["id"] for event in page["items"]]
        if "nextPageToken" not in page:
            break
        assert reason(await dana.get(EVENTS, params={"pageToken": page["nextPageToken"]})) == (400, "invalid")
        page = await listed(dana, syncToken=token, pageToken=page["nextPageToken"])
    assert shown == ids


@pytest.mark.parametrize("status", [410, 400])
async def test_page_tokens_expire_on_request(google: Simulator, dana: httpx.AsyncClient, status: int) -> None:
    for number in range(4):
        insert(google, {"summary": f"event {number}", **MONDAY})
    page = (await listed(dana, maxResults=2))["nextPageToken"]
    google.expire_page_tokens(DANA, status=status)
    assert (await dana.get(EVENTS, params={"pageToken": page})).status_code == status
    again = await listed(dana, maxResults=2)
    assert (await dana.get(EVENTS, params={"pageToken": again["nextPageToken"]})).status_code == 200


async def test_sync_tokens_expire_of_one_resource(google: Simulator, dana: httpx.AsyncClient) -> None:
    work = google.add_calendar(DANA, "Work")
    paths = ("users/me/calendarList", EVENTS, f"calendars/{work}/events")
    tokens = [(await listed(dana, path))["nextSyncToken"] for path in paths]
    google.expire_sync_tokens(DANA, f"calendar/events/{work}")
    answers = [await dana.get(path, params={"syncToken": token}) for path, token in zip(paths, tokens, strict=True)]
    assert [answer.status_code for answer in answers] == [200, 200, 410]
    assert answers[2].json()["error"]["errors"][0]["reason"] == "fullSyncRequired"


async def test_tombstones_are_forgotten_and_old_tokens_with_them(google: Simulator, dana: httpx.AsyncClient) -> None:
    token = (await listed(dana))["nextSyncToken"]
    for _ in range(TOMBSTONES + 1):
        google.delete(DANA, "primary", insert(google, {"summary": "x", **MONDAY})["id"])
    assert reason(await dana.get(EVENTS, params={"syncToken": token})) == (410, "fullSyncRequired")
    assert (await listed(dana, syncToken=(await listed(dana))["nextSyncToken"]))["items"] == []


async def test_an_event_may_be_held_exactly_as_it_is(google: Simulator, dana: httpx.AsyncClient) -> None:
    odd = {
        "id": "odd",
        "start": {"date": "2026-11-23", "dateTime": "noon"},
        "recurrence": ["RRULE:FREQ=NEVER"],
        "x": [1],
    }
    google.put("dana@example.org", odd)
    (told,) = (await listed(dana))["items"]
    assert {name: told[name] for name in odd} == odd


async def test_an_account_goes_on_where_it_was_saved(google: Simulator, dana: httpx.AsyncClient) -> None:
    event = insert(google, {"summary": "kept", **MONDAY})
    token = (await listed(dana))["nextSyncToken"]
    saved = google.saved().model_dump_json()
    google.patch(DANA, "primary", event["id"], {"summary": "forgotten by a crash"})
    lost = (await listed(dana))["nextSyncToken"]

    again = Simulator(seed=2)
    again.restore(SavedSimulator.model_validate_json(saved))

    log = again.world.calendars["dana@example.org"].log
    assert log.since(DANA, token) == log.seq
    with pytest.raises(Refused) as refusal:
        log.since(DANA, lost)
    assert refusal.value.http_code == 410
    assert again.events(DANA, "primary")[0]["summary"] == "kept"
    assert again.account_of("Bearer dana") == DANA
