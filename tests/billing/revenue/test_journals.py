"""Journals of months over HTTP: from real receipts to entries, with history, once (T38, T56)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest

from billing.catalog.model import Channel, ProductGroup
from billing.common.settings import Settings
from billing.periods.routes import OPERATIONS as PERIODS
from billing.programs.routes import OPERATIONS as PROGRAMS
from billing.receipts.routes import OPERATIONS as RECEIPTS
from billing.redemptions.routes import OPERATIONS as REDEMPTIONS
from billing.returns.routes import OPERATIONS as RETURNS
from billing.revenue.routes import OPERATIONS as REVENUE
from billing.revenue.schemas import JournalOut, PolicyList
from ledger.commands import Redeem, Transfer
from tests.billing.balances.house import DAY, House, opened

MORE: Final = (*PERIODS, *REVENUE, *PROGRAMS, *RECEIPTS, *REDEMPTIONS, *RETURNS)
JANUARY: Final = datetime(2026, 12, 31, 21, 0, tzinfo=UTC)
_PATH: Final = "/v1/ledger/revenue"


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    async with opened(settings, MORE) as made:
        made.clock.now = JANUARY + DAY
        await made.services.catalog.put(Channel("shop", "Shops"))
        await made.services.catalog.put(ProductGroup("all", "All"))
        await made.services.catalog.put(ProductGroup("none", "Earns nothing"))
        yield made


async def send(house: House, path: str, body: Any = None, key: str = "", who: Any = "admin") -> Any:
    client = await house.client(who)
    headers = {"idempotency-key": key} if key else {}
    answer = await client.post(path, json=body, headers=headers)
    assert answer.status_code < 300, answer.text
    return answer.json()


async def program(house: House, code: str, percent: str) -> None:
    await send(
        house,
        "/v1/programs",
        {
            "code": code, "name": code, "type": "accrual", "lines": {"groups": ["all"]},
            "valid_from": "2026-01-01T00:00:00+03:00",
            "reward": {"kind": "percent", "value": percent},
        },
    )  # fmt: skip
    await send(house, f"/v1/programs/{code}/publish", {"from": "2026-12-01T00:00:00+03:00"})


async def sale(
    house: House, customer: UUID, number: str, amount: str, group: str = "all", **more: Any
) -> Any:
    return await send(
        house,
        "/v1/receipts",
        {
            "customer": {"customer_id": str(customer)}, "channel": "shop",
            "receipt": {
                "number": number, "occurred_at": house.clock().isoformat(),
                "lines": [
                    {"line": 1, "sku": "x", "group": group, "quantity": "1", "price": amount,
                     "amount": amount}
                ],
            },
            **more,
        },
        number,
    )  # fmt: skip


async def policy(house: House, since: str, expected: str, **more: Any) -> Any:
    return await send(
        house,
        f"{_PATH}/policies",
        {
            "effective_from": since, "expected_redemption": expected, "step": "1.00",
            "allocation_step": "1.00", "reason": "Estimate", **more,
        },
        who="finance",
    )  # fmt: skip


async def close(house: House, month: str) -> None:
    await send(house, f"/v1/ledger/periods/{month}/close", {}, who="finance")


def line(journal: Any, at: int = 0) -> tuple[str, ...]:
    found = journal["lines"][at]
    return tuple(
        found[name]
        for name in ("opening", "deferred", "returned", "revenue", "breakage", "closing")
    )


async def test_t56_and_d1_from_receipts_to_the_journal(house: House) -> None:
    """Sales of 100,000 give 10,000 points; 4,500 are used, then 4,000 more, expected 97 %."""
    await program(house, "base", "10")
    await policy(house, "2027-01", "0.95")
    await policy(house, "2027-02", "0.97")
    customer = await house.customer()
    await sale(house, customer, "1", "100000.00")
    await house.do(customer, "redemption", Redeem(450_000))
    house.clock.now = JANUARY + 40 * DAY
    await house.do(customer, "redemption", Redeem(400_000))
    house.clock.now = JANUARY + 70 * DAY
    await close(house, "2027-01")
    await close(house, "2027-02")

    first = await send(house, f"{_PATH}/2027-01", who="finance")
    second = await send(house, f"{_PATH}/2027-02", who="finance")

    msgspec.convert(first, JournalOut)
    assert (first["frozen"], first["document"]) == (True, "deferred-revenue/2027-01/1")
    opening, deferred, _, revenue, breakage, closing = line(first)
    assert (opening, deferred, closing) == ("0.00", "8676.00", "4566.00")
    assert float(revenue) + float(breakage) == 4_110
    opening, deferred, _, revenue, breakage, closing = line(second)
    assert (opening, deferred, closing) == ("4566.00", "0.00", "1073.00")
    assert float(revenue) + float(breakage) == 3_493
    assert first["entries"][0] == {
        "id": "deferred-revenue/2027-01/1/1", "program": "base", "what": "deferred",
        "debit": "sales", "credit": "deferred_revenue", "amount": "8676.00",
    }  # fmt: skip


async def test_a_frozen_journal_stays_and_a_reopened_month_has_another(house: House) -> None:
    await program(house, "base", "10")
    await policy(house, "2027-01", "1")
    customer = await house.customer()
    await sale(house, customer, "1", "1000.00")
    house.clock.now = JANUARY + 32 * DAY
    draft = await house.get(f"{_PATH}/2027-01")
    early = await (await house.client()).post(f"{_PATH}/2027-01")
    await close(house, "2027-01")
    frozen = await send(house, f"{_PATH}/2027-01")
    again = await send(house, f"{_PATH}/2027-01")
    late = await (await house.client()).post(
        f"{_PATH}/policies", json={"effective_from": "2027-01", "reason": "Too late"}
    )

    assert (early.status_code, early.json()["code"]) == (409, "period_not_closed")
    assert (late.status_code, late.json()["code"]) == (409, "period_closed")
    assert (draft["frozen"], frozen["frozen"]) == (False, True)
    assert {**draft, "frozen": True} == frozen == again
    assert await house.get(f"{_PATH}/2027-01") == frozen

    await send(house, "/v1/ledger/periods/2027-01/reopen", {"reason": "x"}, who="finance")
    await send(house, "/v1/ledger/periods/2027-01/reopen/approve")
    await house.do(customer, "redemption", Redeem(5_000), occurred_at=JANUARY + 2 * DAY)
    await close(house, "2027-01")
    second = await send(house, f"{_PATH}/2027-01")
    assert (second["document"], second["replaces"]) == (
        "deferred-revenue/2027-01/2",
        "deferred-revenue/2027-01/1",
    )
    assert line(second)[1:4:2] == ("91.00", "46.00")


async def test_gifts_and_points_by_hand_are_no_part_of_a_sale(house: House) -> None:
    await program(house, "base", "10")
    await program(house, "gift", "5")
    await policy(house, "2027-01", "1", step="0.01", allocation_step="0.01")
    await policy(house, "2027-01", "1", program="gift", deferred=False)
    customer = await house.customer()
    await sale(house, customer, "1", "1000.00")
    await sale(house, customer, "2", "500.00", group="none")
    await house.accrue(customer, 70_000)

    found = await house.get(f"{_PATH}/2027-01")

    assert [one["program"] for one in found["lines"]] == ["base"]
    assert line(found)[1] == "90.91", "of the 1,000 that earned points, not of the 500"


async def test_returns_and_transfers_keep_to_their_cohort(house: House) -> None:
    await program(house, "base", "10")
    await policy(house, "2027-01", "1", step="0.01", allocation_step="0.01")
    giver, taker = await house.customer(), await house.customer()
    await sale(house, giver, "1", "1000.00")
    await sale(house, giver, "2", "1000.00")
    await send(
        house,
        "/v1/returns",
        {
            "channel": "shop", "number": "r1", "occurred_at": house.clock().isoformat(),
            "receipt_number": "2", "lines": [{"line": 1, "quantity": "1"}],
        },
        "r1",
    )  # fmt: skip
    house.clock.now = JANUARY + 40 * DAY
    await house.do(giver, "transfer_out", Transfer(taker, 10_000))
    house.clock.now += timedelta(hours=1)
    await house.do(taker, "redemption", Redeem(4_000))

    january = await house.get(f"{_PATH}/2027-01")
    february = await house.get(f"{_PATH}/2027-02")

    assert line(january) == ("0.00", "181.82", "90.91", "0.00", "0.00", "90.91")
    assert line(february) == ("90.91", "0.00", "0.00", "36.36", "0.00", "54.55")
    (cohort,) = february["cohorts"]
    assert (cohort["month"], cohort["issued"], cohort["redeemed"]) == ("2027-01", "200.00", "40.00")


async def test_the_journal_as_a_file(house: House) -> None:
    await program(house, "base", "10")
    await policy(house, "2027-01", "1", accounts={"deferred": "98.1", "sales": "90.1"})
    await sale(house, await house.customer(), "1", "1000.00")
    client = await house.client()

    answer = await client.get(f"{_PATH}/2027-01", params={"format": "csv"})

    lines = answer.text.splitlines()
    assert lines[-2:] == [
        "document,id,period,program,what,debit,credit,amount",
        "deferred-revenue/2027-01/1,deferred-revenue/2027-01/1/1,2027-01,base,deferred,90.1,98.1,"
        "91.00",
    ]
    assert "# frozen: no" in lines


async def test_policies_keep_their_history(house: House) -> None:
    await policy(house, "2027-01", "0.9")
    await policy(house, "2027-01", "0.8")
    await policy(house, "2027-03", "0.7", program="base")

    found = await house.get(f"{_PATH}/policies")

    msgspec.convert(found, PolicyList)
    assert [(one["program"], one["expected_redemption"]) for one in found["items"]] == [
        (None, "0.9"),
        (None, "0.8"),
        ("base", "0.7"),
    ]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"expected_redemption": "1.01"}, "/expected_redemption"),
        ({"expected_redemption": 0.9}, "/expected_redemption"),
        ({"point_price": "-1"}, "/point_price"),
        ({"step": "0.00"}, "/step"),
        ({"effective_from": "2027-13"}, "/effective_from"),
        ({"breakage": "some"}, "/breakage"),
    ],
)
async def test_policies_that_make_no_sense_are_refused(
    house: House, body: dict[str, Any], pointer: str
) -> None:
    given = {"effective_from": "2027-01", "reason": "x", **body}
    answer = await (await house.client()).post(f"{_PATH}/policies", json=given)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer)


async def test_a_bound_key_does_not_see_the_revenue_of_the_chain(house: House) -> None:
    client = await house.client("finance", "shop")
    for path in (f"{_PATH}/2027-01",):
        assert (await client.get(path)).status_code == 403
