"""`lifeos simulate google` as a person uses it: real processes, their output and exit codes."""

import json
import signal
from base64 import b64encode
from pathlib import Path
from uuid import UUID

import httpx

from deploy.simulators.google import demo
from deploy.simulators.google.simulator import Simulator
from schemas.identity import channel_token
from schemas.settings import KeyRing
from tests.simulators.command import Ended, lifeos, served
from tests.simulators.conftest import DANA
from tests.simulators.receiver import Receiver

CAPTURED = Path(__file__).parents[1] / "captured/google"
OLD, NEW = (f"{kid}:{b64encode(bytes([kid] * 32)).decode()}" for kid in (1, 2))
DEMO = {"Authorization": f"Bearer {demo.TOKEN}"}
EVENTS = "/calendar/v3/calendars/primary/events"


async def test_serve_has_a_demo_that_keeps_changing_and_goes_on_where_it_stopped(
    tmp_path: Path, receiver: Receiver
) -> None:
    options = ("--demo", "--state", str(tmp_path / "google.json"))
    watch = {"id": "mine", "type": "web_hook", "address": receiver.url}
    async with served(tmp_path, "google", *options) as (process, url):
        async with httpx.AsyncClient(base_url=url, headers=DEMO) as api:
            assert (await api.get("/readyz")).status_code == 200
            calendars = (await api.get("/calendar/v3/users/me/calendarList")).json()["items"]
            for number, one in enumerate(calendars):
                path = f"/calendar/v3/calendars/{one['id']}/events/watch"
                assert (await api.post(path, json=watch | {"id": f"mine-{number}"})).status_code == 200
            await receiver.heard(len(calendars) + 1)
            assert receiver.received[-1].headers["x-goog-resource-state"] == "exists"
            token = (await api.get(EVENTS)).json()["nextSyncToken"]
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    before = len(receiver.received)
    async with (
        served(tmp_path, "google", *options) as (_, url),
        httpx.AsyncClient(base_url=url, headers=DEMO) as api,
    ):
        assert (await api.get(EVENTS, params={"syncToken": token})).status_code == 200
        await receiver.heard(before + 1)


async def test_the_verbs_drive_a_running_simulator(tmp_path: Path, google: Simulator) -> None:
    async def run(*words: str) -> Ended:
        ended = await lifeos(tmp_path, "google", *words, "--account", DANA, LIFEOS_GOOGLE_URL=google.url)
        assert ended.code == 0, ended.err
        return ended

    made = json.loads((await run("create", "Choir", "--at", "2027-03-01T19:00", "--every", "week", "--json")).out)
    assert (made["summary"], made["recurrence"]) == ("Choir", ["RRULE:FREQ=WEEKLY"])
    assert "2027-03-01T19:00+01:00" in (await run("events")).out
    assert "(2027-03-08)" in (await run("create", "Day off", "--on", "2027-03-08", "--guest", "a@example.com")).out
    assert "  Wipe�[2J " in (await run("create", "Wipe\x1b[2J")).out
    assert "  Wipe�[2J " in (await run("events")).out
    occurrence = f"{made['id']}_20270308T180000Z"
    assert (
        occurrence
        in (await run("edit", occurrence, "--title", "Concert", "--minutes", "90", "--at", "2027-03-08T20:00")).out
    )
    await run("delete", f"{made['id']}_20270315T180000Z")
    assert "Work" in (await run("calendars", "--create", "Work")).out
    work = google.books(DANA)["state"]["calendars"][1]["id"]
    assert "moved" in (await run("move", made["id"], work)).out
    assert [event["status"] for event in google.events(DANA, work)] == ["confirmed", "confirmed", "cancelled"]
    await run("access", work, "--unwatchable")
    assert google.world.calendars[work].watchable is False
    await run("pages", "2")
    await run("mix", "20", "--seed", "1")
    assert "rateLimitExceeded" in (await run("faults", "api", "rate_limited", "--status", "403", "--times", "2")).out
    assert "page tokens" in (await run("expire", "--pages", "--status", "400")).out
    assert "channels: 0 living" in (await run("books")).out
    assert DANA in (await run("accounts", "--create", "77", "--token", "cleo")).out
    assert work not in (await run("calendars", "--delete", work)).out


async def test_trouble_is_one_line_that_says_what_to_do(tmp_path: Path, google: Simulator) -> None:
    away = await lifeos(tmp_path, "google", "create", "x", LIFEOS_GOOGLE_URL="http://127.0.0.1:1")
    assert (away.code, away.err.count("\n")) == (1, 1)
    assert "lifeos simulate google serve" in away.err
    unset = await lifeos(tmp_path, "google", "create", "x")
    assert (unset.code, "LIFEOS_GOOGLE_URL" in unset.err) == (2, True)
    here = {"LIFEOS_GOOGLE_URL": google.url}
    unknown = await lifeos(tmp_path, "google", "delete", "nope", "--account", DANA, **here)
    assert (unknown.code, unknown.err) == (1, "lifeos: Not Found (404 notFound)\n")
    nobody = await lifeos(tmp_path, "google", "events", "--calendar", "nobody", "--account", DANA, **here)
    assert (nobody.code, nobody.err.count("\n"), "has no calendar nobody" in nobody.err) == (1, 1, True)
    stranger = await lifeos(tmp_path, "google", "events", "--account", "1", **here)
    assert (stranger.code, stranger.err) == (1, "lifeos: there is no account 1 here\n")
    for words in (
        ("create", "x", "--at", "noon"),
        ("create", "x", "--at", "2027-03-01T09:00", "--on", "2027-03-01"),
        ("edit", "x"),
        ("edit", "x", "--minutes", "5"),
        ("access", "x"),
    ):
        wrong = await lifeos(tmp_path, "google", *words, **here)
        assert (wrong.code, wrong.err.count("\n")) == (2, 1), wrong.err


async def test_a_captured_push_is_sent_with_a_fresh_token(tmp_path: Path, receiver: Receiver) -> None:
    folder = CAPTURED / "calendar_exists"
    captured = json.loads((folder / "headers.json").read_text("utf-8"))
    keys, here = KeyRing.parse(f"{NEW},{OLD}"), {"LIFEOS_CHANNEL_KEYS": f"{NEW},{OLD}"}
    sent = await lifeos(tmp_path, "--send", str(folder), "--to", receiver.url, **here)
    assert (sent.code, sent.err) == (0, "")
    other = UUID("00000000-0000-4000-8000-000000000001")
    again = await lifeos(tmp_path, "--send", str(folder), "--to", receiver.url, "--channel", str(other), **here)
    assert again.code == 0
    foreign = ("X-Goog-Resource-ID", "X-Goog-Resource-URI", "X-Goog-Channel-Expiration")
    left_out = f"sent without {', '.join(foreign)}, which are those of the channel that it was captured on\n"
    assert (again.out.endswith(left_out), "without" in sent.out) == (True, False)
    heard = [push.headers for push in receiver.received]
    own = UUID(captured["X-Goog-Channel-ID"])
    assert [push["x-goog-channel-id"] for push in heard] == [str(own), str(other)]
    assert [push["x-goog-channel-token"] for push in heard] == [
        channel_token(keys, "google", 91, channel) for channel in (own, other)
    ]
    for name in ("Content-Type", "Content-Length", "X-Goog-Resource-State", "X-Goog-Message-Number", "User-Agent"):
        assert heard[0][name.lower()] == captured[name]
    assert [name for name in foreign if name.lower() in heard[1]] == []
    assert [heard[0][name.lower()] for name in foreign] == [captured[name] for name in foreign]
    assert receiver.received[0].body == b""
    without = await lifeos(tmp_path, "--send", str(folder), "--to", receiver.url)
    assert (without.code, "LIFEOS_CHANNEL_KEYS" in without.err) == (2, True)
    bare = await lifeos(tmp_path, "--send", str(folder / "body"), "--provider", "google", "--to", receiver.url, **here)
    assert (bare.code, "--channel" in bare.err) == (2, True)
