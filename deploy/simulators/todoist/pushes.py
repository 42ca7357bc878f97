"""Webhooks as Todoist sends them: signed, in order per account, again when the answer is not exactly 200.

https://developer.todoist.com/api/v1/, "Webhooks".
"""

import uuid
from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from hmac import digest
from random import Random
from typing import Any, Final

import orjson

from deploy.simulators import pushes
from deploy.simulators.todoist.account import Account, Change

REDELIVERIES: Final = 3
"""As the provider: at most three, all with the first delivery id."""

ACCEPTING: Final = frozenset((200,))


def signature(secret: str, body: bytes) -> str:
    """`X-Todoist-Hmac-SHA256`: base64 of HMAC-SHA256 over the exact bytes of the body."""
    return b64encode(digest(secret.encode(), body, "sha256")).decode()


def headers(secret: str, body: bytes, delivery_id: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "Todoist-Webhooks",
        "X-Todoist-Hmac-SHA256": signature(secret, body),
        "X-Todoist-Delivery-ID": delivery_id,
    }


def payload(account: Account, change: Change, triggered_at: str) -> bytes:
    """The body of a push."""
    told: dict[str, Any] = {
        "event_name": change.event,
        "user_id": account.user_id,
        "event_data": change.entity,
        "initiator": {
            "id": account.user_id,
            "full_name": account.full_name,
            "email": f"{account.user_id}@example.org",
            "image_id": None,
            "is_premium": False,
        },
        "triggered_at": triggered_at,
        "version": "1",
    }
    if change.extra is not None:
        told["event_data_extra"] = change.extra
    return orjson.dumps(told)


@dataclass(slots=True, kw_only=True)
class Push(pushes.Push):
    """One delivery and what became of it."""

    delivery_id: str
    event: str
    entity_id: str
    seq: int

    def entry(self) -> dict[str, Any]:
        told = {"delivery_id": self.delivery_id, "event": self.event, "entity_id": self.entity_id, "seq": self.seq}
        # Without arguments, super() does not know a class that slots made anew.
        return told | pushes.Push.entry(self)


def pushed(account: Account, change: Change, secret: str, dice: Random, now: datetime, *, storm: bool = False) -> Push:
    """The push of a change, with a fresh delivery id."""
    assert change.event is not None
    body = payload(account, change, now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    delivery_id = str(uuid.UUID(int=dice.getrandbits(128), version=4))
    return Push(
        order=account.user_id,
        headers=headers(secret, body, delivery_id),
        body=body,
        accepting=ACCEPTING,
        storm=storm,
        delivery_id=delivery_id,
        event=change.event,
        entity_id=change.entity["id"],
        seq=change.seq,
    )
