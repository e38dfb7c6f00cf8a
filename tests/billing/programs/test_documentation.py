"""The examples of docs/programs.md do what the page says."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from billing.programs.book import Running
from billing.programs.calculation import Trace, calculate
from billing.programs.conditions import compile_condition
from billing.programs.definition import compile_definition, read_definition
from billing.programs.explain import because
from billing.programs.faults import Faults
from billing.programs.fields import FIELDS
from billing.programs.model import Award, Basket, Line, Member, ProgramVersion, Situation

PAGE = (Path(__file__).parents[3] / "docs/programs.md").read_text(encoding="utf-8")
MILK, BREAD = ("milk", "dairy"), ("bread",)


def _program(definition: dict[str, Any]) -> ProgramVersion:
    body = {name: value for name, value in definition.items() if name != "code"}
    program = compile_definition(definition["code"], 1, read_definition(body))
    assert isinstance(program, ProgramVersion)
    return program


PROGRAMS = {
    made["code"]: _program(made)
    for made in map(json.loads, re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
}


def award(
    codes: str,
    *lines: tuple[tuple[str, ...], int],
    hour: int = 9,
    payments: tuple[tuple[str, int], ...] = (),
    trace: Trace | None = None,
    paid: list[int] | None = None,
    **changes: Any,
) -> dict[str, Award]:
    """What the programs of the page give on 21 November 2026 in Moscow, at `hour` UTC."""
    made = tuple(
        Line(number, f"sku-{number}", groups[0], groups, amount, price=amount)
        for number, (groups, amount) in enumerate(lines, 1)
    )
    at = datetime(2026, 11, 21, hour, 15, tzinfo=UTC)
    basket = Basket("shop", "333", "south", "Europe/Moscow", at, made, payments)
    member = Member(UUID(int=1), birth_date=date(1990, 5, 1))
    programs = Running.of(PROGRAMS[code] for code in codes.split())
    found = calculate(programs, Situation(basket, member), paid or (), trace=trace)
    return {one.program: one for one in found}


def points(codes: str, *lines: tuple[tuple[str, ...], int], **more: Any) -> dict[str, int]:
    return {code: one.points for code, one in award(codes, *lines, **more).items()}


def told(codes: str, *lines: tuple[tuple[str, ...], int], **more: Any) -> set[str]:
    trace: Trace = []
    award(codes, *lines, trace=trace, **more)
    return {because(reason, "en").replace("\u00a0", " ") for reason in trace}


def test_every_field_of_conditions_has_its_example() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| [^|]+ \| `(\{.*\})` \|$", PAGE, re.MULTILINE)
    assert [name for name, _ in rows] == list(FIELDS)
    for name, example in rows:
        faults = Faults()
        compile_condition(json.loads(example), "", faults)
        faults.raise_if_any()
        assert json.loads(example)["field"] == name


def test_rewards_give_what_the_page_says() -> None:
    assert points("base-5", (BREAD, 19999)) == {"base-5": 999}
    assert points("base-5", (BREAD, 10000), paid=[5000]) == {"base-5": 250}
    assert points("per-10", (BREAD, 10500)) == {"per-10": 1000}
    totals = (49999, 99999, 100000)
    assert [points("more-more", (BREAD, one)).get("more-more") for one in totals] == [
        None, 1000, 2000
    ]  # fmt: skip
    split = (("sbp", 60000), ("cash", 40000))
    assert points("sbp-10", (BREAD, 100000), payments=split) == {"sbp-10": 6000}
    both = award("base-5 triple", (MILK, 10000), (BREAD, 10000))
    assert both["base-5"].by_line == (500, 500)
    assert both["triple"].by_line == (1000, 0)
    assert points("best-7", (MILK, 10000), (BREAD, 10000)) == {"best-7": 1400}


def test_conditions_and_limits_explain_themselves_as_the_page_says() -> None:
    assert points("dear-milk", (MILK, 12000)) == {"dear-milk": 360}
    assert _is_quoted(told("dear-milk", (MILK, 9999)))
    assert points("evening", (BREAD, 60000), hour=18) == {"evening": 3000}
    assert points("evening", (BREAD, 60000)) == {}
    assert points("limited", (BREAD, 200000)) == {"limited": 5000}
    assert _is_quoted(told("limited", (BREAD, 200000)))


def test_instalments_come_when_the_page_says() -> None:
    parts = award("parts", (BREAD, 10000))["parts"].parts
    midnights = [datetime(2026, 11, 21, 21), datetime(2026, 12, 21, 21), datetime(2027, 1, 21, 21)]  # noqa: DTZ001
    assert [part.points for part in parts] == [334, 333, 333]
    assert [part.available_from for part in parts] == [m.replace(tzinfo=UTC) for m in midnights]
    assert parts[0].expires_at == datetime(2027, 1, 31, 21, tzinfo=UTC)


def _is_quoted(sentences: set[str]) -> bool:
    return any(f'"{one}"' in PAGE for one in sentences)
