"""A customer who pays at a shop of their own, under the rules published there."""

from __future__ import annotations

from typing import Any

import httpx

from tests.acceptance.shop import Shop, done, problem
from tests.acceptance.till import SINCE, Till


class Payer(Till):
    def __init__(self, shop: Shop) -> None:
        super().__init__(shop)
        self._rules = 0

    async def rule(self, code: str = "", **redemption: Any) -> str:
        """Publish a rule of this channel, or with `code` the next version of one. `when`, `lines`
        and `scope` are the program's, the rest is its `redemption`."""
        client = self.shop.client
        self._rules += 1
        of_program = ("when", "lines", "scope")
        outer = {name: redemption.pop(name) for name in of_program if name in redemption}
        definition: dict[str, Any] = {
            "name": "a rule",
            "type": "redemption",
            "valid_from": SINCE,
            "scope": {"channels": [self.shop.channel]},
            "redemption": redemption,
            **outer,
        }
        if code:
            done(await client.post(f"/v1/programs/{code}/versions", json=definition))
            done(await client.post(f"/v1/programs/{code}/publish", json={}))
            return code
        code = f"rule-{self.shop.number}-{self._rules}"
        done(await client.post("/v1/programs", json={"code": code, **definition}))
        done(await client.post(f"/v1/programs/{code}/publish", json={"from": SINCE}))
        return code

    async def goods(self, name: str, **group: Any) -> str:
        """A product in a group of its own; its sku."""
        client, code = self.shop.client, f"{name}-{self.shop.number}"
        done(await client.put(f"/v1/product-groups/{code}", json={"name": name, **group}))
        done(await client.put(f"/v1/products/{code}", json={"name": name, "group": code}))
        return code

    async def try_pay(self, points: str, *lines: dict[str, Any], **other: Any) -> httpx.Response:
        body = self.basket() | {"points": points, **other}
        body["receipt"]["lines"] = [{**line, "line": n} for n, line in enumerate(lines, 1)]
        return await self.shop.post("/v1/redemptions", body)

    async def pay(self, points: str, *lines: dict[str, Any], **other: Any) -> Any:
        return done(await self.try_pay(points, *lines, **other))

    async def refused(self, points: str, *lines: dict[str, Any]) -> str:
        """Why points may not pay that."""
        answer = problem(await self.try_pay(points, *lines), 400, "validation_failed")
        (fault,) = answer["errors"]
        assert fault["pointer"] == "/points"
        return str(fault["detail"])

    def line(self, amount: str, **other: Any) -> dict[str, Any]:
        return self.shop.line(amount, **other)


def paid(answer: Any) -> list[str]:
    return [line["points_paid"] for line in answer["lines"]]
