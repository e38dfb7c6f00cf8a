"""A service that runs in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class RunningService:
    """`environ` lets other commands find the database and the service."""

    url: str
    key: str
    environ: dict[str, str]

    async def get(self, path: str) -> dict[str, Any]:
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {self.key}"}) as client:
            answer = await client.get(self.url + path)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found
