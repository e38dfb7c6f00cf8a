"""What others say is kept and logged without phones (issue: masked in every log)."""

from __future__ import annotations

import pytest

from billing.messages.masking import told_of, without_phones


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("+79161234567 is wrong", "*******4567 is wrong"),
        ("to=79161234567&x=1", "to=*******4567&x=1"),
        ("8 (916) 123-45-67, 8-916-123-45-68", "*******4567, *******4568"),
        ("916.123.45.67", "******4567"),
        ('{"79161234567": {"status": 207}}', '{"*******4567": {"status": 207}}'),
        ("+442071838750", "********8750"),
        ("error 30007, 12345678", "error 30007, 12345678"),
        ("439166538239448001", "439166538239448001"),
        ("SM79161234567aa", "SM79161234567aa"),
        ("", ""),
    ],
)
def test_a_phone_is_masked_however_it_is_written(said: str, kept: str) -> None:
    assert without_phones(said) == kept


def test_a_failure_is_logged_with_its_place_and_without_the_phone() -> None:
    try:
        raise KeyError("79161234567")
    except KeyError as error:
        told = told_of(error)
    assert "test_masking.py" in told
    assert "KeyError: '*******4567'" in told
