"""Step one of a group: read what its commands need, the customers locked in sorted order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
from msgspec import Struct

from ledger import commands as c
from ledger import sql
from ledger.decide import OPEN, Closing, Context
from ledger.model import Hold, Lot, Posting
from ledger.state import CorrectionTarget, CustomerState

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Reader: TypeAlias = "Connection | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


class MissingAccounts(Exception):
    """Customers the ledger has not met: to be opened outside the group's transaction, which
    would otherwise lock them out of order."""

    def __init__(self, customers: list[UUID]) -> None:
        super().__init__(f"{len(customers)} accounts to open")
        self.customers = customers


class Known(Struct):
    """Keys already answered, (fingerprint, answer), and documents already posted."""

    answers: dict[str, tuple[bytes, c.Answer]]
    sources: dict[str, UUID]
    closing: Closing = OPEN


class Needs:
    """What a group of commands has to see before it can decide."""

    __slots__ = ("all_lots", "customers", "facts", "holds", "keys", "sources", "targets")

    def __init__(self, commands: Iterable[c.Command]) -> None:
        self.customers: set[UUID] = set()
        self.all_lots: set[UUID] = set()
        self.holds: set[tuple[UUID, UUID]] = set()
        self.targets: set[tuple[UUID, UUID]] = set()
        self.facts: dict[c.Reading, set[c.Fact]] = {}
        self.keys: list[str] = []
        self.sources: list[str] = []
        for command in commands:
            if command.key is not None:
                self.keys.append(command.key)
            if command.refusal is None and command.customer_id is not None:
                if command.source is not None:
                    self.sources.append(command.source)
                self.sources += command.claims
                self.sources += command.excludes
                self._add(command, command.customer_id)

    def _add(self, command: c.Command, customer: UUID) -> None:
        self.customers.add(customer)
        if command.sweep or command.plan is not None:
            self.all_lots.add(customer)
        for fact in command.facts:
            self.facts.setdefault(fact.reading, set()).add(fact)
        self.targets.update((customer, target) for target in command.corrects)
        self.holds.update((customer, hold) for hold in command.holds)
        for step in command.steps:
            if isinstance(step, c.Accrue):
                continue
            self.all_lots.add(customer)
            if isinstance(step, c.Capture | c.Release):
                self.holds.add((customer, step.hold_id))
            elif isinstance(step, c.Transfer):
                self.customers.add(step.to)
            elif isinstance(step, c.Revoke | c.Restore | c.Reverse):
                self.targets.add((customer, step.transaction_id))


async def load(connection: Connection, needs: Needs, now: Any) -> tuple[Known, Context]:
    """Lock the customers, then read under the lock. Runs inside the group's transaction."""
    states = await _lock(connection, sorted(needs.customers))
    known = await _known(connection, needs)
    # A transfer brings its target up to the later of both customers' clocks.
    horizon = max([now, *(s.recorded_at for s in states.values() if s.recorded_at is not None)])
    due = {
        state.customer_id
        for state in states.values()
        if state.next_due is not None and state.next_due <= horizon
    }
    full = needs.all_lots | due
    targets = await _targets(connection, needs.targets) if needs.targets else {}
    await _lots(connection, states, full)
    if targets:
        await _named_lots(connection, states, needs.targets, targets)
    if full and (needs.holds or any(states[one].held for one in full)):
        await _holds(connection, states, full, needs.holds)
    facts = await read_facts(connection, needs.facts)
    return known, Context(states, targets, facts, known.closing)


async def read_facts(
    connection: Reader, wanted: Mapping[c.Reading, set[c.Fact]], *, lock: bool = True
) -> dict[c.Fact, Sequence[tuple[Any, ...]]]:
    """Read last, when all customers are locked; what is shared by many is locked in one order."""
    found: dict[c.Fact, list[tuple[Any, ...]]] = {}
    for reading in sorted(wanted, key=lambda one: one.name):
        facts = sorted(wanted[reading], key=lambda one: (one.customer_id, one.name))
        query = f"{reading.sql} FOR UPDATE" if reading.lock and lock else reading.sql
        customers, names = [one.customer_id for one in facts], [one.name for one in facts]
        found |= {fact: [] for fact in facts}
        for customer, name, *values in await connection.fetch(query, customers, names):
            found[c.Fact(reading, customer, name)].append(tuple(values))
    return dict(found)


async def _lock(connection: Connection, customers: Sequence[UUID]) -> dict[UUID, CustomerState]:
    if not customers:
        return {}
    rows = await connection.fetch(sql.LOCK, customers)
    if len(rows) < len(customers):
        found = {row[0] for row in rows}
        raise MissingAccounts([one for one in customers if one not in found])
    return {row[0]: balance_state(row) for row in rows}


def balance_state(row: asyncpg.Record) -> CustomerState:
    """A state from a row of `ledger.balances`: sums only, lots and holds not yet there."""
    state = CustomerState(row[0])
    (
        _,
        state.version,
        state.available,
        state.promo,
        state.deferred,
        state.held,
        state.debt,
        state.next_due,
        state.recorded_at,
    ) = row
    state.complete = False
    return state


async def _known(connection: Connection, needs: Needs) -> Known:
    known = Known({}, {})
    for row in await connection.fetch(sql.KNOWN, needs.keys, needs.sources):
        what, name, fingerprint, status, answer, transaction_id, closed_until = row
        if what == 0:
            known.answers[name] = (fingerprint, c.Answer(status, answer))
        elif what == 1:
            known.sources[name] = transaction_id
        else:
            known.closing = Closing(closed_until, name)
    return known


async def _lots(connection: Connection, states: dict[UUID, CustomerState], full: set[UUID]) -> None:
    partial = [one for one, state in states.items() if state.deferred and one not in full]
    for one in full:
        states[one].complete = True
    with_points = [
        one for one in full if states[one].available or states[one].deferred or states[one].held
    ]
    if with_points or partial:
        for row in await connection.fetch(sql.OPEN_LOTS, with_points, partial):
            states[row[0]].lots[row[1]] = read_lot(row)


def read_lot(row: asyncpg.Record) -> Lot:
    """A lot from `sql.LOT_COLUMNS`."""
    return Lot(*tuple(row)[1:])


async def _named_lots(
    connection: Connection,
    states: dict[UUID, CustomerState],
    wanted: set[tuple[UUID, UUID]],
    targets: dict[UUID, CorrectionTarget],
) -> None:
    pairs = {
        (customer, posting.lot_id)
        for customer, target in wanted
        if target in targets
        for posting in targets[target].postings
    }
    customers = [customer for customer, _ in pairs]
    lots = [lot for _, lot in pairs]
    for row in await connection.fetch(sql.NAMED_LOTS, customers, lots):
        states[row[0]].lots[row[1]] = read_lot(row)


async def _holds(
    connection: Connection,
    states: dict[UUID, CustomerState],
    full: set[UUID],
    named: set[tuple[UUID, UUID]],
) -> None:
    customers = [customer for customer, _ in named]
    holds = [hold for _, hold in named]
    for row in await connection.fetch(sql.HOLDS, list(full), customers, holds):
        states[row[0]].holds[row[1]] = read_hold(row)


def read_hold(row: asyncpg.Record) -> Hold:
    """A hold from `sql.HOLD_COLUMNS`."""
    _, hold_id, status, expires_at, lots, amounts, *rest = row
    return Hold(hold_id, status, expires_at, tuple(zip(lots, amounts, strict=True)), *rest)


async def taken_facts(
    connection: Connection, wanted: Mapping[c.Reading, set[c.Fact]]
) -> set[c.Fact]:
    """Those of the shared facts that somebody else holds locked."""
    taken: set[c.Fact] = set()
    for reading in (one for one in wanted if one.lock):
        facts = list(wanted[reading])
        asked = [one.customer_id for one in facts], [one.name for one in facts]
        there = await connection.fetch(reading.sql, *asked)
        free = await connection.fetch(f"{reading.sql} FOR UPDATE SKIP LOCKED", *asked)
        names = {(row[0], row[1]) for row in there} - {(row[0], row[1]) for row in free}
        taken |= {c.Fact(reading, *name) for name in names}
    return taken


async def _targets(
    connection: Connection, wanted: set[tuple[UUID, UUID]]
) -> dict[UUID, CorrectionTarget]:
    customers = [customer for customer, _ in wanted]
    ids = [target for _, target in wanted]
    own: dict[UUID, list[Posting]] = {}
    corrections: dict[UUID, list[Posting]] = {}
    kinds: dict[UUID, str] = {}
    reversed_ones: set[UUID] = set()
    for row in await connection.fetch(sql.TARGETS, customers, ids):
        target, kind, of, of_kind, _, seq, *rest = row
        kinds[target] = kind
        if of_kind == "reversal" and of != target:
            reversed_ones.add(target)
        if seq is not None:
            where = own if of == target else corrections
            where.setdefault(target, []).append(Posting(*rest))
    return {
        target: CorrectionTarget(
            target,
            kind,
            tuple(own.get(target, ())),
            tuple(corrections.get(target, ())),
            target in reversed_ones,
        )
        for target, kind in kinds.items()
    }
