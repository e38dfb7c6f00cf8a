"""A group of commands in one database transaction: load, decide, append, commit.

A refusal concerns its own command only. What the database rejects is split by `ledger.lane`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from uuid import UUID

import asyncpg
import structlog
from msgspec import Struct

from ledger import sql
from ledger.append import Batch, LostUpdate
from ledger.commands import Answer, Command, Completion
from ledger.decide import Context, Outcome, decide
from ledger.errors import KeyReused, Refusal, TooLarge
from ledger.load import Connection, Known, MissingAccounts, Needs, load

_log = structlog.get_logger()

Clock = Callable[[], datetime]

TURN = 50
"""Commands decided before others of the process have a turn: a thousand take a while."""
TURN_S = 0.02
"""Or as soon as they took so long: one of a customer with thousands of lots takes milliseconds."""
MOST_POSTINGS = 10_000
"""From so many on a group decides no further commands: who was not seen for years brings along all
that has become due since, and a group has to end within its time."""
MOST_LOTS = 500_000
"""And from so many on that were looked through: a customer of thousands, again and again."""


class Result(Struct, frozen=True):
    """What became of a command. `answer` is what was kept, or found, under its key."""

    answer: Answer | None
    outcome: Outcome | None
    replayed: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the command happened, now or when it was first asked."""
        return self.outcome is not None or (self.answer is not None and self.answer.status < 400)


Fate = Result | Exception

Swept = tuple[list[UUID], list[Fate]]
"""Customers who were due, and a fate each."""

_OF_ROWS = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, LostUpdate)


class Unwritable(Exception):
    """The database rejects what was decided for one or more of these customers."""

    def __init__(self, customers: list[UUID]) -> None:
        super().__init__(f"one of {len(customers)} customers cannot be written")
        self.customers = customers


class Aborted(Exception):
    """A group that was to happen whole or not at all did not happen: the fates, had it been."""

    def __init__(self, fates: list[Fate]) -> None:
        super().__init__("not all commands of an atomic group succeeded")
        self.fates = fates

    @staticmethod
    def failed(fate: Fate) -> bool:
        """Whether this is a fate that aborts."""
        return not isinstance(fate, Result) or not fate.succeeded


async def run_group(
    connection: Connection,
    commands: Sequence[Command],
    clock: Clock,
    *,
    most: int = MOST_POSTINGS,
    atomic: bool = False,
) -> list[Fate]:
    """Run `commands` in order and commit once; a fate each, in the same order. When they have
    become `most` postings, or looked through MOST_LOTS, the rest has none: it is for the next
    group.

    `atomic` leaves no rest; it raises TooLarge when there would be one, and Aborted unless every
    command succeeds: nothing has happened then. Raises what the database raises; then nothing of
    the group has happened, unless the connection was lost while it committed.
    """
    needs = Needs(commands)
    while True:
        try:
            async with connection.transaction():
                batch, fates = await _decide_all(connection, commands, needs, clock(), most)
                if atomic and len(fates) < len(commands):
                    raise TooLarge(too_large(most))
                if atomic and any(map(Aborted.failed, fates)):
                    raise Aborted(fates)
                await batch.write(connection)
                return fates
        except MissingAccounts as missing:
            await connection.execute(sql.OPEN_ACCOUNTS, missing.customers)


async def run_due(
    connection: Connection, limit: int, clock: Clock, *, most: int = MOST_POSTINGS
) -> Swept:
    """Bring up to `limit` due customers up to date whom nobody else has locked, as many as become
    `most` postings, and commit once.

    Raises Unwritable, with the customers, when the database rejects what was decided.
    """
    due: list[UUID] = []
    try:
        async with connection.transaction():
            now = clock()
            due = [row[0] for row in await connection.fetch(sql.DUE, now, limit)]
            commands = [sweep_of(one, now) for one in due]
            batch, fates = await _decide_all(connection, commands, Needs(commands), now, most)
            due = due[: len(fates)]
            await batch.write(connection)
            return due, fates
    except _OF_ROWS as error:
        raise Unwritable(due) from error


def too_large(most: int) -> str:
    """What is wrong with commands that are more than a group of `most` postings may be."""
    return (
        f"make more than {most} postings together, or look through more than {MOST_LOTS} lots, "
        "while others wait for their customers"
    )


def sweep_of(customer_id: UUID, now: datetime) -> Command:
    """The command that only brings a customer up to date."""
    return Command(customer_id=customer_id, kind="activation", occurred_at=now, sweep=True)


async def _decide_all(
    connection: Connection, commands: Sequence[Command], needs: Needs, now: datetime, most: int
) -> tuple[Batch, list[Fate]]:
    """Load and decide, as much as a group may be; what is to be written, and the fates."""
    known, context = await load(connection, needs, now)
    batch = Batch(context)
    fates: list[Fate] = []
    loop = asyncio.get_running_loop()
    began = loop.time()
    for command in commands:
        if batch.postings >= most or batch.lots >= MOST_LOTS:
            break
        fates.append(_settle(command, context, known, batch, now))
        if len(fates) % TURN == 0 or loop.time() - began > TURN_S:
            await asyncio.sleep(0)
            began = loop.time()
    return batch, fates


def _settle(command: Command, context: Context, known: Known, batch: Batch, now: datetime) -> Fate:
    if command.key is not None and (before := known.answers.get(command.key)) is not None:
        fingerprint, answer = before
        if fingerprint != command.fingerprint:
            return KeyReused(
                "This Idempotency-Key was used for another request; use a new key for a new one."
            )
        return Result(answer, None, replayed=True)
    try:
        outcome = _decide(command, context, known, now)
        completion = command.complete(outcome) if command.complete else Completion()
    except Refusal as refusal:
        return _refuse(command, refusal, known, batch, now)
    except Exception as error:
        _log.exception("ledger_command_failed", kind=command.kind, key=command.key)
        return error
    context.accept(outcome, completion.facts)
    batch.add(outcome, completion.rows)
    if outcome.transaction is not None:
        for source in _sources(command):
            known.sources[source] = outcome.transaction.id
            batch.add_source(source, outcome.transaction)
    if completion.answer is not None:
        _keep(command, completion.answer, known, batch, now)
    return Result(completion.answer, outcome)


def _decide(command: Command, context: Context, known: Known, now: datetime) -> Outcome:
    if command.refusal is not None:
        raise command.refusal
    walls = chain(_sources(command), command.excludes)
    posted = next((one for one in walls if one in known.sources), None)
    # Of a hold the state tells more: that it is captured already, or that its time is over.
    if posted is not None and command.kind != "capture":
        raise _posted(posted, known)
    outcome = decide(context, command, now)
    if posted is not None:
        raise _posted(posted, known)
    return outcome


def _sources(command: Command) -> Iterator[str]:
    if command.source is not None:
        yield command.source
    yield from command.claims


def _posted(source: str, known: Known) -> Refusal:
    transaction_id = known.sources[source]
    return Refusal(
        "source_exists",
        f"{source} is already posted, as transaction {transaction_id}.",
        transaction_id=transaction_id,
        source=source,
    )


def _refuse(command: Command, refusal: Refusal, known: Known, batch: Batch, now: datetime) -> Fate:
    if command.refuse is None:
        return refusal
    answer = command.refuse(refusal)
    _keep(command, answer, known, batch, now)
    return Result(answer, None)


def _keep(command: Command, answer: Answer, known: Known, batch: Batch, now: datetime) -> None:
    if command.key is not None:
        known.answers[command.key] = (command.fingerprint, answer)
        batch.add_answer(command, answer, now)
