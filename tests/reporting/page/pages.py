"""Views of the page, made of events."""

from collections.abc import Callable
from typing import Any

from otel_tracker.reporting.page.query import Query
from otel_tracker.reporting.page.tally import Tally, tally_of
from otel_tracker.state.document import Document
from otel_tracker.state.shapes import Event
from tests.builders import NOON, folded, numbered

NOW = NOON + 3600.0


def read_of(*events: Event) -> Callable[..., Any]:
    """Return the read of a home whose journal has these events."""
    batches = [(float("inf"), numbered(events)[::-1])]
    return lambda *_: batches


def tally_and_document(*events: Event, query: Query = Query(), now: float = NOW) -> tuple[Tally, Document]:  # noqa: B008
    """Return the sums of a window, and the document, after events."""
    document = folded(*events)
    return tally_of(read_of(*events), query.window_at(now, None), now, document.renamed), document
