"""The journal by the order of commits."""

from __future__ import annotations

from typing import Final

from billing.exports.columns import SELECT

HORIZON: Final = "SELECT ledger.horizon() + 1"
FIRST: Final = "SELECT id FROM ledger.transactions ORDER BY xid, id LIMIT 1"
UNTIL: Final = """
SELECT xid FROM ledger.transactions WHERE xid >= $1 AND xid < $2 ORDER BY xid OFFSET $3 LIMIT 1
"""
ANY: Final = "SELECT EXISTS (SELECT FROM ledger.transactions WHERE xid >= $1 AND xid < $2)"
ROWS: Final = f"""
SELECT {SELECT} FROM ledger.transactions t
JOIN ledger.postings p ON p.customer_id = t.customer_id AND p.version = t.version
WHERE t.xid >= $1 AND t.xid < $2
"""
