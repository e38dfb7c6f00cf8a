"""How many SMS a text takes (3GPP TS 23.038): 160 characters of the GSM alphabet or 70 others in
one; 153 or 67 in each of several. A character that takes two places is never torn apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

Encoding = Literal["gsm7", "ucs2"]

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED: Final = frozenset("\f^{}\\[~]|€")
_SIZES: Final[dict[Encoding, tuple[int, int]]] = {"gsm7": (160, 153), "ucs2": (70, 67)}


class Length(msgspec.Struct, frozen=True):
    """`units` are places of the alphabet: most characters take one, some two."""

    encoding: Encoding
    units: int
    segments: int


def measure(text: str) -> Length:
    """What an operator will count; an empty text takes one SMS, too."""
    gsm = all(c in _BASIC or c in _EXTENDED for c in text)
    encoding: Encoding = "gsm7" if gsm else "ucs2"
    widths = [_width(c, gsm) for c in text]
    single, part = _SIZES[encoding]
    units = sum(widths)
    return Length(encoding, units, 1 if units <= single else _parts(widths, part))


def _width(character: str, gsm: bool) -> int:
    if gsm:
        return 2 if character in _EXTENDED else 1
    return 2 if ord(character) > 0xFFFF else 1


def _parts(widths: Iterable[int], size: int) -> int:
    parts, used = 1, 0
    for width in widths:
        if used + width > size:
            parts, used = parts + 1, 0
        used += width
    return parts
