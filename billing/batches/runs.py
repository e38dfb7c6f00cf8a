"""In which order the operations of a batch have to be prepared.

Operations are prepared side by side, before any of them has happened. A return has to find the
receipt it takes back: when the same batch posts it, it is prepared in a later run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from billing.batches.schemas import OperationIn

_SALES = ("receipt", "accrual")


class _Receipt(msgspec.Struct):
    number: str = ""


class _Numbers(msgspec.Struct):
    receipt: _Receipt = msgspec.field(default_factory=_Receipt)
    receipt_number: str = ""


_NUMBERS = msgspec.json.Decoder(_Numbers)


def runs(operations: Sequence[OperationIn]) -> Iterator[Sequence[OperationIn]]:
    """The operations in order, cut before each return of a receipt that its own run posts."""
    begin = 0
    sold: set[str] = set()
    returns = any(one.kind == "return" for one in operations)
    for at, one in enumerate(operations if returns else ()):
        numbers = _numbers(one)
        if one.kind in _SALES:
            sold.add(numbers.receipt.number)
        elif one.kind == "return" and numbers.receipt_number in sold:
            yield operations[begin:at]
            begin = at
            sold = set()
    yield operations[begin:]


def _numbers(operation: OperationIn) -> _Numbers:
    try:
        return _NUMBERS.decode(operation.body)
    except msgspec.ValidationError:
        return _Numbers()  # What is wrong with it, its own preparation says.
