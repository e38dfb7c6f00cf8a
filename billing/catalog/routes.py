"""The catalog over HTTP."""

from __future__ import annotations

from typing import Any

import msgspec

from billing.catalog import schemas
from billing.catalog.model import Channel, Product, ProductGroup, Store
from billing.catalog.service import Catalog
from billing.catalog.store import Item
from billing.common.answer import Answer
from billing.common.auth import ROLES, Role
from billing.common.errors import ValidationFailed
from billing.common.http import Call, Operation, operation
from billing.common.wire import Code, PageQuery, page

ALL: tuple[Role, ...] = tuple(ROLES)
WRITERS: tuple[Role, ...] = ("admin", "marketer")
_TAG = "Catalog"


def code_of(call: Call[Any, Any], name: str = "code") -> Code:
    """A code in the path. Raises ValidationFailed."""
    try:
        return Code.from_wire(call.path[name])
    except ValueError as error:
        raise ValidationFailed.at(f"/path/{name}", str(error)) from None


async def _put(call: Call[Any], item: Item) -> Answer:
    created = await call.use(Catalog).put(item)
    return Answer.json(item, 201 if created else 200)


async def _list(call: Call[None, PageQuery], kind: type[Item], key: str) -> Answer:
    (after,) = call.query.after(str) or (None,)
    limit = call.query.limit
    rows = await call.use(Catalog).page(kind, after, limit + 1)
    items = list(rows[:limit])
    more = (getattr(items[-1], key),) if len(rows) > limit else ()
    return Answer.json(page(items, limit, *more))


@operation("PUT", "/v1/channels/{code}", summary="Create or change a channel", tag=_TAG,
           may=WRITERS, body=schemas.ChannelIn, answers={200: Channel, 201: Channel},
           examples={"shop": {"name": "Stores", "brand": "Magnolia"}})  # fmt: skip
async def put_channel(call: Call[schemas.ChannelIn]) -> Answer:
    return await _put(call, Channel(code_of(call), call.body.name, call.body.brand))


@operation("GET", "/v1/channels/{code}", summary="Get a channel", tag=_TAG, may=ALL,
           answers={200: Channel})  # fmt: skip
async def get_channel(call: Call) -> Answer:
    return Answer.json(await call.use(Catalog).get(Channel, code_of(call)))


@operation("GET", "/v1/channels", summary="List channels", tag=_TAG, may=ALL, query=PageQuery,
           answers={200: schemas.ChannelPage})  # fmt: skip
async def list_channels(call: Call[None, PageQuery]) -> Answer:
    return await _list(call, Channel, "code")


@operation("PUT", "/v1/stores/{code}", summary="Create or change a store", tag=_TAG,
           may=WRITERS, body=schemas.StoreIn, answers={200: Store, 201: Store},
           examples={"333": {"name": "Store 333", "channel": "shop", "group": "south",
                             "timezone": "America/New_York"}})  # fmt: skip
async def put_store(call: Call[schemas.StoreIn]) -> Answer:
    """The channel must exist. A store group exists by being named here."""
    return await _put(call, Store(code_of(call), **msgspec.structs.asdict(call.body)))


@operation("GET", "/v1/stores/{code}", summary="Get a store", tag=_TAG, may=ALL,
           answers={200: Store})  # fmt: skip
async def get_store(call: Call) -> Answer:
    return Answer.json(await call.use(Catalog).get(Store, code_of(call)))


@operation("GET", "/v1/stores", summary="List stores", tag=_TAG, may=ALL, query=PageQuery,
           answers={200: schemas.StorePage})  # fmt: skip
async def list_stores(call: Call[None, PageQuery]) -> Answer:
    return await _list(call, Store, "code")


@operation("PUT", "/v1/product-groups/{code}", summary="Create or change a product group",
           tag=_TAG, may=WRITERS, body=schemas.ProductGroupIn,
           answers={200: ProductGroup, 201: ProductGroup},
           examples={"milk": {"name": "Fluid milk products", "parent": "grocery"}})  # fmt: skip
async def put_product_group(call: Call[schemas.ProductGroupIn]) -> Answer:
    """The parent must exist. Groups nest at most 16 deep and never in a circle."""
    body = call.body
    return await _put(call, ProductGroup(code_of(call), body.name, body.parent, body.legal))


@operation("GET", "/v1/product-groups/{code}", summary="Get a product group", tag=_TAG, may=ALL,
           answers={200: ProductGroup})  # fmt: skip
async def get_product_group(call: Call) -> Answer:
    return Answer.json(await call.use(Catalog).get(ProductGroup, code_of(call)))


@operation("GET", "/v1/product-groups", summary="List product groups", tag=_TAG, may=ALL,
           query=PageQuery, answers={200: schemas.ProductGroupPage})  # fmt: skip
async def list_product_groups(call: Call[None, PageQuery]) -> Answer:
    return await _list(call, ProductGroup, "code")


@operation("PUT", "/v1/products/{sku}", summary="Create or change a product", tag=_TAG,
           may=WRITERS, body=schemas.ProductIn, answers={200: Product, 201: Product},
           examples={"milk": {"name": "FLUID MILK WHITE ONLY",
                              "group": "grocery.fluid-milk-products"}})  # fmt: skip
async def put_product(call: Call[schemas.ProductIn]) -> Answer:
    """The group must exist. An `excluded` product neither earns points nor is paid with them."""
    body = call.body
    return await _put(call, Product(code_of(call, "sku"), body.name, body.group, body.excluded))


@operation("GET", "/v1/products/{sku}", summary="Get a product", tag=_TAG, may=ALL,
           answers={200: Product})  # fmt: skip
async def get_product(call: Call) -> Answer:
    return Answer.json(await call.use(Catalog).get(Product, code_of(call, "sku")))


@operation("GET", "/v1/products", summary="List products", tag=_TAG, may=ALL, query=PageQuery,
           answers={200: schemas.ProductPage})  # fmt: skip
async def list_products(call: Call[None, PageQuery]) -> Answer:
    return await _list(call, Product, "sku")


@operation("POST", "/v1/products/import", summary="Create or change up to 10,000 products",
           tag=_TAG, may=("admin",), body=schemas.ProductList, ndjson=True, patience_s=30,
           answers={200: schemas.ImportOut},
           examples={"two": [{"sku": "milk-1", "name": "Milk 3.2 %, 1 l",
                              "group": "grocery.fluid-milk-products"},
                             {"sku": "gift-card-50", "name": "Gift card", "group": "grocery",
                              "excluded": True}]})  # fmt: skip
async def import_products(call: Call[schemas.ProductList]) -> Answer:
    """All or nothing. A JSON array, or a JSON object a line with the type application/x-ndjson."""
    products = [Product(p.sku, p.name, p.group, p.excluded) for p in call.body]
    if len({product.sku for product in products}) < len(products):
        raise ValidationFailed.at("", "names a sku twice")
    created, changed, unchanged = await call.use(Catalog).import_products(products)
    return Answer.json(schemas.ImportOut(created, changed, unchanged))


OPERATIONS: list[Operation] = [
    put_channel, get_channel, list_channels,
    put_store, get_store, list_stores,
    put_product_group, get_product_group, list_product_groups,
    put_product, get_product, list_products, import_products,
]  # fmt: skip
