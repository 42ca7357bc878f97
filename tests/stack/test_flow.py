"""The live line tells what flows, whatever happens to the processes that count it."""

import io
from pathlib import Path

from rich.console import Console

from deploy.local.flow import Meter, total
from deploy.local.screen import Screen, without_password

INGRESS = """
# HELP lifeos_deliveries_accepted_total Deliveries a provider got a 2xx for.
# TYPE lifeos_deliveries_accepted_total counter
lifeos_deliveries_accepted_total{provider="todoist"} 1200.0
lifeos_deliveries_accepted_total{provider="slack"} 34.0
lifeos_deliveries_accepted_created{provider="todoist"} 1.7e9
"""
PROCESSORS = (
    'lifeos_deliveries_handled_total 7\nlifeos_consumer_lag{partition="0"} 2\nlifeos_consumer_lag{partition="1"} 3\n'
)
RELAY = "lifeos_changes_published_total 5\nlifeos_outbox_behind 4\n"


def test_samples_of_one_name_are_summed_over_their_labels() -> None:
    assert total(INGRESS, "lifeos_deliveries_accepted_total") == 1234
    assert total(INGRESS, "lifeos_absent_total") == 0


def test_lag_is_what_waits_before_and_after_the_database() -> None:
    line = Meter().read({"ingress": INGRESS, "processors": PROCESSORS, "relay": RELAY})
    assert line == "accepted 1,234 · handled 7 · published 5 · lag 9"


def test_totals_go_on_when_a_process_was_started_again() -> None:
    meter = Meter()
    meter.read({"relay": "lifeos_changes_published_total 100\n"})
    assert "published 100" in meter.read({})
    assert "published 103" in meter.read({"relay": "lifeos_changes_published_total 3\n"})


def test_a_process_that_does_not_answer_is_named() -> None:
    assert Meter().read({"ingress": INGRESS, "relay": RELAY}).endswith("· processors does not answer")


def test_a_password_is_never_shown() -> None:
    shown = without_password("postgresql://user:secret@db.example:5432/lifeos?password=secret")
    assert shown == "postgresql://user@db.example:5432/lifeos"


def test_away_from_a_terminal_lines_are_plain_and_seldom(tmp_path: Path) -> None:
    written = io.StringIO()
    with Screen(Console(file=written, width=20)) as screen:
        for number in range(100):
            screen.live(f"accepted {number}")
        screen.say("relay ended with exit status 1. [Errno 2] is no markup, and this line is longer than twenty")
        screen.ready(
            {"LIFEOS_INGRESS_LISTEN": "127.0.0.1:1", "LIFEOS_KAFKA_BOOTSTRAP": "127.0.0.1:2"}, tmp_path, detached=True
        )
    lines = written.getvalue().splitlines()
    assert lines[:2] == [
        "accepted 0",
        "relay ended with exit status 1. [Errno 2] is no markup, and this line is longer than twenty",
    ]
    assert any("kcat -C -b 127.0.0.1:2 -t changes.task -o end" in line for line in lines)
    assert "\x1b" not in written.getvalue()
