"""The catalog on the wire."""

from __future__ import annotations

from typing import Annotated

import msgspec

from billing.catalog.model import Channel, Legal, Product, ProductGroup, Store
from billing.common.wire import Code

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
MAX_IMPORT = 10_000


class ChannelIn(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    brand: Name | None = None


class StoreIn(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    channel: Code
    group: Code | None = None
    timezone: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class ProductGroupIn(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    parent: Code | None = None
    legal: Legal | None = None


class ProductIn(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    group: Code
    excluded: bool = False


class ImportedProduct(ProductIn, forbid_unknown_fields=True, kw_only=True):
    """A product of an import, with its sku."""

    sku: Code


ProductList = Annotated[list[ImportedProduct], msgspec.Meta(max_length=MAX_IMPORT)]


class ImportOut(msgspec.Struct):
    created: int
    changed: int
    unchanged: int


class ChannelPage(msgspec.Struct):
    items: list[Channel]
    next_cursor: str | None


class StorePage(msgspec.Struct):
    items: list[Store]
    next_cursor: str | None


class ProductGroupPage(msgspec.Struct):
    items: list[ProductGroup]
    next_cursor: str | None


class ProductPage(msgspec.Struct):
    items: list[Product]
    next_cursor: str | None
