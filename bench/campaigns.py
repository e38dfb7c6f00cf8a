"""What workers do in the night, beside tills: campaigns, activation and expiry, and events.

A flow is work that lasts. Rounds of tills alone (the worker is stopped by a signal) and of tills
beside it take turns; what is left of it then runs alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import psutil  # type: ignore[import-untyped]

from bench import crowd
from bench.house import Database, api, make_database, memory_mib
from bench.load import Client, Run, drive, some_sale
from billing.campaigns.definition import compile_terms
from billing.campaigns.gifts import Occasion, Points
from billing.campaigns.schemas import AudienceIn, DefinitionIn
from billing.common.embedded import EmbeddedPostgres, EmbeddedRedis
from ledger.commands import Command
from ledger.group import run_group, sweep_of
from ledger.ids import uuid7
from ledger.service import Ledger, utc_now
from ledger.sweep import post_due

Add = Callable[[str, Sequence[float], str, str], float]
Opening = Callable[[Client, Database], Awaitable[None]]

SMALL = 10_000
"""What a lot costs is compared between so many and the full size."""
REST = 100_000
"""Of due lots, so many at most are left to be swept without the worker, for what each costs."""
AT_ONCE = 8
SINGLES = 4000
EVENTS = 40
LOOK_S = 0.2
PATIENCE_S = 3600.0
FREE_PORT = 0


@dataclass
class House:
    """The API, a worker and the scheduler on one database."""

    database: Database
    client: Client
    environment: dict[str, str]
    worker: psutil.Process
    postgres: psutil.Process
    sql: asyncpg.Connection[Any]

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        request = self.client.get(path) if method == "GET" else self.client.post(path, body)
        async with self.client.connection() as connection:
            status, answer = await connection.ask(request)
        if status // 100 != 2:
            raise RuntimeError(f"{method} {path}: {status} {answer[:500]!r}")
        return msgspec.json.decode(answer) if answer else None

    async def tills(self, seconds: float) -> Run:
        """A stretch of tills that keep the API busy."""
        return await drive(
            self.client,
            lambda: self.client.post("/v1/receipts", some_sale(self.database.customers)),
            connections=64,
            seconds=seconds,
        )


@dataclass
class Flow:
    """What was measured of one flow: rates per second, and microseconds of processor time a lot."""

    beside: list[float] = field(default_factory=list)
    idle: list[Run] = field(default_factory=list)
    busy: list[Run] = field(default_factory=list)
    alone: float = 0.0
    cpu_us: float = 0.0
    memory_mib: float = 0.0


Progress = Callable[[], Awaitable[int]]


async def watch(
    house: House, total: int, progress: Progress, *, rounds: int, seconds: float
) -> Flow:
    """See a flow of `total` lots to its end, tills beside it as long as it lasts long enough."""
    flow = Flow()
    await until(progress)
    memory = memory_mib(house.worker)
    for _ in range(rounds):
        house.worker.suspend()
        flow.idle.append(await house.tills(seconds))
        done, began = await progress(), time.perf_counter()
        house.worker.resume()
        busy = await house.tills(seconds)
        after = await progress()
        if after >= total:
            break
        flow.busy.append(busy)
        flow.beside.append((after - done) / (time.perf_counter() - began))
        memory = max(memory, memory_mib(house.worker))
    left = total - await progress()
    began, cpu = time.perf_counter(), cpu_of(house)
    while True:
        asked = time.perf_counter()
        if await progress() >= total:
            break
        # To look must cost little, beside what is looked at.
        await asyncio.sleep(max(LOOK_S, 10 * (time.perf_counter() - asked)))
        memory = max(memory, memory_mib(house.worker))
    flow.alone = left / (time.perf_counter() - began)
    flow.cpu_us = (cpu_of(house) - cpu) / max(left, 1) * 1e6
    flow.memory_mib = memory
    return flow


async def until(progress: Progress) -> None:
    """Wait for the first lots."""
    end = time.monotonic() + PATIENCE_S
    while not await progress():
        if time.monotonic() > end:
            raise RuntimeError("the work did not begin")
        await asyncio.sleep(LOOK_S)


async def campaign(house: House, code: str) -> Progress:
    """Let a campaign run for all of the crowd; how many got their points."""
    body = {"code": code, "name": "bench", "audience": {"tag": crowd.TAG}, "points": "10.00",
            "bucket": "promo", "expires": {"after": "P30D"}}  # fmt: skip
    await house.ask("POST", "/v1/campaigns", body)
    await house.ask("POST", f"/v1/campaigns/{code}/preview")

    async def previewed() -> int:
        return (await house.ask("GET", f"/v1/campaigns/{code}"))["preview"]["state"] == "done"

    await until(previewed)
    await house.ask("POST", f"/v1/campaigns/{code}/submit")
    if (await house.ask("GET", f"/v1/campaigns/{code}"))["state"] == "waiting_approval":
        await house.sql.execute(
            "UPDATE billing.campaigns SET state = 'scheduled', next_run_at = now() WHERE code = $1",
            code,
        )

    async def given() -> int:
        items = (await house.ask("GET", f"/v1/campaigns/{code}/runs"))["items"]
        return sum(run["given"] for run in items)

    return given


def gift(database: Database, code: str) -> Points:
    """What such a campaign gives, for the rate without groups."""
    zone = database.settings().timezone
    body = DefinitionIn(
        name="bench", audience=AudienceIn(tag=crowd.TAG), points=1000, bucket="promo"
    )
    occasion = Occasion(code, uuid7(), datetime.now(UTC), "bench", "bench")
    return Points(compile_terms(code, body, zone), occasion, zone.key)


async def single_gifts(house: House) -> tuple[float, float]:
    """The rates of such gifts, one at a time, to customers who have had one before."""
    points, members = gift(house.database, "single"), await crowd.members(house.database)
    commands = [(await points.offer(one)).command for one in members[:SINGLES]]
    house.worker.suspend()
    rates = await one_at_a_time(house.database, commands)
    house.worker.resume()
    return rates


async def one_at_a_time(database: Database, commands: Sequence[Command]) -> tuple[float, float]:
    """Commands per second in groups of one: on `AT_ONCE` connections, and on a single one."""
    async with Ledger(database.url) as ledger:
        connections = [await ledger._connect() for _ in range(AT_ONCE)]

        async def work(connection: Any, mine: Sequence[Command]) -> None:
            for command in mine:
                (fate,) = await run_group(connection, [command], utc_now)
                if isinstance(fate, Exception):
                    raise fate

        few = len(commands) // 4
        began = time.perf_counter()
        await work(connections[0], commands[:few])
        single, began = few / (time.perf_counter() - began), time.perf_counter()
        many = commands[few:]
        await asyncio.gather(*(work(c, many[n::AT_ONCE]) for n, c in enumerate(connections)))
        rate = len(many) / (time.perf_counter() - began)
        for connection in connections:
            await connection.close()
    return rate, single


async def event_delays(house: House) -> list[float]:
    """Milliseconds from a commit to the beginning of its delivery, while nothing else happens."""
    arrived: dict[str, asyncio.Future[float]] = {}

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head(reader):
            at = time.perf_counter()
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            event = msgspec.json.decode(await reader.readexactly(length))
            waiter = arrived[event["data"]["customer_id"]]
            if not waiter.done():
                waiter.set_result(at)
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    server = await asyncio.start_server(receive, "127.0.0.1", FREE_PORT)
    port = server.sockets[0].getsockname()[1]
    hook = {"url": f"http://127.0.0.1:{port}/", "events": ["points.adjusted"]}
    await house.ask("POST", "/v1/webhook-subscriptions", hook)
    delays = []
    for customer in house.database.customers[: EVENTS + 1]:
        await asyncio.sleep(0.3)
        arrived[str(customer)] = asyncio.get_running_loop().create_future()
        body = {"customer": {"customer_id": str(customer)}, "points": "+1.00", "reason": "bench"}
        await house.ask("POST", "/v1/adjustments", body)
        committed = time.perf_counter()
        delays.append(max(await arrived[str(customer)] - committed, 0.0) * 1e3)
    server.close()
    return delays[1:]


async def _head(reader: asyncio.StreamReader) -> bytes:
    """Of the next request; empty when there is none."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


async def measure(
    add: Add, postgres: EmbeddedPostgres, opening: Opening, *,
    size: int, rounds: int, seconds: float,
) -> None:  # fmt: skip
    """Campaigns, activation and expiry of `size` lots, and of few; and how late events are."""
    database = await make_database(postgres, "night", 5000)
    await crowd.gather(database, SMALL)
    with running_redis() as url:
        async with at_work(database, url, postgres) as house:
            await opening(house.client, database)
            await house.tills(seconds)
            delays = await event_delays(house)
            add("event, from commit to the delivery's start", delays, "ms", "while idle")
            given = await campaign(house, "few")
            few = await watch(house, SMALL, given, rounds=0, seconds=seconds)
            singles = await single_gifts(house)
            await crowd.gather(database, size - SMALL)
            given = await campaign(house, "many")
            many = await watch(house, size, given, rounds=rounds, seconds=seconds)
            tell(add, "campaign", size, singles, few, many)
            for kind in crowd.KINDS:
                await sweeps(add, house, kind, size, rounds=rounds, seconds=seconds)


@contextmanager
def running_redis() -> Iterator[str]:
    """The URL of a Redis that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bonus-bench-") as place:
        Path(place).chmod(0o755)
        redis = EmbeddedRedis(Path(place))
        redis.start()
        try:
            yield redis.url
        finally:
            redis.stop()


async def sweeps(
    add: Add, house: House, kind: crowd.Kind, size: int, *, rounds: int, seconds: float
) -> None:
    """Lots whose time came while nobody worked."""
    house.worker.suspend()
    due = await crowd.make_due(house.sql, kind, SINGLES)
    singles = await one_at_a_time(house.database, [sweep_of(one, utc_now()) for one in due])
    house.worker.resume()
    flows = []
    for total in (SMALL, size):
        await crowd.make_due(house.sql, kind, total)

        async def swept(total: int = total) -> int:
            return total - await crowd.left(house.sql)

        watched = total - min(total // 2, REST)
        flow = await watch(
            house, watched, swept, rounds=rounds if total == size else 0, seconds=seconds
        )
        flow.cpu_us = await cost_of_the_rest(house)
        flows.append(flow)
    tell(add, kind, size, singles, *flows)


async def cost_of_the_rest(house: House) -> float:
    """Microseconds of processor time a lot, PostgreSQL's included, to sweep what is still due.

    Swept here, because a worker seals, adds up and tells others meanwhile, now more, now less.
    """
    house.worker.suspend()
    done, began = 0, time.process_time() + cpu_of(house)
    async with Ledger(house.database.url) as ledger:
        while swept := await post_due(ledger):
            done += swept
        # Before the ledger's connections are closed: who is gone has no processor time.
        spent = time.process_time() + cpu_of(house) - began
    house.worker.resume()
    return spent / max(done, 1) * 1e6


def tell(
    add: Add, what: str, size: int, singles: tuple[float, float], few: Flow, many: Flow
) -> None:
    """The rows of one kind of flow."""
    eight = add(f"{what}, one at a time, {AT_ONCE} connections", [singles[0]], "/s", "")
    add(f"{what}, one at a time, 1 connection", [singles[1]], "/s", "")
    compared = f"{many.alone / eight:.2f} × one at a time; {many.alone / singles[1]:.2f} × on one"
    add(f"{what} of {size:,}, alone", [many.alone], "/s", compared)
    add(f"  of {SMALL:,}", [few.alone], "/s", "")
    dear = f"{many.cpu_us / few.cpu_us:.2f} × of {SMALL:,}"
    add("  processor time for a lot, PostgreSQL's included", [many.cpu_us], "us", dear)
    memory = f"{few.memory_mib:.0f} of {SMALL:,}"
    add("  the worker's memory, at most", [many.memory_mib], "MiB", memory)
    if many.busy:
        add("  beside tills", many.beside, "/s", "")
        idle = statistics.median(run.rate for run in many.idle)
        rate = statistics.median(run.rate for run in many.busy) / idle
        late = statistics.median(run.p99 for run in many.idle)
        add("  tills meanwhile", [run.rate for run in many.busy], "/s", f"{rate:.2f} × idle")
        times = statistics.median(run.p99 for run in many.busy) / late
        add("  their p99", [run.p99 for run in many.busy], "ms", f"{times:.2f} × idle")


@asynccontextmanager
async def at_work(
    database: Database, redis_url: str, postgres: EmbeddedPostgres
) -> AsyncIterator[House]:
    """`bonus serve`, `bonus worker` and `bonus scheduler`."""
    more = {
        "REDIS_URL": redis_url,
        "BONUS_WEBHOOK_ALLOW_HTTP": "yes",
        "BONUS_WEBHOOK_ALLOWED_HOSTS": "127.0.0.1",
        "BONUS_CAMPAIGN_APPROVAL_POINTS": "90000000.00",
    }
    environment = os.environ | database.environment(BONUS_DATA_DIR=tempfile.gettempdir(), **more)
    sql = await asyncpg.connect(database.superuser_url)
    started = []
    try:
        async with api(database, **more) as (client, _):
            for name in ("worker", "scheduler"):
                command = [sys.executable, "-m", "billing.app.cli", name]
                started.append(
                    subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
                )
            worker = psutil.Process(started[0].pid)
            yield House(database, client, environment, worker, psutil.Process(postgres.pid), sql)
    finally:
        for process in started:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in started:
            process.wait(60)
        await sql.close()


def cpu_of(house: House) -> float:
    """Processor time of the worker and of PostgreSQL so far, in seconds."""
    everybody = [house.worker, house.postgres, *house.postgres.children()]
    return sum(sum(one.cpu_times()[:2]) for one in everybody)
