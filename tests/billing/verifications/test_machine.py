"""Sending, delivery, replies, codes and time in any order, as often as may be: against a model."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from sqlalchemy import text

from billing.common.settings import Settings
from tests.billing.verifications.house import House, opened, wrong

T = TypeVar("T")
PAUSES = (0, 30, 60, 120, 240, 480, 960, 1920, 1920, 1920, 1920, 1920, 1920, 1920, 1920, 1920)


class World:
    """One running house for all examples; each example has a customer of its own."""

    loop: asyncio.AbstractEventLoop
    house: House

    @classmethod
    def run(cls, work: Coroutine[Any, Any, T]) -> T:
        return cls.loop.run_until_complete(work)


class Machine(RuleBasedStateMachine):
    """The model: which verification is open, its attempts, sends and end, and the phone's pause."""

    @initialize(method=st.sampled_from(["sms_code", "sms_reply"]))
    def begin(self, method: str) -> None:
        self.method = method
        self.customer = World.run(World.house.customer())
        self.all: list[str] = []
        self.codes: dict[str, str] = {}
        self.ends: dict[str, datetime] = {}
        self.open: str | None = None
        self.confirmed: set[str] = set()
        self.attempts = self.sends = self.of_phone = 0
        self.sent_at = self.ends_at = World.house.now
        self.last_code: str | None = None

    @property
    def live(self) -> bool:
        return self.open is not None and self.attempts < 5 and World.house.now < self.ends_at

    def waits(self) -> bool:
        passed = (World.house.now - self.sent_at).total_seconds()
        if passed >= 24 * 3600:
            self.of_phone = 0
        return passed < PAUSES[self.of_phone]

    def note_sent(self) -> None:
        self.of_phone += 1
        self.sends += 1
        self.sent_at = World.house.now
        self.ends_at = self.sent_at + timedelta(minutes=10)
        assert self.open is not None
        self.ends[self.open] = self.ends_at
        self.last_code = self.codes[self.open] = World.run(World.house.code(self.open))

    @rule(seconds=st.sampled_from([1, 29, 31, 70, 130, 300, 601, 3600, 90_000]))
    def time_passes(self, seconds: int) -> None:
        World.house.later(seconds=seconds)

    @rule()
    def start(self) -> None:
        answer = World.run(World.house.start(self.customer["id"], method=self.method))
        passed = (World.house.now - self.sent_at).total_seconds()
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
        answer = World.run(World.house.resend(self.all[-1]))
        if self.open is None or self.attempts >= 5 or self.sends >= 5:
            assert answer.status_code == 409, answer.text
        elif self.waits():
            assert answer.status_code == 429, answer.text
        else:
            assert answer.status_code == 200, answer.text
            self.note_sent()

    @rule(right=st.booleans(), back=st.integers(0, 2), twice=st.booleans())
    def confirm(self, right: bool, back: int, twice: bool) -> None:
        """The newest verification, or an older one, by its last code or a wrong one."""
        if len(self.all) <= back:
            return
        which = self.all[-1 - back]
        code = self.codes[which] if right else wrong(self.codes[which])
        for _ in range(2 if twice else 1):
            answer = World.run(World.house.confirm(which, code))
            if which == self.open and self.live:
                self.attempts += 1
                assert (answer.status_code == 200) == right, answer.text
                if right:
                    self.confirmed.add(which)
                    self.open = None
            elif which in self.confirmed:
                again = right and World.house.now < self.ends[which]
                assert answer.status_code == (200 if again else 409), answer.text
            else:
                assert answer.status_code == 409, answer.text

    @rule(words=st.sampled_from(["yes", "code", "wrong", "hello"]))
    def reply(self, words: str) -> None:
        said = {"yes": "Да", "code": self.last_code or "1", "hello": "привет"}.get(
            words, wrong(self.last_code or "1")
        )
        live, which = self.live, self.open
        told = World.run(
            World.house.services.verifications.confirm_by_reply(self.customer["phone"], said)
        )
        right = words == "code" or (words == "yes" and self.method == "sms_reply")
        if not live:
            assert told == "not_open"
        elif right:
            assert told == "confirmed"
            self.confirmed.add(str(which))
            self.open = None
        elif words in ("yes", "hello"):
            assert told == "not_understood"
        else:
            assert told == "wrong_code"
            self.attempts += 1

    @rule(
        status=st.sampled_from(["accepted", "sent", "delivered", "failed", "unknown", "expired"]),
        which=st.integers(0, 3),
    )
    def report_comes(self, status: str, which: int) -> None:
        """Late, twice, out of order: what becomes of a message changes no verification."""
        if len(self.all) <= which:
            return

        async def report() -> None:
            async with World.house.services.database.transaction() as tx:
                await tx.execute(
                    text(
                        "UPDATE billing.messages SET status = :status, provider_message_id = 'p-1'"
                        " WHERE verification_id = :of"
                    ),
                    {"status": status, "of": UUID(self.all[-1 - which])},
                )

        World.run(report())
        assert World.run(World.house.look(self.all[-1 - which]))["delivery"] == status

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "all"):
            return
        for one in self.all[-3:]:
            seen = World.run(World.house.look(one))
            if one == self.open:
                left = 5 - self.attempts
                over = World.house.now >= self.ends_at
                state = "failed" if left == 0 else "expired" if over else "open"
                assert (seen["state"], seen["attempts_left"]) == (state, left)
                assert seen["sends"] == self.sends
            elif one in self.confirmed:
                assert seen["state"] == "confirmed"
            else:
                assert seen["state"] in ("superseded", "failed")
        status = World.run(World.house.status(self.customer["id"]))
        assert status == ("verified" if self.confirmed else "unverified")

    def teardown(self) -> None:
        """As many consents as verifications that were confirmed, and no more."""
        if hasattr(self, "all"):
            found = World.run(World.house.services.consents.of_customer(UUID(self.customer["id"])))
            assert len(found) == len(self.confirmed)


@pytest.fixture
def world(settings: Settings) -> Any:
    World.loop = asyncio.new_event_loop()
    context = opened(settings)
    World.house = World.run(context.__aenter__())
    yield
    World.run(context.__aexit__(None, None, None))
    World.loop.close()


def test_any_order_of_events_ends_where_the_model_says(world: None) -> None:
    """Sends, reports, replies and codes, late and repeated (issue: properties)."""
    run_machine(
        Machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
