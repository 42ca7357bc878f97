"""The measure of the simulator: Google's own client library drives it and notices no difference."""

import asyncio
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, TypeVar

import pytest

from deploy.simulators.google.simulator import Simulator
from tests.simulators.conftest import DANA
from tests.simulators.receiver import Receiver

# The library comes without types.
CREDENTIALS: Any = import_module("google.oauth2.credentials").Credentials
BUILD: Any = import_module("googleapiclient.discovery").build
REFUSED: Any = import_module("googleapiclient.errors").HttpError

T = TypeVar("T")
Event = dict[str, Any]

CHOIR: Event = {
    "summary": "Choir",
    "location": "Bahnhofstrasse 1, Zürich",
    "start": {"dateTime": "2026-11-23T19:00:00", "timeZone": "Europe/Zurich"},
    "end": {"dateTime": "2026-11-23T20:30:00", "timeZone": "Europe/Zurich"},
    "recurrence": ["RRULE:FREQ=WEEKLY;COUNT=10"],
    "attendees": [{"email": "ann@example.com", "responseStatus": "accepted"}],
    "reminders": {"useDefault": False, "overrides": [{"method": "popup", "minutes": 15}]},
    "extendedProperties": {"private": {"part": "alto"}},
}
MOUNTAINS: Event = {"summary": "Mountains", "start": {"date": "2026-12-04"}, "end": {"date": "2026-12-08"}}


@pytest.fixture
def api(google: Simulator) -> Iterator[Any]:
    options = {"api_endpoint": f"{google.url}/calendar/v3/"}
    with BUILD("calendar", "v3", credentials=CREDENTIALS(token="dana"), client_options=options) as service:
        yield service


async def call(work: Callable[[], T]) -> T:
    """The library blocks, so it runs beside the loop that serves it."""
    return await asyncio.to_thread(work)


def status_of(work: Callable[[], object]) -> int:
    with pytest.raises(REFUSED) as refusal:
        work()
    return int(refusal.value.resp.status)


def every_page(list_: Any, next_: Callable[[Any, Any], Any]) -> tuple[list[Event], str]:
    """The items of all pages, and the sync token of the last, by the library's own `list_next`."""
    items: list[Event] = []
    while True:
        page = list_.execute()
        items += page["items"]
        if (following := next_(list_, page)) is None:
            return items, page["nextSyncToken"]
        list_ = following


async def test_calendars_and_the_list_of_them(api: Any) -> None:
    def work() -> None:
        made = api.calendars().insert(body={"summary": "Work", "timeZone": "UTC"}).execute()
        entry = api.calendarList().get(calendarId=made["id"]).execute()
        assert (entry["summary"], entry["accessRole"], entry["timeZone"]) == ("Work", "owner", "UTC")
        listed, token = every_page(api.calendarList().list(maxResults=1), api.calendarList().list_next)
        assert [one.get("primary", False) for one in listed] == [True, False]
        patched = api.calendarList().patch(calendarId=made["id"], body={"summaryOverride": "The office"}).execute()
        assert (patched["summary"], patched["summaryOverride"]) == ("Work", "The office")
        assert api.calendars().get(calendarId="primary").execute()["id"] == "dana@example.org"
        api.calendars().delete(calendarId=made["id"]).execute()
        (gone,) = api.calendarList().list(syncToken=token).execute()["items"]
        assert (gone["id"], gone["deleted"]) == (made["id"], True)
        assert status_of(api.events().list(calendarId=made["id"]).execute) == 404

    await call(work)


async def test_the_life_of_an_event(api: Any) -> None:
    def work() -> None:
        events = api.events()
        made = events.insert(calendarId="primary", body=MOUNTAINS).execute()
        assert events.get(calendarId="primary", eventId=made["id"]).execute() == made
        patched = events.patch(calendarId="primary", eventId=made["id"], body={"location": "Zermatt"}).execute()
        assert (patched["summary"], patched["location"]) == ("Mountains", "Zermatt")
        assert patched["etag"] != made["etag"]
        updated = events.update(calendarId="primary", eventId=made["id"], body=MOUNTAINS).execute()
        assert "location" not in updated
        work = api.calendars().insert(body={"summary": "Work"}).execute()["id"]
        moved = events.move(calendarId="primary", eventId=made["id"], destination=work).execute()
        assert (moved["id"], moved["organizer"]["email"]) == (made["id"], work)
        assert events.delete(calendarId=work, eventId=made["id"]).execute() == ""
        assert status_of(events.delete(calendarId=work, eventId=made["id"]).execute) == 410
        assert events.get(calendarId=work, eventId=made["id"]).execute()["status"] == "cancelled"
        own = events.insert(calendarId="primary", body=MOUNTAINS | {"id": "mountains2026"}).execute()
        assert own["id"] == "mountains2026"
        assert status_of(events.insert(calendarId="primary", body=MOUNTAINS | {"id": "mountains2026"}).execute) == 409

    await call(work)


async def test_a_series_its_occurrences_and_what_a_list_tells_of_them(api: Any) -> None:
    def work() -> None:
        events = api.events()
        choir = events.insert(calendarId="primary", body=CHOIR).execute()
        kept = ("location", "recurrence", "attendees", "reminders", "extendedProperties")
        assert {name: choir[name] for name in kept} == {name: CHOIR[name] for name in kept}
        _, token = every_page(events.list(calendarId="primary"), events.list_next)
        first, second, *rest = events.instances(calendarId="primary", eventId=choir["id"]).execute()["items"]
        assert (len(rest), first["id"]) == (8, f"{choir['id']}_20261123T180000Z")
        renamed = events.patch(calendarId="primary", eventId=first["id"], body={"summary": "Concert"}).execute()
        assert (renamed["recurringEventId"], renamed["iCalUID"]) == (choir["id"], choir["iCalUID"])
        events.delete(calendarId="primary", eventId=second["id"]).execute()
        told, _ = every_page(events.list(calendarId="primary", syncToken=token, maxResults=1), events.list_next)
        assert [(event["id"], event["status"]) for event in told] == [
            (first["id"], "confirmed"),
            (second["id"], "cancelled"),
        ]
        assert told[1]["originalStartTime"] == second["originalStartTime"]
        single = events.list(calendarId="primary", singleEvents=True, orderBy="startTime").execute()["items"]
        assert len(single) == 9
        assert all("recurrence" not in event for event in single)

    await call(work)


async def test_a_sync_token_that_expired_is_gone(api: Any, google: Simulator) -> None:
    token = await call(lambda: str(api.events().list(calendarId="primary").execute()["nextSyncToken"]))
    google.expire_sync_tokens(DANA)
    assert await call(lambda: status_of(api.events().list(calendarId="primary", syncToken=token).execute)) == 410


async def test_a_channel_from_watch_to_stop(api: Any, google: Simulator, receiver: Receiver) -> None:
    body = {"id": "channel-1", "type": "web_hook", "address": receiver.url, "token": "secret"}

    def work() -> Any:
        opened = api.events().watch(calendarId="primary", body=body).execute()
        assert (opened["kind"], opened["id"], opened["token"]) == ("api#channel", "channel-1", "secret")
        assert status_of(api.events().watch(calendarId="primary", body=body).execute) == 400
        api.events().insert(calendarId="primary", body=MOUNTAINS).execute()
        of_list = api.calendarList().watch(body=body | {"id": "channel-2"}).execute()
        assert of_list["resourceId"] != opened["resourceId"]
        return opened

    opened = await call(work)
    await receiver.heard(3)
    states = [(one.headers["x-goog-channel-id"], one.headers["x-goog-resource-state"]) for one in receiver.received]
    assert sorted(states) == [("channel-1", "exists"), ("channel-1", "sync"), ("channel-2", "sync")]

    def stop() -> None:
        told = {"id": opened["id"], "resourceId": opened["resourceId"]}
        api.channels().stop(body=told).execute()
        api.channels().stop(body=told).execute()
        assert status_of(api.channels().stop(body=told | {"resourceId": "another"}).execute) == 404
        api.events().insert(calendarId="primary", body=MOUNTAINS).execute()

    await call(stop)
    await google.quiesce()
    assert len(receiver.received) == 3
