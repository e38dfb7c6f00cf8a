"""Sends, reports, replies, codes and time in any order, as often as may be: against a model."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from billing.common.settings import Settings
from billing.messages.model import Status, later
from integrations.sms.twilio import STATUSES
from tests.billing.verifications.house import wrong
from tests.integrations.sms.peers import Sms
from tests.integrations.sms.test_whole_way import Way, way

T = TypeVar("T")
PAUSES = (0, 30, 60, 120, 240, 480, 960, 1920, 1920, 1920, 1920, 1920, 1920, 1920, 1920, 1920)
REPORTS = ["queued", "sent", "undelivered", "delivered"]
ACCEPTED: Status = "accepted"
FAULTS = [None, None, None, "drop after", "drop before"]


class World:
    """One running house for all examples; each example has a customer of its own."""

    loop: asyncio.AbstractEventLoop
    way: Way

    @classmethod
    def run(cls, work: Coroutine[Any, Any, T]) -> T:
        return cls.loop.run_until_complete(work)


@dataclass
class Sent:
    """The model of a message: what was said of it, and the last status that was seen."""

    text: str
    status: Status = "queued"
    said: list[Status] = field(default_factory=list)

    @property
    def sms(self) -> Sms | None:
        """What the provider has of it. Never two, whatever got lost."""
        found = [one for one in World.way.peer.sms if one.text == self.text]
        assert len(found) <= 1, found
        return found[0] if found else None

    def sees(self, status: Status) -> None:
        """Nothing but what was said, and only forward; `queued` anew when the provider, asked,
        had never got it."""
        never_came = (self.status, status) == ("unknown", "queued")
        assert never_came or later(self.status, status) == status, (self, status)
        if status in ("accepted", "sent", "failed", "delivered"):
            assert self.sms is not None
            assert status in ("accepted", *self.said), (self, status)
        self.status = status


class Machine(RuleBasedStateMachine):
    """The model: which verification is open, its attempts, sends, messages and end, the phone's
    pause, and what the customer wrote."""

    @initialize(method=st.sampled_from(["sms_code", "sms_reply"]), fault=st.sampled_from(FAULTS))
    def begin(self, method: str, fault: str | None) -> None:
        self.house = World.way.house
        self.method = method
        self.customer = World.run(self.house.customer())
        self.all: list[str] = []
        self.codes: dict[str, str] = {}
        self.sent: dict[str, list[Sent]] = {}
        self.ends: dict[str, datetime] = {}
        self.open: str | None = None
        self.confirmed: set[str] = set()
        self.written = 0
        self.stopped = False
        self.attempts = self.sends = self.of_phone = 0
        self.sent_at = self.ends_at = self.house.now
        self.start()
        self.worker_sends(fault)

    @property
    def live(self) -> bool:
        return self.open is not None and self.attempts < 5 and self.house.now < self.ends_at

    def waits(self) -> bool:
        passed = (self.house.now - self.sent_at).total_seconds()
        if passed >= 24 * 3600:
            self.of_phone = 0
        return passed < PAUSES[self.of_phone]

    def note_sent(self) -> None:
        self.of_phone += 1
        self.sends += 1
        self.sent_at = self.house.now
        self.ends_at = self.sent_at + timedelta(minutes=10)
        assert self.open is not None
        self.ends[self.open] = self.ends_at
        self.codes[self.open] = World.run(self.house.code(self.open))
        _, words = World.run(self.house.sent(self.open))[-1]
        self.sent.setdefault(self.open, []).append(Sent(words))

    @rule(seconds=st.sampled_from([1, 29, 31, 70, 130, 300, 601, 3600, 90_000]))
    def time_passes(self, seconds: int) -> None:
        self.house.later(seconds=seconds)

    @rule()
    def start(self) -> None:
        answer = World.run(self.house.start(self.customer["id"], method=self.method))
        passed = (self.house.now - self.sent_at).total_seconds()
        if self.live and passed < PAUSES[self.sends]:
            assert (answer.status_code, answer.json()["id"]) == (200, self.open)
        elif self.waits():
            assert answer.status_code == 429, answer.text
        else:
            assert answer.status_code == 201, answer.text
            self.open = answer.json()["id"]
            self.all.append(str(self.open))
            self.attempts = self.sends = 0
            self.note_sent()

    @rule()
    def resend(self) -> None:
        if not self.all:
            return
        answer = World.run(self.house.resend(self.all[-1]))
        if self.open is None or self.attempts >= 5 or self.sends >= 5:
            assert answer.status_code == 409, answer.text
        elif self.waits():
            assert answer.status_code == 429, answer.text
        else:
            assert answer.status_code == 200, answer.text
            self.note_sent()

    @rule(fault=st.sampled_from(FAULTS))
    def worker_sends(self, fault: str | None) -> None:
        """All that is queued leaves; the provider's answer to one may get lost."""
        World.way.peer.faults = [fault] if fault else []
        World.run(World.way.work.sender.run(linger=False))
        World.way.peer.faults = []

    @rule()
    def worker_works(self) -> None:
        """On reports that were put off, and by asking."""
        World.run(World.way.works())

    @rule(
        which=st.integers(0, 3),
        words=st.lists(st.sampled_from(REPORTS), min_size=1, max_size=3),
        forged=st.booleans(),
    )
    def reports_come(self, which: int, words: list[str], forged: bool) -> None:
        """Of any message, late, twice and out of order: they change no verification."""
        there = [one for each in self.sent.values() for one in each if one.sms is not None]
        if not there:
            return
        one = there[-1 - which % len(there)]
        for word in words:
            self.report(one, word, forged=forged)

    def report(self, one: Sent, word: str, *, forged: bool) -> None:
        assert one.sms is not None
        fields = {"MessageSid": one.sms.id, "MessageStatus": word}
        if forged:
            answer = World.run(World.way.twilio(key="another", **fields))
            assert answer.status_code == 403
            return
        status = STATUSES[word]
        one.said.append(status)
        if later(STATUSES[one.sms.status], status) == status:
            one.sms.status = word
        World.run(World.way.hears(**fields))
        self.agree()

    @rule(right=st.booleans(), back=st.integers(0, 2), twice=st.booleans())
    def confirm(self, right: bool, back: int, twice: bool) -> None:
        """The newest verification, or an older one, by its last code or a wrong one."""
        if len(self.all) <= back:
            return
        which = self.all[-1 - back]
        code = self.codes[which] if right else wrong(self.codes[which])
        for _ in range(2 if twice else 1):
            answer = World.run(self.house.confirm(which, code))
            if which == self.open and self.live:
                self.attempts += 1
                assert (answer.status_code == 200) == right, answer.text
                if right:
                    self.confirmed.add(which)
                    self.open = None
            elif which in self.confirmed:
                again = right and self.house.now < self.ends[which]
                assert answer.status_code == (200 if again else 409), answer.text
            else:
                assert answer.status_code == 409, answer.text

    @rule(words=st.sampled_from(["yes", "code", "wrong", "hello", "stop"]), twice=st.booleans())
    def customer_writes(self, words: str, twice: bool) -> None:
        """By SMS, which the provider may tell twice: it is heard once."""
        code = self.codes[self.all[-1]]
        said = {"yes": "Да", "code": code, "hello": "привет", "stop": "Стоп"}
        self.written += 1
        sms = {
            "MessageSid": f"{self.customer['id']}-{self.written}",
            "From": self.customer["phone"],
            "Body": said.get(words, wrong(code)),
        }
        for again in range(2 if twice else 1):
            World.run(World.way.hears(**sms, Again=str(again)))
        self.stopped |= words == "stop"
        if not self.live:
            return
        if words == "code" or (words == "yes" and self.method == "sms_reply"):
            self.confirmed.add(str(self.open))
            self.open = None
        elif words == "wrong":
            self.attempts += 1

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "all"):
            return
        for one in self.all[-3:]:
            seen = World.run(self.house.look(one))
            self.sent[one][-1].sees(seen["delivery"])
            if one == self.open:
                left = 5 - self.attempts
                over = self.house.now >= self.ends_at
                state = "failed" if left == 0 else "expired" if over else "open"
                assert (seen["state"], seen["attempts_left"]) == (state, left)
                assert seen["sends"] == self.sends
            elif one in self.confirmed:
                assert seen["state"] == "confirmed"
            else:
                assert seen["state"] in ("superseded", "failed")
        status = World.run(self.house.status(self.customer["id"]))
        assert status == ("verified" if self.confirmed else "unverified")

    def teardown(self) -> None:
        """In the end each message is where the furthest of its reports says, and there are as many
        consents as there were yeses and noes."""
        if not hasattr(self, "all"):
            return
        for _ in range(3):
            self.house.later(minutes=15)
            self.worker_works()
            self.worker_sends(None)
        for one in self.all:
            seen = World.run(self.house.look(one))["delivery"]
            last = self.sent[one][-1]
            last.sees(seen)
            assert (last.sms is None) == (seen == "expired")
            if last.sms is not None:
                assert seen == reduce(later, last.said, ACCEPTED)
        found = World.run(self.house.services.consents.of_customer(UUID(self.customer["id"])))
        kinds = sorted(consent.kind for consent, _ in found)
        assert kinds == ["messages"] * self.stopped + ["processing"] * len(self.confirmed)


@pytest.fixture
def world(settings: Settings) -> Any:
    World.loop = asyncio.new_event_loop()
    context = way(settings)
    World.way = World.run(context.__aenter__())
    yield
    World.run(context.__aexit__(None, None, None))
    World.loop.close()


def test_any_order_of_events_ends_where_the_model_says(world: None) -> None:
    """What is sent, reported, answered and confirmed, late and repeated, of one customer."""
    run_machine(
        Machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
