"""Fuzzed definitions: refused with pointers, or calculated and told without ever failing."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from billing.common.decoding import decode_body
from billing.common.errors import ValidationFailed
from billing.common.money import MAX_AMOUNT
from billing.programs.book import Running
from billing.programs.calculation import TooManyPoints, Trace, calculate
from billing.programs.definition import compile_definition, read_definition, stored_definition
from billing.programs.explain import because
from billing.programs.model import ProgramVersion, RedemptionRule, Situation
from billing.programs.payment import pay, payable
from billing.programs.portrait import portrait
from billing.programs.schemas import DefinitionIn
from billing.programs.words import LANGUAGES
from tests.billing.programs.test_conditions import CODES, JSON, SITUATIONS, TREES

AMOUNTS = st.sampled_from(["0.01", "1", "2", "12.50", "999", "1000", "0", "1000000000000"])
RATES = st.sampled_from(["0", "0.3333", "5", "1000", "1001"])
PERIODS = st.sampled_from(["P1D", "P1M", "P2Y", "P100Y", "PT36H", "P0D"])
MOMENTS = st.sampled_from(["2026-06-01T00:00:00+03:00", "2199-12-31T23:59:59Z", "2026-06-01"])
NAMES = st.lists(CODES, max_size=3)


Members = dict[str, st.SearchStrategy[Any]]


@st.composite
def a_few_of(draw: st.DrawFn, members: Members, needed: Members | None = None) -> dict[str, Any]:
    """An object with what is needed, a few of `members`, and now and then nonsense in one."""
    names = draw(st.lists(st.sampled_from(sorted(members)), max_size=3, unique=True))
    made = {name: draw(one) for name, one in (needed or {}).items()}
    made |= {name: draw(members[name]) for name in names}
    if names and draw(st.integers(0, 19)) == 0:
        made[names[0]] = draw(JSON)
    return made


def some(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return a_few_of(members)


REWARDS = st.one_of(
    st.fixed_dictionaries({"kind": st.just("percent"), "value": RATES}),
    st.fixed_dictionaries({"kind": st.just("fixed"), "value": AMOUNTS}),
    st.fixed_dictionaries({"kind": st.just("per_amount"), "value": AMOUNTS, "step": AMOUNTS}),
    st.fixed_dictionaries({"kind": st.just("per_unit"), "value": AMOUNTS}),
    st.lists(st.fixed_dictionaries({"from": AMOUNTS, "value": RATES}), max_size=3).map(
        lambda some_brackets: {
            "kind": "brackets",
            "brackets": sorted(some_brackets, key=lambda one: float(one["from"])),
        }
    ),
    st.fixed_dictionaries({"kind": st.just("multiplier"), "value": AMOUNTS, "programs": NAMES}),
)
SHARED: Members = {
    "valid_to": MOMENTS,
    "lines": some(groups=NAMES, products=NAMES, exclude_groups=NAMES, exclude_promo=st.booleans(),
                  when=TREES),
    "scope": some(channels=NAMES, exclude_stores=NAMES),
    "when": TREES,
}  # fmt: skip
GIVING: Members = SHARED | {
    "base": st.sampled_from(["gross", "net_of_points"]),
    "payment_types": NAMES,
    "rounding": some(mode=st.sampled_from(["down", "up", "half_up", "half_even"]), step=AMOUNTS,
                     per=st.sampled_from(["line", "receipt"])),
    "bucket": st.sampled_from(["base", "promo"]),
    "available": some(after=PERIODS, at=MOMENTS, instalments=st.fixed_dictionaries(
        {"count": st.integers(1, 25), "every": PERIODS})),
    "expires": some(after=PERIODS, at=MOMENTS, round_up_to=st.just("quarter")),
    "stacking": some(group=CODES, policy=st.sampled_from(["sum", "max", "priority"])),
    "limits": some(per_receipt=AMOUNTS, per_customer_day=AMOUNTS, budget=AMOUNTS,
                   times_per_customer_day=st.integers(0, 1001)),
    "on_return": st.sampled_from(["debt", "floor", "refuse"]),
}  # fmt: skip
BEGIN: Members = {"name": st.just("x"), "valid_from": st.just("1970-01-01T00:00:00Z")}
ACCRUALS = a_few_of(GIVING, BEGIN | {"reward": REWARDS})
ON = some(days_before=st.integers(0, 180), known_before=st.integers(0, 180)).map(
    lambda days: {"on": "birthday"} | days
) | st.sampled_from([{"on": "first_purchase"}, {"on": "survey"}, {"on": "referral"}])
FIXED = st.fixed_dictionaries({"kind": st.just("fixed"), "value": AMOUNTS})
SCENARIOS = a_few_of(
    GIVING, BEGIN | {"type": st.just("scenario"), "reward": FIXED | REWARDS, "scenario": ON}
)
REDEMPTION = some(
    max_share=st.sampled_from(["0", "33.3333", "100", "101"]),
    min_line_price=AMOUNTS,
    min_money=AMOUNTS,
    order=st.just("oldest"),
    legal=st.just(["alcohol"]),
)
REDEMPTIONS = a_few_of(SHARED, BEGIN | {"type": st.just("redemption"), "redemption": REDEMPTION})


def read(raw: object, code: str = "fuzzed") -> ProgramVersion | RedemptionRule | None:
    """The program, as it is after being stored; None when it is refused, with pointers."""
    try:
        body = decode_body(json.dumps(raw).encode(), DefinitionIn)
        program = compile_definition(code, 1, body)
    except ValidationFailed as refused:
        if not all(fault.pointer[:1] in ("", "/") for fault in refused.errors):
            raise
        return None
    stored = json.loads(json.dumps(stored_definition(body)))
    assert compile_definition(code, 1, read_definition(stored)) == program
    return program


@settings(max_examples=250, deadline=timedelta(seconds=5))
@given(raw=st.lists(ACCRUALS | SCENARIOS, min_size=1, max_size=3), situation=SITUATIONS)
def test_what_gives_points_is_calculated_and_told(raw: list[object], situation: Situation) -> None:
    """Alone and beside others, whose names a multiplier may know."""
    found = [read(one, code) for one, code in zip(raw, ("milk", "dairy", "sbp"), strict=False)]
    of_sales: list[ProgramVersion] = []
    for program in found:
        if program is None:
            continue
        assert isinstance(program, ProgramVersion)
        rule = program.scenario
        if rule is None or rule.on == "first_purchase":
            of_sales.append(program)
            continue
        empty = replace(situation.basket, lines=(), payments=())
        happened = replace(situation, basket=empty, event=rule.on, event_key="2026")
        _calculate([program], happened)
    if situation.basket.lines:  # No sale is without lines.
        _calculate(of_sales, situation)


def _calculate(programs: list[ProgramVersion], situation: Situation) -> None:
    trace: Trace = []
    try:
        awards = calculate(Running.of(programs), situation, trace=trace)
    except TooManyPoints:
        assert situation.basket.lines  # An event gives one amount, which is one.
        return
    for award in awards:
        assert award.points <= MAX_AMOUNT
        assert sum(part.points for part in award.parts) == award.points > 0
        assert not award.by_line or sum(award.by_line) == award.points
    for language in LANGUAGES:
        assert all(portrait(program, language) for program in programs)
        assert all(because(reason, language) for reason in trace)


@settings(max_examples=200, deadline=timedelta(seconds=5))
@given(raw=REDEMPTIONS, situation=SITUATIONS, share=st.integers(0, 100))
def test_what_says_how_points_pay_is_calculated_and_told(
    raw: object, situation: Situation, share: int
) -> None:
    rule = read(raw)
    if rule is None:
        return
    assert isinstance(rule, RedemptionRule)
    allowed = payable([rule], situation)
    points = allowed.total * share // 100
    paid = pay(allowed, situation.basket, points)
    assert sum(paid) == points
    assert all(0 <= one <= most for one, most in zip(paid, allowed.by_line, strict=True))
    assert all(portrait(rule, language) for language in LANGUAGES)
