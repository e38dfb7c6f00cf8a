"""Whether a sale is the customer's first: what is kept of earlier ones counts (C9)."""

from __future__ import annotations

from uuid import UUID

from billing.common import deadline
from billing.scenarios.store import first_purchase
from tests.billing.scenarios.house import Chain


async def would_be_first(chain: Chain, *customers: str) -> list[bool]:
    deadline.start(60)  # The last request's time may be over.
    ids = [UUID(one) for one in customers]
    found = await first_purchase(chain.services.database, ids)
    return [found[one] for one in ids]


async def test_a_sale_makes_the_next_one_not_the_first(chain: Chain) -> None:
    await chain.scenario("registration")
    buyer, other = await chain.customer(), await chain.customer()
    assert await would_be_first(chain, buyer, other) == [True, True]
    await chain.sell(buyer, "1")
    assert await would_be_first(chain, buyer, other) == [False, True]


async def test_a_sale_wholly_brought_back_does_not_count(chain: Chain) -> None:
    buyer = await chain.customer()
    await chain.sell(buyer, "1", "3")
    await chain.bring_back("r1", "1", "1")
    assert await would_be_first(chain, buyer) == [False]
    await chain.bring_back("r2", "1", "2")
    assert await would_be_first(chain, buyer) == [True]
    await chain.sell(buyer, "2")
    assert await would_be_first(chain, buyer) == [False]


async def test_the_first_purchase_gives_once(chain: Chain) -> None:
    await chain.scenario("first_purchase", "30.00")
    buyer = await chain.customer()
    await chain.sell(buyer, "1")
    assert await chain.balance(buyer) == "30.00"
    await chain.sell(buyer, "2")
    assert await chain.balance(buyer) == "30.00"
