"""Notification channels: who is told that a resource changed. Pure: time and dice are given.

developers.google.com/workspace/calendar/api/guides/push
"""

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import blake2b
from random import Random
from typing import Any, Final, Literal

from pydantic import BaseModel

from deploy.simulators import pushes
from deploy.simulators.google.log import Entity
from deploy.simulators.google.refused import Refused, invalid, required

LIFETIME: Final = timedelta(days=7)
"""What a channel lives unless it is told to live shorter (events.watch, params.ttl)."""

ACCEPTING: Final = frozenset((200, 201, 202, 204, 102))
RETRIED: Final = frozenset((500, 502, 503, 504))
ATTEMPTS: Final = 6
"""How often in all; Google does not publish it."""

AGENT: Final = "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)"
STATES = Literal["sync", "exists", "not_exists"]

_TOKEN = re.compile(r"[\x21-\x7e]{1,256}")
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[\x21-\x7e]*)?")
_ID = re.compile(r"[A-Za-z0-9\-_+/=]{1,64}")


class Channel(BaseModel):
    """One channel. `owner`: whose list a list's channel is of, None for a calendar's events."""

    id: str
    account: str
    resource: str
    owner: str | None
    resource_id: str
    resource_uri: str
    address: str
    token: str | None
    expires_at: datetime
    number: int = 0
    stopped: bool = False

    def live(self, now: datetime) -> bool:
        return not self.stopped and now < self.expires_at

    def shown(self) -> Entity:
        """As `watch` answers."""
        told = {
            "kind": "api#channel",
            "id": self.id,
            "resourceId": self.resource_id,
            "resourceUri": self.resource_uri,
            "expiration": str(int(self.expires_at.timestamp() * 1000)),
        }
        return told if self.token is None else told | {"token": self.token}


@dataclass(slots=True, kw_only=True)
class Push(pushes.Push):
    """One notification and what became of it."""

    channel: Channel
    number: int
    state: STATES

    def entry(self) -> dict[str, Any]:
        told = {
            "channel": self.channel.id,
            "resource": self.channel.resource,
            "number": self.number,
            "state": self.state,
        }
        # Without arguments, super() does not know a class that slots made anew.
        return told | pushes.Push.entry(self)


class Channels:
    """All of them, by id; an id is never free again."""

    def __init__(self) -> None:
        self.by_id: dict[str, Channel] = {}
        self._watching: dict[tuple[str, str | None], list[Channel]] = {}

    def add(self, channel: Channel) -> None:
        self.by_id[channel.id] = channel
        self._watching.setdefault((channel.resource, channel.owner), []).append(channel)

    def open(
        self, account: str, resource: str, owner: str | None, uri: str, body: Entity, now: datetime, lifetime: timedelta
    ) -> Channel:
        """Raises `Refused`."""
        id_ = _checked(body, self.by_id)
        channel = Channel(
            id=id_,
            account=account,
            resource=resource,
            owner=owner,
            resource_id=resource_id(resource, owner),
            resource_uri=uri,
            address=body["address"],
            token=body.get("token"),
            expires_at=_expiration(body, now, lifetime),
        )
        self.add(channel)
        return channel

    def stop(self, account: str, body: Entity, now: datetime) -> None:
        """Raises `Refused` for one that is not this account's. A second stop succeeds like the first."""
        for name in ("id", "resourceId"):
            if not body.get(name):
                raise required(f"Missing {name}.")
        channel = self.by_id.get(str(body["id"]))
        known = channel is not None and channel.account == account and channel.resource_id == body["resourceId"]
        if channel is None or not known or now >= channel.expires_at:
            raise Refused(404, "notFound", f"Channel '{body['id']}' not found for project '{account}'")
        channel.stopped = True

    def of(self, resource: str, owner: str | None, now: datetime) -> list[Channel]:
        """Those that are told of a change there."""
        return [channel for channel in self._watching.get((resource, owner), ()) if channel.live(now)]

    def end(self, resource: str) -> None:
        """The calendar that they watched is gone."""
        for channel in self._watching.pop((resource, None), ()):
            channel.stopped = True


def pushed(channel: Channel, state: STATES, dice: Random, *, storm: bool = False) -> Push:
    """The next notification on a channel: its number is higher than the one before, not always by one."""
    channel.number += 1 if channel.number == 0 else dice.choice((1, 1, 1, 2, 5))
    headers = {
        "Content-Type": "application/json; utf-8",
        "User-Agent": AGENT,
        "Accept": "*/*",
        "X-Goog-Channel-ID": channel.id,
        "X-Goog-Channel-Expiration": format_datetime(channel.expires_at.astimezone(UTC), usegmt=True),
        "X-Goog-Resource-State": state,
        "X-Goog-Message-Number": str(channel.number),
        "X-Goog-Resource-ID": channel.resource_id,
        "X-Goog-Resource-URI": channel.resource_uri,
    }
    if channel.token is not None:
        headers["X-Goog-Channel-Token"] = channel.token
    return Push(
        order=channel.id,
        headers=headers,
        body=b"",
        accepting=ACCEPTING,
        storm=storm,
        channel=channel,
        number=channel.number,
        state=state,
    )


def pause(result: int | str, attempts: int, first: float) -> float | None:
    """Seconds before the next attempt: doubling, after the four statuses that Google names and nothing else."""
    return first * 2 ** (attempts - 1) if result in RETRIED and attempts < ATTEMPTS else None


def resource_id(resource: str, owner: str | None) -> str:
    """Opaque, and the same for everybody who watches the same."""
    return urlsafe_b64encode(blake2b(f"{resource}\0{owner}".encode(), digest_size=20).digest()).decode().rstrip("=")


def _checked(body: Entity, taken: dict[str, Channel]) -> str:
    for name in ("id", "type", "address"):
        if not body.get(name):
            raise required(f"Missing {name}.")
    if not isinstance(body["id"], str) or not _ID.fullmatch(body["id"]):
        raise Refused(400, "channelIdInvalid", "Invalid channel id.", location="id")
    if body["id"] in taken:
        raise Refused(400, "channelIdNotUnique", f"Channel id {body['id']} not unique")
    if body["type"] not in ("web_hook", "webhook"):
        raise Refused(400, "unknownChannelType", f"Unknown channel type: {body['type']}")
    token = body.get("token")
    if token is not None and not (isinstance(token, str) and _TOKEN.fullmatch(token)):
        raise invalid("token")
    # The provider wants https; what runs on one machine may do without.
    if not _ADDRESS.fullmatch(str(body["address"])):
        raise Refused(400, "push.webhookUrlNotHttps", "WebHook callback must be HTTPS", location="address")
    return body["id"]


def _expiration(body: Entity, now: datetime, lifetime: timedelta) -> datetime:
    """The earliest of what is asked for and what is allowed."""
    ends = now + lifetime
    try:
        if ttl := (body.get("params") or {}).get("ttl"):
            ends = min(ends, now + timedelta(seconds=int(ttl)))
        if asked := body.get("expiration"):
            ends = min(ends, datetime.fromtimestamp(int(asked) / 1000, UTC))
    except (TypeError, ValueError, OverflowError, OSError):
        raise invalid("expiration") from None
    if ends <= now:
        raise invalid("expiration")
    return ends
