"""Opening the files: which kind each is, told by its content, plain or gzip."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from billing.app.replay import grocer, points
from billing.app.replay.grocer import FileFault
from billing.app.replay.model import Chain

_PRODUCTS = ("products.csv.gz", "products.csv")


def read_chain(path: Path, products: Path | None = None) -> Chain:
    """The chain of one file. `products` is needed by a grocer's lines alone; without it the file
    beside the receipts is taken. Raises FileFault for every file that cannot be used."""
    try:
        with _text(path) as text:
            start = text.readline()
            text.seek(0)
            if start.startswith("{"):
                return points.read_chain(text)
            if "basket_id" not in start:
                raise FileFault(
                    "neither receipt lines (a CSV with a column basket_id) nor purchases with "
                    "points (a JSON object a line)"
                )
            with _text(products or _beside(path)) as listed:
                return grocer.read_chain(text, listed)
    except (ValueError, OSError, EOFError, zlib.error, csv.Error) as error:
        raise FileFault(f"{path}: {_in_words(error)}") from error


def _in_words(error: Exception) -> str:
    match error:
        case FileFault():
            return str(error)
        case UnicodeDecodeError():
            return f"is not text in UTF-8: byte {error.start + 1} of a part of it cannot be read"
        case gzip.BadGzipFile() | EOFError() | zlib.error():
            return f"is a damaged or incomplete gzip file ({error}); copy it again"
        case OSError():
            named = f" ({error.filename})" if error.filename else ""
            return f"cannot be read{named}: {error.strerror or error}"
    return str(error)


def _beside(path: Path) -> Path:
    for name in _PRODUCTS:
        if (found := path.with_name(name)).exists():
            return found
    raise FileFault(f"no {_PRODUCTS[0]} beside it; name the file with --products")


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        plain = gzip.GzipFile(fileobj=raw) if zipped else raw
        with io.TextIOWrapper(plain, encoding="utf-8-sig", newline="") as text:
            yield text
