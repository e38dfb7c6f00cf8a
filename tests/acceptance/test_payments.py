"""Points and the receipts they pay: nothing is spent, kept or earned twice."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.shop import Shop, done, fresh_key, problem
from tests.acceptance.till import Till


async def available(shop: Shop) -> str:
    found = done(await shop.client.get("/v1/customers", params={"phone": shop.phone}))
    customer = found["items"][0] if "items" in found else found
    balance = done(await shop.client.get(f"/v1/customers/{customer['id']}/balance"))
    points: str = balance["available"]
    return points


@pytest.fixture
async def rich(shop: Shop) -> Shop:
    await shop.give("+500.00")
    return shop


async def test_a_captured_redemption_is_named_by_its_sale_and_not_spent_again(rich: Shop) -> None:
    """C3, C10: paid by /v1/redemptions, the sale of the same number earns on the rest."""
    sale = rich.sale()
    paid = done(await rich.post("/v1/redemptions", sale | {"points": "40.00", "mode": "capture"}))
    posted = done(await rich.post("/v1/receipts", sale | {"redeem": {"redemption_id": paid["id"]}}))
    assert posted["redeemed"] == "40.00"
    assert [line["payable"] for line in posted["lines"]] == ["60.00"]
    assert await available(rich) == "460.00"
    other = rich.sale(redeem={"redemption_id": paid["id"]})
    problem(await rich.post("/v1/receipts", other), 409, "hold_not_open")


async def test_a_receipt_number_is_paid_with_captured_points_once(rich: Shop) -> None:
    """DESIGN §5, the second wall: two holds for one receipt, the second capture is refused."""
    sale = rich.sale()
    holds = [
        done(await rich.post("/v1/redemptions", sale | {"points": "100.00", "mode": "hold"}))
        for _ in range(2)
    ]
    done(await rich.post(f"/v1/redemptions/{holds[0]['id']}/capture", {}))
    second = await rich.post(f"/v1/redemptions/{holds[1]['id']}/capture", {})
    assert "paid with points already" in problem(second, 409, "receipt_exists")["detail"]
    assert await available(rich) == "300.00"


async def test_a_redemption_reads_back_what_was_answered(rich: Shop) -> None:
    """Captured in part: points, parts and lines agree, at once and later; released: nothing."""
    body = rich.sale(points="50.00", mode="hold")
    held = done(await rich.post("/v1/redemptions", body))
    path = f"/v1/redemptions/{held['id']}"
    problem(await rich.post(f"{path}/capture", {"points": "0.00"}), 400, "validation_failed")
    captured = done(await rich.post(f"{path}/capture", {"points": "20.00"}))
    read = done(await rich.client.get(path))
    for one in (captured, read):
        assert (one["status"], one["points"]) == ("captured", "20.00")
        assert [part["points"] for part in one["parts"]] == ["20.00"]
        assert [line["points_paid"] for line in one["lines"]] == ["20.00"]
    other = done(await rich.post("/v1/redemptions", rich.sale(points="5.00", mode="hold")))
    done(await rich.post(f"/v1/redemptions/{other['id']}/release", {}))
    released = done(await rich.client.get(f"/v1/redemptions/{other['id']}"))
    assert released["status"] == "released"
    assert [line["points_paid"] for line in released["lines"]] == ["0.00"]


@pytest.mark.parametrize("mode", ["hold", "capture"])
async def test_max_of_nothing_is_refused(shop: Shop, mode: str) -> None:
    answer = await shop.post("/v1/redemptions", shop.sale(points="max", mode=mode))
    assert problem(answer, 409, "insufficient_points")["available"] == "0.00"


async def test_of_an_aborted_batch_nothing_is_kept(rich: Shop) -> None:
    """A refusal decided in a state that the batch itself had made is no refusal afterwards."""
    first = rich.sale(points="300.00")
    second = rich.sale(points="300.00")
    for body in (first, second):
        body["receipt"]["lines"] = [rich.line("300.00")]
    keys = [fresh_key(), fresh_key()]
    batch: dict[str, Any] = {
        "mode": "atomic",
        "operations": [
            {"kind": "redemption", "idempotency_key": key, "body": body}
            for key, body in zip(keys, (first, second), strict=True)
        ],
    }
    results = done(await rich.post("/v1/batches", batch))["results"]
    assert [one["body"]["code"] for one in results] == ["batch_aborted", "insufficient_points"]
    assert await available(rich) == "500.00"
    done(await rich.post("/v1/redemptions", second, key=keys[1]))
    assert await available(rich) == "200.00"


async def test_a_version_does_not_hide_beneath_a_scheduled_one(shop: Shop) -> None:
    """What is published last is what earns last: nothing older takes over later."""
    definition = {
        "name": "a program",
        "valid_from": "2026-01-01T00:00:00Z",
        "reward": {"kind": "percent", "value": "10"},
        "scope": {"channels": [shop.channel]},
    }
    path = f"/v1/programs/p-{shop.number}"
    done(await shop.client.post("/v1/programs", json={"code": f"p-{shop.number}", **definition}))
    later = {"from": "2099-01-01T00:00:00Z"}
    done(await shop.client.post(f"{path}/publish", json=later))
    done(await shop.client.post(f"{path}/versions", json=definition))
    answer = await shop.client.post(f"{path}/publish", json={})
    assert problem(answer, 400, "validation_failed")["errors"][0]["pointer"] == "/from"


@pytest.mark.parametrize("mode", ["hold", "capture"])
@pytest.mark.parametrize("path", ["/v1/receipts", "/v1/accruals"])
async def test_a_sale_names_the_redemption_that_paid_it(rich: Shop, mode: str, path: str) -> None:
    """Else the customer would earn on the full amount, too (T12, C15)."""
    sale = rich.sale()
    paid = done(await rich.post("/v1/redemptions", sale | {"points": "40.00", "mode": mode}))
    if mode == "hold":
        done(await rich.post(f"/v1/redemptions/{paid['id']}/capture", {}))
    refused = problem(await rich.post(path, sale), 409, "receipt_exists")
    assert "name that redemption in redeem.redemption_id" in refused["detail"]
    done(await rich.post("/v1/receipts", sale | {"redeem": {"redemption_id": paid["id"]}}))


@pytest.mark.parametrize("mode", ["hold", "capture"])
async def test_a_posted_sale_is_not_paid_with_points_afterwards(rich: Shop, mode: str) -> None:
    sale = rich.sale()
    paying = sale | {"points": "40.00", "mode": mode}
    if mode == "hold":
        held = done(await rich.post("/v1/redemptions", paying))
        done(await rich.post("/v1/receipts", sale))
        spent = await rich.post(f"/v1/redemptions/{held['id']}/capture", {})
    else:
        done(await rich.post("/v1/receipts", sale))
        spent = await rich.post("/v1/redemptions", paying)
    assert "posted already" in problem(spent, 409, "receipt_exists")["detail"]


async def test_points_that_are_stated_do_not_depend_on_what_paid(rich: Shop) -> None:
    sale = rich.sale()
    done(await rich.post("/v1/redemptions", sale | {"points": "40.00", "mode": "capture"}))
    done(await rich.post("/v1/accruals", sale | {"stated": [{"points": "3.00"}]}))


@pytest.mark.parametrize("limits", [{}, {"per_customer_day": "100.00"}])
async def test_a_hold_that_was_released_pays_no_sale(
    rich: Shop, till: Till, limits: dict[str, str]
) -> None:
    """Whether or not the sale is calculated under the customer's lock."""
    await till.publishes(reward={"kind": "percent", "value": "5"}, limits=limits)
    sale = rich.sale()
    held = done(await rich.post("/v1/redemptions", sale | {"points": "40.00", "mode": "hold"}))
    done(await rich.post(f"/v1/redemptions/{held['id']}/release", {}))
    answer = await rich.post("/v1/receipts", sale | {"redeem": {"redemption_id": held["id"]}})
    problem(answer, 409, "hold_not_open")


@pytest.mark.parametrize("limits", [{}, {"per_customer_day": "1000.00"}])
async def test_more_points_than_an_amount_can_be_are_refused(
    till: Till, limits: dict[str, str]
) -> None:
    """They could be posted, but neither returned nor simulated."""
    await till.publishes(reward={"kind": "per_unit", "value": "1000000000000.00"})
    if limits:
        await till.publishes(reward={"kind": "percent", "value": "5"}, limits=limits)
    body = till.basket("100.00")
    body["receipt"]["lines"][0] |= {
        "quantity": "999999999", "price": "0.01", "amount": "9999999.99",
    }  # fmt: skip
    body["receipt"]["lines"].append(till.shop.line("100.00", line=2))
    problem(await till.shop.client.post("/v1/quotes", json=body), 409, "balance_limit")
    key = fresh_key()
    for _ in range(2):
        answer = await till.shop.post("/v1/receipts", body, key=key)
        problem(answer, 409, "balance_limit")
    assert answer.headers["idempotency-hit"] == "true"
