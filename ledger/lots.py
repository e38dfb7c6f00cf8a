"""The lots of many customers, added up from their postings in columns."""

from __future__ import annotations

from typing import Final

import numpy as np

from ledger.forms import LOT_CHANGES, LOT_SUMS, REVOKES
from ledger.layout import Columns, Integers, Words, changes

_AMOUNT, _AVAILABLE, _DEFERRED, _REVOKED = map(
    LOT_SUMS.index, ("amount", "available", "deferred", "revoked")
)
_CUSTOMER_BITS, _LOW_BITS = np.uint64(48), np.uint64(2**48 - 1)
MOST_CUSTOMERS: Final = 2**16
"""Whose keys can be told apart."""
NEVER: Final = 2**63 - 1
"""When nothing is due. It is infinity to PostgreSQL, which no time of a ledger is."""


class FoldedLots:
    """The lots that postings made: in the order of customers, then of the ends of their ids."""

    def __init__(self, rows: Columns, whose: Integers, terms: Integers, told: Integers) -> None:
        high, low = rows.id("lot")
        keys = keys_of(whose, low)
        self._order = order = np.argsort(keys, kind="stable")
        self._new = changes(whose[order], high[order], low[order])
        self._starts = np.flatnonzero(self._new)
        self._each = np.cumsum(self._new) - 1
        self.first = first = order[self._starts]
        """Of the postings of each lot."""
        self.whose, self.high, self.low = whose[first], high[first], low[first]
        self.active_from, self.ends = rows["active_from"][first], rows.present[first]
        self.expires_at, self.terms, self.places = rows.last[first], terms[first], told[first]
        of = self._each
        self.wrong = np.zeros(len(order), bool)
        """Of each posting: whether it tells other terms of its lot, or takes what is not there."""
        differ = rows["active_from"][order] != self.active_from[of]
        differ |= rows.present[order] != self.ends[of]
        differ |= rows.last[order] != self.expires_at[of]
        differ |= terms[order] != self.terms[of]
        differ |= ((self.active_from == NEVER) | (self.expires_at == NEVER))[of]
        # Lots whose ids end alike could come to lie in between each other.
        differ |= ~changes(keys[first])[of]
        self.wrong[order] = differ
        self.place_of_each = np.empty_like(told)
        self.place_of_each[order] = self.places[of]
        self.sums: Integers = np.zeros((len(LOT_SUMS), len(first)), np.int64)

    def add_up(self, effects: Integers, amount: Integers) -> None:
        """The sums of the lots, posting by posting; one after the other, for the sake of memory."""
        order, starts = self._order, self._starts
        moves, amount = effects[order], amount[order]
        ends = np.append(starts[1:], len(order))[: len(starts)] - 1
        fault = np.zeros(len(order), bool)
        totals = np.zeros(len(order) + 1, np.int64)
        given = totals[1:]
        for which, change in enumerate(LOT_CHANGES):
            np.cumsum(change[moves] * amount, out=totals[1:])
            running = totals[1:] - totals[starts][self._each]
            fault |= running < 0
            self.sums[which] = running[ends]
            if which == _AMOUNT:
                given = running
            elif which == _REVOKED:
                fault |= REVOKES[moves] & (running > given)
        self.wrong[order] |= fault

    def due(self, customers: int) -> Integers:
        """When each customer's lots change next by time alone."""
        due = np.full(customers, NEVER)
        waiting = self.sums[_DEFERRED] != 0
        np.minimum.at(due, self.whose[waiting], self.active_from[waiting])
        ending = self.ends & (self.sums[_AVAILABLE] != 0)
        np.minimum.at(due, self.whose[ending], self.expires_at[ending])
        return due


def keys_of(whose: Integers, low: Words) -> Words:
    """By customer, then by the last bits of an id: random ones, so that each lot's rows come
    together."""
    found: Words = (whose.astype(np.uint64) << _CUSTOMER_BITS) | (low & _LOW_BITS)
    return found
