from __future__ import annotations

from tests.ledger.conftest import clock

__all__ = ["clock"]
