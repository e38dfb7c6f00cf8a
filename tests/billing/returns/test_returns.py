"""Returns at the counter: who may return what, what is refused, and what is told."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import msgspec
import pytest

from billing.common.auth import Role
from billing.returns.schemas import ReturnOut, StoredReturn
from tests.billing.returns.counter import DAY, Counter, done, pointers, problem
from tests.conftest import TestDatabase


async def test_a_return_is_told_to_the_till_and_read_back(counter: Counter) -> None:
    await counter.program("p", "10")
    await counter.give("+30.00")
    sale = await counter.sell(counter.line(1, "100.00", "2"), "50.00", points="30.00")
    client = await counter.client("pos", store=counter.store)
    body = counter.back(sale["receipt_number"], {1: "1"})
    headers = {"idempotency-key": f"told-{counter.number}", "accept-language": "ru"}
    back = done(await client.post("/v1/returns?columns=42", json=body, headers=headers))
    msgspec.convert(back, ReturnOut)
    assert back["customer_id"] == counter.customer_id
    assert back["lines"] == [
        {
            "line": 1,
            "quantity": "1",
            "points_restored": "10.00",
            "accruals_revoked": [{"program": f"p-{counter.number}", "points": "4.00"}],
        }
    ]
    assert back["carried"] == []
    assert back["balance"] == await counter.balance()
    assert back["slip"]["text"][1:3] == [
        "Аннулировано бонусов                  4.00",
        "Возвращено бонусов                   10.00",
    ]
    assert all(len(row) == 42 for row in back["slip"]["text"])
    read = done(await client.get(f"/v1/returns/{counter.store}/{back['number']}"))
    msgspec.convert(read, StoredReturn)
    for name in ("id", "number", "receipt_number", "customer_id", "lines", "carried"):
        assert read[name] == back[name]
    for name in ("revoked", "restored", "reissued", "debt", "forgiven", "expired"):
        assert read[name] == back[name]
    assert (read["receipt_store"], read["receipt_id"]) == (counter.store, sale["id"])
    assert [posting["kind"] for posting in read["postings"]] == ["restore", "revoke"]
    statement = await counter.get(f"/v1/customers/{counter.customer_id}/statement")
    assert (statement["items"][0]["kind"], statement["items"][0]["points"]) == ("return", "6.00")


async def test_the_same_key_and_the_same_number(counter: Counter) -> None:
    """T46 of returns: a retry hears the first answer; another key for a posted number, a no."""
    await counter.program("p", "10")
    sale = await counter.sell(counter.line(1, "100.00", "4"))
    body = counter.back(sale["receipt_number"], {1: "1"})
    key = f"once-{counter.number}"
    first = await counter.post("/v1/returns", body, key=key)
    again = await counter.post("/v1/returns", body, key=key)
    assert (first.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-hit"] == "true"
    problem(
        await counter.post("/v1/returns", body | {"lines": None}, key=key),
        422,
        "idempotency_key_reused",
    )
    other = problem(await counter.post("/v1/returns", body), 409, "return_exists")
    assert other["transaction_id"] == first.json()["id"]
    assert await counter.available() == "7.50"


async def test_tills_side_by_side_return_no_more_than_was_sold(counter: Counter) -> None:
    await counter.program("p", "10")
    await counter.give("+10.00")
    sale = await counter.sell(counter.line(1, "100.00", "5"), points="10.00")
    bodies = [counter.back(sale["receipt_number"], {1: "2"}) for _ in range(6)]
    answers = await asyncio.gather(*(counter.post("/v1/returns", body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409, 409]
    for answer in answers:
        if answer.status_code == 409:
            left = problem(answer, 409, "return_exceeds_sale")["left"]
            assert left == [{"line": 1, "quantity": "1"}]
    whole = [counter.back(sale["receipt_number"]) for _ in range(3)]
    answers = await asyncio.gather(*(counter.post("/v1/returns", body) for body in whole))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert await counter.available() == "10.00"


async def test_weighed_goods_and_goods_that_cost_nothing(counter: Counter) -> None:
    await counter.program("p", "10")
    sale = await counter.sell(
        counter.line(1, "123.45", "0.357"),
        counter.line(2, "0.00", "3"),
        counter.line(3, "0.00", "0"),
    )
    assert sale["balance"]["available"] == "12.34"
    back = await counter.take_back(sale, {1: "0.119", 2: "1"})
    assert (back["revoked"], [one["quantity"] for one in back["lines"]]) == ("4.11", ["0.119", "1"])
    exceeded = problem(await counter.refused(sale, {3: "1"}), 409, "return_exceeds_sale")
    assert exceeded["left"][0] == {"line": 1, "quantity": "0.238"}
    rest = await counter.take_back(sale)
    assert [(one["line"], one["quantity"]) for one in rest["lines"]] == [(1, "0.238"), (2, "2")]
    assert await counter.available() == "0.00"


async def test_a_sale_of_nothing_comes_back_once(counter: Counter) -> None:
    sale = await counter.sell(counter.line(1, "0.00", "0"))
    assert (await counter.take_back(sale))["revoked"] == "0.00"
    problem(await counter.refused(sale), 409, "return_exceeds_sale")


@pytest.mark.parametrize("mode", ["capture", "hold"])
async def test_what_a_redemption_before_the_sale_paid_goes_back_to_it(
    counter: Counter, mode: str
) -> None:
    await counter.program("p", "10")
    for n in (10, 20, 30):
        await counter.give("+10.00", expires_at=(counter.clock.now + n * DAY).isoformat())
    before = await counter.lots()
    # Another receipt that spends of the same lots must not be confused with it.
    await counter.sell("4.00", points="4.00")
    sale = counter.sale(counter.line(1, "40.00", "4"))
    paid = done(await counter.post("/v1/redemptions", sale | {"points": "20.00", "mode": mode}))
    if mode == "hold":
        done(await counter.post(f"/v1/redemptions/{paid['id']}/capture", {}))
    spent = await counter.lots()
    assert [lot["available"] for lot in spent[:3]] == ["0.00", "0.00", "6.00"]
    sold = done(
        await counter.post("/v1/receipts", sale | {"redeem": {"redemption_id": paid["id"]}})
    )
    between = await counter.sell("3.00", points="3.00")
    for _ in range(3):
        assert (await counter.take_back(sold, {1: "1"}))["restored"] == "5.00"
    assert (await counter.take_back(between))["restored"] == "3.00"
    last = await counter.take_back(sold)
    assert (last["restored"], last["revoked"]) == ("5.00", "0.50")
    after = await counter.lots()
    assert [lot["available"] for lot in after[:3]] == ["6.00", "10.00", "10.00"]
    assert before[1:3] == after[1:3]


async def test_a_hold_spent_by_the_sale_itself(counter: Counter) -> None:
    await counter.give("+10.00")
    sale = counter.sale(counter.line(1, "40.00", "4"))
    held = done(await counter.post("/v1/redemptions", sale | {"points": "10.00", "mode": "hold"}))
    sold = done(
        await counter.post("/v1/receipts", sale | {"redeem": {"redemption_id": held["id"]}})
    )
    assert (await counter.take_back(sold, {1: "1"}))["restored"] == "2.50"
    assert (await counter.take_back(sold))["restored"] == "7.50"


@pytest.mark.parametrize("status", ["blocked", "unverified"])
async def test_whoever_may_not_buy_may_return(counter: Counter, status: str) -> None:
    await counter.program("p", "10")
    sale = await counter.sell("100.00")
    admin = await counter.client("admin")
    done(await admin.patch(f"/v1/customers/{counter.customer_id}", json={"status": status}))
    assert (await counter.take_back(sale))["revoked"] == "10.00"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"lines": []}, "/lines"),
        ({"lines": [{"line": 1, "quantity": "0"}]}, "/lines/0/quantity"),
        ({"lines": [{"line": 1, "quantity": "-1"}]}, "/lines/0/quantity"),
        ({"lines": [{"line": 1, "quantity": "0.0000001"}]}, "/lines/0/quantity"),
        ({"lines": [{"line": 1, "quantity": 1}]}, "/lines/0/quantity"),
        ({"lines": [{"line": 9, "quantity": "1"}]}, "/lines/0/line"),
        ({"lines": [{"line": 1, "quantity": "1"}, {"line": 1, "quantity": "1"}]}, "/lines/1/line"),
        ({"occurred_at": "2027-03-01T11:59:59+03:00"}, "/occurred_at"),
        ({"occurred_at": "2027-03-03T12:00:00+03:00"}, "/occurred_at"),
        ({"receipt_number": None}, "/receipt_number"),
        ({"points": {"revoke": "1.00"}}, "/points"),
        ({"customer": {"phone": "+79161234567"}}, "/customer"),
        ({"number": ""}, "/number"),
        ({"store": "nowhere"}, "/store"),
    ],
)
async def test_what_is_no_return_is_named_and_not_kept(
    counter: Counter, change: dict[str, Any], pointer: str
) -> None:
    sale = await counter.sell("100.00")
    body, key = counter.back(sale["receipt_number"], {1: "1"}), f"bad-{counter.number}"
    wrong = await counter.post("/v1/returns", body | change, key=key)
    assert pointer in pointers(wrong)
    assert (await counter.post("/v1/returns", body, key=key)).status_code == 201


async def test_an_unknown_receipt_is_not_a_no_for_ever(counter: Counter) -> None:
    """The till that sold it may still be offline."""
    sale = counter.sale("100.00")
    body, key = counter.back(sale["receipt"]["number"]), f"early-{counter.number}"
    problem(await counter.post("/v1/returns", body, key=key), 404, "not_found")
    done(await counter.post("/v1/receipts", sale))
    assert (await counter.post("/v1/returns", body, key=key)).status_code == 201


async def test_a_receipt_of_another_store_is_named(counter: Counter) -> None:
    other = f"st2-{counter.number}"
    admin = await counter.client("admin")
    done(await admin.put(f"/v1/stores/{other}", json={"name": "S2", "channel": counter.channel}))
    await counter.program("p", "10")
    sale = await counter.sell("100.00")
    body = counter.back(sale["receipt_number"]) | {"store": other}
    problem(await counter.post("/v1/returns", body), 404, "not_found")
    back = await counter.post("/v1/returns", body | {"receipt_store": counter.store})
    assert (back.status_code, back.json()["revoked"]) == (201, "10.00")
    online = counter.sale("100.00")
    del online["store"]
    done(await counter.post("/v1/receipts", online))
    body = counter.back(online["receipt"]["number"])
    problem(await counter.post("/v1/returns", body), 404, "not_found")
    back = await counter.post("/v1/returns", body | {"receipt_channel": counter.channel})
    assert (back.status_code, back.json()["revoked"]) == (201, "10.00")


async def test_a_bound_key_takes_back_what_its_channel_sold(counter: Counter) -> None:
    other = await counter.another()
    second = f"st2-{counter.number}"
    admin = await counter.client("admin")
    done(await admin.put(f"/v1/stores/{second}", json={"name": "S2", "channel": counter.channel}))
    sale = await counter.sell(counter.line(1, "100.00", "9"))
    body = counter.back(sale["receipt_number"], {1: "1"}, receipt_store=counter.store)
    for name in ("channel", "store"):
        del body[name]

    async def by(number: str, **bound: str) -> Any:
        client = await counter.client("pos", **bound)
        place = {} if "store" in bound else {"store": f"st-{number}"}
        own = {"number": f"{body['number']}-{'-'.join(bound.values())}", **place}
        headers = {"idempotency-key": own["number"]}
        return await client.post("/v1/returns", json=body | own, headers=headers)

    assert (await by("", store=counter.store)).status_code == 201
    assert (await by("", store=second)).status_code == 201
    assert (await by(str(counter.number), channel=counter.channel)).status_code == 201
    problem(await by("", store=other.store), 403, "forbidden")
    problem(await by(str(other.number), channel=other.channel), 403, "forbidden")
    abroad = await counter.client("pos", store=other.store)
    answer = await abroad.get(f"/v1/returns/{counter.store}/{body['number']}-{counter.store}")
    problem(answer, 403, "forbidden")


def without_receipt(counter: Counter, **more: Any) -> dict[str, Any]:
    body = counter.back("x", customer=counter.customer, reason="The receipt is lost", **more)
    del body["receipt_number"]
    return {"points": {"revoke": "10.00", "restore": "5.00"}} | body


@pytest.mark.parametrize("role", ["finance", "admin"])
async def test_without_the_receipt_by_who_may_approve(counter: Counter, role: Role) -> None:
    await counter.give("+20.00")
    back = done(await counter.post("/v1/returns", without_receipt(counter), role=role))
    assert (back["revoked"], back["restored"], back["receipt_number"]) == ("10.00", "5.00", None)
    assert await counter.available() == "15.00"
    read = await counter.get(f"/v1/returns/{counter.store}/{back['number']}")
    assert (read["reason"], read["receipt_id"]) == ("The receipt is lost", None)
    posted = await counter.get(f"/v1/ledger/transactions/{back['id']}")
    assert (posted["kind"], posted["author"]) == ("return", f"the {role}")
    assert {p["kind"] for p in posted["postings"]} == {"adjust"}


@pytest.mark.parametrize("role", ["pos", "site"])
async def test_a_till_returns_nothing_without_the_receipt(counter: Counter, role: Role) -> None:
    body = without_receipt(counter)
    problem(await counter.post("/v1/returns", body, role=role), 403, "forbidden")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"reason": None}, "/reason"),
        ({"points": None}, "/points"),
        ({"customer": None}, "/customer"),
        ({"points": {}}, "/points"),
        (
            {"points": {"revoke": "1.00", "expires_at": "2050-01-01T00:00:00Z"}},
            "/points/expires_at",
        ),
        (
            {"points": {"restore": "1.00", "expires_at": "2027-03-01T09:00:00Z"}},
            "/points/expires_at",
        ),
        ({"lines": [{"line": 1, "quantity": "1"}]}, "/lines"),
    ],
)
async def test_without_the_receipt_everything_is_said(
    counter: Counter, change: dict[str, Any], pointer: str
) -> None:
    body = without_receipt(counter) | change
    assert pointer in pointers(await counter.post("/v1/returns", body))


async def test_without_the_receipt_nothing_is_taken_that_is_not_there(counter: Counter) -> None:
    body = without_receipt(counter, points={"revoke": "10.00"})
    refused = problem(await counter.post("/v1/returns", body), 409, "insufficient_points")
    assert refused["available"] == "0.00"
    stranger = without_receipt(counter) | {"customer": {"phone": "+79169999999"}}
    problem(await counter.post("/v1/returns", stranger), 404, "not_found")


async def test_only_a_posted_return_is_read(counter: Counter) -> None:
    admin = await counter.client("admin")
    problem(await admin.get(f"/v1/returns/{counter.store}/none"), 404, "not_found")


async def test_one_key_from_two_tills_at_once_is_one_return(counter: Counter) -> None:
    """The answer was lost and the till repeats, while the first request still runs."""
    await counter.program("p", "10")
    sale = await counter.sell(counter.line(1, "100.00", "2"))
    body, key = counter.back(sale["receipt_number"], {1: "1"}), f"lost-{counter.number}"
    answers = await asyncio.gather(*(counter.post("/v1/returns", body, key=key) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert await counter.available() == "5.00"


async def test_a_failed_commit_leaves_nothing_of_a_return(
    counter: Counter, shared_database: TestDatabase
) -> None:
    """What breaks between the points and the row of the return takes both away."""
    await counter.program("p", "10", limits={"budget": "99.00"})
    sale = await counter.sell("100.00")
    body, key = counter.back(sale["receipt_number"]), f"crash-{counter.number}"
    superuser = await asyncpg.connect(shared_database.superuser_url)
    await superuser.execute("REVOKE INSERT ON billing.returns FROM bonus_app")
    try:
        assert (await counter.post("/v1/returns", body, key=key)).status_code >= 500
    finally:
        await superuser.execute("GRANT INSERT ON billing.returns TO bonus_app")
        await superuser.close()
    assert await counter.available() == "10.00"
    assert sum((await counter.counters()).values()) == 1000
    assert (await counter.post("/v1/returns", body, key=key)).status_code == 201
    assert (await counter.available(), await counter.counters()) == ("0.00", {})
