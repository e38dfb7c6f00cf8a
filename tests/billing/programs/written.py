"""Programs as marketers might write them: every reward, limit, life, rounding and condition.

Definitions as on the wire, without code and scope; those of one list get on with each other.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from billing.programs.definition import compile_definition, read_definition
from billing.programs.editions import asking
from billing.programs.model import ProgramVersion, RedemptionRule

Definition = dict[str, Any]

GROUPS = ("a", "b", "c")
ABOVE = "all"
"""The group above them."""
SINCE = "2020-01-01T00:00:00Z"
PAYMENTS = ("card", "cash", "sbp")
PERIODS = ("P1D", "P10D", "P1M", "P1Y", "PT36H")
MODES = ("down", "up", "half_up", "half_even")
STEPS = ("0.01", "0.5", "1", "7")
ORDERS = ("expiry", "promo_first", "base_first", "oldest")


def _amounts(most: int) -> st.SearchStrategy[str]:
    return st.integers(1, most).map(lambda cents: f"{cents // 100}.{cents % 100:02d}")


def _codes(codes: tuple[str, ...], least: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(codes), min_size=least, max_size=2, unique=True)


_rates = st.integers(1, 3_000_000).map(lambda rate: f"{rate // 10_000}.{rate % 10_000:04d}")
_brackets = st.lists(
    st.tuples(st.integers(0, 500_00), _rates), min_size=1, max_size=4, unique_by=lambda one: one[0]
).map(
    lambda some: [
        {"from": f"{start // 100}.{start % 100:02d}", "value": rate} for start, rate in sorted(some)
    ]
)
_plain = st.one_of(
    st.fixed_dictionaries({"kind": st.just("percent"), "value": _rates}),
    st.fixed_dictionaries({"kind": st.just("fixed"), "value": _amounts(100_00)}),
    st.fixed_dictionaries(
        {"kind": st.just("per_amount"), "value": _amounts(50_00), "step": _amounts(100_00)}
    ),
    st.fixed_dictionaries({"kind": st.just("per_unit"), "value": _amounts(10_00)}),
    st.fixed_dictionaries({"kind": st.just("brackets"), "brackets": _brackets}),
)
_conditions = st.sampled_from(
    [
        {"field": "receipt.total", "op": ">=", "value": "50.00"},
        {"field": "receipt.time", "op": "between", "value": ["22:00", "12:30"]},
        {"field": "receipt.weekday", "op": "in", "value": ["mon", "sat"]},
        {"not": {"field": "customer.tags", "op": "has", "value": "staff"}},
        {"any": [{"field": "line.promo", "op": "=", "value": True},
                 {"field": "receipt.lines", "op": ">", "value": 1}]},
        {"all": [{"field": "receipt.first_purchase", "op": "=", "value": True},
                 {"field": "line.amount", "op": ">", "value": "1.00"}]},
    ]
)  # fmt: skip
_line_conditions = st.sampled_from(
    [
        {"field": "line.price", "op": ">=", "value": "10.00"},
        {"not": {"field": "line.quantity", "op": "between", "value": ["1", "2"]}},
    ]
)


@st.composite
def _lines(draw: st.DrawFn) -> Definition:
    included = draw(_codes((*GROUPS, ABOVE)))
    excluded = [one for one in draw(_codes(GROUPS)) if one not in included]
    made: Definition = {"groups": included, "exclude_groups": excluded}
    made["exclude_promo"] = draw(st.booleans())
    made["when"] = draw(st.none() | st.none() | _line_conditions)
    return made


@st.composite
def _life(draw: st.DrawFn, expiring: bool) -> Definition:
    """`available`, `expires`, and the end of a program whose points have one."""
    available: Definition = {}
    when = draw(st.sampled_from(["now", "now", "after", "at"]))
    if when == "after":
        available["after"] = draw(st.sampled_from(PERIODS))
    elif when == "at":
        available["at"] = draw(
            st.sampled_from(["2027-03-08T00:00:00+03:00", "2028-02-29T00:00:00Z"])
        )
    if draw(st.booleans()):
        every = draw(st.sampled_from(["P1M", "P7D", "PT12H"]))
        available["instalments"] = {"count": draw(st.integers(2, 4)), "every": every}
    made: Definition = {"available": available or None}
    end = draw(st.sampled_from([None, "after", "at"])) if expiring else None
    if end == "after":
        rounded = draw(st.sampled_from([None, "month", "quarter", "half_year", "year"]))
        made["expires"] = {"after": draw(st.sampled_from(PERIODS)), "round_up_to": rounded}
    elif end == "at":
        made |= {"valid_to": "2029-01-01T00:00:00Z", "expires": {"at": "2031-01-01T00:00:00Z"}}
    return made


@st.composite
def _limits(draw: st.DrawFn, reward: Definition) -> Definition:
    """Not less than a fixed reward gives each time: that is refused."""
    least = 0
    if reward["kind"] == "fixed":
        whole, fraction = reward["value"].split(".")
        least = int(whole) * 100 + int(fraction) - 1
    limit = st.none() | st.integers(1, 60_00).map(
        lambda more: f"{(least + more) // 100}.{(least + more) % 100:02d}"
    )
    names = ("per_receipt", "per_customer_day", "budget")
    times = draw(st.none() | st.none() | st.integers(1, 3))
    return {name: draw(limit) for name in names} | {"times_per_customer_day": times}


@st.composite
def giving(draw: st.DrawFn, *, expiring: bool = True) -> list[Definition]:
    """One to five programs that give points for sales; the last may multiply the others.

    Their stacking groups are `g` and `h`. `expiring`: whether points may have an end.
    """
    policies = {group: draw(st.sampled_from(["sum", "max", "priority"])) for group in "gh"}
    made: list[Definition] = []
    count = draw(st.integers(1, 4))
    for number in range(count + draw(st.booleans())):
        reward: Definition = draw(_plain)
        if number == count:
            named = draw(st.lists(st.sampled_from(range(count)), min_size=1, unique=True))
            factor = draw(st.integers(10_001, 50_000))
            reward = {"kind": "multiplier", "value": f"{factor // 10_000}.{factor % 10_000:04d}"}
            reward["programs"] = [f"p{one}" for one in named]
        group = draw(st.sampled_from("gh"))
        one: Definition = {
            "name": f"p{number}",
            "valid_from": SINCE,
            "lines": draw(_lines()),
            "when": draw(st.none() | st.none() | _conditions),
            "reward": reward,
            "rounding": {
                "mode": draw(st.sampled_from(MODES)),
                "step": draw(st.sampled_from(STEPS)),
                "per": draw(st.sampled_from(["receipt", "line"])),
            },
            "bucket": draw(st.sampled_from(["base", "promo"])),
            "stacking": {
                "group": group,
                "policy": policies[group],
                "priority": draw(st.integers(0, 2)),
            },
            "limits": draw(_limits(reward)),
            "on_return": draw(st.sampled_from(["debt", "debt", "floor", "refuse"])),
            **draw(_life(expiring)),
        }
        if reward["kind"] != "multiplier":
            one["base"] = draw(st.sampled_from(["gross", "net_of_points"]))
            one["payment_types"] = draw(st.just([]) | st.just([]) | _codes(PAYMENTS, 1))
        if reward["kind"] == "fixed":
            one["rounding"]["per"] = "receipt"
        if draw(st.integers(0, 5)) == 0:
            one |= {"type": "scenario", "scenario": {"on": "first_purchase"}}
        made.append(one)
    return made


@st.composite
def paying(draw: st.DrawFn) -> Definition:
    """A rule of what points may pay."""
    return {
        "name": "pays",
        "type": "redemption",
        "valid_from": SINCE,
        "lines": draw(_lines()),
        "when": draw(st.none() | _conditions),
        "redemption": {
            "max_share": draw(st.sampled_from(["0", "33.3333", "50", "100"])),
            "min_line_price": draw(st.sampled_from(["0", "0.01", "5.00"])),
            "min_money": draw(st.sampled_from(["0", "1.00"])),
            "order": draw(st.sampled_from(ORDERS)),
            "legal": draw(st.sampled_from([[], ["tobacco"]])),
        },
    }


def compiled(definitions: list[Definition]) -> list[ProgramVersion]:
    """The programs `p0`, `p1` … that the definitions describe, as the book has them."""
    made = []
    for number, one in enumerate(definitions):
        program = asking(compile_definition(f"p{number}", 1, read_definition(one)))
        assert isinstance(program, ProgramVersion)
        made.append(program)
    return made


def compiled_rule(definition: Definition) -> RedemptionRule:
    rule = compile_definition("pays", 1, read_definition(definition))
    assert isinstance(rule, RedemptionRule)
    return rule
