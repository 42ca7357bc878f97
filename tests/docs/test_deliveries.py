"""What `lifeos deliveries` prints is what the README shows, on any screen one line per delivery."""

import re
from datetime import UTC, datetime
from typing import Any

from deploy.operator.deliveries import HEADINGS, cells
from deploy.operator.lines import table
from tests.docs.pages import README, blocks, text


def receipt(at: str, delivery: str, event: str, offset: int, *, synced: bool = True, **more: Any) -> dict[str, Any]:
    """A receipt as the database gives it."""
    return {
        "accepted_at": datetime.fromisoformat(f"2026-11-22T{at}").replace(tzinfo=UTC),
        "provider": "todoist",
        "became": "synced" if synced else "wanted",
        "reason": None,
        "delivery_id": delivery,
        "event": event,
        "account": "2671355",
        "partition": 0,
        "offset": offset,
        **more,
    }


ROWS = [
    receipt("16:46:48", "80436e18-0a69-4339-bf81-cc2c9de1f4a6", "item:added", 104, synced=False),
    receipt("16:46:47", "c2b9546e-0f02-40f3-adb7-f1d5cbf15150", "unknown", 103),
    receipt("16:46:47", "e3e70682-c209-4cac-a29f-6fbed82c07cd", "item:added", 102),
]


def printed(rows: list[dict[str, Any]], columns: int | None) -> list[str]:
    return list(table(HEADINGS, [cells(row) for row in rows], columns))


def test_the_readme_shows_what_is_printed() -> None:
    (shown,) = [block for block in blocks(text(README), "console") if "deliveries" in block]
    assert "\n".join(printed(ROWS, None)) + "\n" in shown


def test_eighty_columns_hold_every_delivery_id_whole_on_a_line_of_its_own() -> None:
    unmatched = receipt("16:46:40", ROWS[0]["delivery_id"], "section:unarchived", 90, became="unmatched")
    parked = unmatched | {"became": "parked", "reason": "undecodable", "event": "unknown"}
    for rows in (ROWS, [*ROWS, unmatched], [*ROWS, parked]):
        _, *lines = printed(rows, 80)
        assert len(lines) == len(rows)
        assert max(map(len, lines)) <= 80
        assert [re.findall(r"[0-9a-f-]{36}", line) for line in lines] == [[row["delivery_id"]] for row in rows]


def test_eighty_columns_hold_whose_and_where() -> None:
    unmatched = receipt("16:46:40", ROWS[0]["delivery_id"], "section:unarchived", 90, became="unmatched")
    _, *lines = printed([*ROWS, unmatched], 80)
    assert [line.split()[4:6] for line in lines] == [["2671355", f"0/{offset}"] for offset in (104, 103, 102, 90)]


def test_what_does_not_fit_is_seen_to_be_cut() -> None:
    assert all(line.endswith("…") for line in printed(ROWS, 80))
    assert not any("…" in line for line in printed(ROWS, 120))
