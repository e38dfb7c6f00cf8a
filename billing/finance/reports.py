"""The reports: from a query to a table, one way for the API, files and the command line."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

from billing.catalog.model import CatalogSnapshot
from billing.common.auth import Principal
from billing.common.errors import ValidationFailed
from billing.common.teller import told
from billing.finance.entries import ENTRY, POSTING, edge, entries, listed, opening_balance
from billing.finance.folds import (
    OWED,
    added_up,
    by_program,
    in_order,
    ledger_dimensions,
    regrouped,
    roll_forward,
)
from billing.finance.query import (
    Dimension,
    FileQuery,
    PeriodFilters,
    opening_of,
    selection_of,
    shown,
)
from billing.finance.schemas import (
    AgeingQuery,
    EntriesQuery,
    LiabilityQuery,
    PostingsQuery,
    ProgramsQuery,
    TrialBalanceQuery,
)
from billing.finance.table import MAX_FILE_ROWS, Column, Row, Table, at_once
from ledger.ageing import owed_by_expiry
from ledger.listing import PostingKey
from ledger.selection import MOVEMENTS, Selection, TimeAxis
from ledger.service import Ledger
from ledger.sums import FlowSum, Snapshot, flow_sums, long_snapshot, snapshot
from ledger.totals import account_totals

CHUNK: Final = 5000
MAX_ROWS: Final = 50_000


class Reports:
    """What can be asked of the ledger. Each report is read in one snapshot."""

    def __init__(self, ledger: Ledger, catalog: CatalogSnapshot, zone: ZoneInfo) -> None:
        self._ledger = ledger
        self._catalog = catalog
        self.zone = zone
        self.entry_columns = (*ENTRY, *_amounts("debit", "credit", "balance"))

    async def trial_balance(self, query: TrialBalanceQuery, principal: Principal) -> Table:
        """What left and what arrived in every account."""
        by = query.dimensions()
        if query.as_of is None and query.to is None and query.time == "occurred_at":
            query.as_of = query.known_at
        selection = self._selection(query, principal, account=query.account)
        async with snapshot(self._ledger) as connection:
            flows = await self._flows(connection, selection, by)
        rows = [
            (
                total.account,
                *total.dimensions,
                total.debit,
                total.credit,
                total.credit - total.debit,
            )
            for total in account_totals(flows, query.account)
        ]
        columns = (Column("account"), *_columns(by), *_amounts("debit", "credit", "balance"))
        return self._table("trial-balance", "Trial balance", query, principal, columns, rows, by)

    async def liability(self, query: LiabilityQuery, principal: Principal) -> Table:
        """What is owed to customers: opening, what moved it, closing."""
        by = query.dimensions()
        opening, period = await self._two(query, principal, by)
        rows = [
            (
                *key,
                line.opening,
                *(getattr(line, name) for name in MOVEMENTS),
                line.closing,
                *(line.by_account.get(account, 0) for account in OWED),
            )
            for key, line in roll_forward(opening, period)
        ]
        columns = (
            *_columns(by),
            *_amounts("opening", *MOVEMENTS, "closing", *OWED),
        )
        return self._table("liability", "Liability", query, principal, columns, rows, by)

    async def programs(self, query: ProgramsQuery, principal: Principal) -> Table:
        """What programs gave, what became of it and what it cost."""
        by: tuple[Dimension, ...] = tuple(dict.fromkeys(("program", *query.dimensions())))
        opening, period = await self._two(query, principal, by)
        rows = []
        for key, line in by_program(opening, period):
            net = line.redeemed - line.restored
            rows.append(
                (
                    *key,
                    *(line.issued, line.revoked, line.redeemed, line.restored, line.expired),
                    *(line.adjusted, line.transferred, line.outstanding),
                    _worth(net, query.point_value),
                    _worth(line.outstanding, query.point_value),
                    line.redemption_rate,
                    line.postings,
                )
            )
        columns = (
            *_columns(by),
            *_amounts("issued", "revoked", "redeemed", "restored", "expired", "adjusted"),
            *_amounts("transferred", "outstanding", "cost", "outstanding_value"),
            Column("redemption_rate", "ratio"),
            Column("postings_count", "count"),
        )
        return self._table("programs", "Programs", query, principal, columns, rows, by)

    async def ageing(self, query: AgeingQuery, principal: Principal) -> Table:
        """What is owed, by when it expires."""
        by = query.dimensions()
        selection = self._selection(query, principal)
        async with snapshot(self._ledger) as connection:
            found = await owed_by_expiry(
                connection, selection, ledger_dimensions(by), query.step, self.zone.key
            )
        columns = (
            Column("expires"),
            *_columns(by),
            *_amounts(*OWED, "total"),
        )
        rows = self._aged(found, by)
        return self._table("ageing", "Ageing by expiry", query, principal, columns, rows, by)

    def _aged(self, found: Sequence[Any], by: Sequence[Dimension]) -> list[Row]:
        """Store groups folded as everywhere: each row stands in for a flow."""
        lines: dict[tuple[Any, ...], list[int]] = {}
        for expires, *values in found:
            dimensions, amounts = tuple(values[: -len(OWED)]), values[-len(OWED) :]
            stand_in = FlowSum("accrue", "issued", "available", dimensions, 0, 0)
            (flow,) = regrouped([stand_in], by, self._catalog)
            line = lines.setdefault((expires, *flow.dimensions), [0] * len(OWED))
            for at, amount in enumerate(amounts):
                line[at] += int(amount)
        return [
            (_day(key[0]), *key[1:], *line, sum(line))
            for key, line in in_order({key: line for key, line in lines.items() if any(line)})
        ]

    def general_ledger(self, query: EntriesQuery, principal: Principal) -> Table:
        """Every posting of an account, or of all that is owed, with the balance after it."""
        selection = self.entries(query, principal)
        opening = opening_of(selection, query)
        return Table(
            report="general-ledger",
            title="General ledger",
            filters=shown(query, (), principal),
            columns=self.entry_columns,
            chunks=self._all_entries(selection, opening, query.time),
        )

    def entries(self, query: PeriodFilters, principal: Principal) -> Selection:
        """The postings of a general ledger: those of its account, or that change what is owed."""
        account = getattr(query, "account", None)
        return self._selection(query, principal, account=account, liability=account is None)

    async def _all_entries(
        self, selection: Selection, opening: Selection | None, axis: TimeAxis
    ) -> AsyncGenerator[Sequence[Row], None]:
        async with _long_read(self._ledger) as connection:
            balance = await opening_balance(connection, opening)
            yield [edge("opening", balance)]
            after: PostingKey | None = None
            seen = 0
            while True:
                rows, balance, after = await entries(
                    connection, selection, CHUNK, after, axis, balance
                )
                seen += len(rows)
                if seen > MAX_FILE_ROWS:
                    raise too_many()
                yield rows
                if after is None:
                    break
            yield [edge("closing", balance)]

    def postings(self, query: FileQuery, selection: Selection, principal: Principal) -> Table:
        """Every posting of a selection, as a table."""

        async def chunks() -> AsyncGenerator[Sequence[Row], None]:
            async with _long_read(self._ledger) as connection:
                after: PostingKey | None = None
                seen = 0
                while True:
                    rows, after = await listed(connection, selection, CHUNK, after)
                    seen += len(rows)
                    if seen > MAX_FILE_ROWS:
                        raise too_many()
                    yield rows
                    if after is None:
                        return

        return Table(
            report="postings",
            title="Postings",
            filters=shown(query, (), principal),
            columns=(*POSTING, Column("debit"), Column("credit"), Column("points", "amount")),
            chunks=chunks(),
        )

    def listed(self, query: PostingsQuery, principal: Principal) -> Selection:
        """The filter of a list: that of its totals, and what narrows it to one of their figures."""
        return self._selection(
            query,
            principal,
            account=query.account,
            movement=query.movement,
            kind=query.kind,
            debit=query.debit,
            credit=query.credit,
            expires_from=query.expires_from,
            expires_before=query.expires_to,
            expires=False if query.expires == "never" else None,
        )

    def _selection(self, query: PeriodFilters, principal: Principal, **more: Any) -> Selection:
        return selection_of(query, principal, self._catalog, **more)

    async def _two(
        self, query: PeriodFilters, principal: Principal, by: Sequence[Dimension]
    ) -> tuple[list[FlowSum], list[FlowSum]]:
        """The flows before the period, and those of the period."""
        selection = self._selection(query, principal)
        before = opening_of(selection, query)
        async with snapshot(self._ledger) as connection:
            opening = [] if before is None else await self._flows(connection, before, by)
            return opening, await self._flows(connection, selection, by)

    async def _flows(
        self, connection: Snapshot, selection: Selection, by: Sequence[Dimension]
    ) -> list[FlowSum]:
        found = await flow_sums(connection, selection, ledger_dimensions(by))
        return regrouped(found, by, self._catalog)

    def _table(
        self,
        report: str,
        title: str,
        query: FileQuery,
        principal: Principal,
        columns: tuple[Column, ...],
        rows: Sequence[Row],
        by: Sequence[Dimension],
    ) -> Table:
        if len(rows) > (MAX_ROWS if query.format == "json" else MAX_FILE_ROWS):
            raise too_many()
        adds = [column.kind in ("amount", "count") for column in columns]
        totals = added_up(rows, lambda at: adds[at])
        return Table(
            report=report,
            title=title,
            filters=shown(query, by, principal),
            columns=columns,
            chunks=at_once(rows),
            totals=tuple(totals) if totals is not None else None,
        )


@asynccontextmanager
async def _long_read(ledger: Ledger) -> AsyncIterator[Snapshot]:
    """Raises Overloaded while others are at it."""
    with told():
        async with long_snapshot(ledger) as connection:
            yield connection


def too_many() -> ValidationFailed:
    return ValidationFailed.at(
        "/query",
        f"gives more than {MAX_ROWS:,} rows as JSON, or {MAX_FILE_ROWS:,} as a file; name fewer "
        "dimensions or a shorter period, or export the journal with `bonus export`",
    )


def _columns(by: Sequence[Dimension]) -> tuple[Column, ...]:
    return tuple(Column(name) for name in by)


def _amounts(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, "amount") for name in names)


def _worth(points: int, value: int) -> int:
    """Points (1/100) at money (1/100) a point, to the nearest hundredth, half away from zero."""
    worth, rest = divmod(abs(points) * value, 100)
    worth += rest >= 50
    return -worth if points < 0 else worth


def _day(day: date | None) -> str | None:
    return day.isoformat() if day is not None else None
