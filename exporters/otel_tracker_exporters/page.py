"""The page of `otel-tracker serve`: which view an address means, and for whom it is shown. No sockets."""

import ipaddress
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import msgspec

from otel_tracker.errors import InvalidValueError, OtelTrackerError
from otel_tracker.reporting.page import fleet
from otel_tracker.reporting.page.query import Query, query_of
from otel_tracker.reporting.page.render import Frame, rendered, resource
from otel_tracker.reporting.page.tally import Tally, tally_of
from otel_tracker.runtime.printable import printable
from otel_tracker_exporters.scrape import Reply, words

if TYPE_CHECKING:
    from otel_tracker.reporting.page.tables import Table
    from otel_tracker.state.document import Document
    from otel_tracker.storage.store import Store

_TALLIES = 8  # windows whose sums are remembered
_RESOURCES = {
    "/page.css": "text/css; charset=utf-8",
    "/page.js": "text/javascript; charset=utf-8",
    "/icon.svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HTML = "text/html; charset=utf-8"


class Page:
    """The page over a store. Safe from several threads; sums are made once for each state and window."""

    def __init__(
        self, store: "Store", allowed_hosts: Sequence[str] = (), clock: Callable[[], float] = time.time
    ) -> None:
        """`allowed_hosts` are names, beside those of the loopback, that the page may be asked for by."""
        self._store, self._clock = store, clock
        self._hosts = {name.strip().lower().rstrip(".") for name in allowed_hosts} - {"*"}
        self._start = secrets.token_urlsafe(16)
        self._lock = threading.Lock()
        self._tallies: OrderedDict[tuple[object, ...], Tally] = OrderedDict()
        self._views: dict[str, Callable[[Document, Query, float], tuple[str, dict[str, object]]]] = {
            "/": self._fleet,
        }

    def has(self, path: str) -> bool:
        """Tell whether a path is one of the page's."""
        return path in self._views or path in _RESOURCES or path == "/live"

    def refusal(self, client: str, headers: Mapping[str, str]) -> str | None:
        """Return the sentence that says why the page isn't shown to a client, None where it is.

        It is for browsers on this machine. A page of the web that has its own name point here (DNS rebinding) has that name as
        `Host`; one that asks by the right name has its own as `Origin`.
        """
        if not _is_loopback(client):
            return (
                f"The page is shown only on the machine that serves it, and {printable(client)[:100]} is another one: "
                "open it there, or forward the port to yours with: ssh -L PORT:127.0.0.1:PORT MACHINE"
            )
        host = headers.get("Host")
        if host is not None and not self._is_ours(host):
            return (
                f"The page is not shown under the name {printable(host)[:100]}: open it as http://localhost:PORT, "
                "or start the server with --allow-host NAME"
            )
        origin = headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != (host or "").strip().lower():
            return f"The page is not shown to {printable(origin)[:100]}: it answers only what it has asked for itself"
        return None

    def answer(self, target: str) -> Reply:
        """Answer a GET of one of the page's paths."""
        address = urlsplit(target)
        if address.path in _RESOURCES:
            body = resource(address.path[1:]).encode()
            return Reply(HTTPStatus.OK, body, {**_HEADERS, "Content-Type": _RESOURCES[address.path]})
        parameters = dict(parse_qsl(address.query))
        query, now = query_of(parameters), self._clock()
        try:
            document = self._store.read()
            if address.path == "/live":
                return _json({"sequence": document.sequence, "start": self._start})
            view, data = self._views[address.path](document, query, now)
        except InvalidValueError as error:
            return self._error(HTTPStatus.BAD_REQUEST, query, now, error)
        except OtelTrackerError as error:
            return self._error(HTTPStatus.INTERNAL_SERVER_ERROR, query, now, error)
        if "csv" in parameters:
            return _csv(data[view].tables, parameters["csv"])  # type: ignore[attr-defined]
        return _html(HTTPStatus.OK, rendered(view, self._frame(query, now, document.sequence), **data))

    def _is_ours(self, host: str) -> bool:
        name = urlsplit(f"//{host.strip()}").hostname or ""
        name = name.rstrip(".")
        return name == "localhost" or name.endswith(".localhost") or _is_loopback(name) or name in self._hosts

    def _frame(self, query: Query, now: float, sequence: int) -> Frame:
        return Frame(query, now, None, sequence, self._start)

    def _error(self, status: int, query: Query, now: float, error: OtelTrackerError) -> Reply:
        frame = self._frame(query, now, 0)
        return _html(status, rendered("error", frame, sentence=str(error)))

    def _fleet(self, document: "Document", query: Query, now: float) -> tuple[str, dict[str, object]]:
        tally = self._tally(document, query, now)
        return "fleet", {"fleet": fleet.fleet_of(document, tally, query, now), "attention": []}

    def _tally(self, document: "Document", query: Query, now: float) -> Tally:
        """Return the sums of the window, which a state has for a minute."""
        key = document.sequence, query.window, query.since, query.until, now // 60
        with self._lock:
            if key not in self._tallies:
                read = partial(self._store.run_events, document)
                self._tallies[key] = tally_of(read, query.window_at(now, None), now, document.renamed)
                while len(self._tallies) > _TALLIES:
                    self._tallies.popitem(last=False)
            self._tallies.move_to_end(key)
            return self._tallies[key]


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def _html(status: int, text: str) -> Reply:
    return Reply(status, text.encode("utf-8", "replace"), {**_HEADERS, "Content-Type": _HTML})


def _json(value: object) -> Reply:
    return Reply(HTTPStatus.OK, msgspec.json.encode(value), {**_HEADERS, "Content-Type": "application/json"})


def _csv(tables: "Mapping[str, Table]", name: str) -> Reply:
    if name not in tables:
        return words(HTTPStatus.NOT_FOUND, f"no such table: one of {', '.join(tables)}")
    headers = {"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Reply(HTTPStatus.OK, tables[name].csv().encode("utf-8", "replace"), {**_HEADERS, **headers})
