"""Simulations over HTTP."""

from __future__ import annotations

from billing.common.answer import Answer
from billing.common.http import Call, operation
from billing.receipts.slip import language_of
from billing.simulations.schemas import SimulateIn, SimulationQueued
from billing.simulations.service import Simulations

_EXAMPLES = {
    "a month": {"from": "2026-10-01T00:00:00+03:00", "to": "2026-11-01T00:00:00+03:00"},
    "one channel": {
        "from": "2026-10-01T00:00:00+03:00",
        "to": "2026-11-01T00:00:00+03:00",
        "channel": "shop",
        "version": 1,
    },
}


@operation(
    "POST",
    "/v1/programs/{code}/simulate",
    summary="Simulate a program over posted receipts",
    tag="Programs",
    may=("marketer", "admin"),
    body=SimulateIn,
    answers={202: SimulationQueued},
    examples=_EXAMPLES,
)
async def simulate_program(call: Call[SimulateIn]) -> Answer:
    """What the receipts of a period would have earned had this version, a draft or not, been
    valid then in place of the published one, beside what they did earn.

    Nothing is posted: a worker calculates, and the job named in `Location` has the progress (in
    receipts) and the result: points by channel, store, store group and product group, customers
    who would win and lose, and the receipts that would gain and lose most. At most 400 days at
    once. Stacking and limits count as in life, with limits at zero when the period begins; what
    is known of customers and the catalog is taken as it is now; returns are left out.
    """
    language = language_of(call.headers.get(b"accept-language"))
    queued = await call.use(Simulations).request(
        call.path["code"], call.body, call.principal, language
    )
    location = (b"location", f"/v1/jobs/{queued.job_id}".encode())
    return Answer.json(queued, 202, (location,))


OPERATIONS = [simulate_program]
