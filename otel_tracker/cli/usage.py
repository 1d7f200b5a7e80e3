"""`otel-tracker usage` and `export`, and the sums of a window of time that other commands show."""

import json
import shutil
import sys
import time
from datetime import UTC
from functools import partial

from otel_tracker.cli.stores import store_of
from otel_tracker.cli.terminal import print_data
from otel_tracker.reporting import aggregate
from otel_tracker.reporting.export import COLUMNS, exported, write_csv
from otel_tracker.reporting.usage_views import rendered
from otel_tracker.reporting.window import window
from otel_tracker.runtime.printable import printable
from otel_tracker.state import lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from otel_tracker.reporting.aggregate import Comparison
    from otel_tracker.reporting.window import Window
    from otel_tracker.state.shapes import Row


def usage(options: "Namespace") -> int:
    """Print the runs of a window of time, their outcomes and their usage, as sums."""
    return print_sums(sums_of(options, "agent"), options.format)


def export(options: "Namespace") -> int:
    """Print the runs of a window, a line for each model of one, as CSV or as JSON."""
    store = store_of(options)
    document = store.read()
    lines = exported(
        aggregate.parts_in(window_of(options, time.time()), partial(store.run_events, document), document.renamed)
    )
    print_data("")  # from here on in UTF-8
    if options.format == "csv":
        write_csv(sys.stdout, COLUMNS, lines)
    else:
        sys.stdout.writelines(printable(json.dumps(line, ensure_ascii=False)) + "\n" for line in lines)
    return 0


def has_window(options: "Namespace") -> bool:
    """Tell whether a command line names a window of time, or keys of rows."""
    return any(value is not None for value in (options.since, options.until, options.by))


def window_of(options: "Namespace", now: float) -> "Window":
    """Return the window of time that a command line names, with the reader's days; raises InvalidValueError."""
    return window(options.since, options.until, now, UTC if options.utc else None)


def sums_of(options: "Namespace", by: str, agent: "str | None" = None) -> "Comparison":
    """Return the sums that a command line asks for, by the key `by` unless it names others; with an `agent` only of its runs."""
    now, store = time.time(), store_of(options)
    document = store.read()
    return aggregate.compared(
        partial(store.run_events, document),
        options.by or (by,),
        window_of(options, now),
        now=None if options.format in ("json", "csv") else now,
        renamed=document.renamed,
        agent=None if agent is None else lookup.key_of(document, agent) or agent,
    )


def with_rows(comparison: "Comparison", rows: "list[Row]", number: "int | None" = None) -> "Comparison":
    """Return sums with the first `number` of `rows`, or all, in the place of the rows; the total stays."""
    shown = rows[:number]
    return comparison._replace(usage=comparison.usage._replace(rows=shown), left_out=len(rows) - len(shown))


def print_sums(comparison: "Comparison", form: str) -> int:
    """Print sums in a format; a table as wide as the terminal, 80 columns where that isn't known."""
    print_data(rendered(comparison, form, shutil.get_terminal_size().columns))
    return 0
