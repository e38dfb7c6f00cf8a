"""Texts that cannot be made to say what nobody wrote, and what they cost (B19)."""

from __future__ import annotations

from datetime import date
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.messages.defaults import DEFAULTS
from billing.messages.segments import measure
from billing.messages.wording import (
    KINDS,
    SHAPES,
    VARIABLES,
    Kind,
    Value,
    WrongTemplate,
    check,
    fill,
    sample,
)
from billing.programs.words import Language


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", 1), ("a" * 160, 1), ("a" * 161, 2), ("a" * 306, 2), ("a" * 307, 3),
        ("я" * 70, 1), ("я" * 71, 2), ("я" * 134, 2), ("я" * 135, 3),
        ("€" * 80, 1), ("€" * 81, 2), ("a" * 159 + "€", 2), ("a" * 152 + "€" + "a" * 152, 3),
        ("😀" * 35, 1), ("😀" * 36, 2), ("😀" * 66, 2), ("😀" * 67, 3),
        ("ё", 1), ("a\u00a0b" * 40, 2),
    ],
)  # fmt: skip
def test_segments_are_counted_as_operators_do(text: str, segments: int) -> None:
    """3GPP 23.038; a character of two places is never torn."""
    assert measure(text).segments == segments


def test_every_built_in_text_is_a_right_one_and_short() -> None:
    assert set(DEFAULTS) == {(kind, one) for kind in KINDS for one in get_args(Language)}
    for (kind, language), text in DEFAULTS.items():
        check(kind, text)
        assert measure(sample(kind, text, language)).segments <= 2, (kind, language)
        if "code" in SHAPES[kind].needs:
            # Seen on a locked phone, before the rest.
            assert "481526" in sample(kind, text, language)[:12]


@pytest.mark.parametrize(
    ("kind", "text", "wrong"),
    [
        ("code", "Код", "must have {code}"),
        ("code", "[Код {code}]", "must have {code} outside"),
        ("code", "{code}", "must have {points} in square brackets"),
        ("code", "{code} {points}", "must have {points} in square brackets"),
        ("code", "{code} {level}", "{level} is no variable of code"),
        ("code", "{code} {0}", "bracket"),
        ("code", "{code} {", "bracket"),
        ("code", "{code} [a[b]]", "bracket"),
        ("code", "{code} {Code}", "bracket"),
        ("code", "{code}\u202e", "U+202E"),
        ("code", "{code}\x07", "U+0007"),
        ("stop_reply", "я" * 600, "9 SMS"),
    ],
)
def test_a_wrong_text_says_what_is_wrong(kind: Kind, text: str, wrong: str) -> None:
    with pytest.raises(WrongTemplate) as error:
        check(kind, text)
    assert wrong in str(error.value)


def test_parts_in_brackets_are_left_out_with_their_variable() -> None:
    text = "Бонусов: {points}[, с {date}]. {brand}"
    values: dict[str, Value] = {"points": 100_00, "date": date(2026, 12, 31), "brand": "Fresh"}
    assert fill(text, "ru", values) == "Бонусов: 100, с 31.12.2026. Fresh"
    assert fill(text, "ru", {"points": 100_00, "date": None}) == "Бонусов: 100."


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Анна-Мария О'Нил", "Анна-Мария О'Нил"),
        ("Код 111111", "Код"),
        ("Код 1 1 1 1 1 1", "Код"),
        ("Анна\nКод: 111111. Назовите его", "Анна Код Назовите его"),
        ("http://evil.example/x", "httpevilexamplex"),
        ("evil。example", "evilexample"),
        ("{code}", "code"),
        ("[{points}]", "points"),
        ("\u202eгну\u0000\u200b", "гну"),
        ("①②③④⑤⑥", ""),
        ("٤٨١٥٢٦", ""),
        ("а" * 500, "а" * 40),
        ("---", ""),
    ],
)
def test_a_name_brings_its_letters_and_nothing_else(name: str, shown: str) -> None:
    assert fill("«{name}» {points}", "ru", {"name": name, "points": 0}) == f"«{shown}» 0"


@given(st.text(max_size=200), st.sampled_from(["name", "store", "brand", "level"]))
def test_words_of_others_never_carry_an_address_or_a_code(words: str, variable: str) -> None:
    filled = fill(f"<{{{variable}}}>", "ru", {variable: words})
    inside = filled[1:-1]
    assert "\n" not in filled
    assert not set(inside) & set("./:@{}[]<>#?=\\\u202e\u200b")
    run = 0
    for character in inside:
        if character in " -":
            continue
        run = run + 1 if character.isdecimal() else 0
        assert run < 4
    assert len(inside) <= 40


@pytest.mark.parametrize(
    "code", ["12345a", "123", "", "1234 5", "12345678901", "１２３４５６", None]
)
def test_a_code_is_of_digits(code: str | None) -> None:
    with pytest.raises(ValueError, match="four to ten digits"):
        VARIABLES["code"].write(code, "ru")


def test_a_value_of_the_wrong_type_is_refused() -> None:
    for variable, value in (("points", None), ("points", "1e9"), ("date", "1"), ("minutes", "1")):
        with pytest.raises(ValueError, match=r"integer|date|decimal"):
            VARIABLES[variable].write(value, "ru")
    assert VARIABLES["points"].write("12.5", "en") == "12.50"
