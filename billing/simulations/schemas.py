"""Simulations on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from billing.common.wire import Code, Instant
from billing.jobs.model import State
from billing.quotes.schemas import ExplanationOut


class SimulateIn(msgspec.Struct, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Receipts that happened from `from` to before `to`; the newest version, if none is named."""

    from_: Instant
    to: Instant
    channel: Code | None = None
    store: Code | None = None
    version: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None


class SimulationQueued(msgspec.Struct, rename={"from_": "from"}):
    """`GET /v1/jobs/{job_id}` tells how far it is."""

    job_id: UUID
    state: State
    program: str
    version: int
    from_: datetime
    to: datetime
    channel: str | None
    store: str | None


class PointsOut(msgspec.Struct):
    draft: str
    actual: str
    difference: str


class SideOut(msgspec.Struct):
    customers: int
    points: str


class CostOut(msgspec.Struct):
    """`draft`, `actual` and `difference` are of the simulated program; winners and losers by all
    programs, there alone."""

    code: str
    receipts: int
    draft: str
    actual: str
    difference: str
    all_programs: PointsOut
    winners: SideOut
    losers: SideOut


class CostsOut(msgspec.Struct):
    channel: list[CostOut]
    store: list[CostOut]
    store_group: list[CostOut]
    product_group: list[CostOut]


class EarnedOut(msgspec.Struct):
    """`program` null: points that were stated, not calculated."""

    program: str | None
    draft: str
    actual: str
    difference: str


class ExampleOut(msgspec.Struct):
    """`draft`, `actual` and `difference` are of all programs together."""

    receipt_id: UUID
    customer_id: UUID
    channel: str
    store: str | None
    number: str
    occurred_at: datetime
    total: str
    draft: str
    actual: str
    difference: str
    programs: list[EarnedOut]
    explanation: list[ExplanationOut]


class ExamplesOut(msgspec.Struct):
    gain: list[ExampleOut]
    lose: list[ExampleOut]


class SimulationOut(msgspec.Struct, rename={"from_": "from"}):
    """The result of a job of the kind `simulation`. Winners and losers are by all programs."""

    program: str
    version: int
    from_: datetime
    to: datetime
    channel: str | None
    store: str | None
    receipts: int
    customers: int
    lines: int
    points: PointsOut
    all_programs: PointsOut
    winners: SideOut
    losers: SideOut
    cost: CostsOut
    examples: ExamplesOut
