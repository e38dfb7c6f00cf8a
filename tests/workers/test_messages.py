"""Messages leave through real processes, whatever is killed (DESIGN 6)."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import redis

from billing.common.db import Database
from billing.common.settings import Settings
from billing.customers.secret import confirm
from billing.customers.vault import Vault
from billing.messages.model import NewMessage
from billing.messages.sealing import MessageVault
from billing.messages.service import Messages
from ledger.ids import uuid7
from ledger.service import utc_now
from tests.workers.conftest import Bonus, Process, Start

CONSOLE = {"BONUS_SMS_CONSOLE": "yes"}


async def enqueue(settings: Settings, *texts: str) -> None:
    database = Database(settings.database_url, size=1)
    vault = Vault(settings.secret_key)
    assert await confirm(database, vault)
    messages = Messages(database, MessageVault(settings.secret_key, vault))
    async with database.transaction() as tx:
        for text in texts:
            new = NewMessage(
                id=uuid7(),
                phone="+79990000001",
                purpose="notice",
                text=text,
                language="ru",
                expires_at=utc_now() + timedelta(hours=1),
            )
            await messages.enqueue(tx, new)
    await database.close()


def written(folder: Path) -> list[Any]:
    file = folder / "sms.log"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


async def until_said(process: Process, words: str) -> None:
    end = time.monotonic() + 60
    while words not in process.log:
        assert time.monotonic() < end, f"it never said {words}: {process.log}"
        await asyncio.sleep(0.1)


async def until_written(folder: Path, count: int) -> list[Any]:
    end = time.monotonic() + 60
    while len(lines := written(folder)) < count:
        assert time.monotonic() < end, "messages were not sent"
        await asyncio.sleep(0.1)
    return lines


async def test_development_reads_its_messages_in_a_file(
    start: Start, settings: Settings, tmp_path: Path, bonus: Bonus
) -> None:
    await enqueue(settings, "Код 481526")
    start("scheduler", **CONSOLE)
    # Under another key nothing could be read, and every message would fail: they wait.
    other = base64.b64encode(bytes(32)).decode()
    stranger = start("worker", BONUS_SECRET_KEY=other, **CONSOLE)
    await until_said(stranger, "secret_key_not_recognised")
    stranger.send(signal.SIGTERM)
    assert written(tmp_path) == []
    worker = start("worker", **CONSOLE)
    (line,) = await until_written(tmp_path, 1)
    assert (line["to"], line["text"]) == ("+79990000001", "Код 481526")
    code, printed = await bonus("messages", "dead")
    assert (code, printed) == (0, "")
    assert "481526" not in worker.log
    # Killed in the middle of the crowd, with Redis emptied: each is sent, and none twice.
    await enqueue(settings, *map(str, range(200)))
    await until_written(tmp_path, 20)
    worker.send(signal.SIGKILL)
    redis.Redis.from_url(settings.redis_url).flushall()
    start("worker", **CONSOLE)
    owner = Database(settings.database_url, size=1)
    async with asyncio.timeout(60):
        while True:
            # What the killed sender had is asked about after a minute; here at once.
            await owner.fetch(
                "UPDATE billing.messages SET leased_until = '-infinity' "
                "WHERE leased_until < now() + interval '50 seconds' RETURNING 1"
            )
            rows = await owner.fetch(
                "SELECT status, count(*) FROM billing.messages GROUP BY status"
            )
            found = dict(map(tuple, rows))
            if not found.get("queued"):
                break
            await asyncio.sleep(0.3)
    await owner.close()
    texts = [line["text"] for line in written(tmp_path)][1:]
    assert len(texts) == len(set(texts))
    assert found.get("delivered", 0) + found.get("unknown", 0) == 201
    # Only what was on its way at that moment is unknown, and is not repeated.
    assert found.get("unknown", 0) <= 32
