"""Sums of parts of runs (state/run_parts.py): the one place that adds them up for tables, JSON, CSV, Markdown and gauges. Pure."""

from math import floor
from operator import attrgetter
from typing import NamedTuple

from otel_tracker import names
from otel_tracker.errors import InvalidValueError
from otel_tracker.reporting.choices import KEYS, PERIODS
from otel_tracker.reporting.window import PERIOD_NAMES, Window
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state.run_parts import RunPart, ended_runs, parts_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from otel_tracker.state.run_parts import Read
    from otel_tracker.state.shapes import Row

    Key = tuple[str | None, ...]

_OF_RUNS = ("agent", "outcome")  # the main conversation has neither
_MICRO = 1_000_000
_COLUMNS = {
    names.SUCCESS: "successful", names.FAILURE: "failed", names.CANCELLED: "cancelled", names.LOST: "lost"
}  # fmt: skip


class UsageTable(NamedTuple):
    """Rows of sums by the keys `by`; each row has the keys and the sums of `Sums.row`."""

    by: "tuple[str, ...]"
    rows: "list[Row]"
    main_rows: "list[Row]"
    """The main conversation's, by those of the keys that it has."""
    total: "Row"
    """The sum of both."""
    unpriced: "dict[str, int]"
    """The models of the tokens that have no price, and how many these are."""


class Comparison(NamedTuple):
    """The sums of a window, and those of the window before."""

    usage: UsageTable
    window: Window
    before: "UsageTable | None" = None
    """None where there is no window before, or nothing is compared."""
    left_out: int = 0
    """How many rows are not shown, and yet in the total."""


class Sums:
    """The sums of parts."""

    __slots__ = ("durations", "is_incomplete", "outcomes", "tokens")

    def __init__(self) -> None:
        self.outcomes: dict[str | None, int] = {}
        self.durations: list[float] = []
        self.tokens = dict.fromkeys(names.USAGE_KEYS, 0)
        self.is_incomplete = False

    def add(self, part: RunPart) -> None:
        """Add a part."""
        if part.runs:
            self.outcomes[part.outcome] = self.outcomes.get(part.outcome, 0) + part.runs
            if part.duration_seconds is not None:
                self.durations.append(part.duration_seconds)
        tokens = self.tokens
        for token_type, number in part.tokens.items():
            tokens[token_type] += number
        if part.is_incomplete:
            self.is_incomplete = True

    def include(self, other: "Sums") -> None:
        """Add other sums."""
        for outcome, number in other.outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + number
        self.durations += other.durations
        self.tokens = names.added_tokens(self.tokens, other.tokens)
        self.is_incomplete = self.is_incomplete or other.is_incomplete

    @property
    def unpriced_tokens(self) -> int:
        """How many tokens have no price."""
        return names.total_tokens(self.tokens) - self.tokens[names.PRICED]

    def row(self) -> "Row":
        """Return the sums as they are shown: shares from 0 to 1, seconds, dollars; null where there is nothing to tell.

        `failed` is without the `lost` runs. The success rate is over the runs that were not cancelled. Where no token has a
        price there is no `cost_usd`, unless there are no tokens.
        """
        counts = {column: self.outcomes.get(outcome, 0) for outcome, column in _COLUMNS.items()}
        judged = sum(counts.values()) - counts["cancelled"]
        durations = sorted([max(0.0, seconds) for seconds in self.durations])
        total, unpriced = names.total_tokens(self.tokens), self.unpriced_tokens
        is_unpriced = 0 < total == unpriced and not self.tokens[names.COST]
        return {
            "runs": sum(self.outcomes.values()),
            **counts,
            "success_rate": counts["successful"] / judged if judged > 0 else None,
            "duration_median_seconds": _quantile(durations, 0.5),
            "duration_p95_seconds": _quantile(durations, 0.95),
            **{token_type: self.tokens[token_type] for token_type in _SHOWN_TOKENS},
            "tokens": total,
            "cost_usd": None if is_unpriced else self.tokens[names.COST] / _MICRO,
            "unpriced_tokens": unpriced,
            "is_lower_bound": self.is_incomplete or unpriced > 0,
        }


_SHOWN_TOKENS = ("input", "output", "cache_read", "cache_write", names.CACHE_WRITE_1H, "untyped")


def checked_keys(text: str) -> "tuple[str, ...]":
    """Return the keys, one or two of KEYS, that a text such as `day,agent` names; raises InvalidValueError."""
    by = tuple(text.split(","))
    if len(by) > 2 or len(set(by)) < len(by) or not set(by) <= set(KEYS):
        raise InvalidValueError("what rows are by", text, f"one or two, with a comma, of {', '.join(KEYS)}")
    return by


def parts_in(window: Window, read: "Read", renamed: "Mapping[str, str] | None" = None) -> "Iterator[RunPart]":
    """Yield the parts of the runs that have ended in a window; `read` and `renamed` as in `ended_runs`."""
    since, until = window.timestamps()
    for end in ended_runs(read, window.since, renamed):
        if since <= end["timestamp"] < until:
            yield from parts_of(end)


def compared(
    read: "Read",
    by: "Sequence[str]",
    window: Window,
    *,
    now: "float | None" = None,
    renamed: "Mapping[str, str] | None" = None,
    agent: "str | None" = None,
) -> Comparison:
    """Return the sums of a window, with `now` beside those of the window before; with an `agent` only of its runs.

    `read` and `renamed` as in `ended_runs`.
    """
    earlier = None if now is None else window.before(now)
    whole = window if earlier is None else window._replace(since=earlier.since)
    parts = parts_in(whole, read, renamed)
    if agent is not None:
        parts = (part for part in parts if part.agent == agent)
    if earlier is None:
        return Comparison(aggregate(parts, by, window), window)
    of_before: list[RunPart] = []

    beginning, _ = window.timestamps()

    def of_window() -> "Iterator[RunPart]":
        for part in parts:
            if part.timestamp >= beginning:
                yield part
            else:
                of_before.append(part)

    usage = aggregate(of_window(), by, window)
    return Comparison(usage, window, aggregate(of_before, by, earlier))


def aggregate(parts: "Iterable[RunPart]", by: "Sequence[str]", window: Window = Window()) -> UsageTable:  # noqa: B008
    """Return the sums of parts by up to two keys; days and the like are those of the window's zone.

    Rows by a part of time are in its order, others by what they cost, then by their tokens, the most first.
    """
    by, of_main = tuple(by), tuple(key for key in by if key not in _OF_RUNS)
    key_of_run, key_of_main = _key_of((*by, "model"), window), _key_of((*of_main, "model"), window)
    of_runs: dict[Key, Sums] = {}
    of_conversation: dict[Key, Sums] = {}
    for part in parts:
        group, key_of = (of_runs, key_of_run) if part.agent is not None else (of_conversation, key_of_main)
        key = key_of(part)
        sums = group.get(key)
        if sums is None:
            sums = group[key] = Sums()
        sums.add(part)
    rows = _merged((key[:-1], sums) for key, sums in of_runs.items())
    main_rows = _merged((key[:-1], sums) for key, sums in of_conversation.items())
    models = _merged((key[-1:], sums) for group in (of_runs, of_conversation) for key, sums in group.items())
    total = _merged(((), sums) for sums in models.values()).get((), Sums())
    unpriced = {str(model): sums.unpriced_tokens for (model,), sums in models.items() if sums.unpriced_tokens}
    return UsageTable(by, _rows(by, rows), _rows(of_main, main_rows), total.row(), unpriced)


def _merged(groups: "Iterable[tuple[Key, Sums]]") -> "dict[Key, Sums]":
    """Return the sums of groups by their keys, which may come more than once."""
    merged: dict[Key, Sums] = {}
    for key, sums in groups:
        merged.setdefault(key, Sums()).include(sums)
    return merged


def _key_of(by: "Sequence[str]", window: Window) -> "Callable[[RunPart], Key]":
    """Return a function from a part to its values of the keys."""
    getters = [_period_getter(key, window) if key in PERIODS else attrgetter(key) for key in by]
    if len(by) > 1 and not set(by) & set(PERIODS):
        return attrgetter(*by)  # at once, which takes a third of the time
    return lambda part: tuple([get(part) for get in getters])


def _period_getter(key: str, window: Window) -> "Callable[[RunPart], str]":
    name, zone = PERIOD_NAMES[key], window.zone
    return lambda part: name(part.moment, zone)


def _rows(by: "Sequence[str]", groups: "dict[Key, Sums]") -> "list[Row]":
    """Return a row for each group, in order."""
    ranks = [_ranks(index, key, groups) for index, key in enumerate(by)]
    ordered = sorted(groups, key=lambda key: [rank[value] for rank, value in zip(ranks, key, strict=True)])
    return [{**dict(zip(by, key, strict=True)), **groups[key].row()} for key in ordered]


def _ranks(index: int, key: str, groups: "dict[Key, Sums]") -> "dict[str | None, int]":
    """Return the rank of each value that the groups' keys have at an index."""
    values = {
        value: sums for (value,), sums in _merged(((group[index],), sums) for group, sums in groups.items()).items()
    }
    ordered = sorted(values, key=lambda value: _place(key, value or "", values[value]))
    return {value: rank for rank, value in enumerate(ordered)}


def _place(key: str, value: str, sums: Sums) -> "tuple[object, ...]":
    """Return the sort key of a key's value: its time, else its costs, tokens and runs."""
    if key in PERIODS:
        return (parse_timestamp(value) if key == "hour" else value,)  # an hour of a clock that is set back comes twice
    return -sums.tokens[names.COST], -names.total_tokens(sums.tokens), -sum(sums.outcomes.values()), value


def _quantile(ordered: "list[float]", share: float) -> "float | None":
    """Return a quantile of sorted numbers, between two of them in proportion, as pandas and DuckDB's `quantile_cont` do."""
    if not ordered:
        return None
    position = (len(ordered) - 1) * share
    below = floor(position)
    above = min(below + 1, len(ordered) - 1)
    return round(ordered[below] + (ordered[above] - ordered[below]) * (position - below), 6)


SUMS = tuple(Sums().row())
"""The names of the sums in a row, in their order."""
