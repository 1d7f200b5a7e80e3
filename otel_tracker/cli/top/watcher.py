"""Reads a home in a thread of its own, and makes what the screens show of it: what is on the screen never waits for files."""

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from otel_tracker.cli.attention import attention_of, surroundings_of
from otel_tracker.errors import OtelTrackerError
from otel_tracker.reporting import summary
from otel_tracker.reporting.aggregate import parts_in
from otel_tracker.reporting.page.agent import agent_of
from otel_tracker.reporting.page.fleet import fleet_of
from otel_tracker.reporting.page.query import Query
from otel_tracker.reporting.page.tally import Tally, tally_of
from otel_tracker.reporting.top.tables import model_rows
from otel_tracker.reporting.window import Window
from otel_tracker.runtime import owner
from otel_tracker.state import lookup

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from otel_tracker.reporting.attention import Attention
    from otel_tracker.reporting.page.agent import AgentView
    from otel_tracker.reporting.page.fleet import Fleet
    from otel_tracker.state.document import Document
    from otel_tracker.state.run_parts import Read
    from otel_tracker.state.shapes import Row
    from otel_tracker.storage.store import Store

_T = TypeVar("_T")
_PAUSE = 1.0
"""The least time between two looks that nobody has asked for, in seconds."""
_SHARE = 4
"""So many times as long as a look takes is the pause after it: in a large home reading takes a fifth of the time at most."""
_WEEK = 8 * 86_400.0  # today, and the seven days before


class OpenAgent(NamedTuple):
    """An agent, and what it has used of each model."""

    agent: "AgentView"
    models: "list[Row]"


class View(NamedTuple):
    """What there is to show at a moment."""

    query: Query
    now: float
    document: "Document"
    attention: "list[Attention]"
    fleet: "Fleet"
    running: "list[Row]"
    agent: OpenAgent | None
    """The one that `query.agent` names."""


class Unreadable(NamedTuple):
    """Why there is nothing to show."""

    sentence: str


class Watcher:
    """Calls `show`, in the watcher's thread, with a View when there is something new, else with the moment of the look."""

    def __init__(
        self,
        store: "Store",
        show: "Callable[[View | Unreadable | float], object]",
        clock: "Callable[[], float]" = time.time,
    ) -> None:
        self._store, self._show, self._clock = store, show, clock
        self._query = Query(rows="all")
        self._wanted, self._is_stopped = threading.Event(), False
        self._memory: dict[str, tuple[Hashable, Any]] = {}
        self._shown: tuple[Hashable, View] | None = None
        self._thread = threading.Thread(target=self._watch, name="otel-tracker top", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end, without waiting for it: it only reads."""
        self._is_stopped = True
        self._wanted.set()

    def ask(self, query: Query) -> None:
        """Look at once, with what a person has chosen."""
        self._query = query
        self._wanted.set()

    def _watch(self) -> None:
        while not self._is_stopped:
            self._wanted.clear()
            began = time.monotonic()
            try:
                shown: View | Unreadable | float = self._look(self._query)
            except OtelTrackerError as error:
                self._shown = None
                shown = Unreadable(str(error))
            if self._is_stopped:
                return
            self._show(shown)
            self._wanted.wait(max(_PAUSE, _SHARE * (time.monotonic() - began)))

    def _look(self, query: Query) -> "View | float":
        document, now = self._store.read(), self._clock()
        key = document.sequence, query, now // 60
        if self._shown is not None and self._shown[0] == key and not _is_ticking(self._shown[1]):
            return now
        view = self._view(document, query, now)
        self._shown = key, view
        return view

    def _view(self, document: "Document", query: Query, now: float) -> View:
        around = self._remembered(
            "surroundings", (document.sequence, now // 60), lambda: surroundings_of(self._store, document, now)
        )
        tally = self._tally("window", document, query.window_at(now, None), now)
        return View(
            query,
            now,
            document,
            attention_of(self._store, document, now, around),
            fleet_of(document, tally, query, now),
            summary.running_tasks(document, now, owner.is_seen_gone),
            self._agent(document, tally, query, now) if query.agent else None,
        )

    def _agent(self, document: "Document", tally: Tally, query: Query, now: float) -> OpenAgent:
        key, window = query.agent, tally.window
        state = document.sequence, key, query.window, now // 60
        week = self._tally("week", document, Window(since=now - _WEEK), now)
        keys = lookup.all_keys(document, key)
        events = self._remembered("events", state, lambda: self._store.events_with("agent", keys, window.since or 0.0))
        models = self._remembered(
            "models", state, lambda: model_rows(parts_in(window, self._read(document), document.renamed), key)
        )
        return OpenAgent(agent_of(document, key, tally, week, events, query._replace(rows=""), now), models)

    def _tally(self, name: str, document: "Document", window: Window, now: float) -> Tally:
        since = None if window.since is None else window.since // 60
        return self._remembered(
            name,
            (document.sequence, since, now // 60),
            lambda: tally_of(self._read(document), window, now, document.renamed),
        )

    def _read(self, document: "Document") -> "Read":
        return partial(self._store.run_events, document)

    def _remembered(self, name: str, key: "Hashable", make: "Callable[[], _T]") -> _T:
        """Return what was made last under a name if its key is the same, else what `make` returns."""
        if name not in self._memory or self._memory[name][0] != key:
            self._memory[name] = (key, make())
        made: _T = self._memory[name][1]
        return made


def _is_ticking(view: View) -> bool:
    """Tell whether something that is shown changes with the clock alone, from second to second."""
    return bool(view.running or any(row.breaker.until for row in view.fleet.agents))
