"""Texts of messages. Variables are words, never markup, links or lines of their own."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from billing.messages.model import Language

_GSM: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_DOUBLE: Final = frozenset("€^{}[]~\\|")
_UNSAFE = re.compile(r"[^\w '\-+,.]|\.(?=\w*[^\W\d])", re.UNICODE)
MAX_VARIABLE: Final = 40

_TEXTS: Final[Mapping[tuple[str, Language], tuple[str, str]]] = {
    ("consent", "ru"): (
        "1",
        "{code} - код подтверждения. Назвав его, вы даёте согласие на обработку персональных "
        "данных в бонусной программе.",
    ),
    ("consent", "en"): (
        "1",
        "{code} is your code. By telling it you consent to the processing of your personal data "
        "in the bonus program.",
    ),
    ("code", "ru"): ("1", "{code} - код подтверждения. Не сообщайте его посторонним."),
    ("code", "en"): ("1", "{code} is your code. Do not tell it to strangers."),
}


class Rendered(msgspec.Struct, frozen=True):
    """A text ready to be sent, the version of its template, and in how many SMS it goes."""

    text: str
    version: str
    segments: int


def render(kind: str, language: Language, variables: Mapping[str, str]) -> Rendered:
    """The text of `kind` with its variables. Raises KeyError for what is no template."""
    version, template = _TEXTS[kind, language]
    safe = {name: _word(value) for name, value in variables.items()}
    text = re.sub(r"\{(\w+)\}", lambda found: safe.get(found[1], ""), template)
    return Rendered(text, version, segments_of(text))


def segments_of(text: str) -> int:
    """How many SMS the text takes: GSM-7 160 or 153 each, UCS-2 70 or 67."""
    if all(one in _GSM or one in _GSM_DOUBLE for one in text):
        length = sum(2 if one in _GSM_DOUBLE else 1 for one in text)
        return 1 if length <= 160 else math.ceil(length / 153)
    length = len(text.encode("utf-16-le")) // 2
    return 1 if length <= 70 else math.ceil(length / 67)


def _word(value: str) -> str:
    return _UNSAFE.sub("", " ".join(value.split()))[:MAX_VARIABLE]
