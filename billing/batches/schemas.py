"""Batches on the wire: many operations in one request, each with its own key."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

MAX_OPERATIONS = 1000


class OperationIn(msgspec.Struct, forbid_unknown_fields=True):
    """One operation: `body` is what its own address takes."""

    kind: Literal["receipt", "accrual", "redemption", "return", "adjustment"]
    idempotency_key: Annotated[
        str, msgspec.Meta(pattern=r"^[\x21-\x7e]+$", min_length=1, max_length=255)
    ]
    body: msgspec.Raw


class BatchIn(msgspec.Struct, forbid_unknown_fields=True):
    """`independent`: each happens or not by itself. `atomic`: all of them or none."""

    operations: Annotated[list[OperationIn], msgspec.Meta(min_length=1, max_length=MAX_OPERATIONS)]
    mode: Literal["independent", "atomic"] = "independent"

    def undecoded(self) -> list[bytes]:
        """The bodies, each of which is read as what its own address takes."""
        return [bytes(operation.body) for operation in self.operations]


class ResultOut(msgspec.Struct):
    """What the operation's own address would have answered."""

    status: int
    body: msgspec.Raw


class BatchOut(msgspec.Struct):
    results: list[ResultOut]
