"""All commands at random, against PostgreSQL and against the same rules in plain Python."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any, TypeVar, get_args
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ledger import commands as c
from ledger.closer import check, read_some
from ledger.errors import Refusal
from ledger.flows import BurnOrder
from ledger.listing import list_postings
from ledger.reads import balance_as_of, balance_now, statement
from ledger.selection import Selection
from ledger.service import Ledger
from ledger.state import CustomerState
from ledger.sweep import post_due
from ledger.totals import trial_balance
from tests.conftest import TestDatabase
from tests.ledger.conftest import Clock
from tests.ledger.plain import NEVER, No, PlainCustomer

T = TypeVar("T")

amounts = st.integers(1, 200)
shares = st.one_of(st.none(), st.integers(1, 100), st.integers(1, 130))
"""Per cent of what may be spent; None is "max", more than 100 is refused."""
orders = st.sampled_from(get_args(BurnOrder))
few = st.integers(0, 1)
late = st.one_of(st.just(0), st.integers(0, 25))
grants = st.lists(
    st.tuples(
        st.sampled_from(["base", "promo"]),
        amounts,
        st.one_of(st.none(), st.none(), st.integers(-5, 30), st.just(NEVER)),
        st.one_of(st.none(), st.integers(1, 200)),
    ),
    min_size=1,
    max_size=3,
)


class World:
    """One running ledger for all examples; each example has customers of its own."""

    loop: asyncio.AbstractEventLoop
    ledger: Ledger
    clock: Clock
    auditor: asyncpg.Connection[asyncpg.Record]

    @classmethod
    def run(cls, work: Coroutine[Any, Any, T]) -> T:
        return cls.loop.run_until_complete(work)


class LedgerMachine(RuleBasedStateMachine):
    earned = Bundle("earned")
    spent = Bundle("spent")
    holds = Bundle("holds")

    @initialize()
    def start(self) -> None:
        World.clock.seconds = 0.0
        self.ids = [uuid4() for _ in range(2)]
        self.plain = {one: PlainCustomer() for one in self.ids}

    def wish(self, who: int, share: int | None) -> tuple[int | None, Any]:
        """An amount to ask for, as the model and as the ledger wants it."""
        spendable = self.spendable(who)
        amount = None if share is None else max(1, spendable * share // 100)
        return amount, c.MAX if amount is None else amount

    def spendable(self, who: int) -> int:
        one = self.plain[self.ids[who]]
        one.tick(World.clock.seconds)
        return max(0, one.sums()[0] - one.debt)

    def rich(self) -> bool:
        return self.spendable(0) > 0 < self.spendable(1)

    def ask(self, who: int, kind: str, at: float, *steps: c.Step) -> Any:
        """The ledger's outcome, or the code of its refusal."""
        command = c.Command(
            customer_id=self.ids[who],
            kind=kind,  # type: ignore[arg-type]
            occurred_at=World.clock.at(at),
            steps=steps,
            channel="shop",
        )
        try:
            return World.run(World.ledger.execute(command)).outcome
        except Refusal as refusal:
            return refusal.code

    def both(self, who: int, kind: str, back: int, step: c.Step, expect: Any) -> Any:
        """Ask both; they must agree on yes, no and why. The done thing, or None."""
        at = World.clock.seconds - back
        customer = self.plain[self.ids[who]]
        customer.tick(World.clock.seconds)
        refused = None
        try:
            done = expect(customer, at)
        except No as no:
            refused = no.args[0]
        if refused is not None:
            assert self.ask(who, kind, at, step) == refused
            return None
        outcome = self.ask(who, kind, at, step)
        assert not isinstance(outcome, str), f"refused {outcome}, should not be"
        self.agree(who)
        return outcome, done

    @rule(seconds=st.integers(1, 20))
    def time_passes(self, seconds: int) -> None:
        World.clock.seconds += seconds
        for who, one in enumerate(self.ids):
            self.plain[one].tick(World.clock.seconds)
            self.agree(who)

    @rule()
    def workers_sweep(self) -> None:
        while World.run(post_due(World.ledger, limit=1000)) == 1000:
            pass

    @rule(target=earned, who=few, back=late, given=grants)
    def accrue_and_more(self, who: int, back: int, given: list[Any]) -> Any:
        return self.accrue(who, back, given)

    @rule(target=earned, who=few, back=late, given=grants)
    def accrue(self, who: int, back: int, given: list[Any]) -> Any:
        at = World.clock.seconds - back
        real: list[c.Grant] = []
        plain: list[Any] = []
        for bucket, amount, delay, life in given:
            active = at if delay is None else at + delay
            born = at if active == NEVER else max(active, at)
            expires = NEVER if life is None else born + life
            since = c.WAITING if active == NEVER else World.clock.at(min(active, 10**6))
            real.append(
                c.Grant(
                    bucket,
                    ((None, amount),),
                    None if delay is None else since,
                    None if life is None else World.clock.at(expires),
                )
            )
            plain.append((bucket, amount, None if delay is None else active, expires))
        result = self.both(
            who, "accrual", back, c.Accrue(tuple(real)), lambda one, at: one.accrue(at, plain)
        )
        return self._named(who, result)

    @rule(who=few, back=late)
    def activate_waiting(self, who: int, back: int) -> None:
        self.both(
            who,
            "activation",
            back,
            c.ActivateWaiting(),
            lambda one, at: one.activate_waiting(at),
        )

    @precondition(rich)
    @rule(target=spent, who=few, back=late, share=shares, order=orders)
    def redeem(self, who: int, back: int, share: int | None, order: BurnOrder) -> Any:
        amount, points = self.wish(who, share)
        result = self.both(
            who,
            "redemption",
            back,
            c.Redeem(points, order=order),
            lambda one, at: one.redeem(at, amount, order),
        )
        return self._named(who, result)

    @rule(
        who=few,
        back=late,
        amount=st.integers(-100, 100).filter(bool),
        bucket=st.sampled_from(["base", "promo"]),
    )
    def adjust(self, who: int, back: int, amount: int, bucket: Any) -> None:
        self.both(
            who,
            "adjustment",
            back,
            c.Adjust(amount, bucket),
            lambda one, at: one.adjust(at, amount, bucket),
        )

    @precondition(rich)
    @rule(target=holds, who=few, share=shares, seconds=st.integers(1, 50), order=orders)
    def hold(self, who: int, share: int | None, seconds: int, order: BurnOrder) -> Any:
        amount, points = self.wish(who, share)
        until = World.clock.seconds + seconds
        name = uuid4()
        result = self.both(
            who,
            "hold",
            0,
            c.PlaceHold(points, World.clock.at(until), order=order),
            lambda one, at: one.hold(at, amount, until, name, order),
        )
        return multiple() if result is None else (who, result[0].hold.id, name)

    @rule(target=spent, held=holds, share=shares)
    def capture(self, held: Any, share: int | None) -> Any:
        who, hold_id, name = held
        parts = self.plain[self.ids[who]].holds[name].parts
        whole = sum(part for _, part in parts)
        amount = None if share is None else max(1, whole * share // 100)
        result = self.both(
            who,
            "capture",
            0,
            c.Capture(hold_id, amount),
            lambda one, at: one.capture(at, name, amount),
        )
        return self._named(who, result)

    @rule(held=holds)
    def release(self, held: Any) -> None:
        who, hold_id, name = held
        self.both(who, "release", 0, c.Release(hold_id), lambda one, at: one.release(at, name))

    @rule(done=earned, back=late, if_spent=st.sampled_from(["debt", "floor", "refuse"]))
    def revoke(self, done: Any, back: int, if_spent: Any) -> None:
        who, transaction_id, plain = done
        policy: Any = "debt" if plain.into_debt else if_spent
        self.both(
            who,
            "revocation",
            back,
            c.Revoke(transaction_id, None, policy),
            lambda one, at: one.revoke(at, plain, policy),
        )

    @rule(done=spent, back=late, share=shares)
    def restore(self, done: Any, back: int, share: int | None) -> None:
        who, transaction_id, plain = done
        whole = sum(part for _, part in plain.spent)
        amount = None if share is None else max(1, whole * share // 100)
        self.both(
            who,
            "restoration",
            back,
            c.Restore(transaction_id, amount),
            lambda one, at: one.restore(at, plain, amount),
        )

    @rule(done=st.one_of(earned, spent))
    def reverse(self, done: Any) -> None:
        who, transaction_id, plain = done
        self.both(
            who, "reversal", 0, c.Reverse(transaction_id), lambda one, at: one.reverse(at, plain)
        )

    @precondition(rich)
    @rule(who=few, share=shares, order=orders, more=st.tuples(st.booleans(), st.booleans()))
    def transfer(
        self, who: int, share: int | None, order: BurnOrder, more: tuple[bool, bool]
    ) -> None:
        to = 1 - who
        amount, points = self.wish(who, share)
        self.both(
            who,
            "transfer_out",
            0,
            c.Transfer(self.ids[to], points, order, more[0], None, more[1]),
            lambda one, at: one.transfer(at, self.plain[self.ids[to]], amount, order, *more),
        )
        self.agree(to)

    @rule(who=few, share=st.floats(0, 1.2), known=st.booleans())
    def ask_as_of(self, who: int, share: float, known: bool) -> None:
        """As of any time, by what is known now; and by what was known then."""
        one = self.plain[self.ids[who]]
        one.tick(World.clock.seconds)
        asked = int(World.clock.seconds * min(share, 1.0))
        recorded = asked if known else World.clock.seconds
        state = World.run(
            balance_as_of(
                World.ledger, self.ids[who], World.clock.at(asked), World.clock.at(recorded)
            )
        )
        assert _sums(state) == one.as_of(asked, recorded)

    def agree(self, who: int) -> None:
        """Sums and lots of both are the same."""
        state = World.run(balance_now(World.ledger, self.ids[who]))
        plain = self.plain[self.ids[who]]
        assert _sums(state) == plain.sums()
        real = Counter(
            (lot.bucket, lot.available, lot.deferred, lot.held)
            for lot in state.lots.values()
            if lot.open
        )
        assert real == Counter(
            (lot.bucket, lot.available, lot.deferred, lot.held)
            for lot in plain.lots
            if lot.available + lot.deferred + lot.held
        )

    def _named(self, who: int, result: Any) -> Any:
        if result is None:
            return multiple()
        outcome, done = result
        return (who, outcome.transaction.id, done)

    def teardown(self) -> None:
        """Lists, totals and aggregates agree; the history proves every projection."""
        if not hasattr(self, "ids"):
            return
        for customer in World.run(read_some(World.auditor, self.ids)):
            if customer.history:
                assert check(customer) == []
                self._lists_agree(customer.id)

    def _lists_agree(self, customer_id: UUID) -> None:
        only = Selection(customer_id=customer_id)
        totals = {t.account: t for t in World.run(trial_balance(World.ledger, only))}
        rows = World.run(list_postings(World.ledger, only, 10_000))
        for account, total in totals.items():
            debit = sum(row["amount"] for row in rows if row["debit"] == account)
            credit = sum(row["amount"] for row in rows if row["credit"] == account)
            assert (debit, credit) == (total.debit, total.credit)
        assert sum(t.debit - t.credit for t in totals.values()) == 0
        items = World.run(statement(World.ledger, customer_id, 10_000))
        after = items[0].transaction.after
        assert sum(item.points for item in items) == (
            after.available + after.deferred + after.held - after.debt
        )
        for account in ("available", "deferred", "held"):
            found = [total for name, total in totals.items() if name == account]
            assert sum(one.credit - one.debit for one in found) == getattr(after, account)


def _sums(state: CustomerState) -> tuple[int, int, int, int, int]:
    return (state.available, state.promo, state.deferred, state.held, state.debt)


@pytest.fixture
def world(database: TestDatabase) -> Any:
    World.loop = asyncio.new_event_loop()
    World.clock = Clock()

    async def start() -> None:
        World.ledger = Ledger(database.url, clock=World.clock)
        await World.ledger.start()
        World.auditor = await asyncpg.connect(database.owner_url)

    async def stop() -> None:
        await World.ledger.close()
        await World.auditor.close()

    World.run(start())
    yield
    World.run(stop())
    World.loop.close()


def test_the_ledger_agrees_with_the_plain_model(world: None) -> None:
    """B21, B22, C3, C5, C6, C29, C30: every command, in any order, at any time."""
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=120,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
