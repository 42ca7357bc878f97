"""A change is a CloudEvent in Kafka binary mode, as the official SDK reads it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat

from schemas.change import Action, Change, attributes, value

ITEM = UUID("1349fc8d-6613-561e-8018-6d7824c50e81")
SNAPSHOT = {"@type": "Task", "title": "Milch & Brötchen"}


def change(action: Action = "updated", prev_version: int | None = 1777982400000000) -> Change:
    return Change(
        tenant_id=UUID(int=2),
        connection_id=UUID(int=4),
        provider="todoist",
        lane=78,
        kind="task",
        item_id=ITEM,
        external_id="6XGgm6PHrGgMpCFX",
        version=1777982400123456,
        prev_version=prev_version,
        action=action,
        item=SNAPSHOT,
        changed=("title",),
        found_by="push",
        run_id=UUID(int=1),
        causation_id="delivery-1",
        recorded_at=datetime(2026, 5, 5, 12, 0, 0, 123456, tzinfo=UTC),
    )


def read(made: Change) -> BaseCloudEvent:
    headers = {name: text.encode() for name, text in attributes(made).items()}
    record = KafkaMessage(headers=headers, key=str(made.item_id).encode(), value=value(made))
    return from_binary(record, JSONFormat())


def test_the_official_sdk_reads_a_change() -> None:
    event = read(change())
    assert event.get_id() == "1349fc8d-6613-561e-8018-6d7824c50e81.1777982400123456"
    assert event.get_type() == "lifeos.task.changed.v1"
    assert event.get_source() == f"/integrations/todoist/{UUID(int=4)}"
    assert event.get_subject() == str(ITEM)
    assert event.get_time() == datetime(2026, 5, 5, 12, 0, 0, 123456, tzinfo=UTC)
    assert event.get_datacontenttype() == "application/json"


def test_it_carries_the_whole_item_and_the_names_of_what_changed() -> None:
    data: Any = read(change()).get_data()
    assert data == {
        "itemId": str(ITEM),
        "externalId": "6XGgm6PHrGgMpCFX",
        "version": 1777982400123456,
        "action": "updated",
        "changed": ["title"],
        "item": SNAPSHOT,
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tenantid", str(UUID(int=2))),
        ("connectionid", str(UUID(int=4))),
        ("itemversion", "1777982400123456"),
        ("prevversion", "1777982400000000"),
        ("foundby", "push"),
        ("causationid", "delivery-1"),
        ("recordedtime", "2026-05-05T12:00:00.123456+00:00"),
    ],
)
def test_its_extensions_are_text(name: str, expected: str) -> None:
    assert read(change()).get_extension(name) == expected


def test_the_first_version_has_no_previous_one() -> None:
    assert "ce_prevversion" not in attributes(change("created", None))


@pytest.mark.parametrize(
    ("action", "type_"),
    [
        ("created", "lifeos.task.changed.v1"),
        ("updated", "lifeos.task.changed.v1"),
        ("deleted", "lifeos.task.deleted.v1"),
    ],
)
def test_a_deletion_has_its_own_type(action: Action, type_: str) -> None:
    assert read(change(action)).get_type() == type_
