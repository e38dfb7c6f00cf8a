"""A customer's cards over HTTP."""

from __future__ import annotations

from typing import Final

from billing.common.answer import Answer
from billing.common.auth import Role
from billing.common.errors import Forbidden
from billing.common.http import Call, Operation, operation
from billing.customers.cards import Cards
from billing.customers.routes import WRITERS, customer_id_of
from billing.customers.schemas import CardIn, CardOut, CardPage, CardPatch

_TAG = "Customers"
UNBLOCKERS: Final[tuple[Role, ...]] = ("support", "admin")
_GONE = ("customer_merged", "customer_erased")


@operation("GET", "/v1/customers/{id}/cards", summary="List a customer's cards", tag=_TAG,
           may=WRITERS, answers={200: CardPage})  # fmt: skip
async def list_cards(call: Call) -> Answer:
    """All of them, blocked ones with the time since when."""
    return Answer.json(CardPage(await call.use(Cards).of_customer(customer_id_of(call)), None))


@operation("POST", "/v1/customers/{id}/cards", summary="Give a customer a card", tag=_TAG,
           may=WRITERS, body=CardIn, answers={200: CardOut},
           conflicts=("customer_exists", *_GONE),
           examples={"card": {"card": "2900000000048"}})  # fmt: skip
async def add_card(call: Call[CardIn]) -> Answer:
    """A further card, 50 at most. Safe to repeat; a card somebody else has is 409
    `customer_exists`."""
    return Answer.json(await call.use(Cards).add(customer_id_of(call), call.body.card))


@operation("PATCH", "/v1/customers/{id}/cards/{card}", summary="Block a lost card", tag=_TAG,
           may=WRITERS, body=CardPatch, answers={200: CardOut}, conflicts=_GONE,
           examples={"lost": {"blocked": True}})  # fmt: skip
async def block_card(call: Call[CardPatch]) -> Answer:
    """Who shows a blocked card gets 409 `customer_blocked`; the customer goes on with the phone
    and other cards. Support and admin take it back by `false`: at a till whoever found the card
    could ask for it."""
    card, blocked = call.path["card"], call.body.blocked
    if not blocked and call.principal.role not in UNBLOCKERS:
        raise Forbidden("Only support and admin may unblock a card.")
    return Answer.json(await call.use(Cards).block(customer_id_of(call), card, blocked=blocked))


@operation("DELETE", "/v1/customers/{id}/cards/{card}", summary="Take a card from a customer",
           tag=_TAG, may=("support", "admin"), answers={200: CardPage},
           conflicts=_GONE)  # fmt: skip
async def remove_card(call: Call) -> Answer:
    """The cards that are left. Safe to repeat."""
    cards, customer_id = call.use(Cards), customer_id_of(call)
    await cards.remove(customer_id, call.path["card"])
    return Answer.json(CardPage(await cards.of_customer(customer_id), None))


OPERATIONS: list[Operation] = [list_cards, add_card, block_card, remove_card]
