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
        (run("done", created=2, rejected=1, deliveries=9), "run done (2 created, 1 rejected)"),
        (run("closed", deleted=3, deliveries=1), "run closed (3 deleted)"),
        (
            run("retried", detail="Todoist answered 500", deliveries=9),
            "run retried: Todoist answered 500 (it failed and changed nothing; asked for 9 times)",
        ),
        (run("retried", detail="x", created=3), "run retried: x (3 created before it failed)"),
        (run("halted", detail="x"), "run halted: x (it failed and changed nothing)"),
    ],
)
def test_how_a_run_ended(one: dict[str, Any], said: str) -> None:
    assert story._ending(one) == said


def saw(*deliveries: str, left_off: int = 0) -> dict[str, Any]:
    rows = [{"delivery_id": id_, "event": "item:added", "accepted_at": NOW} for id_ in deliveries]
    return run("done", saw=rows, saw_left_off=left_off, causation_id="d1")


def test_the_deliveries_that_a_run_was_the_first_to_see_are_listed_and_counted() -> None:
    assert list(story._saw(saw("d1", "d2", left_off=7))) == [
        "was the first to see 9 deliveries:",
        "d1 item:added, accepted 20:00:00.000",
        "d2 item:added, accepted 20:00:00.000",
        "and 7 more",
    ]
    assert list(story._saw(saw("d1"))) == list(story._saw(saw())) == []
    assert next(story._saw(saw("d2"))) == "was the first to see 1 delivery:"


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
