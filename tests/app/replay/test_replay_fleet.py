"""A fleet loses nothing and doubles nothing, however often it is interrupted (C11, C12)."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from billing.app.replay import till as tills
from billing.app.replay.catalog import Refused
from billing.app.replay.files import read_chain
from billing.app.replay.fleet import Service, queues, replay
from billing.app.replay.journal import Journal, JournalFault
from billing.app.replay.model import Chain
from billing.app.replay.tally import Tally
from billing.app.replay.till import Unreachable
from billing.demo import RECEIPTS

from .conftest import FarEnd, Request


class Nobody:
    """Watches nothing."""

    def start(self, label: str, total: int) -> None: ...

    def advance(self) -> None: ...


@pytest.fixture(scope="module")
def chain() -> Chain:
    return read_chain(RECEIPTS).first(120)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tills, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(tills, "JITTER_S", 0.01)


async def _run(
    chain: Chain,
    far_end: FarEnd,
    path: Path,
    *,
    stop: asyncio.Event | None = None,
    fresh: bool = False,
    patience_s: float = 20,
) -> Tally:
    tally = Tally()
    journal = Journal(path, fresh=fresh)
    service = Service(far_end.url, "key", tills=8, patience_s=patience_s)
    try:
        await replay(chain, service, journal, tally, Nobody(), stop or asyncio.Event())
    finally:
        await journal.close()
    return tally


def _paying(chain: Chain) -> int:
    return sum(min(1000, sale.steps[0].redeem_up_to) for sale in chain.sales)


async def test_every_receipt_is_posted_once_and_the_sums_are_those_of_the_answers(
    chain: Chain, far_end: FarEnd, tmp_path: Path
) -> None:
    tally = await _run(chain, far_end, tmp_path / "j")
    assert len(far_end.kept) == tally.new.receipts == 120
    assert tally.new.accrued == 120 * 115
    assert tally.new.redeemed == _paying(chain) > 0
    assert tally.retries == tally.refused == tally.already == tally.replayed.receipts == 0
    assert len(tally.latencies) == 120


async def test_a_customers_receipts_arrive_in_order_of_time(
    chain: Chain, far_end: FarEnd, tmp_path: Path
) -> None:
    await _run(chain, far_end, tmp_path / "j")
    arrived: dict[str, list[str]] = {}
    for body, _ in far_end.kept.values():
        sent = json.loads(body)
        arrived.setdefault(sent["customer"]["card"], []).append(sent["receipt"]["number"])
    expected: dict[str, list[str]] = {}
    for sale in chain.sales:
        expected.setdefault(sale.card, []).append(sale.number)
    assert arrived == expected


def test_queues_are_even_and_keep_a_customer_together(chain: Chain) -> None:
    made = queues(chain.sales, 8)
    cards = [{sale.card for sale in queue} for queue in made]
    assert sum(map(len, cards)) == len(set.union(*cards))
    assert sorted(sale.number for queue in made for sale in queue) == sorted(
        sale.number for sale in chain.sales
    )
    for queue in made:
        assert all(one.at <= other.at for one, other in pairwise(queue))


async def test_a_bad_network_changes_no_sum(chain: Chain, far_end: FarEnd, tmp_path: Path) -> None:
    kinds = [*[None] * 14, "lost before", "lost after", "429", "503", "500", "502"]
    faults = Random(7).choices(kinds, k=5000)
    failed: set[object] = set()

    def fault(number: int, request: object) -> str | None:
        """A request that fails on the server twice running would rightly be given up."""
        kind = faults[number]
        if kind == "500" and request in failed:
            return "503"
        if kind == "500":
            failed.add(request)
        return kind

    far_end.fault = fault
    tally = await _run(chain, far_end, tmp_path / "j")
    together = tally.total
    assert (together.receipts, together.accrued) == (120, 120 * 115)
    assert together.redeemed == _paying(chain)
    assert tally.retries > 50
    assert tally.replayed.receipts > 0


async def test_after_an_interruption_the_rest_is_posted_with_the_decisions_made_before(
    chain: Chain, far_end: FarEnd, tmp_path: Path
) -> None:
    stop = asyncio.Event()

    def interrupt(number: int, request: Request) -> str | None:
        if len(far_end.kept) < 50 or not request[2]:
            return None
        stop.set()
        return "lost after"  # these were carried out, and their tills do not know

    far_end.fault = interrupt
    first = await _run(chain, far_end, tmp_path / "j", stop=stop)
    assert 0 < first.new.receipts < len(far_end.kept) < 120

    far_end.fault = lambda number, request: None
    far_end.available = "0.03"  # the balance has moved on; what was decided stays
    in_doubt = len(far_end.kept) - first.new.receipts
    second = await _run(chain, far_end, tmp_path / "j")
    assert second.earlier.receipts == first.new.receipts
    assert second.replayed.receipts == in_doubt
    assert second.already == 0
    assert second.total.receipts == len(far_end.kept) == 120
    assert second.total.accrued == 120 * 115
    redeemed = [json.loads(answer)["redeemed"] for _, answer in far_end.kept.values()]
    assert second.total.redeemed == sum(int(points.replace(".", "")) for points in redeemed)


async def test_the_same_file_again_is_all_replays(
    chain: Chain, far_end: FarEnd, tmp_path: Path
) -> None:
    first = await _run(chain, far_end, tmp_path / "j")
    kept = dict(far_end.kept)
    lines = len((tmp_path / "j").read_text().splitlines())
    far_end.available = "3.00"
    again = await _run(chain, far_end, tmp_path / "j")
    assert far_end.kept == kept
    assert again.replayed == first.new
    assert again.new.receipts == again.already == 0
    assert len((tmp_path / "j").read_text().splitlines()) == lines


async def test_without_the_journal_other_decisions_count_as_already_posted(
    chain: Chain, far_end: FarEnd, tmp_path: Path
) -> None:
    await _run(chain, far_end, tmp_path / "j")
    kept = dict(far_end.kept)
    far_end.available = "0.00"
    again = await _run(chain, far_end, tmp_path / "j", fresh=True)
    assert far_end.kept == kept
    paying = sum(bool(sale.steps[0].redeem_up_to) for sale in chain.sales)
    assert (again.already, again.replayed.receipts) == (paying, 120 - paying)
    assert again.refused == again.new.receipts == 0


async def test_a_refused_receipt_is_shown_and_the_others_go_on(
    chain: Chain, far_end: FarEnd, tmp_path: Path
) -> None:
    wrong = chain.sales[3].steps[0].key
    far_end.fault = lambda number, request: "409" if request[2] == wrong else None
    tally = await _run(chain, far_end, tmp_path / "j")
    assert (tally.refused, tally.new.receipts) == (1, 119)
    assert tally.refusals[0].startswith(f"{wrong}: 409")
    assert far_end.posts()[wrong] == 1

    far_end.fault = lambda number, request: None
    far_end.customers.update(customer.card for customer in chain.customers)
    longer = await _run(chain, far_end, tmp_path / "j")
    assert longer.total.receipts == len(far_end.kept) == 120


async def test_a_key_that_is_not_valid_stops_at_once(
    chain: Chain, far_end: FarEnd, tmp_path: Path
) -> None:
    far_end.fault = lambda number, request: "401"
    with pytest.raises(Refused, match=r"GET /v1/channels.*401"):
        await _run(chain, far_end, tmp_path / "j")


async def test_a_service_that_goes_away_ends_the_run_and_the_next_one_completes_it(
    chain: Chain, far_end: FarEnd, tmp_path: Path
) -> None:
    far_end.fault = lambda number, request: "503" if len(far_end.kept) >= 30 else None
    with pytest.raises(Unreachable):
        await _run(chain, far_end, tmp_path / "j", patience_s=0.2)
    far_end.fault = lambda number, request: None
    tally = await _run(chain, far_end, tmp_path / "j")
    assert tally.total.receipts == len(far_end.kept) == 120


async def test_the_journal_of_another_database_is_refused(
    chain: Chain, far_end: FarEnd, tmp_path: Path
) -> None:
    await _run(chain, far_end, tmp_path / "j")
    far_end.customers.clear()
    with pytest.raises(JournalFault, match="another database; start over with --restart"):
        await _run(chain, far_end, tmp_path / "j")


async def test_a_journal_survives_a_cut_last_line_and_refuses_damage(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    await asyncio.gather(*(journal.decide(f"k{number}", number) for number in range(50)))
    with pytest.raises(JournalFault, match="another replay is using"):
        Journal(tmp_path / "j")
    await journal.close()
    with (tmp_path / "j").open("a") as file:
        file.write('{"key": "k50", "red')
    again = Journal(tmp_path / "j")
    assert again.decided == {f"k{number}": number for number in range(50)}
    await again.decide("k51", 51)
    await again.close()
    (tmp_path / "j").write_text('{"key": "k1"}\nnonsense\n')
    with pytest.raises(JournalFault, match="line 1 is damaged"):
        Journal(tmp_path / "j")


async def test_a_decision_is_on_disk_before_its_receipt_leaves(
    chain: Chain, far_end: FarEnd, tmp_path: Path
) -> None:
    unknown: list[str] = []

    def look(number: int, request: Request) -> None:
        if '"redeem"' in request[3].decode() and request[2] not in (tmp_path / "j").read_text():
            unknown.append(request[2])

    far_end.fault = look
    await _run(chain, far_end, tmp_path / "j")
    assert unknown == []
