"""One webhook route: bounded read → challenge → verify → normalise → publish → reply."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final, Never, Protocol

from starlette.types import Message, Receive, Scope, Send

from ingress.provider import Provider, Reason, Refused, Reply, Request, Verify
from ingress.publish import Cause, TooLarge, Unavailable
from schemas import tracing
from schemas.delivery import Delivery
from schemas.telemetry import ACCEPTED, REFUSED, UNAVAILABLE

log = logging.getLogger(__name__)

RETRY_AFTER: Final = b"5"
"""Seconds that a 503 asks for: longer than Kafka needs to come back from a restart, shorter than any provider waits."""

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Publisher(Protocol):
    """Returns when every delivery is acknowledged. Raises `Unavailable` or `TooLarge`."""

    async def publish(self, deliveries: Sequence[Delivery]) -> None: ...


class Refusal(Exception):
    """The request ends here, with a status and a reason that a metric may carry."""

    def __init__(self, status: int, reason: Reason) -> None:
        super().__init__(reason)
        self.status = status
        self.reason: Reason = reason


class HungUp(Exception):
    """The sender is gone; nobody is left to answer."""


class Answer:
    """A constant response, its ASGI messages made once."""

    def __init__(self, status: int, *headers: tuple[bytes, bytes]) -> None:
        body = b"" if status < 300 else HTTPStatus(status).phrase.encode() + b"\n"
        self._start, self._body = _messages(status, body, b"text/plain; charset=utf-8", headers)

    async def __call__(self, send: Send) -> None:
        await send(self._start)
        await send(self._body)


def _messages(
    status: int, body: bytes, content_type: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> tuple[Message, Message]:
    length = (b"content-length", str(len(body)).encode())
    typed = ((b"content-type", content_type), (b"x-content-type-options", b"nosniff")) if body else ()
    start = {"type": "http.response.start", "status": status, "headers": [length, *typed, *headers]}
    return start, {"type": "http.response.body", "body": body}


class Accept:
    """One webhook route, as an ASGI application. `verify` is the provider's own, with its keys."""

    def __init__(self, provider: Provider[Never], verify: Verify, publisher: Publisher, clock: Clock = utc_now) -> None:
        self._provider = provider
        self._spec = provider.SPEC
        self._verify = verify
        self._publisher = publisher
        self._clock = clock
        self._wanted = self._spec.headers | {b"content-length", b"content-encoding"}
        replies = self._spec.replies
        self._accepted = Answer(replies.accepted)
        self._unavailable = Answer(replies.unavailable, (b"retry-after", RETRY_AFTER))
        self._refusals = {status: Answer(status) for status in (replies.refused, replies.too_large, 415)}
        self._refusals[405] = Answer(405, (b"allow", b"POST"))
        self._bug_logged_at = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            challenged = await self._accept(scope, receive)
        except Refusal as refusal:
            REFUSED.labels(self._spec.provider, self._spec.path, refusal.reason).inc()
            await self._refusals[refusal.status](send)
        except HungUp:
            REFUSED.labels(self._spec.provider, self._spec.path, "incomplete").inc()
        except Unavailable as error:
            await self._answer_unavailable(error.cause, send)
        except Exception as error:
            self._log_bug(error)
            await self._answer_unavailable("bug", send)
        else:
            await (self._accepted(send) if challenged is None else _answer(challenged, send))

    async def _accept(self, scope: Scope, receive: Receive) -> Reply | None:
        """Returns only when every delivery of the request is in Kafka, or the provider's handshake has an answer."""
        request = await self._read(scope, receive)
        if (challenged := self._provider.challenge(request)) is not None:
            return challenged
        verified = self._verify(request)
        if isinstance(verified, Refused):
            raise Refusal(self._spec.replies.refused, verified.reason)
        deliveries = self._provider.normalize(verified, self._clock(), os.urandom(10))
        # What is not shown to be authentic leaves no trace, or anybody could fill the store of them.
        with tracing.span("request", provider=self._spec.provider, path=self._spec.path) as trace:
            if trace is not None:
                deliveries = [replace(delivery, trace=trace) for delivery in deliveries]
            try:
                await self._publisher.publish(deliveries)
            except TooLarge:
                raise Refusal(self._spec.replies.too_large, "too_large") from None
        for delivery in deliveries:
            ACCEPTED.labels(self._spec.provider, delivery.event).inc()
        return None

    async def _read(self, scope: Scope, receive: Receive) -> Request:
        """The request within its bounds, nothing unpacked. Raises `Refusal` before reading what need not be read."""
        if scope["method"] != "POST":
            raise Refusal(405, "method")
        found: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            if name in self._wanted:
                found.setdefault(name, []).append(value)
        for coding in found.pop(b"content-encoding", ()):
            if coding.lower() != b"identity":
                raise Refusal(415, "encoded")
        # The protocol has seen to it that the length is one number.
        for length in found.pop(b"content-length", ()):
            if int(length) > self._spec.max_body_bytes:
                raise Refusal(self._spec.replies.too_large, "too_large")
        return Request(found, await self._body(receive))

    async def _body(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise HungUp
            part = message.get("body", b"")
            size += len(part)
            if size > self._spec.max_body_bytes:
                raise Refusal(self._spec.replies.too_large, "too_large")
            parts.append(part)
            more = message.get("more_body", False)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _answer_unavailable(self, cause: Cause, send: Send) -> None:
        UNAVAILABLE.labels(self._spec.provider, self._spec.path, cause).inc()
        await self._unavailable(send)

    def _log_bug(self, error: Exception) -> None:
        """At most once a second: whoever finds the request that triggers a bug must not fill the log with it."""
        now = time.monotonic()
        if now - self._bug_logged_at >= 1:
            self._bug_logged_at = now
            log.error(
                "a request failed in our own code",
                exc_info=error,
                extra={"provider": self._spec.provider, "path": self._spec.path},
            )


async def _answer(reply: Reply, send: Send) -> None:
    for message in _messages(reply.status, reply.body, reply.content_type):
        await send(message)
