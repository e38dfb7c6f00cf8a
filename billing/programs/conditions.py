"""Conditions: a typed tree over a receipt, its customer and its lines.

On the wire `{"all": […]}`, `{"any": […]}`, `{"not": {…}}` or `{"field", "op", "value"}`. What
compiles can always be evaluated. In a condition over a whole receipt a leaf on a line's field
means "some line"; two such leaves may mean two lines.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from billing.common.faults import token
from billing.programs.evaluation import Evaluation
from billing.programs.faults import Faults
from billing.programs.fields import FIELDS, LINE
from billing.programs.kinds import Kind, Op
from billing.programs.model import Condition, Every, Leaf, Line, Not, Situation, Some

MAX_DEPTH = 8
MAX_LEAVES = 100
MAX_LINE_LEAVES = 20
"""Comparisons with fields of lines, each of which looks at every line."""
MAX_VALUES = 1000
MAX_HINTS = 3
"""Slips of the pen that are explained; looking for the name that was meant takes long."""
_SHAPES = 'one of {"all": […]}, {"any": […]}, {"not": {…}}, {"field": …, "op": …, "value": …}'
_NOTHING = Every(())
"""Stands for what could not be compiled; there is a fault then, so it is never evaluated."""


def compile_condition(
    value: object, pointer: str, faults: Faults, *, of_line: bool = False
) -> Condition:
    """The condition that JSON `value` describes. What is wrong is added to `faults`.

    `of_line`: only fields of the line may be named; evaluate it with `line_holds`.
    """
    return _Reader(pointer, faults, of_line).node(value, pointer, 1)


def holds(condition: Condition, situation: Situation) -> bool:
    """Whether `condition` is true of `situation`. An Evaluation asks many of one situation."""
    return Evaluation(situation).holds(condition)


def line_holds(condition: Condition, line: Line) -> bool:
    """Whether `condition`, over fields of a line alone, is true of `line`."""
    if isinstance(condition, Leaf):
        return _compare(condition, line)
    if isinstance(condition, Every):
        return all(line_holds(part, line) for part in condition.parts)
    if isinstance(condition, Some):
        return any(line_holds(part, line) for part in condition.parts)
    return not line_holds(condition.part, line)


def unmet(condition: Condition, situation: Situation) -> Condition:
    """The part of `condition`, which does not hold, that is to blame: enough to explain it."""
    return Evaluation(situation).unmet(condition)


def leaves(condition: Condition, pointer: str = "") -> Iterator[tuple[str, Leaf]]:
    """Every comparison in `condition`, with its place in the JSON it was compiled from."""
    if isinstance(condition, Leaf):
        yield pointer, condition
    elif isinstance(condition, Not):
        yield from leaves(condition.part, f"{pointer}/not")
    else:
        name = "all" if isinstance(condition, Every) else "any"
        for index, part in enumerate(condition.parts):
            yield from leaves(part, f"{pointer}/{name}/{index}")


def fields(condition: Condition) -> frozenset[str]:
    """The fields that `condition` looks at."""
    return frozenset(leaf.field for _, leaf in leaves(condition))


def _compare(leaf: Leaf, line: Line) -> bool:
    field = FIELDS[leaf.field]
    actual = field.read(line)
    return actual is not None and field.kind.ops[leaf.op].test(actual, leaf.value)


class _Reader:
    def __init__(self, root: str, faults: Faults, of_line: bool) -> None:
        self._root = root
        self._faults = faults
        self._of_line = of_line
        self._leaves = 0
        self._line_leaves = 0
        self._hints = 0
        self._stopped = False

    def node(self, value: object, at: str, depth: int) -> Condition:
        if self._stopped or self._faults.is_full:
            return _NOTHING
        if depth > MAX_DEPTH:
            return self._refuse(at, f"is nested deeper than {MAX_DEPTH}")
        if not isinstance(value, dict) or not value:
            return self._refuse(at, f"must be {_SHAPES}")
        if "all" in value or "any" in value or "not" in value:
            return self._branch(value, at, depth)
        return self._leaf(value, at)

    def _branch(self, value: dict[Any, Any], at: str, depth: int) -> Condition:
        if len(value) > 1:
            return self._refuse(at, f"must be {_SHAPES}, and only one of them")
        [(name, inside)] = value.items()
        if name == "not":
            return Not(self.node(inside, f"{at}/not", depth + 1))
        if not isinstance(inside, list) or not inside:
            return self._refuse(f"{at}/{name}", "must be a list of at least one condition")
        if len(inside) > MAX_LEAVES and self._faults.draft:
            return self._refuse(f"{at}/{name}", f"must have at most {MAX_LEAVES} items")
        parts = tuple(
            self.node(part, f"{at}/{name}/{index}", depth + 1) for index, part in enumerate(inside)
        )
        return Every(parts) if name == "all" else Some(parts)

    def _leaf(self, value: dict[Any, Any], at: str) -> Condition:
        self._count(value)
        if self._stopped:
            return _NOTHING
        known = ("field", "op", "value")
        for name in [*(n for n in known if n not in value), *(n for n in value if n not in known)]:
            detail = "is missing" if name in known else f"is not known here; this must be {_SHAPES}"
            self._refuse(f"{at}/{token(str(name)[:64])}", detail)
        if value.keys() != set(known):
            return _NOTHING
        field = FIELDS.get(value["field"]) if isinstance(value["field"], str) else None
        if field is None or (self._of_line and not value["field"].startswith(LINE)):
            return self._refuse(f"{at}/field", self._unknown(value["field"]))
        op = field.kind.ops.get(value["op"]) if isinstance(value["op"], str) else None
        if op is None:
            return self._refuse(f"{at}/op", f"must be one of {_quoted(field.kind.ops)}")
        before = len(self._faults)
        typed = self._value(field.kind, op, value["value"], f"{at}/value")
        return Leaf(value["field"], value["op"], typed) if len(self._faults) == before else _NOTHING

    def _count(self, value: dict[Any, Any]) -> None:
        """Stop at the first comparison that is too many: nobody reads the faults of the rest."""
        name = value.get("field")
        self._leaves += 1
        self._line_leaves += isinstance(name, str) and name.startswith(LINE)
        if not self._faults.draft:
            return
        if self._leaves > MAX_LEAVES:
            self._stopped = True
            self._refuse(self._root, f"has more than {MAX_LEAVES} comparisons")
        elif self._line_leaves > MAX_LINE_LEAVES:
            self._stopped = True
            self._refuse(
                self._root, f"has more than {MAX_LINE_LEAVES} comparisons with fields of lines"
            )

    def _value(self, kind: Kind, op: Op, value: object, at: str) -> object:
        if op.takes == "one":
            return self._faults.check(at, kind.read, value, None)
        most = MAX_VALUES if self._faults.draft else math.inf
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            what = "two values" if op.takes == "two" else f"1 to {MAX_VALUES} values"
            self._faults.add(at, f"must be a list of {what}")
            return None
        before = len(self._faults)
        items = [
            self._faults.check(f"{at}/{index}", kind.read, item, None)
            for index, item in enumerate(value)
        ]
        if len(self._faults) > before:
            return None
        if op.takes == "many":
            return frozenset(items)
        if len(items) != 2:
            self._faults.add(at, "must be a list of two values, the least and the most")
            return None
        if items[0] > items[1] and not kind.wraps:
            self._faults.add(at, "must begin with the smaller value")
            return None
        return tuple(items)

    def _unknown(self, name: object) -> str:
        known = [n for n in FIELDS if not self._of_line or n.startswith(LINE)]
        if self._of_line and isinstance(name, str) and name in FIELDS:
            return f"is not of a line; here one of {_quoted(known)}, or move it to /when"
        self._hints += 1
        may_be_slip = isinstance(name, str) and self._hints <= MAX_HINTS
        close = get_close_matches(str(name)[:64], known, n=1) if may_be_slip else []
        if close:
            return f"is not a known field; did you mean {close[0]!r}?"
        return f"must be one of {len(known)} fields, such as {_quoted(known[:1] + known[-1:])}"

    def _refuse(self, at: str, detail: str) -> Condition:
        self._faults.add(at, detail)
        return _NOTHING


def _quoted(names: Any) -> str:
    return ", ".join(map(repr, names))
