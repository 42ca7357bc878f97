"""`lifeos up` from a person's seat: it says what runs, other verbs find it, and it ends in order when asked."""

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

    here = {"LIFEOS_STATE_DIR": variables["LIFEOS_STATE_DIR"]}
    found = environment.environment(here)
    assert found["LIFEOS_DATABASE_URL"] == variables["LIFEOS_DATABASE_URL"]
    assert (await lifeos(here, "simulate", "todoist", "create", "Buy milk"))[0] == 0

    status, said = await lifeos(variables, "up")
    assert (status, "running already" in said) == (2, True)
    assert await lifeos(here, "down") == (0, "Stopping\nStopped.\n")
    assert environment.environment(here) == here
    assert await lifeos(here, "down") == (0, "Stopping\nNothing was running.\n")


async def test_a_wrong_setting_ends_everything_with_one_line_that_names_it(variables: dict[str, str]) -> None:
    status, said = await lifeos(variables | {"LIFEOS_VAULT_KEYS": "1:short"}, "up")
    assert status == 2
    assert "LIFEOS_VAULT_KEYS" in said.splitlines()[-1]
