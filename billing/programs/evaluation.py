"""Whether conditions hold in a situation, as cheaply as many of them over many lines allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import compress, repeat
from typing import Any

from billing.programs.fields import FIELDS, LINE
from billing.programs.kinds import GROUP
from billing.programs.model import Condition, Every, Leaf, Not, Situation, Some


class Evaluation:
    """One situation that conditions are asked about.

    A field is read once, and two equal comparisons over lines are one: programs that run together
    mostly ask the same. A set of lines is an integer whose bit `i` stands for the line at index
    `i` of the basket.
    """

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._known: dict[str, Any] = {}
        self._columns: dict[str, _Column] = {}
        self._compared: dict[Leaf, int] = {}

    def holds(self, condition: Condition) -> bool:
        """Whether `condition` is true; a comparison of a line's field means "some line"."""
        if isinstance(condition, Leaf):
            if condition.field.startswith(LINE):
                return self._lines_of(condition) != 0
            return self._compare(condition)
        if isinstance(condition, Every):
            return all(map(self.holds, condition.parts))
        if isinstance(condition, Some):
            return any(map(self.holds, condition.parts))
        return not self.holds(condition.part)

    def lines_where(self, condition: Condition) -> int:
        """The lines of which `condition`, over fields of a line alone, is true."""
        if isinstance(condition, Leaf):
            return self._lines_of(condition)
        everything = (1 << len(self._situation.basket.lines)) - 1
        if isinstance(condition, Not):
            return everything & ~self.lines_where(condition.part)
        if isinstance(condition, Every):
            found = everything
            for part in condition.parts:
                if not found:
                    break
                found &= self.lines_where(part)
            return found
        found = 0
        for part in condition.parts:
            if found == everything:
                break
            found |= self.lines_where(part)
        return found

    def unmet(self, condition: Condition) -> Condition:
        """The part of `condition`, which does not hold, that is to blame."""
        if not isinstance(condition, Every):
            return condition
        failed = [part for part in condition.parts if not self.holds(part)]
        return self.unmet(failed[0]) if len(failed) == 1 else Every(tuple(failed))

    def _compare(self, leaf: Leaf) -> bool:
        field = FIELDS[leaf.field]
        if leaf.field not in self._known:
            self._known[leaf.field] = field.read(self._situation)
        actual = self._known[leaf.field]
        return actual is not None and field.kind.ops[leaf.op].test(actual, leaf.value)

    def _lines_of(self, leaf: Leaf) -> int:
        found = self._compared.get(leaf)
        if found is None:
            column = self._columns.get(leaf.field)
            if column is None:
                column = self._columns[leaf.field] = self._column(leaf.field)
            found = self._compared[leaf] = column.where(leaf)
        return found

    def _column(self, name: str) -> _Column:
        field, column = FIELDS[name], _Column()
        for i, line in enumerate(self._situation.basket.lines):
            value = field.read(line)
            if value is not None:
                column.known |= 1 << i
                for one in value if field.kind is GROUP else (value,):
                    column.by_value[one] = column.by_value.get(one, 0) | 1 << i
        return column


class _Column:
    """The lines by what a field of theirs says: by each group above them, of groups."""

    def __init__(self) -> None:
        self.known = 0
        self.by_value: dict[Any, int] = {}

    def where(self, leaf: Leaf) -> int:
        """The lines of which a comparison is true; what is not known makes none true."""
        if leaf.op in ("=", "in"):
            return self._among(leaf.value)
        if leaf.op in ("!=", "not_in"):
            return self.known & ~self._among(leaf.value)
        test = FIELDS[leaf.field].kind.ops[leaf.op].test
        met = map(test, self.by_value, repeat(leaf.value))
        return _union(compress(self.by_value.values(), met))

    def _among(self, wanted: object) -> int:
        if not isinstance(wanted, frozenset):
            return self.by_value.get(wanted, 0)
        return _union(self.by_value[one] for one in common(wanted, self.by_value))


def common(names: frozenset[Any], index: Mapping[Any, object]) -> list[Any]:
    """What is in both, at the cost of the smaller one."""
    if len(names) < len(index):
        return [name for name in names if name in index]
    return [name for name in index if name in names]


def _union(sets: Iterable[int]) -> int:
    found = 0
    for one in sets:
        found |= one
    return found
