"""Figures as the page shows them: short, with a tooltip that says what they are, and with the exact value for tables. Pure.

`≥` is at least, `≈` estimated, `–` unknown; a number that isn't known is never 0.
"""

from datetime import datetime
from typing import NamedTuple

from otel_tracker import names
from otel_tracker.reporting import wording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import tzinfo

    from otel_tracker.state.shapes import Row

UNKNOWN = "–"
RUNNING = "running"
MARKS = {names.SUCCESS: "●", names.FAILURE: "✕", names.CANCELLED: "–", names.LOST: "?", RUNNING: "○"}
"""The mark of each outcome, which differs by shape and not only by colour."""
_MINUS = "−"
_UNITS = ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"))
_AGES = ((86_400, "d"), (3600, "h"), (60, "m"))


class Figure(NamedTuple):
    """A figure: the text that is shown, the tooltip, and the exact value for tables and CSV (None: the text)."""

    text: str
    tip: str = ""
    value: "float | str | None" = None

    @property
    def exact(self) -> "float | str":
        """The value that a table of all figures has."""
        if self.value is not None:
            return self.value
        return "" if self.text == UNKNOWN else self.text


def number(value: float, tip: str = "") -> Figure:
    """Return a whole number with its thousands separated."""
    return Figure(f"{value:,}".replace("-", _MINUS), tip, value)


def short(value: float) -> str:
    """Return a number in at most three digits and a unit: `12`, `1.5 k`, `31.2 M`."""
    for unit, name in _UNITS:
        if abs(value) >= unit * 0.9995:
            scaled = value / unit
            return f"{scaled:.1f}{name}" if abs(scaled) < 99.95 else f"{scaled:.0f}{name}"
    return f"{value:.0f}"


def tokens(row: "Row", of: str) -> Figure:
    """Return the tokens of a row of sums; `of` says whose they are."""
    total = row["tokens"]
    if not total:
        return Figure(UNKNOWN, f"no tokens are known {of}")
    is_bound = row.get("is_incomplete", False)
    why = "; the final usage of a run is missing, so it is at least this" if is_bound else ""
    return Figure(f"{'≥ ' if is_bound else ''}{short(total)}", f"{total:,} tokens {of}{why}", total)


def cost(row: "Row", of: str) -> Figure:
    """Return what the tokens of a row of sums cost; `of` says whose they are."""
    dollars, unpriced = row["cost_usd"], row["unpriced_tokens"]
    if dollars is None or (not dollars and not row["tokens"]):
        why = f"{unpriced:,} tokens have no price" if unpriced else "no tokens are known"
        return Figure(UNKNOWN, f"no cost is known {of}: {why}")
    notes = ["the final usage of a run is missing"] if row.get("is_incomplete") else []
    notes += [f"{unpriced:,} tokens have no price"] if unpriced else []
    why = f"; at least, since {' and '.join(notes)}" if notes else ""
    tip = f"${dollars:,.6f} {of}, estimated by list prices{why}"
    return Figure(f"{'≥ ' if notes else ''}{money(dollars)}", tip, round(dollars, 6))


def money(dollars: float) -> str:
    """Return dollars with cents, less than a cent with its first two digits: `$3.20`, `$0.0089`."""
    return wording.dollars(dollars if abs(dollars) >= 0.01 else float(f"{dollars:.2g}"))


def share(value: "float | None", of: str) -> Figure:
    """Return a share of 0 to 1 in percent."""
    if value is None:
        return Figure(UNKNOWN, f"no run {of} has ended in success or failure")
    text = f"{value * 100:.1f} %" if value not in (0, 1) else f"{value * 100:.0f} %"
    return Figure(text, f"{value * 100:.2f} % {of}", round(value, 6))


def seconds(value: "float | None", of: str) -> Figure:
    """Return a duration in seconds."""
    if value is None:
        return Figure(UNKNOWN, f"no duration is known {of}")
    return Figure(duration(value), f"{value:,.3f} seconds {of}", value)


def duration(value: float) -> str:
    """Return a duration in the two units that suit it: `0.4 s`, `45 s`, `7 m 12 s`, `2 h 10 m`, `3 d 4 h`."""
    if value < 9.95:
        return f"{value:.1f} s" if value >= 0.05 or not value else f"{value * 1000:.0f} ms"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
    first = next((index for index, (count, _) in enumerate(parts) if count), 3)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)


def ago(moment: float, now: float) -> str:
    """Return how long ago a moment is, in one unit: `now`, `2 m ago`, `3 d ago`."""
    passed = now - moment
    for unit, name in _AGES:
        if passed >= unit:
            return f"{passed // unit:.0f} {name} ago"
    return "now"


def clock(moment: float, zone: "tzinfo | None") -> str:
    """Return a moment as a reader's clock and calendar show it: `2026-11-01 12:40:07`."""
    return datetime.fromtimestamp(moment, zone).strftime("%Y-%m-%d %H:%M:%S")


def change(now: "float | None", before: "float | None") -> str:
    """Return by how much a number has changed, in percent: `+18 %`; empty where there is nothing to compare."""
    if now is None or before is None:
        return ""
    if not before:
        return "new" if now else "no change"
    percent = round((now - before) / before * 100)
    return _signed(percent, " %")


def points(now: "float | None", before: "float | None") -> str:
    """Return by how many percentage points a share has changed: `−2.3 points`."""
    return "" if now is None or before is None else _signed(round((now - before) * 100, 1), " points")


def difference(now: int, before: int) -> str:
    """Return by how much a count has changed: `+2`."""
    return _signed(now - before, "")


def _signed(value: float, unit: str) -> str:
    if not value:
        return "no change"
    return f"{'+' if value > 0 else _MINUS}{abs(value):,}{unit}"


def plural(count: int, noun: str, nouns: "str | None" = None) -> str:
    """Return a count with its noun: `1 run`, `2 runs`."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"
