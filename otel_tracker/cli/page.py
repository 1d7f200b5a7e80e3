"""The page as the commands have it: `otel-tracker ui`, and the report in HTML."""

import webbrowser
from datetime import UTC
from functools import partial

from otel_tracker import integrations
from otel_tracker.cli.attention import attention_of
from otel_tracker.reporting.page.query import WINDOWS, Query
from otel_tracker_exporters.page import Page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.store import Store


def page_of(store: "Store", allowed_hosts: "Sequence[str]" = ()) -> Page:
    """Return the page over a store, with what needs attention around it, and where transcripts are."""
    return Page(store, allowed_hosts, partial(attention_of, store), _transcript_of)


def report_in_html(store: "Store", options: "Namespace") -> str:
    """Return the report of the window that a command line names, 7 days if it names none, as one file of HTML."""
    since, until = options.since or "", options.until or ""
    if not until and (since in WINDOWS or not since):
        query = Query(window=since or Query().window)
    else:
        query = Query(window="from-to", since=since, until=until)
    return page_of(store).report(query, UTC if options.utc else None)


def open_in_browser(address: str) -> None:
    """Open an address in the user's browser; print what to do where there is none."""
    if not webbrowser.open(address):
        print(f"open {address} in a browser", flush=True)


def _transcript_of(event: "Event") -> str | None:
    paths = (integration.transcript_of(event) for integration in integrations.load_all())
    return next((path for path in paths if path is not None), None)
