"""Development: messages are lines of a file, `sms.log` in BONUS_DATA_DIR, and nobody is charged.

It holds codes and phones in the clear, so only its owner may read it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec

from billing.messages.statuses import Said
from integrations.sms.protocol import (
    Accepted,
    Ack,
    Balance,
    Inbox,
    NotTold,
    Outbound,
    Outcome,
    RawRequest,
    Refused,
    Sent,
    StatusAnswer,
    Trust,
)

FILE = "sms.log"


class ConsoleSettings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Nothing to set."""


class ConsoleSecrets(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Nothing to keep."""


class Console:
    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    def reference(self, number: int) -> str | None:
        return str(number)

    async def send(self, message: Outbound) -> Outcome:
        line = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "to": message.phone,
            "text": message.text,
        }
        try:
            await asyncio.to_thread(self._write, msgspec.json.encode(line) + b"\n")
        except OSError as error:
            return Refused(detail=str(error))
        said = Said(provider_message_id=str(message.number), status="delivered")
        return Accepted(said=said)

    async def fetch_status(self, sent: Sent) -> StatusAnswer:
        return NotTold("what is in the file was delivered")

    def verify(self, raw: RawRequest) -> Trust:
        return "forged"

    def parse_reports(self, raw: RawRequest) -> Sequence[Said]:
        return []

    def parse_inbound(self, raw: RawRequest) -> Sequence[Inbox]:
        return []

    async def confirm_inbound(self, inbound: Inbox) -> Inbox | None:
        return None

    def acknowledge(self, raw: RawRequest) -> Ack:
        return Ack()

    async def balance(self) -> Balance:
        return Balance(amount=Decimal(0), currency=None)

    async def close(self) -> None:
        return None

    def _write(self, line: bytes) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        file = os.open(self._file, flags, 0o600)
        try:
            os.write(file, line)
        finally:
            os.close(file)
