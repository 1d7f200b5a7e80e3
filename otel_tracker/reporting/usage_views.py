"""Sums of runs (aggregate.py) as a table for a terminal, JSON, CSV and Markdown. Pure.

A table that is too wide for a terminal is folded: its columns go on below, behind the same first ones.
"""

import io
import json
from datetime import UTC, datetime
from textwrap import fill
from typing import NamedTuple

from otel_tracker.errors import UnknownMetricError
from otel_tracker.reporting import markdown, wording
from otel_tracker.reporting.aggregate import SUMS, Comparison, UsageTable
from otel_tracker.reporting.choices import PERIODS
from otel_tracker.reporting.export import write_csv
from otel_tracker.runtime.printable import columns, fitted, printable
from otel_tracker.runtime.timestamps import format_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from otel_tracker.reporting.attention import Attention
    from otel_tracker.reporting.window import Window
    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Row

_GAP = 2
_KEYS_SHARE = 0.4
_LEAST_KEY = 8  # columns of a terminal that a key keeps, however long
_TITLES = {
    "input": "Input", "output": "Output", "cache_read": "Cache read", "cache_write": "Cache write",
    "cache_write_1h": "of it 1 h", "untyped": "Untyped",
}  # fmt: skip


def rendered(comparison: Comparison, form: str, width: int) -> str:
    """Return sums in one of FORMATS, with a line's end; a table is at most `width` columns wide."""
    if form == "table":
        return table(comparison, width)
    return {"json": _json, "csv": _csv, "markdown": in_markdown}[form](comparison)


def _json(comparison: Comparison) -> str:
    lines = json.dumps(value(comparison), indent=2, ensure_ascii=False).split("\n")
    return "\n".join(map(printable, lines)) + "\n"


def value(comparison: Comparison) -> "Row":
    """Return sums as a JSON value."""
    usage, window = comparison.usage, comparison.window
    return {
        "since": None if window.since is None else format_timestamp(window.since),
        "until": None if window.until is None else format_timestamp(window.until),
        "by": list(usage.by),
        "rows": usage.rows,
        "main_rows": usage.main_rows,
        "total": usage.total,
    }


def _csv(comparison: Comparison) -> str:
    """Return a line for each row, the total's too; `row` says which it is: runs, main or total."""
    usage, text = comparison.usage, io.StringIO()
    kinds = ("runs", usage.rows), ("main", usage.main_rows), ("total", [usage.total])
    write_csv(text, ("row", *usage.by, *SUMS), ({"row": kind, **row} for kind, rows in kinds for row in rows))
    return text.getvalue()


def in_markdown(comparison: Comparison) -> str:
    """Return sums as a Markdown table, with its title and notes."""
    keys, sums = _columns(comparison)
    shown = [*keys, *sums]
    rows = zip(*(column.cells for column in shown), strict=True)
    alignment = "l" * len(keys) + "r" * len(sums)
    parts = [
        _title(comparison),
        markdown.table([column.title for column in shown], rows, alignment),
        *_notes(comparison),
    ]
    return "\n\n".join(parts if _has_rows(comparison.usage) else parts[:1]) + "\n"


def table(comparison: Comparison, width: int) -> str:
    """Return sums as an aligned table, with its title and notes, folded to `width` columns of a terminal."""
    keys, sums = _columns(comparison)
    title = fill(_title(comparison), width)
    if not _has_rows(comparison.usage):
        return f"{title}\n"
    cut = _cut_to(keys, width, max(column.width for column in sums), sum(column.width + _GAP for column in sums))
    blocks = [_block([*cut, *some], len(cut)) for some in _folded(sums, width - sum(key.width + _GAP for key in cut))]
    return "\n\n".join([title, *blocks, *(fill(note, width) for note in _notes(comparison))]) + "\n"


def _cut_to(keys: "list[_Column]", width: int, widest: int, whole: int) -> "list[_Column]":
    """Return the columns of the keys, their longest cells cut, with room for all sums, else for two fifths of the width."""
    room = min(max(width - whole, width * _KEYS_SHARE), width - widest - _GAP)
    most = max((key.width for key in keys), default=0)
    while most > _LEAST_KEY and sum(min(key.width, most) + _GAP for key in keys) > room:
        most -= 1
    return [key._replace(cells=[fitted(cell, most) for cell in key.cells]) for key in keys]


class _Column(NamedTuple):
    title: str
    cells: "list[str]"
    """One for each row, the last one of the total."""

    @property
    def width(self) -> int:
        return max(map(columns, (self.title, *self.cells)))


def _folded(sums: "list[_Column]", room: int) -> "Iterator[list[_Column]]":
    """Yield the columns in groups that have room side by side."""
    group: list[_Column] = []
    for column in sums:
        if group and sum(one.width + _GAP for one in group) + column.width > room:
            yield group
            group = []
        group.append(column)
    yield group


def _block(shown: "list[_Column]", keys: int) -> str:
    widths, alignment = [column.width for column in shown], "l" * keys + "r" * (len(shown) - keys)
    *rows, total = zip(*((column.title, *column.cells) for column in shown), strict=True)
    lines = [(" " * _GAP).join(wording.padded(row, widths, alignment)).rstrip() for row in (*rows, total)]
    return "\n".join([*lines[:-1], "-" * max(map(columns, lines)), lines[-1]])


def _columns(comparison: Comparison) -> "tuple[list[_Column], list[_Column]]":
    """Return the columns of the keys, and those of the sums, without optional ones that are empty."""
    usage = comparison.usage
    rows = [row for _, row in _keyed(usage)]
    keys = [
        _Column(key.capitalize(), _key_cells(usage, key, place, comparison.left_out))
        for place, key in enumerate(usage.by)
    ]
    measure = _measure(usage.total)
    whole = measure(usage.total)
    sums = {
        "Runs": [_number(row["runs"]) for row in rows],
        "Success": [wording.percent(row["success_rate"]) for row in rows],
        "Failed": [_number(row["failed"] + row["lost"]) for row in rows],
        "Cancelled": [_number(row["cancelled"]) for row in rows],
        "Median": [_seconds(row["duration_median_seconds"]) for row in rows],
        "p95": [_seconds(row["duration_p95_seconds"]) for row in rows],
        "Cost": [_cost(row) for row in rows],
        "Share": [wording.percent(measure(row) / whole) if whole > 0 else "-" for row in rows],
        "Change": _changes(comparison, measure),
        "Tokens": [_number(row["tokens"]) for row in rows],
        **{title: [_number(row[kind]) for row in rows] for kind, title in _TITLES.items()},
    }
    needed = ("Runs", "Success", "Failed", "Tokens")
    kept = [_Column(title, cells) for title, cells in sums.items() if title in needed or set(cells) != {"-"}]
    return keys, kept


def _key_cells(usage: UsageTable, key: str, place: int, left_out: int) -> "list[str]":
    """Return the cells of a key, those of the main conversation's rows marked in the first column if it has no agent."""
    values = [row.get(key, wording.MAIN) for row in (*usage.rows, *usage.main_rows)]
    names_of = _short_paths(values) if key == "project" else {}
    cells = ["-" if text is None else printable(names_of.get(text, text)) for text in values]
    if place == 0 and "agent" not in usage.by and "outcome" not in usage.by:
        first = len(usage.rows)
        cells = [*cells[:first], *(f"{wording.MAIN}: {cell}" for cell in cells[first:])]
    return [*cells, "" if place else f"Total, with {left_out:,} rows more" if left_out else "Total"]


def _short_paths(paths: "Iterable[str | None]") -> "dict[str, str]":
    """Return for each path the shortest end that no other of them has."""
    split = {path: path.replace("\\", "/").rstrip("/").split("/") for path in paths if path is not None}
    ends: dict[str, set[str]] = {}
    for path, parts in split.items():
        for length in range(1, len(parts) + 1):
            ends.setdefault("/".join(parts[-length:]), set()).add(path)
    short = {}
    for path, parts in split.items():
        tails = ("/".join(parts[-length:]) for length in range(1, len(parts) + 1))
        short[path] = next((tail for tail in tails if tail and len(ends[tail]) == 1), path)
    return short


def _measure(total: "Row") -> "Callable[[Row], float]":
    """Return the measure of shares and changes: costs; tokens where nothing has a price; runs where no tokens are known."""
    name = _measured(total)
    return lambda row: row[name] or 0


def _measured(total: "Row") -> str:
    return next((name for name in ("cost_usd", "tokens") if total[name]), "runs")


def _changes(comparison: Comparison, measure: "Callable[[Row], float]") -> "list[str]":
    """Return how each row has changed against that of the window before."""
    if comparison.before is None:
        return ["-"] * len(_keyed(comparison.usage))
    before = {key: measure(row) for key, row in _keyed(comparison.before)}
    changes = [_change(measure(row), before.get(key, 0)) for key, row in _keyed(comparison.usage)]
    is_by_time = any(key in PERIODS for key in comparison.usage.by)  # a day is not to be compared with a part of itself
    return ["-"] * (len(changes) - 1) + changes[-1:] if is_by_time else changes


def _keyed(usage: UsageTable) -> "list[tuple[object, Row]]":
    """Return all rows, the total last, each with a key that no other row has."""
    kinds = ("runs", usage.rows), ("main", usage.main_rows), ("total", [usage.total])
    return [((kind, *(row.get(key) for key in usage.by)), row) for kind, rows in kinds for row in rows]


def _change(now: float, before: float) -> str:
    if not before:
        return "new" if now else "-"
    return f"{(now - before) / before * 100:+,.0f}%"


def _number(number: int) -> str:
    return f"{number:,}" if number else "-"


def _seconds(duration: "float | None") -> str:
    return "-" if duration is None else wording.seconds(duration)


def _cost(row: "Row") -> str:
    return wording.cost(row, is_lower_bound=row["is_lower_bound"])


def _has_rows(usage: UsageTable) -> bool:
    return bool(usage.rows or usage.main_rows)


def _title(comparison: Comparison) -> str:
    window = comparison.window
    if window.since is None and window.until is None:
        return "All runs that have ended" if _has_rows(comparison.usage) else "No run has ended yet"
    runs = "Runs that ended" if _has_rows(comparison.usage) else "No run has ended"
    since = "" if window.since is None else f" since {_moment(window.since, window)}"
    return f"{runs}{since}{'' if window.until is None else f' before {_moment(window.until, window)}'}"


def _notes(comparison: Comparison) -> "list[str]":
    """Return the notes on the figures, as one paragraph."""
    usage = comparison.usage
    notes = wording.about_costs(usage.total["cost_usd"], usage.unpriced)
    if usage.total["is_lower_bound"]:
        notes.append("≥ is at least: some tokens have no price, or the final usage of a run is missing.")
    if comparison.before is not None and comparison.window.since is not None:
        of = {"cost_usd": "cost"}.get(name := _measured(usage.total), name)
        notes.append(f"Change: {of}, against the window before, which is as long.")
    return [" ".join(notes)] if notes else []


def _moment(moment: float, window: "Window") -> str:
    local = datetime.fromtimestamp(moment, UTC).astimezone(window.zone)
    return f"{local:%Y-%m-%d %H:%M} {local.tzname()}"


_RANKED = {
    "tasks_total": lambda row: -row["runs"],
    "tasks_successful": lambda row: -row["successful"],
    "tasks_failed": lambda row: -(row["failed"] + row["lost"]),
    "tasks_cancelled": lambda row: -row["cancelled"],
    "tokens_total": lambda row: -row["tokens"],
    "cost_usd": lambda row: -(row["cost_usd"] or 0),
}


def ranked(rows: "list[Row]", metric: str) -> "list[Row]":
    """Return rows in the order of a leaderboard's metric, the highest first; raises UnknownMetricError."""
    if metric not in _RANKED:
        raise UnknownMetricError("a metric of a window of time", metric, "one of " + ", ".join(_RANKED))
    return sorted(rows, key=_RANKED[metric])


def report_of_window(document: "Document", now: float, attention: "Sequence[Attention]", comparison: Comparison) -> str:
    """Return the report in Markdown: what needs attention now, and the sums of a window."""
    return f"{markdown.beginning(document, now, attention)}\n\n## Runs\n\n{in_markdown(comparison)}"
