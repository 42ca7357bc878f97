"""What providers, topics and people wrote is printed, and never obeyed by a terminal."""

import click
import pytest
from click.testing import CliRunner

from deploy.operator import lines

HOSTILE = "a\x1b[2J\x1b]0;title\x07\r\nb\u202ec"
TAMED = "a�[2J�]0;title���b�c"


@pytest.mark.parametrize("number", range(3))
def test_no_cell_of_a_table_is_obeyed(number: int) -> None:
    row = ["one", "two", "three"]
    row[number] = HOSTILE
    (heading, line) = lines.table(("x", "y", "z"), [row], None)
    assert line.split("  ")[number].strip() == TAMED
    assert heading.index("y") == line.index("  ") + 2 if number == 0 else heading.startswith("x")


def test_a_line_that_is_said_is_one_line() -> None:
    @click.command()
    def verb() -> None:
        lines.say(HOSTILE)

    assert CliRunner().invoke(verb).output == f"{TAMED}\n"


def test_the_cell_that_is_painted_is_that_cell_and_no_other_that_reads_alike() -> None:
    @click.command()
    def verb() -> None:
        lines.show(("account", "state"), [("ok", "ok"), (HOSTILE, "bad")], ["green", None], painted=1)

    _, first, second = CliRunner().invoke(verb, color=True).output.splitlines()
    assert first == "ok" + " " * (len(TAMED) - 2) + f"  {click.style('ok', fg='green')}"
    assert second == f"{TAMED}  bad"
