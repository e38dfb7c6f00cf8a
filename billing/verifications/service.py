"""Starting verifications, sending codes, and confirming."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from billing.catalog.service import Catalog
from billing.common.auth import Principal
from billing.common.db import Database
from billing.common.errors import Conflict, NotFound, ValidationFailed
from billing.customers import store as customers
from billing.customers.model import mask_phone, normalise_phone
from billing.customers.records import Records, must_be_changeable
from billing.customers.vault import Vault
from billing.messages.model import Delivery
from billing.verifications import limits, store
from billing.verifications.calling import Calling
from billing.verifications.confirming import Confirming, text_of
from billing.verifications.gateways import Gateway, Post
from billing.verifications.model import (
    LIFE,
    MAX_SENDS,
    By,
    Method,
    Rules,
    Verification,
    check_purpose,
    check_reachable,
    most_attempts,
    pause_after,
    same,
    wrong,
)
from billing.verifications.schemas import MAX_CODE_LENGTH, VerificationIn
from billing.verifications.sending import Sender, default_language
from ledger.group import Clock
from ledger.ids import uuid7
from ledger.service import utc_now

YES: Final = frozenset(("да", "yes"))

Reply = Literal["confirmed", "wrong_code", "not_understood", "not_open"]
"""What became of a reply by SMS. `not_understood`: it is no code, and counts as no attempt;
`not_open`: nothing waits for one, or more than one thing does."""


class Verifications:
    """The use cases. A code is compared only after its attempt was counted and committed."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        catalog: Catalog,
        post: Post,
        rules: Rules,
        default_region: str,
        *,
        gateways: Mapping[Method, Gateway] | None = None,
        yes: frozenset[str] = YES,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._vault = vault
        self._catalog = catalog
        self._post = post
        self._rules = rules
        self._region = default_region
        self._yes = yes
        self._clock = clock
        self._records = Records(vault)
        self._sender = Sender(vault, post, rules)
        self._confirming = Confirming(vault, post)
        self.calling = Calling(database, vault, gateways or {})

    async def start(
        self, principal: Principal, customer_id: UUID, new: VerificationIn, peer: str = ""
    ) -> tuple[Verification, bool]:
        """The verification, and whether a code was sent: when the same one is open and its last
        code too young, it is given again.

        Raises NotFound, Conflict, Forbidden, ValidationFailed, RateLimited. Whether a new phone
        belongs to somebody is found out by who confirms it, not here.
        """
        check_purpose(principal.role, new.purpose)
        place = await self._catalog.place(*principal.bind(new.channel, new.store))
        self.calling.must_be_offered(new.method)
        now = self._clock()
        async with self._database.transaction() as tx:
            row = await self._records.row(tx, customer_id, lock=True)
            profile = await self._records.open(tx, row)
            must_be_changeable(profile)
            if profile.status == "blocked":
                raise Conflict("customer_blocked", "The customer is blocked; support can unblock.")
            phone = self._phone(new.phone) if new.phone is not None else profile.phone or ""
            check_reachable(phone, self._rules.countries)
            verification = self._new(principal, row, new, phone, place, now)
            before = await store.read_open(tx, customer_id, new.purpose)
            if before is not None and self._serves(row, before, verification, new.text, now):
                return before, False
            if before is not None:
                await store.change(tx, before.id, state="superseded", provider_ref=None)
            asked = self._asked(principal, verification, phone, new.address, peer)
            sent = await self._sender.send(tx, row, verification, phone, asked, now)
            await store.insert(tx, sent)
        return await self.calling.begin(sent, phone, before), True

    async def resend(
        self, principal: Principal, verification_id: UUID, peer: str = ""
    ) -> Verification:
        """Send a new code for the same verification; the one before is no longer good, and the
        attempts made with it count on.

        Raises NotFound, Conflict verification_not_open, RateLimited.
        """
        now = self._clock()
        found = await self._read(verification_id)
        self.calling.must_be_offered(found.method)
        async with self._database.transaction() as tx:
            row = await self._records.row(tx, found.customer_id, lock=True)
            old = await store.read(tx, verification_id, lock=True)
            if old is None or old.state != "open" or old.attempts >= old.max_attempts:
                raise _over("There is nothing to send again: start a new verification.")
            if old.sends >= MAX_SENDS:
                raise _over(f"{MAX_SENDS} codes were sent already: start a new verification.")
            phone = await self._target(tx, row, old)
            asked = self._asked(principal, old, phone, None, peer)
            sent = await self._sender.send(tx, row, old, phone, asked, now)
            await store.change(
                tx,
                sent.id,
                **{
                    name: getattr(sent, name)
                    for name in (
                        "code_mac", "provider_ref", "sends", "text_version", "text_encrypted",
                        "message_id", "sent_at", "expires_at",
                    )
                },
            )  # fmt: skip
        return await self.calling.begin(sent, phone)

    async def confirm(self, verification_id: UUID, code: str) -> Verification:
        """Confirm by the code. Again with the same code: the same answer.

        Raises Conflict verification_failed for whatever does not confirm, whether there is such a
        verification or not; customer_exists when the new phone has got another owner meanwhile.
        """
        found = await self._attempt(verification_id)
        if found is None:
            raise wrong()
        if not await self._is_right(found, code):
            await self._end(found)
            raise wrong()
        by: By = "provider" if found.method == "provider" else "code"
        return await self._settle(found, by, code)

    async def confirm_by_reply(self, phone: str, text: str) -> Reply:
        """What a message from `phone` confirms: the one verification that is open for it, by its
        code, or by yes where a reply was asked for. Never raises for what the sender wrote."""
        words = text.strip().strip(".!").casefold()
        code = "".join(words.split())
        try:
            phone_hash = self._vault.phone_hash(normalise_phone(phone, self._region))
        except ValueError:
            return "not_open"
        async with self._database.transaction() as tx:
            waiting = await store.open_of_phone(tx, phone_hash, self._clock())
        if len(waiting) != 1:
            return "not_open"
        (found,) = waiting
        try:
            if words in self._yes and found.method == "sms_reply":
                await self._settle(found, "reply", None)
                return "confirmed"
            if not (code.isascii() and code.isdigit() and len(code) <= MAX_CODE_LENGTH):
                return "not_understood"
            counted = await self._attempt(found.id)
            if counted is None:
                return "wrong_code"
            if not same(counted.code_mac, self._mac(counted, code)):
                await self._end(counted)
                return "wrong_code"
            await self._settle(counted, "reply", code)
        except Conflict:
            return "not_open"
        return "confirmed"

    async def confirm_by_provider(self, ref: str) -> Reply:
        """What a provider says it has confirmed itself; its word was checked before."""
        async with self._database.transaction() as tx:
            found = await store.by_provider_ref(tx, ref)
        if found is None or not found.is_live(self._clock()):
            return "not_open"
        try:
            await self._settle(found, "provider", None)
        except Conflict:
            return "not_open"
        return "confirmed"

    async def get(self, verification_id: UUID) -> tuple[Verification, Delivery | None]:
        """The verification, and where its last message is. Raises NotFound."""
        found = await self._read(verification_id)
        async with self._database.transaction() as tx:
            return found, await self._delivery(tx, found)

    async def _delivery(self, tx: AsyncConnection, found: Verification) -> Delivery | None:
        if found.message_id is None:
            return None
        return await self._post.delivery_of(tx, found.message_id)

    async def _read(self, verification_id: UUID) -> Verification:
        async with self._database.transaction() as tx:
            found = await store.read(tx, verification_id)
        if found is None:
            raise NotFound(f"There is no verification {verification_id}.")
        return found

    async def _attempt(self, verification_id: UUID) -> Verification | None:
        """Count an attempt and commit it, so that nothing that fails later gives it back."""
        async with self._database.transaction() as tx:
            return await store.attempt(tx, verification_id, self._clock())

    async def _end(self, wrongly: Verification) -> None:
        """After a wrong attempt; only the last one ends it, since one before may be right, and
        still be on its way."""
        if wrongly.attempts >= wrongly.max_attempts:
            async with self._database.transaction() as tx:
                await store.end_exhausted(tx, wrongly.id)

    async def _is_right(self, found: Verification, code: str) -> bool:
        if found.method == "provider":
            if found.state == "confirmed" or found.provider_ref is None:
                return found.state == "confirmed" and same(found.code_mac, self._mac(found, code))
            return await self.calling.approves(found.provider_ref, code)
        return same(found.code_mac, self._mac(found, code))

    def _mac(self, found: Verification, code: str) -> bytes:
        return self._vault.code_mac(found.id, code)

    async def _settle(self, found: Verification, by: By, code: str | None) -> Verification:
        now = self._clock()
        mac = None if code is None else self._mac(found, code)
        return await self._confirming.settle(self._database, found, by, code, mac, now)

    async def _target(self, tx: AsyncConnection, row: customers.Row, old: Verification) -> str:
        """The phone of a verification; raises Conflict when the customer has another one now."""
        profile = await self._records.open(tx, row)
        must_be_changeable(profile)
        if old.purpose == "phone_change" and old.phone_encrypted and row.data_key:
            return self._vault.unseal_text(
                row.id, row.data_key, old.phone_encrypted, old.id.bytes + b"phone"
            )
        if old.phone_hash != row.phone_hash or profile.phone is None:
            raise _over("The customer has another phone now: start a new verification.")
        return profile.phone

    def _new(
        self,
        principal: Principal,
        row: customers.Row,
        new: VerificationIn,
        phone: str,
        place: tuple[str | None, str | None],
        now: datetime,
    ) -> Verification:
        """A verification before anything was sent, with the words that were shown if there are."""
        verification_id, shown = uuid7(), None
        if new.text is not None and row.data_key is not None:
            of = verification_id.bytes + b"text"
            shown = self._vault.seal_text(row.id, row.data_key, new.text, of)
        channel, shop = place
        return Verification(
            id=verification_id,
            customer_id=row.id,
            purpose=new.purpose,
            method=new.method,
            state="open",
            phone_hash=self._vault.phone_hash(phone),
            phone_masked=mask_phone(phone),
            phone_encrypted=None,
            language=new.language or default_language(phone),
            points=None if new.points is None else int(new.points),
            code_mac=None,
            provider_ref=None,
            attempts=0,
            max_attempts=most_attempts(new.method),
            sends=0,
            text_version=new.text_version or "",
            text_encrypted=shown,
            message_id=None,
            channel=channel,
            store=shop,
            seller=new.seller,
            author=principal.name,
            created_at=now,
            sent_at=now,
            expires_at=now + LIFE,
        )

    def _asked(
        self,
        principal: Principal,
        of: Verification,
        phone: str,
        address: str | None,
        peer: str,
    ) -> limits.Asked:
        counted = limits.counted_address(address, peer)
        return limits.Asked.of(phone, str(principal.key_id), of.seller, of.store, counted)

    def _serves(
        self,
        row: customers.Row,
        before: Verification,
        new: Verification,
        shown: str | None,
        now: datetime,
    ) -> bool:
        """Whether `before` serves as well: a till that heard no answer asks again. Not one that a
        provider did not begin: nothing would confirm it."""
        asked = ("method", "phone_hash", "points", "language")
        alike = all(getattr(before, name) == getattr(new, name) for name in asked)
        young = before.is_live(now) and now < before.sent_at + pause_after(before.sends)
        if not (alike and young and before.is_begun):
            return False
        return shown is None or text_of(self._vault, row, before) == shown

    def _phone(self, given: str) -> str:
        try:
            return normalise_phone(given, self._region)
        except ValueError as error:
            raise ValidationFailed.at("/phone", str(error)) from None


def _over(detail: str) -> Conflict:
    return Conflict("verification_not_open", detail)
