"""Large groups are copied: they write what small ones write (DESIGN 4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from ledger import commands as c
from ledger.append import COPY_FROM
from ledger.group import Result
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, lot

MANY = 2 * COPY_FROM
BERLIN = ZoneInfo("Europe/Berlin")
_OWN = {"id", "operation_id", "customer_id", "transaction_id", "lot_id", "key", "source", "xid"}
TABLES = ("transactions", "postings", "sources", "idempotency_keys", "balances", "lots")


def commands(customers: Sequence[Customer]) -> list[c.Command]:
    """One for each, of all that a row can be: with nulls, in other scripts, of every size."""
    made: list[c.Command] = []
    for at, customer in enumerate(customers):
        grants = [lot(1 + at * 10**9, expires=1000 + at), lot(7, "promo", active=50)]
        if at % 3 == 0:
            # The hour that comes twice: equal clock faces, two instants.
            twice = [datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=fold) for fold in (0, 1)]
            shares = ((f"Молоко {at}", 5), (None, 6))
            grants += [c.Grant("base", shares, None, end, "п-5", 3) for end in twice]
        made.append(
            customer.command(
                "accrual",
                c.Accrue(tuple(grants)),
                key=f"key {customer.id}",
                fingerprint=bytes([at]),
                source=f"sale/s/m1/{customer.id}",
                channel="shop" if at % 2 else None,
                author="тест",
                complete=lambda _: c.Completion(c.Answer(201, b'{"\x00": 1}')),
            )
        )
    return made


async def rows(database: TestDatabase, table: str, customers: Sequence[Customer]) -> list[Any]:
    """All rows of `customers` without the ids, which nobody can foresee."""
    connection = await asyncpg.connect(database.owner_url)
    place = {customer.id: at for at, customer in enumerate(customers)}
    found = await connection.fetch(
        f"SELECT * FROM ledger.{table} WHERE customer_id = ANY($1)",
        list(place),
    )
    await connection.close()
    return sorted(
        (place[row["customer_id"]], str([v for k, v in row.items() if k not in _OWN]))
        for row in found
    )


async def test_large_groups_write_what_small_ones_write(
    ledger: Ledger, database: TestDatabase, clock: Clock
) -> None:
    large, small = ([Customer(ledger, clock) for _ in range(MANY)] for _ in range(2))
    fates = await ledger.execute_many(commands(large))
    for command in commands(small):
        await ledger.execute(command)
    assert all(isinstance(fate, Result) and fate.succeeded for fate in fates)
    assert ledger.bulk_lane.groups == 1
    for table in TABLES:
        written = await rows(database, table, large)
        assert written == await rows(database, table, small)
        assert len(written) >= MANY


async def test_what_cannot_be_stored_fails_alone_in_a_large_group(
    ledger: Ledger, clock: Clock
) -> None:
    customers = [Customer(ledger, clock) for _ in range(MANY)]
    poison = {3: "NUL \0", 70: "half a pair \ud800"}
    fates = await ledger.execute_many(
        [
            customer.command("accrual", c.Accrue((lot(5),)), reason=poison.get(at))
            for at, customer in enumerate(customers)
        ]
    )
    assert {at for at, fate in enumerate(fates) if isinstance(fate, Exception)} == set(poison)
    assert [await customers[at].available() for at in (2, 3, 4, 70)] == [5, 0, 5, 0]


async def test_a_rider_is_copied_with_its_group(
    ledger: Ledger, database: TestDatabase, clock: Clock
) -> None:
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute(
        "CREATE TABLE billing.riders (id uuid, note jsonb, size smallint);"
        "GRANT INSERT ON billing.riders TO bonus_app"
    )
    rider = c.Statement(
        "riders", "SELECT no_such_function($1)", 3, "billing.riders",
        ("id uuid", "note jsonb", "size smallint"),
    )  # fmt: skip

    def complete(customer: UUID) -> Any:
        return lambda _: c.Completion(rows=((rider, (customer, '{"я": null}', -1)),))

    customers = [Customer(ledger, clock) for _ in range(MANY)]
    await ledger.execute_many(
        [
            customer.command("accrual", c.Accrue((lot(5),)), complete=complete(customer.id))
            for customer in customers
        ]
    )
    assert ledger.bulk_lane.groups == 1
    found = await owner.fetch("SELECT id FROM billing.riders WHERE note ? 'я' AND size = -1")
    await owner.close()
    assert {row["id"] for row in found} == {customer.id for customer in customers}
