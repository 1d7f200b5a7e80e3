"""What a reader has chosen, as the page's address says it: the window of time, the order and the filter of agents. Pure."""

from typing import NamedTuple
from urllib.parse import urlencode

from otel_tracker.reporting.window import window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

    from otel_tracker.reporting.window import Window

WINDOWS = {"today": ("Today", "today"), "7d": ("7 days", "7d"), "30d": ("30 days", "30d"), "all": ("All", None)}
"""The windows that have a name: what it is called, and when it begins."""
_DEFAULT = "7d"
_FROM_TO = "from-to"
_TEXTS = ("sort", "filter", "rows", "agent", "order", "id", "run")
_LONGEST = 512


class Query(NamedTuple):
    """A reader's choices; each has its default where the address doesn't say anything."""

    window: str = _DEFAULT
    """A key of WINDOWS, or `from-to`."""
    since: str = ""
    until: str = ""
    sort: str = "trouble"
    """A column of the agents' table, with a `-` before it where the order is turned round."""
    filter: str = ""
    rows: str = ""
    """`all`: all rows of long tables."""
    agent: str = ""
    id: str = ""
    """Of a session or a run."""
    order: str = ""
    """What a breaker is to be ordered (orders.py)."""
    run: str = ""
    """The run that is shown beside a session."""

    def window_at(self, now: float, zone: "tzinfo | None") -> "Window":
        """Return the window of time; raises InvalidValueError."""
        if self.window == _FROM_TO:
            return window(self.since or None, self.until or None, now, zone)
        return window(WINDOWS[self.window][1], None, now, zone)

    def in_words(self) -> str:
        """Return the window as a part of a sentence: `in the last 7 days`."""
        if self.window == _FROM_TO:
            since = f"from {self.since}" if self.since else ""
            until = f"until {self.until}" if self.until else ""
            return " ".join(filter(None, (since, until)))
        return {"today": "today", "all": "so far"}.get(self.window) or f"in the last {WINDOWS[self.window][0]}"

    def before_in_words(self) -> str:
        """Return the window before as a part of a sentence, empty where there is none."""
        if self.window == "all" or (self.window == _FROM_TO and not self.since):
            return ""
        return {"today": "as long before midnight", _FROM_TO: "as long before"}.get(
            self.window
        ) or f"the {WINDOWS[self.window][0]} before"

    def parameters(self) -> "dict[str, str]":
        """Return the choices that are not the default, as the address has them."""
        given = {key: value for key, value in self._asdict().items() if value != self._field_defaults[key]}
        if self.window == _FROM_TO:
            del given["window"]
        return {{"since": "from", "until": "to"}.get(key, key): value for key, value in given.items()}


def query_of(parameters: "Mapping[str, str]") -> Query:
    """Return the choices that the parameters of an address name; those that it doesn't know are left out."""
    known = {key: parameters[key].strip()[:_LONGEST] for key in _TEXTS if key in parameters}
    since, until = parameters.get("from", "").strip(), parameters.get("to", "").strip()
    if since or until:
        return Query(window=_FROM_TO, since=since, until=until, **known)
    chosen = parameters.get("window", _DEFAULT)
    return Query(window=chosen if chosen in WINDOWS else _DEFAULT, **known)


def address(path: str, query: Query, **changes: str) -> str:
    """Return the address of a view, with some choices changed."""
    parameters = query._replace(**changes).parameters()
    return f"{path}?{urlencode(parameters)}" if parameters else path
