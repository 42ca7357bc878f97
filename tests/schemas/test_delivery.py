"""A delivery survives its topic unchanged; a record that is no delivery is named for what is wrong with it."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st

from schemas.delivery import UNKNOWN, Delivery, Undecodable, Via, decode, encode
from schemas.providers import PROVIDERS

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
PUSH = replace(
    DELIVERY,
    provider="google",
    account="",
    lane=91,
    event="exists",
    via=Via(
        subscription_id=UUID("5f0c3a52-8a3e-4f0e-8c1d-2f5b7a9d1e60"),
        external_id="ret08u3rv24htgh289g",
        message=10,
        expires_at="2013-11-19T01:13:52+00:00",
    ),
)
VIA: dict[str, Any] = orjson.loads(encode(PUSH)[0])["via"]
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
VIAS = st.builds(
    Via,
    subscription_id=st.uuids(),
    external_id=st.none() | TEXT,
    message=st.none() | st.integers(0, 2**63 - 1),
    expires_at=st.none() | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
)
DELIVERIES = st.builds(
    Delivery,
    id=TEXT,
    provider=st.sampled_from(PROVIDERS),
    kind=st.sampled_from(["look", "data"]),
    account=TEXT,
    lane=st.integers(0, 255),
    event=TEXT | st.just(UNKNOWN),
    received_at=TEXT,
    raw=st.binary(),
    raw_is_json=st.just(False),
    via=st.none() | VIAS,
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


def test_the_official_sdk_reads_a_push() -> None:
    value, headers = encode(PUSH)
    event = from_binary(KafkaMessage(headers=dict(headers), key=b"", value=value), JSONFormat())
    assert event.get_source() == "/webhooks/google"


def test_unknown_fields_are_ignored_so_that_the_format_can_grow() -> None:
    assert decode(orjson.dumps(BODY | {"later": 1})) == DELIVERY
    assert decode(orjson.dumps(orjson.loads(encode(PUSH)[0]) | {"via": VIA | {"later": 1}})) == PUSH


def test_a_delivery_through_no_subscription_says_nothing_of_one() -> None:
    assert "via" not in BODY
    assert decode(orjson.dumps(BODY | {"via": None})) == DELIVERY


def test_of_a_subscription_only_its_id_is_needed() -> None:
    bare = Via(UUID("5f0c3a52-8a3e-4f0e-8c1d-2f5b7a9d1e60"))
    assert decode(orjson.dumps(BODY | {"via": {"subscription_id": str(bare.subscription_id)}})).via == bare
    assert decode(encode(replace(PUSH, via=bare))[0]).via == bare


@pytest.mark.parametrize(
    ("via", "message"),
    [
        ("5f0c3a52-8a3e-4f0e-8c1d-2f5b7a9d1e60", "via is not an object"),
        ([VIA], "via is not an object"),
        (False, "via is not an object"),
        (0, "via is not an object"),
        ({}, "via.subscription_id is not a UUID"),
        (VIA | {"subscription_id": None}, "via.subscription_id is not a UUID"),
        (VIA | {"subscription_id": 1}, "via.subscription_id is not a UUID"),
        (VIA | {"subscription_id": "a\0b"}, "via.subscription_id is not a UUID"),
        (VIA | {"subscription_id": ""}, "via.subscription_id is not a UUID"),
        (VIA | {"subscription_id": "5f0c3a52"}, "via.subscription_id is not a UUID"),
        (VIA | {"subscription_id": "５" * 32 + "x"}, "via.subscription_id is not a UUID"),
        (VIA | {"external_id": 7}, "external_id is missing or not text"),
        (VIA | {"external_id": ["a"]}, "external_id is missing or not text"),
        (VIA | {"external_id": "a\0b"}, "external_id is missing or not text"),
        (VIA | {"message": "10"}, "via.message is not a count"),
        (VIA | {"message": True}, "via.message is not a count"),
        (VIA | {"message": 10.0}, "via.message is not a count"),
        (VIA | {"message": -1}, "via.message is not a count"),
        (VIA | {"message": 2**63}, "via.message is not a count"),
        (VIA | {"expires_at": 1384823632000}, "expires_at is missing or not text"),
        (VIA | {"expires_at": "2013\0"}, "expires_at is missing or not text"),
        (VIA | {"expires_at": ""}, "via.expires_at is not a date and time with an offset"),
        (VIA | {"expires_at": "soon"}, "via.expires_at is not a date and time with an offset"),
        (VIA | {"expires_at": "2013-11-19T01:13:52"}, "via.expires_at is not a date and time with an offset"),
        (VIA | {"expires_at": "Tue, 19 Nov 2013 01:13:52 GMT"}, "via.expires_at is not a date and time with an offset"),
    ],
)
def test_what_names_no_subscription_is_named_for_its_first_mistake(via: object, message: str) -> None:
    with pytest.raises(Undecodable) as refused:
        decode(orjson.dumps(BODY | {"via": via}))
    assert str(refused.value) == message


@given(st.dictionaries(st.sampled_from([*VIA]), JSON) | JSON)
def test_any_via_is_a_subscription_or_undecodable(via: object) -> None:
    with suppress(Undecodable):
        assert isinstance(decode(orjson.dumps(BODY | {"via": via})).via, Via | None)


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


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_the_trace_travels_in_the_headers() -> None:
    value, headers = encode(replace(PUSH, trace=TRACE))
    assert value == encode(PUSH)[0]
    assert {name: said for name, said in headers if "trace" in name} == {
        "ce_traceparent": TRACE.encode(),
        "traceparent": TRACE.encode(),
    }
    assert decode(value, headers) == replace(PUSH, trace=TRACE)
    assert decode(*encode(PUSH)) == PUSH


@pytest.mark.parametrize(
    "said", [None, b"", b"\xff", TRACE.upper().encode(), TRACE.encode() + b"\n", b"01" + TRACE[2:].encode()]
)
def test_a_trace_that_is_none_is_as_good_as_none(said: bytes | None) -> None:
    assert decode(encode(PUSH)[0], [("ce_traceparent", said)]) == PUSH
