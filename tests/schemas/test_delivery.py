"""A delivery survives its topic unchanged; a record that is no delivery is named for what is wrong with it."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st

from schemas.delivery import UNKNOWN, Delivery, Undecodable, decode, encode

DELIVERY = Delivery(
    id="d-1",
    provider="todoist",
    kind="look",
    account="2671355",
    lane=78,
    event="item:added",
    received_at="2026-05-05T12:00:00.123456+00:00",
    raw=b'{"event_name":"item:added","user_id":"2671355"}',
    raw_is_json=True,
)
BODY: dict[str, Any] = orjson.loads(encode(DELIVERY)[0])
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
DELIVERIES = st.builds(
    Delivery,
    id=TEXT,
    provider=st.just("todoist"),
    kind=st.sampled_from(["look", "data"]),
    account=TEXT,
    lane=st.integers(0, 255),
    event=TEXT | st.just(UNKNOWN),
    received_at=TEXT,
    raw=st.binary(),
    raw_is_json=st.just(False),
)


@given(DELIVERIES)
def test_a_delivery_of_any_bytes_comes_back_as_it_went(delivery: Delivery) -> None:
    assert decode(encode(delivery)[0]) == delivery


@given(DELIVERIES, JSON)
def test_a_delivery_of_any_json_comes_back_as_it_went(delivery: Delivery, raw: object) -> None:
    sent = replace(delivery, raw=orjson.dumps(raw), raw_is_json=True)
    assert decode(encode(sent)[0]) == sent


def test_the_providers_own_bytes_stand_in_the_record_untouched() -> None:
    odd = replace(DELIVERY, raw=b'{ "b":1.50,\n"a":"\\u00e9" }')
    assert odd.raw in encode(odd)[0]


def test_the_official_sdk_reads_a_delivery() -> None:
    value, headers = encode(DELIVERY)
    event = from_binary(KafkaMessage(headers=dict(headers), key=b"2671355", value=value), JSONFormat())
    assert (event.get_id(), event.get_type()) == ("d-1", "lifeos.webhook.received.v1")
    assert event.get_source() == "/webhooks/todoist"


def test_unknown_fields_are_ignored_so_that_the_format_can_grow() -> None:
    assert decode(orjson.dumps(BODY | {"later": 1})) == DELIVERY


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "value is not JSON"),
        (b"", "value is not JSON"),
        (b"\xff", "value is not JSON"),
        (b"[]", "value is not an object"),
        (BODY | {"provider": "myspace"}, "unknown provider 'myspace'"),
        (BODY | {"provider": ["todoist"]}, "unknown provider ['todoist']"),
        (BODY | {"provider": "x" * 999}, f"unknown provider '{'x' * 39}"),
        (BODY | {"kind": "rumour"}, "unknown kind 'rumour'"),
        (BODY | {"lane": 256}, "lane is not a number from 0 to 255"),
        (BODY | {"lane": True}, "lane is not a number from 0 to 255"),
        (BODY | {"lane": 1.0}, "lane is not a number from 0 to 255"),
        (BODY | {"account": 2671355}, "account is missing or not text"),
        (BODY | {"event": "a\0b"}, "event is missing or not text"),
        ({k: v for k, v in BODY.items() if k != "id"}, "id is missing or not text"),
        ({k: v for k, v in BODY.items() if k != "raw"}, "raw_base64 is missing or not text"),
        ({k: v for k, v in BODY.items() if k != "raw"} | {"raw_base64": "a"}, "raw_base64 is not base64"),
        pytest.param(
            {k: v for k, v in BODY.items() if k != "raw"} | {"raw_base64": "é"},
            "raw_base64 is not base64",
        ),
    ],
)
def test_what_is_no_delivery_is_named_for_its_first_mistake(value: object, message: str) -> None:
    record = value if value is None or isinstance(value, bytes) else orjson.dumps(value)
    with pytest.raises(Undecodable) as refused:
        decode(record)
    assert str(refused.value).startswith(message)


@given(st.binary() | JSON.map(orjson.dumps) | st.dictionaries(st.sampled_from([*BODY]), JSON).map(orjson.dumps))
def test_any_record_is_a_delivery_or_undecodable(value: bytes) -> None:
    with suppress(Undecodable):
        assert isinstance(decode(value), Delivery)
