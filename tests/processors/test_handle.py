"""What a delivery means, for values alone."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from processors.handle import handle
from schemas.delivery import UNKNOWN, Delivery
from schemas.receipt import Receipt, Target

OURS = Target(UUID(int=1), UUID(int=2), UUID(int=3))
THEIRS = Target(UUID(int=4), UUID(int=5), UUID(int=6))


def delivery(event: str = "item:added", received_at: str = "2026-11-22T12:00:00+00:00") -> Delivery:
    return Delivery("d-1", "todoist", "look", "2671355", 78, event, received_at, b"{}", raw_is_json=True)


def test_a_look_makes_every_cursor_of_its_account_wanted() -> None:
    assert handle(delivery(), 17, {"2671355": [OURS, THEIRS], "another": [OURS]}) == Receipt(
        offset=17,
        delivery_id="d-1",
        provider="todoist",
        event="item:added",
        account="2671355",
        received_at=datetime(2026, 11, 22, 12, tzinfo=UTC),
        outcome="wanted",
        targets=[OURS, THEIRS],
    )


@pytest.mark.parametrize("targets", [{}, {"another": [OURS]}, {"2671355": []}])
def test_a_delivery_for_an_account_that_nobody_connected_has_no_effect(targets: dict[str, list[Target]]) -> None:
    receipt = handle(delivery(), 0, targets)
    assert (receipt.outcome, list(receipt.targets)) == ("unmatched", [])


def test_an_event_that_no_table_knows_is_a_look_like_any_other() -> None:
    receipt = handle(delivery(event=UNKNOWN), 0, {"2671355": [OURS]})
    assert (receipt.event, receipt.outcome) == (UNKNOWN, "wanted")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z"])
def test_a_time_that_is_none_is_a_failure_and_no_receipt(text: str) -> None:
    with pytest.raises(ValueError):
        handle(delivery(received_at=text), 0, {})
