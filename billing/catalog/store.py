"""The catalog's queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Table, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.catalog import tables
from billing.catalog.model import CatalogSnapshot, Channel, Product, ProductGroup, Store
from billing.common.db import Database

Item = Channel | Store | ProductGroup | Product
T = TypeVar("T", bound=Item)

TABLES: dict[type, Table] = {
    Channel: tables.channels,
    Store: tables.stores,
    ProductGroup: tables.product_groups,
    Product: tables.products,
}

_REVISIONS = "SELECT revision, structure FROM billing.catalog_revision"

# One statement, so that all parts are of one moment.
_SNAPSHOT = """
SELECT r.revision, r.structure,
       (SELECT coalesce(json_agg(c), '[]') FROM billing.channels c)::text AS channels,
       (SELECT coalesce(json_agg(s), '[]') FROM billing.stores s)::text AS stores,
       (SELECT coalesce(json_agg(g), '[]') FROM billing.product_groups g)::text AS groups
  FROM billing.catalog_revision r
"""

_PRODUCTS = """
SELECT sku, name, "group", excluded FROM billing.products WHERE sku = ANY($1::text[])
"""

# Sorted, so that two imports at once lock rows in one order.
_IMPORT = text("""
INSERT INTO billing.products AS p (sku, name, "group", excluded)
SELECT * FROM unnest(:skus ::text[], :names ::text[], :groups ::text[], :excluded ::boolean[])
 ORDER BY 1
    ON CONFLICT (sku) DO UPDATE
   SET name = excluded.name, "group" = excluded."group", excluded = excluded.excluded
 WHERE (p.name, p."group", p.excluded)
       IS DISTINCT FROM (excluded.name, excluded."group", excluded.excluded)
RETURNING (xmax = 0) AS created
""")


async def read_revisions(database: Database) -> tuple[int, int]:
    """`(revision, structure)` as committed now."""
    (row,) = await database.fetch(_REVISIONS)
    return row["revision"], row["structure"]


async def read_snapshot(database: Database) -> tuple[CatalogSnapshot, int]:
    """The catalog without its products, and the structure it shows."""
    (row,) = await database.fetch(_SNAPSHOT)
    snapshot = CatalogSnapshot(
        row["revision"],
        msgspec.json.decode(row["channels"], type=list[Channel]),
        msgspec.json.decode(row["stores"], type=list[Store]),
        msgspec.json.decode(row["groups"], type=list[ProductGroup]),
    )
    return snapshot, row["structure"]


async def read_products(database: Database, skus: list[str]) -> dict[str, Product]:
    rows = await database.fetch(_PRODUCTS, skus)
    return {row["sku"]: Product(**row) for row in rows}


async def bump(tx: AsyncConnection, *, structure: bool) -> None:
    """Move the revision. Its row lock makes all writers of the catalog wait for each other."""
    revision = tables.catalog_revision
    values = {"revision": revision.c.revision + 1}
    if structure:
        values["structure"] = revision.c.structure + 1
    await tx.execute(update(revision).values(values))


async def read_one(tx: AsyncConnection, kind: type[T], code: str) -> T | None:
    table = TABLES[kind]
    (key,) = table.primary_key.columns
    row = (await tx.execute(select(table).where(key == code))).one_or_none()
    return None if row is None else kind(**row._mapping)


async def read_all(tx: AsyncConnection, kind: type[T]) -> dict[str, T]:
    table = TABLES[kind]
    (key,) = table.primary_key.columns
    rows = (await tx.execute(select(table))).all()
    return {row._mapping[key.name]: kind(**row._mapping) for row in rows}


async def read_page(
    tx: AsyncConnection, kind: type[T], after: str | None, limit: int
) -> Sequence[T]:
    """At most `limit` in the order of their codes, those behind `after`."""
    table = TABLES[kind]
    (key,) = table.primary_key.columns
    query = select(table).order_by(key).limit(limit)
    if after is not None:
        query = query.where(key > after)
    return [kind(**row._mapping) for row in await tx.execute(query)]


async def write_one(tx: AsyncConnection, item: Item, *, new: bool) -> None:
    table = TABLES[type(item)]
    (key,) = table.primary_key.columns
    values: dict[str, Any] = msgspec.structs.asdict(item)
    if new:
        await tx.execute(table.insert().values(values))
    else:
        await tx.execute(table.update().where(key == values[key.name]).values(values))


async def import_products(tx: AsyncConnection, products: list[Product]) -> tuple[int, int]:
    """Insert or change many; `(created, changed)`, those that stayed as they were not counted."""
    created = await tx.scalars(
        _IMPORT,
        {
            "skus": [p.sku for p in products],
            "names": [p.name for p in products],
            "groups": [p.group for p in products],
            "excluded": [p.excluded for p in products],
        },
    )
    flags = list(created)
    return sum(flags), len(flags) - sum(flags)
