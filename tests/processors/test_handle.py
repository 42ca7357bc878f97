"""What a delivery means, for values alone."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from processors.handle import handle
from schemas.delivery import UNKNOWN, Delivery, Via
from schemas.receipt import Known, Receipt, Subscription, Target

OURS = Target(UUID(int=1), UUID(int=2), UUID(int=3))
THEIRS = Target(UUID(int=4), UUID(int=5), UUID(int=6))


def delivery(event: str = "item:added", received_at: str = "2026-11-22T12:00:00+00:00") -> Delivery:
    return Delivery("d-1", "todoist", "look", "2671355", 78, event, received_at, b"{}", raw_is_json=True)


def test_a_look_makes_every_cursor_of_its_account_wanted() -> None:
    assert handle(delivery(), 17, Known({"2671355": [OURS, THEIRS], "another": [OURS]})) == Receipt(
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
    receipt = handle(delivery(), 0, Known(targets))
    assert (receipt.outcome, list(receipt.targets)) == ("unmatched", [])


def test_an_event_that_no_table_knows_is_a_look_like_any_other() -> None:
    receipt = handle(delivery(event=UNKNOWN), 0, Known({"2671355": [OURS]}))
    assert (receipt.event, receipt.outcome) == (UNKNOWN, "wanted")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z"])
def test_a_time_that_is_none_is_a_failure_and_no_receipt(text: str) -> None:
    with pytest.raises(ValueError):
        handle(delivery(received_at=text), 0, Known())


ROW = UUID(int=7)
LIVE = Subscription(live=True, external_id="resource", account="2671355", target=OURS)


def pushed(external_id: str | None = "resource") -> Delivery:
    return replace(
        delivery(), account="", via=Via(ROW, external_id, 3), trace="00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    )


def test_a_push_through_a_subscription_concerns_its_resource_alone() -> None:
    known = Known({"": [THEIRS], "2671355": [THEIRS]}, {ROW: LIVE})
    receipt = handle(pushed(), 0, known)
    assert (receipt.outcome, receipt.targets, receipt.account) == ("wanted", (OURS,), "2671355")
    assert (receipt.via, receipt.trace) == (pushed().via, pushed().trace)


@pytest.mark.parametrize(
    ("subscription", "named"),
    [(replace(LIVE, external_id=None), "resource"), (LIVE, None)],
    ids=["nobody has told us yet what the provider calls it", "the provider does not name it"],
)
def test_what_is_not_known_is_no_mismatch(subscription: Subscription, named: str | None) -> None:
    assert handle(pushed(named), 0, Known({}, {ROW: subscription})).outcome == "wanted"


@pytest.mark.parametrize(
    ("subscription", "named"),
    [(replace(LIVE, live=False), "resource"), (LIVE, "another"), (replace(LIVE, target=None), "resource")],
    ids=["it is over", "it is for another resource", "its resource exists no more"],
)
def test_a_push_through_what_is_over_or_for_another_resource_is_stale(subscription: Subscription, named: str) -> None:
    receipt = handle(pushed(named), 0, Known({}, {ROW: subscription}))
    assert (receipt.outcome, list(receipt.targets)) == ("stale", [])


def test_a_push_through_a_subscription_that_is_none_of_ours_has_no_effect() -> None:
    receipt = handle(pushed(), 0, Known({"": [OURS]}, {UUID(int=8): LIVE}))
    assert (receipt.outcome, list(receipt.targets)) == ("unmatched", [])
