"""Sealing and opening personal data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import msgspec

from billing.common import crypto
from billing.common.errors import Overloaded
from billing.customers.model import Person

KeyState = Literal["right", "wrong", "not compared"]


@dataclass(frozen=True)
class Sealed:
    """A person's data as the database keeps it."""

    data_key: bytes
    phone_hash: bytes
    phone_encrypted: bytes
    person_encrypted: bytes


class Vault:
    """Holds the keys made of the master secret; everything is bound to the customer's id.

    While `key` is not "right" every use raises Overloaded: see billing.customers.secret.
    """

    def __init__(self, secret_key: bytes, key: KeyState = "right") -> None:
        self.key: KeyState = key
        self._checking = crypto.derive(secret_key, "check value")
        self._master = crypto.derive(secret_key, "customers' data keys")
        self._hashing = crypto.derive(secret_key, "phone hashes")

    def phone_hash(self, phone: str) -> bytes:
        """The name under which an E.164 phone is found."""
        self._must_be_right()
        return crypto.keyed_hash(self._hashing, phone)

    def seal(self, customer_id: UUID, phone: str, person: Person) -> Sealed:
        """Encrypt under a new data key of the person's own."""
        self._must_be_right()
        key = crypto.new_data_key()
        of = customer_id.bytes
        return Sealed(
            data_key=crypto.seal(self._master, key, of + b"key"),
            phone_hash=self.phone_hash(phone),
            phone_encrypted=crypto.seal(key, phone.encode(), of + b"phone"),
            person_encrypted=crypto.seal(key, msgspec.json.encode(person), of + b"person"),
        )

    def unseal(
        self, customer_id: UUID, data_key: bytes, phone: bytes, person: bytes
    ) -> tuple[str, Person]:
        """The phone and the person. Raises CannotDecrypt."""
        self._must_be_right()
        of = customer_id.bytes
        key = crypto.unseal(self._master, data_key, of + b"key")
        return (
            crypto.unseal(key, phone, of + b"phone").decode(),
            msgspec.json.decode(crypto.unseal(key, person, of + b"person"), type=Person),
        )

    def check_value(self) -> bytes:
        """What another secret would give another value of; tells nothing about this one."""
        return crypto.keyed_hash(self._checking, "bonus-ledger")

    def opens(self, customer_id: UUID, data_key: bytes) -> bool:
        """Whether a customer's data key was wrapped under this secret."""
        try:
            crypto.unseal(self._master, data_key, customer_id.bytes + b"key")
        except crypto.CannotDecrypt:
            return False
        return True

    def _must_be_right(self) -> None:
        if self.key == "not compared":
            raise Overloaded("The database does not answer; repeat the request shortly.")
        if self.key == "wrong":
            raise Overloaded(
                "BONUS_SECRET_KEY is not the key of this database; the operator has to set it "
                "right.",
                retry_after_s=30,
            )
