"""A fleet of tills posts a chain's sales: each customer's in order of time, others meanwhile."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from billing.app.replay.catalog import (
    Problem,
    Refused,
    Registered,
    Watch,
    ensure,
    read_available,
    together,
)
from billing.app.replay.journal import Journal, JournalFault, Outcome
from billing.app.replay.model import Chain, Sale, Step
from billing.app.replay.tally import Tally
from billing.app.replay.till import Stopped, Till, Unreachable
from billing.app.replay.wire import Address, Answer
from billing.common.money import format_amount, parse_amount

_ALREADY = frozenset(("idempotency_key_reused", "receipt_exists"))


@dataclass(frozen=True)
class Service:
    """The service to post to, and how: `tills` connections, each request tried for `patience_s`."""

    url: str
    key: str
    tills: int = 32
    patience_s: float = 120.0
    timeout_s: float = 30.0


async def replay(
    chain: Chain,
    service: Service,
    journal: Journal,
    tally: Tally,
    watch: Watch,
    stop: asyncio.Event,
    registered: Registered | None = None,
) -> bool:
    """Post all of `chain` that the journal does not have; all again when it has everything.

    What the service lacks is created first, unless `registered` says that it is there already.
    Setting `stop` ends it after the receipts under way. True when everything was sent. Raises
    Refused, Unreachable and JournalFault; what was posted until then is in `tally` and journal.
    """
    address = Address.of(service.url)
    tills = [
        Till(address, service.key, stop, tally.retried, service.patience_s, service.timeout_s)
        for _ in range(service.tills)
    ]
    try:
        with suppress(Stopped):
            registered = registered or await ensure(chain, tills, watch)
            if is_of_another_database(journal, chain, registered):
                raise JournalFault(
                    f"{journal.path} says that receipts are posted of customers whom the service "
                    "did not know: this is another database; start over with --restart"
                )
            await _Fleet(journal, tally, watch, stop, registered).post(chain, tills)
    finally:
        for till in tills:
            till.close()
    return not stop.is_set()


def queues(sales: Iterable[Sale], count: int) -> list[list[Sale]]:
    """At most `count` queues of about equal length. All sales of one customer are in one of them,
    and each keeps the order it gets."""
    by_card: dict[str, list[Sale]] = defaultdict(list)
    for sale in sales:
        by_card[sale.card].append(sale)
    shortest = [(0, number) for number in range(count)]
    cards: list[list[list[Sale]]] = [[] for _ in range(count)]
    for own in sorted(by_card.values(), key=len, reverse=True):
        length, number = heapq.heappop(shortest)
        cards[number].append(own)
        heapq.heappush(shortest, (length + len(own), number))
    return [
        sorted((sale for own in queue for sale in own), key=lambda sale: sale.at)
        for queue in cards
        if queue
    ]


def is_of_another_database(journal: Journal, chain: Chain, registered: Registered) -> bool:
    """Whether receipts are posted, by the journal, of customers who had to be created now."""
    return any(
        sale.card in registered.created and sale.steps[-1].key in journal.posted
        for sale in chain.sales
    )


class _Fleet:
    def __init__(
        self,
        journal: Journal,
        tally: Tally,
        watch: Watch,
        stop: asyncio.Event,
        registered: Registered,
    ) -> None:
        self._journal = journal
        self._tally = tally
        self._watch = watch
        self._stop = stop
        self._ids = registered.ids
        self._again = False
        self._failure: Exception | None = None

    async def post(self, chain: Chain, tills: Sequence[Till]) -> None:
        todo = self._left(chain.sales)
        self._watch.start("receipts", len(todo))
        started = time.perf_counter()
        work = zip(queues(todo, len(tills)), tills, strict=False)
        await together(self._work(queue, till) for queue, till in work)
        self._tally.seconds += time.perf_counter() - started
        if self._failure:
            raise self._failure

    def _left(self, sales: Sequence[Sale]) -> Sequence[Sale]:
        """What is not posted yet, also what was refused; but all of it when nothing else is left,
        to prove that it stays."""
        left = [sale for sale in sales if not self._is_posted(sale)]
        if all(self._is_refused(sale) for sale in left):
            self._again = True
            return sales
        for sale in sales:
            for step in sale.steps:
                if step.key in self._journal.posted:
                    done = self._journal.posted[step.key]
                    self._tally.earlier.add(done, last=step is sale.steps[-1])
        return left

    def _is_refused(self, sale: Sale) -> bool:
        return any(step.key in self._journal.refused for step in sale.steps)

    def _is_posted(self, sale: Sale) -> bool:
        return all(step.key in self._journal.posted for step in sale.steps)

    async def _work(self, queue: Sequence[Sale], till: Till) -> None:
        for sale in queue:
            if self._stop.is_set():
                return
            try:
                await self._sell(sale, till)
            except Stopped:
                return
            except (Unreachable, Refused) as error:
                self._failure = self._failure or error
                self._stop.set()
                return
            self._watch.advance()

    async def _sell(self, sale: Sale, till: Till) -> None:
        for step in sale.steps:
            if step.key in self._journal.posted and not self._again:
                continue
            body = step.body
            if points := await self._points(sale, step, till):
                body = {**body, "redeem": {"points": format_amount(points)}}
            answer = await till.post(step.path, body, step.key)
            self._tally.latencies.append(answer.seconds)
            if not self._record(step, answer, last=step is sale.steps[-1]):
                return

    async def _points(self, sale: Sale, step: Step, till: Till) -> int:
        """How many points `step` pays with: decided once, from what the customer has then."""
        if not step.redeem_up_to:
            return 0
        if step.key not in self._journal.decided:
            available = await read_available(till, self._ids[sale.card])
            await self._journal.decide(step.key, min(step.redeem_up_to, available))
        return self._journal.decided[step.key]

    def _record(self, step: Step, answer: Answer, *, last: bool) -> bool:
        """Take the answer in. False when the rest of the receipt must not be sent."""
        if answer.status < 300:
            outcome = moved(step, answer.body)
            hit = answer.headers.get("idempotency-hit") == "true"
            part = self._tally.replayed if hit else self._tally.new
            part.add(outcome, last=last)
            self._journal.post(step.key, outcome)
            return True
        problem = Problem.of(answer)
        if answer.status in (401, 403):
            raise Refused(f"POST {step.path}", answer)
        if problem.code in _ALREADY:
            self._tally.already += last
            self._journal.post(step.key, Outcome())
            return True
        self._tally.refuse(step.key, answer.status, problem.code, problem.detail)
        self._journal.refuse(step.key, problem.code)
        return False


def moved(step: Step, body: bytes) -> Outcome:
    """What the answer to `step` says it moved."""
    answer: dict[str, Any] = msgspec.json.decode(body)
    if step.path == "/v1/adjustments":
        return Outcome(opening=parse_amount(step.body["points"], signed=True))
    if step.path == "/v1/redemptions":
        return Outcome(redeemed=parse_amount(answer["points"]))
    return Outcome(
        accrued=sum(parse_amount(accrual["points"]) for accrual in answer["accruals"]),
        redeemed=parse_amount(answer.get("redeemed") or "0"),
    )
