"""A closed month is frozen against every command there is, and against time itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args
from uuid import UUID

import asyncpg
import pytest

from billing.batches.routes import OPERATIONS as BATCHES
from billing.catalog.model import Channel, ProductGroup
from billing.common.settings import Settings
from billing.periods.routes import OPERATIONS as PERIODS
from billing.receipts.routes import OPERATIONS as RECEIPTS
from billing.redemptions.routes import OPERATIONS as REDEMPTIONS
from billing.returns.routes import OPERATIONS as RETURNS
from ledger.commands import (
    Accrue,
    Adjust,
    Capture,
    Command,
    Grant,
    PlaceHold,
    Redeem,
    Release,
    Restore,
    Reverse,
    Revoke,
    Step,
    Transfer,
)
from ledger.errors import Refusal
from ledger.flows import TransactionKind
from ledger.sweep import post_due
from tests.billing.balances.house import DAY, House, opened
from tests.billing.finance.test_totals import Life
from tests.conftest import TestDatabase
from tests.ledger.house import audited

MARCH: Final = datetime(2027, 2, 28, 21, 0, tzinfo=UTC)
APRIL: Final = MARCH + 31 * DAY
_CLOSE: Final = "/v1/ledger/periods/{}/close"


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    async with opened(settings, (*PERIODS, *RECEIPTS, *REDEMPTIONS, *RETURNS, *BATCHES)) as made:
        yield made


async def close(house: House, month: str, **body: Any) -> Any:
    answer = await (await house.client()).post(_CLOSE.format(month), json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def agrees(house: House, month: str) -> bool:
    shown = await house.get(f"/v1/ledger/periods/{month}", verify="true")
    return shown["sealed"]["agrees"] is True


async def test_every_command_is_refused_and_then_posted_late(
    house: House, database: TestDatabase
) -> None:
    """With `refuse`, and with `post`: dated into the open month, with a reference."""
    customer, other = await house.customer(), await house.customer()
    sale = await house.accrue(customer, 10_000)
    spare = await house.accrue(customer, 300)
    spent = await house.do(customer, "redemption", Redeem(1_000))
    holds = [
        (await house.do(customer, "hold", PlaceHold(100, APRIL + 90 * DAY))).id for _ in range(2)
    ]
    tried: dict[TransactionKind, Step] = {
        "accrual": Accrue((Grant("base", ((None, 5),)),)),
        "redemption": Redeem(10),
        "hold": PlaceHold(10, APRIL + 90 * DAY),
        "capture": Capture(holds[0]),
        "release": Release(holds[1]),
        "revocation": Revoke(sale.id),
        "restoration": Restore(spent.id),
        "adjustment": Adjust(-5, "base"),
        "transfer_out": Transfer(other, 10),
        "reversal": Reverse(spare.id),
    }
    by_themselves = {"activation", "expiry", "hold_expiry", "transfer_in"}
    at_tills = {"receipt", "return"}
    assert tried.keys() | by_themselves | at_tills == set(get_args(TransactionKind))
    house.clock.now = APRIL + DAY
    await close(house, "2027-03")

    for kind, step in tried.items():
        with pytest.raises(Refusal) as refused:
            await house.do(customer, kind, step, occurred_at=APRIL - DAY, key=f"refused {kind}")
        assert refused.value.code == "period_closed", kind
    owner = house.services.settings.owner_database_url
    await _late(owner, "post")
    for kind, step in tried.items():
        made = await house.do(customer, kind, step, occurred_at=APRIL - DAY, key=f"late {kind}")
        assert made.occurred_at == house.clock.now, kind
        assert made.reason == "late: happened at 2027-03-30T21:00:00+00:00, in a closed period"

    assert await agrees(house, "2027-03")
    assert (await audited(database)).clean


async def _late(owner_url: str, late: str) -> None:
    owner = await asyncpg.connect(owner_url)
    await owner.execute("UPDATE ledger.closing SET late = $1", late)
    await owner.close()


async def test_every_door_of_a_till_is_shut(house: House) -> None:
    """Over HTTP, a batch included: 409 `period_closed`, kept under the key."""
    await house.services.catalog.put(Channel("shop", "Shops"))
    await house.services.catalog.put(ProductGroup("all", "All"))
    customer = {"customer_id": str(await house.customer())}
    await house.accrue(UUID(customer["customer_id"]), 10_000)
    client = await house.client("admin")

    def receipt(number: str, at: datetime) -> dict[str, Any]:
        line = {"line": 1, "sku": "x", "group": "all", "quantity": "1", "price": "100.00"}
        return {
            "number": number, "occurred_at": at.isoformat(),
            "lines": [line | {"amount": "100.00"}],
        }  # fmt: skip

    async def send(path: str, key: str, body: dict[str, Any]) -> Any:
        return await client.post(f"/v1/{path}", json=body, headers={"idempotency-key": key})

    sold = await send(
        "receipts", "sold",
        {"customer": customer, "channel": "shop", "receipt": receipt("1", house.clock())},
    )  # fmt: skip
    assert sold.status_code == 201, sold.text
    house.clock.now = APRIL + DAY
    await close(house, "2027-03")
    late = APRIL - DAY
    place = {"customer": customer, "channel": "shop"}
    doors: dict[str, dict[str, Any]] = {
        "receipts": place | {"receipt": receipt("2", late)},
        "accruals": place | {"receipt": receipt("3", late)},
        "redemptions": place | {"receipt": receipt("4", late), "points": "1.00", "mode": "capture"},
        "returns": {
            "channel": "shop", "number": "r1", "occurred_at": late.isoformat(),
            "receipt_number": "1", "lines": [{"line": 1, "quantity": "1"}],
        },
    }  # fmt: skip
    for path, body in doors.items():
        for hit in (None, "true"):
            answer = await send(path, path, body)
            assert (answer.status_code, answer.json().get("code")) == (409, "period_closed"), path
            assert answer.headers.get("idempotency-hit") == hit
    held = await send(
        "redemptions", "held",
        place | {"receipt": receipt("5", late), "points": "1.00", "mode": "hold"},
    )  # fmt: skip
    assert (held.status_code, held.json()["code"]) == (409, "period_closed")
    operations = [
        {"kind": kind, "idempotency_key": f"batch-{path}", "body": doors[path]}
        for kind, path in (("receipt", "receipts"), ("accrual", "accruals"), ("return", "returns"))
    ]
    batch = await client.post("/v1/batches", json={"operations": operations})
    assert batch.status_code == 200, batch.text
    results = batch.json()["results"]
    assert [one["body"]["code"] for one in results] == ["period_closed"] * 3
    assert await agrees(house, "2027-03")


class Late(Life):
    """Dealings of which many happened weeks before they are recorded."""

    def __init__(self, house: House, seed: int) -> None:
        super().__init__(house, seed)
        self.refused: list[str] = []

    async def _deal(self, customer: UUID) -> None:
        if self.random.random() < 0.35:
            back = timedelta(days=self.random.randint(1, 60))
            command = Command(
                customer_id=customer,
                kind="accrual",
                occurred_at=max(self.house.clock() - back, MARCH),
                steps=(Accrue((self._grant(self.house.clock()),)),),
                key=str(self.random.random()),
            )
            try:
                await self.house.ledger.execute(command)
            except Refusal as refusal:
                self.refused.append(refusal.code)
            return
        with suppress(Refusal):
            await super()._deal(customer)


@pytest.mark.parametrize(("seed", "late"), [(21, "refuse"), (22, "post")])
async def test_whatever_comes_later_no_closed_month_moves(
    house: House, database: TestDatabase, seed: int, late: str
) -> None:
    life = Late(house, seed)
    await life.live(60)
    closed: list[tuple[str, datetime]] = []
    for month, ends in (("2027-03", APRIL), ("2027-04", APRIL + 30 * DAY)):
        house.clock.now = max(house.clock.now, ends + DAY)
        await close(house, month, late=late)
        closed.append((month, house.clock.now))
        await life.live(40)
        while await post_due(house.ledger):
            pass

    assert set(life.refused) == ({"period_closed"} if late == "refuse" else set())
    for month, _ in closed:
        assert await agrees(house, month)
    behind = await house.ledger.pool.fetchval(
        """SELECT count(*) FROM ledger.postings p
           JOIN unnest($1::timestamptz[], $2::timestamptz[]) AS c (ends, at)
             ON p.occurred_at < c.ends AND p.recorded_at > c.at""",
        [APRIL, APRIL + 30 * DAY],
        [at for _, at in closed],
    )
    assert behind == 0
    referenced = await house.ledger.pool.fetchval(
        "SELECT count(*) FROM ledger.transactions WHERE reason LIKE 'late: happened at %'"
    )
    assert (referenced > 0) == (late == "post")
    assert (await audited(database)).clean
