"""What rows have in common is understood once, and what only one of them says is not kept."""

from __future__ import annotations

from secrets import token_bytes

from ledger.forms import Forms


def row(*values: bytes | None) -> bytes:
    return b"".join(
        (-1).to_bytes(4, signed=True) if value is None else len(value).to_bytes(4) + value
        for value in values
    )


def test_transactions_that_mean_the_same_have_one_number() -> None:
    """Or an audit would be slower with each that corrects another."""
    forms = Forms()
    kept = row(b"accrual", b"shop", b"m1", None, None, None)
    unlike = [row(b"return", b"shop", b"m1", token_bytes(16), None, None) for _ in range(3)]
    numbers, kinds, places, special = forms.of_transactions([kept, *unlike, kept, b"none"])
    assert numbers.tolist() == [1, 2, 2, 2, 1, 0]
    assert len(set(kinds[:5])) == 2
    assert len(set(places[:5])) == 1
    assert [at for at, _ in special] == [1, 2, 3]
