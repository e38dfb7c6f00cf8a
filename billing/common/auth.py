"""Who is calling: the principal behind an API key, what it may do and where."""

from __future__ import annotations

import unicodedata
from typing import Literal, Protocol
from uuid import UUID

import msgspec

from billing.common.errors import Forbidden

Role = Literal["pos", "site", "marketer", "finance", "support", "bi", "admin"]

ROLES: dict[Role, str] = {
    "pos": "a till: receipts, redemptions, batches, registration and look-up of customers",
    "site": "a website or an app: as a till, bound to its channel rather than a store",
    "marketer": "catalog and programs, without personal data",
    "finance": "ledger and adjustments; posting and reading receipts; without personal data",
    "support": "customers: registration, look-up, change, blocking; reading receipts",
    "bi": "reading balances, statements and the ledger, without personal data",
    "admin": "everything, including imports and verified customers",
}


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """An API key as the rest of the code sees it. `channel` and `store` are its bindings; `owner`
    is the person it belongs to, when that was said."""

    key_id: UUID
    name: str
    role: Role
    channel: str | None = None
    store: str | None = None
    owner: str | None = None

    @property
    def person(self) -> str:
        """Who it is where a second person is asked for."""
        return person_of(self.owner, self.name)

    def require(self, *roles: Role) -> None:
        """Raise Forbidden unless the key has one of `roles`."""
        if self.role not in roles:
            raise Forbidden(
                f"A key of role {self.role} may not do that; it takes one of: {', '.join(roles)}."
            )

    def bind(self, channel: str | None, store: str | None) -> tuple[str | None, str | None]:
        """The channel and store a request acts for: what it names, or what the key is bound to.

        Raises Forbidden when a bound key names another channel or store.
        """
        return (
            self._own("channel", self.channel, channel),
            self._own("store", self.store, store),
        )

    def covers(self, channel: str | None, store: str | None) -> None:
        """Raise Forbidden when a bound key asks for what was done elsewhere, or nowhere."""
        for kind, bound, place in (
            ("channel", self.channel, channel),
            ("store", self.store, store),
        ):
            if bound is not None and place != bound:
                elsewhere = repr(place) if place is not None else f"what has no {kind}"
                raise Forbidden(
                    f"This key is bound to the {kind} {bound!r} and may not act for {elsewhere}."
                )

    def _own(self, kind: str, bound: str | None, named: str | None) -> str | None:
        if bound is not None and named is not None and named != bound:
            raise Forbidden(
                f"This key is bound to the {kind} {bound!r} and may not act for {named!r}; "
                f"leave `{kind}` out or use a key of that {kind}."
            )
        return named if bound is None else bound


def person_of(owner: str | None, name: str) -> str:
    """The person behind a key: its owner, or else its name; spelling apart."""
    return " ".join(unicodedata.normalize("NFKC", owner or name).split()).casefold()


class Authenticator(Protocol):
    """Turns the Authorization header of a request into a principal."""

    def known(self, header: bytes | None) -> Principal | None:
        """The principal when it is in memory, without any waiting."""

    async def authenticate(self, header: bytes | None) -> Principal:
        """The principal, asking the database if need be.

        Raises Unauthorized for a missing, unknown or revoked key, Overloaded when the database
        is away and the key is not in memory.
        """


NOBODY = Principal(key_id=UUID(int=0), name="nobody", role="bi")
"""The principal of public operations, which ask for no key."""
