"""Runs as lines for other programs: the parts that all sums are made of. Pure."""

import csv

from otel_tracker import names
from otel_tracker.runtime.printable import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TextIO

    from otel_tracker.state.run_parts import RunPart
    from otel_tracker.state.shapes import Row

COLUMNS = (
    "timestamp", "agent", "model", "project", "session", "outcome", "runs", "duration_seconds", *names.TOKEN_KEYS,
    "tokens", "cost_usd", "unpriced_tokens", "is_incomplete", "run_id",
)  # fmt: skip
_MICRO = 1_000_000


def exported(parts: "Iterable[RunPart]") -> "Iterator[Row]":
    """Yield a line for each part, with COLUMNS; their sums are those of `otel-tracker usage`."""
    for part in parts:
        tokens, priced = names.total_tokens(part.tokens), part.tokens.get(names.PRICED, 0)
        yield {
            "timestamp": part.timestamp,
            "agent": part.agent,
            "model": part.model,
            "project": part.project,
            "session": part.session,
            "outcome": part.outcome,
            "runs": part.runs,
            "duration_seconds": part.duration_seconds,
            **{key: part.tokens.get(key, 0) for key in names.TOKEN_KEYS},
            "tokens": tokens,
            "cost_usd": part.tokens.get(names.COST, 0) / _MICRO if priced or not tokens else None,
            "unpriced_tokens": tokens - priced,
            "is_incomplete": part.is_incomplete,
            "run_id": part.run_id,
        }


def write_csv(file: "TextIO", columns: "Sequence[str]", rows: "Iterable[Row]") -> None:
    """Write rows as CSV; letters that don't print are escaped, since the file may be a terminal."""
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: printable(cell) if isinstance(cell, str) else cell for key, cell in row.items()} for row in rows
    )
