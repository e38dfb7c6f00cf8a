"""Decisions: `(state, command, now) → transactions or a refusal`. Pure: no I/O, no clock.

Commands of a group are decided one after another; `Context.accept` shows the next one what the
one before it did. Nothing of a refused command remains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from ledger import commands as c
from ledger.corrections import restore, reverse, revoke
from ledger.draft import Draft
from ledger.due import roll_forward
from ledger.errors import Refusal
from ledger.flows import MAY_HOLD
from ledger.granting import accrue, activate_waiting
from ledger.model import Hold, Transaction
from ledger.spending import adjust, capture, place_hold, redeem, release, transfer
from ledger.state import CorrectionTarget, CustomerState


class Closing(Struct, frozen=True):
    """Until when periods are closed (exclusive), and what becomes of what happened before: it is
    refused, or posted into the open period."""

    closed_until: datetime
    late: Literal["refuse", "post"]


OPEN: Final = Closing(datetime(1970, 1, 1, tzinfo=UTC), "refuse")


class Outcome(Struct, frozen=True):
    """What a command did: its own transactions last, those that were due before it first.

    `transaction` is the command's own (None for a sweep); `state` the customer after it.
    """

    transactions: tuple[Transaction, ...]
    transaction: Transaction | None
    state: CustomerState
    recorded_at: datetime
    hold: Hold | None
    states: dict[UUID, CustomerState]
    targets: dict[UUID, CorrectionTarget]


class Context:
    """The customers, correction targets and facts a command may touch or see."""

    __slots__ = ("closing", "facts", "states", "targets")

    def __init__(
        self,
        states: dict[UUID, CustomerState],
        targets: Mapping[UUID, CorrectionTarget] | None = None,
        facts: c.Facts | None = None,
        closing: Closing = OPEN,
    ) -> None:
        self.states = states
        self.closing = closing
        self.targets = dict(targets or {})
        self.facts = dict(facts or {})

    def accept(self, outcome: Outcome, facts: c.Facts) -> None:
        """Make an outcome the state that the next command of the group sees."""
        self.states.update(outcome.states)
        self.targets = outcome.targets
        self.facts.update(facts)


def decide(context: Context, command: c.Command, now: datetime) -> Outcome:
    """Carry out `command` on forks of the states in `context`, which stays as it was.

    Raises Refusal. What was due by `now` is then not posted: it is due for the next command.
    """
    customer_id = command.customer_id
    if customer_id is None:
        raise ValueError("a command needs a customer")
    state = context.states[customer_id].fork()
    forks = {customer_id: state}
    recorded_at = max(now, state.recorded_at or now)
    closed_until = context.closing.closed_until
    written = roll_forward(state, recorded_at, recorded_at, closed_until=closed_until)
    if command.sweep:
        return Outcome(tuple(written), None, state, recorded_at, None, forks, context.targets)
    happened_at = command.occurred_at
    if happened_at < closed_until:
        command = _late(context.closing, command, recorded_at)
    draft = Draft(
        state, command.kind, command.occurred_at, command.channel, command.store, now=recorded_at
    )
    draft.happened_at = happened_at
    targets = context.targets
    for step in _steps(context, command, state, recorded_at):
        if isinstance(step, c.Transfer):
            written += _transfer(context, forks, draft, step, command, recorded_at)
        elif isinstance(step, c.Revoke | c.Restore | c.Reverse):
            targets = _correct(targets, draft, step)
        else:
            _STEPS[type(step)](draft, step)
    if not all(posting.kind in MAY_HOLD[draft.kind] for posting in draft.postings):
        raise ValueError(f"the steps of this command are not those of a {draft.kind}")
    own = draft.finish(recorded_at, command)
    written.append(own)
    written += roll_forward(state, recorded_at, recorded_at, command.occurred_at, closed_until)
    hold = state.holds.get(draft.hold_id) if draft.hold_id else None
    return Outcome(tuple(written), own, state, recorded_at, hold, forks, targets)


def _late(closing: Closing, command: c.Command, recorded_at: datetime) -> c.Command:
    """The command as the open period takes it, with a reference to when it happened.

    What the house does by itself has no key, and nobody to hear a refusal: it is always taken.
    """
    happened = command.occurred_at.isoformat()
    if closing.late == "refuse" and command.key is not None:
        raise Refusal(
            "period_closed",
            f"It happened at {happened}, in a period that is closed (until "
            f"{closing.closed_until.isoformat()}). Ask finance to post it or to reopen the period.",
        )
    reference = f"late: happened at {happened}, in a closed period"
    reason = f"{command.reason}; {reference}" if command.reason else reference
    return replace(command, occurred_at=recorded_at, reason=reason)


def _steps(
    context: Context, command: c.Command, state: CustomerState, recorded_at: datetime
) -> tuple[c.Step, ...]:
    if command.plan is None:
        return command.steps
    return command.plan(c.View(state, context.facts, context.targets, recorded_at))


_STEPS: dict[type, Callable[[Draft, Any], None]] = {
    c.Accrue: accrue,
    c.ActivateWaiting: activate_waiting,
    c.Redeem: redeem,
    c.PlaceHold: place_hold,
    c.Capture: capture,
    c.Release: release,
    c.Adjust: adjust,
}
_CORRECTIONS: dict[type, Callable[[Draft, Any, CorrectionTarget], None]] = {
    c.Revoke: revoke,
    c.Restore: restore,
    c.Reverse: reverse,
}


def _correct(
    targets: dict[UUID, CorrectionTarget], draft: Draft, step: c.Revoke | c.Restore | c.Reverse
) -> dict[UUID, CorrectionTarget]:
    """Correct a transaction; the targets come back with this correction counted in."""
    target = targets.get(step.transaction_id)
    if target is None:
        raise Refusal(
            "transaction_not_found",
            f"This customer has no transaction {step.transaction_id}; nothing was corrected.",
        )
    before = len(draft.postings)
    _CORRECTIONS[type(step)](draft, step, target)
    corrected = replace(
        target,
        corrections=(*target.corrections, *draft.postings[before:]),
        reversed=target.reversed or isinstance(step, c.Reverse),
    )
    return {**targets, target.id: corrected}


def _transfer(
    context: Context,
    forks: dict[UUID, CustomerState],
    draft: Draft,
    step: c.Transfer,
    command: c.Command,
    recorded_at: datetime,
) -> list[Transaction]:
    """Take from one customer, give to the other; two transactions, one operation id."""
    if step.to == draft.state.customer_id:
        raise Refusal("same_customer", "Points cannot be transferred to the same customer.")
    other = forks.setdefault(step.to, context.states[step.to].fork())
    there = max(recorded_at, other.recorded_at or recorded_at)
    written = roll_forward(other, there, there, closed_until=context.closing.closed_until)
    arrival = Draft(
        other, "transfer_in", draft.occurred_at, draft.channel, draft.store, draft.operation_id
    )
    transfer(draft, arrival, step)
    written.append(arrival.finish(there, replace(command, source=None)))
    return written
