"""Quotes: what a sale would do, and the check that a sale still does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from billing.common.auth import Principal
from billing.common.errors import Conflict, ValidationFailed
from billing.common.money import format_amount
from billing.common.teller import problem_of
from billing.programs import limits
from billing.programs.calculation import TooManyPoints, Trace, tells_lines
from billing.programs.explain import because
from billing.programs.model import Award, Basket
from billing.programs.obstacles import because_of, refusal
from billing.quotes import promise
from billing.quotes.promise import Promises
from billing.quotes.schemas import ExplanationOut, QuoteIn, QuoteOut
from billing.receipts.checkout import Checkout, Deal
from billing.receipts.sale import Check, accruals_out, lines_out
from billing.receipts.slip import Language
from billing.redemptions.schemas import PointsOrMax
from ledger import reads
from ledger.commands import View
from ledger.errors import Refusal
from ledger.service import Ledger
from ledger.state import CustomerState


class Quotes:
    """Makes quotes; nothing moves and nothing is written."""

    def __init__(self, ledger: Ledger, checkout: Checkout, promises: Promises) -> None:
        self._ledger = ledger
        self._checkout = checkout
        self._promises = promises

    async def quote(self, principal: Principal, body: QuoteIn, language: Language) -> QuoteOut:
        """Raises Forbidden, NotFound, Conflict and ValidationFailed, as the sale would."""
        place = await self._checkout.place(principal, body.channel, body.store)
        basket = await self._checkout.basket(place, body.receipt)
        at = promise.whole_milliseconds(basket.occurred_at)
        customer = await self._checkout.customer(body.customer)
        waits = self._checkout.may_collect(customer)
        deal = await self._checkout.deal(basket, customer, at, waits=waits)
        state = await reads.balance_now(self._ledger, customer.id)
        most = 0 if waits else min(state.balances.spendable, deal.payable.total)
        points = _points(body.redeem, most, deal, state)
        paid = deal.paid(points)
        used = limits.used(await reads.facts_now(self._ledger, deal.counters), deal.counters)
        trace: Trace = []
        try:
            awards = deal.awards(paid, used, trace)
        except TooManyPoints as refusal:
            raise problem_of(refusal) from None
        now = self._ledger.clock()
        result = promise.result_of(deal.basket, paid, awards, state)
        return QuoteOut(
            quote_id=self._promises.make(at, result, now),
            holds_until=promise.until(now).astimezone(ZoneInfo(place.timezone)),
            customer_id=customer.id,
            lines=lines_out(deal.basket, paid, awards),
            max_redeemable=format_amount(most),
            redeem=format_amount(points),
            accruals=accruals_out(awards, deal.basket),
            total=format_amount(deal.basket.total),
            payable=format_amount(deal.basket.total - points),
            explanation=_explained(trace, deal, language),
        )

    async def quoted(self, quote_id: UUID, basket: Basket) -> tuple[datetime, _MakeCheck]:
        """The moment a quote was calculated for, and the check that a sale of `basket` needs.

        Raises Conflict quote_stale for an id that cannot be of a quote for this basket.
        """
        moment = promise.moment_of(quote_id)
        if moment is None or _day(moment, basket) != _day(basket.occurred_at, basket):
            # Limits per day and birthdays are of one day.
            raise Conflict("quote_stale", _STALE)
        if await self._checkout.republished(basket, moment):
            raise Conflict("quote_stale", _STALE)

        def make(deal: Deal, paid: Sequence[int]) -> Check:
            def check(view: View, awards: Sequence[Award]) -> None:
                result = promise.result_of(deal.basket, paid, awards, view.state)
                if _is_over(awards, basket.occurred_at):
                    raise Refusal("quote_stale", _STALE)
                if not self._promises.holds(quote_id, result, view.recorded_at):
                    raise Refusal("quote_stale", _STALE)

            return check

        return moment, make


_MakeCheck = Callable[[Deal, list[int]], Check]
_STALE = (
    "Prices, programs, the balance or the basket changed since, or the quote is too old; "
    "ask for a new quote."
)


_TOO_LONG: dict[Language, str] = {
    "en": "There are too many lines and programs to explain each line; this is of the receipt.",
    "ru": "Строк и программ слишком много, чтобы объяснить каждую строку; это о чеке в целом.",
}


def _is_over(awards: Sequence[Award], moment: datetime) -> bool:
    """Whether points were promised that have expired by `moment`."""
    ends = (part.expires_at for award in awards for part in award.parts)
    return any(end is not None and end <= moment for end in ends)


def _day(moment: datetime, basket: Basket) -> date | None:
    try:
        return moment.astimezone(ZoneInfo(basket.timezone)).date()
    except OverflowError:
        return None


def _points(asked: PointsOrMax | None, most: int, deal: Deal, state: CustomerState) -> int:
    if asked is None:
        return 0
    if asked == PointsOrMax.MAX:
        return most
    if asked > deal.payable.total:
        raise ValidationFailed.at("/redeem", refusal(deal.payable))
    if asked > most:
        raise Conflict(
            "insufficient_points",
            f"{format_amount(most)} points may be spent; {format_amount(asked)} were asked for.",
            available=format_amount(state.balances.spendable),
        )
    return int(asked)


def _explained(trace: Trace, deal: Deal, language: Language) -> list[ExplanationOut]:
    found = [
        ExplanationOut(one.outcome, because(one, language), one.program, one.line)
        for one in sorted(trace, key=lambda one: (one.program, one.line or 0))
    ]
    if not tells_lines(deal.basket, deal.running):
        found.append(ExplanationOut("omitted", _TOO_LONG[language]))
    rule = deal.payable.rule
    found += [
        ExplanationOut(one.outcome, because_of(one, language), rule, one.line)
        for one in deal.payable.obstacles
    ]
    return found
