"""Whose lots they are: many customers found at once, new ones registered when that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import Conflict, Problem, ValidationFailed
from billing.customers.directory import CustomerDirectory
from billing.customers.model import Profile
from billing.customers.schemas import CustomerIn
from billing.customers.service import Customers
from billing.imports.model import Lot, Owned, Owner, Reject, Totals
from billing.imports.seen import Seen

UNKNOWN: Final = "no customer has this {}"
TIMEOUT_S: Final = 30.0

_EXTERNAL = """
SELECT e.system, e.value, e.customer_id
FROM unnest($1::text[], $2::text[]) AS want (system, value)
JOIN billing.customer_external_ids e ON e.system = want.system AND e.value = want.value
"""


class Registrar:
    """Registers phones that are not known yet, as verified customers."""

    def __init__(self, customers: Customers, principal: Principal) -> None:
        self._customers = customers
        self._principal = principal

    def phone_hash(self, phone: str) -> bytes:
        """The same for every way to write a phone that could be found."""
        return self._customers.phone_hash(phone)

    async def register(self, owners: Sequence[Owner]) -> list[Profile | Problem]:
        """Register owners by phone, all in one transaction."""
        new = [
            CustomerIn(phone=one.ref.phone, name=one.name, status="verified")
            for one in owners
            if one.ref is not None and one.ref.phone is not None
        ]
        return await self._customers.register_many(self._principal, new, TIMEOUT_S)


class Matcher:
    """Finds the customers of lots."""

    def __init__(
        self, database: Database, directory: CustomerDirectory, registrar: Registrar | None = None
    ) -> None:
        self._database = database
        self._directory = directory
        self._registrar = registrar
        self._known = Seen()
        self._unknown = Seen()

    async def match(
        self, lots: Sequence[Lot], totals: Totals, *, dry: bool
    ) -> tuple[list[Owned], list[Reject]]:
        """Lots with their customers, and those without. A dry run registers nobody: who would be
        registered is counted as `unknown` and stands with the nil id, all others as `known`."""
        found = await self._find(lots)
        fates: dict[int, UUID | str] = {
            lot.line: fate if fate is not None else UNKNOWN.format(_kind(lot.owner))
            for lot, fate in zip(lots, found, strict=True)
        }
        if dry:
            for one in found:
                if isinstance(one, UUID):
                    self._known.add(one.hex)
            totals.known = self._known.count
        if self._registrar is not None:
            new = [lot for lot, fate in zip(lots, found, strict=True) if fate is None]
            fates |= await self._register(new, self._registrar, totals, dry=dry)
        owned: list[Owned] = []
        rejects: list[Reject] = []
        for lot in lots:
            match fates[lot.line]:
                case UUID() as customer_id:
                    owned.append(Owned(lot, customer_id))
                case reason:
                    rejects.append(Reject(lot.line, str(reason)))
        return owned, rejects

    async def _find(self, lots: Sequence[Lot]) -> list[UUID | str | None]:
        """The customer of each lot, or why there can be none; None when nobody is known."""
        external = await self._external(lots)
        found = await self._directory.find_many(
            one.owner.ref for one in lots if one.owner.ref is not None
        )
        fates: list[UUID | str | None] = []
        for one in lots:
            known = None if one.owner.ref is None else found[one.owner.ref]
            if isinstance(known, ValidationFailed):
                fates.append(known.errors[0].detail)
            elif known is not None:
                fates.append(known.id)
            else:
                fates.append(external.get(one.owner.external_id or ("", "")))
        return fates

    async def _external(self, lots: Sequence[Lot]) -> dict[tuple[str, str], UUID]:
        wanted = [one.owner.external_id for one in lots if one.owner.external_id is not None]
        if not wanted:
            return {}
        rows = await self._database.fetch(
            _EXTERNAL, [one[0] for one in wanted], [one[1] for one in wanted], timeout_s=TIMEOUT_S
        )
        return {(row[0], row[1]): row[2] for row in rows}

    async def _register(
        self, lots: Sequence[Lot], registrar: Registrar, totals: Totals, *, dry: bool
    ) -> dict[int, UUID | str]:
        """A fate for each line of customers nobody knows; lines of one phone share one."""
        by_phone: dict[bytes, list[Lot]] = {}
        for lot in lots:
            if lot.owner.ref is not None and lot.owner.ref.phone is not None:
                by_phone.setdefault(registrar.phone_hash(lot.owner.ref.phone), []).append(lot)
        if dry:
            for phone in by_phone:
                self._unknown.add(phone.hex())
            totals.unknown = self._unknown.count
            return {lot.line: UUID(int=0) for group in by_phone.values() for lot in group}
        made = await registrar.register([group[0].owner for group in by_phone.values()])
        totals.created += sum(isinstance(one, Profile) for one in made)
        return {
            lot.line: _fate(one)
            for group, one in zip(by_phone.values(), made, strict=True)
            for lot in group
        }


def _fate(made: Profile | Problem) -> UUID | str:
    """The new customer, or whom somebody else has registered meanwhile; or why there is none."""
    if isinstance(made, Profile):
        return made.id
    if isinstance(made, Conflict) and "customer_id" in made.members:
        return UUID(str(made.members["customer_id"]))
    return made.errors[0].detail if isinstance(made, ValidationFailed) else made.detail


def _kind(owner: Owner) -> str:
    return "external id" if owner.ref is None else owner.ref.kind
