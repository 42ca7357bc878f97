"""A story says what is true of each thing, and of a run that failed no more than it did."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from deploy.operator import connections, story

NOW: Final = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
NOTHING: Final = dict.fromkeys(story.COUNTED, 0)


def run(outcome: str, **more: Any) -> dict[str, Any]:
    return {"run_id": "r", "outcome": outcome, "detail": None, "deliveries": None} | NOTHING | more


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (run("done"), "run done (nothing that was not known)"),
        (run("done", created=2, rejected=1, deliveries=9), "run done (2 created, 1 rejected; had seen 9 deliveries)"),
        (run("closed", deleted=3, deliveries=1), "run closed (3 deleted)"),
        (
            run("retried", detail="Todoist answered 500", deliveries=9),
            "run retried: Todoist answered 500 (it failed and changed nothing; asked for by 9 deliveries)",
        ),
        (run("retried", detail="x", created=3), "run retried: x (3 created before it failed)"),
        (run("halted", detail="x"), "run halted: x (it failed and changed nothing)"),
    ],
)
def test_how_a_run_ended(one: dict[str, Any], said: str) -> None:
    assert story._ending(one) == said


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (run("done"), "done 5 s ago: nothing new"),
        (run("done", created=1), "done 5 s ago: 1 created"),
        (run("retried"), "retried 5 s ago: it failed and changed nothing"),
        (run("halted", updated=1), "halted 5 s ago: 1 updated before it failed"),
    ],
)
def test_the_last_run_of_a_resource(one: dict[str, Any], said: str) -> None:
    row = {f"last_run_{name.removeprefix('run_')}": value for name, value in one.items()}
    row |= {"last_run_id": "r", "last_run_ended_at": NOW - timedelta(seconds=5)}
    assert connections._run(row, NOW) == f"r {said}"
