"""Events that are sent: a birthday, a referral, whatever a chain makes its own."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from billing.balances.model import balance_document
from billing.catalog.service import Catalog
from billing.common import deadline
from billing.common.answer import Answer
from billing.common.errors import Conflict, FieldError, NotFound, Problem, ValidationFailed
from billing.common.problems import problem_document
from billing.common.settings_values import Unverified
from billing.common.teller import Request, answer_of, carry_out, refuser, told
from billing.common.wire import encode
from billing.customers.directory import CustomerDirectory
from billing.customers.model import Customer
from billing.programs.book import ProgramBook
from billing.programs.explain import because
from billing.programs.model import ProgramVersion, Recipient
from billing.quotes.schemas import ExplanationOut
from billing.receipts.basket import AHEAD, place_of
from billing.receipts.sale import accruals_out
from billing.receipts.slip import Language
from billing.scenarios.model import (
    BIRTHDAY,
    BY_THEMSELVES,
    REFERRAL,
    Spot,
    birthday_key,
    referred_claim,
    situation_of,
    source_of,
    welcome_source,
)
from billing.scenarios.posting import NOTHING, Posting
from billing.scenarios.schemas import EventIn, EventOut
from billing.scenarios.waiting import spot_of
from ledger import commands
from ledger.commands import Command
from ledger.decide import Outcome
from ledger.errors import Refusal
from ledger.service import Ledger
from ledger.state import CustomerState

PATH = "/v1/events"

log = structlog.stdlib.get_logger(__name__)


class EventRequest(Request, frozen=True):
    """A request whose answer explains itself, in a language."""

    language: Language = "en"


class Events:
    """Posts events: what programs give for them, once an occurrence."""

    def __init__(
        self,
        ledger: Ledger,
        catalog: Catalog,
        book: ProgramBook,
        customers: CustomerDirectory,
        *,
        timezone: str,
        unverified: Unverified = "refuse",
    ) -> None:
        self._ledger = ledger
        self._catalog = catalog
        self._book = book
        self._customers = customers
        self._unverified = unverified
        self._timezone = timezone

    async def post(self, request: EventRequest, body: EventIn) -> Answer:
        """The answer of an event, first or again. Raises Forbidden, Overloaded, KeyReused.

        What the referred customer gets is a transaction of its own, after the event's: whoever
        hears no answer repeats the event with its key, and each happens once.
        """
        request.principal.bind(body.channel, body.store)
        command, welcome = await self._prepare(request, body)
        answer = await carry_out(self._ledger, command)
        if welcome is not None and answer.status < 400:
            await self._welcome(welcome)
        return answer

    async def _prepare(
        self, request: EventRequest, body: EventIn
    ) -> tuple[Command, Command | None]:
        """The command of the event or of a refusal, and that of what the referred one gets."""
        customer: Customer | None = None
        try:
            self._check(body)
            customer = await self._customers.require(body.customer)
            customer.must_be_active(self._unverified)
            referred = await self._referred(body, customer)
            spot = await self._spot(request, body, customer)
        except (NotFound, Conflict, ValidationFailed) as problem:
            known = customer.id if customer else None
            return request.refusing("accrual", body.occurred_at, problem, known), None
        event, key = str(body.event), _key(body, customer, referred, spot)
        book = await self._book.current()
        programs = book.scenarios(
            event, spot.channel, spot.store, spot.store_group, body.occurred_at
        )
        author = request.principal.name
        situation = situation_of(event, key, customer, spot, body.occurred_at)
        rendered = _Rendered(request, event, Posting(_to("customer", programs), situation))
        source = source_of(event, key, customer.id)
        if referred is None:
            return rendered.command(source, author), None
        pair = _pair_claim(customer.id, referred.id)
        claims = (referred_claim(referred.id), pair)
        # Nobody brings who brought them; what was posted before there were pairs counts, too.
        circle = (pair, source_of(event, str(customer.id), referred.id))
        command = rendered.command(source, author, claims, circle)
        gifts = _to("referred", programs)
        if not gifts:
            return command, None
        situation = situation_of(event, key, referred, spot, body.occurred_at)
        return command, Posting(gifts, situation).command(welcome_source(referred.id), author)

    def _check(self, body: EventIn) -> None:
        """What can be said of an event by itself. Raises ValidationFailed."""
        faults: list[FieldError] = []
        event = str(body.event)
        if event in BY_THEMSELVES:
            faults.append(FieldError("/event", f"is not to be sent: {BY_THEMSELVES[event]}"))
        elif event == REFERRAL and body.referred is None:
            faults.append(FieldError("/referred", "is needed: whom the customer brought"))
        elif event not in (REFERRAL, BIRTHDAY) and body.id is None:
            faults.append(
                FieldError("/id", "is needed: your own name of this occurrence, such as a number")
            )
        if event != REFERRAL and body.referred is not None:
            faults.append(FieldError("/referred", "is only for the event referral"))
        if event in (REFERRAL, BIRTHDAY) and body.id is not None:
            faults.append(
                FieldError(
                    "/id", f"is only for events of your own; a {event} happens once by itself"
                )
            )
        if body.occurred_at > self._ledger.clock() + AHEAD:
            faults.append(FieldError("/occurred_at", "is more than a day ahead; check the clock"))
        if faults:
            raise ValidationFailed(faults)

    async def _referred(self, body: EventIn, customer: Customer) -> Customer | None:
        """Raises NotFound, Conflict, ValidationFailed."""
        if body.referred is None:
            return None
        referred = await self._customers.require(body.referred, "/referred")
        if referred.id == customer.id:
            raise ValidationFailed.at("/referred", "must be another customer")
        try:
            referred.must_be_active(self._unverified)
        except Conflict as problem:
            raise Conflict(problem.code, f"Of the referred: {problem.detail}") from None
        return referred

    async def _spot(self, request: EventRequest, body: EventIn, customer: Customer) -> Spot:
        """Where the event counts: as said or bound, else where the customer registered."""
        principal = request.principal
        if (body.channel, body.store, principal.channel, principal.store).count(None) == 4:
            return await spot_of(self._catalog, customer.channel, customer.store, self._timezone)
        place = await place_of(principal, self._catalog, body.channel, body.store, self._timezone)
        return Spot(place.channel, place.store, place.store_group, place.timezone)

    async def _welcome(self, command: Command) -> None:
        """Post what the referred customer gets, unless it is posted. Raises Overloaded."""
        with told():
            try:
                await self._ledger.execute(command, deadline.left())
            except Refusal as refusal:
                if refusal.code not in (NOTHING, "source_exists"):
                    log.warning("referred_gets_nothing", code=refusal.code, source=command.source)


class _Rendered:
    """An event and how its answer looks."""

    def __init__(self, request: EventRequest, event: str, posting: Posting) -> None:
        self._request = request
        self._event = event
        self._posting = posting
        self._circle: tuple[str, ...] = ()

    def command(
        self,
        source: str,
        author: str,
        claims: tuple[str, ...] = (),
        circle: tuple[str, ...] = (),
    ) -> Command:
        self._circle = circle
        return self._posting.command(
            source,
            author,
            claims=claims,
            excludes=circle,
            key=self._request.key,
            fingerprint=self._request.fingerprint(),
            answer=self._given,
            refuse=self._refuse,
        )

    def _given(self, outcome: Outcome) -> commands.Answer:
        return self._answer(outcome.state, outcome)

    def _refuse(self, refusal: Refusal) -> commands.Answer:
        view = self._posting.view
        if refusal.code == NOTHING and view is not None:
            return self._answer(view.state, None)
        if refusal.code == "source_exists":
            problem = self._posted(refusal)
            document = problem_document(problem, self._request.request_id)
            return commands.Answer(problem.status, encode(document))
        return refuser(self._request.request_id)(refusal)

    def _posted(self, refusal: Refusal) -> Problem:
        if refusal.members["source"] in self._circle:
            return ValidationFailed.at(
                "/referred", "brought this customer here, and cannot have been brought by them"
            )
        return Conflict(
            "event_exists",
            "This event is posted already. To hear the answer again, repeat the request with "
            "the Idempotency-Key it was posted with.",
            transaction_id=str(refusal.members["transaction_id"]),
        )

    def _answer(self, state: CustomerState, outcome: Outcome | None) -> commands.Answer:
        view, situation = self._posting.view, self._posting.situation
        if view is None:
            raise RuntimeError("an event is answered after its plan")
        zone = ZoneInfo(situation.basket.timezone)
        body = EventOut(
            id=outcome.transaction.id if outcome and outcome.transaction else None,
            customer_id=situation.member.id,
            event=self._event,
            accruals=accruals_out(self._posting.awards, situation.basket),
            balance=balance_document(state, at=view.recorded_at, zone=zone, complete=True),
            explanation=[
                ExplanationOut(one.outcome, because(one, self._request.language), one.program)
                for one in self._posting.reasons
            ],
        )
        return answer_of(201, body)


def _key(body: EventIn, customer: Customer, referred: Customer | None, spot: Spot) -> str:
    """What makes this one occurrence of the event."""
    if referred is not None:
        return str(referred.id)
    if body.event == BIRTHDAY:
        return birthday_key(customer, spot, body.occurred_at)
    return str(body.id)


def _pair_claim(one: UUID, other: UUID) -> str:
    """Of two customers one has brought the other, or neither."""
    first, second = sorted((one, other))
    return f"event/{REFERRAL}/pair/{first}/{second}"


def _to(recipient: Recipient, programs: Iterable[ProgramVersion]) -> list[ProgramVersion]:
    return [one for one in programs if one.scenario is not None and one.scenario.to == recipient]
