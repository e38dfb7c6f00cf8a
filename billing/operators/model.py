"""What is written down of an operator's request, without anybody's personal data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from billing.common.auth import Principal

TILLS: Final = frozenset(("pos", "site"))
MAX_BYTES: Final = 32_768
"""Of a body or a state; of what is longer its size is told."""
HIDDEN: Final = "***"

_PERSONAL: Final = frozenset(
    ("phone", "phones", "card", "cards", "email", "birth_date", "gender", "external_ids", "secret",
     "previous_secret", "text", "csv")
)  # fmt: skip
_OF_PERSONS: Final = "/v1/customers"


def is_operator(principal: Principal) -> bool:
    """Whoever is not a till or a website, and not the command line's nobody."""
    return principal.role not in TILLS


def readable(raw: bytes, path: str) -> Any:
    """A JSON document as it is kept: personal data hidden, what is too long left out."""
    if not raw:
        return None
    if len(raw) > MAX_BYTES:
        return {"left_out": f"{len(raw)} bytes"}
    try:
        return hide(msgspec.json.decode(raw), persons=path.startswith(_OF_PERSONS))
    except (msgspec.DecodeError, RecursionError):
        return {"left_out": f"{len(raw)} bytes that are no JSON"}


def hide(value: Any, *, persons: bool) -> Any:
    """`value` without what names a person. Names are hidden where they are a person's."""
    if isinstance(value, dict):
        return {
            _without_nul(key): HIDDEN
            if one is not None and (key in _PERSONAL or (persons and key == "name"))
            else hide(one, persons=persons)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [hide(one, persons=persons) for one in value]
    return _without_nul(value) if isinstance(value, str) else value


def _without_nul(text: str) -> str:
    """PostgreSQL's jsonb has no place for it."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def subject_of(path: Mapping[str, str]) -> str:
    """What a request is about: the parameters of its path."""
    return "/".join(path.values())
