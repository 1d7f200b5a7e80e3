"""Windows of time as people name them: `--since 7d`, `--until 2026-11-01`, and the days, weeks and months in them. Pure.

Days are the reader's: a `zone` of None is the local time that Python knows (`TZ`, else the system's), with its changes to
and from summer time.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from otel_tracker.errors import InvalidValueError
from otel_tracker.reporting.choices import WHEN
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date, tzinfo

_SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}


class Window(NamedTuple):
    """The moments from `since` on and before `until`, in seconds since 1970; None: without that end."""

    since: "float | None" = None
    until: "float | None" = None
    zone: "tzinfo | None" = None

    def timestamps(self) -> "tuple[str, str]":
        """Return texts between which the timestamps of the moments in the window are: from the first, before the second."""
        since = "" if self.since is None else format_timestamp(self.since)
        return since, "~" if self.until is None else format_timestamp(self.until)

    def contains(self, moment: float) -> bool:
        """Tell whether a moment lies in the window."""
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)

    def before(self, now: float) -> "Window | None":
        """Return the window of the same length that ends where this one begins, None where this one has no beginning."""
        if self.since is None:
            return None
        length = (now if self.until is None else self.until) - self.since
        return Window(self.since - length, self.since, self.zone)


def window(since: "str | None", until: "str | None", now: float, zone: "tzinfo | None" = None) -> Window:
    """Return the window that two texts name; raises InvalidValueError.

    A day or a month begins the window with its first moment and ends it with its last.
    """
    begins = None if since is None else moment(since, now, zone)
    ends = None if until is None else moment(until, now, zone, is_end=True)
    if begins is not None and ends is not None and begins >= ends:
        raise InvalidValueError("the end of a window", until, f"a moment after its beginning, {since}")
    return Window(begins, ends, zone)


def moment(text: str, now: float, zone: "tzinfo | None" = None, *, is_end: bool = False) -> float:
    """Return the moment that a text names (WHEN), of a day or month the first, or, as an end, the first after it.

    A timestamp without an offset is UTC, as everywhere else. Raises InvalidValueError.
    """
    try:
        named = _moment(text.strip(), now, zone, is_end=is_end)
        format_timestamp(named)  # a moment that no event can have is none
    except (ValueError, OverflowError, OSError):
        raise InvalidValueError("a moment", text, WHEN) from None
    return named


def _moment(text: str, now: float, zone: "tzinfo | None", *, is_end: bool) -> float:
    number, unit = text[:-1], text[-1:]
    if unit in _SECONDS and number.replace(".", "", 1).isdecimal():
        return now - float(number) * _SECONDS[unit]
    today = datetime.fromtimestamp(now, zone).date()
    if text == "month":
        first = today.replace(day=1)
        return _beginning((first + timedelta(days=31)).replace(day=1) if is_end else first, zone)
    days = {"today": today, "yesterday": today - timedelta(days=1)}
    if text in days or len(text) == len("2026-11-01"):
        day = days.get(text) or datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
        return _beginning(day + timedelta(days=int(is_end)), zone)
    return parse_timestamp(text)


def _beginning(day: "date", zone: "tzinfo | None") -> float:
    """Return the first moment of a day; where the clocks skip midnight, that is the moment at which they do."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()


def day(moment: float, zone: "tzinfo | None" = None) -> str:
    """Return the day of a moment: `2026-11-01`."""
    return datetime.fromtimestamp(moment, zone).date().isoformat()


def week(moment: float, zone: "tzinfo | None" = None) -> str:
    """Return the week of a moment as ISO 8601 counts them, from Monday: `2026-W45`."""
    year, number, _ = datetime.fromtimestamp(moment, zone).isocalendar()
    return f"{year}-W{number:02d}"


def month(moment: float, zone: "tzinfo | None" = None) -> str:
    """Return the month of a moment: `2026-11`."""
    return day(moment, zone)[:7]


def hour(moment: float, zone: "tzinfo | None" = None) -> str:
    """Return the hour of a moment with its offset, since an hour of a clock that is set back comes twice."""
    text = datetime.fromtimestamp(moment, UTC).astimezone(zone).isoformat(timespec="minutes")
    return f"{text[:14]}00{text[16:]}"


PERIOD_NAMES: "dict[str, Callable[[float, tzinfo | None], str]]" = {
    "hour": hour,
    "day": day,
    "week": week,
    "month": month,
}
"""For each of choices.PERIODS, the function that names the one in which a moment lies."""
