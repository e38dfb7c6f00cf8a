"""What a confirmed verification changes: once, whatever comes twice or at the same time."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.db import Database
from billing.common.errors import Conflict
from billing.consents import store as consents
from billing.consents.model import Consent
from billing.customers.model import Profile
from billing.customers.records import Records, must_be_changeable, tell_verified
from billing.customers.store import Row
from billing.customers.vault import Vault
from billing.events.schemas import ConsentGiven
from billing.events.store import record
from billing.verifications import store
from billing.verifications.gateways import Post
from billing.verifications.model import CODE_MARK, By, Verification, wrong
from ledger.ids import uuid7


class Confirming:
    """Settles verifications whose code was right."""

    def __init__(self, vault: Vault, post: Post) -> None:
        self._vault = vault
        self._post = post
        self._records = Records(vault)

    async def settle(
        self,
        database: Database,
        seen: Verification,
        by: By,
        code: str | None,
        mac: bytes | None,
        now: datetime,
    ) -> Verification:
        """Confirm what was `seen`, unless it is by now. Raises Conflict when it was superseded,
        when another code was sent meanwhile, or when the customer has changed."""
        try:
            async with database.transaction() as tx:
                return await self._settle(tx, seen, by, code, mac, now)
        except IntegrityError:
            if seen.purpose != "phone_change":
                raise
            raise Conflict(
                "customer_exists", "Another customer has this phone; merge them, or ask support."
            ) from None

    async def _settle(
        self,
        tx: AsyncConnection,
        seen: Verification,
        by: By,
        code: str | None,
        mac: bytes | None,
        now: datetime,
    ) -> Verification:
        row = await self._records.row(tx, seen.customer_id, lock=True)
        found = await store.read(tx, seen.id, lock=True)
        if found is None or _code(found) != _code(seen):
            raise wrong()
        if found.state == "confirmed":
            return found
        if found.state != "open" or found.expires_at <= now:
            raise wrong()
        profile = await self._records.open(tx, row)
        must_be_changeable(profile)
        if profile.status == "blocked":
            raise Conflict("customer_blocked", "The customer is blocked; support can unblock.")
        if found.purpose == "phone_change":
            await self._change_phone(tx, row, profile, found, now)
        elif found.phone_hash != row.phone_hash:
            raise wrong()
        confirmed = replace(
            found,
            state="confirmed",
            confirmed_at=now,
            confirmed_by=by,
            # A provider's code is known only now; a retry is told by it.
            code_mac=found.code_mac or mac,
        )
        if found.purpose == "registration":
            await self._verify(tx, row, profile, confirmed, code)
        await store.change(
            tx,
            found.id,
            state="confirmed",
            confirmed_at=now,
            confirmed_by=by,
            code_mac=confirmed.code_mac,
        )
        return confirmed

    async def _verify(
        self,
        tx: AsyncConnection,
        row: Row,
        profile: Profile,
        confirmed: Verification,
        code: str | None,
    ) -> None:
        """The customer has confirmed the phone and agreed to the text (B19, B20)."""
        now = confirmed.confirmed_at
        if now is None:
            raise ValueError("confirmed without a time")
        consent = await self._consent(tx, row, confirmed, code, now)
        await consents.insert(tx, consent)
        given = ConsentGiven(customer_id=row.id, consent_id=consent.id, kind=consent.kind)
        await record(tx, given, now)
        if profile.status == "unverified":
            verified = replace(profile, status="verified", verified_at=now, updated_at=now)
            await self._records.change(tx, verified)
            await tell_verified(tx, verified, now)

    async def _consent(
        self,
        tx: AsyncConnection,
        row: Row,
        confirmed: Verification,
        code: str | None,
        now: datetime,
    ) -> Consent:
        """The record of it: the very text, with the code in it now that it opens nothing more."""
        text = text_of(self._vault, row, confirmed)
        if text is not None and code is not None and confirmed.message_id is not None:
            text = text.replace(CODE_MARK, code)
        consent_id = uuid7()
        sealed = None
        if text is not None and row.data_key is not None:
            of = consent_id.bytes + b"text"
            sealed = self._vault.seal_text(row.id, row.data_key, text, of)
        return Consent(
            id=consent_id,
            customer_id=row.id,
            kind="processing",
            action="given",
            at=now,
            method=confirmed.confirmed_by or "code",
            text_version=confirmed.text_version or None,
            text_sha256=None if text is None else sha256(text.encode()).digest(),
            text_encrypted=sealed,
            language=confirmed.language,
            requested_at=confirmed.sent_at,
            channel=confirmed.channel,
            store=confirmed.store,
            seller=confirmed.seller,
            author=confirmed.author,
            verification_id=confirmed.id,
            message_id=confirmed.message_id,
            provider_message_id=await self._provider_message_id(tx, confirmed.message_id),
        )

    async def _provider_message_id(
        self, tx: AsyncConnection, message_id: UUID | None
    ) -> str | None:
        if message_id is None:
            return None
        delivery = await self._post.delivery_of(tx, message_id)
        return None if delivery is None else delivery.provider_message_id

    async def _change_phone(
        self, tx: AsyncConnection, row: Row, profile: Profile, found: Verification, now: datetime
    ) -> None:
        """The customer has the new phone in hand: it takes the old one's place."""
        if found.phone_encrypted is None or row.data_key is None:
            raise wrong()
        of = found.id.bytes + b"phone"
        phone = self._vault.unseal_text(row.id, row.data_key, found.phone_encrypted, of)
        await self._records.change(tx, replace(profile, phone=phone, updated_at=now))


def _code(one: Verification) -> bytes | str | None:
    """What it is confirmed by: another one, once another code was sent."""
    return one.provider_ref if one.method == "provider" else one.code_mac


def text_of(vault: Vault, row: Row, of: Verification) -> str | None:
    """The words that were sent or shown, a mark in the place of the code."""
    if of.text_encrypted is None or row.data_key is None:
        return None
    return vault.unseal_text(row.id, row.data_key, of.text_encrypted, of.id.bytes + b"text")
