"""Notifications as Google sends them, over real HTTP on loopback."""

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from deploy.simulators.google.channels import ATTEMPTS
from deploy.simulators.google.faults import Faults, PushFaults
from deploy.simulators.google.simulator import Simulator
from tests.simulators.conftest import BOB, DANA
from tests.simulators.receiver import Receiver

Event = dict[str, Any]
MONDAY = {"start": {"date": "2026-11-23"}, "end": {"date": "2026-11-24"}}
LIST = "users/me/calendarList"


async def watch(
    api: httpx.AsyncClient,
    receiver: Receiver,
    id_: str = "channel-1",
    path: str = "calendars/primary/events",
    **more: Any,
) -> httpx.Response:
    body = {"id": id_, "type": "web_hook", "address": receiver.url, "token": "secret", **more}
    return await api.post(f"{path}/watch", json=body)


async def watched(api: httpx.AsyncClient, receiver: Receiver, *args: str, **more: Any) -> Event:
    """An open channel, whose sync message has come."""
    before = len(receiver.received)
    answer = await watch(api, receiver, *args, **more)
    assert answer.status_code == 200, answer.text
    await receiver.heard(before + 1)
    return dict(answer.json())


def add(google: Simulator, count: int = 1) -> list[str]:
    return [google.insert(DANA, "primary", {"summary": f"event {n}", **MONDAY})["id"] for n in range(count)]


def numbers(receiver: Receiver) -> list[int]:
    return [int(push.headers["x-goog-message-number"]) for push in receiver.received]


def told(google: Simulator, account: str = DANA) -> list[dict[str, Any]]:
    return list(google.books(account)["pushes"])


async def test_the_sync_message_and_what_follows_carry_all_headers(
    google: Simulator, dana: httpx.AsyncClient, receiver: Receiver
) -> None:
    opened = await watched(dana, receiver)
    add(google)
    sync, push = await receiver.heard(2)
    for one in (sync, push):
        assert one.body == b""
        assert one.headers["content-length"] == "0"
        assert one.headers["content-type"] == "application/json; utf-8"
        assert "APIs-Google" in one.headers["user-agent"]
        assert one.headers["x-goog-channel-id"] == "channel-1"
        assert one.headers["x-goog-channel-token"] == "secret"
        assert one.headers["x-goog-resource-id"] == opened["resourceId"]
        assert one.headers["x-goog-resource-uri"] == opened["resourceUri"]
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", one.headers["x-goog-channel-expiration"])
    expires = parsedate_to_datetime(sync.headers["x-goog-channel-expiration"]).timestamp()
    assert expires == int(opened["expiration"]) // 1000
    assert (sync.headers["x-goog-resource-state"], sync.headers["x-goog-message-number"]) == ("sync", "1")
    assert push.headers["x-goog-resource-state"] == "exists"


async def test_a_channel_without_a_token_carries_none(dana: httpx.AsyncClient, receiver: Receiver) -> None:
    opened = await watched(dana, receiver, token=None)
    assert "token" not in opened
    assert "x-goog-channel-token" not in receiver.received[0].headers


async def test_numbers_grow_with_gaps_and_pushes_keep_their_order(
    google: Simulator, dana: httpx.AsyncClient, receiver: Receiver
) -> None:
    await watched(dana, receiver)
    add(google, 100)
    await receiver.heard(101)
    assert numbers(receiver) == sorted(set(numbers(receiver)))
    assert numbers(receiver)[-1] > 101


async def test_each_resource_has_watchers_of_its_own_and_one_id(
    google: Simulator, dana: httpx.AsyncClient, bob: httpx.AsyncClient, receiver: Receiver
) -> None:
    google.subscribe(BOB, "dana@example.org", "reader")
    hers = await watched(dana, receiver, "hers")
    his = await watched(bob, receiver, "his", "calendars/dana@example.org/events")
    lists = [await watched(api, receiver, f"list of {n}".replace(" ", "-"), LIST) for n, api in enumerate((dana, bob))]
    assert hers["resourceId"] == his["resourceId"]
    assert lists[0]["resourceId"] != lists[1]["resourceId"]
    receiver.received.clear()
    add(google)
    assert {push.headers["x-goog-channel-id"] for push in await receiver.heard(2)} == {"hers", "his"}
    receiver.received.clear()
    google.add_calendar(DANA, "Work")
    await google.quiesce()
    assert [push.headers["x-goog-channel-id"] for push in receiver.received] == ["list-of-0"]


async def test_a_calendar_that_is_deleted_is_told_and_ends_its_channels(
    google: Simulator, dana: httpx.AsyncClient, receiver: Receiver
) -> None:
    work = google.add_calendar(DANA, "Work")
    await watched(dana, receiver, "of-events", f"calendars/{work}/events")
    await watched(dana, receiver, "of-list", LIST)
    google.delete_calendar(DANA, work)
    await google.quiesce()
    states = {
        push.headers["x-goog-channel-id"]: push.headers["x-goog-resource-state"] for push in receiver.received[2:]
    }
    assert states == {"of-events": "not_exists", "of-list": "exists"}
    assert [channel["live"] for channel in google.books(DANA)["channels"]] == [False, True]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"id": ""}, "required"),
        ({"id": "x" * 65}, "channelIdInvalid"),
        ({"type": "pubsub"}, "unknownChannelType"),
        ({"address": "ftp://example.org"}, "push.webhookUrlNotHttps"),
        ({"address": "http://"}, "push.webhookUrlNotHttps"),
        ({"address": "http://[::1"}, "push.webhookUrlNotHttps"),
        ({"token": "x" * 257}, "invalid"),
        ({"token": "a\nb"}, "invalid"),
        ({"token": 7}, "invalid"),
        ({"expiration": "1"}, "invalid"),
        ({"expiration": "soon"}, "invalid"),
    ],
)
async def test_what_is_no_channel_is_refused(
    google: Simulator, dana: httpx.AsyncClient, receiver: Receiver, wrong: Event, why: str
) -> None:
    body = {"id": "channel-1", "type": "web_hook", "address": receiver.url, **wrong}
    answer = await dana.post("calendars/primary/events/watch", json=body)
    assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (400, why)
    assert google.channels.by_id == {}


async def test_an_id_is_never_free_again(dana: httpx.AsyncClient, receiver: Receiver) -> None:
    opened = await watched(dana, receiver)
    await dana.post("channels/stop", json={"id": "channel-1", "resourceId": opened["resourceId"]})
    answer = await watch(dana, receiver)
    assert (answer.status_code, answer.json()["error"]["errors"][0]["reason"]) == (400, "channelIdNotUnique")


async def test_what_cannot_be_watched_says_so(google: Simulator, dana: httpx.AsyncClient, receiver: Receiver) -> None:
    google.set_watchable("dana@example.org", False)
    answer = await watch(dana, receiver)
    assert answer.json()["error"]["errors"][0]["reason"] == "pushNotSupportedForRequestedResource"
    assert (answer.status_code, receiver.received) == (400, [])
    assert (await watch(dana, receiver, path="calendars/nobody@example.org/events")).status_code == 404


async def test_a_channel_lives_as_long_as_asked_but_a_week_at_most(
    google: Simulator, dana: httpx.AsyncClient, receiver: Receiver
) -> None:
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    google.now = lambda: noon

    def ends(opened: Event) -> timedelta:
        return datetime.fromtimestamp(int(opened["expiration"]) / 1000, UTC) - noon

    assert ends(await watched(dana, receiver, "default")) == timedelta(days=7)
    in_an_hour = str(int((noon + timedelta(hours=1)).timestamp() * 1000))
    assert ends(await watched(dana, receiver, "hour", expiration=in_an_hour)) == timedelta(hours=1)
    assert ends(await watched(dana, receiver, "minute", params={"ttl": "60"})) == timedelta(minutes=1)
    in_a_year = str(int((noon + timedelta(days=365)).timestamp() * 1000))
    assert ends(await watched(dana, receiver, "year", expiration=in_a_year)) == timedelta(days=7)


async def test_an_expired_channel_pushes_no_more(
    google: Simulator, dana: httpx.AsyncClient, receiver: Receiver
) -> None:
    opened = await watched(dana, receiver, params={"ttl": "60"})
    google.now = lambda: datetime.now(UTC) + timedelta(seconds=61)
    add(google)
    await google.quiesce()
    assert len(receiver.received) == 1
    stopped = await dana.post("channels/stop", json={"id": "channel-1", "resourceId": opened["resourceId"]})
    assert stopped.status_code == 404


async def test_only_its_owner_stops_a_channel(
    google: Simulator, dana: httpx.AsyncClient, bob: httpx.AsyncClient, receiver: Receiver
) -> None:
    opened = await watched(dana, receiver)
    names = {"id": "channel-1", "resourceId": opened["resourceId"]}
    assert (await bob.post("channels/stop", json=names)).status_code == 404
    assert (await dana.post("channels/stop", json={"id": "channel-1"})).status_code == 400
    assert (await dana.post("channels/stop", json=names)).status_code == 204
    add(google)
    await google.quiesce()
    assert len(receiver.received) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_four_statuses_are_tried_again_with_the_same_number(
    google: Simulator, dana: httpx.AsyncClient, receiver: Receiver, status: int
) -> None:
    await watched(dana, receiver)
    receiver.answers.extend([status, status])
    add(google)
    await google.quiesce()
    assert len(receiver.received) == 4
    assert len(set(numbers(receiver)[1:])) == 1
    assert told(google)[1]["attempts"] == [status, status, 200]


@pytest.mark.parametrize(("status", "accepted"), [(400, False), (404, False), (429, False), (204, True), (202, True)])
async def test_no_other_answer_is(
    google: Simulator, dana: httpx.AsyncClient, receiver: Receiver, status: int, accepted: bool
) -> None:
    await watched(dana, receiver)
    receiver.answers.append(status)
    add(google)
    await google.quiesce()
    assert (told(google)[1]["attempts"], told(google)[1]["accepted"]) == ([status], accepted)


async def test_a_push_is_given_up_in_the_end(google: Simulator, dana: httpx.AsyncClient, receiver: Receiver) -> None:
    await watched(dana, receiver)
    receiver.answers.extend([503] * 20)
    add(google)
    await google.quiesce()
    assert told(google)[1]["attempts"] == [503] * ATTEMPTS


async def test_a_receiver_that_is_away_is_not_waited_for(google: Simulator, dana: httpx.AsyncClient) -> None:
    answer = await dana.post(
        "calendars/primary/events/watch", json={"id": "a", "type": "web_hook", "address": "http://127.0.0.1:1/"}
    )
    assert answer.status_code == 200
    await google.quiesce()
    (push,) = told(google)
    assert (len(push["attempts"]), push["accepted"]) == (1, False)


async def test_drops_duplicates_and_order_follow_the_seed(
    google: Simulator, dana: httpx.AsyncClient, receiver: Receiver
) -> None:
    await watched(dana, receiver)
    google.faults.set(Faults(push=PushFaults(drop=0.2, duplicate=0.2, reorder=5, seed=7)))
    add(google, 100)
    await google.quiesce()
    pushes = told(google)[1:]
    lost, doubled = (
        sum(push["dropped"] for push in pushes),
        sum(push["duplicate"] and not push["dropped"] for push in pushes),
    )
    assert 0 < lost < 40
    assert 0 < doubled < 40
    assert len(receiver.received) == 1 + 100 - lost + doubled
    assert numbers(receiver) != sorted(numbers(receiver))


async def test_a_storm_repeats_that_something_changed(
    google: Simulator, dana: httpx.AsyncClient, receiver: Receiver
) -> None:
    with pytest.raises(ValueError, match="no channel"):
        await google.storm(DANA, 1)
    await watched(dana, receiver)
    before = google.books(DANA)["sequence"]
    storm = await google.storm(DANA, 500, concurrency=16)
    assert (storm.accepted, storm.refused, storm.ended) == (500, 0, True)
    assert google.books(DANA)["sequence"] == before
    assert len(set(numbers(receiver))) == 501


async def test_a_storm_of_edits_changes_as_often_as_it_pushes(
    google: Simulator, dana: httpx.AsyncClient, receiver: Receiver
) -> None:
    await watched(dana, receiver)
    await google.storm(DANA, 100, edits=True)
    assert len(google.books(DANA)["changes"]) >= 100
    assert len(receiver.received) == 101


async def test_the_books_tell_what_was_asked_of_which_resource(
    google: Simulator, dana: httpx.AsyncClient, receiver: Receiver
) -> None:
    await watched(dana, receiver)
    add(google, 3)
    token = (await dana.get("calendars/primary/events", params={"maxResults": 2})).json()["nextPageToken"]
    token = (await dana.get("calendars/primary/events", params={"pageToken": token})).json()["nextSyncToken"]
    await dana.get("calendars/primary/events", params={"syncToken": token})
    await dana.get("calendars/primary/events", params={"syncToken": "wrong"})
    await dana.get(LIST)
    events = "calendar/events/dana@example.org"
    assert google.books(DANA)["resources"] == {
        "calendar/list": {"call": 1, "page": 1, "full": 1},
        events: {"call": 5, "watch": 1, "page": 3, "full": 1, "partial": 1},
    }
    assert (google.calls(DANA), google.calls(DANA, events), google.calls(BOB)) == (6, 5, 0)
    assert google.books(DANA)["calls"]["GET /calendar/v3/calendars/{calendar}/events"] == {"200": 3, "400": 1}
    assert json.loads(json.dumps(google.books(DANA)))["channels"][0]["resource"] == events


async def test_channels_expire_on_request(google: Simulator, dana: httpx.AsyncClient, receiver: Receiver) -> None:
    await watched(dana, receiver)
    google.expire_channels(DANA)
    add(google)
    await google.quiesce()
    assert len(receiver.received) == 1
    assert [channel["live"] for channel in google.books(DANA)["channels"]] == [False]


async def test_the_sync_message_may_come_before_the_answer_and_after(
    google: Simulator, dana: httpx.AsyncClient, receiver: Receiver
) -> None:
    first = set()
    for number in range(20):
        before = len(receiver.received)
        assert (await watch(dana, receiver, f"channel-{number}")).status_code == 200
        first.add(len(receiver.received) > before)
        await receiver.heard(before + 1)
    assert first == {True, False}
