"""What the chain sells, and where: channels, stores, product groups and products."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from types import MappingProxyType
from typing import Literal

import msgspec

from billing.common.errors import ValidationFailed

MAX_DEPTH = 16
"""How deep product groups may nest."""


class Channel(msgspec.Struct, frozen=True):
    """A way to reach customers: the shops of a brand, a website, a messenger (B1)."""

    code: str
    name: str
    brand: str | None = None


class Store(msgspec.Struct, frozen=True):
    """A shop. `group` names its store group, which exists by being named (B12)."""

    code: str
    name: str
    channel: str
    group: str | None = None
    timezone: str | None = None
    """IANA name; None is the chain's own time zone."""


Legal = Literal["tobacco", "alcohol"]


class ProductGroup(msgspec.Struct, frozen=True):
    """A node of the product tree; a rule on it covers what is below it.

    `legal` marks goods whose price the law protects, so that points must not pay for them.
    """

    code: str
    name: str
    parent: str | None = None
    legal: Legal | None = None


class Product(msgspec.Struct, frozen=True):
    """An article. An `excluded` one neither earns points nor is paid with them."""

    sku: str
    name: str
    group: str
    excluded: bool = False


class CatalogSnapshot:
    """The catalog but for its products at one revision; never changes, safe to keep."""

    def __init__(
        self,
        revision: int,
        channels: list[Channel],
        stores: list[Store],
        groups: list[ProductGroup],
    ) -> None:
        self.revision = revision
        self.channels = MappingProxyType({channel.code: channel for channel in channels})
        self.stores = MappingProxyType({store.code: store for store in stores})
        self.groups = MappingProxyType({group.code: group for group in groups})
        self.store_groups: Mapping[str, frozenset[str]] = _members(stores)
        parents = {group.code: group.parent for group in groups}
        self._ancestry = {code: _ancestry(code, parents) for code in parents}
        legal = {group.code: group.legal for group in groups}
        self._legal = {
            code: next((legal[one] for one in above if legal[one]), None)
            for code, above in self._ancestry.items()
        }

    def at(self, revision: int) -> CatalogSnapshot:
        """The same at a later revision, which changed products only."""
        later = copy(self)
        later.revision = revision
        return later

    def ancestry(self, group: str) -> tuple[str, ...]:
        """The group itself and its ancestors, nearest first; of an unknown group, itself."""
        return self._ancestry.get(group) or (group,)

    def legal(self, group: str) -> Legal | None:
        """What the law says about the goods of a group: its own mark, or the nearest above it."""
        return self._legal.get(group)


def check_parent(code: str, parent: str | None, groups: Mapping[str, ProductGroup]) -> None:
    """Raise ValidationFailed unless `code` may hang below `parent` in the tree of `groups`."""
    if parent is None:
        return
    if parent not in groups and parent != code:
        raise ValidationFailed.at("/parent", f"there is no product group {parent!r}; PUT it first")
    parents = {group.code: group.parent for group in groups.values()}
    above = _ancestry(parent, parents)
    if code in above:
        way = " → ".join((code, *above[: above.index(code) + 1]))
        raise ValidationFailed.at("/parent", f"would make a circle: {way}")
    depth = len(above) + _height(code, parents)
    if depth > MAX_DEPTH:
        raise ValidationFailed.at("/parent", f"groups may nest {MAX_DEPTH} deep, not {depth}")


def _ancestry(code: str, parents: Mapping[str, str | None]) -> tuple[str, ...]:
    chain = [code]
    while (parent := parents.get(chain[-1])) is not None and len(chain) <= MAX_DEPTH:
        chain.append(parent)
    return tuple(chain)


def _height(code: str, parents: Mapping[str, str | None]) -> int:
    """How many levels `code` and what is below it take."""
    level, height = {code}, 0
    while level:
        height += 1
        level = {child for child, parent in parents.items() if parent in level}
    return height


def _members(stores: list[Store]) -> Mapping[str, frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for store in stores:
        if store.group is not None:
            groups.setdefault(store.group, set()).add(store.code)
    return MappingProxyType({group: frozenset(codes) for group, codes in groups.items()})
