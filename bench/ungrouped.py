"""What grouping is compared with: the same commands, one a transaction, on eight connections."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import msgspec

from bench.house import Database
from bench.load import some_sale
from billing.app.services import Services
from billing.common.auth import Principal
from billing.common.decoding import decode_body
from billing.receipts.sale import SaleRequest
from billing.receipts.schemas import SaleIn
from ledger.commands import Command
from ledger.group import run_group
from ledger.service import Ledger

CONNECTIONS = 8
PRINCIPAL = Principal(key_id=uuid4(), name="bench", role="admin")


async def prepare(services: Services, database: Database, count: int) -> list[Command]:
    """The commands that so many sales over HTTP would become."""
    commands: list[Command] = []
    for _ in range(count):
        raw = msgspec.json.encode(some_sale(database.customers))
        request = SaleRequest(PRINCIPAL, uuid4().hex, None, "/v1/receipts", raw)
        commands.append(await services.sales.prepare(request, decode_body(raw, SaleIn)))
    return commands


async def ungrouped_rate(services: Services, database: Database, count: int) -> float:
    """Commands per second in this process, without HTTP; made beforehand, not timed."""
    commands = await prepare(services, database, count)
    ledger: Ledger = services.ledger
    connections = [await ledger._connect() for _ in range(CONNECTIONS)]

    async def work(lane: int) -> None:
        for command in commands[lane::CONNECTIONS]:
            (fate,) = await run_group(connections[lane], [command], ledger.clock)
            if isinstance(fate, Exception):
                raise fate

    started = time.perf_counter()
    await asyncio.gather(*(work(lane) for lane in range(CONNECTIONS)))
    elapsed = time.perf_counter() - started
    for connection in connections:
        await connection.close()
    return count / elapsed
