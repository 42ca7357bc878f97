"""An operator asks how connections and subscriptions stand, and what to do."""

import asyncio
import os
import re
import termios
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
import pytest

from deploy.simulators.todoist.faults import ApiFault, Faults
from tests.flow.command import BOUND_SECONDS, json_lines, run, start, variables
from tests.flow.people import Person, person
from tests.flow.world import World
from tests.outbox.conditions import until

SUBSCRIPTION: Final = """
insert into webhook_subscriptions (tenant_id, profile_id, connection_id, provider, resource, due_at, status, expires_at,
    heard_at, message, last_error)
select tenant_id, profile_id, id, 'google', $2, 'infinity', $3, now() + $4::text::interval, now() - $5::text::interval, $6, $7
from integration_connections where id = $1 returning id"""


@dataclass(frozen=True)
class Accounts:
    """Two whose accounts are read, one whose access was revoked, one whose provider fails, one that was never read."""

    world: World
    well: Person
    revoked: Person
    failing: Person


@pytest.fixture(scope="module")
async def accounts(shared: World) -> AsyncIterator[Accounts]:
    well, revoked, failing = [await person(shared, tasks=1) for _ in range(3)]
    await shared.service.start()
    await shared.settled()
    faults = [ApiFault(kind="revoked", account=revoked.account)]
    faults.append(ApiFault(kind="server_error", status=500, account=failing.account))
    shared.simulator.faults.set(Faults(api=tuple(faults)))
    for one in (revoked, failing):
        one.run("item_add", content="Cannot be read")
    await until(lambda: is_halted(revoked), "the refusal is understood")
    await until(lambda: has_failed(failing), "the failure is counted")
    yield Accounts(shared, well, revoked, failing)
    shared.simulator.faults.set(Faults())


async def is_halted(one: Person) -> bool:
    return (await one.status())[0] == "needs_reauthorization"


async def has_failed(one: Person) -> bool:
    return bool((await one.cursor())["attempts"])


async def listed(world: World, *words: str) -> list[dict[str, Any]]:
    said = await run(variables(world), *words, "--json")
    assert (said.status, said.err) == (0, ""), said
    return json_lines(said)


async def test_connections_in_trouble_come_first_with_what_to_do(accounts: Accounts) -> None:
    world = accounts.world
    rows = await listed(world, "connections", "list")
    assert [(row["account"], row["state"]) for row in rows] == [
        (accounts.revoked.account, "needs_reauthorization"),
        (accounts.failing.account, "retrying"),
        (accounts.well.account, "ok"),
    ]
    assert [row["last_error"] for row in rows] == [
        "Todoist answered 401: the access was revoked or has expired",
        "Todoist answered 500",
        None,
    ]
    halted, retrying, well = [row["next"] for row in rows]
    assert "connect the account again" in halted
    assert retrying.startswith("nothing: it is tried again")
    assert well is None
    assert all(row["fresh"] for row in rows)
    human = await run(variables(world), "connections")
    heading, *lines = human.out.splitlines()
    assert heading.split()[:4] == ["connection", "account", "state", "read"]
    assert [line.split()[:3] for line in lines] == [
        [row["connection_id"], row["account"], row["state"]] for row in rows
    ]


async def test_connections_are_filtered(accounts: Accounts) -> None:
    world = accounts.world
    by_state, by_account, by_provider, none, limited = await asyncio.gather(
        listed(world, "connections", "list", "--state", "retrying"),
        listed(world, "connections", "list", "--account", accounts.well.account),
        listed(world, "connections", "list", "--provider", "google"),
        run(variables(world), "connections", "list", "--provider", "google"),
        listed(world, "connections", "--limit", "1"),
    )
    assert [row["account"] for row in by_state] == [accounts.failing.account]
    assert [row["account"] for row in by_account] == [accounts.well.account]
    assert by_provider == []
    assert (none.status, none.out) == (0, "no connections that match\n")
    assert [row["account"] for row in limited] == [accounts.revoked.account]


async def test_a_connection_is_shown_with_its_last_run_its_error_and_the_next_step(accounts: Accounts) -> None:
    world = accounts.world
    told = [await shown(world, one) for one in (accounts.well, accounts.revoked, accounts.failing)]
    (well,), (revoked,), (failing,) = [one["resources"] for one in told]
    assert [one["last_run_outcome"] for one in (well, revoked, failing)] == ["done", "halted", "retried"]
    assert (well["last_error"], well["next"]) == (None, None)
    assert (revoked["halted"], revoked["due_at"]) == (True, None)
    assert "connect the account again" in revoked["next"]
    assert (failing["last_error"], failing["attempts"] > 0) == ("Todoist answered 500", True)
    human = [
        await run(variables(world), "connections", "show", str(one.connection))
        for one in (accounts.well, accounts.revoked, accounts.failing)
    ]
    assert re.search(
        r"^  last run    [0-9a-f-]{36} done \d+ (s|min) ago: (nothing new|\d created)$", human[0].out, re.MULTILINE
    )
    assert "  announced   without a subscription: by the app's webhook\n" in human[0].out
    assert "last error" not in human[0].out
    assert "  next run    none before the account is connected again\n" in human[1].out
    assert "  last error  Todoist answered 500\n  do          nothing: it is tried again" in human[2].out


async def shown(world: World, one: Person) -> Any:
    said = await run(variables(world), "connections", "show", str(one.connection), "--json")
    assert (said.status, said.err) == (0, "")
    return orjson.loads(said.out)


async def test_a_connection_that_is_not_there_is_one_line(accounts: Accounts) -> None:
    unknown = uuid4()
    said = await run(variables(accounts.world), "connections", "show", str(unknown))
    assert (said.status, said.out) == (1, "")
    assert said.err == f"lifeos: there is no connection {unknown}: lifeos connections list has them all\n"


async def test_watches_are_listed_with_when_they_expire_and_were_heard(accounts: Accounts) -> None:
    world = accounts.world
    one = accounts.well
    ids = [
        await subscribed(one, "calendar/list", "active", "6 days", "90 s", 7, None),
        await subscribed(one, "calendar/events/a", "failed", "-1 h", None, None, "Google answered 403"),
        await subscribed(one, "calendar/events/b", "stopped", "-1 h", "2 h", 3, None),
        await subscribed(one, "calendar/events/c", "unwatchable", None, None, None, "not announced"),
    ]
    rows, stopped, mine, theirs, human = await asyncio.gather(
        listed(world, "watches", "list"),
        listed(world, "watches", "--status", "stopped"),
        listed(world, "watches", "--connection", str(one.connection), "--provider", "google"),
        listed(world, "watches", "--connection", str(accounts.failing.connection)),
        run(variables(world), "watches"),
    )
    assert {row["subscription_id"] for row in rows} == {str(ids[0]), str(ids[1]), str(ids[3])}
    assert rows[-1]["status"] == "active"
    assert [row["subscription_id"] for row in stopped] == [str(ids[2])]
    assert (mine, theirs) == (rows, [])
    lines = {line.split()[0]: line for line in human.out.splitlines()}
    assert re.search(r" active +in 6 d +(9|10)\d s +7 ", lines[str(ids[0])])
    assert lines[str(ids[1])].endswith("  Google answered 403")
    shows = await run(variables(world), "connections", "show", str(one.connection))
    assert "calendar" not in shows.out  # no cursor of theirs: a subscription without a resource is in `watches` alone
    empty = await run(variables(world), "watches", "--provider", "todoist")
    assert (empty.status, empty.out) == (0, "no subscriptions that match\n")


@pytest.mark.parametrize(
    ("planted", "state", "statuses", "error"),
    [
        (["active 6 days"], "ok", ["active"], None),
        (["active -1 h"], "unannounced", ["expired"], "a subscription expired, and nothing made another"),
        (["failed -1 h"], "unannounced", ["failed"], "Google answered 403"),
        (["active -1 h", "active 6 days"], "ok", ["replaced", "active"], None),
        (["failed -1 h", "active 6 days"], "ok", ["replaced", "active"], None),
        (["stopped -1 h", "active 6 days"], "ok", ["active"], None),
        (
            ["stopped -1 h", "active -1 h"],
            "unannounced",
            ["expired"],
            "a subscription expired, and nothing made another",
        ),
    ],
)
async def test_what_is_announced_no_more_is_said_of_its_connection_and_its_subscription(
    accounts: Accounts, planted: list[str], state: str, statuses: list[str], error: str | None
) -> None:
    """And the doctor says the same."""
    world, one = accounts.world, accounts.well
    await world.plant("delete from webhook_subscriptions")
    for words in planted:
        status, _, expires = words.partition(" ")
        why = "Google answered 403" if status == "failed" else None
        await subscribed(one, "everything", status, expires, None, None, why)
    mine = ("--connection", str(one.connection))
    connections, in_state, rows, doctor, told = await asyncio.gather(
        listed(world, "connections", "--account", one.account),
        listed(world, "connections", "--state", "unannounced"),
        listed(world, "watches", *mine),
        run(variables(world), "doctor", "--json"),
        shown(world, one),
    )
    (connection,) = connections
    assert (connection["state"], connection["last_error"]) == (state, error)
    assert [row["account"] for row in in_state] == ([one.account] if state == "unannounced" else [])
    assert (connection["next"] is None) == (error is None)
    assert sorted(row["status"] for row in rows) == sorted(statuses)
    assert rows[-1]["status"] == ("active" if "active" in statuses else statuses[-1])
    assert told["resources"][0]["subscription"] == rows[-1]["status"]
    for status in statuses:
        assert [row["status"] for row in await listed(world, "watches", "--status", status, *mine)] == [status]
    (check,) = [one for one in orjson.loads(doctor.out)["checks"] if one["name"] == "subscriptions"]
    assert check["status"] == ("ok" if state == "ok" else "warn")
    await world.plant("delete from webhook_subscriptions")


async def subscribed(one: Person, resource: str, *columns: object) -> UUID:
    """A subscription of theirs: status, expires in, heard ago, message, last error."""
    ((made,),) = await one.world.ask(SUBSCRIPTION, one.connection, resource, *columns)
    assert isinstance(made, UUID)
    return made


@pytest.mark.parametrize("words", [("connections",), ("deliveries",), ("watches",)])
async def test_a_table_is_cut_to_the_terminal_and_keeps_the_id_whole(
    accounts: Accounts, words: tuple[str, ...]
) -> None:
    if words == ("watches",):
        await subscribed(accounts.well, "everything", "active", "6 days", None, None, None)
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 64))
    child = await start(variables(accounts.world) | {"COLUMNS": ""}, *words, out=theirs)
    _, err = await asyncio.wait_for(child.communicate(), BOUND_SECONDS)
    screen = re.sub(r"\x1b\[[0-9;]*m", "", os.read(ours, 1 << 16).decode())
    os.close(theirs)
    os.close(ours)
    assert (child.returncode, err) == (0, b"")
    _, *lines = screen.splitlines()
    assert lines
    assert max(map(len, lines)) <= 64
    assert all(re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", line) for line in lines)
