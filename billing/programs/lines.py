"""The lines of a basket by what they are: their places, goods and product groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress

from billing.programs.model import Basket, LineFilter

Positions = dict[str, list[int]]
"""Indices of lines by the name of something."""


def positions(by_line: Sequence[int]) -> Iterator[int]:
    """Where there is anything, without looking at each line in Python."""
    return compress(range(len(by_line)), by_line)


def in_order(basket: Basket) -> list[int]:
    """Where the lines are, by their numbers."""
    return sorted(range(len(basket.lines)), key=lambda i: basket.lines[i].number)


def by_goods(basket: Basket) -> tuple[Positions, Positions]:
    """Where there is which group, what is above it counted too, and where which sku."""
    by_group: Positions = {}
    by_sku: Positions = {}
    for i, line in enumerate(basket.lines):
        if line.sku is not None:
            by_sku.setdefault(line.sku, []).append(i)
        for group in line.ancestry:
            by_group.setdefault(group, []).append(i)
    return by_group, by_sku


def why_not(wanted: LineFilter, basket: Basket, i: int) -> tuple[str, dict[str, object]]:
    """The reason that a filter does not take the line at `i`, and its values."""
    line = basket.lines[i]
    if line.excluded:
        return "excluded_product", {}
    if wanted.exclude_promo and line.promo:
        return "promo_line", {}
    if line.sku in wanted.exclude_products or not wanted.exclude_groups.isdisjoint(line.ancestry):
        return "excluded_goods", {}
    if not wanted.takes(line):
        return "other_goods", {}
    return "line_condition", {"condition": wanted.when}


def by_group(basket: Basket, by_line: Sequence[int]) -> tuple[tuple[str | None, int], ...]:
    """Points of lines summed by product group, in the order of the lines; zeros left out."""
    sums: dict[str | None, int] = {}
    for i in positions(by_line):
        group = basket.lines[i].group
        sums[group] = sums.get(group, 0) + by_line[i]
    return tuple(sums.items())
