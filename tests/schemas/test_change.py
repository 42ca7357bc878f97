"""A change is a CloudEvent in Kafka binary mode, as the official SDK reads it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from pydantic import ValidationError

from schemas.change import VALUES, Action, Attributes, Change, Value, attributes, value
from schemas.item import Task
from schemas.providers import KINDS

ITEM = UUID("1349fc8d-6613-561e-8018-6d7824c50e81")
SNAPSHOT = Task(uid=str(ITEM), title="Milch & Brötchen").snapshot()
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def change(action: Action = "updated", prev_version: int | None = 1777982400000000, trace: str | None = None) -> Change:
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
        trace=trace,
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


def test_it_names_the_trace_that_led_to_it_if_there_is_one() -> None:
    assert "ce_traceparent" not in attributes(change())
    assert attributes(change(trace=TRACE))["ce_traceparent"] == TRACE
    assert read(change(trace=TRACE)).get_extension("traceparent") == TRACE


# What is sent, and the models that tell subscribers of it.


def test_every_field_that_is_sent_is_in_the_model_and_the_reverse() -> None:
    told = Value[Task].model_validate_json(value(change()))
    assert orjson.loads(value(change())) == told.model_dump(mode="json", by_alias=True, exclude_none=True)


@pytest.mark.parametrize(
    "made", [change(), change("created", None), change("deleted"), change(trace=TRACE)], ids=lambda made: made.action
)
def test_every_header_that_is_sent_is_in_the_model(made: Change) -> None:
    Attributes.model_validate(attributes(made))


def test_every_header_of_the_model_is_sent_but_the_trace_of_the_hop() -> None:
    told = {field.alias for field in Attributes.model_fields.values()}
    assert told == attributes(change(trace=TRACE)).keys() | {"traceparent"}
    optional = {field.alias for field in Attributes.model_fields.values() if not field.is_required()}
    assert told - optional == attributes(change("created", None)).keys()


@pytest.mark.parametrize("header", sorted(attributes(change("created", None))))
def test_the_model_does_without_none_of_them(header: str) -> None:
    sent = attributes(change())
    del sent[header]
    with pytest.raises(ValidationError):
        Attributes.model_validate(sent)


def test_the_model_takes_no_header_that_it_does_not_know() -> None:
    with pytest.raises(ValidationError):
        Attributes.model_validate(attributes(change()) | {"ce_mood": "good"})


def test_every_kind_has_a_model_of_its_value() -> None:
    assert VALUES.keys() == set(KINDS)
