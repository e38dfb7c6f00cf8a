"""Rows of a query as a file, at the speed at which the database copies them out."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, Final

from billing.exports.columns import COLUMNS

BLOCK: Final = 16 << 20
"""Bytes of CSV that become a piece of a Parquet file at a time."""
FEW, A_MOMENT = 32768, 0.001
"""Bytes, and seconds: when the database is the slower of the two, it is left alone until it has
more than a few rows to send, for each piece costs the same."""


async def write_csv(connection: Any, query: str, args: tuple[Any, ...], path: Path) -> int:
    """As CSV with a header (RFC 4180, UTF-8; nothing is an empty, unquoted field)."""
    tag: str = await connection.copy_from_query(
        query, *args, output=str(path), format="csv", header=True, timeout=None
    )
    return int(tag.rsplit(" ", 1)[1])


async def write_parquet(connection: Any, query: str, args: tuple[Any, ...], path: Path) -> int:
    """As Parquet: what the database copies is parsed in a thread while it copies on."""
    reading, writing = os.pipe()
    converter = asyncio.ensure_future(asyncio.to_thread(_convert, reading, path))

    async def feed(data: bytes) -> None:
        await asyncio.to_thread(_write_all, writing, data)
        if len(data) < FEW:
            await asyncio.sleep(A_MOMENT)

    try:
        tag: str = await connection.copy_from_query(
            query, *args, output=feed, format="csv", header=False, timeout=None
        )
    except BrokenPipeError:
        tag = ""  # The converter says why.
    finally:
        os.close(writing)
        await asyncio.wait([converter])
    converter.result()
    return int(tag.rsplit(" ", 1)[1])


def _convert(reading: int, path: Path) -> None:
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    kinds = {
        "uuid": pyarrow.string(),
        "text": pyarrow.string(),
        "integer": pyarrow.int64(),
        "time": pyarrow.timestamp("us", tz="UTC"),
    }
    schema = pyarrow.schema([(column.name, kinds[column.type]) for column in COLUMNS])
    with (
        os.fdopen(reading, "rb") as file,
        pyarrow.parquet.ParquetWriter(
            str(path), schema, compression="zstd", compression_level=1
        ) as writer,
    ):
        try:
            reader = pyarrow.csv.open_csv(
                file,
                read_options=pyarrow.csv.ReadOptions(
                    column_names=schema.names, block_size=BLOCK, use_threads=False
                ),
                # A reason or a name may have lines of its own.
                parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=schema,
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except pyarrow.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                return
            raise
        for batch in reader:
            writer.write_batch(batch)


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
