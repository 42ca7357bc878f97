"""Todoist at the door: what it signs is accepted, and nothing else is, down to one byte."""

import hmac
import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from hashlib import sha256
from string import ascii_letters, digits
from typing import Any, get_args
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingress.provider import REASONS, Reason, Refused, Request, Verified
from ingress.providers import todoist
from ingress.signatures import prepare
from schemas import topics
from schemas.delivery import Delivery, decode, encode
from schemas.identity import lane
from tests.contract.exchanges import Exchange, captured

SECRET = b"test-client-secret"
KEYS = prepare([SECRET])
NOW = datetime(2026, 5, 5, 6, 7, 8, 9000, tzinfo=UTC)
ENTROPY = bytes(range(10))
EXCHANGES = captured("todoist")

V6_BODY = b'{"event_name":"item:added","user_id":"1","event_data":{"id":"a"},"version":"1"}'
V6_SIGNATURE = b"nHlEoq9iTPKOTAiXCZ9IVHV/VNCX1HfKByNaV//u5s8="


def request(body: bytes, *signatures: bytes, ids: tuple[bytes, ...] = ()) -> Request:
    headers = {todoist.SIGNATURE: list(signatures)} if signatures else {}
    return Request(headers | ({todoist.DELIVERY_ID: list(ids)} if ids else {}), body)


def sign(body: bytes, secret: bytes = SECRET) -> bytes:
    return b64encode(hmac.digest(secret, body, sha256))


def accept(body: bytes, *ids: bytes) -> Delivery:
    """What becomes of an authentic body. Every delivery also has to survive its way through the topic."""
    verified = todoist.verify(request(body, sign(body), ids=ids), KEYS)
    assert isinstance(verified, Verified)
    (delivery,) = todoist.normalize(verified, NOW, ENTROPY)
    value, _ = encode(delivery)
    assert len(value) <= topics.MAX_RECORD_BYTES
    arrived = decode(value)
    assert arrived.raw_is_json or arrived.raw == body
    assert (arrived.id, arrived.account, arrived.lane, arrived.event) == (
        delivery.id,
        delivery.account,
        delivery.lane,
        delivery.event,
    )
    return delivery


def refusal(of: Request, *secrets: bytes) -> Reason:
    verdict = todoist.verify(of, prepare(secrets) if secrets else KEYS)
    assert isinstance(verdict, Refused)
    return verdict.reason


# What Todoist signs.


def test_the_vector_is_accepted() -> None:
    assert len(V6_BODY) == 79
    assert todoist.verify(request(V6_BODY, V6_SIGNATURE), KEYS) == Verified(request(V6_BODY, V6_SIGNATURE))


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda e: e.name)
def test_a_captured_exchange_is_accepted_and_normalised(exchange: Exchange) -> None:
    verified = todoist.verify(exchange.request(todoist.SPEC), KEYS)
    assert isinstance(verified, Verified)
    (delivery,) = todoist.normalize(verified, NOW, ENTROPY)
    said = orjson.loads(exchange.body)
    assert delivery == Delivery(
        id=exchange.headers.get("X-Todoist-Delivery-ID", delivery.id),
        provider="todoist",
        kind="look",
        account=said["user_id"],
        lane=lane("todoist", said["user_id"]),
        event=said["event_name"] if exchange.name != "unknown_event" else "unknown",
        received_at="2026-05-05T06:07:08.009000+00:00",
        raw=exchange.body,
        raw_is_json=True,
    )


def test_the_captured_exchanges_cover_the_events() -> None:
    seen = {orjson.loads(exchange.body)["event_name"] for exchange in EXCHANGES}
    assert len(seen & todoist.EVENTS) >= 24
    assert len(todoist.EVENTS) == 25


@settings(max_examples=100)
@given(body=st.binary(max_size=300), secret=st.binary(min_size=1, max_size=100))
def test_any_bytes_signed_with_our_secret_are_authentic(body: bytes, secret: bytes) -> None:
    assert todoist.verify(request(body, sign(body, secret)), prepare([secret])) == Verified(
        request(body, sign(body, secret))
    )


# Every one-byte change.


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda e: e.name)
def test_a_body_with_any_one_byte_changed_is_refused(exchange: Exchange) -> None:
    signature = sign(exchange.body)
    for position, byte in enumerate(exchange.body):
        for other in {byte ^ 1, byte ^ 0x20, byte ^ 0x80}:
            changed = bytearray(exchange.body)
            changed[position] = other
            assert refusal(request(bytes(changed), signature)) == "signature_wrong"


def test_a_body_with_a_byte_less_or_more_anywhere_is_refused() -> None:
    for position in range(len(V6_BODY) + 1):
        for piece in (b" ", b"\n", b"\0", b"}"):
            longer = V6_BODY[:position] + piece + V6_BODY[position:]
            assert refusal(request(longer, V6_SIGNATURE)) == "signature_wrong"
    for position in range(len(V6_BODY)):
        assert refusal(request(V6_BODY[:position] + V6_BODY[position + 1 :], V6_SIGNATURE)) == "signature_wrong"


def test_a_signature_with_any_one_byte_changed_is_refused() -> None:
    for position, byte in enumerate(V6_SIGNATURE):
        for other in set(range(256)) - {byte}:
            changed = bytearray(V6_SIGNATURE)
            changed[position] = other
            assert refusal(request(V6_BODY, bytes(changed))) in ("signature_wrong", "signature_malformed")


def test_the_other_spellings_of_the_last_character_are_refused() -> None:
    alphabet = (ascii_letters + digits + "+/").encode()
    same = [c for c in alphabet if b64decode(V6_SIGNATURE[:42] + bytes([c]) + b"=") == sha256_of_v6()]
    assert len(same) == 4
    accepted = [
        c
        for c in same
        if isinstance(todoist.verify(request(V6_BODY, V6_SIGNATURE[:42] + bytes([c]) + b"="), KEYS), Verified)
    ]
    assert accepted == [V6_SIGNATURE[42]]


def sha256_of_v6() -> bytes:
    return hmac.digest(SECRET, V6_BODY, sha256)


def test_a_secret_with_any_one_byte_changed_refuses() -> None:
    for position, byte in enumerate(SECRET):
        for other in set(range(256)) - {byte}:
            changed = bytearray(SECRET)
            changed[position] = other
            assert refusal(request(V6_BODY, V6_SIGNATURE), bytes(changed)) == "signature_wrong"
    for secret in (SECRET[:-1], SECRET[1:], SECRET + b"t", SECRET + b"\n", SECRET.upper(), V6_SIGNATURE):
        assert refusal(request(V6_BODY, V6_SIGNATURE), secret) == "signature_wrong"


# Signature headers.


def test_a_missing_signature_is_refused() -> None:
    assert refusal(request(V6_BODY)) == "signature_missing"


@pytest.mark.parametrize(
    "signatures", [(V6_SIGNATURE, V6_SIGNATURE), (V6_SIGNATURE, b"x"), (b"x", V6_SIGNATURE), (b"", V6_SIGNATURE)]
)
def test_more_than_one_signature_is_refused(signatures: tuple[bytes, ...]) -> None:
    assert refusal(request(V6_BODY, *signatures)) == "signature_repeated"


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        V6_SIGNATURE + b"," + V6_SIGNATURE,
        V6_SIGNATURE + b", " + V6_SIGNATURE,
        V6_SIGNATURE * 1000,
        V6_SIGNATURE[:-1],
        V6_SIGNATURE + b"=",
        V6_SIGNATURE + b"\n",
        b" " + V6_SIGNATURE,
        b"sha256=" + V6_SIGNATURE,
        b'"' + V6_SIGNATURE + b'"',
        V6_SIGNATURE.replace(b"/", b"_"),
        V6_SIGNATURE.replace(b"/", b"\xc3\xa9"),
        "ｎHlEoq9iTPKOTAiXCZ9IVHV/VNCX1HfKByNaV//u5s8=".encode(),
        hmac.digest(SECRET, V6_BODY, sha256),
        hmac.digest(SECRET, V6_BODY, sha256).hex().encode(),
        b"=" * 44,
        bytes(44),
    ],
)
def test_a_signature_written_in_another_way_is_refused(signature: bytes) -> None:
    assert refusal(request(V6_BODY, signature)) == "signature_malformed"


def test_a_signature_in_another_case_is_refused() -> None:
    assert refusal(request(V6_BODY, V6_SIGNATURE.lower())) == "signature_wrong"


def test_a_signature_under_another_digest_or_without_a_key_is_refused() -> None:
    assert refusal(request(V6_BODY, b64encode(sha256(V6_BODY).digest()))) == "signature_wrong"
    assert refusal(request(V6_BODY, sign(V6_BODY, bytes(64)))) == "signature_wrong"


# Secrets.


@pytest.mark.parametrize("secrets", [[SECRET, b"next"], [b"next", SECRET], [b"a", b"b", SECRET, b"c"]])
def test_any_of_several_secrets_verifies(secrets: list[bytes]) -> None:
    assert isinstance(todoist.verify(request(V6_BODY, V6_SIGNATURE), prepare(secrets)), Verified)


def test_a_rotated_secret_no_longer_verifies() -> None:
    assert refusal(request(V6_BODY, V6_SIGNATURE), b"next") == "signature_wrong"
    assert isinstance(todoist.verify(request(V6_BODY, sign(V6_BODY, b"next")), prepare([b"next"])), Verified)


@pytest.mark.parametrize("secrets", [[], [b""], [SECRET, b""], [b"", SECRET]])
def test_an_empty_secret_cannot_be_prepared(secrets: list[bytes]) -> None:
    with pytest.raises(ValueError, match="secret"):
        prepare(secrets)


def test_keys_are_not_used_up() -> None:
    keys = prepare([SECRET])
    for _ in range(3):
        assert isinstance(todoist.verify(request(V6_BODY, V6_SIGNATURE), keys), Verified)
        assert isinstance(todoist.verify(request(V6_BODY + b" ", V6_SIGNATURE), keys), Refused)


def test_every_reason_has_a_sentence() -> None:
    assert set(REASONS) == set(get_args(Reason))


# Whatever an authentic body says, it becomes a delivery.


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"\xff\xfe{\0}\0",
        b"\xef\xbb\xbf{}",
        b'{"user_id":NaN}',
        b'{"user_id":1e400}',
        b'{"user_id":"\\ud800"}',
        b'{"user_id":"\xed\xa0\x80"}',
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b"[" * 100_000,
        b"[" * 500_000 + b"]" * 500_000,
        b"{}{}",
        b"event_name=item%3Aadded&user_id=1",
        bytes(range(256)) * 4096,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_json_object_travels_as_unknown(body: bytes) -> None:
    delivery = accept(body)
    assert (delivery.event, delivery.account, delivery.kind) == ("unknown", "", "look")
    assert delivery.raw == body
    assert delivery.raw_is_json == (body == b"null")


@pytest.mark.parametrize("body", [b"[]", b'"item:added"', b"1", b"true", b"[" * 64 + b"]" * 64])
def test_json_that_is_no_object_travels_as_unknown(body: bytes) -> None:
    delivery = accept(body)
    assert (delivery.event, delivery.account, delivery.raw_is_json) == ("unknown", "", True)


def test_64_levels_are_read() -> None:
    body = b'{"user_id":"7","event_name":"item:added","x":' + b"[" * 63 + b"]" * 63 + b"}"
    assert accept(body).account == "7"


@pytest.mark.parametrize(
    ("user_id", "account"),
    [
        ("77", "77"),
        (77, "77"),
        (2**63, str(2**63)),
        ("6XGgm6PHrGgMpCFX", "6XGgm6PHrGgMpCFX"),
        ("é", "é"),
        (2**64 - 1, str(2**64 - 1)),
        ("", ""),
        (None, ""),
        (True, ""),
        (1.5, ""),
        (["77"], ""),
        ({"id": "77"}, ""),
        ("a\0b", ""),
        ("a\nb", ""),
        ("x" * 128, "x" * 128),
        ("x" * 129, ""),
    ],
)
def test_the_account_is_the_user_id_as_text(user_id: Any, account: str) -> None:
    delivery = accept(orjson.dumps({"event_name": "item:added", "user_id": user_id}))
    assert (delivery.account, delivery.lane, delivery.event) == (account, lane("todoist", account), "item:added")


@pytest.mark.parametrize("digits_", [20, 400, 5000])
def test_a_number_too_large_to_be_an_id_is_none(digits_: int) -> None:
    assert accept(b'{"event_name":"item:added","user_id":' + b"9" * digits_ + b"}").account == ""


def test_a_missing_user_id_is_no_account() -> None:
    assert accept(b'{"event_name":"item:added"}').account == ""


@pytest.mark.parametrize("name", ["item:exploded", "", "ITEM:ADDED", "item:added ", 7, None, ["item:added"], {}, "\0"])
def test_an_event_that_no_table_knows_is_unknown(name: Any) -> None:
    assert accept(orjson.dumps({"event_name": name, "user_id": "1"})).event == "unknown"


@pytest.mark.parametrize("name", sorted(todoist.EVENTS))
def test_every_documented_event_keeps_its_name(name: str) -> None:
    assert accept(orjson.dumps({"event_name": name, "user_id": "1"})).event == name


def test_a_nul_in_the_body_travels_as_it_came() -> None:
    assert accept(b'{"event_name":"item:added","user_id":"1","event_data":{"content":"a\\u0000b"}}').raw_is_json


@settings(max_examples=200)
@given(st.binary(max_size=200) | st.text(max_size=50).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_authentic_bytes_become_a_delivery(body: bytes) -> None:
    accept(body)


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from(["event_name", "user_id", "event_data", "version"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["item:added"]),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=10,
        ),
    )
)
def test_any_authentic_object_becomes_a_delivery(said: dict[str, Any]) -> None:
    accept(json.dumps(said).encode())


@pytest.mark.parametrize("body", [b"\xff" * (1 << 20), b'"' + b"a" * ((1 << 20) - 2) + b'"'], ids=["bytes", "json"])
def test_the_largest_body_fits_a_record(body: bytes) -> None:
    assert len(body) == todoist.SPEC.max_body_bytes
    accept(body)


# Ids.


@pytest.mark.parametrize("given", [b"e3e70682-c209-4cac-a29f-6fbed82c07cd", b"1", b"~" * 128, b"!"])
def test_the_providers_id_is_the_delivery_id(given: bytes) -> None:
    assert accept(V6_BODY, given).id == given.decode()


@pytest.mark.parametrize(
    "ids", [(), (b"",), (b"a", b"a"), (b"a" * 129,), (b"a b",), (b"a\tb",), (b"\xc3\xa9",), (b"a\x7f",), (b"a\n",)]
)
def test_an_id_that_is_none_is_minted(ids: tuple[bytes, ...]) -> None:
    minted = UUID(accept(V6_BODY, *ids).id)
    assert minted.version == 7
    assert minted.int >> 80 == int(NOW.timestamp() * 1000)
    assert accept(V6_BODY, *ids).id == str(minted)


def test_minted_ids_differ_with_their_entropy() -> None:
    verified = todoist.verify(request(V6_BODY, V6_SIGNATURE), KEYS)
    assert isinstance(verified, Verified)
    ids = {todoist.normalize(verified, NOW, bytes([n]) * 10)[0].id for n in range(256)}
    assert len(ids) == 256
