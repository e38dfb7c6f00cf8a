"""What it costs tills that months can be closed: with and without, in turns.

Without it, the look-up of keys does not ask for the bound, and the trigger of added postings does
not compare with it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from uuid import UUID, uuid4

import asyncpg

from bench.house import Database
from bench.processor import Processor
from ledger import sql
from ledger.commands import Accrue, Answer, Command, Completion, Grant
from ledger.group import run_group
from ledger.service import Ledger, utc_now

Add = Callable[..., float]

GROUP = 12
GROUPS = 250
SHARES = (("dairy", 5000), ("meat", 1700), ("bread", 500))

_TRIGGER = "SELECT pg_get_functiondef('ledger.refuse_orphans'::regproc)"
_KNOWN_WITHOUT = sql.KNOWN[: sql.KNOWN.rindex("UNION ALL")]
_TRIGGER_WITHOUT = """
CREATE OR REPLACE FUNCTION ledger.refuse_orphans() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM added a WHERE NOT EXISTS (
        SELECT FROM ledger.transactions t
        WHERE t.customer_id = a.customer_id AND t.version = a.version)) THEN
        RAISE EXCEPTION 'a posting of ledger.postings has no transaction'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$
"""


async def measure(add: Add, database: Database, rounds: int) -> None:
    """Rows of the table: processor time of an accrual, in groups and alone."""
    owner = await asyncpg.connect(database.owner_url)
    with_it = await owner.fetchval(_TRIGGER)
    known = sql.KNOWN
    async with Ledger(database.url) as ledger:
        connection = await ledger._connect()
        processor = Processor(connection)
        for size, name in ((GROUP, f"in groups of {GROUP}"), (1, "alone")):
            found: dict[bool, list[float]] = {True: [], False: []}
            for round_ in range(-1, rounds):
                for checked in (True, False):
                    sql.KNOWN = known if checked else _KNOWN_WITHOUT  # type: ignore[misc]
                    await owner.execute(with_it if checked else _TRIGGER_WITHOUT)
                    groups = _groups(database, size)
                    work = _run(connection, groups, ledger)
                    spent = sum(await processor.spent(work)) / GROUPS / size * 1e6
                    if round_ >= 0:
                        found[checked].append(spent)
            free = add(f"an accrual {name}, months cannot be closed", found[False], "µs")
            ratio = statistics.median(found[True]) / free
            add("  as it is, a month's end looked up", found[True], "µs", f"{ratio:.3f} ×")
        await connection.close()
    await owner.execute(with_it)
    sql.KNOWN = known  # type: ignore[misc]
    await owner.close()


def _groups(database: Database, size: int) -> list[list[Command]]:
    at = iter(database.customers * (1 + GROUPS * size // len(database.customers)))
    return [[_accrual(next(at)) for _ in range(size)] for _ in range(GROUPS)]


def _accrual(customer: UUID) -> Command:
    return Command(
        customer_id=customer,
        kind="accrual",
        occurred_at=utc_now(),
        steps=(Accrue((Grant("base", SHARES),)),),
        key=uuid4().hex,
        source=f"sale/s/m1/{uuid4().hex}",
        complete=lambda _: Completion(Answer(201, b"{}")),
    )


async def _run(
    connection: asyncpg.Connection,  # type: ignore[type-arg]
    groups: list[list[Command]],
    ledger: Ledger,
) -> None:
    for group in groups:
        for fate in await run_group(connection, group, ledger.clock):
            if isinstance(fate, Exception):
                raise fate
