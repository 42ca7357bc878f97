"""What an operator meets: settings that are wrong, servers that are away, verbs that are read, piped and interrupted."""

import asyncio
import fcntl
import os
import re
import signal
import socket
import termios
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from click.testing import CliRunner

from deploy.lifeos import main
from deploy.local import environment
from tests.conftest import Stack, administer, fresh_prefix
from tests.flow.books import read_all
from tests.flow.command import BOUND_SECONDS, CLOSED, HIDDEN, NO_KAFKA, Said, json_lines, run, start, variables
from tests.flow.expected import assert_same
from tests.flow.people import Person, person
from tests.flow.proxy import Proxy
from tests.flow.records import put
from tests.flow.service import ROLES, Process
from tests.flow.world import RING, TOKEN, World
from tests.operator.test_ends import opened_full
from tests.outbox.conditions import until

CAPTURED: Final = Path(__file__).parents[1] / "captured" / "todoist" / "item_added"
QUICKLY: Final = 10.0
"""Within which a process ends that is told to."""

WHOLE: Final = {
    "LIFEOS_STATE_DIR": "/nonexistent",
    "LIFEOS_ENV": "development",
    "LIFEOS_OPS_LISTEN": "127.0.0.1:0",
    "LIFEOS_INGRESS_LISTEN": "127.0.0.1:0",
    "LIFEOS_KAFKA_BOOTSTRAP": CLOSED,
    "LIFEOS_DATABASE_URL": f"postgresql://lifeos:{HIDDEN}@{CLOSED}/lifeos",
    "LIFEOS_VAULT_KEYS": RING,
    "LIFEOS_TODOIST_CLIENT_SECRETS": HIDDEN,
}
NEEDED: Final = {
    "ingress": ("LIFEOS_ENV", "LIFEOS_OPS_LISTEN", "LIFEOS_KAFKA_BOOTSTRAP", "LIFEOS_INGRESS_LISTEN"),
    "processors": (
        "LIFEOS_ENV",
        "LIFEOS_OPS_LISTEN",
        "LIFEOS_KAFKA_BOOTSTRAP",
        "LIFEOS_DATABASE_URL",
        "LIFEOS_VAULT_KEYS",
    ),
    "relay": ("LIFEOS_ENV", "LIFEOS_OPS_LISTEN", "LIFEOS_KAFKA_BOOTSTRAP", "LIFEOS_DATABASE_URL"),
    "migrate": ("LIFEOS_ENV", "LIFEOS_KAFKA_BOOTSTRAP", "LIFEOS_DATABASE_URL"),
}
EVERYWHERE: Final = (
    ("LIFEOS_ENV", "staging"),
    ("LIFEOS_KAFKA_BOOTSTRAP", "broker"),
    ("LIFEOS_KAFKA_SECURITY_PROTOCOL", "TLS"),
    ("LIFEOS_KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
    ("LIFEOS_KAFKA_CA_FILE", "/no/such/file"),
    ("LIFEOS_TOPIC_PREFIX", "with space"),
)
WRONG: Final = {
    "ingress": (
        ("LIFEOS_INGRESS_LISTEN", "8080"),
        ("LIFEOS_OPS_LISTEN", "everywhere:"),
        ("LIFEOS_TODOIST_CLIENT_SECRETS", f"{HIDDEN},"),
    ),
    "processors": (
        ("LIFEOS_DATABASE_URL", HIDDEN),
        ("LIFEOS_DATABASE_URL", f"postgresql://lifeos:{HIDDEN}/2@host/lifeos"),
        ("LIFEOS_VAULT_KEYS", HIDDEN),
        ("LIFEOS_VAULT_KEYS", f"1:{HIDDEN}"),
        ("LIFEOS_TODOIST_URL", "api.todoist.com"),
        ("LIFEOS_SAFETY_POLL_SECONDS", "inf"),
        ("LIFEOS_FAILPOINT", "nowhere"),
    ),
    "relay": (("LIFEOS_DATABASE_URL", f"mysql://lifeos:{HIDDEN}@host/lifeos"),),
    "migrate": (("LIFEOS_DATABASE_URL", f"postgresql://lifeos:{HIDDEN}@host:port/lifeos"),),
}
ODD: Final = (
    None,
    b"hello",
    b"\xff",
    b"[1]",
    b'"\\u001b[2J"',
    b'{"event":"\\u001b[2J","account":{}}',
    b'{"itemId":1,"item":5,"changed":7,"action":"updated"}',
    b'{"itemId":"\\n","item":{"title":"\\u001b[2J"},"changed":[1],"action":"updated"}',
)
LINE: Final = re.compile(
    r"\d\d:\d\d:\d\d\.\d{3}  \d/\d+ +task (created|updated|deleted)  ('.*'|\".*\")(  \([\w., :]+\))?"
    r"  [0-9a-f-]{36} v\d{16}  by (push|poll|full)"
)


# Settings ------------------------------------------------------------------------------------------------------------


def every_mistake() -> Iterator[tuple[str, str, str | None]]:
    for role, needed in NEEDED.items():
        yield from ((role, name, None) for name in needed)
        yield from ((role, name, value) for name, value in (*EVERYWHERE, *WRONG[role]))


@pytest.mark.parametrize(("role", "name", "value"), list(every_mistake()))
def test_a_setting_that_is_missing_or_wrong_is_one_line_that_names_it(role: str, name: str, value: str | None) -> None:
    given = {known: None for known in os.environ if known.startswith("LIFEOS_")} | WHOLE | {name: value}
    ended = CliRunner().invoke(main, [role], env=given)
    assert (ended.exit_code, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    named = name.removesuffix("SECURITY_PROTOCOL") if value == "SASL_SSL" else name
    assert line.startswith(f"lifeos: {named}")
    assert HIDDEN not in line


async def test_each_process_ends_with_status_2_on_a_setting_that_is_wrong() -> None:
    said = await asyncio.gather(*(run(WHOLE | {"LIFEOS_ENV": "staging"}, role) for role in NEEDED))
    line = "lifeos: LIFEOS_ENV: Input should be 'development' or 'production'\n"
    assert said == [Said(2, "", line)] * len(NEEDED)


# Servers -------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def empty(stack: Stack) -> AsyncIterator[str]:
    """A database without our schema."""
    name = f"empty_{fresh_prefix()[1:-1]}"
    await administer(stack, f"CREATE DATABASE {name}")
    yield stack.dsn(name)
    await administer(stack, f"DROP DATABASE {name} WITH (FORCE)")


async def test_what_keeps_a_process_from_starting_is_its_last_line(shared: World, stack: Stack, empty: str) -> None:
    whole, taken = variables(shared), shared.service.address
    absent = {"LIFEOS_DATABASE_URL": stack.dsn("no_such_database")}
    away = {"LIFEOS_DATABASE_URL": f"postgresql://lifeos:{HIDDEN}@{CLOSED}/lifeos"}
    cases: list[tuple[str, dict[str, str], str]] = [
        ("processors", {"LIFEOS_DATABASE_URL": empty}, r"the database is at version 0, .*: run lifeos migrate"),
        ("relay", {"LIFEOS_DATABASE_URL": empty}, r"the database is at version 0, .*: run lifeos migrate"),
        ("processors", {"LIFEOS_TOPIC_PREFIX": "absent."}, r"topic absent\.\S+ does not exist: run lifeos migrate"),
        ("relay", {"LIFEOS_TOPIC_PREFIX": "absent."}, r"topic absent\.\S+ does not exist: run lifeos migrate"),
        ("relay", absent, r'PostgreSQL at [\w.:]+ refuses us: database "no_such_database" does not exist'),
        ("processors", away, rf"PostgreSQL at {CLOSED} does not answer: Connection refused"),
        ("migrate", away, rf"PostgreSQL at {CLOSED} does not answer: Connection refused"),
        ("processors", {"LIFEOS_KAFKA_BOOTSTRAP": CLOSED}, NO_KAFKA),
        (
            "relay",
            {"LIFEOS_OPS_LISTEN": taken},
            rf"LIFEOS_OPS_LISTEN: cannot listen on {taken}: Address already in use",
        ),
        (
            "ingress",
            {"LIFEOS_INGRESS_LISTEN": taken},
            rf"LIFEOS_INGRESS_LISTEN: cannot listen on {taken}: Address already in use",
        ),
    ]
    await shared.service.ingress.start()
    await shared.service.ingress.ready()
    ended = await asyncio.gather(*(run(whole | changed, role, *patience(role)) for role, changed, _ in cases))
    for (role, changed, expected), said in zip(cases, ended, strict=True):
        *before, last = said.err.splitlines()
        assert said.status == 1, (role, changed, said)
        assert re.fullmatch(f"lifeos: {expected}", last), (role, changed, last)
        assert all(line.startswith("{") for line in before), (role, changed, before)
        assert HIDDEN not in said.err


def patience(role: str) -> tuple[str, ...]:
    """The ingress has none to set: it serves without Kafka."""
    return () if role == "ingress" else ("--wait", "0.2")


async def test_migrate_may_run_again_and_twice_at_once(shared: World, empty: str) -> None:
    fresh = variables(shared) | {"LIFEOS_DATABASE_URL": empty, "LIFEOS_TOPIC_PREFIX": fresh_prefix()}
    first, second = await asyncio.gather(run(fresh, "migrate"), run(fresh, "migrate"))
    assert (first.status, second.status) == (0, 0), (first, second)
    assert (first.out + second.out).count("migrated 0001") == 1
    assert await run(fresh, "migrate") == Said(0, "schema and topics are at this version\n", "")
    assert (await run(fresh | {"LIFEOS_ENV": "production"}, "relay", "--wait", "0")).status == 1  # one replica


async def test_migrate_finds_the_stack_that_runs_here_and_processes_do_not(shared: World, tmp_path: Path) -> None:
    environment.write(tmp_path / "env", shared.service.variables)
    here = {"LIFEOS_STATE_DIR": str(tmp_path)}
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert await run(here, "migrate") == Said(0, "schema and topics are at this version\n", "")
        assert await run(here, "relay") == Said(2, "", "lifeos: LIFEOS_ENV is not set\n")
    assert (await run(here, "migrate")).status == 2


# Verbs ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def ann(shared: World) -> Person:
    """Somebody in whose account something happened, in a world where everything runs."""
    made = await person(shared, tasks=3)
    for process in (shared.service.relay, shared.service.processors, shared.service.ingress):
        if not process.running:
            await process.start()
    await asyncio.gather(
        *(p.ready() for p in (shared.service.relay, shared.service.processors, shared.service.ingress))
    )
    await shared.simulator.mix(made.account, 60, seed=6)
    await shared.settled()
    return made


async def test_an_account_is_connected_once_however_often_one_says_so(ann: Person) -> None:
    world = ann.world
    world.simulator.create("9000001", TOKEN)
    world.simulator.run("9000001", "item_add", content="Read in full")
    words = ("connections", "add", "todoist", "--account", "9000001", "--token", TOKEN)
    first = await run(variables(world), *words)
    assert (first.status, first.err) == (0, "")
    told = re.fullmatch(
        r"connected todoist account 9000001: connection (\S+)\n"
        r"it is being read now; whether the provider takes the token: lifeos connections show \1\n",
        first.out,
    )
    assert told
    await world.settled()
    second, refused, unknown = await asyncio.gather(
        run(variables(world), *words),
        run(variables(world) | {"LIFEOS_ENV": "production"}, *words),
        run(variables(world), "connections", "add", "nowhere", "--account", "1", "--token", "1"),
    )
    assert second == first
    assert (refused.status, refused.out) == (1, "")
    assert re.fullmatch(r"lifeos: connections add is for development.*\n", refused.err)
    assert (unknown.status, unknown.out) == (2, "")
    assert "'nowhere'" in unknown.err
    await world.settled()
    subscriber = await world.subscriber()
    assert subscriber.breaches == []
    assert_same(subscriber, world.simulator, "9000001", UUID(told[1]))


async def test_tail_shows_changes_to_people_and_to_machines(ann: Person) -> None:
    world = ann.world
    other = await person(world, tasks=2)
    await world.settled()
    beginning = ("tail", "changes.task", "--from-beginning")
    readable, machine, filtered, webhooks, unknown = await asyncio.gather(
        run(variables(world), *beginning, "--limit", "20"),
        run(variables(world), *beginning, "--limit", "20", "--json"),
        run(
            variables(world),
            *beginning,
            "--limit",
            "2",
            "--json",
            "--connection",
            f"{other.connection}",
            "--kind",
            "task",
        ),
        run(variables(world), "tail", f"{world.prefix}webhooks.todoist", "--from-beginning", "--limit", "1"),
        run(variables(world), "tail", "changes.nothing"),
    )
    assert {(said.status, said.err) for said in (readable, machine, filtered, webhooks)} == {(0, "")}
    lines = readable.out.splitlines()
    assert len(lines) == 20
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    rows = json_lines(machine)
    assert len(rows) == 20
    assert {row["topic"] for row in rows} == {f"{world.prefix}changes.task"}
    assert all(row["headers"]["ce_subject"] == row["value"]["itemId"] for row in rows)
    assert {row["headers"]["ce_connectionid"] for row in json_lines(filtered)} == {str(other.connection)}
    assert {row["value"]["item"]["title"] for row in json_lines(filtered)} == {"Task 0", "Task 1"}
    assert re.search(r"  todoist \w+:\w+  account \d+  look  delivery \S+\n", webhooks.out)
    assert (unknown.status, unknown.out) == (1, "")
    assert re.fullmatch(r"lifeos: there is no topic changes.nothing.*\n", unknown.err)


async def test_a_reader_that_has_had_enough_ends_tail_quietly(ann: Person) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)  # much less than it has to say
    child = await start(variables(ann.world), "tail", "changes.task", "--from-beginning", "--json", out=writing)
    os.close(writing)
    assert await asyncio.to_thread(os.read, reading, 1)
    os.close(reading)
    _, err = await asyncio.wait_for(child.communicate(), BOUND_SECONDS)
    assert err == b""
    assert child.returncode == 1


@pytest.mark.parametrize(
    "words",
    [
        ("tail", "changes.task", "--from-beginning"),
        ("deliveries",),
        ("deliveries", "--json"),
        ("connections", "--json"),
    ],
)
async def test_a_full_disk_is_one_line(ann: Person, words: tuple[str, ...]) -> None:
    with opened_full() as full:
        child = await start(variables(ann.world), *words, out=full)
        _, err = await asyncio.wait_for(child.communicate(), BOUND_SECONDS)
    assert err.decode() == "lifeos: standard output cannot be written: No space left on device\n"
    assert child.returncode == 1


async def test_ctrl_c_ends_tail_quietly(ann: Person) -> None:
    child = await start(variables(ann.world), "tail", "changes.task", "--from-beginning")
    assert child.stdout
    assert await asyncio.wait_for(child.stdout.readline(), BOUND_SECONDS)
    child.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(child.communicate(), BOUND_SECONDS)
    assert (child.returncode, err) == (130, b"")


async def test_deliveries_are_listed_with_what_became_of_them(ann: Person) -> None:
    world = ann.world
    sent = await run(variables(world), "simulate", "--send", str(CAPTURED), "--to", world.service.webhook_url)
    assert (sent.status, sent.err) == (0, "")
    assert sent.out.startswith(f"200 OK from {world.service.webhook_url}")
    await world.settled()
    human, machine, unmatched, mine, none, synced, wanted = await asyncio.gather(
        run(variables(world), "deliveries"),
        run(variables(world), "deliveries", "--json", "--limit", "3"),
        run(variables(world), "deliveries", "--json", "--outcome", "unmatched", "--provider", "todoist"),
        run(variables(world), "deliveries", "--json", "--connection", str(ann.connection), "--limit", "1000"),
        run(variables(world), "deliveries", "--outcome", "parked", "--connection", str(ann.connection)),
        *(
            run(variables(world), "deliveries", "--json", "--outcome", o, "--limit", "1000")
            for o in ("synced", "wanted")
        ),
    )
    assert {(said.status, said.err) for said in (human, machine, unmatched, mine, none, synced, wanted)} == {(0, "")}
    heading, newest, *lines = human.out.splitlines()
    assert heading.split()[:3] == ["accepted", "outcome", "delivery"]
    assert len(lines) == 19
    assert " unmatched " in newest
    assert {row["became"] for row in json_lines(synced)} == {"synced"}
    assert {row["outcome"] for row in json_lines(wanted)} == {"wanted"}
    assert json_lines(synced) == [row for row in json_lines(wanted) if row["synced"]] != []
    told = [line for line in lines if f"  {ann.account}  " in line]
    assert told
    assert [line for line in told if not re.search(r"  synced +[0-9a-f-]{36}  ", line)] == []
    assert len(json_lines(machine)) == 3
    strangers = json_lines(unmatched)
    assert {(row["outcome"], row["connection_id"]) for row in strangers} == {("unmatched", None)}
    assert strangers[0]["delivery_id"] in newest
    rows = json_lines(mine)
    assert {(row["account"], row["connection_id"]) for row in rows} == {(ann.account, str(ann.connection))}
    pushes = {push.delivery_id for push in world.simulator.holding(ann.account).books.pushes}
    assert len(rows) >= 30
    assert {row["delivery_id"] for row in rows} <= pushes
    assert none.out == "no deliveries in the last 24 hours that match\n"


async def test_lines_are_cut_to_the_width_of_a_terminal(ann: Person) -> None:
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 60))
    words = ("tail", "changes.task", "--from-beginning", "--limit", "3")
    child = await start(variables(ann.world) | {"COLUMNS": ""}, *words, out=theirs)  # else it outranks the terminal
    _, err = await asyncio.wait_for(child.communicate(), BOUND_SECONDS)
    lines = os.read(ours, 4096).decode().splitlines()
    os.close(theirs)
    os.close(ours)
    assert (child.returncode, err) == (0, b"")
    assert [(len(line), line[-1]) for line in lines] == [(60, "…")] * 3


async def test_tail_shows_records_that_are_none_of_ours(ann: Person) -> None:
    world = ann.world
    headers: list[tuple[str, bytes | None]] = [("ce_id", None), ("ce_type", b"\xff")]
    await put(world, ann, [(value, headers) for value in ODD])
    await world.settled()
    every = str(len(await read_all(world.stack.bootstrap, [f"{world.prefix}webhooks.todoist"])))
    words = ("tail", "webhooks.todoist", "--from-beginning", "--limit", every)
    readable, machine = await asyncio.gather(run(variables(world), *words), run(variables(world), *words, "--json"))
    assert (readable.status, readable.err, machine.status, machine.err) == (0, "", 0, "")
    assert len(json_lines(machine)) == int(every)
    assert len(readable.out.splitlines()) == int(every)
    assert "\x1b" not in readable.out
    parked = json_lines(await run(variables(world), "deliveries", "--outcome", "parked", "--json"))
    assert [row["reason"] for row in parked] == ["undecodable"] * len(ODD)


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The address of a server that stands still: it accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


async def test_a_verb_without_its_server_says_which_in_a_line(ann: Person, silent: str) -> None:
    def at(address: str) -> dict[str, str]:
        database = f"postgresql://lifeos:{HIDDEN}@{address}/lifeos"
        return variables(ann.world) | {"LIFEOS_KAFKA_BOOTSTRAP": address, "LIFEOS_DATABASE_URL": database}

    connect = ("connections", "add", "todoist", "--account", "1", "--token", HIDDEN)
    cases: list[tuple[tuple[str, ...], str, str]] = [
        (("tail", "changes.task"), CLOSED, NO_KAFKA),
        (("deliveries",), CLOSED, rf"PostgreSQL at {CLOSED} does not answer: Connection refused"),
        (("deliveries",), silent, rf"PostgreSQL at {silent} does not answer: timed out"),
        (("deliveries", "show", "1"), CLOSED, rf"PostgreSQL at {CLOSED} does not answer: Connection refused"),
        (("connections", "list"), CLOSED, rf"PostgreSQL at {CLOSED} does not answer: Connection refused"),
        (("watches", "list"), CLOSED, rf"PostgreSQL at {CLOSED} does not answer: Connection refused"),
        (connect, silent, rf"PostgreSQL at {silent} does not answer: timed out"),
    ]
    ended = await asyncio.gather(*(run(at(address), *words) for words, address, _ in cases))
    for (words, _, expected), said in zip(cases, ended, strict=True):
        assert (said.status, said.out) == (1, ""), (words, said)
        assert re.fullmatch(f"lifeos: {expected}\n", said.err), (words, said)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ("tail", "webhooks.todoist", "--kind", "task"),
            "webhooks.todoist has no changes of kind task: .*changes.task",
        ),
        (("tail", "changes.task", "--kind", "sync"), "changes.task has no changes of kind sync: .*changes.sync"),
        (("tail", "webhooks.todoist", "--connection", str(UUID(int=1))), "webhooks.todoist has deliveries, .*"),
        (
            ("connections", "add", "todoist", "--account", "", "--token", "x"),
            "Invalid .*'--account': must not be empty",
        ),
        (("connections", "add", "todoist", "--account", "1", "--token", " "), "Invalid .*'--token': must not be empty"),
        (("connections", "show", "someone"), "Invalid value for 'ID': 'someone' is not a valid UUID."),
        (("watches", "--status", "gone"), "Invalid .*'--status': 'gone' is not one of .*"),
    ],
)
def test_what_can_never_be_had_is_refused_before_any_server_is_asked(words: tuple[str, ...], expected: str) -> None:
    ended = CliRunner().invoke(main, words, env=WHOLE)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert re.fullmatch(f"Error: {expected}", ended.stderr.splitlines()[-1])


@pytest.mark.parametrize(
    "words",
    [
        ("migrate",),
        ("tail", "changes.task"),
        ("deliveries",),
        ("deliveries", "show", "1"),
        ("connections",),
        ("connections", "show", str(UUID(int=1))),
        ("watches",),
        ("doctor",),
    ],
)
async def test_a_verb_asks_after_the_stack_only_when_a_setting_is_not_there(words: tuple[str, ...]) -> None:
    unset, wrong = await asyncio.gather(
        run({"LIFEOS_STATE_DIR": "/nonexistent"}, *words), run(WHOLE | {"LIFEOS_ENV": "staging"}, *words)
    )
    assert unset == Said(2, "", "lifeos: LIFEOS_ENV is not set. Is the stack running? ./deploy/up starts it.\n")
    assert wrong == Said(2, "", "lifeos: LIFEOS_ENV: Input should be 'development' or 'production'\n")


# Ends ----------------------------------------------------------------------------------------------------------------


async def test_sigterm_ends_each_process_cleanly_idle_and_busy_and_nothing_is_lost(ann: Person) -> None:
    world, service = ann.world, ann.world.service
    loop = asyncio.get_running_loop()
    for busy in (False, True):
        making = asyncio.create_task(world.simulator.mix(ann.account, 400 if busy else 0, seed=8))
        if busy:
            await accepts(ann)
        began = loop.time()
        statuses = await asyncio.gather(*(getattr(service, role).stop() for role in ROLES))
        assert statuses == [0, 0, 0], [getattr(service, role).said() for role in ROLES]
        assert loop.time() - began < QUICKLY
        await service.start()
        await making
        ann.run("item_add", content="Pushes that were given up meanwhile are caught up with")
    await world.settled()
    subscriber = await world.subscriber()
    assert subscriber.breaches == []
    ann.is_told_to(subscriber)


async def test_sigterm_ends_a_process_cleanly_while_the_database_is_away(ann: Person) -> None:
    world, service = ann.world, ann.world.service
    to = urlsplit(world.database)
    assert to.hostname
    assert to.port
    proxy = Proxy(to.hostname, to.port)
    credentials = to.netloc.rpartition("@")[0]
    netloc = f"{credentials}@127.0.0.1:{await proxy.start()}"
    for process in (service.processors, service.relay):
        await process.stop()
    through = to._replace(netloc=netloc).geturl()
    cut_off = [service.another(role, LIFEOS_DATABASE_URL=through) for role in ("processors", "relay")]
    for process in cut_off:
        await process.start()
    await asyncio.gather(*(process.ready() for process in cut_off))
    ann.run("item_add", content="Before")
    await accepts(ann)
    await proxy.cut()
    ann.run("item_add", content="Accepted by Kafka, while nobody can write a receipt")
    await says(cut_off[0], "database is away")
    assert await asyncio.gather(*(process.stop() for process in cut_off)) == [0, 0], [p.said() for p in cut_off]
    assert "Traceback" not in "".join(process.said() for process in cut_off)
    for process in (service.processors, service.relay):
        await process.start()
    await world.settled()
    ann.is_told_to(await world.subscriber())


async def accepts(one: Person) -> None:
    """Returns when a delivery was accepted that was not when this was called."""
    before = (await one.cursor())["wanted"]

    async def more() -> bool:
        return bool((await one.cursor())["wanted"] > before)

    await until(more, "a delivery is accepted")


async def says(process: Process, words: str) -> None:
    """Returns when its log has these words."""

    async def said() -> bool:
        return words in process.said()

    await until(said, f"{process.role} says {words!r}")
