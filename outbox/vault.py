"""Sealing: AES-256-GCM under a key id, bound to the row that holds the sealed value.

A sealed value is kid (1) ‖ nonce (12) ‖ ciphertext and tag (NIST SP 800-38D). The place it belongs to is authenticated
with it, so a sealed value moved to another row or column does not open.
"""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.settings import KeyRing

NONCE_BYTES: Final = 12


class CannotOpen(ValueError):
    """The value was sealed under a key we do not have, for another place, or is damaged. Never says more."""


class Vault:
    """Seals with the first key of the ring, opens with the one that the value names."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def seal(self, plain: bytes, place: str) -> bytes:
        """`place` names table, column and key of the row, for example `integration_connections/<id>/credentials`."""
        kid, nonce = self._keys.first, os.urandom(NONCE_BYTES)
        return bytes([kid]) + nonce + AESGCM(self._keys[kid]).encrypt(nonce, plain, _bound(kid, place))

    def open(self, sealed: bytes, place: str) -> bytes:
        """What was sealed for this place. Raises `CannotOpen`."""
        if len(sealed) <= NONCE_BYTES or sealed[0] not in self._keys:
            raise CannotOpen("sealed under a key that is not in LIFEOS_VAULT_KEYS")
        kid, nonce, body = sealed[0], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            return AESGCM(self._keys[kid]).decrypt(nonce, body, _bound(kid, place))
        except InvalidTag:
            raise CannotOpen(f"does not belong to {place}, or is damaged") from None

    def open_text(self, sealed: bytes, place: str) -> str:
        """The text that was sealed for this place. Raises `CannotOpen`, also for what is no text."""
        try:
            return self.open(sealed, place).decode()
        except UnicodeDecodeError:
            raise CannotOpen(f"what was sealed for {place} is no text") from None


def _bound(kid: int, place: str) -> bytes:
    return b"lifeos.vault.1\0" + bytes([kid]) + place.encode()
