"""The ledger over HTTP: who may see what, single transactions, and what is refused."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from billing.catalog.model import Channel
from billing.finance import reports
from billing.finance.schemas import LedgerPostingPage, TransactionOut, TrialBalanceOut
from ledger.commands import Accrue, Adjust, Grant, Reverse
from ledger.sweep import post_due
from tests.billing.balances.house import DAY, START, House
from tests.billing.finance.plain import without_links

TRIAL = "/v1/ledger/trial-balance"
POSTINGS = "/v1/ledger/postings"


async def test_a_trial_balance_by_store(house: House) -> None:
    customer = await house.customer()
    for points, store in ((1000, "moscow-1"), (250, "moscow-2")):
        await house.accrue(customer, points, channel="shop", store=store)
    await house.do(customer, "adjustment", Adjust(-50, "base"), reason="Test")

    found = await house.get(TRIAL, by="channel, store", as_of=START + DAY)

    msgspec.convert(found, TrialBalanceOut)
    assert found["by"] == ["channel", "store"]
    assert (found["as_of"], found["known_at"]) == ("2027-03-02T12:00:00+03:00", None)
    assert without_links(found["totals"]) == {"debit": "13.00", "credit": "13.00"}
    behind = [one.pop("postings") for one in found["rows"]]
    client = await house.client()
    lists = [(await client.get(path)).json()["items"] for path in behind]
    assert [len(items) for items in lists] == [1] * 6
    assert found["rows"] == [
        _row("available", "shop", "moscow-1", "0.00", "10.00", "10.00"),
        _row("issued", "shop", "moscow-1", "10.00", "0.00", "-10.00"),
        _row("available", "shop", "moscow-2", "0.00", "2.50", "2.50"),
        _row("issued", "shop", "moscow-2", "2.50", "0.00", "-2.50"),
        _row("available", None, None, "0.50", "0.00", "-0.50"),
        _row("adjustment", None, None, "0.00", "0.50", "0.50"),
    ]


def _row(account: str, channel: str | None, store: str | None, *amounts: str) -> dict[str, Any]:
    named = dict(zip(("debit", "credit", "balance"), amounts, strict=True))
    return {"account": account, **named, "channel": channel, "store": store}


async def test_both_times_bound_the_trial_balance(house: House) -> None:
    customer = await house.customer()
    house.clock.now = START + 10 * DAY
    await house.accrue(customer, 500, occurred_at=START)

    async def debit(**query: Any) -> str:
        return str((await house.get(TRIAL, **query))["totals"]["debit"])

    assert await debit() == "5.00"
    assert await debit(as_of=START) == "5.00"
    assert await debit(known_at=START + 9 * DAY) == "0.00"
    assert await debit(as_of=START, known_at=START + 10 * DAY) == "5.00"
    assert await debit(as_of=START - DAY) == "0.00"


async def test_a_period_of_postings_is_half_open(house: House) -> None:
    customer = await house.customer()
    await house.accrue(customer, 100)

    assert len(await house.pages(POSTINGS, 10, from_=START)) == 1
    assert len(await house.pages(POSTINGS, 10, to=START)) == 0
    msgspec.convert(await house.get(POSTINGS), LedgerPostingPage)


async def test_a_transaction_with_what_corrects_it(house: House) -> None:
    customer = await house.customer()
    sale = await house.do(
        customer,
        "accrual",
        Accrue((Grant("promo", (("dairy", 700), (None, 300)), None, START + 9 * DAY, "gift", 2),)),
        channel="shop",
        store="moscow-1",
        source="sale/s/moscow-1/0001-000123",
        author="till 7",
    )
    undone = await house.do(
        customer, "reversal", Reverse(sale.id), author="Vera", reason="Wrong card"
    )

    found = await house.get(f"/v1/ledger/transactions/{sale.id}")
    other = await house.get(f"/v1/ledger/transactions/{undone.id}")

    msgspec.convert(found, TransactionOut)
    assert (found["source"], found["receipt"]) == ("sale/s/moscow-1/0001-000123", "0001-000123")
    assert found["after"] == {
        "available": "10.00",
        "promo": "10.00",
        "deferred": "0.00",
        "held": "0.00",
        "debt": "0.00",
    }
    assert [
        (one["seq"], one["debit"], one["credit"], one["points"], one["product_group"])
        for one in found["postings"]
    ] == [(1, "issued", "available", "7.00", "dairy"), (2, "issued", "available", "3.00", None)]
    assert found["postings"][0]["expires_at"] == "2027-03-10T12:00:00+03:00"
    assert found["corrected_by"] == [
        {
            "transaction_id": str(undone.id),
            "version": 2,
            "kind": "reversal",
            "occurred_at": "2027-03-01T12:00:00+03:00",
            "recorded_at": "2027-03-01T12:00:00+03:00",
            "author": "Vera",
            "reason": "Wrong card",
        }
    ]
    assert (other["corrects"], other["corrected_by"]) == (str(sale.id), [])
    listed = await house.pages(POSTINGS, 10)
    assert {one["transaction_id"] for one in listed} == {str(sale.id), str(undone.id)}
    lean = {name: value for name, value in listed[0].items() if name in found["postings"][0]}
    assert lean == found["postings"][0]


async def test_a_bound_key_sees_its_own_channel_only(house: House) -> None:
    customer = await house.customer()
    made = {
        channel: await house.accrue(customer, points, channel=channel)
        for channel, points in (("shop", 100), ("site", 900))
    }
    await house.services.catalog.put(Channel("shop", "Shops"))
    client = await house.client("finance", channel="shop")

    trial = (await client.get(TRIAL)).json()
    postings = (await client.get(POSTINGS)).json()

    assert without_links(trial["totals"]) == {"debit": "1.00", "credit": "1.00"}
    assert [one["channel"] for one in postings["items"]] == ["shop"]
    assert (await client.get(TRIAL, params={"channel": "site"})).status_code == 403
    path = "/v1/ledger/transactions/{}"
    assert (await client.get(path.format(made["shop"].id))).status_code == 200
    assert (await client.get(path.format(made["site"].id))).status_code == 403
    by_hand = await house.do(customer, "adjustment", Adjust(5, "base"), reason="Test")
    assert (await client.get(path.format(by_hand.id))).status_code == 403


async def test_a_bound_key_reads_what_time_did_to_points_of_its_channel(house: House) -> None:
    await house.services.catalog.put(Channel("shop", "Shops"))
    client = await house.client("finance", channel="shop")
    ours, shared = await house.customer(), await house.customer()
    grant = Grant("base", ((None, 100),), START + DAY)
    for customer, channel in ((ours, "shop"), (shared, "shop"), (shared, "site")):
        await house.do(customer, "accrual", Accrue((grant,)), channel=channel)
    house.clock.now = START + 2 * DAY
    assert await post_due(house.ledger) == 2

    listed = (await client.get(POSTINGS)).json()["items"]
    done = {one["customer_id"]: one for one in listed if one["kind"] == "activate"}
    assert {one["channel"] for one in done.values()} == {"shop"}
    path = "/v1/ledger/transactions/{}"
    answers = [
        await client.get(path.format(done[str(customer)]["transaction_id"]))
        for customer in (ours, shared)
    ]
    assert [answer.status_code for answer in answers] == [200, 403]


@pytest.mark.parametrize("path", [TRIAL, POSTINGS, f"/v1/ledger/transactions/{UUID(int=0)}"])
async def test_tills_do_not_read_the_ledger(shared_house: House, path: str) -> None:
    for role in ("pos", "site", "marketer"):
        assert (await (await shared_house.client(role)).get(path)).status_code == 403


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        (f"{TRIAL}?by=till", "/query/by"),
        (f"{TRIAL}?by=store,store", "/query/by"),
        (f"{TRIAL}?by=store,", "/query/by"),
        (f"{TRIAL}?as_of=yesterday", "/query/as_of"),
        (f"{TRIAL}?account=cash", "/query/account"),
        (f"{TRIAL}?limit=5", "/query/limit"),
        (f"{POSTINGS}?limit=501", "/query/limit"),
        (f"{POSTINGS}?limit=0", "/query/limit"),
        (f"{POSTINGS}?customer_id=anna", "/query/customer_id"),
        (f"{POSTINGS}?store=a%00b", "/query/store"),
        (f"{POSTINGS}?from=2027-03-01", "/query/from"),
        (f"{POSTINGS}?cursor=x", "/query/cursor"),
        ("/v1/ledger/transactions/7", "/path/id"),
    ],
)
async def test_questions_nobody_understands_are_named(
    shared_house: House, path: str, pointer: str
) -> None:
    answer = await (await shared_house.client()).get(path)

    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("place", [[-1, 1, 0], [2**63, 1, 0], [0, 2**63, 0], [0, 1, 2**31]])
async def test_cursors_beyond_any_posting_are_refused(
    shared_house: House, place: list[int]
) -> None:
    xid, version, seq = place
    key = msgspec.json.encode([xid, str(uuid4()), version, seq])
    cursor = base64.urlsafe_b64encode(key).decode().rstrip("=")

    answer = await (await shared_house.client()).get(POSTINGS, params={"cursor": cursor})

    assert answer.status_code == 400


async def test_a_transaction_nobody_wrote_is_not_found(shared_house: House) -> None:
    answer = await (await shared_house.client()).get(f"/v1/ledger/transactions/{uuid4()}")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_trial_balance_has_a_limit_of_rows(
    shared_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shared_house.accrue(await shared_house.customer(), 100)
    monkeypatch.setattr(reports, "MAX_ROWS", 1)

    answer = await (await shared_house.client()).get(TRIAL)

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/query")
