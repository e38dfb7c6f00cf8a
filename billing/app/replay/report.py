"""What a person sees of a replay: a bar while it runs, a table at its end."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from billing.app.replay.model import Chain
from billing.app.replay.tally import Part, Tally
from billing.common.money import format_amount


class Bar:
    """A `Watch` drawn by rich; a context manager."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<15}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start(self, label: str, total: int) -> None:
        self._task = self._progress.add_task(label, total=total)

    def advance(self) -> None:
        if self._task is not None:
            self._progress.advance(self._task)


def adjusted(chain: Chain) -> list[str]:
    """A row for each reason why lines of the file are not sent as they stand."""
    return [f"{count:,} {reason}" for reason, count in chain.adjusted.items() if count]


def table(tally: Tally) -> Table:
    made = Table(title="What the answers say", title_justify="left")
    made.add_column("", no_wrap=True)
    for heading in ("receipts", "accrued", "redeemed", "opening"):
        made.add_column(heading, justify="right")
    rows = {
        "posted now": tally.new,
        "replays (Idempotency-Hit)": tally.replayed,
        "earlier runs, by the journal": tally.earlier,
    }
    for label, part in rows.items():
        made.add_row(label, *_cells(part))
    made.add_section()
    made.add_row("together", *_cells(tally.total))
    return made


def remarks(tally: Tally) -> list[str]:
    """What the table does not say, a row each."""
    rows = [
        f"{tally.per_second:,.0f} receipts/s over {tally.seconds:.1f} s; "
        f"p50 {tally.latency_ms(50):.1f} ms, p99 {tally.latency_ms(99):.1f} ms; "
        f"{tally.retries:,} retries"
    ]
    if tally.already:
        rows.append(f"{tally.already:,} receipts were already posted, with other points: unchanged")
    if tally.total.receipts and not tally.total.accrued:
        rows.append("Nothing was accrued: is a program published? `bonus demo` publishes one.")
    if tally.refused:
        rows.append(f"{tally.refused:,} receipts were refused, such as:")
        rows += [f"  {refusal}" for refusal in tally.refusals]
    return rows


def _cells(part: Part) -> tuple[str, ...]:
    amounts = (part.accrued, part.redeemed, part.opening)
    return (f"{part.receipts:,}", *(format_amount(amount) for amount in amounts))
