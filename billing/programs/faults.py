"""The faults of a definition, gathered so that a marketer sees all of them at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from billing.common.errors import FieldError, ValidationFailed
from billing.common.faults import MAX_FAULTS

T = TypeVar("T")
V = TypeVar("V")


class Faults:
    """Each with an RFC 6901 pointer into the definition.

    `draft`: somebody writes it now, so bounds of today hold. What was published under other
    bounds goes on counting.
    """

    def __init__(self, *, draft: bool = True) -> None:
        self.draft = draft
        self._count = 0
        self._found: list[FieldError] = []

    def add(self, pointer: str, detail: str) -> None:
        """What makes the definition unreadable."""
        self._count += 1
        if not self.is_full:
            self._found.append(FieldError(pointer, detail))

    def bound(self, pointer: str, detail: str) -> None:
        """What is clear enough, but more than a draft may ask for."""
        if self.draft:
            self.add(pointer, detail)

    def check(self, pointer: str, read: Callable[[V], T], value: V, instead: T) -> T:
        """`read(value)`, or a fault at `pointer` and `instead`."""
        try:
            return read(value)
        except ValueError as error:
            self.add(pointer, str(error))
            return instead

    @property
    def is_full(self) -> bool:
        """Whether a further fault would not be told."""
        return len(self._found) >= MAX_FAULTS

    def __len__(self) -> int:
        return self._count

    def raise_if_any(self) -> None:
        """Raise ValidationFailed with the first of them."""
        if self._found:
            raise ValidationFailed(self._found)
