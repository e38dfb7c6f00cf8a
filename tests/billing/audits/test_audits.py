"""Sealing, signed checkpoints, audits that are kept, and who is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
import pytest

from billing.audits.checkpoints import FORMAT, read_lines
from billing.audits.service import Auditor, Sealing, newest_night
from billing.audits.signing import SealKey
from billing.common.auth import Principal
from billing.common.db import Database
from billing.periods.model import Period
from billing.periods.service import Periods
from integrations.webhooks.auditing import undelivered
from ledger.commands import PlaceHold
from ledger.rollups import roll_up
from ledger.service import Ledger
from tests.conftest import TestDatabase
from tests.ledger.chains import verify
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, lot
from tests.ledger.test_seals import rewritten

KEY = SealKey(bytes(range(32)))


class House:
    """A ledger, its sealer and its auditor, on a database of their own."""

    def __init__(
        self, database: TestDatabase, billing: Database, ledger: Ledger, clock: Clock, folder: Path
    ) -> None:
        self.database = database
        self.clock = clock
        self.ledger = ledger
        self.file = folder / "checkpoints.ndjson"
        self.sealing = Sealing(database.url, billing, KEY, self.file, clock)
        self.auditor = Auditor(
            database.owner_url, billing, role=None, by_hand=(undelivered,), clock=clock
        )

    async def sql(self, statement: str, *args: Any) -> Any:
        connection = await asyncpg.connect(
            self.database.superuser_url, server_settings={"session_replication_role": "replica"}
        )
        try:
            return await connection.fetchval(statement, *args)
        finally:
            await connection.close()


@pytest.fixture
async def house(database: TestDatabase, clock: Clock, tmp_path: Path) -> AsyncIterator[House]:
    billing = Database(database.url, size=2)
    async with Ledger(database.url, clock=clock) as ledger:
        yield House(database, billing, ledger, clock, tmp_path)
    await billing.close()


async def test_checkpoints_are_signed_hourly_and_put_away_once(house: House) -> None:
    one = Customer(house.ledger, house.clock)
    assert await house.sealing.run() == 0
    assert not house.file.exists() or house.file.read_text() == ""
    for hours, checkpoints in ((0, 1), (0.5, 1), (1.1, 2), (3, 3)):
        house.clock.seconds = hours * 3600
        await one.give(1)
        await house.sealing.run()
        await house.sealing.run()
        lines = read_lines(house.file.read_bytes().splitlines())
        assert [line.id for line in lines] == list(range(1, checkpoints + 1))
    house.clock.seconds += 7200
    await house.sealing.run()  # nothing new: nothing to sign
    assert len(read_lines(house.file.read_bytes().splitlines())) == 3
    told = await house.sql("SELECT count(*) FROM billing.events WHERE type = 'ledger.checkpoint'")
    assert told == 3
    house.file.write_bytes(house.file.read_bytes().split(b"\n")[0] + b"\n")
    await house.sealing.run()  # what the file has lost is put there again
    assert len(read_lines(house.file.read_bytes().splitlines())) == 3


async def test_a_file_that_cannot_be_written_holds_nothing_up(house: House) -> None:
    house.file.mkdir()
    await Customer(house.ledger, house.clock).give(1)
    assert await house.sealing.run() == 1
    assert (await house.auditor.run()).clean


async def test_a_chain_written_anew_is_betrayed_by_signature_and_file(
    house: House, tmp_path: Path
) -> None:
    one = Customer(house.ledger, house.clock)
    await one.do("adjustment", *(await _adjust()), reason="a gift")
    await house.sealing.run()
    outside = read_lines(house.file.read_bytes().splitlines())
    assert (await house.auditor.run(outside=outside)).clean
    await house.sql("UPDATE ledger.transactions SET reason = 'salary'")
    connection = await asyncpg.connect(
        house.database.superuser_url, server_settings={"session_replication_role": "replica"}
    )
    await rewritten(connection, 1, None)  # type: ignore[arg-type]
    await connection.close()
    inside = await house.auditor.run()
    assert [(f.what, "checkpoint 1" in f.detail) for f in inside.findings] == [("block", True)]
    # Who can write the database signs another checkpoint with a key of his own, or drops them.
    await house.sql("DELETE FROM ledger.checkpoints")
    assert (await house.auditor.run()).clean
    kept = await house.auditor.run(outside=outside)
    assert [(f.what, "outside checkpoint 1" in f.detail) for f in kept.findings] == [
        ("block", True)
    ]


async def _adjust() -> Any:
    from ledger.commands import Adjust

    return (Adjust(100, "base"),)


async def test_a_forged_checkpoint_is_named(house: House) -> None:
    await Customer(house.ledger, house.clock).give(1)
    await house.sealing.run()
    await house.sql("UPDATE ledger.checkpoints SET document = replace(document, '2026', '2027')")
    (finding,) = (await house.auditor.run()).findings
    assert (finding.what, "was changed" in finding.detail) == ("checkpoint", True)
    trusting = Auditor(
        house.database.owner_url, Database(house.database.url, size=1), role=None,
        public_key=SealKey(bytes(32)).public, clock=house.clock,
    )  # fmt: skip
    (finding,) = (await trusting.run()).findings
    assert "another key" in finding.detail


ODD_CHECKPOINTS = (
    *(f"document = {value}" for value in ("NULL", "''", "'{}'", "repeat('[', 99999)")),
    *(f"signature = {value}" for value in ("NULL", "''", "signature || signature")),
    *(f"public_key = {value}" for value in ("NULL", "''", "public_key || public_key")),
    *(f"at = {value}" for value in ("NULL", "'infinity'", "'294000-01-01'", "at + interval '1s'")),
)


@pytest.mark.parametrize("change", ODD_CHECKPOINTS)
async def test_a_checkpoint_that_nobody_writes_is_named_and_followed_by_another(
    house: House, change: str
) -> None:
    one = Customer(house.ledger, house.clock)
    await one.give(1)
    await house.sealing.run()
    for column in ("at", "document", "signature", "public_key"):
        await house.sql(f"ALTER TABLE ledger.checkpoints ALTER {column} DROP NOT NULL")
    await house.sql(f"UPDATE ledger.checkpoints SET {change}")
    assert [(f.what, f.which) for f in (await house.auditor.run()).findings] == [
        ("checkpoint", "1")
    ]
    house.clock.seconds += 7200
    await one.give(1)
    await house.sealing.run()
    assert await house.sql("SELECT count(*) FROM ledger.checkpoints") == 2


AT = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("form", "at", "said"),
    [
        (FORMAT, AT, '{"block":1,"hash":"none"}'),
        (FORMAT, AT, '{"block":1e400,"hash":""}'),
        (FORMAT, AT, '{"block":1}'),
        (FORMAT, AT, f'{{"block":1,"hash":"","more":{"[" * 99999}}}'),
        (FORMAT, AT.removesuffix("Z"), '{"block":0,"hash":""}'),
        ("another", AT, '{"block":0,"hash":""}'),
    ],
    ids=["a hash", "a number", "no hash", "depths", "a time", "a format"],
)
async def test_a_signed_document_that_says_nothing_is_no_checkpoint(
    house: House, form: str, at: str, said: str
) -> None:
    """Whoever can write the database has a key of his own."""
    one = Customer(house.ledger, house.clock)
    await one.give(1)
    await house.sealing.run()
    await put_in(house, f'{{"format":"{form}","at":"{at}","chains":{{"journal":{said}}}}}')
    findings = (await house.auditor.run()).findings
    assert [(f.what, f.which, f.detail) for f in findings] == [
        ("checkpoint", "2", "is not a checkpoint of this format")
    ]
    await one.give(1)
    assert await house.sealing.run() == 1


async def put_in(house: House, document: str) -> None:
    """A checkpoint of somebody else's."""
    other = SealKey(bytes(32))
    await house.sql(
        "INSERT INTO ledger.checkpoints (at, document, signature, public_key)"
        " VALUES ('2026-01-01Z', $1, $2, $3)",
        document, other.sign(document.encode()), other.public,
    )  # fmt: skip


async def test_what_others_sign_puts_no_checkpoint_off(house: House) -> None:
    one = Customer(house.ledger, house.clock)
    await one.give(1)
    await house.sealing.run()
    head = '{"block":9223372036854775807,"hash":""}'
    chains = f'{{"journal":{head},"answers":{head}}}'
    await put_in(house, f'{{"format":"{FORMAT}","at":"2099-01-01T00:00:00Z","chains":{chains}}}')
    for hours, checkpoints in ((0.5, 2), (1.1, 3), (1.2, 3)):
        house.clock.seconds = hours * 3600
        await one.give(1)
        await house.sealing.run()
        assert await house.sql("SELECT count(*) FROM ledger.checkpoints") == checkpoints


async def test_the_verifier_knows_checkpoints_kept_elsewhere(house: House, tmp_path: Path) -> None:
    from ledger.seals.exporting import export

    await Customer(house.ledger, house.clock).give(1)
    await house.sealing.run()
    connection = await asyncpg.connect(house.database.owner_url)
    chain = tmp_path / "chain.ndjson"
    chain.write_bytes(b"".join([line async for line in export(connection)]))
    await connection.close()
    options = ("--checkpoints", str(house.file), "--public-key", KEY.public.hex())
    assert verify(chain, *options) == []
    line = msgspec.json.decode(house.file.read_bytes())
    document = msgspec.json.decode(line["document"])
    document["chains"]["journal"]["hash"] = "00" * 32
    signed = msgspec.json.encode(document)
    line |= {"document": signed.decode(), "signature": KEY.sign(signed).hex()}
    house.file.write_bytes(msgspec.json.encode(line) + b"\n")
    (fault,) = verify(chain, *options)
    assert "block journal 1 is another one" in fault
    for block in ([1], None, 1e999, "one"):
        document["chains"]["journal"]["block"] = block
        signed = json.dumps(document).encode()
        line |= {"document": signed.decode(), "signature": KEY.sign(signed).hex()}
        house.file.write_bytes(msgspec.json.encode(line) + b"\n")
        (fault,) = verify(chain, *options)
        assert "is no checkpoint" in fault
    assert len(verify(chain, "--public-key", SealKey(bytes(32)).public.hex())) == 1


async def test_the_nightly_audit_runs_once_and_is_kept(house: House) -> None:
    await Customer(house.ledger, house.clock).give(1)
    await house.sealing.run()
    night = house.clock()
    report = await house.auditor.run_when_due(night)
    assert report is not None
    assert (report.clean, report.postings) == (True, 1)
    assert await house.auditor.run_when_due(night) is None
    house.clock.seconds += 60
    assert await house.auditor.run_when_due(house.clock()) is not None


async def test_since_last_goes_on_from_the_last_clean_audit(house: House) -> None:
    one, other = [Customer(house.ledger, house.clock) for _ in range(2)]
    await one.give(1)
    await house.sealing.run()
    first = await house.auditor.run("since_last")
    assert (first.scope, first.customers) == ("whole", 1)
    await house.auditor.keep(first)
    await other.give(2)
    await house.sealing.run()
    second = await house.auditor.run("since_last")
    assert (second.scope, second.clean, second.blocks) == ("since_last", True, 1)
    assert second.customers == 2  # the last block's customer, too
    await house.sql("UPDATE ledger.transactions SET author = 'x' WHERE customer_id = $1", other.id)
    (finding,) = (await house.auditor.run("since_last")).findings
    assert finding.which == f"{other.id}/1"


async def test_no_audit_goes_on_where_a_chain_of_another_form_ended(house: House) -> None:
    one = Customer(house.ledger, house.clock)
    for _ in range(2):
        await one.give(1)
        await house.sealing.run()
    await house.auditor.keep(await house.auditor.run())
    begun_anew = import_module("migrations.versions.0020_rows_as_copied")
    for statement in begun_anew.STATEMENTS:
        await house.sql(statement)
    await one.give(1)
    await house.sealing.run()
    report = await house.auditor.run("since_last")
    assert (report.scope, report.clean, report.blocks) == ("whole", True, 1)
    await house.auditor.keep(report)
    assert (await house.auditor.run("since_last")).scope == "since_last"


async def test_holds_nobody_closed_and_people_nobody_swept_are_warnings(house: House) -> None:
    one = Customer(house.ledger, house.clock)
    await one.give(10)
    await one.do("hold", PlaceHold(5, house.clock.at(60)))
    house.clock.seconds = 7200
    report = await house.auditor.run()
    assert report.clean
    assert {(f.what, f.customer_id) for f in report.warnings} == {
        ("hold", one.id), ("customer", one.id),
    }  # fmt: skip


async def test_an_event_that_was_never_made_a_delivery_is_a_warning(house: House) -> None:
    """The dispatcher's place was moved over it."""
    long_ago = house.clock.at(-(10**6))
    await house.sql(
        "INSERT INTO billing.webhook_subscriptions (id, url, events, description, secret,"
        " created_at, updated_at) VALUES (gen_random_uuid(), 'https://x', '{points.*}', '', '',"
        " $1, $1)", long_ago,
    )  # fmt: skip
    one = Customer(house.ledger, house.clock)
    given = await one.give(1)
    assert (await house.auditor.run()).warnings == []
    await house.sql(
        "INSERT INTO billing.event_cursors VALUES ('webhooks',"
        " (SELECT max(xid) FROM ledger.transactions), now())"
    )
    (warning,) = (await house.auditor.run()).warnings
    assert (warning.what, warning.customer_id) == ("event", one.id)
    assert "points.accrued" in warning.detail
    assert given.id is not None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE ledger.rollups SET amount = amount + 1 WHERE kind = 'redeem'", "redeem available"),
        ("DELETE FROM ledger.rollups WHERE kind = 'accrue'", "accrue issued available"),
        ("UPDATE ledger.rollups SET store = 'elsewhere' WHERE kind = 'accrue'", "elsewhere"),
    ],
)
async def test_a_sum_of_reports_that_was_touched_is_named(
    house: House, change: str, named: str
) -> None:
    """Reports are made of daily sums: a hand in them would be believed."""
    one = Customer(house.ledger, house.clock)
    await one.accrue(lot(500))
    await one.redeem(100)
    zone = ZoneInfo("Europe/Moscow")
    while await roll_up(house.ledger, zone):
        pass
    await one.redeem(50)  # not summed up yet
    assert (await house.auditor.run()).clean

    await house.sql(change)

    report = await house.auditor.run()
    assert {finding.what for finding in report.findings} == {"rollup"}
    assert named in " ".join(finding.which for finding in report.findings)


async def test_a_closed_month_that_was_touched_is_named(
    house: House, database: TestDatabase
) -> None:
    one = Customer(house.ledger, house.clock)
    await one.accrue(lot(500))
    billing = Database(database.url, size=2)
    zone = ZoneInfo("Europe/Moscow")
    periods = Periods(billing, house.ledger, zone)
    month = Period.at(house.clock(), zone)
    house.clock.seconds = (month.ends - house.clock.at(0)).total_seconds() + 1
    anna = Principal(key_id=UUID(int=7), name="Anna", role="finance")
    await periods.close(month.name, "refuse", None, anna)
    await billing.close()
    assert (await house.auditor.run()).clean

    await house.sql(
        "UPDATE billing.period_events SET sealed = jsonb_set(sealed, '{zone}', '\"UTC\"')"
    )

    (finding,) = (await house.auditor.run()).findings
    assert (finding.what, finding.which) == ("period", month.name)


@pytest.mark.parametrize(
    ("now", "night"),
    [
        ("2026-11-21T10:00:00+00:00", "2026-11-21T00:30:00+00:00"),
        ("2026-11-21T00:29:00+00:00", "2026-11-20T00:30:00+00:00"),
        ("2026-11-21T00:30:00+00:00", "2026-11-21T00:30:00+00:00"),
    ],
)
def test_a_night_begins_by_the_chain_s_clock(now: str, night: str) -> None:
    found = newest_night(datetime.fromisoformat(now), time(3, 30), ZoneInfo("Europe/Moscow"))
    assert found == datetime.fromisoformat(night)
    assert found.utcoffset() == timedelta(hours=3)
    assert found.astimezone(UTC).minute == 30
