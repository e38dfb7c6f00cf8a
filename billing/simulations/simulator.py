"""The work of a simulation: receipts in the order they happened, a chunk at a time.

Nothing is written, and the memory does not grow with the receipts but for 16 bytes of each, one
number for each customer and place, and the counters of the last days. What differs by customer and
product group goes to a temporary file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from billing.catalog.service import Catalog
from billing.common.db import Database
from billing.common.errors import Conflict
from billing.jobs.model import Progress
from billing.programs.book import Book, ProgramBook
from billing.programs.calculation import TooManyPoints, Trace, calculate
from billing.programs.explain import Reason
from billing.programs.model import Award, ProgramVersion
from billing.simulations import store
from billing.simulations.counted import Counted
from billing.simulations.drafts import read_draft
from billing.simulations.goods import GoodsDifferences, goods_differences
from billing.simulations.history import History, Sale
from billing.simulations.model import Example, Parameters, Points
from billing.simulations.report import simulation_out
from billing.simulations.schemas import SimulationOut
from billing.simulations.tally import Tally
from ledger.service import Pool

CHUNK = 1000
BREATH = 25
"""Receipts after which others in the same process get a turn."""


class Simulator:
    """`pool` reads receipts; `timezone` is the chain's."""

    def __init__(self, database: Database, pool: Pool, timezone: str) -> None:
        self._database = database
        self._pool = pool
        self._timezone = timezone

    async def run(self, progress: Progress, parameters: dict[str, Any]) -> SimulationOut:
        """The work of a job of the kind `simulation`; progress counts receipts."""
        period = msgspec.convert(parameters, Parameters)
        catalog = Catalog(self._database)
        await catalog.refresh()
        draft = await read_draft(self._database, period.program, period.version)
        # Valid throughout: a draft for next month is asked what it would have cost last month.
        draft = msgspec.structs.replace(draft, valid_from=period.since, valid_to=None)
        book = (await ProgramBook(self._database, catalog).current()).with_draft(draft)
        history = History(catalog, self._timezone)
        with goods_differences() as goods:
            simulation = Simulation(book, draft.code, goods)
            await self._add_receipts(progress, period, simulation, history)
            by_goods = await asyncio.to_thread(goods.sides)
        return simulation_out(period, simulation.tally, by_goods)

    async def _add_receipts(
        self, progress: Progress, period: Parameters, simulation: Simulation, history: History
    ) -> None:
        ids = await store.read_ids(self._pool, period)
        progress.total = len(ids)
        for chunk in ids.chunks(CHUNK):
            rows = await store.read_chunk(
                self._pool, chunk, first_purchase=simulation.book.needs_first_purchase
            )
            for number, sale in enumerate(await history.read(rows)):
                try:
                    simulation.add(sale)
                except TooManyPoints as refusal:
                    told = f"Of receipt {sale.number}: {refusal.detail}"
                    raise Conflict(refusal.code, told) from None
                if number % BREATH == 0:
                    await asyncio.sleep(0)
            progress.done += len(chunk)


class Simulation:
    """Calculates sales one after another and adds up what comes of it."""

    def __init__(self, book: Book, program: str, goods: GoodsDifferences) -> None:
        self.book = book
        self._program = program
        self._goods = goods
        self._counted = Counted()
        self.tally = Tally()

    def add(self, sale: Sale) -> None:
        """The next sale, in the order in which they happened."""
        basket = sale.situation.basket
        programs = self.book.accruals(
            basket.channel, basket.store, basket.store_group, basket.occurred_at
        ).for_goods(basket)
        self._counted.forget_before(basket.occurred_at)
        awards = calculate(programs, sale.situation, sale.points_paid, self._counted.used)
        everything = self._add_up(sale, awards)
        for extremes in (self.tally.gains, self.tally.losses):
            if extremes.takes(everything.difference):
                reasons = self._reasons(programs, sale)
                extremes.add(_example(sale, awards, everything, reasons))
        self._counted.count(awards, programs, sale.situation)

    def _add_up(self, sale: Sale, awards: Sequence[Award]) -> Points:
        """Returns the points of all programs."""
        own = Points(actual=sale.earned.get(self._program, 0))
        everything = Points(actual=sum(sale.earned.values()))
        for award in awards:
            everything.draft += award.points
            if award.program == self._program:
                own.draft = award.points
        basket, member = sale.situation.basket, sale.situation.member
        tally = self.tally
        tally.lines += len(basket.lines)
        place = (basket.channel or "", basket.store)
        tally.add_receipt(place, basket.store_group, member.id, own, everything)
        self._add_groups(sale, awards)
        return everything

    def _reasons(self, programs: Sequence[ProgramVersion], sale: Sale) -> tuple[Reason, ...]:
        trace: Trace = []
        calculate(programs, sale.situation, sale.points_paid, self._counted.used, trace)
        trace.sort(key=lambda reason: (reason.program, reason.line or 0))
        return tuple(
            reason for reason in trace if reason.program == self._program or reason.line is None
        )

    def _add_groups(self, sale: Sale, awards: Sequence[Award]) -> None:
        lines = sale.situation.basket.lines
        groups = {line.group: (Points(), Points()) for line in lines}
        sums = [groups[line.group] for line in lines]
        for award in awards:
            for (own, everything), points in zip(sums, award.by_line, strict=True):
                everything.draft += points
                if award.program == self._program:
                    own.draft += points
        for (own, everything), earned in zip(sums, sale.earned_by_line, strict=True):
            own.actual += earned.get(self._program, 0)
            everything.actual += sum(earned.values())
        for group, (own, everything) in groups.items():
            self.tally.add_group(group, own, everything)
            self._goods.add(group, sale.situation.member.id, everything.difference)


def _example(
    sale: Sale, awards: Sequence[Award], everything: Points, reasons: tuple[Reason, ...]
) -> Example:
    basket = sale.situation.basket
    by_program = {code: Points(actual=points) for code, points in sale.earned.items()}
    for award in awards:
        by_program.setdefault(award.program, Points()).draft += award.points
    return Example(
        receipt_id=sale.id,
        customer_id=sale.situation.member.id,
        channel=basket.channel or "",
        store=basket.store,
        number=sale.number,
        occurred_at=basket.occurred_at,
        total=basket.total,
        all_programs=everything,
        by_program=by_program,
        reasons=reasons,
    )
