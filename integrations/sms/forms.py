"""Bodies of webhooks and answers: forms, JSON, decimals."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from integrations.sms.protocol import Malformed, RawRequest

MAX_FIELDS: Final = 500
_DECIMAL: Final = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


def form_of(raw: RawRequest) -> list[tuple[str, str]]:
    """The pairs of a form, in order. Raises Malformed."""
    try:
        return parse_qsl(
            raw.body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise Malformed(f"not a form: {error}") from None


def json_of(raw: RawRequest) -> Any:
    """Raises Malformed."""
    try:
        return msgspec.json.decode(raw.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}") from None


def need(fields: dict[str, str], name: str, longest: int = 200) -> str:
    """A field that must be there, and cannot be longer than anything that is ours."""
    value = fields.get(name, "")
    if not value or len(value) > longest or "\0" in value:
        raise Malformed(f"{name} is missing, or cannot be right")
    return value


def decimal_of(value: object) -> Decimal | None:
    """An amount from text or a number of JSON; None for anything else."""
    text = str(value).strip() if isinstance(value, str | int | float) else ""
    return Decimal(text) if _DECIMAL.fullmatch(text) else None


def price_of(value: object) -> Decimal | None:
    """What a message cost: some providers write it as what the balance lost."""
    found = decimal_of(value)
    return None if found is None else abs(found)


def whole_of(value: object) -> int | None:
    """A small count from text or a number of JSON."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 4 else None


def digits(phone: str) -> str:
    """E.164 without its plus, as Russian providers write it."""
    return phone.removeprefix("+")
