"""The schema `bi`: what a BI tool reads with a role of its own, and what it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from billing.common.settings import Settings
from ledger.rollups import roll_up
from tests.billing.balances.house import House, opened
from tests.conftest import url_as

VIEWS = {
    "fact_ledger_entry", "fact_ledger_day", "fact_lot", "balance", "fact_receipt",
    "fact_receipt_line", "fact_return", "dim_customer", "dim_channel", "dim_store",
    "dim_product_group", "dim_product", "dim_program_version", "period",
}  # fmt: skip


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    async with opened(settings) as made:
        yield made


@pytest.fixture
async def bi(house: House, postgres_url: str) -> AsyncIterator[Any]:
    """A connection as a BI tool's."""
    name = house.services.settings.database_url
    database = name.split("?")[0].rsplit("/", 1)[1]
    connection = await asyncpg.connect(
        url_as(postgres_url, database), server_settings={"role": "bonus_bi"}
    )
    yield connection
    await connection.close()


async def test_bi_reads_its_views_with_amounts_as_integers_beside_decimals(
    house: House, bi: Any
) -> None:
    customer = await house.customer()
    await house.accrue(customer, 1050, program="base-5", channel="shop", store="moscow-1")
    while await roll_up(house.ledger, house.services.zone):
        pass

    row = await bi.fetchrow("SELECT * FROM bi.fact_ledger_entry")
    assert (row["amount_minor"], str(row["amount"]), row["program"]) == (1050, "10.50", "base-5")
    day = await bi.fetchrow("SELECT * FROM bi.fact_ledger_day")
    assert (day["amount_minor"], day["postings"]) == (1050, 1)
    lot = await bi.fetchrow("SELECT * FROM bi.fact_lot")
    assert (lot["amount_minor"], lot["channel"], lot["store"]) == (1050, "shop", "moscow-1")
    found = await bi.fetch(
        "SELECT table_name FROM information_schema.views WHERE table_schema = 'bi'"
    )
    assert {one[0] for one in found} == VIEWS
    for name in VIEWS:
        await bi.fetch(f"SELECT * FROM bi.{name} LIMIT 1")


async def test_bi_sees_no_personal_data_and_changes_nothing(house: House, bi: Any) -> None:
    await house.customer()
    columns = await bi.fetch(
        """SELECT column_name FROM information_schema.columns
           WHERE table_schema = 'bi' AND table_name = 'dim_customer'"""
    )
    assert {one[0] for one in columns}.isdisjoint(
        {"phone", "phone_hash", "phone_masked", "name", "email", "birth_date", "person_encrypted"}
    )
    for statement in (
        "SELECT * FROM billing.customers",
        "SELECT * FROM ledger.postings",
        "DELETE FROM bi.dim_channel",
        "CREATE TABLE bi.mine ()",
    ):
        with pytest.raises(asyncpg.PostgresError):
            await bi.execute(statement)
