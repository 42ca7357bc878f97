"""Every process computes the same lanes and ids, for ever: the vectors of the published contract."""

import hmac
from base64 import urlsafe_b64encode
from uuid import UUID

import pytest

from schemas.identity import Channel, change_id, channel, channel_token, item_id, lane
from schemas.settings import KeyRing

TENANT = UUID("0b7a1f4e-3c52-4d0e-9a55-6b0f3f2f8c11")
ROW = UUID("5f0c3a52-8a3e-4f0e-8c1d-2f5b7a9d1e60")
KEY = bytes(range(32))
ITEM = UUID("1349fc8d-6613-561e-8018-6d7824c50e81")


@pytest.mark.parametrize(
    ("provider", "account", "expected"),
    [("todoist", "2671355", 78), ("slack", "T1DC2JH3J", 105), ("google", "113774264463038321964", 91)],
)
def test_the_lane_of_an_account(provider: str, account: str, expected: int) -> None:
    assert lane(provider, account) == expected


def test_the_id_of_an_item() -> None:
    assert item_id(TENANT, "todoist", "2671355", "task", "6XGgm6PHrGgMpCFX") == ITEM


def test_the_id_of_an_item_differs_with_every_part() -> None:
    parts = ("todoist", "2671355", "task", "6XGgm6PHrGgMpCFX")
    others = [(*parts[:n], parts[n] + "x", *parts[n + 1 :]) for n in range(4)]
    ids = {item_id(TENANT, *parts), item_id(UUID(int=0), *parts), *(item_id(TENANT, *other) for other in others)}
    assert len(ids) == 6


def test_the_id_of_a_change_names_item_and_version() -> None:
    assert change_id(ITEM, 1777982400123456) == "1349fc8d-6613-561e-8018-6d7824c50e81.1777982400123456"


@pytest.mark.parametrize(
    ("provider", "kid", "number", "token"),
    [
        ("google", 1, 91, "AVtfDDpSij5PDowdL1t6nR5gBvo7ylvFPcfi8Ud9mLQKj6R4_dJpimBxa7--K73Xt5w"),
        ("microsoft", 7, 3, "BwNfDDpSij5PDowdL1t6nR5gwHmgsBUWryz2XAHIcErPDfMD97qNsawrw8VoI9t_L8Y"),
    ],
)
def test_the_token_of_a_channel(provider: str, kid: int, number: int, token: str) -> None:
    keys = KeyRing({kid: KEY})
    assert channel_token(keys, provider, number, ROW) == token
    assert channel(keys, provider, token.encode()) == Channel(ROW, number)


def test_a_token_is_good_for_one_provider_one_key_and_in_one_spelling() -> None:
    keys = KeyRing({1: KEY, 2: bytes(32)})
    token = channel_token(keys, "google", 91, ROW).encode()
    assert channel(keys, "microsoft", token) is None
    assert channel(KeyRing({2: bytes(32)}), "google", token) is None
    assert channel(KeyRing({1: bytes(32)}), "google", token) is None
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for at in range(len(token)):
        for other in alphabet.replace(token[at : at + 1], b""):
            assert channel(keys, "google", token[:at] + bytes([other]) + token[at + 1 :]) is None
    assert channel(keys, "google", token + b"=") is None
    assert channel(keys, "google", token + b"\n") is None
    assert channel(KeyRing({2: bytes(32), 1: KEY}), "google", token) == Channel(ROW, 91)


def test_a_token_under_a_key_id_that_is_not_ours_is_refused_whatever_it_is_signed_with() -> None:
    named = bytes([9, 91]) + ROW.bytes
    forged = urlsafe_b64encode(named + hmac.digest(KEY, b"google" + named, "sha256")).rstrip(b"=")
    assert channel(KeyRing({9: KEY}), "google", forged) == Channel(ROW, 91), "it is well made"
    assert channel(KeyRing({1: KEY}), "google", forged) is None
