"""Signatures over exact bytes: keys prepared once, all of them tried, text compared in constant time."""

import hmac
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256

Keys = tuple[hmac.HMAC, ...]
"""Keyed HMAC-SHA256 objects: copying one costs less than keying it again. Never empty, none with an empty key."""


def prepare(secrets: Iterable[bytes]) -> Keys:
    """The keys of one provider, newest first. Raises ValueError where a secret is missing or empty."""
    keys = []
    for secret in secrets:
        if not secret:
            raise ValueError("an empty secret would accept what anybody can sign")
        keys.append(hmac.new(secret, digestmod=sha256))
    if not keys:
        raise ValueError("no secret: nothing can be verified")
    return tuple(keys)


def signed(keys: Keys, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is the standard base64 text of the HMAC of `message` under one of the keys.

    The text is compared, not what it decodes to: the last character of 44 has four spellings that decode alike. Bytes
    are compared because `compare_digest` raises on text that is not ASCII. All keys are tried, whichever fits.
    """
    matched = False
    for key in keys:
        mac = key.copy()
        mac.update(message)
        matched |= hmac.compare_digest(b64encode(mac.digest()), signature)
    return matched
