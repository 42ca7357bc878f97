"""Todoist webhooks: developer.todoist.com/api/v1, chapter "Webhooks"."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from ingress.nesting import deeper_than
from ingress.provider import Refused, Replies, Reply, Request, Spec, Verified
from ingress.signatures import Keys, signed
from schemas.delivery import UNKNOWN, Delivery, minted_id
from schemas.identity import lane

SIGNATURE: Final = b"x-todoist-hmac-sha256"
DELIVERY_ID: Final = b"x-todoist-delivery-id"

SPEC: Final = Spec(
    provider="todoist",
    path="/webhooks/todoist",
    headers=frozenset({SIGNATURE, DELIVERY_ID}),
    max_body_bytes=1 << 20,
    # "any status other than 200, even another 2xx, is a failed delivery": it comes again after 15 minutes, three times.
    replies=Replies(accepted=200, unavailable=503, refused=401, unknown_subject=200, too_large=413, malformed=400),
)

EVENTS: Final = frozenset(
    {
        "item:added", "item:updated", "item:deleted", "item:completed", "item:uncompleted",
        "note:added", "note:updated", "note:deleted",
        "project:added", "project:updated", "project:deleted", "project:archived", "project:unarchived",
        "section:added", "section:updated", "section:deleted", "section:archived", "section:unarchived",
        "label:added", "label:updated", "label:deleted",
        "filter:added", "filter:updated", "filter:deleted",
        "reminder:fired",
    }
)  # fmt: skip
"""Every event the documents name."""

MAX_NESTING: Final = 64
_BASE64_OF_32_BYTES: Final = re.compile(rb"[A-Za-z0-9+/]{43}=")
_PLAIN_ID: Final = re.compile(rb"[!-~]{1,128}")


def challenge(_: Request) -> Reply | None:
    """Todoist has no handshake."""
    return None


def verify(request: Request, keys: Keys) -> Verified | Refused:
    """`X-Todoist-Hmac-SHA256` is the base64 text of HMAC-SHA256(client secret, body): chapter "Webhooks", "Request"."""
    signatures = request.headers.get(SIGNATURE, ())
    if not signatures:
        return Refused("signature_missing")
    if len(signatures) > 1:
        return Refused("signature_repeated")
    if not _BASE64_OF_32_BYTES.fullmatch(signatures[0]):
        return Refused("signature_malformed")
    if not signed(keys, request.body, signatures[0]):
        return Refused("signature_wrong")
    return Verified(request)


def normalize(verified: Verified, received_at: datetime, entropy: bytes) -> Sequence[Delivery]:
    """One look. Todoist itself says that webhooks may be late, out of order or missing, so none of them is data."""
    body = verified.request.body
    said = _object(body)
    account = _account(said)
    return (
        Delivery(
            id=_id(verified.request) or minted_id(received_at, entropy),
            provider="todoist",
            kind="look",
            account=account,
            lane=lane("todoist", account),
            event=_event(said),
            received_at=received_at.isoformat(timespec="microseconds"),
            raw=body,
            raw_is_json=said is not None,
        ),
    )


def _object(body: bytes) -> dict[str, Any] | None:
    """What the body says; {} where it is JSON but no object, None where it is no JSON that others could read."""
    if deeper_than(MAX_NESTING, body):
        return None
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return said if isinstance(said, dict) else {}


def _account(said: dict[str, Any] | None) -> str:
    """`user_id` as text: opaque, and a number in older payloads. Empty where it cannot be an id."""
    user = said.get("user_id") if said else None
    if isinstance(user, int) and not isinstance(user, bool):
        return str(user)
    return user if isinstance(user, str) and len(user) <= 128 and user.isprintable() else ""


def _event(said: dict[str, Any] | None) -> str:
    name = said.get("event_name") if said else None
    return name if isinstance(name, str) and name in EVENTS else UNKNOWN


def _id(request: Request) -> str | None:
    """`X-Todoist-Delivery-ID`, the same on every redelivery. It is not signed, so it is only believed to be an id."""
    ids = request.headers.get(DELIVERY_ID, ())
    if len(ids) != 1 or not _PLAIN_ID.fullmatch(ids[0]):
        return None
    return ids[0].decode("ascii")
