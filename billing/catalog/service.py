"""The catalog in memory and its changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import cache
from zoneinfo import available_timezones

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.catalog import store
from billing.catalog.model import (
    CatalogSnapshot,
    Channel,
    Product,
    ProductGroup,
    Store,
    check_parent,
)
from billing.common.batch import Batcher
from billing.common.db import Database
from billing.common.errors import FieldError, NotFound, Overloaded, ValidationFailed
from billing.common.tasks import end

REVALIDATE_S = 1.0
CACHED_PRODUCTS = 100_000

log = structlog.stdlib.get_logger(__name__)


class Catalog:
    """The catalog as of at most a second ago; own changes are seen at once.

    `await start()` before use; a task then watches the revision until `await stop()`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._snapshot = CatalogSnapshot(0, [], [], [])
        self._structure = -1
        self._refreshing = asyncio.Lock()
        self._watcher: asyncio.Task[None] | None = None
        self._cache: OrderedDict[str, Product | None] = OrderedDict()
        self._batcher: Batcher[str, Product] = Batcher(self._load)

    async def start(self) -> None:
        """Load the catalog and watch it. With the database away the watcher loads it later."""
        with contextlib.suppress(Overloaded):
            await self.refresh()
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        await end(self._watcher)

    def current(self) -> CatalogSnapshot:
        """The catalog without its products. Raises Overloaded before the first load."""
        if self._structure < 0:
            raise Overloaded("The catalog is not loaded yet; repeat the request shortly.")
        return self._snapshot

    def structure(self) -> int:
        """Moves with everything but products, and with every program that is published or ended.

        Raises Overloaded before the first load.
        """
        self.current()
        return self._structure

    async def products(self, skus: Iterable[str]) -> dict[str, Product]:
        """The products of `skus` that exist."""
        found: dict[str, Product] = {}
        missing: list[str] = []
        for sku in dict.fromkeys(skus):
            if sku not in self._cache:
                missing.append(sku)
            elif (product := self._cache[sku]) is not None:
                found[sku] = product
                self._cache.move_to_end(sku)
        return found | await self._batcher.get_many(missing) if missing else found

    async def place(
        self, channel: str | None, store_code: str | None
    ) -> tuple[str | None, str | None]:
        """Check that a channel and a store exist and belong together; a store gives its channel.

        Raises ValidationFailed at /channel or /store.
        """
        here = self.current()
        if (channel and channel not in here.channels) or (
            store_code and store_code not in here.stores
        ):
            await self.refresh()  # It may have come this very second, by another process.
            here = self.current()
        if store_code is not None:
            shop = here.stores.get(store_code)
            if shop is None:
                raise ValidationFailed.at("/store", _no("store", store_code))
            if channel not in (None, shop.channel):
                raise ValidationFailed.at(
                    "/store", f"is of the channel {shop.channel!r}, not of {channel!r}"
                )
            return shop.channel, store_code
        if channel is not None and channel not in here.channels:
            raise ValidationFailed.at("/channel", _no("channel", channel))
        return channel, None

    async def put(self, item: store.Item) -> bool:
        """Create or change `item`; True when it is new. Raises ValidationFailed.

        Nothing is written, and the revision stays, when it is already so.
        """
        kind = type(item)
        code = item.sku if isinstance(item, Product) else item.code
        async with self._database.transaction() as tx:
            if await store.read_one(tx, kind, code) == item:
                return False
            await store.bump(tx, structure=kind is not Product)
            # Again: whoever held the lock may have written it meanwhile.
            known = await store.read_one(tx, kind, code)
            await self._check(tx, item)
            if known != item:
                await store.write_one(tx, item, new=known is None)
        await self.refresh()
        return known is None

    async def import_products(self, products: list[Product]) -> tuple[int, int, int]:
        """Create or change many in one transaction: `(created, changed, unchanged)`."""
        async with self._database.transaction(timeout_s=30) as tx:
            await store.bump(tx, structure=False)
            groups = await store.read_all(tx, ProductGroup)
            faults = [
                FieldError(f"/{index}/group", _no("product group", product.group))
                for index, product in enumerate(products)
                if product.group not in groups
            ]
            if faults:
                raise ValidationFailed(faults[:20])
            created, changed = await store.import_products(tx, products)
        await self.refresh()
        return created, changed, len(products) - created - changed

    async def get(self, kind: type[store.T], code: str) -> store.T:
        """One item as committed now. Raises NotFound."""
        async with self._database.transaction() as tx:
            item = await store.read_one(tx, kind, code)
        if item is None:
            raise NotFound(f"There is no {_NAMES[kind]} {code!r}.")
        return item

    async def page(self, kind: type[store.T], after: str | None, limit: int) -> Sequence[store.T]:
        async with self._database.transaction() as tx:
            return await store.read_page(tx, kind, after, limit)

    async def refresh(self) -> None:
        """Be as new as the database at the time of the call. Raises Overloaded."""
        async with self._refreshing:
            revision, structure = await store.read_revisions(self._database)
            if structure != self._structure:
                self._snapshot, self._structure = await store.read_snapshot(self._database)
                self._cache = OrderedDict()
            elif revision != self._snapshot.revision:
                self._snapshot = self._snapshot.at(revision)
                self._cache = OrderedDict()

    async def _watch(self) -> None:
        away = False
        while True:
            await asyncio.sleep(REVALIDATE_S)
            try:
                await self.refresh()
                away = False
            except Overloaded:
                if not away:
                    log.warning("catalog cannot be revalidated: the database is away")
                away = True
            except Exception:
                # Whatever it is, the next look may succeed; a watcher that ended would leave
                # this process with an old catalog for ever.
                log.exception("catalog cannot be revalidated")

    async def _load(self, skus: list[str]) -> dict[str, Product]:
        cache = self._cache
        found = await store.read_products(self._database, skus)
        # A refresh meanwhile has put another cache in place: these may be older than it.
        if cache is self._cache:
            for sku in skus:
                cache[sku] = found.get(sku)
            while len(cache) > CACHED_PRODUCTS:
                cache.popitem(last=False)
        return found

    async def _check(self, tx: AsyncConnection, item: store.Item) -> None:
        match item:
            case Store():
                if await store.read_one(tx, Channel, item.channel) is None:
                    raise ValidationFailed.at("/channel", _no("channel", item.channel))
                if item.timezone is not None and item.timezone not in _timezones():
                    raise ValidationFailed.at(
                        "/timezone", 'must be an IANA time zone such as "Asia/Novosibirsk"'
                    )
            case ProductGroup():
                check_parent(item.code, item.parent, await store.read_all(tx, ProductGroup))
            case Product():
                if await store.read_one(tx, ProductGroup, item.group) is None:
                    raise ValidationFailed.at("/group", _no("product group", item.group))


_NAMES: dict[type, str] = {
    Channel: "channel",
    Store: "store",
    ProductGroup: "product group",
    Product: "product",
}


def _no(name: str, code: str) -> str:
    return f"there is no {name} {code!r}; PUT it first"


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())
