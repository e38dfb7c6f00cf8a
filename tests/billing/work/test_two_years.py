"""Two years of a small chain's days against the plain model: month ends, a leap day, clocks that
change, and workers that stop and start (C31, C32; DESIGN 3, 6).

Every day every customer's balance is what the plain model says, and so is who was told of points
that expire; the model knows of workers only that campaigns and notices wait for them.
"""

from __future__ import annotations

import os
import time as clock
from calendar import monthrange
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from msgspec.structs import replace

from billing.common.settings import Settings
from billing.notices.service import ExpiryNotices
from ledger.audit import audit
from ledger.sweep import post_due
from tests.billing.campaigns.house import Office
from tests.billing.scenarios.house import opened
from tests.conftest import TestDatabase
from tests.ledger.plain import NEVER, PlainCustomer

BERLIN = ZoneInfo("Europe/Berlin")
FIRST, LAST = date(2027, 1, 1), date(2028, 12, 31)
NO_HALF_PAST_TWO = {date(2027, 3, 28), date(2028, 3, 26)}
"""Days on which clocks go from 02:00 to 03:00."""
CATCH_UP = timedelta(days=7)
AHEAD = 7
_TOLD = """
SELECT customer_id, data->>'on' AS day, data->'points'->>'total' AS points FROM billing.events
WHERE type = 'points.expiring_soon' AND seq > $1 ORDER BY seq
"""
PROGRAMS: list[dict[str, Any]] = [
    {
        "code": "base",
        "reward": {"kind": "percent", "value": "10"},
        "available": {"after": "P14D"},
        "expires": {"after": "P1M"},
    },
    {
        "code": "promo",
        "reward": {"kind": "percent", "value": "5"},
        "bucket": "promo",
        "expires": {"after": "P2M", "round_up_to": "month"},
    },
]


# The calendar, written down once more ---------------------------------------------------


def at(day: date, hour: int = 0, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), BERLIN).astimezone(UTC)


def months_later(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def first_of_month(day: date) -> date:
    """The day itself, or the first day of the next month."""
    return day if day.day == 1 else months_later(day.replace(day=1), 1)


def sundays_and_month_ends() -> Iterator[tuple[str, datetime]]:
    day = FIRST
    while day <= LAST:
        when = at(day, 3) if day in NO_HALF_PAST_TWO else at(day, 2, 30)
        if (day + timedelta(days=1)).day == 1:
            yield "month-end", when
        if day.weekday() == 6:
            yield "sunday", when
        day += timedelta(days=1)


GIFTS = {"month-end": (700, "FREQ=MONTHLY;BYMONTHDAY=-1"), "sunday": (100, "FREQ=WEEKLY;BYDAY=SU")}
"""Each lives for seven days from the day it is given."""


@dataclass
class Years:
    """The chain beside its model. Amounts are in 1/100 points."""

    office: Office
    chance: Random
    customers: list[str] = field(default_factory=list)
    plain: dict[str, PlainCustomer] = field(default_factory=dict)
    holds: list[tuple[str, str]] = field(default_factory=list)
    waiting: dict[str, list[datetime]] = field(default_factory=dict)
    noticed: date | None = None
    seq: int = 0
    count: int = 0
    seen: Counter[str] = field(default_factory=Counter)

    async def open(self, customers: int) -> None:
        chain = self.office.chain
        chain.now = at(FIRST)
        client = await chain.client()
        for program in PROGRAMS:
            body = {"name": "P", "valid_from": "2020-01-01T00:00:00Z"} | program
            assert (await client.post("/v1/programs", json=body)).status_code == 201
            since = {"from": "2020-01-01T00:00:00Z"}
            path = f"/v1/programs/{program['code']}/publish"
            assert (await client.post(path, json=since)).status_code == 200
        for _ in range(customers):
            one = await chain.customer(tags=["vip"])
            self.customers.append(one)
            self.plain[one] = PlainCustomer()
        for code, (points, rule) in GIFTS.items():
            await self.office.started(
                code, points=f"{points / 100:.2f}", expires={"after": "P7D"},
                recurrence={"rule": rule, "at": "02:30"},
            )  # fmt: skip
            self.waiting[code] = [when for name, when in sundays_and_month_ends() if name == code]

    # What happens in the shop ---------------------------------------------------------------

    async def till(self, moment: datetime) -> None:
        self._pass_to(moment)
        one, dice = self.chance.choice(self.customers), self.chance.random()
        if dice < 0.75:
            await self._sell(one)
        elif dice < 0.88:
            await self._hold(one)
        elif self.holds:
            await self._end_hold(*self.holds.pop(self.chance.randrange(len(self.holds))))

    async def _sell(self, one: str) -> None:
        """10 % of what is paid in money in two weeks, 5 % at once."""
        plain, now = self.plain[one], self._now()
        total = self.chance.randint(1, 20) * 5000
        redeem = min(plain.sums()[0], total // 5) // 100 * 100 if self.chance.random() < 0.4 else 0
        more = {"redeem": {"points": f"{redeem / 100:.2f}"}} if redeem else {}
        await self._post("/v1/receipts", self._basket(one, total) | more)
        if redeem:
            plain.redeem(now, redeem)
        day = self.office.chain.now.astimezone(BERLIN).date()
        since, paid = day + timedelta(days=14), total - redeem
        ends = at(months_later(since, 1)).timestamp()
        promo_ends = at(first_of_month(months_later(day, 2) + timedelta(days=1))).timestamp()
        base = ("base", paid // 10, at(since).timestamp(), ends)
        plain.accrue(now, [base, ("promo", paid // 20, None, promo_ends)])
        self.seen["sales"] += 1

    async def _hold(self, one: str) -> None:
        points = self.plain[one].sums()[0] // 3
        if not points:
            return
        seconds = self.chance.choice((3600, 40_000))
        body = self._basket(one, 100_000_00) | {
            "points": f"{points / 100:.2f}", "mode": "hold", "hold_seconds": seconds,
        }  # fmt: skip
        made = await self._post("/v1/redemptions", body)
        self.plain[one].hold(self._now(), points, self._now() + seconds, made["id"])
        self.holds.append((one, made["id"]))

    async def _end_hold(self, one: str, hold: str) -> None:
        plain = self.plain[one]
        if plain.holds[hold].status != "open":
            self.seen["holds that timed out"] += 1
            return
        action = self.chance.choice(("capture", "release"))
        await self._post(f"/v1/redemptions/{hold}/{action}", {} if action == "capture" else None)
        if action == "capture":
            plain.capture(self._now(), hold, None)
        else:
            plain.release(self._now(), hold)

    # What workers do ------------------------------------------------------------------------

    async def workers(self, moment: datetime) -> None:
        self._pass_to(moment)
        services = self.office.chain.services
        await self.office.run()
        while await post_due(services.ledger):
            pass
        await self._check_runs(moment)
        await self._check_notices(moment)

    async def _check_runs(self, moment: datetime) -> None:
        """What is due by now is given now; what is older than a week, never."""
        for code, (points, _) in GIFTS.items():
            due = [when for when in self.waiting[code] if when <= moment]
            self.waiting[code] = self.waiting[code][len(due) :]
            ends = at(moment.astimezone(BERLIN).date() + timedelta(days=8)).timestamp()
            for when in due:
                if when < moment - CATCH_UP:
                    self.seen["runs that were skipped"] += 1
                    continue
                self.seen["runs"] += 1
                for plain in self.plain.values():
                    plain.accrue(self._now(), [("promo", points, None, ends)])

    async def _check_notices(self, moment: datetime) -> None:
        chain = self.office.chain
        notices = ExpiryNotices(chain.services.database, (AHEAD,), BERLIN, clock=lambda: chain.now)
        while await notices.step() is not None:
            pass
        today = moment.astimezone(BERLIN).date()
        expected: Counter[tuple[UUID, str, str]] = Counter()
        first = today if self.noticed is None else self.noticed + timedelta(days=1)
        for day in _days(max(first, today - timedelta(days=AHEAD)), today):
            on = day + timedelta(days=AHEAD)
            for one, plain in self.plain.items():
                points = _ending(plain, on, self._now())
                if points:
                    expected[UUID(one), on.isoformat(), f"{points / 100:.2f}"] += 1
        self.noticed = today
        rows = await self.office.superuser.fetch(_TOLD, self.seq)
        found = Counter(tuple(row) for row in rows)
        assert found == expected, moment
        self.seen["notices"] += len(rows)
        self.seq = await self.office.superuser.fetchval("SELECT max(seq) FROM billing.events")

    # The comparison -------------------------------------------------------------------------

    async def compare(self, moment: datetime) -> None:
        self._pass_to(moment)
        client = await self.office.chain.client()
        for one, plain in self.plain.items():
            told = (await client.get(f"/v1/customers/{one}/balance")).json()
            names = ("available", "promo", "deferred", "held", "debt")
            expected = [f"{amount / 100:.2f}" for amount in plain.sums()]
            assert [told[name] for name in names] == expected, (moment, one, told)

    # Parts ----------------------------------------------------------------------------------

    def _pass_to(self, moment: datetime) -> None:
        self.office.chain.now = moment
        for plain in self.plain.values():
            plain.tick(moment.timestamp())

    def _now(self) -> float:
        return self.office.chain.now.timestamp()

    def _basket(self, one: str, total: int) -> dict[str, Any]:
        self.count += 1
        quantity = total // 5000
        line = {"line": 1, "sku": "milk", "quantity": str(quantity), "price": "50.00",
                "amount": f"{quantity * 50}.00"}  # fmt: skip
        receipt = {"number": f"r-{self.count}", "lines": [line],
                   "occurred_at": self.office.chain.now.isoformat()}  # fmt: skip
        place = {"channel": "shop", "store": "333"}
        return {"customer": {"customer_id": one}, **place, "receipt": receipt}

    async def _post(self, path: str, body: Any) -> Any:
        self.count += 1
        client = await self.office.chain.client()
        headers = {"idempotency-key": f"key-{self.count}"}
        answer = await client.post(path, json=body, headers=headers)
        assert answer.is_success, (self.office.chain.now, answer.text)
        return answer.json()


def _ending(plain: PlainCustomer, on: date, now: float) -> int:
    """What a customer will lose on a day, as it stands now."""
    begin, end = at(on).timestamp(), at(on + timedelta(days=1)).timestamp()
    return sum(
        lot.available + lot.deferred
        for lot in plain.lots
        if lot.expires != NEVER and max(begin, now) <= lot.expires < end and lot.expires > now
    )


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += timedelta(days=1)


@pytest.fixture
async def office(settings: Settings, database: TestDatabase) -> AsyncIterator[Office]:
    superuser = await asyncpg.connect(database.superuser_url)
    async with opened(replace(settings, timezone=BERLIN)) as chain:
        yield Office(chain, superuser)
    await superuser.close()


async def test_two_years_of_a_small_chain(office: Office, database: TestDatabase) -> None:
    await live(office, database, seed=1, customers=3, busy=1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 2 + int(os.environ.get("SOAK_YEARS", "4"))))
async def test_two_years_of_a_larger_chain(
    office: Office, database: TestDatabase, seed: int
) -> None:
    await live(office, database, seed=seed, customers=20, busy=6)


async def live(
    office: Office, database: TestDatabase, *, seed: int, customers: int, busy: int
) -> None:
    """Day after day; `busy` is how much happens in a day."""
    began, chance = clock.monotonic(), Random(seed)
    years = Years(office, chance)
    await years.open(customers)
    at_work, until = True, FIRST + timedelta(days=10)
    for day in _days(FIRST, LAST):
        if day == until:
            at_work = not at_work
            until = day + timedelta(days=chance.randint(1, 12 if at_work else 18))
        if at_work:
            await years.workers(at(day, 3, 10))
        for hour in sorted(chance.sample(range(8, 21), busy)):
            await years.till(at(day, hour, chance.randint(0, 59)))
        if at_work and chance.random() < 0.3:
            await years.workers(at(day, 22))
        await years.compare(at(day, 23, 59))
    print(f"\n{dict(years.seen)} in {clock.monotonic() - began:.0f} s")
    assert years.seen["runs that were skipped"], "the sleep was never long enough"
    owner = await asyncpg.connect(database.owner_url)
    report = await audit(owner)
    await owner.close()
    assert report.findings == [], report
