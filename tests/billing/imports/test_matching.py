"""Whose lots they are: known ones by every name, new ones once, in a dry run nobody new."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from uuid import UUID

import pytest

from billing.app.services import Services, build_services
from billing.common.auth import NOBODY
from billing.common.settings import Settings
from billing.common.wire import Code
from billing.customers.schemas import CustomerIn
from billing.imports.csvfile import Reader, check_columns
from billing.imports.matching import Matcher, Registrar
from billing.imports.model import Lot, Totals

ADMIN = type(NOBODY)(key_id=UUID(int=1), name="the test", role="admin")
HEADER = check_columns(["customer_id", "phone", "card", "external_id", "points", "name"])


@pytest.fixture
async def services(shared_settings: Settings) -> AsyncIterator[Services]:
    made = build_services(shared_settings)
    async with made.running():
        yield made


def matcher(services: Services) -> Matcher:
    registrar = Registrar(services.customers, ADMIN)
    return Matcher(services.database, services.directory, registrar)


def lots(services: Services, name: str, *lines: tuple[str, str]) -> list[Lot]:
    """Of (column, value) each, 1.00 points."""
    reader = Reader(name, HEADER, services.settings.timezone, services.ledger.clock())
    read = []
    for line, (column, value) in enumerate(lines, 2):
        cells = dict.fromkeys(HEADER, "") | {column: value, "points": "1", "name": "Anna"}
        lot = reader.read(line, list(cells.values()))
        assert isinstance(lot, Lot), lot
        read.append(lot)
    return read


async def test_a_person_of_many_names_and_lines_is_one_customer(
    services: Services, phone: Callable[[], str], unique: Callable[[str], str]
) -> None:
    known, new, card, id_ = phone(), phone(), unique("card"), unique("id")
    there = await services.customers.register(
        ADMIN, CustomerIn(phone=known, cards=[Code(card)], external_ids={Code("1c"): Code(id_)})
    )
    lines = [
        ("phone", known), ("card", card), ("card", card), ("external_id", f"1c:{id_}"),
        ("customer_id", str(there.id)), ("phone", f"8 {known[2:5]} {known[5:]}"),
        ("phone", new), ("phone", f"8 ({new[2:5]}) {new[5:]}"), ("phone", new),
        ("card", unique("nobody")), ("phone", "12"), ("external_id", "1c:nobody"),
    ]  # fmt: skip
    read = lots(services, unique("names"), *lines)
    dry = Totals()
    owned, rejects = await matcher(services).match(read, dry, dry=True)
    assert (len(owned), dry.known, dry.unknown, dry.created) == (9, 1, 1, 0)
    assert [one.customer_id for one in owned[:6]] == [there.id] * 6
    assert {one.customer_id for one in owned[6:]} == {UUID(int=0)}  # Nobody is registered yet.

    wet = Totals()
    posted, again = await matcher(services).match(read, wet, dry=False)
    assert again == rejects
    assert [one.reason for one in rejects] == [
        "no customer has this card",
        "has too few or too many digits for a phone number of its country",
        "no customer has this external id",
    ]
    (made,) = {one.customer_id for one in posted[6:]}
    assert wet.created == 1
    profile = await services.customers.get(made)
    assert (profile.phone, profile.person.name, profile.status) == (new, "Anna", "verified")
    later = Totals()
    found, _ = await matcher(services).match(read, later, dry=False)
    assert (found, later.created) == (posted, 0)
