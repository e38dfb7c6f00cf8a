"""Conditions that can never hold, as far as that is cheap to see: within one `all`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from billing.programs.fields import FIELDS, LINE
from billing.programs.kinds import CODES, FLAG, NAME, TAGS, TYPES, WEEKDAY, WEEKDAYS
from billing.programs.model import Condition, Every, Leaf, Not, Some
from billing.programs.sentences import sentence
from billing.programs.words import both


def contradictions(
    condition: Condition, pointer: str, *, of_line: bool = False
) -> Iterator[tuple[str, str]]:
    """Where in the JSON of `condition` something can never be true, and what."""
    demanded, alternatives = _demanded(condition, pointer)
    # Over a whole receipt two leaves on lines may mean two lines: each is looked at alone.
    groups = [[leaf] for leaf in demanded if leaf.field.startswith(LINE) and not of_line]
    plain = [leaf for leaf in demanded if of_line or not leaf.field.startswith(LINE)]
    plain.sort(key=lambda leaf: leaf.field)
    groups += [list(group) for _, group in groupby(plain, key=lambda leaf: leaf.field)]
    for group in groups:
        if _is_never(group):
            told = both((sentence(leaf, "en", of_line=of_line) for leaf in group), "en")
            yield pointer, f"can never hold: {told}"
    for at, part in alternatives:
        yield from contradictions(part, at, of_line=of_line)


def demands(condition: Condition, wanted: Leaf) -> bool:
    """Whether `condition` can hold only where `wanted` does: it is one of what must all hold."""
    return wanted in _demanded(condition, "")[0]


Alternatives = list[tuple[str, Condition]]


def _demanded(condition: Condition, at: str) -> tuple[list[Leaf], Alternatives]:
    """The leaves that must all hold, and the parts of which some may fail, with their places."""
    if isinstance(condition, Leaf):
        return [condition], []
    if isinstance(condition, Not):
        return [], []  # What can never hold is always true when negated.
    name = "all" if isinstance(condition, Every) else "any"
    parts = [(f"{at}/{name}/{index}", part) for index, part in enumerate(condition.parts)]
    if isinstance(condition, Some):
        return [], parts
    found = [_demanded(part, place) for place, part in parts]
    return [leaf for leaves, _ in found for leaf in leaves], [
        one for _, some in found for one in some
    ]


def _is_never(group: Sequence[Leaf]) -> bool:
    kind = FIELDS[group[0].field].kind
    if kind.rank is not None:
        return _no_number(group)
    if kind is FLAG:
        return len({leaf.value for leaf in group}) > 1
    if kind in (NAME, WEEKDAY):
        return _no_name(group, frozenset(WEEKDAYS) if kind is WEEKDAY else None)
    return _no_set(group) if kind in (CODES, TAGS, TYPES) else False


def _no_number(group: Sequence[Leaf]) -> bool:
    field = FIELDS[group[0].field]
    rank = field.kind.rank or int
    least = [] if field.least is None else [field.least]
    most = [] if field.most is None else [field.most]
    never: set[int] = set()
    for leaf in group:
        value: Any = leaf.value
        ends = value if leaf.op == "between" else (value, value)
        first, last = rank(ends[0]), rank(ends[1])
        if leaf.op == "!=":
            never.add(first)
        elif first > last:
            continue  # Over midnight: two spans, not one.
        if leaf.op in ("=", "between", ">="):
            least.append(first)
        elif leaf.op == ">":
            least.append(first + 1)
        if leaf.op in ("=", "between", "<="):
            most.append(last)
        elif leaf.op == "<":
            most.append(last - 1)
    if not least or not most:
        return False
    span = max(least), min(most)
    return span[0] > span[1] or (span[0] == span[1] and span[0] in never)


def _no_name(group: Sequence[Leaf], all_there_are: frozenset[str] | None) -> bool:
    allowed, never = all_there_are, frozenset[str]()
    for leaf in group:
        names = _names(leaf)
        if leaf.op in ("=", "in"):
            allowed = names if allowed is None else allowed & names
        else:
            never |= names
    return allowed is not None and not allowed - never


def _no_set(group: Sequence[Leaf]) -> bool:
    wanted = [_names(leaf) for leaf in group if leaf.op in ("has", "has_any")]
    never = frozenset[str]().union(*(_names(leaf) for leaf in group if leaf.op == "has_not"))
    only = [_names(leaf) for leaf in group if leaf.op == "only"]
    allowed = frozenset.intersection(*only) if only else None
    possible = [names - never for names in [*wanted, *only]]
    if allowed is not None:
        possible = [names & allowed for names in possible]
    return not all(possible)


def _names(leaf: Leaf) -> frozenset[str]:
    return leaf.value if isinstance(leaf.value, frozenset) else frozenset((str(leaf.value),))
