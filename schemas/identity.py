"""Names that are computed, never looked up: the lane, the item id, the change id.

All are pure functions that every process must agree on for ever; a change here is a migration of every topic and table.
"""

from hashlib import blake2b
from typing import Final
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
