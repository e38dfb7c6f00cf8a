"""The result of a simulation, as it goes to the wire."""

from __future__ import annotations

from collections.abc import Mapping

from billing.common.money import format_amount
from billing.programs.explain import because
from billing.programs.words import Language
from billing.quotes.schemas import ExplanationOut
from billing.simulations.model import Cost, Example, Parameters, Points, Side, Sides
from billing.simulations.schemas import (
    CostOut,
    CostsOut,
    EarnedOut,
    ExampleOut,
    ExamplesOut,
    PointsOut,
    SideOut,
    SimulationOut,
)
from billing.simulations.tally import Tally

MAX_ROWS = 1000
"""Of each breakdown: those where the most changes."""


def simulation_out(
    period: Parameters, tally: Tally, by_goods: Mapping[str, Sides]
) -> SimulationOut:
    """`by_goods`: winners and losers by product group."""
    customers, sides = tally.differences.overall()
    return SimulationOut(
        program=period.program,
        version=period.version,
        from_=period.since,
        to=period.until,
        channel=period.channel,
        store=period.store,
        receipts=tally.total.receipts,
        customers=customers,
        lines=tally.lines,
        points=_points(tally.total.program),
        all_programs=_points(tally.total.all_programs),
        winners=_side(sides.winners),
        losers=_side(sides.losers),
        cost=CostsOut(
            _costs(tally.by_channel, tally.differences.by_channel()),
            _costs(tally.by_store, tally.differences.by_store()),
            _costs(tally.by_store_group, tally.differences.by_store_group(tally.store_groups)),
            _costs(tally.by_product_group, by_goods),
        ),
        examples=ExamplesOut(
            [_example(one, period.language) for one in tally.gains.found()],
            [_example(one, period.language) for one in tally.losses.found()],
        ),
    )


def _costs(costs: Mapping[str, Cost], sides: Mapping[str, Sides]) -> list[CostOut]:
    ordered = sorted(costs.items(), key=lambda item: (-abs(item[1].program.difference), item[0]))
    return [
        CostOut(
            code,
            cost.receipts,
            *_three(cost.program),
            _points(cost.all_programs),
            _side(sides[code].winners),
            _side(sides[code].losers),
        )
        for code, cost in ordered[:MAX_ROWS]
    ]


def _example(example: Example, language: Language) -> ExampleOut:
    return ExampleOut(
        example.receipt_id,
        example.customer_id,
        example.channel,
        example.store,
        example.number,
        example.occurred_at,
        format_amount(example.total),
        *_three(example.all_programs),
        [
            EarnedOut(code, *_three(points))
            for code, points in sorted(
                example.by_program.items(),
                key=lambda item: (-abs(item[1].difference), item[0] or ""),
            )
        ],
        [
            ExplanationOut(one.outcome, because(one, language), one.program, one.line)
            for one in example.reasons
        ],
    )


def _points(points: Points) -> PointsOut:
    return PointsOut(*_three(points))


def _side(side: Side) -> SideOut:
    return SideOut(side.customers, format_amount(side.points))


def _three(points: Points) -> tuple[str, str, str]:
    return (
        format_amount(points.draft),
        format_amount(points.actual),
        format_amount(points.difference),
    )
