"""Every process computes the same lanes and ids, for ever: the vectors of the published contract."""

from uuid import UUID

import pytest

from schemas.identity import change_id, item_id, lane

TENANT = UUID("0b7a1f4e-3c52-4d0e-9a55-6b0f3f2f8c11")
ITEM = UUID("1349fc8d-6613-561e-8018-6d7824c50e81")


@pytest.mark.parametrize(
    ("provider", "account", "expected"),
    [("todoist", "2671355", 78), ("slack", "T1DC2JH3J", 105), ("google", "113774264463038321964", 91)],
)
def test_the_lane_of_an_account(provider: str, account: str, expected: int) -> None:
    assert lane(provider, account) == expected


def test_the_id_of_an_item() -> None:
    assert item_id(TENANT, "todoist", "2671355", "task", "6XGgm6PHrGgMpCFX") == ITEM


def test_the_id_of_an_item_differs_with_every_part() -> None:
    parts = ("todoist", "2671355", "task", "6XGgm6PHrGgMpCFX")
    others = [(*parts[:n], parts[n] + "x", *parts[n + 1 :]) for n in range(4)]
    ids = {item_id(TENANT, *parts), item_id(UUID(int=0), *parts), *(item_id(TENANT, *other) for other in others)}
    assert len(ids) == 6


def test_the_id_of_a_change_names_item_and_version() -> None:
    assert change_id(ITEM, 1777982400123456) == "1349fc8d-6613-561e-8018-6d7824c50e81.1777982400123456"
