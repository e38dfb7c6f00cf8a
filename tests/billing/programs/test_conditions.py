"""Conditions: what each comparison means, and that whatever compiles can be evaluated and told."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.common.errors import ValidationFailed
from billing.common.faults import MAX_FAULTS
from billing.programs.conditions import compile_condition, holds, line_holds, unmet
from billing.programs.faults import Faults
from billing.programs.fields import FIELDS
from billing.programs.model import Basket, Condition, Line, Member, Situation
from billing.programs.sentences import sentence
from billing.programs.words import LANGUAGES

MILK = Line(1, "milk", "milk", ("milk", "dairy", "food"), 9900, quantity=2_000_000, price=4950)
CAVIAR = Line(2, "caviar", "fish", ("fish", "food"), 50100, promo=True, price=50100)
SALE = Situation(
    # Saturday 21 November 2026, 23:30 in Novosibirsk; still 16:30 in Greenwich.
    Basket(
        "shop", "s-1", None, "Asia/Novosibirsk", datetime(2026, 11, 21, 16, 30, tzinfo=UTC),
        (MILK, CAVIAR), (("sbp", 40000), ("card", 20000)), frozenset(("PROMO10",)),
    ),
    Member(
        UUID(int=1), frozenset(("vip",)), datetime(2026, 11, 1, 20, tzinfo=UTC), "site", None,
        date(2008, 11, 24), None, datetime(2026, 11, 2, tzinfo=UTC), True,
    ),
)  # fmt: skip
STRANGER = Situation(
    Basket("shop", None, None, "UTC", datetime(2026, 11, 21, tzinfo=UTC), (MILK,)),
    Member(UUID(int=2)),
)


def leaf(field: str, op: str, value: object) -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}


def compiled(value: object, *, of_line: bool = False) -> Condition:
    faults = Faults()
    condition = compile_condition(value, "/when", faults, of_line=of_line)
    faults.raise_if_any()
    return condition


@pytest.mark.parametrize(
    ("field", "op", "value", "expected"),
    [
        ("receipt.total", "=", "600", True),
        ("receipt.total", ">", "600.00", False),
        ("receipt.total", "between", ["600", "700"], True),
        ("receipt.lines", "=", 2, True),
        ("receipt.quantity", "=", "3", True),
        ("receipt.payment_types", "has", "sbp", True),
        ("receipt.payment_types", "has_not", "cash", True),
        ("receipt.payment_types", "has_any", ["cash", "card"], True),
        ("receipt.payment_types", "only", ["sbp"], False),
        ("receipt.payment_types", "only", ["sbp", "card", "cash"], True),
        ("receipt.codes", "has", "PROMO10", True),
        ("receipt.codes", "has_not", "PROMO10", False),
        ("receipt.time", ">=", "23:30", True),
        ("receipt.time", "between", ["22:00", "06:00"], True),
        ("receipt.time", "between", ["06:00", "22:00"], False),
        ("receipt.weekday", "=", "sat", True),
        ("receipt.weekday", "not_in", ["sat", "sun"], False),
        ("receipt.date", "=", "2026-11-21", True),
        ("receipt.date", "<", "2026-11-21", False),
        ("receipt.first_purchase", "=", True, True),
        ("receipt.days_to_birthday", "=", 3, True),
        ("receipt.days_to_birthday", "between", [-3, 2], False),
        ("customer.age", "=", 17, True),
        ("customer.tags", "has", "vip", True),
        ("customer.tags", "has_any", ["gold", "silver"], False),
        ("customer.registered_at", "<", "2026-11-02T00:00:00+03:00", True),
        ("customer.days_since_registration", "=", 19, True),
        ("customer.registration_channel", "in", ["site", "tg"], True),
        ("customer.registration_store", "!=", "s-2", False),
        ("customer.verified", "=", True, True),
        ("line.amount", ">=", "501", True),
        ("line.price", "<", "49.50", False),
        ("line.quantity", "=", "2", True),
        ("line.sku", "in", ["milk"], True),
        ("line.group", "in", ["dairy"], True),
        ("line.group", "not_in", ["food"], False),
        ("line.promo", "=", True, True),
    ],
)
def test_a_comparison_means_what_it_says(
    field: str, op: str, value: object, expected: bool
) -> None:
    assert holds(compiled(leaf(field, op, value)), SALE) is expected


def test_every_field_has_a_case_above() -> None:
    [mark] = test_a_comparison_means_what_it_says.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in mark.args[1]} == FIELDS.keys()


@pytest.mark.parametrize(
    ("field", "op", "value"),
    [
        ("customer.age", "!=", 30),
        ("receipt.days_to_birthday", "between", [-182, 183]),
        ("customer.registration_store", "not_in", ["s-1"]),
        ("receipt.first_purchase", "=", False),
        ("receipt.payment_types", "has_not", "cash"),
        ("receipt.payment_types", "only", ["card"]),
        ("line.price", "!=", "1"),
    ],
)
def test_what_is_not_known_makes_no_comparison_true(field: str, op: str, value: object) -> None:
    unpriced = Situation(
        Basket("shop", None, None, "UTC", SALE.basket.occurred_at, (Line(1, "x", "g", ("g",), 1),)),
        STRANGER.member,
    )
    condition = leaf(field, op, value)
    assert not holds(compiled(condition), unpriced)
    assert holds(compiled({"not": condition}), unpriced)


def test_all_any_and_not_are_logic() -> None:
    yes, no = leaf("receipt.lines", "=", 2), leaf("receipt.lines", "=", 3)
    assert holds(compiled({"all": [yes, {"any": [no, yes]}, {"not": no}]}), SALE)
    assert not holds(compiled({"all": [yes, no]}), SALE)
    assert not holds(compiled({"any": [no, {"not": yes}]}), SALE)


def test_two_leaves_on_lines_may_mean_two_lines_but_not_in_a_filter_of_lines() -> None:
    dear_milk = {"all": [leaf("line.sku", "=", "milk"), leaf("line.amount", ">", "500")]}
    assert holds(compiled(dear_milk), SALE)
    of_line = compiled(dear_milk, of_line=True)
    assert not any(line_holds(of_line, line) for line in SALE.basket.lines)


@pytest.mark.parametrize(
    ("born", "today", "days"),
    [
        ("1992-02-29", "2027-02-28", 0),
        ("1992-02-29", "2028-02-28", 1),
        ("1992-02-29", "2028-02-29", 0),
        ("1990-01-02", "2026-12-31", 2),
        ("1990-12-31", "2027-01-02", -2),
    ],
)
def test_a_birthday_is_near_across_new_year_and_on_29_february(
    born: str, today: str, days: int
) -> None:
    at = datetime.fromisoformat(f"{today}T12:00:00+00:00")
    situation = Situation(
        Basket("shop", None, None, "UTC", at, ()),
        Member(UUID(int=1), birth_date=date.fromisoformat(born)),
    )
    assert holds(compiled(leaf("receipt.days_to_birthday", "=", days)), situation)


def test_the_part_to_blame_is_named() -> None:
    blamed = leaf("receipt.total", ">", "1000")
    whole = compiled({"all": [leaf("receipt.lines", "=", 2), {"all": [blamed]}]})
    assert unmet(whole, SALE) == compiled(blamed)


@pytest.mark.parametrize(
    ("value", "pointer", "detail"),
    [
        ("x", "/when", "must be one of {"),
        ({"all": []}, "/when/all", "must be a list of at least one condition"),
        ({"any": [leaf("receipt.total", "<", "5"), 5]}, "/when/any/1", "must be one of {"),
        ({"all": [{}], "any": [{}]}, "/when", "and only one of them"),
        (leaf("receipt.totl", "<", "5"), "/when/field", "did you mean 'receipt.total'?"),
        (leaf("receipt.total", "in", ["5"]), "/when/op", "must be one of '=', '!='"),
        (leaf("receipt.total", "<", 5), "/when/value", 'such as "12.50", not a number'),
        (leaf("customer.age", "<", "5"), "/when/value", "a whole number such as 18"),
        (leaf("receipt.total", "between", ["5"]), "/when/value", "a list of two values"),
        (leaf("receipt.total", "between", ["5", "4"]), "/when/value", "begin with the smaller"),
        (leaf("receipt.time", "<", "24:00"), "/when/value", "a time of day"),
        (leaf("receipt.weekday", "in", ["sat", "dom"]), "/when/value/1", "one of 'mon'"),
        (leaf("receipt.date", "<", "2026-02-30"), "/when/value", "a date such as"),
        ({"field": "receipt.total", "op": "<"}, "/when/value", "is missing"),
        (leaf("receipt.total", "<", "5") | {"x/y": 1}, "/when/x~1y", "is not known here"),
        ({"all": [leaf("receipt.lines", "<", 5)] * 101}, "/when/all", "at most 100"),
        (
            {"not": {"any": [{"all": [leaf("receipt.lines", "<", 5)] * 60}] * 2}},
            "/when",
            "has more than 100 comparisons",
        ),
        ({"any": [leaf("line.amount", "=", "5")] * 21}, "/when", "20 comparisons with fields of"),
    ],
)
def test_a_wrong_condition_is_refused_with_a_pointer(
    value: object, pointer: str, detail: str
) -> None:
    with pytest.raises(ValidationFailed) as refused:
        compiled(value)
    [fault] = refused.value.errors
    assert fault.pointer == pointer
    assert detail in fault.detail


def test_nobody_waits_for_the_faults_of_thousands_of_comparisons() -> None:
    wrong = leaf("receipt.totals", "=", "1")
    faults = Faults()
    compile_condition({"all": [{"any": [wrong] * 100}] * 100}, "/when", faults)
    assert len(faults) == MAX_FAULTS
    with pytest.raises(ValidationFailed) as refused:
        faults.raise_if_any()
    hints = [fault for fault in refused.value.errors if "did you mean" in fault.detail]
    assert len(hints) == 3


def test_a_condition_may_be_8_deep_and_a_filter_of_lines_looks_at_lines() -> None:
    tree: dict[str, Any] = leaf("line.promo", "=", True)
    for _ in range(7):
        tree = {"not": tree}
    assert not holds(compiled(tree), SALE)
    with pytest.raises(ValidationFailed, match="nested deeper than 8"):
        compiled({"not": tree})
    with pytest.raises(ValidationFailed, match="is not of a line"):
        compiled(leaf("receipt.total", "<", "5"), of_line=True)


CODES = st.sampled_from(["milk", "dairy", "sbp", "vip", "site", "ünï", "a{0}b"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "amount": st.integers(0, 10**16).map(lambda n: f"{n // 1000}.{n % 100}"),
    "quantity": st.sampled_from(["0", "0.357", "999999999.999999"]),
    "whole number": st.integers(-1_000_000, 1_000_000),
    "time": st.sampled_from(["00:00", "09:30", "23:59"]),
    "date": st.dates(date(1, 1, 1), date(9999, 12, 31)).map(str),
    "moment": st.datetimes(datetime(1969, 1, 1), datetime(2201, 1, 1)).map(  # noqa: DTZ001
        lambda moment: f"{moment.isoformat()}+14:00"
    ),
    "weekday": st.sampled_from(["mon", "sun"]),
    "flag": st.booleans(),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | CODES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@st.composite
def comparisons(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from(sorted(FIELDS)))
    kind = FIELDS[name].kind
    op = draw(st.sampled_from(sorted(kind.ops)))
    one = VALUES.get(kind.name, CODES)
    takes = kind.ops[op].takes
    value = draw({"one": one, "many": st.lists(one, min_size=1, max_size=3),
                  "two": st.lists(one, min_size=2, max_size=2)}[takes])  # fmt: skip
    return leaf(name, op, draw(JSON) if draw(st.integers(0, 9)) == 0 else value)


TREES = st.recursive(
    comparisons(),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts})
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts})
        | inner.map(lambda part: {"not": part})
    ),
    max_leaves=8,
)
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2200, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
LINES = st.builds(
    Line, st.integers(1, 9), CODES, CODES, st.tuples(CODES, CODES), st.integers(0, 10**14),
    st.booleans(), st.booleans(), st.integers(0, 10**15), st.none() | st.integers(0, 10**14),
)  # fmt: skip
SITUATIONS = st.builds(
    Situation,
    st.builds(
        Basket, st.none() | CODES, st.none() | CODES, st.none(),
        st.sampled_from(["Europe/Moscow", "America/New_York", "Pacific/Kiritimati"]), MOMENTS,
        st.lists(LINES, max_size=3).map(tuple),
        st.lists(st.tuples(CODES, st.integers(0, 10**14)), max_size=2).map(tuple),
        st.frozensets(CODES),
    ),
    st.builds(
        Member, st.just(UUID(int=1)), st.frozensets(CODES), st.none() | MOMENTS, st.none() | CODES,
        st.none() | CODES, st.none() | st.dates(date(1900, 1, 1), date(2200, 12, 31)),
        st.none() | MOMENTS, st.none() | MOMENTS, st.none() | st.booleans(),
    ),
)  # fmt: skip


@settings(max_examples=400, deadline=timedelta(seconds=5))
@given(tree=TREES | JSON, situation=SITUATIONS, of_line=st.booleans())
def test_whatever_compiles_can_be_evaluated_and_told(
    tree: object, situation: Situation, of_line: bool
) -> None:
    faults = Faults()
    condition = compile_condition(tree, "/when", faults, of_line=of_line)
    if faults:
        return
    for language in LANGUAGES:
        assert sentence(condition, language, of_line=of_line)
    if of_line:
        assert all(line_holds(condition, line) in (True, False) for line in situation.basket.lines)
    elif not holds(condition, situation):
        assert not holds(unmet(condition, situation), situation)
