"""Lines of text in levels, and tables whose columns fit the width of a terminal. Pure."""

from typing import NamedTuple

from otel_tracker.runtime.printable import columns, fitted, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

PLAIN, STRONG, FAINT, CHOSEN, LOOK, BROKEN = "plain", "strong", "faint", "chosen", "look", "broken"
"""The levels of a piece of text; marks have their outcome, or `running`, as level."""
GAP = 2
"""The columns of the terminal between those of a table."""
ESSENTIAL = 3
_LONG = 28  # a text of more columns may be cut


class Piece(NamedTuple):
    """A printable text of one level."""

    text: str
    level: str = PLAIN


Line = tuple[Piece, ...]


class Column(NamedTuple):
    """A column of a table."""

    head: str
    width: int
    """In columns of the terminal; of a flexible one the least."""
    cell: "Callable[[Any], Line]"
    is_right: bool = False
    rank: int = 0
    """Where the width doesn't suffice, those of the highest rank are left out first; those of rank 0 never are.

    Those above ESSENTIAL are left out already where the texts of flexible ones would be cut.
    """
    is_flexible: bool = False
    """Whether it gets what the others leave, as far as its texts need it."""
    sort: str = "-"
    """The order by it, a key of the page's COLUMNS."""


def text(value: object, level: str = PLAIN) -> Line:
    """Return a line of one text, in which nothing controls the terminal."""
    return (Piece(printable(str(value)), level),)


def width_of(line: Line) -> int:
    """Return how many columns of a terminal a line fills."""
    return sum(columns(piece.text) for piece in line)


def cut(of: str, width: int) -> str:
    """Return a printable text that fills at most a width, without its end if it is longer."""
    if columns(of) <= width:
        return of
    of = of[: max(0, width)]
    while of and columns(of) >= width:
        of = of[:-1]
    return f"{of}…"


def fitting(table: "Sequence[Column]", rows: "Sequence[Any]", width: int) -> "list[Column]":
    """Return the columns that fit a width side by side, each with its width; flexible ones share what the others leave."""
    needed = {
        column.head: max((width_of(column.cell(row)) for row in rows), default=0)
        for column in table
        if column.is_flexible
    }
    wanted = [column._replace(width=max(column.width, min(_LONG, needed.get(column.head, 0)))) for column in table]
    chosen = [column for column in table if column.head in _left(wanted, width, ESSENTIAL)]
    chosen = [column for column in chosen if column.head in _left(chosen, width, 0)]
    left = width - _whole_width(chosen)
    for index, column in enumerate(chosen):
        if column.is_flexible:
            more = min(left, max(0, needed[column.head] - column.width))
            chosen[index] = column._replace(width=max(1, column.width + more))
            left -= more
    return chosen


def _left(table: "Sequence[Column]", width: int, least: int) -> "set[str]":
    """Return the heads of the columns that are left where those with a rank above `least` may be left out."""
    left = list(table)
    while _whole_width(left) > width and any(column.rank > least for column in left):
        left.remove(max(left, key=lambda column: column.rank))
    return {column.head for column in left}


def _whole_width(table: "Sequence[Column]") -> int:
    return sum(column.width for column in table) + GAP * (len(table) - 1)


def heads(table: "Sequence[Column]", sort: str = "") -> Line:
    """Return the heading of a table; the column that its rows are sorted by is marked."""
    arrow = "▴" if sort.startswith("-") else "▾"
    named = (f"{column.head}{arrow if column.sort == sort.removeprefix('-') else ''}" for column in table)
    return _joined(table, ((Piece(head, FAINT),) for head in named))


def cells(table: "Sequence[Column]", row: "Any") -> Line:
    """Return a row of a table."""
    return _joined(table, (column.cell(row) for column in table))


def _joined(table: "Sequence[Column]", shown: "Iterable[Line]") -> Line:
    pieces: list[Piece] = []
    for column, cell in zip(table, shown, strict=True):
        fitted_cell = _fitted(cell, column.width)
        space = Piece(" " * (column.width - width_of(fitted_cell)))
        pieces += [space, *fitted_cell] if column.is_right else [*fitted_cell, space]
        pieces.append(Piece(" " * GAP))
    return tuple(piece for piece in pieces[:-1] if piece.text)


def _fitted(line: Line, width: int) -> Line:
    """Return a line that fills at most a width; pieces that are too long lose their middle."""
    kept: list[Piece] = []
    for piece in line:
        left = width - width_of(tuple(kept))
        kept.append(piece._replace(text=fitted(piece.text, left) if left > 0 else ""))
    return tuple(kept)
