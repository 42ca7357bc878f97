"""What the doctor looks at and how a delivery is followed is what operating shows."""

from datetime import UTC, datetime, timedelta
from typing import Any

from deploy.operator.checks import CHECKS, accounts, finding, postgresql, shares
from deploy.operator.story import tell
from tests.docs.pages import blocks, page, rows, section

CONNECTION = "01a204da-2a9a-729a-bbba-307620c4d6fc"
DELIVERY = "236deda0-6043-4c9b-8b30-5093bf1260d7"
RUN = "ba8107f9-3a89-4498-9f29-1c5138b54cbb"
TASK = "52e50741-8871-522f-b0aa-44d7ca84cd69"
SYNC = "f540ce5a-9bed-5428-bcc1-4fcecbf58c75"
VERSION = 1795377883216679
OURS = {"group": "lifeos.processors", "next_offset": 79, "passed": True}
INDEX = {"group": "search-index", "next_offset": 97, "passed": True}
MAILER = {"group": "mailer", "next_offset": 67, "passed": False}


def at(second: float) -> datetime:
    return datetime(2026, 11, 22, 20, 4, tzinfo=UTC) + timedelta(seconds=second)


def change(item: str, kind: str, action: str, changed: list[str], seq: int, offset: int, groups: Any) -> dict[str, Any]:
    return {
        "change_id": f"{item}.{VERSION}",
        "kind": kind,
        "action": action,
        "changed": changed,
        "recorded_at": at(43.216679),
        "state": "published",
        "lane": 78,
        "seq": seq,
        "topic": f"changes.{kind}",
        "partition": 0,
        "offset": offset,
        "published_at": at(43.228826),
        "record": {"state": "there"},
        "groups": groups,
    }


def item(item_id: str, kind: str, name: str | None) -> dict[str, Any]:
    more = {"deleted": False, "part_of": None, "updated_at": at(43.2)}
    return {"item_id": item_id, "kind": kind, "name": name, "version": VERSION, **more}


TOLD = {
    "id": DELIVERY,
    "found": ["delivery"],
    "deliveries": [
        {
            "delivery_id": DELIVERY,
            "provider": "todoist",
            "event": "item:added",
            "account": "2671355",
            "received_at": at(42.100378),
            "accepted_at": at(42.106164),
            "outcome": "wanted",
            "topic": "webhooks.todoist",
            "partition": 0,
            "offset": 78,
            "connection_id": CONNECTION,
            "subscription_id": None,
            "trace": None,
            "resource": "everything",
            "record": {"state": "there"},
            "groups": [OURS],
        }
    ],
    "waiting": [],
    "runs": [
        {
            "run_id": RUN,
            "outcome": "done",
            "started_at": at(43.211712),
            "ended_at": at(43.218661),
            "detail": None,
            "found_by": "push",
            "causation_id": DELIVERY,
            "connection_id": CONNECTION,
            "resource": "everything",
            "created": 1,
            "updated": 0,
            "deleted": 0,
            "rejected": 0,
            "deliveries": 1,
            "saw": [],
            "saw_left_off": 0,
        }
    ],
    "changes": [
        change(TASK, "task", "created", ["title"], 166, 84, [INDEX, MAILER]),
        change(SYNC, "sync", "updated", ["created", "run"], 167, 73, []),
    ],
    "changes_left_off": 0,
    "items": [item(TASK, "task", "Call the café"), item(SYNC, "sync", None)],
}


def test_operating_shows_what_is_told() -> None:
    (shown,) = [block for block in blocks(page("operating"), "console") if "deliveries show" in block]
    _, _, story = shown.partition("\n")
    assert story == "\n".join(tell(TOLD, at(44.2))) + "\n"


def test_every_check_of_the_doctor_is_in_operating_in_its_order() -> None:
    table = rows(section(page("operating"), "Doctor"))
    assert [row[0].strip("`") for row in table] == [name for name, _, _ in CHECKS]


def test_the_doctors_bounds_are_those_of_the_code() -> None:
    bad, warn = ({row[0].strip("`"): row[n] for row in rows(section(page("operating"), "Doctor"))} for n in (1, 2))
    assert f"{postgresql.CLOCK_BAD:g} s" in bad["clock"]
    assert f"{postgresql.CLOCK_WARN:g} s" in warn["clock"]
    assert f"older than {postgresql.OLDEST_POSTGRESQL}" in bad["postgresql"]
    assert f"{finding.STILL:g} s" in bad["partitions"]
    assert f"{shares.LAG:,} deliveries" in warn["partitions"]
    assert f"{accounts.OVERDUE.seconds} s" in bad["cursors"]
    assert f"{accounts.RETRYING} times" in warn["connections"]
    assert f"{accounts.PENDING.seconds // 60} min" in warn["subscriptions"]
    assert f"{accounts.NEAR.days * 24} h or a tenth" in warn["subscriptions"]
    assert accounts.NEAR_SHARE == 0.1
    assert f"{accounts.LATELY.days * 24} h" in warn["parked"]
    assert f"{shares.BEHIND_BAD:g} s" in bad["lanes"]
    assert f"{shares.BEHIND_WARN:g} s" in warn["lanes"]
