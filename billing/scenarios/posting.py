"""An event on its way through the ledger: calculated under the customer's lock, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from billing.programs.calculation import calculate
from billing.programs.explain import Reason
from billing.programs.limits import counting, facts_of, used
from billing.programs.model import Award, ProgramVersion, Situation
from billing.receipts.sale import grants_of
from ledger.commands import Accrue, Answer, Command, Completion, Facts, Step, View
from ledger.decide import Outcome
from ledger.errors import Refusal

NOTHING: Final = "nothing_given"
"""The code of the refusal by which an event that gives nothing leaves the ledger as it was."""


class Posting:
    """What the plan of one event finds out, for whoever renders its answer.

    The ledger completes or refuses a command right after its plan; when it runs the plan again,
    all of this is found anew.
    """

    def __init__(self, programs: Sequence[ProgramVersion], situation: Situation) -> None:
        self.situation = situation
        self.awards: tuple[Award, ...] = ()
        self.reasons: list[Reason] = []
        self.view: View | None = None
        self._programs = programs
        self._wanted = facts_of(programs, situation)
        self._facts: Facts = {}

    def command(
        self,
        source: str,
        author: str,
        *,
        claims: tuple[str, ...] = (),
        excludes: tuple[str, ...] = (),
        key: str | None = None,
        fingerprint: bytes = b"",
        answer: Callable[[Outcome], Answer] | None = None,
        refuse: Callable[[Refusal], Answer] | None = None,
    ) -> Command:
        """The command that posts the event once."""

        def complete(outcome: Outcome) -> Completion:
            rows, facts = counting(self.awards, self._programs, self.situation, self._facts)
            return Completion(answer(outcome) if answer else None, rows, facts)

        basket = self.situation.basket
        return Command(
            customer_id=self.situation.member.id,
            kind="accrual",
            occurred_at=basket.occurred_at,
            key=key,
            fingerprint=fingerprint,
            source=source,
            claims=claims,
            excludes=excludes,
            channel=basket.channel,
            store=basket.store,
            author=author,
            plan=self._plan,
            facts=self._wanted,
            complete=complete,
            refuse=refuse,
        )

    def _plan(self, view: View) -> tuple[Step, ...]:
        self.view, self._facts, self.reasons = view, view.facts, []
        counted = used(view.facts, self._wanted)
        self.awards = calculate(self._programs, self.situation, (), counted, self.reasons)
        if not self.awards:
            raise Refusal(NOTHING, "No program gives anything for this event.")
        return (Accrue(grants_of(self.awards, self.situation.basket)),)
