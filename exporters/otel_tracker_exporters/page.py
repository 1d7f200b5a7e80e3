"""The page of `otel-tracker serve`: which view an address means, and for whom it is shown. No sockets."""

import ipaddress
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import msgspec

from otel_tracker.errors import InvalidValueError, OtelTrackerError
from otel_tracker.reporting.page import agent, fleet, orders, run, sessions
from otel_tracker.reporting.page.query import Query, query_of
from otel_tracker.reporting.page.render import Frame, rendered, rendered_file, resource
from otel_tracker.reporting.page.tally import Tally, extend, tally_of
from otel_tracker.reporting.window import Window
from otel_tracker.runtime.printable import printable
from otel_tracker.state import lookup
from otel_tracker.storage import orders as record_orders
from otel_tracker_exporters.scrape import Reply, name_in, words

if TYPE_CHECKING:
    from datetime import tzinfo

    from otel_tracker.reporting.attention import Attention
    from otel_tracker.reporting.page.tables import Table
    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.store import Store

_LONG_SECONDS, _PAUSE = 0.5, 5  # what took longer is made again after so many times as long
_RUNS_IN_FILE = 10
_WEEK = 8 * 86_400.0  # today, and the seven days before
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
_BY = "page"
_HTML = "text/html; charset=utf-8"


def _no_attention(document: "Document", now: float) -> "list[Attention]":
    """Look at nothing."""
    return []


def _no_transcript(event: "Event") -> None:
    """Know of no transcripts."""


class Page:
    """The page over a store. Safe from several threads, which make views in turn."""

    def __init__(
        self,
        store: "Store",
        allowed_hosts: Sequence[str] = (),
        attention_of: "Callable[[Document, float], list[Attention]]" = _no_attention,
        transcript_of: "Callable[[Event], str | None]" = _no_transcript,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`allowed_hosts` are names, beside those of the loopback, that the page may be asked for by.

        `attention_of` returns what needs attention in a state at a moment, and `transcript_of` where the transcript of the
        run that an event is about is, None where that isn't known.
        """
        self._store, self._clock = store, clock
        self._attention_of, self._transcript_of = attention_of, transcript_of
        self._hosts = {name.strip().lower().rstrip(".") for name in allowed_hosts} - {"*"}
        self._start = secrets.token_urlsafe(16)
        self._lock = threading.Lock()
        self._attention_found: tuple[float, float, list[Attention]] = (0.0, 0.0, [])
        self._tallies: OrderedDict[tuple[object, ...], tuple[int, Tally]] = OrderedDict()
        self._views: dict[str, Callable[[Document, Query, float], tuple[str, dict[str, object]]]] = {
            "/": self._fleet,
            "/agent": self._agent,
            "/sessions": self._sessions,
            "/session": self._session,
            "/run": self._run,
            "/order": self._question,
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
        if origin is not None and origin.lower().partition("://")[2] != (host or "").strip().lower():
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
            return self._view(address.path, query, parameters.get("csv"), now)
        except (_NotKnownError, OtelTrackerError) as error:
            return _html(_status_of(error), rendered("error", self._frame(query, now, 0), sentence=str(error)))

    def report(self, query: Query, zone: "tzinfo | None" = None) -> str:
        """Return the fleet of a window and the agents that ran in it as one file of HTML; days are those of the zone."""
        now, document = self._clock(), self._store.read()
        query = query._replace(rows="all")
        with self._lock:
            return self._report(document, query, now, zone)

    def _report(self, document: "Document", query: Query, now: float, zone: "tzinfo | None") -> str:
        window = query.window_at(now, zone)
        tally, week = (
            self._tally(document, window, now),
            self._tally(document, Window(since=now - _WEEK, zone=zone), now),
        )
        view = fleet.fleet_of(document, tally, query, now)
        keys = [row.agent for row in view.agents]
        events: dict[str, list[Event]] = {key: [] for key in keys}
        former = {old: new for old, new in document.renamed.items() if new in events}
        for event in self._store.events_with("agent", {*keys, *former}, window.since or 0.0):
            events[former.get(str(event["agent"]), str(event["agent"]))].append(event)
        agents = [agent.agent_of(document, key, tally, week, events[key], query, now) for key in keys]
        frame = Frame(query, now, zone, document.sequence, agents=keys)
        shortened = [one._replace(ended=one.ended[:_RUNS_IN_FILE]) for one in agents]
        return rendered_file(frame, fleet=view, agents=shortened, attention=self._attention_of(document, now))

    def order(self, target: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Answer a POST: record the order of a form that this start of the server has made, and say what has changed."""
        given, now = dict(parse_qsl(body.decode("utf-8", "replace"))), self._clock()
        query = query_of(given)
        frame = self._frame(query, now, 0)
        if urlsplit(target).path != "/order":
            return words(HTTPStatus.METHOD_NOT_ALLOWED, "GET or HEAD")
        if headers.get("Origin") is None or not secrets.compare_digest(
            given.get("token", "").encode(), self._start.encode()
        ):
            sentence = (
                "Nothing was changed: the request does not come from a page of this start of the server. "
                "Load the page again, and order it there."
            )
            return _html(HTTPStatus.FORBIDDEN, rendered("error", frame, sentence=sentence))
        try:
            document = self._store.read()
            agent_key, order = self._ordered(document, query)
            if order.kind in (orders.RESET, orders.CLOSE):
                record_orders.reset(self._store, agent_key, _BY)
            if order.kind != orders.RESET:
                record_orders.override(self._store, agent_key, orders.override_of(order, given.get("reason")), _BY)
        except (_NotKnownError, OtelTrackerError) as error:
            return _html(_status_of(error), rendered("error", frame, sentence=str(error)))
        return _html(HTTPStatus.OK, rendered("ordered", frame, agent=agent_key, sentence=order.answer))

    def _ordered(self, document: "Document", query: Query) -> "tuple[str, orders.Order]":
        key = lookup.key_of(document, query.agent)
        if key is None:
            raise _NotKnownError(f"No agent {query.agent} is known in this home.")
        order = orders.order_of(document, key, query.order)
        if order is None:
            raise _NotKnownError(f"There is no order {query.order}: one of {', '.join(orders.KINDS)}.")
        return key, order

    def _question(self, document: "Document", query: Query, now: float) -> tuple[str, dict[str, object]]:
        key, order = self._ordered(document, query)
        return "order", {"agent": key, "order": order}

    def _view(self, path: str, query: Query, csv: str | None, now: float) -> Reply:
        document = self._store.read()
        if path == "/live":
            return _json({"sequence": document.sequence, "start": self._start})
        with self._lock:
            view, data = self._views[path](document, query, now)
        if csv is not None:
            return _csv(data[view].tables, csv)  # type: ignore[attr-defined]
        return _html(HTTPStatus.OK, rendered(view, self._frame(query, now, document.sequence), **data))

    def _is_ours(self, host: str) -> bool:
        name = name_in(host)
        return name == "localhost" or name.endswith(".localhost") or _is_loopback(name) or name in self._hosts

    def _frame(self, query: Query, now: float, sequence: int) -> Frame:
        return Frame(query, now, None, sequence, self._start)

    def _fleet(self, document: "Document", query: Query, now: float) -> tuple[str, dict[str, object]]:
        tally = self._tally(document, query.window_at(now, None), now)
        return "fleet", {
            "fleet": fleet.fleet_of(document, tally, query, now),
            "attention": self._attention(document, now),
        }

    def _agent(self, document: "Document", query: Query, now: float) -> tuple[str, dict[str, object]]:
        key = lookup.key_of(document, query.agent) or query.agent
        window = query.window_at(now, None)
        tally, week = self._tally(document, window, now), self._tally(document, Window(since=now - _WEEK), now)
        if key not in document.agents and key not in tally.agents:
            raise _NotKnownError(f"No agent {query.agent} is known in this home, nor has one run in this window.")
        events = self._store.events_with("agent", lookup.all_keys(document, key), window.since or 0.0)
        return "agent", {"agent": agent.agent_of(document, key, tally, week, events, query, now)}

    def _sessions(self, document: "Document", query: Query, now: float) -> tuple[str, dict[str, object]]:
        tally = self._tally(document, query.window_at(now, None), now)
        return "sessions", {"sessions": sessions.sessions_of(tally, query)}

    def _session(self, document: "Document", query: Query, now: float) -> tuple[str, dict[str, object]]:
        events = self._store.events_with("conversation_id", {query.id})
        view = sessions.session_of(document, query.id, events, now)
        if view is None:
            raise _NotKnownError(f"No run or request of a session {query.id} is in the journal (any more).")
        chosen = self._run_view(document, query.run, now) if query.run else None
        return "session", {"session": view, "run": chosen}

    def _run(self, document: "Document", query: Query, now: float) -> tuple[str, dict[str, object]]:
        view = self._run_view(document, query.id, now)
        if view is None:
            raise _NotKnownError(f"No run {query.id} is in the journal (any more).")
        return "run", {"run": view}

    def _run_view(self, document: "Document", run_id: str, now: float) -> "run.RunView | None":
        events = self._store.events_with("run_id", {run_id})
        launched = self._store.events_with("parent_run_id", {run_id})
        return run.run_of(document, run_id, events, launched, self._transcript_of, now)

    def _attention(self, document: "Document", now: float) -> "list[Attention]":
        """Return what needs attention; what takes long to find, in a home with very many runs, may be some seconds old."""
        made, took, found = self._attention_found
        if took < _LONG_SECONDS or time.monotonic() - made > _PAUSE * took:
            began = time.monotonic()
            found = self._attention_of(document, now)
            self._attention_found = time.monotonic(), time.monotonic() - began, found
        return found

    def _tally(self, document: "Document", window: Window, now: float) -> Tally:
        """Return the sums of the window: made anew once a minute, and in between of the newer events only, if those allow it.

        The caller must hold the lock.
        """
        key = window.zone, *(moment and moment // 60 for moment in (window.since, window.until))
        known = self._tallies.pop(key, None)
        tally = None if known is None else self._extended(*known, document)
        if tally is None:
            tally = tally_of(partial(self._store.run_events, document), window, now, document.renamed)
        self._tallies[key] = document.sequence, tally
        while len(self._tallies) > _TALLIES:
            self._tallies.popitem(last=False)
        return tally

    def _extended(self, number: int, tally: Tally, document: "Document") -> Tally | None:
        """Return the sums as of the event `number` with the later ones of a document, None if they must be made anew."""
        if number > document.sequence:
            return None
        later = chain.from_iterable(self._store.events_after(number)) if number < document.sequence else ()
        news = [event for event in later if event["seq"] <= document.sequence]
        return tally if extend(tally, news, document.renamed) else None


class _NotKnownError(Exception):
    """What an address names isn't known."""


def _status_of(error: Exception) -> int:
    if isinstance(error, _NotKnownError):
        return HTTPStatus.NOT_FOUND
    return HTTPStatus.BAD_REQUEST if isinstance(error, InvalidValueError) else HTTPStatus.INTERNAL_SERVER_ERROR


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
