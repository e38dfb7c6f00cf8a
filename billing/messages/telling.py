"""Events become messages to the customers they are about, as far as the chain has it switched on.

The place in the stream moves in the transaction that queues the messages: each event is told once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.common.crypto import CannotDecrypt
from billing.common.db import Database
from billing.common.money import parse_amount
from billing.customers.model import Person
from billing.customers.vault import Vault
from billing.events.model import Event, event_id
from billing.events.stream import CHUNK, Stream
from billing.messages.acts import Willing
from billing.messages.model import NewMessage
from billing.messages.service import Messages
from billing.messages.settings import MessageSettings, quiet_until
from billing.messages.templates import newest, read_settings
from billing.messages.wording import Kind, Value, fill
from ledger.group import Clock
from ledger.ids import uuid7
from ledger.service import utc_now

CONSUMER: Final = "messages"

KIND_OF: Final[Mapping[str, Kind]] = {
    "points.accrued": "accrual",
    "points.redeemed": "redemption",
    "points.activated": "activation",
    "points.expiring_soon": "expiring",
    "customer.level_changed": "level_change",
}

_CUSTOMERS = text("""
SELECT c.id, c.data_key, c.phone_encrypted, c.person_encrypted, s.timezone, s.name AS store
FROM billing.customers c
LEFT JOIN billing.stores s ON s.code = c.store
LEFT JOIN billing.message_opt_outs o ON o.phone_hash = c.phone_hash
WHERE c.id = ANY(:ids) AND c.status = 'verified' AND c.phone_encrypted IS NOT NULL
  AND o.phone_hash IS NULL
""")

log = structlog.stdlib.get_logger(__name__)


class Addressee(msgspec.Struct, frozen=True):
    """Who is told: opened for this one message."""

    phone: str
    person: Person
    zone: ZoneInfo
    store: str | None


class Teller:
    """Reads the stream of events for customers."""

    def __init__(
        self,
        database: Database,
        messages: Messages,
        vault: Vault,
        willing: Willing,
        zone: ZoneInfo,
        *,
        clock: Clock = utc_now,
        chunk: int = CHUNK,
    ) -> None:
        self._messages = messages
        self._vault = vault
        self._willing = willing
        self._zone = zone
        self._clock = clock
        self._stream = Stream(
            database, CONSUMER, wanted=_is_any, take=self._take, clock=clock, chunk=chunk
        )

    async def advance(self) -> bool:
        """Deal with the next chunk; whether there was one. Raises Overloaded, CursorAhead."""
        return await self._stream.advance()

    async def _take(self, tx: AsyncConnection, events: Sequence[Event]) -> None:
        _, settings = await read_settings(tx)
        kinds = _switched_on(settings)
        oldest = self._clock() - timedelta(hours=settings.notice_hours)
        told = [
            event
            for event in events
            if event.customer_id is not None and event.at > oldest and event.type in kinds
        ]
        if not told:
            return
        ids = list({event.customer_id for event in told if event.customer_id is not None})
        people = await self._addressees(tx, ids)
        words = {one: (await newest(tx, one, settings.language)).text for one in kinds.values()}
        made = [
            self._message(event, kinds[event.type], words, people[event.customer_id], settings)
            for event in told
            if event.customer_id in people
        ]
        await self._messages.enqueue_many(tx, made)

    async def _addressees(
        self, tx: AsyncConnection, ids: Sequence[UUID]
    ) -> Mapping[UUID | None, Addressee]:
        """Those who may be told; whose data cannot be read is left out, and said so."""
        willing = await self._willing.willing(tx, ids)
        found: dict[UUID | None, Addressee] = {}
        for row in await tx.execute(_CUSTOMERS, {"ids": list(willing)}):
            try:
                phone, person = self._vault.unseal(
                    row.id, row.data_key, row.phone_encrypted, row.person_encrypted
                )
            except CannotDecrypt:
                log.error("message_unaddressed", customer=str(row.id))
                continue
            zone = ZoneInfo(row.timezone) if row.timezone else self._zone
            found[row.id] = Addressee(phone, person, zone, row.store)
        return found

    def _message(
        self,
        event: Event,
        kind: Kind,
        words: Mapping[Kind, str],
        to: Addressee,
        settings: MessageSettings,
    ) -> NewMessage:
        now = self._clock()
        variables = variables_of(kind, msgspec.json.decode(event.data), to.zone, event.at)
        variables |= {"name": to.person.name, "store": to.store, "brand": settings.brand}
        begin = quiet_until(settings.quiet_hours, to.zone, now) or now
        return NewMessage(
            id=uuid7(),
            cause=event_id(event.id, f"message/{kind}"),
            customer_id=event.customer_id,
            phone=to.phone,
            purpose="notice",
            kind=kind,
            text=fill(words[kind], settings.language, variables),
            language=settings.language,
            not_before=begin,
            expires_at=begin + timedelta(hours=settings.notice_hours),
            zone=to.zone.key,
        )


def variables_of(
    kind: Kind, data: Mapping[str, Any], zone: ZoneInfo, at: datetime
) -> dict[str, Value]:
    """What an event's data fills in."""
    if kind == "level_change":
        return {"level": data.get("level")}
    variables: dict[str, Value] = {"points": parse_amount(data["points"]["total"], signed=True)}
    if kind == "expiring":
        variables["date"] = date.fromisoformat(data["on"])
        variables["balance"] = parse_amount(data["available"])
        return variables
    variables["balance"] = parse_amount(data["balance"]["available"])
    if kind == "accrual":
        later = [datetime.fromisoformat(one["available_from"]) for one in data["parts"]]
        first = min(later, default=at)
        variables["date"] = first.astimezone(zone).date() if first > at else None
    return variables


def _switched_on(settings: MessageSettings) -> Mapping[str, Kind]:
    switches = msgspec.structs.asdict(settings.tell)
    return {event: kind for event, kind in KIND_OF.items() if switches[kind]}


async def _is_any(tx: AsyncConnection) -> bool:
    return bool(_switched_on((await read_settings(tx))[1]))
