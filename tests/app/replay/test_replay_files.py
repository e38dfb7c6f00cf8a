"""The files become receipts that conserve the money to the cent, the same ones every time."""

from __future__ import annotations

import csv
import gzip
import json
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import phonenumbers
import pytest

from billing.app.replay import phones
from billing.app.replay.files import read_chain
from billing.app.replay.grocer import FileFault
from billing.app.replay.lines import TOLERANCE
from billing.app.replay.model import Chain, Sale
from billing.common.money import parse_amount
from billing.demo import PRODUCTS, RECEIPTS

PURCHASE = {
    "datetime": "2018-12-17T12:57:20",
    "store_id": "s1",
    "regular_points_received": 3.6,
    "express_points_received": 0.0,
    "regular_points_spent": -43.0,
    "express_points_spent": -7.0,
    "purchase_sum": 414.10,
    "products": [{"product_id": "a", "quantity": 2}, {"product_id": "b", "quantity": 0}],
}


@pytest.fixture(scope="module")
def sample() -> Chain:
    return read_chain(RECEIPTS)


def _points_file(tmp_path: Path, *purchases: dict[str, Any]) -> Path:
    path = tmp_path / "points.jsonl"
    path.write_text(json.dumps({"client_id": "c1", "transaction_history": list(purchases)}) + "\n")
    return path


def _amounts(sale: Sale) -> int:
    """The sum of the lines, checked line by line against the contract."""
    total = 0
    for number, line in enumerate(sale.steps[-1].body["receipt"]["lines"], 1):
        assert line["line"] == number
        missed = Decimal(line["quantity"]) * Decimal(line["price"]) - Decimal(line["amount"])
        assert abs(missed) <= TOLERANCE
        assert Decimal(line["quantity"]) > 0
        total += parse_amount(line["amount"])
    return total


def test_grouping_conserves_the_money_to_the_cent(sample: Chain) -> None:
    with gzip.open(RECEIPTS, "rt") as text:
        in_file = sum(Decimal(row["sales_value"]) for row in csv.DictReader(text))
    assert sum(_amounts(sale) for sale in sample.sales) == in_file * 100
    assert all(_amounts(sale) == sale.total for sale in sample.sales)


def test_the_sample_is_a_thousand_receipts_of_a_small_chain(sample: Chain) -> None:
    assert len(sample.sales) == 1000
    assert {store.group for store in sample.stores} == {"north", "south"}
    assert {store.timezone for store in sample.stores} == {"America/New_York"}
    assert sum(Path(path).stat().st_size for path in (RECEIPTS, PRODUCTS)) < 150_000


def test_all_that_a_receipt_names_is_created_before_it_parents_first(sample: Chain) -> None:
    groups: set[str] = set()
    for group in sample.groups:
        assert group.parent is None or group.parent in groups
        groups.add(group.code)
    products = {product.sku: product.group for product in sample.products}
    assert set(products.values()) <= groups
    assert any(group.parent for group in sample.groups)
    for sale in sample.sales:
        for line in sale.steps[0].body["receipt"]["lines"]:
            assert products[line["sku"]] == line["group"]


def test_the_same_file_gives_the_same_keys_and_bodies(sample: Chain) -> None:
    again = read_chain(RECEIPTS)
    assert again.sales == sample.sales
    assert again.customers == sample.customers
    keys = [step.key for sale in sample.sales for step in sale.steps]
    assert len(set(keys)) == len(keys)


def test_three_receipts_in_ten_pay_up_to_half_with_points(sample: Chain) -> None:
    paying = [sale for sale in sample.sales if sale.steps[0].redeem_up_to]
    assert 250 <= len(paying) <= 350
    assert all(sale.steps[0].redeem_up_to == sale.total // 2 for sale in paying)


def test_sales_are_in_order_of_time_in_the_stores_time_zone(sample: Chain) -> None:
    assert [sale.at for sale in sample.sales] == sorted(sale.at for sale in sample.sales)
    offsets = {sale.steps[0].body["receipt"]["occurred_at"][-6:] for sale in sample.sales}
    assert offsets == {"-05:00", "-04:00"}


def test_first_keeps_only_what_its_sales_need(sample: Chain) -> None:
    few = sample.first(5)
    assert few.sales == sample.sales[:5]
    assert {customer.card for customer in few.customers} == {sale.card for sale in few.sales}
    skus = {row["sku"] for sale in few.sales for row in sale.steps[0].body["receipt"]["lines"]}
    assert {product.sku for product in few.products} == skus


def _purchase(**changed: Any) -> bytes:
    history = [PURCHASE | changed]
    return json.dumps({"client_id": "c1", "transaction_history": history}).encode()


LINES = "household_id,store_id,basket_id,product_id,quantity,sales_value,transaction_timestamp\n"
PRODUCT = "product_id,department,product_category,product_type\n7,FUEL,GASOLINE,REG UNLEADED\n"


@pytest.mark.parametrize(
    ("quantity", "value", "sent", "reason"),
    [
        ("2.0", "5.0", ("2", "2.50", "5.00"), None),
        ("3.0", "1.00", ("3", "0.33", "1.00"), None),
        ("1.0", "0.0", ("1", "0.00", "0.00"), None),
        ("29945.0", "68.81", ("1", "68.81", "68.81"), "sent as quantity 1"),
        ("6.0", "2.0", ("1", "2.00", "2.00"), "sent as quantity 1"),
        ("0.0", "0.0", None, "left out"),
    ],
)
def test_a_line_that_the_contract_would_refuse_is_changed_and_counted(
    tmp_path: Path, quantity: str, value: str, sent: tuple[str, ...] | None, reason: str | None
) -> None:
    rows = f"1,2,3,7,{quantity},{value},2017-03-12 02:30:00\n1,2,3,7,1,1,2017-03-12 02:30:00\n"
    (tmp_path / "products.csv").write_text(PRODUCT)
    (tmp_path / "lines.csv").write_text(LINES + rows)
    chain = read_chain(tmp_path / "lines.csv")
    first = chain.sales[0].steps[0].body["receipt"]["lines"][0]
    assert (first["quantity"], first["price"], first["amount"]) == (sent or ("1", "1.00", "1.00"))
    counted = [why for why in chain.adjusted if reason and why.startswith(reason)]
    assert sum(chain.adjusted.values()) == len(counted) == bool(reason)


def test_stated_points_are_posted_as_they_stand(tmp_path: Path) -> None:
    chain = read_chain(_points_file(tmp_path, PURCHASE))
    (sale,) = chain.sales
    base, promo, redemption, accrual = sale.steps
    assert (base.path, base.body["points"], base.body["bucket"]) == (
        "/v1/adjustments", "+43.00", "base",
    )  # fmt: skip
    assert (promo.body["points"], promo.body["bucket"]) == ("+7.00", "promo")
    assert (redemption.path, redemption.body["points"]) == ("/v1/redemptions", "50.00")
    assert redemption.body["mode"] == "capture"
    assert accrual.body["stated"] == [{"points": "3.60", "bucket": "base"}]
    assert accrual.body["receipt"] == redemption.body["receipt"]
    assert accrual.body["receipt"]["occurred_at"] == "2018-12-17T12:57:20+03:00"
    assert _amounts(sale) == sale.total == 41410


def test_a_receipt_that_gave_nothing_states_nothing(tmp_path: Path) -> None:
    free = PURCHASE | {"regular_points_received": 0.0}
    (sale,) = read_chain(_points_file(tmp_path, free)).sales
    assert sale.steps[-1].body["stated"] == [{"points": "0.00", "bucket": "base"}]


def test_an_opening_balance_is_only_what_the_file_does_not_show_earned(tmp_path: Path) -> None:
    earned = PURCHASE | {"datetime": "2018-12-01T00:00:00", "regular_points_spent": 0.0}
    earned |= {"express_points_spent": 0.0, "regular_points_received": 40.0}
    chain = read_chain(_points_file(tmp_path, PURCHASE, earned))
    first, second = chain.sales
    openings = [(step.body["points"], step.body["bucket"]) for step in first.steps[:-1]]
    assert openings == [("+3.00", "base"), ("+7.00", "promo")]
    assert [step.path for step in second.steps] == ["/v1/redemptions", "/v1/accruals"]


def test_made_up_phones_are_valid_and_nobodys() -> None:
    numbered = [phones.numbered(number) for number in range(10_000)]
    hashed = phones.hashed(f"client-{number}" for number in range(10_000)).values()
    everyone = {*numbered, *hashed}
    assert len(everyone) == 20_000
    for phone in everyone:
        assert phone[5:10] == "55501"
        read = phonenumbers.parse(phone)
        assert phonenumbers.is_valid_number(read)
        assert phonenumbers.format_number(read, phonenumbers.PhoneNumberFormat.E164) == phone
    with pytest.raises(ValueError, match="customers 0 to 9999, not 10000"):
        phones.numbered(10_000)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "neither receipt lines"),
        (b"a,b\n1,2\n", "neither receipt lines"),
        (b"basket_id,x\n1,2\n", "the receipt lines lack the columns household_id"),
        (LINES.encode() + b"1,2,3,7,x,1,2017-01-01 00:00:00\n", "basket 3: quantity 'x'"),
        (LINES.encode() + b"1,2,3,7,1,-1,2017-01-01 00:00:00\n", "sales_value '-1'"),
        (LINES.encode() + b"1,2,3,7,1,NaN,2017-01-01 00:00:00\n", "sales_value 'NaN'"),
        (LINES.encode() + b"1,2,3,7,1,1,yesterday\n", "'yesterday' is not a time"),
        (LINES.encode() + b"1,2,3\n", "basket 3"),
        (LINES.encode() + b"Bob,2,3,7,1,1,2017-01-01 00:00:00\n", "household 'Bob'"),
        (LINES.encode() + b"99999,2,3,7,1,1,2017-01-01 00:00:00\n", "customers 0 to 9999"),
        (LINES.encode() + b"1,2,3,7,1,1e999,2017-01-01 00:00:00\n", "is not an amount"),
        (b'{"client_id": 1}\n', "line 1 is not a customer's purchases: /client_id: must be a str"),
        (b'{"client_id": "1"}\n', "/transaction_history: is missing"),
        (b'{"client_id": "1", "transaction_history": [{}]}', "_history/0/datetime: is missing"),
        (b'{"client_id": "1"\n', "is not JSON"),
        (_purchase(datetime="yesterday"), "'yesterday' is not a time"),
        (_purchase(purchase_sum=-1), "a purchase needs a sum"),
        (_purchase(purchase_sum=1e300), "is not an amount of money"),
        (_purchase(products=[]), "products with quantities"),
        (_purchase(regular_points_spent=43), "regular_points_spent of 2018-12-17T12:57:20 has"),
        (b"\xff\xfe", "is not text in UTF-8"),
        (b"\x1f\x8bnonsense", "damaged or incomplete gzip file"),
        (gzip.compress(LINES.encode() * 9, mtime=0)[:-9], "damaged or incomplete gzip file"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_place(
    tmp_path: Path, content: bytes, says: str
) -> None:
    (tmp_path / "products.csv").write_text(PRODUCT)
    path = tmp_path / "points.csv"
    path.write_bytes(content)
    with pytest.raises(FileFault, match=r"points\.csv") as fault:
        read_chain(path)
    assert says in str(fault.value)


def test_whatever_is_broken_in_a_file_is_told_in_words(tmp_path: Path) -> None:
    """2,000 broken files: a fault with words, or a chain; never another exception."""
    (tmp_path / "products.csv").write_text(PRODUCT)
    path, chance = tmp_path / "broken", Random(7)
    good = (_purchase().decode(), LINES + "1,2,3,7,2.0,5.0,2017-03-12 02:30:00\n" * 2)
    told: list[str] = []
    for _ in range(2000):
        text = chance.choice(good)
        at = chance.randrange(len(text))
        junk = chance.choice(["", ",", '"', "9", "\n", "\0", "x", "-", "1e999", "null", "[]", "é"])
        path.write_text(text[:at] + junk + text[at + chance.randrange(6) :])
        try:
            read_chain(path)
        except FileFault as fault:
            told.append(str(fault))
    assert len(told) > 500
    assert not [text for text in told if "Error(" in text or "codec" in text]


def test_files_that_are_not_there_or_not_files_are_named(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(FileFault, match=f"{path}: cannot be read .{path}.: {words}"):
            read_chain(path)


def test_a_missing_product_list_says_how_to_name_it(tmp_path: Path) -> None:
    (tmp_path / "lines.csv").write_text(LINES + "1,2,3,7,1,1,2017-01-01 00:00:00\n")
    with pytest.raises(FileFault, match="--products"):
        read_chain(tmp_path / "lines.csv")
