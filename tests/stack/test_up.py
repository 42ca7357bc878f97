"""`lifeos up` from a person's seat: it says what runs, other verbs find it, and it ends in order when asked."""

import json
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from deploy.local import environment
from deploy.local.process import run
from tests.conftest import Stack


@pytest.fixture
async def variables(stack: Stack, database: str, prefix: str, tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """A stack of our own on the servers that the tests share; stopped at the end, whatever happened."""
    given = {
        "LIFEOS_STATE_DIR": str(tmp_path / "state"),
        "LIFEOS_DATABASE_URL": database,
        "LIFEOS_KAFKA_BOOTSTRAP": stack.bootstrap,
        "LIFEOS_TOPIC_PREFIX": prefix,
    }
    yield given
    await lifeos(given, "down")


async def lifeos(variables: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    settings = [f"{name}={value}" for name, value in variables.items()]
    return await run(["env", *settings, sys.executable, "-m", "deploy.lifeos", *arguments], bound=60.0)


async def test_up_in_the_background_is_found_by_other_verbs_until_down(variables: dict[str, str]) -> None:
    status, said = await lifeos(variables, "up", "--detach")
    assert status == 0, said
    assert f"kcat -C -b {variables['LIFEOS_KAFKA_BOOTSTRAP']} -t {variables['LIFEOS_TOPIC_PREFIX']}changes.task" in said
    assert f"LIFEOS_STATE_DIR={variables['LIFEOS_STATE_DIR']} " in said
    assert said.splitlines()[-1].endswith("lifeos down stops everything; the data stays.")

    here = {"LIFEOS_STATE_DIR": variables["LIFEOS_STATE_DIR"]}
    found = environment.environment(here)
    assert found["LIFEOS_DATABASE_URL"] == variables["LIFEOS_DATABASE_URL"]
    assert (await lifeos(here, "simulate", "todoist", "create", "Buy milk"))[0] == 0
    assert (await lifeos(here, "simulate", "google", "create", "Choir"))[0] == 0
    status, said = await lifeos(here, "connections", "list", "--json")
    connected = {(one["provider"], one["account"]) for one in map(json.loads, said.splitlines())}
    assert (status, connected) == (0, {("todoist", "2671355"), ("google", "113774264463038321964")})

    status, said = await lifeos(variables, "up")
    assert (status, "running already" in said) == (2, True)
    assert await lifeos(here, "down") == (0, "Stopping\nStopped.\n")
    assert environment.environment(here) == here
    assert await lifeos(here, "down") == (0, "Nothing was running.\n")


@pytest.mark.parametrize("detach", [(), ("--detach",)])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LIFEOS_VAULT_KEYS", "1:short"),
        ("LIFEOS_SAFETY_POLL_SECONDS", "often"),
        ("LIFEOS_TODOIST_SIMULATOR_LISTEN", "here"),
        ("LIFEOS_GOOGLE_SIMULATOR_LISTEN", "there"),
        ("LIFEOS_CHANNEL_KEYS", "none"),
        ("LIFEOS_INGRESS_LISTEN", "192.0.2.1:80"),
        ("LIFEOS_KAFKA_PORT", "kafka"),
        ("LIFEOS_STATE_DIR", "/etc/passwd"),
        ("LIFEOS_STATE_DIR", "/proc/lifeos"),
    ],
)
async def test_what_is_wrong_is_named_on_one_line_before_anything_starts(
    tmp_path: Path, name: str, value: str, detach: tuple[str, ...]
) -> None:
    status, said = await lifeos({"LIFEOS_STATE_DIR": str(tmp_path / "state"), name: value}, "up", *detach)
    assert (status, said.count("\n"), said.partition(":")[0]) == (2, 1, name), said
    assert not (tmp_path / "state" / "postgres").exists()


LISTENING = ["LIFEOS_INGRESS_LISTEN", "LIFEOS_TODOIST_SIMULATOR_LISTEN", "LIFEOS_GOOGLE_SIMULATOR_LISTEN"]


@pytest.mark.parametrize("name", LISTENING)
async def test_an_address_that_is_taken_is_named_at_once(tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        given = {"LIFEOS_STATE_DIR": str(tmp_path / "state"), name: f"127.0.0.1:{port}"}
        status, said = await lifeos(given, "up")
    assert (status, said) == (2, f"{name}: port {port} is taken by another program; choose one, or unset it\n")


async def test_down_names_a_state_directory_that_is_none() -> None:
    status, said = await lifeos({"LIFEOS_STATE_DIR": "/etc/passwd"}, "down")
    assert status == 2
    assert said.splitlines()[-1].startswith("LIFEOS_STATE_DIR: /etc/passwd ")
    assert (await lifeos({"LIFEOS_STATE_DIR": "/proc/lifeos"}, "down"))[0] == 0


async def test_down_points_to_the_log_of_a_stack_that_ended_by_itself(tmp_path: Path) -> None:
    log = tmp_path / "log" / "up.log"
    log.parent.mkdir()
    log.write_text("Stopping\nrelay ended 5 times within a minute, so everything stops here.\n")
    status, said = await lifeos({"LIFEOS_STATE_DIR": str(tmp_path)}, "down")
    assert (status, said.splitlines()[0]) == (0, "Nothing was running.")
    assert str(log) in said.splitlines()[1]
