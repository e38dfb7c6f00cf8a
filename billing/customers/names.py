"""Finding people by a part of their name, which the database keeps only sealed.

Every beginning of every word, of 2 letters or more, becomes a token: a keyed hash that tells
nobody without the key which letters it stands for (docs/decisions/0013).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

LONGEST: Final = 8
"""Longer words are found by their first letters; who reads the name then sees the rest."""
SHORTEST: Final = 2
MOST_WORDS: Final = 8

_WORD = re.compile(r"[^\W_]+", re.UNICODE)


def words_of(name: str) -> list[str]:
    """The words of a name as they are compared: case, accents and the dots of ё do not count."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    letters = "".join(one for one in plain if not unicodedata.combining(one))
    return _WORD.findall(letters)[:MOST_WORDS]


def beginnings(name: str) -> set[str]:
    """What a name can be found by."""
    found: set[str] = set()
    for word in words_of(name):
        short = word[:LONGEST]
        found.update(short[:length] for length in range(min(SHORTEST, len(short)), len(short) + 1))
    return found


def asked(part: str) -> set[str]:
    """What a name must have to be the one that is looked for. A single letter begins too many
    names: it is compared with what the rest has found."""
    return {word[:LONGEST] for word in words_of(part) if len(word) >= SHORTEST}


def fits(name: str | None, words: Iterable[str]) -> bool:
    """Whether each of `words` begins a word of the name."""
    there = words_of(name or "")
    return all(any(one.startswith(word) for one in there) for word in words)
