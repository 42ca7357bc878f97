"""Google's channel route over the wire: what Google sends and how, and that the token stays at the door."""

import json
import logging
from collections.abc import AsyncIterator

import pytest
from prometheus_client import generate_latest

from ingress.app import application
from ingress.providers import google
from ingress.publish import Publisher
from outbox.kafka import Reader, create_topics
from schemas import topics
from schemas.delivery import decode
from schemas.settings import KeyRing
from schemas.telemetry import JsonLines
from tests.conftest import Stack
from tests.contract.exchanges import CAPTURED, Exchange, captured
from tests.contract.test_google_channel import ANOTHER, ID, KEY, LANE, ROW, TOKEN, token
from tests.ingress.http import Door, Switch, post, serving
from tests.ingress.test_app import EVERY_SECRET, Topic, counted, settings
from tests.ingress.test_publish import kafka_settings

PATH = "/webhooks/google/channel"
EXCHANGES = captured("google")
OURS: list[tuple[str, str | bytes]] = [("X-Goog-Channel-Token", TOKEN), ("X-Goog-Channel-ID", ID)]

switch = Switch()


@pytest.fixture(scope="module")
async def one_door() -> AsyncIterator[Door]:
    async with serving(switch) as door:
        yield door


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def door(one_door: Door, topic: Topic) -> Door:
    switch.app = application(settings(**EVERY_SECRET), topic)
    return one_door


def push(*more: tuple[str, str | bytes], ours: list[tuple[str, str | bytes]] = OURS, body: bytes = b"") -> bytes:
    return post(PATH, [*ours, ("X-Goog-Resource-State", "exists"), *more], body)


def head(*lines: bytes) -> bytes:
    """A request's head as it stands: nothing is said of its body unless a line does."""
    fields = [name.encode() + b": " + bytes(value) for name, value in OURS if isinstance(value, bytes)]
    return b"\r\n".join(
        [b"POST " + PATH.encode() + b" HTTP/1.1", b"Host: hooks.example.org", *fields, *lines, b"", b""]
    )


# What Google sends.


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda e: e.name)
async def test_a_captured_push_is_200_with_nothing_in_it(door: Door, topic: Topic, exchange: Exchange) -> None:
    fields = [(name, value) for name, value in exchange.headers.items() if name != "Content-Length"]
    response = await door.exchange(post(PATH, fields, exchange.body))
    assert (response.status, response.headers, response.body) == (200, {"content-length": "0"}, b"")
    (delivery,) = topic.kept
    assert delivery.via is not None
    assert (delivery.via.subscription_id, delivery.lane) == (ROW, LANE)


@pytest.mark.parametrize(
    "request_",
    [
        head(b"Content-Length: 0"),
        head(),
        head(b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
        head(b"Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n",
        head(b"Content-Length: 2") + b"{}",
        head(b"Content-Length: 4") + b"\xff\0{[",
        head(b"Content-Length: 0").replace(b"X-Goog", b"x-GOOG"),
        head(b"Content-Length: 0", b"X-Goog-Changed: " + bytes(range(0x80, 0x100))),
        head(b"Content-Length: 0", b"X-Goog-Message-Number: 1", b"X-Goog-Message-Number: 2"),
    ],
    ids=[
        "an empty body", "no body", "chunks without any", "chunks", "an object", "no text", "names in another case",
        "bytes that are no text", "two numbers",
    ],
)  # fmt: skip
async def test_a_push_is_let_in_whatever_its_body_and_its_fields_say(door: Door, topic: Topic, request_: bytes) -> None:
    assert (await door.exchange(request_)).status == 200
    (delivery,) = topic.kept
    assert (delivery.event, delivery.lane) == ("unknown", LANE)
    assert decode_of(delivery.raw)["X-Goog-Channel-ID"] == str(ROW)


def decode_of(raw: bytes) -> dict[str, object]:
    said = json.loads(raw)
    assert isinstance(said, dict)
    return said


@pytest.mark.parametrize(
    "content_type",
    ["application/json; utf-8", "application/json", "text/plain", "", ";;;=", "multipart/form-data", b"\xff"],
)
async def test_no_content_type_is_looked_at(door: Door, topic: Topic, content_type: str | bytes) -> None:
    assert (await door.exchange(push(("Content-Type", content_type)))).status == 200
    assert [delivery.event for delivery in topic.kept] == ["exists"]


async def test_many_pushes_on_one_connection_are_answered_one_by_one(door: Door, topic: Topic) -> None:
    async with door.connect() as connection:
        await connection.send(b"".join(push(("X-Goog-Message-Number", str(number))) for number in range(20)))
        assert [(await connection.respond()).status for _ in range(20)] == [200] * 20
    assert [delivery.via.message for delivery in topic.kept if delivery.via] == list(range(20))
    assert len({delivery.id for delivery in topic.kept}) == 20


# Bounds.


async def test_the_largest_body_is_taken_and_thrown_away(door: Door, topic: Topic) -> None:
    assert (await door.exchange(push(body=b"a" * 65536))).status == 200
    assert b"aaaa" not in topic.kept[0].raw


async def test_a_declared_oversize_is_refused_before_it_is_sent(door: Door, topic: Topic) -> None:
    async with door.connect() as connection:
        await connection.send(head(b"Content-Length: 65537"))
        assert (await connection.respond()).status == 413
        assert await connection.ended()
    assert topic.kept == []


async def test_an_undeclared_oversize_is_refused_when_it_is_reached(door: Door, topic: Topic) -> None:
    async with door.connect() as connection:
        await connection.send(head(b"Transfer-Encoding: chunked") + b"10000\r\n" + bytes(0x10000) + b"\r\n1\r\na\r\n")
        assert (await connection.respond()).status == 413
        assert await connection.ended()
    assert topic.kept == []


async def test_a_nul_in_a_field_is_no_request(door: Door, topic: Topic) -> None:
    assert (await door.exchange(push(("X-Goog-Resource-ID", b"a\0b")))).status == 400
    assert topic.kept == []


# Who is refused.


REFUSED: dict[str, tuple[str, list[tuple[str, str | bytes]]]] = {
    "no token": ("token_missing", [OURS[1]]),
    "two tokens": ("token_repeated", [*OURS, OURS[0]]),
    "two tokens in two cases": ("token_repeated", [*OURS, ("x-goog-channel-token", "forged")]),
    "another name": ("token_missing", [("X_Goog_Channel_Token", TOKEN), OURS[1]]),
    "an empty token": ("token_malformed", [("X-Goog-Channel-Token", ""), OURS[1]]),
    "tokens in one field": ("token_malformed", [("X-Goog-Channel-Token", TOKEN + b", " + TOKEN), OURS[1]]),
    "a token that is no text": ("token_malformed", [("X-Goog-Channel-Token", b"\xff" * 67), OURS[1]]),
    "a wrong token": ("token_wrong", [("X-Goog-Channel-Token", TOKEN.swapcase()), OURS[1]]),
    "an unknown key": ("token_wrong", [("X-Goog-Channel-Token", token(KeyRing({9: KEY}))), OURS[1]]),
    "another provider's": ("token_wrong", [("X-Goog-Channel-Token", token(provider="microsoft")), OURS[1]]),
    "no channel": ("channel_mismatch", [OURS[0]]),
    "two channels": ("channel_mismatch", [*OURS, OURS[1]]),
    "another channel": ("channel_mismatch", [OURS[0], ("X-Goog-Channel-ID", str(ANOTHER))]),
}


@pytest.mark.parametrize("who", REFUSED)
async def test_who_is_not_our_channel_is_401_in_the_same_words(door: Door, topic: Topic, who: str) -> None:
    reason, credentials = REFUSED[who]
    before = counted("lifeos_requests_refused", provider="google", path=PATH, reason=reason)
    response = await door.exchange(push(ours=credentials))
    words = {"content-length": "13", "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
    assert (response.status, response.headers, response.body) == (401, words, b"Unauthorized\n")
    assert topic.kept == []
    assert counted("lifeos_requests_refused", provider="google", path=PATH, reason=reason) == before + 1


async def test_keys_are_rolled_over_without_a_gap(topic: Topic) -> None:
    both = f"2:{'A' * 43}=,{EVERY_SECRET['LIFEOS_CHANNEL_KEYS']}"
    newer: list[tuple[str, str | bytes]] = [("X-Goog-Channel-Token", token(KeyRing({2: bytes(32)}))), OURS[1]]
    async with serving(application(settings(LIFEOS_CHANNEL_KEYS=both), topic)) as door:
        assert (await door.exchange(push())).status == 200
        assert (await door.exchange(push(ours=newer))).status == 200
    async with serving(application(settings(LIFEOS_CHANNEL_KEYS=f"2:{'A' * 43}="), topic)) as door:
        assert (await door.exchange(push())).status == 401
        assert (await door.exchange(push(ours=newer))).status == 200


# The token stays here.


async def test_the_token_is_in_no_log_line_no_metric_and_no_record(
    door: Door, topic: Topic, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await door.exchange(push())
    for _, credentials in REFUSED.values():
        await door.exchange(push(ours=credentials))
    topic.failure = RuntimeError("a bug")
    assert (await door.exchange(push())).status == 503
    assert any("our own code" in record.message for record in caplog.records)
    written = "".join(JsonLines().format(record) + repr(vars(record)) for record in caplog.records)
    written += generate_latest().decode() + repr(topic.kept)
    secret = TOKEN[24:].decode()
    assert not [at for at in range(len(secret) - 7) if secret[at : at + 8] in written]


# Into Kafka.


async def test_a_push_is_in_googles_topic_in_the_partition_of_its_lane(stack: Stack, prefix: str) -> None:
    kafka = kafka_settings(stack, prefix)
    await create_topics(kafka)
    publisher = Publisher(kafka)
    await publisher.start()
    try:
        async with serving(application(settings(**EVERY_SECRET), publisher)) as door:
            assert (await door.exchange(push(("X-Goog-Message-Number", "7")))).status == 200
    finally:
        await publisher.stop()
    async with Reader(kafka, topics.webhooks("google", prefix), from_beginning=True) as reader:
        (record,) = await reader.read(10)
    assert record.partition == topics.partition(LANE, topics.PARTITIONS)
    delivery = decode(record.value)
    assert delivery.via is not None
    assert (delivery.event, delivery.via.subscription_id, delivery.via.message) == ("exists", ROW, 7)
    assert dict(record.headers)["ce_id"] == delivery.id.encode()


# What is captured is what is tested.


def test_every_captured_body_is_the_empty_one_that_google_sends() -> None:
    assert {len((folder / "body").read_bytes()) for folder in (CAPTURED / "google").iterdir() if folder.is_dir()} == {0}
    assert google.SPEC.path == PATH
