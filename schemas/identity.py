"""Names that are computed, never looked up: the lane, the item id, the change id, the channel token.

All are pure functions that every process must agree on for ever; a change here is a migration of every topic and table.
"""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol
from uuid import UUID, uuid5

ITEM_NAMESPACE: Final = UUID("debf54ea-e927-5903-b1b6-81c71ee41ae4")
LANES: Final = 256


def lane(provider: str, account: str) -> int:
    """The lane (0–255) of an external account: first byte of BLAKE2b-64 over `provider ‖ 0x00 ‖ account` in UTF-8.

    It is the one word for ordering and sharding: a partition is `lane mod partitions`.
    """
    return blake2b(f"{provider}\0{account}".encode(), digest_size=8).digest()[0]


def item_id(tenant_id: UUID, provider: str, account: str, kind: str, external_id: str) -> UUID:
    """The id of an item: stable over reconnecting, restoring and replaying, different in every tenant.

    `external_id` names its container where the provider's ids are unique only within it.
    """
    return uuid5(ITEM_NAMESPACE, "\0".join((str(tenant_id), provider, account, kind, external_id)))


def change_id(item: UUID, version: int) -> str:
    """The CloudEvents `id` of one version of an item."""
    return f"{item}.{version}"


_TOKEN: Final = re.compile(rb"[A-Za-z0-9_-]{67}")
_NAMED: Final = 18
"""Bytes of a channel token that are not its MAC: key id, lane, id of our subscription row."""


class ChannelKeys(Protocol):
    """Keys by id; the first one mints."""

    @property
    def first(self) -> int: ...
    def __getitem__(self, kid: int) -> bytes: ...
    def __contains__(self, kid: int) -> bool: ...


class Channel(NamedTuple):
    """What an authentic channel token names."""

    subscription_id: UUID
    lane: int


def channel_token(keys: ChannelKeys, provider: str, lane: int, subscription_id: UUID) -> str:
    """The secret that a provider echoes for one subscription: derived, so that nobody has to look it up.

    base64url without padding of kid ‖ lane ‖ row id ‖ HMAC-SHA256(K[kid], provider ‖ those 18 bytes): 67 characters.
    """
    return _token(keys, keys.first, provider, lane, subscription_id).decode()


def channel(keys: ChannelKeys, provider: str, token: bytes) -> Channel | None:
    """What a token names; None unless it is exactly the text that `channel_token` makes.

    The text is compared, not what it decodes to: its last character has four spellings that decode alike. A key id that is
    not ours costs the same computation, so that the answer does not tell which exist.
    """
    if not _TOKEN.fullmatch(token):
        return None
    named = urlsafe_b64decode(token + b"=")[:_NAMED]
    kid, subscription_id = named[0], UUID(bytes=named[2:])
    known = kid in keys
    expected = _token(keys, kid if known else keys.first, provider, named[1], subscription_id)
    return Channel(subscription_id, named[1]) if hmac.compare_digest(expected, token) and known else None


def _token(keys: ChannelKeys, kid: int, provider: str, lane: int, subscription_id: UUID) -> bytes:
    named = bytes([kid, lane]) + subscription_id.bytes
    return urlsafe_b64encode(named + hmac.digest(keys[kid], provider.encode() + named, "sha256")).rstrip(b"=")
