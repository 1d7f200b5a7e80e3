"""The state as Prometheus metrics: read at each scrape, so that it includes the tasks of every short-lived process."""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import accumulate
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample

from otel_tracker import names
from otel_tracker.names import VERSION
from otel_tracker.reporting import summary
from otel_tracker.runtime.interrupts import is_interrupt
from otel_tracker.runtime.limits import DURATION_BOUNDS
from otel_tracker.runtime.log import warn
from otel_tracker.runtime.printable import printable
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state.agent_entry import AMENDED
from otel_tracker.state.document import Document
from otel_tracker.state.prices import MICRO_DOLLARS
from otel_tracker.state.shapes import Row
from otel_tracker.telemetry import metrics

MOST_AGENTS = 1000
OTHER = "(other)"
"""The label of all agents beyond these, together; see `_label` for an agent that is called so."""
MAIN = "(main conversation)"
"""The label of what main conversations have used, which no agent has."""
_RECENT = 500  # entries of the history that exemplars are taken from

_FAMILIES = {
    metrics.COUNTER: CounterMetricFamily,
    metrics.GAUGE: GaugeMetricFamily,
    metrics.HISTOGRAM: HistogramMetricFamily,
    metrics.INFO: InfoMetricFamily,
}


Samples = dict[metrics.Metric, list[Sample]]


class Cache:
    """The samples of each agent from the last scrape; an agent that hasn't changed gets the same ones again."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[Row, tuple[Any, ...], Samples]] = {}

    def samples(self, agent: str, entry: Row, view: tuple[Any, ...], make: Callable[[], Samples]) -> Samples:
        """Return the samples of an agent whose entry in the document is that object, seen as `view`."""
        shown = self._shown.get(agent)
        if shown is None or shown[0] is not entry or shown[1] != view:
            shown = self._shown[agent] = (entry, view, make())
        return shown[2]


class StateCollector(Collector):
    """Yields the metrics of what `read` returns; it holds no number of its own. A scrape never fails.

    `Store.read` of a home is such a `read`; `otel-tracker serve` and `serve_metrics` register this for you. `clock` returns seconds since 1970.
    """

    def __init__(
        self, read: Callable[[], Document], clock: Callable[[], float] = time.time, cache: Cache | None = None
    ) -> None:
        self._read, self._clock, self._cache = read, clock, cache or Cache()

    def describe(self) -> Iterable[Family]:
        """Return the families without samples, so that a registry needn't read the state to know their names."""
        return [_family(metric) for metric in metrics.OF_DOCUMENT]

    def collect(self) -> Iterator[Family]:
        """Yield the metrics as of now."""
        try:
            shown = families(self._read(), self._clock(), self._cache)
        except Exception as error:  # the scrape shows that the state can't be read
            if is_interrupt(error):
                raise
            warn("cannot show the state: %s", error)
            shown = [_with(metrics.READ_SUCCESS, [((), 0)])]
        yield from shown
        build = _family(metrics.BUILD)
        build.add_metric([], {"version": VERSION})
        yield build


def families(document: Document, now: float, cache: Cache) -> list[Family]:
    """Return the metrics of a document as of `now`, in seconds since 1970; docs/prometheus.md has the list."""
    rows, recent = {key: summary.agent_state(document, key, now) for key in document.agents}, _exemplars(document)
    keys = list(rows)
    shown = []
    for key in keys[:MOST_AGENTS]:
        view = (
            rows[key]["override"],
            rows[key]["state"],
            rows[key]["blacklisted_until"],
            rows[key]["in_flight"],
            recent.get(_label(key)),
        )
        entry = document.agents[key]
        shown.append(cache.samples(key, entry, view, partial(_samples, _label(key), [rows[key]], recent)))
    if keys[MOST_AGENTS:]:
        shown.append(_samples(OTHER, [rows[key] for key in keys[MOST_AGENTS:]], recent))
    shown.append(_samples_of_main(summary.main_conversation(document)))
    updated = document.head["updated"]
    return [
        *(_gathered(metric, shown) for metric in metrics.OF_AGENTS),
        _with(metrics.READ_SUCCESS, [((), 1)]),
        _with(metrics.UPDATED, [((), parse_timestamp(updated) if updated else 0)]),
    ]


def _gathered(metric: metrics.Metric, shown: list[Samples]) -> Family:
    family = _family(metric)
    family.samples = [sample for samples in shown for sample in samples.get(metric, ())]
    return family  # type: ignore[no-any-return]


def _samples(agent: str, rows: list[Row], recent: "Recent") -> Samples:
    """Return the samples of an agent, or of several together, by metric."""
    series = _series(rows[0]) if len(rows) == 1 else _together([_series(row) for row in rows])
    by_metric = {
        metric: _with(metric, [((agent, *labels), value) for labels, value in series.get(metric, {}).items()]).samples
        for metric in metrics.OF_AGENTS
        if metric is not metrics.DURATION
    }
    has_durations = not all(_is_idle(row) for row in rows)
    return {**by_metric, metrics.DURATION: _durations(agent, rows, recent.get(agent, {})) if has_durations else []}


def _samples_of_main(main: Row) -> Samples:
    """Return the samples of what main conversations have used, none before any has: they are no tasks, and have no breaker."""
    usage = {_text(model): use for model, use in main["token_usage"].items()} if main["since"] else {}
    return {
        metric: _with(metric, [((MAIN, *labels), value) for labels, value in values.items()]).samples
        for metric, values in _used(usage).items()
    }


Series = dict[metrics.Metric, dict[tuple[str, ...], float]]
Recent = dict[str, dict[int, Exemplar]]


def _series(row: Row) -> Series:
    """Return an agent's values by metric and labels, without the agent's own.

    A counter's first rise is seen only if it was there before, at 0. So an agent has all its series from the start of its
    first task on, and those of a model that it hasn't used while a task runs; before, those of which alerts take rises.
    """
    counted, tallies, last = row["metrics"], row["tallies"], row["metrics"]["last_task_timestamp"]
    order = row["override"]
    state, until = (order["kind"], order.get("until")) if order else (row["state"], row["blacklisted_until"])
    is_refused = until is not None and state in (names.OPEN, names.FORCED_OPEN)
    ended = {
        names.SUCCESS: counted["tasks_successful"],
        names.FAILURE: max(0, counted["tasks_failed"] - tallies["lost"]),
        names.CANCELLED: counted["tasks_cancelled"],
        names.LOST: tallies["lost"],
    }
    outcomes = {outcome: number + tallies[AMENDED[outcome]] for outcome, number in ended.items()}  # none falls
    usage = {
        _text(model): use
        for model, use in row["token_usage"].items()
        if row["in_flight"] or use["count"] or use["total"]
    }
    if _is_idle(row):
        return {
            metrics.TASKS: {(outcome,): 0 for outcome in metrics.OUTCOMES},
            metrics.STATE: {(state,): 1},
            metrics.OPENED: {(): 0},
            metrics.IN_FLIGHT: {(): 0},
        }
    return {
        metrics.TASKS: {(outcome,): outcomes[outcome] for outcome in metrics.OUTCOMES},
        **_used(usage),
        metrics.MODEL_TASKS: {(model,): use["count"] for model, use in usage.items()},
        metrics.MEASURED: {
            (model,): use["count"] if use["measured"] is None else use["measured"] for model, use in usage.items()
        },
        metrics.STATE: {(shown,): float(shown == state) for shown in (*metrics.STATES, *metrics.ORDERS)},
        metrics.FAILURES: {(): row["failures"]},
        metrics.OPENED: {(): tallies["opened"]},
        metrics.REJECTIONS: {(): tallies["rejected"]},
        metrics.FALLBACKS: {(): tallies["fallback"]},
        metrics.IN_FLIGHT: {(): row["in_flight"]},
        metrics.UNTIL: {(): parse_timestamp(until) if is_refused else 0},
        metrics.LAST_TASK: {(): parse_timestamp(last) if last else 0},
    }


def _is_idle(row: Row) -> bool:
    """Tell whether nothing has happened to an agent yet but that it is known."""
    return not (
        row["in_flight"]
        or row["override"]
        or row["failures"]
        or row["state"] != names.CLOSED
        or row["metrics"]["last_task_timestamp"]
        or row["metrics"]["tasks_total"]
        or any(row["tallies"].values())
        or any(use["count"] or use["total"] for use in row["token_usage"].values())
    )


def _used(usage: dict[str, Row]) -> Series:
    """Return the tokens and costs of an agent, or of main conversations, by model."""
    return {
        metrics.TOKENS: {
            (model, token_type): use[token_type] for model, use in usage.items() for token_type in names.TOKEN_TYPES
        },
        metrics.COST: {
            (model,): use.get(names.COST, 0) / MICRO_DOLLARS
            for model, use in usage.items()
            if use.get(names.PRICED) or not use["total"]  # 0 would say that tokens without a price are free
        },
    }


def _together(all_series: list[Series]) -> Series:
    """Return the values of many agents as those of one: sums, and of moments and failures in a row the highest."""
    total: Series = {}
    for series in all_series:
        for metric, values in series.items():
            sums = total.setdefault(metric, {})
            is_highest = metric in (metrics.UNTIL, metrics.LAST_TASK, metrics.FAILURES)
            for labels, value in values.items():
                before = sums.get(labels, 0)
                sums[labels] = max(before, value) if is_highest else before + value
    return total


def _durations(agent: str, rows: list[Row], recent: dict[int, Exemplar]) -> list[Sample]:
    bounds = [*(str(bound) for bound in DURATION_BOUNDS), "+Inf"]
    # A run that was amended to another bucket stays counted in its first one, too: counters don't fall.
    parts = [row["durations"][part] for row in rows for part in ("buckets", "moved") if part in row["durations"]]
    counts = accumulate(sum(numbers) for numbers in zip(*parts, strict=True))
    buckets = [
        (bound, count, recent.get(index)) for index, (bound, count) in enumerate(zip(bounds, counts, strict=True))
    ]
    family = _family(metrics.DURATION)
    family.add_metric([agent], buckets, sum(row["durations"]["sum"] for row in rows))
    return family.samples  # type: ignore[no-any-return]


def _exemplars(document: Document) -> "Recent":
    """Return a recent task with a trace, by agent and bucket."""
    exemplars: Recent = {}
    for entry in document.history.entries()[-_RECENT:]:
        duration, trace_id = entry.get("duration_seconds"), entry.get("trace_id")
        with suppress(ValueError, TypeError, AttributeError, KeyError):  # another program's entry may say anything
            if entry["action"] in names.OUTCOMES and isinstance(duration, (int, float)) and trace_id:
                bucket = bisect_left(DURATION_BOUNDS, duration)
                exemplar = Exemplar({"trace_id": _text(trace_id)[:64]}, duration, parse_timestamp(entry["timestamp"]))
                exemplars.setdefault(_label(entry["agent"]), {})[bucket] = exemplar
    return exemplars


def _family(metric: metrics.Metric) -> Any:
    return _FAMILIES[metric.type](metric.base, metric.help, labels=metric.labels if metric.type != metrics.INFO else ())


def _with(metric: metrics.Metric, samples: Iterable[tuple[tuple[str, ...], float]]) -> Family:
    family = _family(metric)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family  # type: ignore[no-any-return]


def _label(agent: str) -> str:
    """Return the label of an agent: its key, with a stroke behind one that would be taken for the rest, or for no agent."""
    text = _text(agent)
    return f"{text}'" if text.rstrip("'") in (OTHER, MAIN) else text


def _text(value: object) -> str:
    """Return a label's value, which pages and terminals show as it is."""
    return printable(str(value))
