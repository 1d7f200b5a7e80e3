"""Tables of all that a chart or a list shows, with exact values: the page has them as HTML and as CSV. Pure."""

import io
from typing import NamedTuple

from otel_tracker.reporting.export import write_csv
from otel_tracker.reporting.page.figures import Figure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Table(NamedTuple):
    """A table; a cell is a text, a number or a Figure, whose exact value counts."""

    title: str
    heads: "Sequence[str]"
    rows: "Sequence[Sequence[object]]"

    @property
    def cells(self) -> "list[list[object]]":
        """The exact values, row by row."""
        return [[cell.exact if isinstance(cell, Figure) else cell for cell in row] for row in self.rows]

    def csv(self) -> str:
        """Return the table as CSV, its first line the heads."""
        text = io.StringIO()
        write_csv(text, self.heads, [dict(zip(self.heads, row, strict=True)) for row in self.cells])
        return text.getvalue()
