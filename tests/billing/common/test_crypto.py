"""Personal data is unreadable without its keys."""

from __future__ import annotations

import pytest

from billing.common import crypto


def test_what_is_sealed_opens_with_its_key_and_context_only() -> None:
    key = crypto.derive(b"s" * 32, "test")
    sealed = crypto.seal(key, b"Anna", b"customer 1")
    assert crypto.unseal(key, sealed, b"customer 1") == b"Anna"
    assert b"Anna" not in sealed
    assert crypto.seal(key, b"Anna", b"customer 1") != sealed
    for other in (
        (crypto.derive(b"s" * 32, "other"), sealed, b"customer 1"),
        (key, sealed, b"customer 2"),
        (key, sealed[:-1] + bytes([sealed[-1] ^ 1]), b"customer 1"),
        (key, b"", b"customer 1"),
    ):
        with pytest.raises(crypto.CannotDecrypt, match="BONUS_SECRET_KEY"):
            crypto.unseal(*other)


def test_a_hash_depends_on_the_key() -> None:
    one, two = (crypto.derive(secret * 32, "phones") for secret in (b"a", b"b"))
    assert crypto.keyed_hash(one, "+7") == crypto.keyed_hash(one, "+7")
    assert crypto.keyed_hash(one, "+7") != crypto.keyed_hash(two, "+7")
