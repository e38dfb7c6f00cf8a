"""Why a program gave what it gave, or nothing: reasons, and the sentences that tell them."""

from __future__ import annotations

from typing import Literal

import msgspec

Outcome = Literal["gave", "reduced", "nothing"]


class Reason(msgspec.Struct, frozen=True):
    """`line` is the number of a receipt's line; None: of the whole receipt or event."""

    program: str
    line: int | None
    outcome: Outcome
    code: str
    values: dict[str, object]
