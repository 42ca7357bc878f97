"""Who follows deploy/docs/adding-a-provider.md to the letter has a provider whose changes reach their topic."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.adding.steps import PAGE, copied, follow, kept, steps
from tests.conftest import Stack

PAGE_TEXT: Final = PAGE.read_text("utf-8")
STEPS: Final = steps(PAGE_TEXT)
NEW: Final = [path for step in STEPS for path in step.new]
CODE: Final = [path for step in STEPS for path in (*step.edited, *step.new) if path.endswith(".py")]
WITHIN: Final = 120.0
"""Seconds for one command, none of which needs a fifth of them."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as it is once the page has been followed."""
    followed = copied(tmp_path_factory.mktemp("adding"))
    follow(PAGE_TEXT, followed)
    return followed


async def ran(copy: Path, *command: str, **variables: str) -> tuple[int, str]:
    """Exit status and output of a Python command that sees the copy, and nothing of this repository."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("LIFEOS_", "PYTEST_", "COV_"))}
    paths = {"PYTHONPATH": str(copy), "PYTHONSAFEPATH": "1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=copy,
        env=ours | paths | variables,
        start_new_session=True,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(WITHIN):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            # With what it has started: processes of a flow test would outlive it.
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    assert process.returncode is not None
    return process.returncode, said.decode("utf-8", "replace")


async def holds(copy: Path, *command: str, **variables: str) -> str:
    status, said = await ran(copy, *command, **variables)
    assert status == 0, said
    return said


ARROWS: Final = ("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache")
"""The tool is a script beside Python, and no module of its own."""


# The steps can be done.


def test_every_file_of_the_imaginary_provider_is_named_by_a_step() -> None:
    assert sorted(NEW) == sorted(kept())


def test_each_step_that_changes_code_says_which(copy: Path) -> None:
    assert [step.name.partition(".")[0] for step in STEPS] == [str(n + 1) for n in range(len(STEPS))]
    assert all((copy / path).is_file() for path in (*CODE, *NEW))


def test_an_edit_that_applies_no_longer_fails_with_the_name_of_its_step(tmp_path: Path) -> None:
    drifted = copied(tmp_path)
    providers = drifted / "schemas" / "providers.py"
    providers.write_text(providers.read_text("utf-8").replace('Literal["google", ', 'Literal["gmail", '), "utf-8")
    with pytest.raises(AssertionError, match=re.escape(repr(STEPS[0].name))):
        follow(PAGE_TEXT, drifted)


# What was done holds.


async def test_the_arrows_hold(copy: Path) -> None:
    assert "0 broken" in await holds(copy, *ARROWS)


async def test_the_new_files_read_as_all_others_do(copy: Path) -> None:
    await holds(copy, "-m", "ruff", "check", "--no-cache", *CODE)
    await holds(copy, "-m", "ruff", "format", "--no-cache", "--check", *CODE)


async def test_the_types_hold(copy: Path) -> None:
    await holds(copy, "-m", "mypy", *CODE)


async def test_a_route_that_nobody_gave_its_keys_is_named_by_the_type_checker(copy: Path) -> None:
    app = copy / "ingress" / "app.py"
    whole = app.read_text("utf-8")
    try:
        app.write_text(without_case(whole, "/webhooks/postbox"), "utf-8")
        status, said = await ran(copy, "-m", "mypy", "ingress/app.py")
    finally:
        app.write_text(whole, "utf-8")
    assert status == 1
    assert "/webhooks/postbox" in said


def without_case(source: str, path: str) -> str:
    less, cut = re.subn(rf'        case "{path}":\n(?:            .*\n)+', "", source)
    assert cut == 1
    return less


async def test_its_contract_suite_its_reader_and_its_cells_of_the_reply_table_hold(
    copy: Path, servers: dict[str, str]
) -> None:
    suites = ("tests/contract/test_postbox.py", "tests/processors/test_postbox.py")
    shared = (
        "tests/ingress/test_app.py::test_every_cell_of_the_reply_table_has_a_case",
        "tests/ingress/test_app.py::test_the_reply_table",
        "tests/ingress/test_app.py::test_each_route_needs_its_own_secret_only",
        "tests/processors/test_todoist_fetch.py::test_every_provider_has_a_reader_for_each_of_its_roots",
    )
    said = await holds(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *suites, *shared, **servers)
    assert "skipped" not in said


async def test_a_signed_push_becomes_a_change_on_its_topic(copy: Path, servers: dict[str, str]) -> None:
    said = await holds(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/flow/test_postbox.py", **servers)
    assert "1 passed" in said


@pytest.fixture
def servers(stack: Stack) -> dict[str, str]:
    """The servers of this run, for tests that run in the copy."""
    return {"LIFEOS_DATABASE_URL": stack.dsn("postgres"), "LIFEOS_KAFKA_BOOTSTRAP": stack.bootstrap}
