"""Whether what a program names exists, and leaves it something to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from billing.catalog.model import CatalogSnapshot, Product
from billing.programs.conditions import leaves
from billing.programs.faults import Faults
from billing.programs.model import Leaf, ProgramVersion, RedemptionRule

Program = ProgramVersion | RedemptionRule
Known = Mapping[str, object] | frozenset[str]

_NAMING = {
    "line.group": "product group",
    "line.sku": "product",
    "customer.registration_channel": "channel",
    "customer.registration_store": "store",
}
"""The fields of conditions whose values are codes of the catalog."""


def check_names(
    program: Program, catalog: CatalogSnapshot, products: Mapping[str, Product]
) -> None:
    """Raise ValidationFailed unless all of the catalog that the program names exists.

    `products` are those that exist among `named_products`.
    """
    faults = Faults()
    known: dict[str, Known] = {
        "channel": catalog.channels,
        "store": catalog.stores,
        "store group": catalog.store_groups,
        "product group": catalog.groups,
        "product": products,
    }
    for pointer, what, codes in _named(program):
        for code in sorted(codes):
            if code not in known[what]:
                faults.add(pointer, f"there is no {what} {code!r}")
    if not faults:
        _check_scope(program, catalog, faults)
        _check_groups(program, catalog, faults)
        _check_products(program, catalog, products, faults)
    faults.raise_if_any()


def named_products(program: Program) -> frozenset[str]:
    """Every sku the program names."""
    return frozenset(
        code for _, what, codes in _named(program) if what == "product" for code in codes
    )


def _named(program: Program) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Where the program names what of the catalog."""
    scope, lines = program.scope, program.lines
    yield "/scope/channels", "channel", scope.channels
    yield "/scope/stores", "store", scope.stores
    yield "/scope/exclude_stores", "store", scope.exclude_stores
    yield "/scope/store_groups", "store group", scope.store_groups
    yield "/lines/groups", "product group", lines.groups
    yield "/lines/exclude_groups", "product group", lines.exclude_groups
    yield "/lines/products", "product", lines.products
    yield "/lines/exclude_products", "product", lines.exclude_products
    for condition, at in ((program.when, "/when"), (lines.when, "/lines/when")):
        for pointer, leaf in leaves(condition, at) if condition is not None else ():
            if leaf.field in _NAMING:
                yield f"{pointer}/value", _NAMING[leaf.field], _codes(leaf)


def _codes(leaf: Leaf) -> frozenset[str]:
    return leaf.value if isinstance(leaf.value, frozenset) else frozenset((str(leaf.value),))


def _check_scope(program: Program, catalog: CatalogSnapshot, faults: Faults) -> None:
    scope = program.scope
    for code in sorted(scope.stores):
        channel = catalog.stores[code].channel
        if scope.channels and channel not in scope.channels:
            faults.add("/scope/stores", f"{code!r} is of the channel {channel!r}, not in the scope")
    if faults or not (scope.stores or scope.store_groups):
        return
    for store in catalog.stores.values():
        if (not scope.channels or store.channel in scope.channels) and scope.covers(
            store.channel, store.code, store.group
        ):
            return
    faults.add("/scope", "leaves no store in which the program works")


def _check_groups(program: Program, catalog: CatalogSnapshot, faults: Faults) -> None:
    for code in sorted(program.lines.groups):
        above = next(
            (one for one in catalog.ancestry(code) if one in program.lines.exclude_groups), None
        )
        if above is not None:
            faults.add("/lines/groups", f"{code!r} is below {above!r}, which is excluded")


def _check_products(
    program: Program, catalog: CatalogSnapshot, products: Mapping[str, Product], faults: Faults
) -> None:
    for sku in sorted(program.lines.products):
        product = products[sku]
        above = program.lines.exclude_groups.intersection(catalog.ancestry(product.group))
        if product.excluded:
            faults.add("/lines/products", f"{sku!r} takes no part in programs: it is excluded")
        elif above:
            group = min(above)
            faults.add("/lines/products", f"{sku!r} is in {group!r}, which is excluded")
