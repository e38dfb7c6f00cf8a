"""Making sure that the service knows the chain: what is missing is created, the rest left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from billing.app.replay.model import Chain, Customer, Group
from billing.app.replay.till import Till
from billing.app.replay.wire import Answer
from billing.common.money import parse_amount

T = TypeVar("T")
_PAGE = 500
_IMPORT = 2000


class Watch(Protocol):
    """Who wants to see how far it is."""

    def start(self, label: str, total: int) -> None: ...

    def advance(self) -> None: ...


class Refused(Exception):
    """The service refused what the replay cannot do without."""

    def __init__(self, call: str, answer: Answer) -> None:
        problem = Problem.of(answer)
        super().__init__(f"{call}: {answer.status} {problem.code}: {problem.detail}")


class Problem(msgspec.Struct, frozen=True):
    """What a replay reads of a problem document."""

    code: str = ""
    detail: str = ""
    customer_id: str | None = None

    @classmethod
    def of(cls, answer: Answer) -> Problem:
        try:
            return msgspec.json.decode(answer.body, type=cls)
        except msgspec.DecodeError:
            return cls(detail=answer.body[:200].decode(errors="replace"))


@dataclass(frozen=True)
class Registered:
    """The service's ids of the customers by card, and the cards that were new to it."""

    ids: dict[str, str]
    created: frozenset[str]


async def ensure(chain: Chain, tills: Sequence[Till], watch: Watch) -> Registered:
    """Create what the service lacks of `chain`. Raises Refused."""
    await _put_missing(tills, watch, "channels", {
        code: {"name": name} for code, name in chain.channels.items()
    })  # fmt: skip
    await _put_missing(tills, watch, "stores", {
        store.code: {
            "name": store.name,
            "channel": store.channel,
            "group": store.group,
            "timezone": store.timezone,
        }
        for store in chain.stores
    })  # fmt: skip
    roots = [group for group in chain.groups if group.parent is None]
    nested = [group for group in chain.groups if group.parent is not None]
    await _put_missing(tills, watch, "product-groups", _named(roots))
    await _put_missing(tills, watch, "product-groups", _named(nested))
    await _import_missing(chain, tills, watch)
    return await _register(chain, tills, watch)


async def read_available(till: Till, customer_id: str) -> int:
    """What a customer may spend now, in 1/100 point. Raises Refused."""
    path = f"/v1/customers/{customer_id}/balance"
    answer = await till.get(path)
    if answer.status != 200:
        raise Refused(f"GET {path}", answer)
    return parse_amount(msgspec.json.decode(answer.body)["available"])


async def spread(
    tills: Sequence[Till], work: Callable[[Till, T], Awaitable[None]], items: Iterable[T]
) -> None:
    """Do `work` on all items, each by the next till that is free."""
    waiting = iter(items)

    async def one(till: Till) -> None:
        for item in waiting:
            await work(till, item)

    await together(one(till) for till in tills)


async def together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all at once; the first error ends the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _named(groups: Iterable[Group]) -> dict[str, Any]:
    return {
        group.code: {"name": group.name} | ({"parent": group.parent} if group.parent else {})
        for group in groups
    }


async def _put_missing(
    tills: Sequence[Till], watch: Watch, kind: str, bodies: dict[str, dict[str, Any]]
) -> None:
    known = await _codes(tills[0], kind)
    missing = [item for item in bodies.items() if item[0] not in known]
    if not missing:
        return
    watch.start(kind.replace("-", " "), len(missing))

    async def put(till: Till, item: tuple[str, dict[str, Any]]) -> None:
        path = f"/v1/{kind}/{quote(item[0], safe='')}"
        answer = await till.put(path, item[1])
        if answer.status >= 300:
            raise Refused(f"PUT {path}", answer)
        watch.advance()

    await spread(tills, put, missing)


async def _import_missing(chain: Chain, tills: Sequence[Till], watch: Watch) -> None:
    known = await _codes(tills[0], "products", "sku")
    missing = [
        {"sku": product.sku, "name": product.name, "group": product.group}
        for product in chain.products
        if product.sku not in known
    ]
    if not missing:
        return
    watch.start("products", len(missing))
    for start in range(0, len(missing), _IMPORT):
        batch = missing[start : start + _IMPORT]
        answer = await tills[0].post("/v1/products/import", batch)
        if answer.status >= 300:
            raise Refused("POST /v1/products/import", answer)
        for _ in batch:
            watch.advance()


async def _codes(till: Till, kind: str, name: str = "code") -> set[str]:
    codes, cursor = set[str](), ""
    while True:
        path = f"/v1/{kind}?limit={_PAGE}" + (f"&cursor={quote(cursor)}" if cursor else "")
        answer = await till.get(path)
        if answer.status != 200:
            raise Refused(f"GET {path}", answer)
        page = msgspec.json.decode(answer.body)
        codes.update(item[name] for item in page["items"])
        cursor = page["next_cursor"]
        if not cursor:
            return codes


async def _register(chain: Chain, tills: Sequence[Till], watch: Watch) -> Registered:
    ids: dict[str, str] = {}
    created = set[str]()
    watch.start("customers", len(chain.customers))

    async def post(till: Till, customer: Customer) -> None:
        body = {
            "phone": customer.phone,
            "cards": [customer.card],
            "external_ids": {chain.source: customer.card},
            "status": "verified",
        }
        answer = await till.post("/v1/customers", body)
        problem = Problem.of(answer)
        if answer.status == 201:
            ids[customer.card] = msgspec.json.decode(answer.body)["id"]
            created.add(customer.card)
        elif problem.code == "customer_exists" and problem.customer_id:
            ids[customer.card] = problem.customer_id
        else:
            raise Refused(f"POST /v1/customers with card {customer.card}", answer)
        watch.advance()

    await spread(tills, post, chain.customers)
    return Registered(ids, frozenset(created))
