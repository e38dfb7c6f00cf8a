"""The demo chain, loaded with the machinery of `bonus replay`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from billing.app.replay import files, fleet
from billing.app.replay.catalog import Refused, Registered, Watch, ensure, read_available
from billing.app.replay.grocer import SOURCE
from billing.app.replay.journal import Journal, JournalFault, place
from billing.app.replay.model import Chain
from billing.app.replay.paste import Example, commands
from billing.app.replay.tally import Tally
from billing.app.replay.till import Till, Unreachable
from billing.app.replay.wire import Address
from billing.app.running import recall
from billing.common.db import Database
from billing.common.embedded.process import EmbeddedError
from billing.common.settings import load_settings
from billing.demo import CHANNELS, PROGRAM, RECEIPTS
from billing.keys.service import ApiKeys

Report = Callable[[str], None]
_TILLS = 16
_STEP = 250


def load(base_url: str, admin_key: str, report: Report) -> tuple[str, str]:
    """A till's key ("" when the database cannot be reached from here), and commands to paste.
    Raises EmbeddedError."""
    settings = load_settings(recall(os.environ))
    path = place(settings.data_dir, SOURCE, base_url)
    chain = replace(files.read_chain(RECEIPTS), channels=CHANNELS)
    service = fleet.Service(base_url, admin_key, tills=_TILLS)
    try:
        card, customer_id = asyncio.run(_load(chain, service, path, report))
    except (Refused, Unreachable, JournalFault) as error:
        raise EmbeddedError(f"The demo chain could not be loaded: {error}") from error
    pos_key = asyncio.run(_pos_key(settings.database_url))
    sale = next(sale for sale in reversed(chain.sales) if sale.card == card)
    body = sale.steps[0].body
    example = Example(
        url=base_url.rstrip("/"),
        key=pos_key or admin_key,
        phone=next(customer.phone for customer in chain.customers if customer.card == card),
        customer_id=customer_id,
        channel=body["channel"],
        store=body["store"],
        sku=body["receipt"]["lines"][0]["sku"],
    )
    return pos_key, commands(example)


@dataclass
class _Remarks:
    """A `Watch` that reports every `_STEP` things, and when all are there."""

    report: Report
    label: str = ""
    total: int = 0
    done: int = 0

    def start(self, label: str, total: int) -> None:
        self.label, self.total, self.done = label, total, 0

    def advance(self) -> None:
        self.done += 1
        if self.done == self.total or self.done % _STEP == 0:
            self.report(f"{self.done:,} of {self.total:,} {self.label}")


async def _load(
    chain: Chain, service: fleet.Service, path: Path, report: Report
) -> tuple[str, str]:
    """Everything in order; the card and the id of the customer with most points to spend."""
    watch = _Remarks(report)
    address = Address.of(service.url)
    tills = [Till(address, service.key, asyncio.Event(), lambda: None) for _ in range(_TILLS)]
    try:
        registered = await ensure(chain, tills, watch)
        await _publish(tills[0])
        await _post_sales(chain, service, path, registered, watch)
        return await _richest(tills[0], registered)
    finally:
        for till in tills:
            till.close()


async def _post_sales(
    chain: Chain, service: fleet.Service, path: Path, registered: Registered, watch: Watch
) -> None:
    tally, stop = Tally(), asyncio.Event()
    journal = Journal(path)
    if fleet.is_of_another_database(journal, chain, registered):
        await journal.close()
        journal = Journal(path, fresh=True)
    try:
        await fleet.replay(chain, service, journal, tally, watch, stop, registered)
    finally:
        await journal.close()
    if tally.refused:
        raise EmbeddedError("The demo chain was refused: " + "; ".join(tally.refusals))


async def _richest(till: Till, registered: Registered) -> tuple[str, str]:
    available = {
        (card, customer): await read_available(till, customer)
        for card, customer in registered.ids.items()
    }
    return max(available, key=lambda who: (available[who], who))


async def _publish(till: Till) -> None:
    """The program, to count since before the first receipt, unless the chain has it."""
    known = await till.get("/v1/programs?limit=500")
    if known.status != 200:
        raise Refused("GET /v1/programs", known)
    items = msgspec.json.decode(known.body)["items"]
    status = {item["code"]: item["status"] for item in items}.get(PROGRAM["code"])
    if status is None:
        await _post(till, "/v1/programs", PROGRAM)
    if status in (None, "draft"):
        since = {"from": PROGRAM["valid_from"]}
        await _post(till, f"/v1/programs/{PROGRAM['code']}/publish", since)


async def _post(till: Till, path: str, body: Mapping[str, Any]) -> None:
    answer = await till.post(path, body)
    if answer.status >= 300:
        raise Refused(f"POST {path}", answer)


async def _pos_key(database_url: str) -> str:
    if not database_url:
        return ""
    database = Database(database_url, application="bonus-demo", size=1)
    try:
        _, secret = await ApiKeys(database).create("pos", "demo till")
    finally:
        await database.close()
    return secret
