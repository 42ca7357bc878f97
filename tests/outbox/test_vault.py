"""Secrets stay secret: sealed under a key id, bound to their row, opened by nothing else."""

import pytest

from outbox.vault import CannotOpen, Vault
from schemas.settings import KeyRing

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
PLACE = "integration_connections/5f0c3a52-8a3e-4f0e-8c1d-2f5b7a9d1e60/credentials"
SECRET = b"0123456789abcdef-a-token"


def vault(**keys: bytes) -> Vault:
    return Vault(KeyRing({int(name.removeprefix("kid_")): key for name, key in keys.items()}))


@pytest.mark.parametrize("plain", [SECRET, b"", b"\0" * 100_000], ids=["a token", "nothing", "much"])
def test_what_was_sealed_opens_in_its_place(plain: bytes) -> None:
    keys = vault(kid_7=OLD)
    sealed = keys.seal(plain, PLACE)
    assert sealed[0] == 7
    assert len(sealed) == 1 + 12 + len(plain) + 16
    assert keys.open(sealed, PLACE) == plain


def test_nothing_of_the_secret_can_be_seen() -> None:
    sealed = vault(kid_7=OLD).seal(SECRET, PLACE)
    assert not any(SECRET[at : at + 4] in sealed for at in range(len(SECRET) - 4))


def test_it_does_not_open_in_another_place() -> None:
    keys = vault(kid_7=OLD)
    with pytest.raises(CannotOpen):
        keys.open(keys.seal(SECRET, PLACE), PLACE.replace("5f0c", "5f0d"))


def test_it_does_not_open_under_another_key_of_the_same_id() -> None:
    with pytest.raises(CannotOpen):
        vault(kid_7=NEW).open(vault(kid_7=OLD).seal(SECRET, PLACE), PLACE)


def test_the_same_key_under_another_id_does_not_open_it() -> None:
    sealed = vault(kid_7=OLD).seal(SECRET, PLACE)
    with pytest.raises(CannotOpen):
        vault(kid_7=OLD, kid_8=OLD).open(b"\x08" + sealed[1:], PLACE)


def test_every_changed_byte_is_noticed() -> None:
    keys = vault(**{f"kid_{kid}": OLD for kid in range(256)})
    sealed = keys.seal(SECRET, PLACE)
    for at in range(len(sealed)):
        for bit in range(8):
            with pytest.raises(CannotOpen):
                keys.open(sealed[:at] + bytes([sealed[at] ^ 1 << bit]) + sealed[at + 1 :], PLACE)


def test_every_missing_or_additional_byte_is_noticed() -> None:
    keys = vault(kid_7=OLD)
    sealed = keys.seal(SECRET, PLACE)
    for damaged in (*(sealed[:length] for length in range(len(sealed))), sealed + b"\0", b"\x07" + sealed):
        with pytest.raises(CannotOpen):
            keys.open(damaged, PLACE)


def test_the_first_key_seals_and_all_open_so_keys_rotate_without_a_gap() -> None:
    before, during, after = vault(kid_1=OLD), vault(kid_2=NEW, kid_1=OLD), vault(kid_2=NEW)
    sealed = before.seal(SECRET, PLACE)
    assert during.open(sealed, PLACE) == SECRET
    again = during.seal(SECRET, PLACE)
    assert again[0] == 2
    assert after.open(again, PLACE) == SECRET
    with pytest.raises(CannotOpen, match="LIFEOS_VAULT_KEYS"):
        after.open(sealed, PLACE)


def test_no_nonce_is_used_twice() -> None:
    keys = vault(kid_7=OLD)
    assert len({keys.seal(SECRET, PLACE)[1:13] for _ in range(10_000)}) == 10_000


def test_an_error_shows_neither_key_nor_secret() -> None:
    keys = vault(kid_7=OLD)
    with pytest.raises(CannotOpen) as caught:
        keys.open(keys.seal(SECRET, PLACE)[:-1], PLACE)
    assert SECRET.decode() not in str(caught.value)
    assert OLD.hex() not in repr(keys)
