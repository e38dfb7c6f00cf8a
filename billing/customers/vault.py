"""Sealing and opening personal data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import msgspec

from billing.common import crypto
from billing.common.errors import Overloaded
from billing.customers.model import Person
from billing.customers.names import asked, beginnings

KeyState = Literal["right", "wrong", "not compared"]


@dataclass(frozen=True)
class Sealed:
    """A person's data as the database keeps it."""

    data_key: bytes
    phone_hash: bytes
    phone_encrypted: bytes
    person_encrypted: bytes
    name_tokens: list[int]


class Vault:
    """Holds the keys made of the master secret; everything is bound to the customer's id.

    While `key` is not "right" every use raises Overloaded: see billing.customers.secret.
    """

    def __init__(self, secret_key: bytes, key: KeyState = "right") -> None:
        self.key: KeyState = key
        self._checking = crypto.derive(secret_key, "check value")
        self._master = crypto.derive(secret_key, "customers' data keys")
        self._hashing = crypto.derive(secret_key, "phone hashes")
        self._naming = crypto.derive(secret_key, "name tokens")
        self._coding = crypto.derive(secret_key, "verification codes")

    def phone_hash(self, phone: str) -> bytes:
        """The name under which an E.164 phone is found."""
        self._must_be_right()
        return crypto.keyed_hash(self._hashing, phone)

    def code_mac(self, verification_id: UUID, code: str) -> bytes:
        """What is kept of a code that was sent."""
        self._must_be_right()
        return crypto.keyed_hash(self._coding, f"{verification_id}/{code}")

    def limit_key(self, scope: str, of: str) -> bytes:
        """The name under which it is counted how often something was asked for."""
        self._must_be_right()
        return crypto.keyed_hash(self._hashing, f"{scope}/{of}")[:16]

    def name_tokens(self, name: str | None) -> list[int]:
        """What a name is found by."""
        return self._tokens(beginnings(name or ""))

    def asked_tokens(self, part: str) -> list[int]:
        """What a name must have that `part` is a part of."""
        return self._tokens(asked(part))

    def _tokens(self, parts: set[str]) -> list[int]:
        self._must_be_right()
        hashes = (crypto.keyed_hash(self._naming, part)[:8] for part in parts)
        return sorted(int.from_bytes(one, "big", signed=True) for one in hashes)

    def seal(
        self, customer_id: UUID, phone: str, person: Person, data_key: bytes | None = None
    ) -> Sealed:
        """Encrypt under the person's own data key: a new one, unless `data_key` is theirs."""
        self._must_be_right()
        of = customer_id.bytes
        if data_key is None:
            key = crypto.new_data_key()
            data_key = crypto.seal(self._master, key, of + b"key")
        else:
            key = crypto.unseal(self._master, data_key, of + b"key")
        return Sealed(
            data_key=data_key,
            phone_hash=self.phone_hash(phone),
            phone_encrypted=crypto.seal(key, phone.encode(), of + b"phone"),
            person_encrypted=crypto.seal(key, msgspec.json.encode(person), of + b"person"),
            name_tokens=self.name_tokens(person.name),
        )

    def seal_text(self, customer_id: UUID, data_key: bytes, text: str, of: bytes) -> bytes:
        """Encrypt another text about the person, bound to `of`: what it is kept in."""
        self._must_be_right()
        key = crypto.unseal(self._master, data_key, customer_id.bytes + b"key")
        return crypto.seal(key, text.encode(), customer_id.bytes + of)

    def unseal_text(self, customer_id: UUID, data_key: bytes, sealed: bytes, of: bytes) -> str:
        """What `seal_text` sealed. Raises CannotDecrypt."""
        self._must_be_right()
        key = crypto.unseal(self._master, data_key, customer_id.bytes + b"key")
        return crypto.unseal(key, sealed, customer_id.bytes + of).decode()

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
