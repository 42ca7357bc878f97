"""Google's channels at the door: a push with the token of its channel is let in, and no other, down to one byte."""

from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from string import ascii_letters, digits
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingress.protocol import MAX_HEAD_BYTES
from ingress.provider import Reason, Refused, Request, Verified
from ingress.providers import google
from schemas import topics
from schemas.delivery import Delivery, Via, decode, encode
from schemas.identity import Channel, channel_token
from schemas.settings import KeyRing
from tests.contract.exchanges import Exchange, captured

KEY = bytes(range(32))
KEYS = KeyRing({1: KEY})
ROW = UUID("5f0c3a52-8a3e-4f0e-8c1d-2f5b7a9d1e60")
ANOTHER = UUID("4ba78bf0-6a47-11e2-bcfd-0800200c9a66")
LANE = 91
TOKEN = b"AVtfDDpSij5PDowdL1t6nR5gBvo7ylvFPcfi8Ud9mLQKj6R4_dJpimBxa7--K73Xt5w"
ID = str(ROW).encode()
ALPHABET = (ascii_letters + digits + "-_").encode()
NOW = datetime(2026, 5, 5, 6, 7, 8, 9000, tzinfo=UTC)
ENTROPY = bytes(range(10))
EXCHANGES = captured("google")

STATE = b"x-goog-resource-state"
NUMBER = b"x-goog-message-number"
RESOURCE = b"x-goog-resource-id"
EXPIRATION = b"x-goog-channel-expiration"


def push(
    *tokens: bytes, ids: Sequence[bytes] = (ID,), said: Mapping[bytes, Sequence[bytes]] | None = None, body: bytes = b""
) -> Request:
    """A request as the door hands it over: fields that are missing are not there."""
    fields = {google.TOKEN: list(tokens), google.CHANNEL_ID: list(ids)} | dict(said or {STATE: [b"exists"]})
    return Request({name: values for name, values in fields.items() if values}, body)


def token(keys: KeyRing = KEYS, provider: str = "google", lane: int = LANE, row: UUID = ROW) -> bytes:
    return channel_token(keys, provider, lane, row).encode()


def accept(said: Mapping[bytes, Sequence[bytes]], body: bytes = b"") -> Delivery:
    """What becomes of an authentic push. Every delivery also has to survive its way through the topic."""
    verified = google.verify(push(TOKEN, said=said, body=body), KEYS)
    assert isinstance(verified, Verified)
    (delivery,) = google.normalize(verified, NOW, ENTROPY)
    value, _ = encode(delivery)
    assert len(value) <= topics.MAX_RECORD_BYTES
    assert decode(value) == delivery
    return delivery


def via(said: Mapping[bytes, Sequence[bytes]]) -> Via:
    found = accept(said).via
    assert found is not None
    assert found.subscription_id == ROW
    return found


def refusal(of: Request, keys: KeyRing = KEYS) -> Reason:
    verdict = google.verify(of, keys)
    assert isinstance(verdict, Refused)
    return verdict.reason


def changed(text: bytes) -> Iterator[bytes]:
    """The text with each of its bytes as every other byte."""
    for position, byte in enumerate(text):
        for other in set(range(256)) - {byte}:
            yield text[:position] + bytes([other]) + text[position + 1 :]


# What Google sends.


def test_the_published_vector_is_accepted() -> None:
    assert token() == TOKEN
    assert google.verify(push(TOKEN), KEYS) == Verified(push(TOKEN), Channel(ROW, LANE))


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda e: e.name)
def test_a_captured_push_is_accepted_and_normalised(exchange: Exchange) -> None:
    assert exchange.body == b""
    said = {name: value for name, value in exchange.headers.items() if name.startswith("X-Goog-")}
    verified = google.verify(exchange.request(google.SPEC), KEYS)
    assert isinstance(verified, Verified)
    (delivery,) = google.normalize(verified, NOW, ENTROPY)
    assert orjson.loads(delivery.raw) == {name: said[name] for name in said if name != "X-Goog-Channel-Token"}
    assert delivery == Delivery(
        id=delivery.id,
        provider="google",
        kind="look",
        account="",
        lane=LANE,
        event=said["X-Goog-Resource-State"] if exchange.name != "unknown_state" else "unknown",
        received_at="2026-05-05T06:07:08.009000+00:00",
        raw=delivery.raw,
        raw_is_json=True,
        via=Via(
            subscription_id=ROW,
            external_id=said["X-Goog-Resource-ID"],
            message=int(said["X-Goog-Message-Number"]),
            expires_at="2013-11-19T01:13:52+00:00" if "X-Goog-Channel-Expiration" in said else None,
        ),
    )
    assert decode(encode(delivery)[0]) == delivery


def test_the_captured_pushes_cover_the_states() -> None:
    assert {exchange.headers["X-Goog-Resource-State"] for exchange in EXCHANGES} >= google.EVENTS
    assert len(google.EVENTS) == 10


def test_the_captured_pushes_cover_what_google_may_leave_out_or_write_oddly() -> None:
    assert {exchange.headers.get("Content-Type") for exchange in EXCHANGES} == {
        "application/json; utf-8",
        "application/json; charset=utf-8",
        None,
    }
    assert {exchange.headers.get("X-Goog-Changed") for exchange in EXCHANGES} >= {"content, properties", None}
    assert any("X-Goog-Channel-Expiration" not in exchange.headers for exchange in EXCHANGES)


def test_no_field_beyond_googles_own_gets_past_the_door() -> None:
    assert len(google.SPEC.headers) == 8
    assert all(name.startswith(b"x-goog-") for name in google.SPEC.headers)


def test_there_is_no_handshake() -> None:
    assert google.challenge(push(TOKEN, said={STATE: [b"sync"], NUMBER: [b"1"]})) is None


@settings(max_examples=100)
@given(
    key=st.binary(min_size=32, max_size=32), kid=st.integers(0, 255), lane=st.integers(0, 255), row=st.uuids()
)  # fmt: skip
def test_every_channel_we_can_mint_is_let_in_by_its_id(key: bytes, kid: int, lane: int, row: UUID) -> None:
    keys = KeyRing({kid: key})
    verdict = google.verify(push(token(keys, lane=lane, row=row), ids=[str(row).encode()]), keys)
    assert isinstance(verdict, Verified)
    assert verdict.channel == Channel(row, lane)


# Every one-byte change.


def test_a_token_with_any_one_byte_changed_is_refused() -> None:
    for other in changed(TOKEN):
        assert refusal(push(other)) in ("token_wrong", "token_malformed")


def test_a_token_with_any_one_character_changed_is_wrong() -> None:
    for position in range(len(TOKEN)):
        for character in ALPHABET.replace(TOKEN[position : position + 1], b""):
            other = TOKEN[:position] + bytes([character]) + TOKEN[position + 1 :]
            assert refusal(push(other)) == "token_wrong"


def test_a_token_with_a_byte_less_or_more_anywhere_is_refused() -> None:
    for position in range(len(TOKEN) + 1):
        for piece in (b"A", b" ", b"=", b"\0"):
            assert refusal(push(TOKEN[:position] + piece + TOKEN[position:])) == "token_malformed"
    for position in range(len(TOKEN)):
        assert refusal(push(TOKEN[:position] + TOKEN[position + 1 :])) == "token_malformed"


def test_a_channel_id_with_any_one_byte_changed_is_refused() -> None:
    for other in changed(ID):
        assert refusal(push(TOKEN, ids=[other])) == "channel_mismatch"


def test_a_key_with_any_one_byte_changed_refuses() -> None:
    for other in changed(KEY):
        assert refusal(push(TOKEN), KeyRing({1: other})) == "token_wrong"


def test_the_other_spellings_of_the_last_character_are_refused() -> None:
    spellings = [TOKEN[:-1] + bytes([c]) for c in ALPHABET]
    same = [text for text in spellings if decoded(text) == decoded(TOKEN)]
    assert len(same) == 4
    assert [text for text in same if isinstance(google.verify(push(text), KEYS), Verified)] == [TOKEN]


def decoded(text: bytes) -> bytes:
    return urlsafe_b64decode(text + b"=")


# Tokens.


def test_a_missing_token_is_refused() -> None:
    assert refusal(push()) == "token_missing"
    assert refusal(Request({}, b"")) == "token_missing"


@pytest.mark.parametrize("tokens", [(TOKEN, TOKEN), (TOKEN, b"x"), (b"x", TOKEN), (b"", TOKEN), (TOKEN,) * 90])
def test_more_than_one_token_is_refused(tokens: tuple[bytes, ...]) -> None:
    assert refusal(push(*tokens)) == "token_repeated"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"398348u3tu83ut8uu38",
        TOKEN + b"," + TOKEN,
        TOKEN + b", " + TOKEN,
        TOKEN * 400,
        TOKEN + b"=",
        TOKEN + b"\n",
        TOKEN[:-1] + b"\n",
        b" " + TOKEN[1:],
        b'"' + TOKEN[:-2] + b'"',
        b"target=" + TOKEN,
        TOKEN.replace(b"_", b"/").replace(b"-", b"+"),
        TOKEN.replace(b"_", b"\xc3\xa9"),
        "ＡVtfDDpSij5PDowdL1t6nR5gBvo7ylvFPcfi8Ud9mLQKj6R4_dJpimBxa7--K73Xt5w".encode(),
        ID,
        bytes(67),
        b"\xff" * 67,
    ],
)
def test_a_token_written_in_another_way_is_refused(text: bytes) -> None:
    assert refusal(push(text)) == "token_malformed"


def test_a_token_in_another_case_is_refused() -> None:
    assert refusal(push(TOKEN.lower())) == "token_wrong"


@pytest.mark.parametrize("provider", ["microsoft", "todoist", "googl", "google\0", ""])
def test_another_providers_token_is_refused(provider: str) -> None:
    assert refusal(push(token(provider=provider))) == "token_wrong"


def test_a_token_of_nothing_but_what_it_names_is_refused() -> None:
    assert refusal(push(TOKEN[:24] + b"A" * 43)) == "token_wrong"


# Channels.


@pytest.mark.parametrize(
    "ids",
    [
        (),
        (b"",),
        (ID, ID),
        (ID, str(ANOTHER).encode()),
        (str(ANOTHER).encode(),),
        (ID.upper(),),
        (ROW.hex.encode(),),
        (b"{" + ID + b"}",),
        (b"urn:uuid:" + ID,),
        (ID + b"\n",),
        (b" " + ID,),
        (ID + b"," + ID,),
        (ID[:-1],),
        (ROW.bytes,),
        (b"00000000-0000-0000-0000-000000000000",),
        (ID * 500,),
        (ID.replace(b"5", "５".encode()),),
        (b"\xff" * 36,),
        (bytes(36),),
    ],
)
def test_a_channel_id_that_is_not_exactly_the_tokens_is_refused(ids: tuple[bytes, ...]) -> None:
    assert refusal(push(TOKEN, ids=ids)) == "channel_mismatch"


def test_a_token_is_good_for_its_own_channel_only() -> None:
    assert refusal(push(token(row=ANOTHER), ids=[ID])) == "channel_mismatch"
    assert isinstance(google.verify(push(token(row=ANOTHER), ids=[str(ANOTHER).encode()]), KEYS), Verified)


def test_a_lane_is_believed_only_from_a_token_of_ours() -> None:
    verdict = google.verify(push(token(lane=7)), KEYS)
    assert isinstance(verdict, Verified)
    assert verdict.channel == Channel(ROW, 7)


def test_no_channel_can_be_forged_for_nobody() -> None:
    """A wrong token is compared with the id of nobody: naming nobody must not make it right."""
    assert refusal(push(b"A" * 67, ids=[b"00000000-0000-0000-0000-000000000000"])) == "token_wrong"


# Keys.


@pytest.mark.parametrize(
    "ring", [{1: KEY, 2: bytes(32)}, {2: bytes(32), 1: KEY}, {255: b"a" * 32, 0: b"b" * 32, 1: KEY, 7: b"c" * 32}]
)
def test_a_token_outlives_the_arrival_of_newer_keys(ring: dict[int, bytes]) -> None:
    assert isinstance(google.verify(push(TOKEN), KeyRing(ring)), Verified)


def test_keys_are_rolled_over_without_a_gap() -> None:
    old, new = KeyRing({1: KEY}), KeyRing({2: bytes(32)})
    both = KeyRing({2: bytes(32), 1: KEY})
    assert token(both) == token(new) != token(old)
    for text in (token(old), token(new)):
        assert isinstance(google.verify(push(text), both), Verified)
    assert refusal(push(token(old)), new) == "token_wrong"
    assert refusal(push(token(new)), old) == "token_wrong"


def test_a_key_under_another_id_is_another_key() -> None:
    assert refusal(push(TOKEN), KeyRing({2: KEY})) == "token_wrong"
    assert refusal(push(token(KeyRing({2: KEY})))) == "token_wrong"


class Counted:
    """A key ring that counts how often a key is taken from it."""

    def __init__(self, *kids: int) -> None:
        self.first = kids[0]
        self.taken = 0
        self._kids = kids

    def __getitem__(self, kid: int) -> bytes:
        assert kid in self._kids
        self.taken += 1
        return KEY

    def __contains__(self, kid: int) -> bool:
        return kid in self._kids


@pytest.mark.parametrize(
    "request_",
    [
        push(TOKEN),
        push(TOKEN[:40] + bytes([TOKEN[40] ^ 1]) + TOKEN[41:]),
        push(token(KeyRing({9: KEY}))),
        push(TOKEN, ids=[str(ANOTHER).encode()]),
        push(TOKEN, ids=[]),
    ],
    ids=["ours", "wrong", "unknown key", "another channel", "no channel"],
)
def test_whatever_is_wrong_with_a_token_costs_one_computation(request_: Request) -> None:
    """How long an answer takes must not tell which key ids exist, nor whether a token was ours."""
    keys = Counted(1, 2)
    google.verify(request_, keys)
    assert keys.taken == 1


# Whatever an authentic push says, it becomes a delivery.


@pytest.mark.parametrize("state", sorted(google.EVENTS))
def test_every_documented_state_keeps_its_name(state: str) -> None:
    assert accept({STATE: [state.encode()]}).event == state


@pytest.mark.parametrize(
    "states",
    [
        [], [b""], [b"exploded"], [b"EXISTS"], [b"exists "], [b"exists\n"], [b"exists", b"exists"], [b"sync", b"exists"],
        [b"exists,sync"], [b"\xff"], [b"\0"], ["ｅxists".encode()], [b"unknown"], [b"exists" * 5000],
    ],
)  # fmt: skip
def test_a_state_that_no_table_knows_is_unknown(states: list[bytes]) -> None:
    assert accept({STATE: states}).event == "unknown"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (b"1", 1),
        (b"0", 0),
        (b"10", 10),
        (b"9007199254740993", 2**53 + 1),
        (b"9223372036854775807", 2**63 - 1),
        (b"9223372036854775808", None),
        (b"9999999999999999999", None),
        (b"9" * 20, None),
        (b"9" * 5000, None),
        (b"", None),
        (b"-1", None),
        (b"+1", None),
        (b" 1", None),
        (b"1\n", None),
        (b"1_0", None),
        (b"1.0", None),
        (b"1e3", None),
        (b"0x1", None),
        ("１".encode(), None),
        ("²".encode("latin-1"), None),
        (b"\xff", None),
        (b"\0", None),
    ],
)
def test_the_message_number_is_a_count_or_nothing(number: bytes, message: int | None) -> None:
    assert via({NUMBER: [number]}).message == message


@pytest.mark.parametrize(
    ("resource_id", "external_id"),
    [
        (b"ret08u3rv24htgh289g", "ret08u3rv24htgh289g"),
        (b"o3hgv1538sdjfh", "o3hgv1538sdjfh"),
        (b"a/b+c==", "a/b+c=="),
        (b"x" * 256, "x" * 256),
        (b"x" * 257, None),
        (b"x" * 5000, None),
        (b"", None),
        (b"a b", None),
        (b"a\0b", None),
        (b"a\n", None),
        (b"a\x7f", None),
        (b"\xe9", None),
        ("é".encode(), None),
    ],
)
def test_the_resource_id_is_plain_text_or_nothing(resource_id: bytes, external_id: str | None) -> None:
    assert via({RESOURCE: [resource_id]}).external_id == external_id


@pytest.mark.parametrize(
    ("http_date", "moment"),
    [
        (b"Tue, 19 Nov 2013 01:13:52 GMT", "2013-11-19T01:13:52+00:00"),
        (b"Thu, 29 Feb 2024 23:59:59 GMT", "2024-02-29T23:59:59+00:00"),
        (b"Fri, 31 Dec 9999 00:00:00 GMT", "9999-12-31T00:00:00+00:00"),
        (b"Thu, 29 Feb 2023 23:59:59 GMT", None),
        (b"Wed, 31 Apr 2026 00:00:00 GMT", None),
        (b"Wed, 00 Apr 2026 00:00:00 GMT", None),
        (b"Wed, 01 Apr 0000 00:00:00 GMT", None),
        (b"Wed, 01 Apx 2026 00:00:00 GMT", None),
        (b"Wed, 01 Apr 2026 24:00:00 GMT", None),
        (b"Wed, 01 Apr 2026 23:60:00 GMT", None),
        (b"Wed, 01 Apr 2026 23:59:60 GMT", None),
        (b"Wed, 1 Apr 2026 00:00:00 GMT", None),
        (b"Wed, 01 Apr 2026 00:00:00 +0200", None),
        (b"Wed, 01 Apr 2026 00:00:00", None),
        (b"Wed, 01 Apr 2026 00:00:00 GMT\n", None),
        (b" Wed, 01 Apr 2026 00:00:00 GMT", None),
        (b"wed, 01 apr 2026 00:00:00 gmt", None),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", None),
        (b"Sun Nov  6 08:49:37 1994", None),
        (b"2026-04-01T00:00:00Z", None),
        (b"1384823632000", None),
        ("Wed, 0１ Apr 2026 00:00:00 GMT".encode(), None),
        (b"", None),
        (b"\xff", None),
        (b"\0", None),
    ],
)
def test_the_expiration_is_a_moment_or_nothing(http_date: bytes, moment: str | None) -> None:
    assert via({EXPIRATION: [http_date]}).expires_at == moment


@pytest.mark.parametrize("name", [STATE, NUMBER, RESOURCE, EXPIRATION])
def test_of_a_field_that_comes_twice_neither_is_believed(name: bytes) -> None:
    exchange = next(exchange for exchange in EXCHANGES if exchange.name == "calendar_exists")
    fields = dict(exchange.request(google.SPEC).headers)
    delivery = accept(fields | {name: [*fields[name], *fields[name]]})
    once = accept(fields)
    assert (delivery.event == once.event) == (name != STATE)
    assert delivery.via is not None
    assert once.via is not None
    assert (delivery.via.message == once.via.message) == (name != NUMBER)
    assert (delivery.via.external_id == once.via.external_id) == (name != RESOURCE)
    assert (delivery.via.expires_at == once.via.expires_at) == (name != EXPIRATION)
    assert [value for value in orjson.loads(delivery.raw).values() if isinstance(value, list)] == [
        [fields[name][0].decode()] * 2
    ]


def test_bytes_that_are_no_text_can_be_had_back() -> None:
    every = bytes(range(256))
    raw = orjson.loads(accept({b"x-goog-changed": [every]}).raw)
    assert raw["X-Goog-Changed"].encode("latin-1") == every


def test_what_is_kept_of_a_field_is_bounded() -> None:
    said = {name: [b"\x01" * MAX_HEAD_BYTES] * 100 for name in google.KEPT if name != google.CHANNEL_ID}
    raw = orjson.loads(accept(said).raw)
    assert all(
        value == ["\x01" * google.MAX_VALUE_BYTES] * google.MAX_VALUES for value in raw.values() if value != str(ROW)
    )
    assert len(raw) == len(google.KEPT)


@pytest.mark.parametrize("body", [b"", b"{}", b"{", b"\xff\0", b"[" * 60_000, b'{"id":"' + ID + b'"}', TOKEN])
def test_a_body_says_nothing(body: bytes) -> None:
    assert accept({STATE: [b"exists"]}, body) == accept({STATE: [b"exists"]})


def test_the_token_is_nowhere_in_the_record() -> None:
    for exchange in EXCHANGES:
        verified = google.verify(exchange.request(google.SPEC), KEYS)
        assert isinstance(verified, Verified)
        (delivery,) = google.normalize(verified, NOW, ENTROPY)
        value, headers = encode(delivery)
        record = value + b"".join(said for _, said in headers)
        assert not [at for at in range(len(TOKEN) - 7) if TOKEN[at : at + 8] in record]
        assert b"Channel-Token" not in record


def test_a_push_is_from_google_to_whoever_reads_the_topic() -> None:
    _, headers = encode(accept({STATE: [b"sync"]}))
    assert dict(headers)["ce_source"] == b"/webhooks/google"


VALUES = st.lists(
    st.binary(max_size=60)
    | st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.sampled_from([b"exists", b"1", b"Tue, 19 Nov 2013 01:13:52 GMT", b"ret08u3rv24htgh289g", TOKEN, b"\0"]),
    max_size=6,
)


@settings(max_examples=400)
@given(st.dictionaries(st.sampled_from(sorted(set(google.KEPT) - {google.CHANNEL_ID})), VALUES), st.binary(max_size=50))
def test_any_authentic_push_becomes_a_delivery(said: dict[bytes, list[bytes]], body: bytes) -> None:
    delivery = accept(said, body)
    assert (delivery.kind, delivery.account, delivery.lane) == ("look", "", LANE)


@settings(max_examples=400)
@given(st.dictionaries(st.sampled_from(sorted(google.SPEC.headers)), VALUES), st.binary(max_size=50))
def test_any_request_is_let_in_or_refused(fields: dict[bytes, list[bytes]], body: bytes) -> None:
    request = Request(fields, body)
    verdict = google.verify(request, KEYS)
    let_in = fields.get(google.TOKEN) == [TOKEN] and fields.get(google.CHANNEL_ID) == [ID]
    assert isinstance(verdict, Verified) == let_in


# Ids.


def test_the_delivery_id_is_minted() -> None:
    """Google has none: two pushes that say the same are two deliveries."""
    minted = UUID(accept({STATE: [b"exists"]}).id)
    assert minted.version == 7
    assert minted.int >> 80 == int(NOW.timestamp() * 1000)


def test_minted_ids_differ_with_their_entropy() -> None:
    verified = google.verify(push(TOKEN), KEYS)
    assert isinstance(verified, Verified)
    assert len({google.normalize(verified, NOW, bytes([n]) * 10)[0].id for n in range(256)}) == 256
