"""How data/ was made: `python -m billing.demo.sample receipt_lines.csv.gz products.csv.gz`.

Whole households, drawn by hash, so that a balance grows and is spent over a year of visits; the
last one is cut where the thousandth receipt ends.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from billing.demo import PRODUCTS, RECEIPTS

SIZE = 1000


def draw(lines: list[dict[str, str]], size: int = SIZE) -> list[dict[str, str]]:
    """The lines of `size` receipts, in the order of the file."""
    by_household: dict[str, dict[str, None]] = {}
    for line in lines:
        if line["quantity"] == "0.0":
            continue  # a basket of nothing but these is no receipt
        by_household.setdefault(line["household_id"], {})[line["basket_id"]] = None
    drawn: list[str] = []
    for household in sorted(by_household, key=lambda name: sha256(name.encode()).digest()):
        drawn += by_household[household]
        if len(drawn) >= size:
            break
    kept = set(drawn[:size])
    return [line for line in lines if line["basket_id"] in kept]


def main(receipts: Path, products: Path) -> None:
    lines = draw(_read(receipts))
    sold = {line["product_id"] for line in lines}
    _write(RECEIPTS, lines)
    _write(PRODUCTS, (row for row in _read(products) if row["product_id"] in sold))


def _read(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def _write(path: Path, rows: Iterable[dict[str, str]]) -> None:
    text = io.StringIO(newline="")
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
