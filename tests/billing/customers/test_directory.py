"""Finding customers at the till."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from uuid import UUID

import httpx
import pytest

from billing.common.db import Database
from billing.common.errors import Conflict, NotFound, ValidationFailed
from billing.common.settings import Settings
from billing.common.wire import Code
from billing.customers.directory import CustomerDirectory
from billing.customers.member import member_of
from billing.customers.model import Customer, Status
from billing.customers.schemas import CustomerRef
from billing.customers.vault import Vault
from billing.programs.model import Member
from ledger.ids import uuid7

PATH = "/v1/customers"


@pytest.fixture
async def directory(shared_settings: Settings) -> AsyncIterator[CustomerDirectory]:
    database = Database(shared_settings.database_url, size=2)
    yield CustomerDirectory(database, Vault(shared_settings.secret_key), "RU")
    await database.close()


async def test_a_customer_is_found_by_each_name_and_always_fresh(
    directory: CustomerDirectory,
    admin: httpx.AsyncClient,
    phone: Callable[[], str],
    unique: Callable[[str], str],
) -> None:
    number, card = phone(), unique("card")
    made = (await admin.post(PATH, json={"phone": number, "cards": [card], "tags": ["a"]})).json()
    by_phone, by_spaced, by_card = await asyncio.gather(
        directory.resolve(phone=number),
        directory.resolve(phone=f"8 {number[2:5]} {number[5:]}"),
        directory.resolve(card=card),
    )
    assert by_phone is not None
    assert by_phone == by_spaced == by_card == await directory.resolve(customer_id=by_phone.id)
    assert (str(by_phone.id), by_phone.status, by_phone.tags) == (made["id"], "unverified", ["a"])
    await admin.patch(f"{PATH}/{made['id']}", json={"status": "verified"})
    fresh = await directory.require(CustomerRef(phone=number))
    assert fresh.status == "verified"


async def test_what_programs_know_of_a_customer(
    directory: CustomerDirectory, admin: httpx.AsyncClient, phone: Callable[[], str]
) -> None:
    """Also when the birth date was entered: a birthday is not for those who enter it late."""
    body = {"phone": phone(), "birth_date": "1990-02-28", "tags": ["vip"], "status": "verified"}
    made = (await admin.post(PATH, json=body)).json()
    path = f"{PATH}/{made['id']}"

    async def known() -> Member:
        return member_of(await directory.require(CustomerRef(customer_id=UUID(made["id"]))))

    first = await known()
    assert (first.tags, first.birth_date) == (frozenset(["vip"]), date(1990, 2, 28))
    assert first.registered_at == first.verified_at == first.birth_date_since is not None
    await admin.patch(path, json={"name": "Anna", "birth_date": "1990-02-28"})
    assert await known() == first
    await admin.patch(path, json={"birth_date": "1990-02-27"})
    later = await known()
    assert later.birth_date == date(1990, 2, 27)
    assert later.birth_date_since is not None
    assert later.birth_date_since > first.birth_date_since
    await admin.patch(path, json={"birth_date": None})
    gone = await known()
    assert (gone.birth_date, gone.birth_date_since) == (None, None)


async def test_nobody(directory: CustomerDirectory, phone: Callable[[], str]) -> None:
    assert await directory.resolve(customer_id=uuid7()) is None
    for ref, kind in (
        (CustomerRef(customer_id=uuid7()), "id"),
        (CustomerRef(phone=phone()), "phone"),
    ):
        with pytest.raises(NotFound, match=f"No customer has this {kind}"):
            await directory.require(ref)
    with pytest.raises(ValidationFailed) as refused:
        await directory.resolve(phone="12", pointer="/customer")
    assert refused.value.errors[0].pointer == "/customer/phone"
    with pytest.raises(ValidationFailed):
        await directory.resolve()


@pytest.mark.parametrize(
    ("status", "code"), [("unverified", "customer_not_verified"), ("blocked", "customer_blocked")]
)
def test_only_verified_customers_collect_and_spend(status: Status, code: str) -> None:
    """B20."""
    customer = Customer(uuid7(), status, "+7******4567", [], datetime.now(UTC))
    with pytest.raises(Conflict) as refused:
        customer.must_be_active()
    assert refused.value.code == code
    Customer(uuid7(), "verified", "", [], datetime.now(UTC)).must_be_active()


async def test_foreseen_customers_are_those_of_the_moment_of_entering(
    directory: CustomerDirectory,
    admin: httpx.AsyncClient,
    phone: Callable[[], str],
    unique: Callable[[str], str],
) -> None:
    number, card = phone(), unique("card")
    made = (await admin.post(PATH, json={"phone": number, "cards": [card]})).json()
    by_phone, by_card = CustomerRef(phone=number), CustomerRef(card=Code(card))
    stranger, wrong = CustomerRef(customer_id=uuid7()), CustomerRef(phone="12")
    async with directory.foreseeing([by_phone, stranger, wrong]):
        await admin.patch(f"{PATH}/{made['id']}", json={"status": "verified"})
        # Also for the tasks that work on it; whom nobody foresaw is looked up now.
        foreseen, fresh = await asyncio.gather(
            directory.require(by_phone), directory.require(by_card)
        )
        assert (foreseen.status, fresh.status) == ("unverified", "verified")
        with pytest.raises(NotFound, match="this id"):
            await directory.require(stranger)
        with pytest.raises(ValidationFailed) as fault:
            await directory.require(wrong)
        assert fault.value.errors[0].pointer == "/customer/phone"
    assert (await directory.require(by_phone)).status == "verified"
