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
    ("phone", "phones", "card", "cards", "email", "address", "birth_date", "gender", "external_ids",
     "secret", "previous_secret", "secrets", "webhook_url", "text", "csv")
)  # fmt: skip
_OTHERWISE: Final = {
    "/v1/customers": _PERSONAL | {"name"},
    "/v1/verifications": _PERSONAL | {"code"},
    "/v1/message-templates": _PERSONAL - {"text"},
}
"""What is hidden by the beginning of a path, where it is something else."""


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
        return hide(msgspec.json.decode(raw), path)
    except (msgspec.DecodeError, RecursionError):
        return {"left_out": f"{len(raw)} bytes that are no JSON"}


def hide(value: Any, path: str = "") -> Any:
    """`value` without what names a person or is a secret, at an address that begins so."""
    for beginning, hidden in _OTHERWISE.items():
        if path.startswith(beginning):
            return _hide(value, hidden)
    return _hide(value, _PERSONAL)


def _hide(value: Any, hidden: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {
            _without_nul(key): HIDDEN if one is not None and key in hidden else _hide(one, hidden)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [_hide(one, hidden) for one in value]
    return _without_nul(value) if isinstance(value, str) else value


def _without_nul(text: str) -> str:
    """PostgreSQL's jsonb has no place for it."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def subject_of(path: Mapping[str, str]) -> str:
    """What a request is about: the parameters of its path, but for a person's card."""
    return "/".join(value for name, value in path.items() if name != "card")
