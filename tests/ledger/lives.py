"""Customers with long and varied histories, posted by the ledger's own commands at random."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final
from uuid import UUID

from ledger import commands as c
from ledger.errors import Refusal
from ledger.model import Transaction
from ledger.service import Ledger
from ledger.sweep import post_due
from tests.ledger.conftest import Clock
from tests.ledger.house import Customer, Points, own

PLACES: Final = ((None, None), ("shop", "m1"), ("shop", ""), ("", None), ("site", "ü'\\"))
PROGRAMS: Final = ((None, None), ("summer", 1), ("summer", 2), ("", None))
GROUPS: Final = (None, "milk", "", "käse 🧀")


class Lives:
    """Some customers, and what they did that can be corrected."""

    def __init__(self, ledger: Ledger, clock: Clock, random: Random, count: int) -> None:
        self._ledger, self._clock, self._random = ledger, clock, random
        ids = [UUID(int=random.getrandbits(128)) for _ in range(count)]
        self.customers = [Customer(ledger, clock, id_) for id_ in ids]
        self._earned: dict[UUID, list[Transaction]] = {id_: [] for id_ in ids}
        self._spent: dict[UUID, list[Transaction]] = {id_: [] for id_ in ids}
        self._holds: dict[UUID, list[UUID]] = {id_: [] for id_ in ids}

    async def live(self, steps: int) -> None:
        """So many commands of each; some are refused, which is no matter."""
        for one in self.customers:
            await self._accrue(one)
        for step in range(steps):
            self._clock.seconds += self._random.randint(0, 9)
            for one in self.customers:
                try:
                    await self._random.choice(self._doings())(one)
                except Refusal:
                    continue
            if step % 4 == 0:
                while await post_due(self._ledger):
                    pass

    def _doings(self) -> list[Callable[[Customer], Coroutine[Any, Any, None]]]:
        often = [self._accrue, self._redeem, self._hold, self._end_hold, self._revoke]
        seldom = [self._restore, self._reverse, self._adjust, self._transfer, self._activate]
        return [*often, *often, *seldom, self._restore, self._receipt, self._give_back]

    def _grants(self) -> tuple[c.Grant, ...]:
        return tuple(self._grant() for _ in range(self._random.randint(1, 3)))

    def _grant(self) -> c.Grant:
        random, now = self._random, self._clock.seconds
        active = random.choice((None, None, now + random.randint(0, 40), -1))
        born = max(now, active or 0)
        ends = random.choice((None, born + random.randint(1, 90)))
        shares = [(group, random.randint(1, 90)) for group in random.sample(GROUPS, 2)]
        return c.Grant(
            random.choice(("base", "base", "promo")),
            tuple(shares[: random.randint(1, 2)]),
            None if active is None else c.WAITING if active < 0 else self._clock.at(active),
            None if ends is None or active == -1 else self._clock.at(ends),
            *random.choice(PROGRAMS),
        )

    def _place(self) -> dict[str, Any]:
        channel, store = self._random.choice(PLACES)
        author = self._random.choice((None, "", "till 1", "O'Hara"))
        return {"channel": channel, "store": store, "author": author}

    async def _accrue(self, one: Customer) -> None:
        self._earned[one.id].append(await one.accrue(*self._grants(), **self._place()))

    async def _redeem(self, one: Customer) -> None:
        most = self._random.randint(1, 120)
        step = self._random.choice((c.Redeem(most), c.Redeem(c.MAX, at_most=most)))
        self._spent[one.id].append(await one.do("redemption", step, **self._place()))

    async def _hold(self, one: Customer) -> None:
        until = self._clock.at(self._clock.seconds + self._random.randint(1, 60))
        step = c.PlaceHold(self._random.randint(1, 60), until)
        self._holds[one.id].append((await one.do("hold", step, **self._place())).id)

    async def _end_hold(self, one: Customer) -> None:
        if self._holds[one.id]:
            hold = self._random.choice(self._holds[one.id])
            if self._random.random() < 0.3:
                await one.release(hold)
            else:
                points = self._random.choice((None, self._random.randint(1, 30)))
                step = c.Capture(hold, points)
                self._spent[one.id].append(await one.do("capture", step, **self._place()))

    async def _revoke(self, one: Customer) -> None:
        earned = self._random.choice(self._earned[one.id])
        await one.revoke(earned, self._random.choice(("debt", "debt", "floor", "refuse")))

    async def _restore(self, one: Customer) -> None:
        if self._spent[one.id]:
            spent = self._random.choice(self._spent[one.id])
            points = self._random.choice((None, self._random.randint(1, 30)))
            await one.do("restoration", c.Restore(spent.id, points), **self._place())

    async def _reverse(self, one: Customer) -> None:
        await one.reverse(self._random.choice(self._earned[one.id] + self._spent[one.id]))

    async def _adjust(self, one: Customer) -> None:
        points = self._random.choice((-1, 1)) * self._random.randint(1, 50)
        step = c.Adjust(points, self._random.choice(("base", "promo")))
        await one.do("adjustment", step, reason="by hand", **self._place())

    async def _transfer(self, one: Customer) -> None:
        to = self._random.choice([other for other in self.customers if other is not one])
        whole, pays_debt, some = (self._random.random() < 0.5 for _ in range(3))
        points: Points = self._random.randint(1, 60) if some else c.MAX
        step = c.Transfer(to.id, points, deferred=whole, pays_debt=pays_debt)
        await one.do("transfer_out", step)

    async def _activate(self, one: Customer) -> None:
        await one.do("activation", c.ActivateWaiting())

    async def _receipt(self, one: Customer) -> None:
        steps: list[c.Step] = [c.Redeem(self._random.randint(1, 60)), c.Accrue(self._grants())]
        if self._holds[one.id]:
            steps[:1] = [c.Capture(self._random.choice(self._holds[one.id]))]
        command = one.command("receipt", *steps, **self._place())
        done = own((await one.result(command)).outcome)
        self._earned[one.id].append(done)
        self._spent[one.id].append(done)

    async def _give_back(self, one: Customer) -> None:
        steps: list[c.Step] = [c.Revoke(self._random.choice(self._earned[one.id]).id)]
        if self._spent[one.id]:
            steps.append(c.Restore(self._random.choice(self._spent[one.id]).id, 5))
        await one.do("return", *steps, **self._place())
