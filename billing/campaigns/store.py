"""The campaigns' queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import Row, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.campaigns.model import Campaign, Run
from billing.campaigns.schemas import PreviewState
from billing.campaigns.tables import campaign_runs, campaigns
from billing.common.db import Database

T = TypeVar("T", Campaign, Run)

_CAMPAIGN = ", ".join(Campaign.__struct_fields__).replace("definition", "definition::text")
_RUN = ", ".join(
    {"cursor": '"cursor"', "skipped": "skipped::text"}.get(name, name)
    for name in Run.__struct_fields__
)

_READ = f"SELECT {_CAMPAIGN} FROM billing.campaigns WHERE code = $1"
_PAGE = f"SELECT {_CAMPAIGN} FROM billing.campaigns WHERE code > $1 ORDER BY code LIMIT $2"
_RUNS = f"""
SELECT {_RUN} FROM billing.campaign_runs
WHERE code = $1 AND scheduled_at < $2 ORDER BY scheduled_at DESC LIMIT $3
"""
_FAILURES = """
SELECT customer_id, error, at FROM billing.campaign_failures
WHERE run_id = $1 AND customer_id > $2 ORDER BY customer_id LIMIT $3
"""
_HAS_RUN = "SELECT FROM billing.campaign_runs WHERE code = $1 AND id = $2"
_PREVIEWS = """
SELECT id, state, result::text AS result, error FROM billing.jobs WHERE id = ANY($1::uuid[])
"""
_COUNT_CUSTOMERS = (
    "SELECT count(*) FROM billing.customers WHERE created_at <= $1 AND merged_into IS NULL"
)

_DUE = """
SELECT code FROM billing.campaigns WHERE state = 'scheduled' AND next_run_at <= $1
ORDER BY next_run_at, code LIMIT 100
"""
_OPEN = """
SELECT r.id, r.code FROM billing.campaign_runs r JOIN billing.campaigns c USING (code)
WHERE r.state = 'running' AND c.state IN ('running', 'cancelled')
ORDER BY r.started_at, r.id LIMIT 100
"""

_ALONE = text("SELECT pg_try_advisory_xact_lock(:family, hashtext(:run))")
ADVISORY_FAMILY = 0x626F6E75
"""Of locks with two numbers: "bonu". One worker at a time goes on with a run. Not a lock of the
row: that would give the transaction an id, for which readers of the journal's stream wait."""

_ADD = text("""
INSERT INTO billing.campaign_audience (code, customer_id)
SELECT :code, id FROM unnest(CAST(:ids AS uuid[])) AS id
ON CONFLICT DO NOTHING RETURNING customer_id
""")
_CLEAR = text("DELETE FROM billing.campaign_audience WHERE code = :code")

_MOVE = text("""
UPDATE billing.campaign_runs SET "cursor" = :cursor, attempts = 0, moved_at = :at,
    seen = seen + :seen, customers = customers + :customers, given = given + :given,
    points = points + :points, failed = failed + :failed,
    skipped = CAST(:skipped AS jsonb)
WHERE id = :id
""")
_TOUCH = text("""
UPDATE billing.campaign_runs SET moved_at = :at WHERE id = (
    SELECT id FROM billing.campaign_runs WHERE id = :id FOR UPDATE SKIP LOCKED)
""")
"""Not waited for: a worker that is about to count its last chunk moves the run, and then waits for
the campaign, which whoever resumes it holds."""
_STRIKE = text("""
UPDATE billing.campaign_runs SET attempts = attempts + 1 WHERE id = :id RETURNING attempts
""")
_FAIL = text("""
INSERT INTO billing.campaign_failures (run_id, customer_id, error, at)
SELECT :run, n.id, n.error, :at
FROM unnest(CAST(:ids AS uuid[]), CAST(:errors AS text[])) AS n (id, error)
ON CONFLICT DO NOTHING
""")

_GIVEN_BY = text("""
SELECT coalesce(sum(points), 0)::bigint FROM billing.campaign_runs WHERE code = :code
""")
_GIVEN = """
SELECT s.customer_id, coalesce(sum(p.amount), 0)::bigint AS points
FROM ledger.sources s
JOIN ledger.transactions t ON t.customer_id = s.customer_id AND t.id = s.transaction_id
LEFT JOIN ledger.postings p
    ON p.customer_id = t.customer_id AND p.version = t.version AND p.debit = 'issued'
WHERE s.source = ANY($1::text[]) GROUP BY s.customer_id
"""


async def read(database: Database, code: str) -> Campaign | None:
    rows = await database.fetch(_READ, code)
    return _campaign(rows[0]) if rows else None


async def read_page(database: Database, after: str, limit: int) -> list[Campaign]:
    return [_campaign(row) for row in await database.fetch(_PAGE, after, limit)]


async def lock(tx: AsyncConnection, code: str, *, skip: bool = False) -> Campaign | None:
    """The campaign, locked; with `skip` None, when somebody else has it."""
    query = select(campaigns).where(campaigns.c.code == code).with_for_update(skip_locked=skip)
    return _row(Campaign, (await tx.execute(query)).one_or_none())


async def read_in(tx: AsyncConnection, code: str) -> Campaign | None:
    """The campaign as committed now, not locked."""
    found = await tx.execute(select(campaigns).where(campaigns.c.code == code))
    return _row(Campaign, found.one_or_none())


async def insert_campaign(tx: AsyncConnection, values: Mapping[str, Any]) -> None:
    await tx.execute(insert(campaigns).values(values))


async def change(tx: AsyncConnection, code: str, **values: Any) -> None:
    await tx.execute(update(campaigns).where(campaigns.c.code == code).values(values))


async def add_to_list(tx: AsyncConnection, code: str, ids: Sequence[UUID]) -> set[UUID]:
    """Those of `ids` that were not in the list yet."""
    return set((await tx.execute(_ADD, {"code": code, "ids": list(ids)})).scalars())


async def clear_list(tx: AsyncConnection, code: str) -> None:
    await tx.execute(_CLEAR, {"code": code})


async def count_customers(database: Database, until: datetime) -> int:
    """Who was registered by then."""
    count: int = (await database.fetch(_COUNT_CUSTOMERS, until, timeout_s=60))[0][0]
    return count


async def find_due(database: Database, now: datetime) -> list[str]:
    """Campaigns whose time has come."""
    return [row["code"] for row in await database.fetch(_DUE, now)]


async def find_open_runs(database: Database) -> list[tuple[UUID, str]]:
    """Runs on which there is something to do, with their campaigns, the oldest first."""
    return [(row["id"], row["code"]) for row in await database.fetch(_OPEN)]


async def insert_run(tx: AsyncConnection, values: Mapping[str, Any]) -> None:
    await tx.execute(insert(campaign_runs).values(values))


async def take_run(tx: AsyncConnection, run_id: UUID) -> Run | None:
    """The run, ours alone until the transaction ends; None when another has it, or it is over."""
    given = {"family": ADVISORY_FAMILY, "run": str(run_id)}
    if not (await tx.execute(_ALONE, given)).scalar_one():
        return None
    run = await read_run(tx, run_id)
    return run if run is not None and run.state == "running" else None


async def read_run(tx: AsyncConnection, run_id: UUID) -> Run | None:
    found = await tx.execute(select(campaign_runs).where(campaign_runs.c.id == run_id))
    return _row(Run, found.one_or_none())


async def newest_run(tx: AsyncConnection, code: str) -> Run | None:
    """The run a campaign had last."""
    query = select(campaign_runs).where(campaign_runs.c.code == code)
    query = query.order_by(campaign_runs.c.scheduled_at.desc()).limit(1)
    return _row(Run, (await tx.execute(query)).one_or_none())


async def move_run(tx: AsyncConnection, run: Run, **counted: Any) -> None:
    """Count a chunk `at` a time: the numbers are added, `cursor` and `skipped` replaced."""
    counted["skipped"] = msgspec.json.encode(counted["skipped"]).decode()
    await tx.execute(_MOVE, {"id": run.id, **counted})


async def change_run(tx: AsyncConnection, run_id: UUID, **values: Any) -> None:
    await tx.execute(update(campaign_runs).where(campaign_runs.c.id == run_id).values(values))


async def take_up(tx: AsyncConnection, run: Run, at: datetime) -> None:
    """Let a run that was stopped, or failed, go on."""
    if run.state == "failed":
        again = {"state": "running", "finished_at": None, "error": None, "attempts": 0}
        await change_run(tx, run.id, moved_at=at, **again)
    else:
        await tx.execute(_TOUCH, {"id": run.id, "at": at})


async def strike_run(tx: AsyncConnection, run_id: UUID) -> int:
    """Count that a chunk broke; how often it did, one after another."""
    count: int = (await tx.execute(_STRIKE, {"id": run_id})).scalar_one()
    return count


async def set_aside(
    tx: AsyncConnection, run_id: UUID, failed: Mapping[UUID, str], at: datetime
) -> None:
    """Keep the customers to whom a run could not give, with what is wrong."""
    given = {"ids": list(failed), "errors": list(failed.values()), "run": run_id, "at": at}
    await tx.execute(_FAIL, given)


async def given_already(database: Database, sources: Sequence[str]) -> dict[UUID, int]:
    """Points that were given to customers under these natural keys."""
    if not sources:
        return {}
    rows = await database.fetch(_GIVEN, list(sources), timeout_s=30)
    return {row["customer_id"]: row["points"] for row in rows}


async def given_by(tx: AsyncConnection, code: str) -> int:
    """Points that were counted in all runs of a campaign, in 1/100."""
    found: int = (await tx.execute(_GIVEN_BY, {"code": code})).scalar_one()
    return found


async def read_runs(database: Database, code: str, before: datetime, limit: int) -> list[Run]:
    """The newest first."""
    found = []
    for row in await database.fetch(_RUNS, code, before, limit):
        values = dict(row)
        values["skipped"] = msgspec.json.decode(values["skipped"])
        found.append(Run(**values))
    return found


async def read_previews(database: Database, jobs: Sequence[UUID]) -> dict[UUID, PreviewState]:
    """How far previews are, by job."""
    found = {}
    for row in await database.fetch(_PREVIEWS, list(jobs)):
        result = None if row["result"] is None else msgspec.json.decode(row["result"])
        found[row["id"]] = PreviewState(row["id"], row["state"], result, row["error"])
    return found


async def read_failures(
    database: Database, run_id: UUID, after: UUID, limit: int
) -> list[asyncpg.Record]:
    return await database.fetch(_FAILURES, run_id, after, limit)


async def has_run(database: Database, code: str, run_id: UUID) -> bool:
    return bool(await database.fetch(_HAS_RUN, code, run_id))


def _campaign(row: asyncpg.Record) -> Campaign:
    values = dict(row)
    values["definition"] = msgspec.json.decode(values["definition"])
    return Campaign(**values)


def _row(kind: type[T], row: Row[Any] | None) -> T | None:
    return None if row is None else kind(**row._mapping)
