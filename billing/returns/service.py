"""Returns: what a sale earned and spent goes back, as much of it as goods come back."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import asyncpg

from billing.catalog.service import Catalog
from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import FieldError, Forbidden, NotFound, Problem, ValidationFailed
from billing.common.teller import NotKept
from billing.customers.directory import CustomerDirectory
from billing.programs.book import ProgramBook
from billing.programs.model import Expiry
from billing.programs.periods import lifetimes
from billing.receipts.basket import AHEAD, Place, place_of, timezone_of
from billing.receipts.sale import SaleRequest
from billing.receipts.store import sale_source
from billing.redemptions.store import redemption_source
from billing.returns import byhand, store
from billing.returns.posting import Reissue, Returning, SoldReceipt
from billing.returns.receipt import UnknownVersion, sold_receipt
from billing.returns.schemas import ReturnIn, StoredReturn
from billing.returns.stored import stored_return
from billing.returns.telling import Telling
from ledger import reads
from ledger.commands import Command
from ledger.service import Ledger

PATH = "/v1/returns"


class Returns:
    """Prepares returns as commands for the ledger, and reads them back.

    `grace` is an ISO 8601 period: points that expired after they were spent are given anew for
    so long. None: they go back to their own lots, where they expire at once.
    """

    def __init__(
        self,
        ledger: Ledger,
        database: Database,
        catalog: Catalog,
        book: ProgramBook,
        customers: CustomerDirectory,
        *,
        timezone: str,
        grace: str | None = None,
    ) -> None:
        self._ledger = ledger
        self._database = database
        self._catalog = catalog
        self._book = book
        self._customers = customers
        self._timezone = timezone
        self._grace = Expiry(after=grace) if grace else None

    async def prepare(self, request: SaleRequest, body: ReturnIn) -> Command:
        """The command of a return, or of a refusal. Raises Forbidden."""
        request.principal.bind(body.channel, body.store)
        by_hand = body.receipt_number is None
        if by_hand and (body.points is not None or body.customer is not None):
            request.principal.require("finance", "admin")
        try:
            self._check(body)
            place = await place_of(
                request.principal, self._catalog, body.channel, body.store, self._timezone
            )
            prepare = self._by_hand if by_hand else self._of_receipt
            return await prepare(request, place, body)
        except ValidationFailed as problem:
            return request.refusing("return", body.occurred_at, problem)

    def _check(self, body: ReturnIn) -> None:
        now = self._ledger.clock()
        faults: list[FieldError] = []
        if body.occurred_at > now + AHEAD:
            faults.append(
                FieldError("/occurred_at", "is more than a day ahead; check the till's clock")
            )
        if body.receipt_number is not None:
            faults += _line_faults(body)
        elif body.points is None and body.customer is None:
            faults.append(FieldError("/receipt_number", "is needed: the receipt that comes back"))
        else:
            faults += byhand.faults_of(body, now)
        if faults:
            raise ValidationFailed(faults[:20])

    async def _of_receipt(self, request: SaleRequest, place: Place, body: ReturnIn) -> Command:
        """Blocked and unverified customers may return goods, too."""
        row = await self._sale(place, body)
        if row is None:
            return _unknown(request, place, body)
        _must_cover(request.principal, place, row)
        receipt = await self._sold(row)
        wanted = _wanted(body, receipt)
        customer = await self._customers.resolve(customer_id=receipt.customer_id)
        returning = Returning(receipt, wanted, body.occurred_at, self._reissue(place))
        return Telling(request, place, body, customer).command(
            receipt.customer_id,
            returning.decided,
            plan=returning.plan,
            facts=returning.facts,
            corrects=returning.corrects,
        )

    async def _sale(self, place: Place, body: ReturnIn) -> asyncpg.Record | None:
        """The receipt of the same place, or of the one that is named."""
        channel, shop = place.channel, place.store
        if body.receipt_store is not None or body.receipt_channel is not None:
            channel, shop = body.receipt_channel or channel, body.receipt_store
        number = str(body.receipt_number)
        row = await store.read_sale(
            self._database,
            sale_source(channel, shop, number),
            redemption_source(channel, shop, number),
        )
        elsewhere = row and body.receipt_channel not in (None, row["channel"])
        return None if elsewhere else row

    async def _sold(self, row: asyncpg.Record) -> SoldReceipt:
        zone = timezone_of(self._catalog.current(), row["store"], self._timezone)
        try:
            return sold_receipt(row, await self._book.current(), zone)
        except UnknownVersion:
            await self._catalog.refresh()  # It was published this very second, elsewhere.
            return sold_receipt(row, await self._book.current(), zone, lenient=True)

    async def _by_hand(self, request: SaleRequest, place: Place, body: ReturnIn) -> Command:
        if body.customer is None or body.points is None:
            raise RuntimeError("checked before")
        try:
            customer = await self._customers.require(body.customer)
        except NotFound as problem:
            return request.refusing("return", body.occurred_at, problem)
        steps = byhand.steps_of(body.points)
        return Telling(request, place, body, customer).command(customer.id, None, steps=steps)

    def _reissue(self, place: Place) -> Reissue:
        def until(moment: datetime) -> datetime | None:
            if self._grace is None:
                return None
            ((_, end),) = lifetimes(None, self._grace, moment, place.timezone)
            return end

        return until

    async def read(self, principal: Principal, place_code: str, number: str) -> StoredReturn:
        """A posted return, by store (or channel without stores) and return number.

        Raises NotFound, Forbidden.
        """
        sources = [
            store.return_source("", place_code, number),
            store.return_source(place_code, None, number),
        ]
        row = await store.read_return(self._database, sources)
        transaction = row and await reads.transaction_by_id(self._ledger, row["id"])
        if row is None or not transaction:
            raise NotFound(f"No return {number!r} of {place_code!r} is posted.")
        principal.covers(row["channel"], row["store"])
        zone = timezone_of(self._catalog.current(), row["store"], self._timezone)
        return stored_return(row, transaction, ZoneInfo(zone))


def _line_faults(body: ReturnIn) -> list[FieldError]:
    faults = [
        FieldError(f"/{name}", "is only for a return without its receipt; leave it out")
        for name in ("customer", "points")
        if getattr(body, name) is not None
    ]
    seen: set[int] = set()
    for index, line in enumerate(body.lines or ()):
        if line.quantity == 0:
            faults.append(FieldError(f"/lines/{index}/quantity", "must be more than zero"))
        if line.line in seen:
            faults.append(FieldError(f"/lines/{index}/line", f"line {line.line} is there twice"))
        seen.add(line.line)
    return faults


def _wanted(body: ReturnIn, receipt: SoldReceipt) -> dict[int, int] | None:
    """What is to be returned, by line number. Raises ValidationFailed."""
    sold_at = receipt.situation.basket.occurred_at
    if body.occurred_at < sold_at:
        raise ValidationFailed.at("/occurred_at", f"is before the sale, {sold_at.isoformat()}")
    if body.lines is None:
        return None
    known = {line.number for line in receipt.sold.lines}
    faults = [
        FieldError(f"/lines/{index}/line", f"the receipt has no line {line.line}")
        for index, line in enumerate(body.lines)
        if line.line not in known
    ]
    if faults:
        raise ValidationFailed(faults[:20])
    return {line.line: int(line.quantity) for line in body.lines}


def _must_cover(principal: Principal, place: Place, row: asyncpg.Record) -> None:
    """A bound key takes back what its own store sold, or its channel. Raises Forbidden."""
    if principal.store is None and principal.channel is None:
        return
    if row["channel"] == place.channel or (place.store and row["store"] == place.store):
        return
    raise Forbidden(
        f"This key is bound to {principal.store or principal.channel!r} and may not take back "
        f"goods that another channel sold; use a key that is not bound."
    )


def _unknown(request: SaleRequest, place: Place, body: ReturnIn) -> Command:
    """Not kept under the key: a till that was offline may yet send the sale."""
    where = body.receipt_store or body.receipt_channel or place.store or place.channel
    problem: Problem = NotFound(
        f"No receipt {str(body.receipt_number)!r} of {where!r} is posted. Name its place by "
        "receipt_store or receipt_channel if it was sold elsewhere; if its till is still offline, "
        "repeat this request when the sale is posted."
    )
    return Command(
        customer_id=None,
        kind="return",
        occurred_at=body.occurred_at,
        key=request.key,
        fingerprint=request.fingerprint(),
        refusal=NotKept(problem),
    )
