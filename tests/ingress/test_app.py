"""The public port: the reply table, its bounds, health. The Kafka of these tests is a fake that takes or refuses."""

import ast
import asyncio
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import REGISTRY

import ingress
from ingress import protocol, provider
from ingress.accept import Accept
from ingress.app import application
from ingress.provider import Refused, Replies, Reply, Request, Spec, Verified
from ingress.providers import PROVIDERS, google, todoist
from ingress.publish import TooLarge, Unavailable
from schemas.delivery import Delivery
from schemas.settings import IngressSettings, load
from tests.contract import test_google_channel
from tests.contract.test_todoist import SECRET, V6_BODY, V6_SIGNATURE, sign
from tests.ingress.http import Door, Response, Switch, post, serving

MIB = 1 << 20


def settings(**more: str) -> IngressSettings:
    return load(
        IngressSettings,
        {
            "LIFEOS_ENV": "development",
            "LIFEOS_KAFKA_BOOTSTRAP": "127.0.0.1:1",
            "LIFEOS_INGRESS_LISTEN": "127.0.0.1:0",
            "LIFEOS_OPS_LISTEN": "127.0.0.1:0",
            **more,
        },
    )


EVERY_SECRET = {
    "LIFEOS_CHANNEL_KEYS": f"1:{b64encode(test_google_channel.KEY).decode()}",
    "LIFEOS_TODOIST_CLIENT_SECRETS": SECRET.decode(),
}


class Topic:
    """What a publisher does, in memory: keeps deliveries, or raises what it is told to."""

    def __init__(self) -> None:
        self.kept: list[Delivery] = []
        self.failure: Exception | None = None

    async def publish(self, deliveries: Sequence[Delivery]) -> None:
        if self.failure is not None:
            raise self.failure
        self.kept += deliveries


@pytest.fixture
def topic() -> Topic:
    return Topic()


switch = Switch()


@pytest.fixture(scope="module")
async def one_door() -> AsyncIterator[Door]:
    async with serving(switch) as door:
        yield door


@pytest.fixture
def door(one_door: Door, topic: Topic) -> Door:
    switch.app = application(settings(**EVERY_SECRET), topic)
    return one_door


def signed(body: bytes, *more: tuple[str, str]) -> bytes:
    return post("/webhooks/todoist", [("X-Todoist-Hmac-SHA256", sign(body)), *more], body)


TODOIST = {"provider": "todoist", "path": "/webhooks/todoist"}


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"{name}_total", labels) or 0


# The reply table.


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends to one route: what is let in, and a credential that is not."""

    spec: Spec
    credentials: Callable[[bytes], list[tuple[str, str | bytes]]]
    forged: tuple[str, bytes]
    nobodys: bytes

    def request(self, body: bytes = b"") -> bytes:
        return post(self.spec.path, self.credentials(body), body)

    def forgery(self) -> bytes:
        name, value = self.forged
        return post(self.spec.path, [(n, value if n == name else v) for n, v in self.credentials(b"")])


SENDERS = [
    Sender(
        google.SPEC,
        lambda _: [("X-Goog-Channel-Token", test_google_channel.TOKEN), ("X-Goog-Channel-ID", test_google_channel.ID)],
        ("X-Goog-Channel-Token", test_google_channel.TOKEN.swapcase()),
        # No row needs to have this id: whose channel it is, is not the door's question.
        nobodys=b"",
    ),
    Sender(
        todoist.SPEC,
        lambda body: [("X-Todoist-Hmac-SHA256", sign(body))],
        ("X-Todoist-Hmac-SHA256", sign(b"else")),
        nobodys=b'{"event_name":"item:added","user_id":"nobody we know"}',
    ),
]


async def accepted(door: Door, _: Topic, sender: Sender) -> Response:
    return await door.exchange(sender.request())


async def unavailable(door: Door, topic: Topic, sender: Sender) -> Response:
    topic.failure = Unavailable("breaker_open")
    return await door.exchange(sender.request())


async def refused(door: Door, _: Topic, sender: Sender) -> Response:
    return await door.exchange(sender.forgery())


async def unknown_subject(door: Door, _: Topic, sender: Sender) -> Response:
    return await door.exchange(sender.request(sender.nobodys))


async def too_large(door: Door, _: Topic, sender: Sender) -> Response:
    return await door.exchange(sender.request(b"a" * (sender.spec.max_body_bytes + 1)))


async def malformed(door: Door, _: Topic, sender: Sender) -> Response:
    return await door.exchange(f"POST {sender.spec.path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode())


CASES: dict[str, Callable[[Door, Topic, Sender], Awaitable[Response]]] = {
    "accepted": accepted,
    "unavailable": unavailable,
    "refused": refused,
    "unknown_subject": unknown_subject,
    "too_large": too_large,
    "malformed": malformed,
}


def test_every_cell_of_the_reply_table_has_a_case() -> None:
    assert list(CASES) == [column.name for column in fields(Replies)]
    assert [sender.spec for sender in SENDERS] == [provider.SPEC for provider in PROVIDERS]
    assert [one.SPEC.path for one in PROVIDERS] == list(get_args(provider.Path)), "every path has a module behind it"


@pytest.mark.parametrize("sender", SENDERS, ids=lambda sender: sender.spec.path)
@pytest.mark.parametrize("column", CASES)
async def test_the_reply_table(door: Door, topic: Topic, column: str, sender: Sender) -> None:
    response = await CASES[column](door, topic, sender)
    assert response.status == getattr(sender.spec.replies, column)
    assert response.headers.get("retry-after") == ("5" if column == "unavailable" else None)
    kept = [delivery.provider for delivery in topic.kept]
    assert kept == ([sender.spec.provider] if column in ("accepted", "unknown_subject") else [])


async def test_accepted_is_exactly_200_with_nothing_in_it(door: Door, topic: Topic) -> None:
    response = await door.exchange(signed(V6_BODY, ("X-Todoist-Delivery-ID", "abc")))
    assert response == Response(200, {"content-length": "0"}, b"")
    assert [(d.id, d.account, d.event, d.raw) for d in topic.kept] == [("abc", "1", "item:added", V6_BODY)]


class Greeting:
    """A provider that asks who is there, as some do before they deliver."""

    SPEC = todoist.SPEC

    def challenge(self, request: Request) -> Reply | None:
        return Reply(200, request.body[::-1], b"text/plain; charset=utf-8") if request.body else None

    def verify(self, _: Request, keys: None) -> Verified | Refused:
        return Refused("signature_wrong")

    def normalize(self, *_: object) -> Sequence[Delivery]:
        return ()


async def test_a_handshake_is_answered_before_anything_is_verified(door: Door, topic: Topic) -> None:
    greeting = Greeting()
    switch.app = Accept(greeting, partial(greeting.verify, keys=None), topic)
    response = await door.exchange(post("/webhooks/todoist", [], b"hello"))
    assert (response.status, response.body, response.headers["content-type"]) == (
        200,
        b"olleh",
        "text/plain; charset=utf-8",
    )
    assert (await door.exchange(post("/webhooks/todoist"))).status == 401
    assert topic.kept == []


# Bounds.


async def test_the_largest_body_is_taken(door: Door, topic: Topic) -> None:
    assert (await door.exchange(signed(b"a" * MIB))).status == 200
    assert len(topic.kept[0].raw) == MIB


async def test_a_declared_oversize_is_refused_before_it_is_sent(door: Door) -> None:
    async with door.connect() as connection:
        await connection.send(b"POST /webhooks/todoist HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n")
        assert (await connection.respond()).status == 413
        assert await connection.ended()


async def test_an_undeclared_oversize_is_refused_when_it_is_reached(door: Door, topic: Topic) -> None:
    async with door.connect() as connection:
        await connection.send(b"POST /webhooks/todoist HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(17):
            await connection.send(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        assert (await connection.respond()).status == 413
        assert await connection.ended()
    assert topic.kept == []


async def test_a_body_in_many_small_pieces_is_verified_as_it_was_sent(door: Door, topic: Topic) -> None:
    async with door.connect() as connection:
        request = signed(V6_BODY)
        for position in range(len(request)):
            await connection.send(request[position : position + 1])
        assert (await connection.respond()).status == 200
    assert [delivery.raw for delivery in topic.kept] == [V6_BODY]


async def test_a_slow_body_is_ended_and_nothing_published(
    door: Door, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "RECEIPT_SECONDS", 0.5)
    before = counted("lifeos_requests_refused", **TODOIST, reason="incomplete")
    async with door.connect() as connection:
        await connection.send(signed(V6_BODY)[:-1])
        assert (await connection.respond()).status == 408
    assert topic.kept == []
    assert counted("lifeos_requests_refused", **TODOIST, reason="incomplete") == before + 1


@pytest.mark.parametrize("coding", ["gzip", "br", "gzip, identity", "x"])
async def test_an_encoded_body_is_refused_unread(door: Door, topic: Topic, coding: str) -> None:
    assert (await door.exchange(signed(V6_BODY, ("Content-Encoding", coding)))).status == 415
    assert topic.kept == []


async def test_identity_is_no_encoding(door: Door) -> None:
    assert (await door.exchange(signed(V6_BODY, ("Content-Encoding", "Identity")))).status == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY"])
async def test_a_webhook_is_a_post(door: Door, method: str) -> None:
    response = await door.exchange(f"{method} /webhooks/todoist HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert (response.status, response.headers["allow"]) == (405, "POST")


# Signatures over the wire.


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("X-Todoist-Hmac-SHA256", V6_SIGNATURE), ("X-Todoist-Hmac-SHA256", V6_SIGNATURE)],
        [("X-Todoist-Hmac-SHA256", V6_SIGNATURE), ("x-todoist-hmac-sha256", "forged")],
        [("X-Todoist-Hmac-SHA256", b"")],
        [("X-Todoist-Hmac-SHA256", V6_SIGNATURE + b"," + V6_SIGNATURE)],
        [("X-Todoist-Hmac-SHA256", V6_SIGNATURE * 100)],
        [("X-Todoist-Hmac-SHA256", "nHlEoq9iTPKOTAiXCZ9IVHV/VNCX1HfKByNaV//u5sé=")],
        [("X-Todoist-Hmac-SHA256", b"\xff" * 44)],
        [("X_Todoist_Hmac_SHA256", V6_SIGNATURE)],
    ],
)
async def test_a_header_that_is_not_one_signature_is_401(
    door: Door, topic: Topic, headers: list[tuple[str, str | bytes]]
) -> None:
    response = await door.exchange(post("/webhooks/todoist", headers, V6_BODY))
    assert (response.status, response.body) == (401, b"Unauthorized\n")
    assert topic.kept == []


async def test_a_refused_request_leaves_no_line_in_the_log(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    before = counted("lifeos_requests_refused", **TODOIST, reason="signature_wrong")
    for _ in range(5):
        await door.exchange(post("/webhooks/todoist", [("X-Todoist-Hmac-SHA256", sign(b"else"))], V6_BODY))
    assert counted("lifeos_requests_refused", **TODOIST, reason="signature_wrong") == before + 5
    assert [record for record in caplog.records if not record.name.startswith("uvicorn")] == []


# Our own failures.


async def test_a_bug_is_503_and_one_line_a_second(door: Door, topic: Topic, caplog: pytest.LogCaptureFixture) -> None:
    topic.failure = RuntimeError("a bug")
    statuses = [(await door.exchange(signed(V6_BODY))).status for _ in range(20)]
    assert statuses == [503] * 20
    assert 1 <= len([record for record in caplog.records if "our own code" in record.message]) <= 2


async def test_a_delivery_that_no_topic_takes_is_413(door: Door, topic: Topic) -> None:
    topic.failure = TooLarge("3 MiB")
    assert (await door.exchange(signed(V6_BODY))).status == 413


async def test_what_was_not_published_is_not_counted_as_accepted(door: Door, topic: Topic) -> None:
    before = counted("lifeos_deliveries_accepted", provider="todoist", event="item:added")
    await door.exchange(signed(V6_BODY))
    topic.failure = Unavailable("deadline")
    await door.exchange(signed(V6_BODY))
    assert counted("lifeos_deliveries_accepted", provider="todoist", event="item:added") == before + 1
    assert counted("lifeos_requests_unavailable", **TODOIST, reason="deadline") >= 1


# Routes.


@pytest.mark.parametrize(
    "path",
    [
        "/", "/webhooks", "/webhooks/", "/webhooks/todoist/", "/webhooks/slack/events", "/webhooks/Todoist", "/metrics",
        "//webhooks/todoist", "/webhooks/../webhooks/todoist", "/%00", "/" + "a" * 5000,
    ],
)  # fmt: skip
async def test_nothing_else_is_here(door: Door, path: str) -> None:
    response = await door.exchange(post(path, [], V6_BODY))
    assert (response.status, response.body) == (404, b"Not Found\n")


async def test_without_a_secret_there_is_no_route(topic: Topic, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(application(settings(), topic)) as door:
        for sender in SENDERS:
            assert (await door.exchange(sender.request())).status == 404
    said = [vars(record) for record in caplog.records if record.name == "ingress.app"]
    specs = [sender.spec for sender in SENDERS]
    assert [(line["provider"], line["path"]) for line in said] == [(spec.provider, spec.path) for spec in specs]


@pytest.mark.parametrize("set_", EVERY_SECRET)
async def test_each_route_needs_its_own_secret_only(topic: Topic, set_: str) -> None:
    async with serving(application(settings(**{set_: EVERY_SECRET[set_]}), topic)) as door:
        statuses = [(await door.exchange(sender.request())).status for sender in SENDERS]
    accepted = dict(zip(EVERY_SECRET, (sender.spec.replies.accepted for sender in SENDERS), strict=True))
    assert statuses == [accepted[name] if name == set_ else 404 for name in EVERY_SECRET]


async def test_any_of_several_secrets_is_tried(topic: Topic) -> None:
    app = application(settings(LIFEOS_TODOIST_CLIENT_SECRETS="next," + SECRET.decode()), topic)
    async with serving(app) as door:
        assert (await door.exchange(signed(V6_BODY))).status == 200
        body = b"rotated"
        request = post("/webhooks/todoist", [("X-Todoist-Hmac-SHA256", sign(body, b"next"))], body)
        assert (await door.exchange(request)).status == 200


async def test_health(topic: Topic) -> None:
    app = application(settings(), topic)
    async with serving(app) as door:
        assert (await get(door, "/healthz")).status == 200
        assert (await get(door, "/readyz")).status == 503
        app.ready = True
        assert (await get(door, "/readyz")).status == 200
        assert (await door.exchange(post("/readyz"))).status == 405


async def get(door: Door, path: str) -> Response:
    return await door.exchange(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())


async def test_a_drain_finishes_what_has_begun(topic: Topic) -> None:
    published, release = asyncio.Event(), asyncio.Event()

    class Slow(Topic):
        async def publish(self, deliveries: Sequence[Delivery]) -> None:
            published.set()
            await release.wait()
            await super().publish(deliveries)

    slow = Slow()
    app = application(settings(LIFEOS_TODOIST_CLIENT_SECRETS=SECRET.decode()), slow)
    async with serving(app) as door, door.connect() as connection:
        await connection.send(signed(V6_BODY))
        await published.wait()
        door.server.should_exit = True
        release.set()
        assert (await connection.respond()).status == 200
        assert await connection.ended()
    assert len(slow.kept) == 1


# The one maker of `Verified`.


def test_only_verify_makes_verified() -> None:
    makers = set()
    for path in Path(ingress.__file__).parent.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
                if any(
                    isinstance(call.func, ast.Name | ast.Attribute) and _name(call.func) == "Verified" for call in calls
                ):
                    makers.add((path.parent.name, getattr(function, "name", "lambda")))
    assert makers == {("providers", "verify")}


def _name(called: ast.Name | ast.Attribute) -> str:
    return called.id if isinstance(called, ast.Name) else called.attr
