"""A delivery: one item of one authentic request, as it travels on `webhooks.<provider>`.

CloudEvents 1.0 in Kafka binary mode: attributes as `ce_*` headers, the value a JSON object. The provider's own bytes of
the item stand in it untouched: as `raw` where they are JSON we can carry, else base64 in `raw_base64`.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import orjson

from schemas.providers import PROVIDERS, Provider

DELIVERY_TYPE: Final = "lifeos.webhook.received.v1"
_TRACEPARENT: Final = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

UNKNOWN: Final = "unknown"
"""The event name of a delivery that no table of ours knows. It is published, counted and visible like any other."""

DeliveryKind = Literal["look", "data"]
"""A look says only that something changed; data carries the change itself."""

Headers = list[tuple[str, bytes]]


class Undecodable(ValueError):
    """A record that is not one of our deliveries. The text names the first thing that is wrong with it."""


@dataclass(frozen=True, slots=True)
class Via:
    """The subscription of ours that a delivery came through, and what the provider says of it.

    `external_id` is the provider's name for what is watched. `message` counts the provider's messages on it, upwards and
    with gaps. `expires_at` is RFC 3339 in UTC.
    """

    subscription_id: UUID
    external_id: str | None = None
    message: int | None = None
    expires_at: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One normalised delivery.

    `account` is the provider's id of the account it is for, and empty where the provider names only the subscription
    (`via`). `lane` is the account's. `event` is the provider's own word where a table knows it, else `unknown`.
    `received_at` is RFC 3339 in UTC. `raw` is what the provider said of this item: its bytes of the body, or its header
    fields as a JSON object where it sends no body; secrets of ours that it echoes are left out. `trace` is the W3C trace
    context of the request, None where nobody traces; it travels in the headers.
    """

    id: str
    provider: Provider
    kind: DeliveryKind
    account: str
    lane: int
    event: str
    received_at: str
    raw: bytes
    raw_is_json: bool
    via: Via | None = None
    trace: str | None = None


def minted_id(received_at: datetime, entropy: bytes) -> str:
    """The id of a delivery whose provider gave it none: a UUIDv7 (RFC 9562 §5.7) of that moment and 10 random bytes."""
    milliseconds = int(received_at.timestamp() * 1000)
    bits = milliseconds << 80 | int.from_bytes(entropy[:10], "big")
    bits = bits & ~(0xF << 76) | 0x7 << 76
    return str(UUID(int=bits & ~(0b11 << 62) | 0b10 << 62))


def encode(delivery: Delivery) -> tuple[bytes, Headers]:
    """The value and headers of its Kafka record. The provider's JSON is spliced in, not encoded again."""
    body: dict[str, Any] = {
        "id": delivery.id,
        "provider": delivery.provider,
        "kind": delivery.kind,
        "account": delivery.account,
        "lane": delivery.lane,
        "event": delivery.event,
        "received_at": delivery.received_at,
    }
    if (via := delivery.via) is not None:
        body["via"] = {
            "subscription_id": via.subscription_id,
            "external_id": via.external_id,
            "message": via.message,
            "expires_at": via.expires_at,
        }
    if delivery.raw_is_json:
        body["raw"] = orjson.Fragment(delivery.raw)
    else:
        body["raw_base64"] = b64encode(delivery.raw).decode()
    headers: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", delivery.id.encode()),
        ("ce_source", b"/webhooks/" + delivery.provider.encode()),
        ("ce_type", DELIVERY_TYPE.encode()),
        ("ce_time", delivery.received_at.encode()),
        ("content-type", b"application/json"),
    ]
    if delivery.trace is not None:
        headers += [("ce_traceparent", delivery.trace.encode()), ("traceparent", delivery.trace.encode())]
    return orjson.dumps(body), headers


def decode(value: bytes | None, headers: Sequence[tuple[str, bytes | None]] = ()) -> Delivery:
    """The delivery of a record's value and headers. Raises `Undecodable`; unknown fields are ignored."""
    try:
        body = orjson.loads(value or b"")
    except orjson.JSONDecodeError as error:
        raise Undecodable(f"value is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise Undecodable("value is not an object")
    provider, kind, lane = body.get("provider"), body.get("kind"), body.get("lane")
    if provider not in PROVIDERS:
        raise Undecodable(f"unknown provider {provider!r:.40}")
    if kind not in ("look", "data"):
        raise Undecodable(f"unknown kind {kind!r:.40}")
    if type(lane) is not int or not 0 <= lane <= 255:
        raise Undecodable("lane is not a number from 0 to 255")
    raw, raw_is_json = _raw(body)
    return Delivery(
        id=_text(body, "id"),
        provider=provider,
        kind=kind,
        account=_text(body, "account"),
        lane=lane,
        event=_text(body, "event"),
        received_at=_text(body, "received_at"),
        raw=raw,
        raw_is_json=raw_is_json,
        via=_via(body.get("via")),
        trace=_trace(headers),
    )


def _trace(headers: Sequence[tuple[str, bytes | None]]) -> str | None:
    """The `traceparent` of a record (W3C Trace Context §3.2.2); what is not well-formed is as good as none."""
    said = next((value for name, value in headers if name == "ce_traceparent"), None)
    return said.decode() if said is not None and _TRACEPARENT.fullmatch(said) else None


def _via(said: object) -> Via | None:
    if said is None:
        return None
    if not isinstance(said, dict):
        raise Undecodable("via is not an object")
    message = said.get("message")
    if message is not None and (type(message) is not int or not 0 <= message < 1 << 63):
        raise Undecodable("via.message is not a count")
    try:
        subscription = UUID(_text(said, "subscription_id"))
    except ValueError:
        raise Undecodable("via.subscription_id is not a UUID") from None
    expires_at = _text_or_none(said, "expires_at")
    if expires_at is not None and not _is_moment(expires_at):
        raise Undecodable("via.expires_at is not a date and time with an offset")
    return Via(subscription, _text_or_none(said, "external_id"), message, expires_at)


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or "\0" in value:
        raise Undecodable(f"{name} is missing or not text")
    return value


def _text_or_none(body: dict[str, Any], name: str) -> str | None:
    return None if body.get(name) is None else _text(body, name)


def _raw(body: dict[str, Any]) -> tuple[bytes, bool]:
    if "raw" in body:
        return orjson.dumps(body["raw"]), True
    encoded = _text(body, "raw_base64")
    try:
        return b64decode(encoded, validate=True), False
    except ValueError:  # not only binascii.Error: a character beyond ASCII raises it plain
        raise Undecodable("raw_base64 is not base64") from None
