"""The books themselves: each fault that they count, once, in a topic made up for it."""

from uuid import UUID

import pytest

from tests.outbox.books import Books, Seen, Version, audit

A, B = UUID(int=1), UUID(int=2)
NUMBERS = {(A, 1): (7, 1), (A, 2): (7, 2), (B, 1): (7, 3)}


def books(*committed: Version) -> Books:
    return Books({(item, version): version - 1 or None for item, version in committed})


def topic(*records: tuple[UUID, int, int | None, bytes]) -> list[Seen]:
    return [
        Seen("changes.task", 1, at, (item, version), previous, content)
        for at, (item, version, previous, content) in enumerate(records)
    ]


FIRST, SECOND, OTHER = (A, 1, None, b"1"), (A, 2, 1, b"2"), (B, 1, None, b"3")


@pytest.mark.parametrize(
    ("records", "repeats"),
    [
        pytest.param([FIRST, SECOND, OTHER], 0, id="once"),
        pytest.param([FIRST, SECOND, FIRST, SECOND, OTHER], 2, id="sent again from the start"),
        pytest.param([FIRST, FIRST, SECOND, OTHER, SECOND], 2, id="two relays, one of them late"),
    ],
)
def test_first_occurrences_in_order_are_flawless(
    records: list[tuple[UUID, int, int | None, bytes]], repeats: int
) -> None:
    found = audit(books((A, 1), (A, 2), (B, 1)), topic(*records), NUMBERS)
    assert (found.flawless, found.repeats) == (True, repeats)


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        pytest.param([FIRST, SECOND], "missed", id="a row that is not there"),
        pytest.param([FIRST, SECOND, OTHER, (B, 9, 1, b"9")], "phantoms", id="a row that nobody committed"),
        pytest.param([SECOND, FIRST, OTHER], "inverted", id="the newer version first"),
        pytest.param([OTHER, FIRST, SECOND], "disordered", id="another item's row before its turn"),
        pytest.param([FIRST, (A, 2, None, b"2"), OTHER], "gaps", id="a chain that does not lead back"),
        pytest.param([FIRST, SECOND, OTHER, (A, 1, None, b"?")], "altered", id="a repeat that differs"),
    ],
)
def test_each_fault_is_counted(records: list[tuple[UUID, int, int | None, bytes]], fault: str) -> None:
    found = audit(books((A, 1), (A, 2), (B, 1)), topic(*records), NUMBERS)
    assert getattr(found, fault) >= 1
    assert not found.flawless
