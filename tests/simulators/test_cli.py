"""`lifeos simulate` as a person uses it: real processes, their output and exit codes."""

import asyncio
import json
import re
import signal
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from deploy.simulators.todoist.pushes import signature
from deploy.simulators.todoist.simulator import Simulator
from tests.simulators.command import SECRET, Ended, lifeos, served, start
from tests.simulators.conftest import ANN
from tests.simulators.receiver import Receiver

CAPTURED = Path(__file__).parents[1] / "captured/todoist"


async def test_serve_has_a_demo_that_keeps_changing_and_ends_with_0(tmp_path: Path, receiver: Receiver) -> None:
    public = receiver.url.removesuffix("/webhooks/todoist")
    async with served(tmp_path, "todoist", "--demo", LIFEOS_PUBLIC_URL=public) as (process, url):
        first = await receiver.heard(1)
        assert first[0].headers["x-todoist-hmac-sha256"] == signature(SECRET, first[0].body)
        async with httpx.AsyncClient(base_url=url, headers={"Authorization": "Bearer demo"}) as client:
            assert (await client.get("/healthz")).status_code == (await client.get("/readyz")).status_code == 200
            books = (await client.get(f"/simulator/books/{ANN}")).json()
        # What it began with was there before anybody could hear of it.
        assert len(books["state"]["items"]) > len(books["pushes"])
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_serve_goes_on_where_it_stopped(tmp_path: Path, receiver: Receiver) -> None:
    public, file = receiver.url.removesuffix("/webhooks/todoist"), tmp_path / "simulator.json"
    options = ("--demo", "--state", str(file))
    form = {"sync_token": "*", "resource_types": '["items"]'}
    demo = {"Authorization": "Bearer demo"}
    async with served(tmp_path, "todoist", *options, LIFEOS_PUBLIC_URL=public) as (process, url):
        async with httpx.AsyncClient(base_url=url, headers=demo) as client:
            await client.post("/api/v1/tasks", json={"content": "Mine"})
            before = (await client.post("/api/v1/sync", data=form)).json()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    async with (
        served(tmp_path, "todoist", *options, LIFEOS_PUBLIC_URL=public) as (_, url),
        httpx.AsyncClient(base_url=url, headers=demo) as client,
    ):
        after = (await client.post("/api/v1/sync", data=form | {"sync_token": before["sync_token"]})).json()
        items = (await client.post("/api/v1/sync", data=form)).json()["items"]
    assert after["full_sync"] is False
    assert "Mine" in {item["content"] for item in before["items"]}
    assert {item["id"] for item in before["items"]} & {item["id"] for item in items}


async def test_a_state_file_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "simulator.json"
    file.write_text("{")
    ended = await lifeos(tmp_path, "todoist", "serve", "--state", str(file), LIFEOS_PUBLIC_URL="http://127.0.0.1:1")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert str(file) in ended.err


async def test_the_verbs_drive_a_running_simulator(tmp_path: Path, simulator: Simulator) -> None:
    async def run(*words: str) -> Ended:
        ended = await lifeos(tmp_path, "todoist", *words, LIFEOS_TODOIST_URL=simulator.url)
        assert ended.code == 0, ended.err
        return ended

    task = json.loads((await run("create", "Water the plants", "--due", "every day", "--json")).out)
    assert task["due"]["is_recurring"] is True
    assert task["id"] in (await run("edit", task["id"], "--title", "Water them", "--due", "no date")).out
    await run("complete", task["id"])
    assert simulator.holding(ANN).account.get("item", task["id"])["checked"] is True
    await run("reopen", task["id"])
    assert "Water them" in (await run("tasks")).out
    assert "  Wipe�[2J" in (await run("create", "Wipe\x1b[2J")).out
    assert "  Wipe�[2J\n" in (await run("tasks")).out
    assert "30 of 30 answered 200" in (await run("storm", "30")).out
    await run("mix", "20", "--seed", "1")
    assert "drop 0.5" in (await run("faults", "push", "--drop", "0.5", "--delay", "0", "0.1")).out
    assert "rate_limited, times 2" in (await run("faults", "api", "rate_limited", "--times", "2")).out
    assert json.loads((await run("faults", "clear", "--json")).out)["api"] == []
    assert "77" in (await run("accounts", "--create", "77", "--token", "bob")).out
    await run("expire")
    assert "never answered 200" in (await run("books")).out


@pytest.mark.parametrize(
    ("words", "path"), [(("storm", "50"), "/simulator/storms/"), (("mix", "5"), "/simulator/mix/")]
)
async def test_ctrl_c_ends_a_verb_that_waits_with_130(tmp_path: Path, words: tuple[str, ...], path: str) -> None:
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A simulator whose storm never ends, and that makes changes without end."""
        with closing(writer):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"(?i)content-length: (\d+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
                if path.encode() in head:
                    asked.set()
                    await reader.read()
                    return
                writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{"storm":"1"}')

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        child = await start(tmp_path, "todoist", *words, LIFEOS_TODOIST_URL=url)
        async with asyncio.timeout(20):
            await asked.wait()
            child.send_signal(signal.SIGINT)
            out, err = await child.communicate()
    assert (child.returncode, out) == (130, b"")
    assert b"Aborted" not in err
    assert b"Traceback" not in err


async def test_trouble_is_one_line_that_says_what_to_do(tmp_path: Path, simulator: Simulator) -> None:
    nowhere = "http://127.0.0.1:1"
    away = await lifeos(tmp_path, "todoist", "create", "x", LIFEOS_TODOIST_URL=nowhere)
    assert (away.code, away.err.count("\n")) == (1, 1)
    assert nowhere in away.err
    assert "lifeos up" in away.err
    unset = await lifeos(tmp_path, "todoist", "create", "x")
    stopped = "lifeos: LIFEOS_TODOIST_URL is not set. Is the stack running? ./deploy/up starts it.\n"
    assert (unset.code, unset.err) == (2, stopped)
    unknown = await lifeos(tmp_path, "todoist", "complete", "nope", LIFEOS_TODOIST_URL=simulator.url)
    assert (unknown.code, unknown.err) == (1, "lifeos: Item not found\n")
    unaimed = await lifeos(tmp_path, "todoist", "serve")
    assert unaimed.code == 2
    assert "LIFEOS_PUBLIC_URL" in unaimed.err
    unsigned = await lifeos(tmp_path, "todoist", "serve", LIFEOS_TODOIST_CLIENT_SECRETS="")
    assert unsigned.code == 2
    assert "LIFEOS_TODOIST_CLIENT_SECRETS" in unsigned.err
    taken = simulator.url.removeprefix("http://")
    in_the_way = await lifeos(tmp_path, "todoist", "serve", "--listen", taken, "--webhook-url", nowhere)
    assert in_the_way.code == 1
    assert taken in in_the_way.err


async def test_a_body_that_is_no_json_is_sent_all_the_same_and_said(tmp_path: Path, receiver: Receiver) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"\xffhello")
    sent = await lifeos(tmp_path, "--send", str(file), "--to", receiver.url)
    assert (sent.code, sent.err) == (0, "")
    assert sent.out.endswith("\nwhat was sent is not JSON: 6 bytes that begin '�hello'\n")
    assert [received.body for received in receiver.received] == [b"\xffhello"]


async def test_a_captured_request_is_sent_with_a_fresh_signature(tmp_path: Path, receiver: Receiver) -> None:
    public = receiver.url.removesuffix("/webhooks/todoist")
    folder = CAPTURED / "item_updated"
    sent = await lifeos(
        tmp_path, "--send", str(folder), LIFEOS_TODOIST_CLIENT_SECRETS="new,old", LIFEOS_PUBLIC_URL=public
    )
    assert sent.code == 0, sent.err
    assert sent.out.startswith("200 OK")
    bare = await lifeos(tmp_path, "--send", str(folder / "body"), "--to", receiver.url)
    assert bare.code == 0, bare.err
    body = (folder / "body").read_bytes()
    assert [received.body for received in receiver.received] == [body, body]
    signatures = [received.headers["x-todoist-hmac-sha256"] for received in receiver.received]
    assert signatures == [signature("new", body), signature(SECRET, body)]
    assert "JSON" not in sent.out + bare.out
    receiver.answers.append(503)
    assert (await lifeos(tmp_path, "--send", str(folder), "--to", receiver.url)).code == 1
    assert (await lifeos(tmp_path, "--send", str(tmp_path), "--to", receiver.url)).code == 2
