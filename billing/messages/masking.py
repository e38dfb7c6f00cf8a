"""What others say may name a phone: it is masked before it is kept or logged."""

from __future__ import annotations

import re
import traceback
from typing import Final

_PHONE: Final = re.compile(r"(?<![0-9A-Za-z])\+?[0-9](?:[\s().-]{0,2}[0-9]){8,14}(?![0-9A-Za-z])")
"""Nine to fifteen digits, however they are grouped."""
SHOWN: Final = 4


def without_phones(words: str) -> str:
    """`words` with all but the last digits of what may be a phone as stars."""
    return _PHONE.sub(_masked, words)


def told_of(error: BaseException) -> str:
    """A failure with its place in the code, for the log."""
    return without_phones("".join(traceback.format_exception(error, chain=False)))


def _masked(found: re.Match[str]) -> str:
    digits = re.sub(r"[^0-9]", "", found[0])
    return "*" * (len(digits) - SHOWN) + digits[-SHOWN:]
