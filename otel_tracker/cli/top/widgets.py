"""Widgets that draw lines in levels: plain ones, and a table with a cursor of which only the visible rows are drawn."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from otel_tracker import names
from otel_tracker.reporting.page.figures import RUNNING
from otel_tracker.reporting.top.columns import (
    BROKEN,
    CHOSEN,
    FAINT,
    GAP,
    LOOK,
    PLAIN,
    STRONG,
    Column,
    Line,
    Piece,
    cells,
    fitting,
    heads,
)

_STYLES = {
    PLAIN: Style.null(),
    STRONG: Style(bold=True),
    FAINT: Style(dim=True),
    CHOSEN: Style(color="blue", bold=True),
    LOOK: Style(color="yellow", bold=True),
    BROKEN: Style(color="red", bold=True),
    names.SUCCESS: Style(color="green"),
    names.FAILURE: Style(color="red", bold=True),
    names.LOST: Style(color="yellow", bold=True),
    names.CANCELLED: Style(dim=True),
    RUNNING: Style(color="blue", bold=True),
}
"""The terminal's own colours, so that they suit a dark ground and a light one."""
_CURSOR, _NO_CURSOR = Piece("▸ ", CHOSEN), Piece("  ")
_CHOSEN = Style(bold=True)
_MARGIN = 4  # the columns of the cursor and of the scrollbar, with a gap before it


def drawn(line: Line, width: int, style: Style = Style.null()) -> Strip:  # noqa: B008 - never changed
    """Return a line of a width."""
    return Strip([Segment(piece.text, style + _STYLES[piece.level]) for piece in line]).adjust_cell_length(width, style)


class Lines(Widget):
    """Lines of text, as high as they are many."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.lines: Sequence[Line] = ()

    def show(self, lines: Sequence[Line]) -> None:
        """Draw these lines."""
        if list(lines) != list(self.lines):
            self.lines = lines
            self.styles.height = len(lines)
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return a line of the screen."""
        return drawn(self.lines[y] if y < len(self.lines) else (), self.size.width)


class Paragraphs(ScrollView, can_focus=True):
    """Lines of text that scroll."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.lines: Sequence[Line] = ()

    def show(self, lines: Sequence[Line]) -> None:
        """Draw these lines."""
        self.lines = lines
        self.virtual_size = Size(self.size.width, len(lines))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return a line of the screen."""
        index = y + self.scroll_offset.y
        return drawn(self.lines[index] if index < len(self.lines) else (), self.size.width)


class Rows(ScrollView, can_focus=True):
    """Rows of which one may be chosen with the keys or the mouse; the cursor stays at its row wherever that moves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "move_page(-1)", show=False),
        Binding("pagedown", "move_page(1)", show=False),
        Binding("home", "move(-1_000_000)", show=False),
        Binding("end", "move(1_000_000)", show=False),
    ]

    class Moved(Message):
        """The cursor is at another row, or the row has changed."""

    class Opened(Message):
        """A person has clicked twice on a row, where the cursor now is."""

    class Sorted(Message):
        """A person has clicked on the heading of the column with an order."""

        def __init__(self, sort: str) -> None:
            super().__init__()
            self.sort = sort

    def __init__(self, key_of: Callable[[Any], str], **arguments: Any) -> None:
        """`key_of` returns the key of a row."""
        super().__init__(**arguments)
        self._key_of = key_of
        self.empty: Sequence[str] = ()
        """The lines that are shown where there are no rows, printable."""
        self._all: Sequence[Column] = ()
        self._columns: list[Column] = []
        self._sort = ""
        self.rows: Sequence[Any] = ()
        self.cursor = 0

    @property
    def chosen(self) -> str | None:
        """The key of the row at the cursor, None without rows."""
        return self._key_of(self.rows[self.cursor]) if self.rows else None

    def show(self, columns: Sequence[Column], rows: Sequence[Any], sort: str = "") -> None:
        """Draw these rows."""
        before = self.chosen
        self._all, self.rows, self._sort = columns, rows, sort
        if before is not None and self.cursor > 0:  # at the top it stays at the top
            keys = (index for index, row in enumerate(rows) if self._key_of(row) == before)
            self.cursor = next(keys, self.cursor)
        self.cursor = max(0, min(self.cursor, len(rows) - 1))
        self._lay_out()
        self.post_message(self.Moved())

    def _lay_out(self) -> None:
        self._columns = fitting(self._all, self.rows, max(1, self.size.width - _MARGIN))
        self.virtual_size = Size(self.size.width, len(self.rows) + 1)
        self.refresh()

    def on_resize(self) -> None:
        """Fit the columns into the new width."""
        self._lay_out()
        self._scroll_to_cursor()

    def render_line(self, y: int) -> Strip:
        """Return a line of the screen; the first one is the heading."""
        width, index = self.size.width, y - 1 + self.scroll_offset.y
        if y == 0:
            return drawn((_NO_CURSOR, *heads(self._columns, self._sort)), width)
        if not self.rows and y <= len(self.empty):
            return drawn((_NO_CURSOR, Piece(self.empty[y - 1], FAINT)), width)
        if index >= len(self.rows):
            return Strip.blank(width, Style.null())
        row = cells(self._columns, self.rows[index])
        is_chosen = index == self.cursor and self.has_focus
        return drawn((_CURSOR, *row), width, _CHOSEN) if is_chosen else drawn((_NO_CURSOR, *row), width)

    def action_move(self, by: int) -> None:
        """Move the cursor by so many rows."""
        self.cursor = max(0, min(self.cursor + by, len(self.rows) - 1))
        self._scroll_to_cursor()
        self.refresh()
        self.post_message(self.Moved())

    def action_move_page(self, by: int) -> None:
        """Move the cursor by so many screens."""
        self.action_move(by * max(1, self.size.height - 2))

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to a row that is clicked on, and open it with a second click; sort by a heading."""
        if event.y == 0:
            self._sort_by_heading(event.x)
            return
        index = event.y - 1 + self.scroll_offset.y
        if index < len(self.rows):
            self.action_move(index - self.cursor)
            if event.chain > 1:
                self.post_message(self.Opened())

    def _sort_by_heading(self, x: int) -> None:
        x -= len(_CURSOR.text)
        for column in self._columns:
            if x < column.width:
                if column.sort != "-":
                    self.post_message(self.Sorted(column.sort))
                return
            x -= column.width + GAP

    def _scroll_to_cursor(self) -> None:
        top, visible = self.scroll_offset.y, max(1, self.size.height - 1)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + visible:
            self.scroll_to(y=self.cursor - visible + 1, animate=False)
