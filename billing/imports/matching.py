"""Whose lots they are: many customers found at once, new ones registered when that is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import Conflict, ValidationFailed
from billing.customers.directory import CustomerDirectory
from billing.customers.schemas import CustomerIn
from billing.customers.service import Customers
from billing.imports.model import Lot, Owned, Owner, Reject, Totals
from billing.imports.seen import Seen

AT_ONCE: Final = 16
"""Customers registered side by side: each is a transaction of its own."""
UNKNOWN: Final = "no customer has this {}"
TIMEOUT_S: Final = 30.0

_EXTERNAL = """
SELECT e.system, e.value, e.customer_id
FROM unnest($1::text[], $2::text[]) AS want (system, value)
JOIN billing.customer_external_ids e ON e.system = want.system AND e.value = want.value
"""


class Registrar:
    """Registers whoever has a phone and is not known yet, as verified."""

    def __init__(self, customers: Customers, principal: Principal) -> None:
        self._customers = customers
        self._principal = principal

    async def register(self, owner: Owner) -> UUID | str:
        """The new customer, or why there is none."""
        if owner.ref is None or owner.ref.phone is None:
            return "cannot be registered without a phone"
        new = CustomerIn(phone=owner.ref.phone, name=owner.name, status="verified")
        try:
            return (await self._customers.register(self._principal, new)).id
        except Conflict as conflict:
            known = conflict.members.get("customer_id")
            return UUID(str(known)) if known is not None else conflict.detail
        except ValidationFailed as problem:
            return problem.errors[0].detail


class Matcher:
    """Finds the customers of lots."""

    def __init__(
        self, database: Database, directory: CustomerDirectory, registrar: Registrar | None = None
    ) -> None:
        self._database = database
        self._directory = directory
        self._registrar = registrar
        self._unknown = Seen()

    async def match(
        self, lots: Sequence[Lot], totals: Totals, *, dry: bool
    ) -> tuple[list[Owned], list[Reject]]:
        """Lots with their customers, and those without. A dry run registers nobody: who would be
        registered is counted as `unknown` and stands with the nil id."""
        external = await self._external(lots)
        found = await asyncio.gather(*(self._find(one.owner, external) for one in lots))
        fates: dict[int, UUID | str] = {
            lot.line: fate if fate is not None else UNKNOWN.format(_kind(lot.owner))
            for lot, fate in zip(lots, found, strict=True)
        }
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

    async def _find(self, owner: Owner, external: dict[tuple[str, str], UUID]) -> UUID | str | None:
        if owner.external_id is not None:
            return external.get(owner.external_id)
        ref = owner.ref
        if ref is None:
            return None
        try:
            found = await self._directory.resolve(
                customer_id=ref.customer_id, phone=ref.phone, card=ref.card, pointer=""
            )
        except ValidationFailed as failed:
            return failed.errors[0].detail
        return None if found is None else found.id

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
        by_phone: dict[str, list[Lot]] = {}
        fates: dict[int, UUID | str] = {}
        for lot in lots:
            if lot.owner.ref is not None and lot.owner.ref.phone is not None:
                by_phone.setdefault(lot.owner.ref.phone, []).append(lot)
        if dry:
            for phone in by_phone:
                self._unknown.add(phone)
            totals.unknown = self._unknown.count
            return {lot.line: UUID(int=0) for group in by_phone.values() for lot in group}
        groups = iter(by_phone.values())

        async def work() -> None:
            for group in groups:
                fate = await registrar.register(group[0].owner)
                totals.created += isinstance(fate, UUID)
                fates.update((lot.line, fate) for lot in group)

        await asyncio.gather(*(work() for _ in range(min(AT_ONCE, len(by_phone)))))
        return fates


def _kind(owner: Owner) -> str:
    return "external id" if owner.ref is None else owner.ref.kind
