"""The faults of a definition, gathered so that a marketer sees all of them at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from billing.common.errors import FieldError, ValidationFailed
from billing.common.faults import MAX_FAULTS

T = TypeVar("T")
V = TypeVar("V")


class Faults:
    """Each with an RFC 6901 pointer into the definition."""

    def __init__(self) -> None:
        self._found: list[FieldError] = []

    def add(self, pointer: str, detail: str) -> None:
        self._found.append(FieldError(pointer, detail))

    def check(self, pointer: str, read: Callable[[V], T], value: V, instead: T) -> T:
        """`read(value)`, or a fault at `pointer` and `instead`."""
        try:
            return read(value)
        except ValueError as error:
            self.add(pointer, str(error))
            return instead

    def __len__(self) -> int:
        return len(self._found)

    def raise_if_any(self) -> None:
        """Raise ValidationFailed with the first of them."""
        if self._found:
            raise ValidationFailed(self._found[:MAX_FAULTS])
