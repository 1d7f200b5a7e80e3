"""What commands print: aligned tables, colours where the user wants them, JSON."""

import json
import os
import sys
from contextlib import contextmanager
from itertools import chain, islice, repeat

from otel_tracker import names
from otel_tracker.reporting.wording import moment, padded, shown_override, shown_permit
from otel_tracker.runtime.environment import has_colour
from otel_tracker.runtime.printable import columns, fitted, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from otel_tracker.state.shapes import Row

_COLOURS = {names.OPEN: "31", names.HALF_OPEN: "33", names.CLOSED: "32"}
_BOLD = "1"
_ALIGNED_ROWS = 1000
_LEAST_COLUMNS = 12
_OWN_SCREEN, _FORMER_SCREEN, _CLEARED = "\033[?1049h\033[?25l", "\033[?25h\033[?1049l", "\033[H\033[2J"


def is_standard_output(path: "str | None") -> bool:
    """Tell whether `path` means standard output: it is None, `-`, or a name of the same file."""
    if path in (None, "-"):
        return True
    try:
        return os.path.samestat(os.stat(str(path)), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError, AttributeError):  # no such file; standard output is closed or no file
        return False


def print_json(value: "Any") -> None:
    """Print a value as `as_json` writes it, in UTF-8."""
    print_data(as_json(value))


def print_json_list(values: "Iterable[Any]") -> None:
    """Print values as `print_json` prints a list, one by one: they may be more than fit into memory."""
    before = "["
    for value in values:
        indented = as_json(value).rstrip("\n").replace("\n", "\n  ")
        print_data(f"{before}\n  {indented}")
        before = ","
    print_data("[]\n" if before == "[" else "\n]\n")


def as_json(value: "Any") -> str:
    """Return a value as indented JSON, numbers as numbers; what isn't printable is escaped, and stays the same value."""
    lines = json.dumps(value, indent=2, ensure_ascii=False).split("\n")
    return "\n".join(map(printable, lines)) + "\n"


def print_data(text: str) -> None:
    """Print text for programs, always in UTF-8: in another encoding two agents could become one."""
    if hasattr(sys.stdout, "reconfigure") and sys.stdout.encoding != "utf-8":
        sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(text)


def print_table(
    headings: "Sequence[str]",
    rows: "Iterable[Sequence[object]]",
    alignment: str,
    states: "Sequence[str] | None" = None,
    width: "int | None" = None,
) -> None:
    """Print an aligned table; `alignment` has a letter for each column: l or r.

    With the breaker's state of each row as `states`, the rows that aren't closed have its colour. Columns are as wide as the
    first thousand rows need, and get wider with later ones. In a table that would be wider than `width`, the cells of the
    first column lose their middle.
    """
    shown = ([plain(cell) for cell in row] for row in rows)
    first = list(islice(shown, _ALIGNED_ROWS))
    widths = [max(map(columns, column)) for column in zip(headings, *first, strict=True)]
    if width is not None:
        widths[0] = max(_LEAST_COLUMNS, min(widths[0], width - sum(widths[1:]) - 2 * len(widths[1:])))
    print(bold("  ".join(padded(headings, widths, alignment)).rstrip()))
    for row, state in zip(chain(first, shown), states or repeat(names.CLOSED), strict=False):
        row[0] = row[0] if width is None else fitted(row[0], widths[0])
        widths = [max(width, columns(cell)) for width, cell in zip(widths, row, strict=True)]
        line = "  ".join(padded(row, widths, alignment)).rstrip()
        print(line if state == names.CLOSED else coloured(line, _COLOURS[state]))


def plain(value: object) -> str:
    """Return a value as text in which nothing controls the terminal; numbers have their thousands separated."""
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return printable(str(value))


def coloured(text: str, colour: str) -> str:
    """Return `text` in a colour or style of ANSI's SGR codes, where standard output shows colours."""
    return f"\033[{colour}m{text}\033[0m" if has_colour(sys.stdout.isatty()) else text


def bold(text: str) -> str:
    """Return `text` in bold, where standard output shows colours."""
    return coloured(text, _BOLD)


@contextmanager
def own_screen() -> "Iterator[Callable[[], None]]":
    """Let a block print on a screen of its own, after which the terminal is as it was; yields a function that clears it.

    Where standard output is no terminal nothing is cleared: all that is printed follows on what was.
    """
    if not sys.stdout.isatty():
        yield lambda: None
        return
    sys.stdout.write(_OWN_SCREEN)
    try:
        yield lambda: print(_CLEARED, end="")
    finally:
        sys.stdout.write(_FORMER_SCREEN)
        sys.stdout.flush()


def shown_state(row: "Row") -> str:
    """Return an agent's breaker in words, coloured by its state; an order that refuses the agent comes first."""
    failures = f", {names.failures_in_a_row(row['failures'])}" if row["failures"] else ""
    breaker = coloured(_state(row), _COLOURS[row["state"]]) + failures
    if row["override"] is None:
        return breaker
    order = plain(shown_override(row["override"]))
    if row["status"] != names.FORCED_OPEN:
        return f"{breaker}; {order}"
    forced = coloured(order, _COLOURS[names.OPEN])
    is_broken = row["state"] != names.CLOSED or row["failures"]
    return f"{forced}; its breaker is {breaker}" if is_broken else forced


def row_state(row: "Row") -> str:
    """Return the state whose colour an agent's row has in a table."""
    return names.OPEN if row["status"] == names.FORCED_OPEN else str(row["state"])


def _state(row: "Row") -> str:
    text = names.STATUSES[row["state"]]
    if row["permit"]:
        return f"{text} (a probe is running: {plain(shown_permit(row['permit']))})"
    if row["blacklisted_until"]:
        return f"{text} until {moment(row['blacklisted_until'])} UTC"
    return f"{text} (cooldown over: the next task decides)" if row["state"] == names.HALF_OPEN else text
