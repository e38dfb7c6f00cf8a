"""Real receipts through the running service, over a network that fails: the main job."""

from __future__ import annotations

import asyncio
import gzip
import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from billing.app.commands.demo import DemoResult, load
from billing.app.replay.files import read_chain
from billing.app.replay.fleet import Service, replay
from billing.app.replay.grocer import SOURCE
from billing.app.replay.journal import Journal, place
from billing.app.replay.model import Chain
from billing.app.replay.points import Purchase, opening_balances
from billing.app.replay.tally import Tally
from billing.common.money import parse_amount
from billing.demo import RECEIPTS
from tests.app.network import bad_network
from tests.app.running import RunningService


class Nobody:
    """Watches nothing."""

    def start(self, label: str, total: int) -> None: ...

    def advance(self) -> None: ...


async def _run(chain: Chain, url: str, key: str, path: Path) -> Tally:
    tally, journal = Tally(), Journal(path)
    try:
        service = Service(url, key, tills=8)
        assert await replay(chain, service, journal, tally, Nobody(), asyncio.Event())
    finally:
        await journal.close()
    assert tally.refusals == []
    return tally


async def _available(service: RunningService, chain: Chain) -> dict[str, int]:
    """What each customer has, in 1/100 point, by card."""
    found = {}
    for customer in chain.customers:
        page = await service.get(f"/v1/customers?card={customer.card}")
        balance = await service.get(f"/v1/customers/{page['items'][0]['id']}/balance")
        found[customer.card] = parse_amount(balance["available"])
    return found


async def _load(service: RunningService, url: str, monkeypatch: pytest.MonkeyPatch) -> DemoResult:
    for name, value in service.environ.items():
        monkeypatch.setenv(name, value)
    return await asyncio.to_thread(load, url, service.key, lambda text: None)


async def test_the_demo_chain_is_loaded_whole_and_loading_it_again_changes_nothing(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = read_chain(RECEIPTS)
    async with bad_network(service.url, lost_percent=5, seed=1) as url:
        await _load(service, url, monkeypatch)
        before = await _available(service, chain)
        journal = place(Path(service.environ["BONUS_DATA_DIR"]), SOURCE, url)
        again = await _run(chain, url, service.key, journal)
    assert again.retries > 20
    assert (again.replayed.receipts, again.new.receipts, again.already) == (1000, 0, 0)
    assert again.replayed.redeemed > 0
    assert sum(before.values()) == again.replayed.accrued - again.replayed.redeemed
    assert await _available(service, chain) == before


async def test_stated_points_give_the_balances_the_file_shows(
    service: RunningService, shared_data: Path, tmp_path: Path
) -> None:
    path = shared_data / "points_receipts.jsonl.gz"
    chain = read_chain(path)
    async with bad_network(service.url, lost_percent=3, seed=2) as url:
        first = await _run(chain, url, service.key, tmp_path / "first")
        lost = await _run(chain, url, service.key, tmp_path / "journal lost")
    assert first.retries > 20
    assert first.total.receipts == lost.replayed.receipts == 978
    assert lost.new == Tally().new
    given, spent, opening, expected = 0, 0, 0, {}
    with gzip.open(path, "rt") as text:
        for row in text:
            client = json.loads(row, parse_float=Decimal, parse_int=Decimal)
            history = client["transaction_history"]
            purchases = msgspec.convert(history, list[Purchase])
            own_opening = sum(opening_balances(purchases).values())
            own = {
                sign: sum(
                    int(100 * purchase[f"{kind}_points_{sign}"])
                    for purchase in history
                    for kind in ("regular", "express")
                )
                for sign in ("received", "spent")
            }
            given, spent = given + own["received"], spent - own["spent"]
            opening += own_opening
            expected[client["client_id"]] = own_opening + own["received"] + own["spent"]
    total = first.total
    assert (total.accrued, total.redeemed, total.opening) == (given, spent, opening)
    assert await _available(service, chain) == expected
