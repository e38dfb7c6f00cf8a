"""A quote's id is the quote: its time and a keyed digest of its result, so that nothing is stored.

A quote is a promise that the server can recognise as its own: the id holds the moment that was
calculated with (48 bits of milliseconds, as in a UUIDv7) and 74 bits of an HMAC-SHA256 over what
came out. A sale that names it is calculated anew for that moment, under the customer's lock, and
its result must have the same digest. So a quote costs no write, survives every restart, and is
stale exactly when its result would be another one.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

import msgspec

from billing.common.crypto import derive
from billing.common.wire import write_hook
from billing.programs.model import Award, Basket
from ledger.state import CustomerState

WINDOW_S = 600
WINDOWS = 3
"""A quote holds to the end of the third window of ten minutes: for twenty to thirty minutes."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MASK = (1 << 74) - 1
_encoder = msgspec.msgpack.Encoder(enc_hook=write_hook)


class Promises:
    """Makes and recognises the ids of quotes."""

    def __init__(self, secret: bytes) -> None:
        self._key = derive(secret, "quotes")

    def make(self, at: datetime, result: bytes, now: datetime) -> UUID:
        """The id of a quote calculated for `at` (whole milliseconds) with this `result`."""
        milliseconds = (at - _EPOCH) // _MILLISECOND
        tail = self._tail(milliseconds, result, _window(now))
        high, low = tail >> 62, tail & _LOW
        return UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)

    def holds(self, quote_id: UUID, result: bytes, now: datetime) -> bool:
        """Whether `quote_id` is of this result, and not too old."""
        milliseconds = quote_id.int >> 80
        tail = (quote_id.int >> 64 & 0xFFF) << 62 | quote_id.int & _LOW
        window = _window(now)
        return any(
            hmac.compare_digest(
                _bytes(tail), _bytes(self._tail(milliseconds, result, window - age))
            )
            for age in range(WINDOWS)
        )

    def _tail(self, milliseconds: int, result: bytes, window: int) -> int:
        message = milliseconds.to_bytes(8) + window.to_bytes(8) + result
        return int.from_bytes(hmac.new(self._key, message, sha256).digest()) & _MASK


_LOW = (1 << 62) - 1


def moment_of(quote_id: UUID) -> datetime | None:
    """The moment a quote was calculated for; None when this is no quote's id."""
    try:
        return _EPOCH + (quote_id.int >> 80) * _MILLISECOND
    except OverflowError:
        return None


def until(now: datetime) -> datetime:
    """To when a quote made now holds, if nothing changes."""
    return datetime.fromtimestamp((_window(now) + WINDOWS) * WINDOW_S, UTC)


def whole_milliseconds(at: datetime) -> datetime:
    """`at` as an id can hold it."""
    return at - timedelta(microseconds=at.microsecond % 1000)


def result_of(
    basket: Basket, paid: Sequence[int], awards: Sequence[Award], state: CustomerState
) -> bytes:
    """32 bytes that differ when the customer, the goods, the place, the balance, what points pay
    or what is earned differ. Points that are held for a sale count as there to be spent."""
    lines = sorted(
        (
            (line.number, line.sku, line.group, line.amount, line.quantity, line.promo, points)
            for line, points in zip(basket.lines, paid, strict=True)
        )
    )
    order = sorted(range(len(basket.lines)), key=lambda i: basket.lines[i].number)
    earned = [
        (
            award.program,
            award.version,
            award.bucket,
            [
                (
                    part.points,
                    [part.by_line[i] for i in order],
                    _microseconds(part.available_from),
                    _microseconds(part.expires_at),
                )
                for part in award.parts
            ],
        )
        for award in awards
    ]
    document = (
        state.customer_id, basket.channel, basket.store, lines, sorted(basket.payments),
        sorted(basket.codes), earned, state.available + state.held, state.deferred, state.debt,
    )  # fmt: skip
    return sha256(_encoder.encode(document)).digest()


def _microseconds(moment: datetime | None) -> int | None:
    """The same for the same moment, whatever kind of datetime it is."""
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)


def _window(now: datetime) -> int:
    return int(now.timestamp()) // WINDOW_S


def _bytes(tail: int) -> bytes:
    return tail.to_bytes(10)
