"""OpenTelemetry metrics of tasks, as a reader of the application's MeterProvider gets them."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader

from otel_tracker import MetricTracker, TaskTracker, __version__, configure, names
from otel_tracker.errors import StorageError
from otel_tracker.runtime import environment
from otel_tracker.runtime.vitals import BOUNDS, vitals
from otel_tracker.storage import unwritten
from otel_tracker.storage.home import Home
from otel_tracker.telemetry import meter
from otel_tracker.telemetry.meter import TaskMeter
from tests.clock import Clock

AGENT, OTHER = "core/coder.md", "core/debugger.md"
TASK = {"gen_ai.agent.name": AGENT, "gen_ai.operation.name": "invoke_agent"}
SONNET = {**TASK, "gen_ai.request.model": "sonnet"}
USAGE = {**SONNET, "gen_ai.provider.name": "anthropic"}
DURATION, TOKENS = "gen_ai.invoke_agent.duration", "gen_ai.client.token.usage"
TASKS, TRANSITIONS, EVENTS = "otel_tracker.tasks", "otel_tracker.circuit.transitions", "otel_tracker.events"
WRITES, WAITS = "otel_tracker.write.duration", "otel_tracker.lock.wait.duration"

Attributes = frozenset[tuple[str, Any]]


class Metric(NamedTuple):
    """A metric of the reader: what it is, and its points by their attributes."""

    unit: str
    description: str
    kind: str
    points: dict[Attributes, Any]


class Collected:
    """What a reader has collected, and how the metrics of this package look at this moment."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])

    def metrics(self) -> dict[str, Metric]:
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        found = {}
        for resource in data.resource_metrics:
            for scoped in resource.scope_metrics:
                scope = scoped.scope
                assert (scope.name, scope.version, scope.schema_url) == ("otel_tracker", __version__, names.SCHEMA_URL)
                for one in scoped.metrics:
                    assert one.name not in found
                    points = {frozenset((point.attributes or {}).items()): point for point in one.data.data_points}
                    assert len(points) == len(one.data.data_points)
                    found[one.name] = Metric(one.unit or "", one.description or "", type(one.data).__name__, points)
        return found

    def numbers(self, name: str) -> list[tuple[dict[str, Any], float]]:
        """Return the points of a counter."""
        metric = self.metrics().get(name)
        points = metric.points.items() if metric else ()
        return [(dict(attributes), point.value) for attributes, point in points]

    def histograms(self, name: str) -> list[tuple[dict[str, Any], int, float]]:
        """Return the points of a histogram: how many values, and their sum."""
        metric = self.metrics().get(name)
        points = metric.points.items() if metric else ()
        return [(dict(attributes), point.count, point.sum) for attributes, point in points]


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collected]:
    """Send the metrics of trackers that are made from now on to a reader."""
    monkeypatch.setattr(meter, "_observed", set())
    monkeypatch.setattr(vitals.writes, "listeners", [])
    monkeypatch.setattr(vitals.lock_waits, "listeners", [])
    vitals.renew()
    monkeypatch.setattr(environment, "configuration", environment.Configuration())
    made = Collected()
    configure(meter_provider=made.provider)
    yield made
    made.provider.shutdown()
    vitals.renew()


@pytest.fixture
def tracker(collected: Collected, home: Home) -> MetricTracker:
    return MetricTracker(home.document)


def task(tracker: MetricTracker, agent: str = AGENT, **known: Any) -> TaskTracker:
    return TaskTracker(agent, tracker=tracker, **known)


def fail(tracker: MetricTracker, times: int, agent: str = AGENT) -> None:
    for _ in range(times):
        with task(tracker, agent) as failing:
            failing.set_failed("no")


def test_each_metric_has_the_name_unit_kind_and_bounds_of_the_conventions(
    tracker: MetricTracker, collected: Collected
) -> None:
    with task(tracker) as done:
        done.set_usage(input_tokens=1, output_tokens=2)
    fail(tracker, 5)
    found = collected.metrics()
    assert {name: (metric.unit, metric.kind) for name, metric in found.items()} == {
        DURATION: ("s", "Histogram"),
        TOKENS: ("{token}", "Histogram"),
        TASKS: ("{task}", "Sum"),
        TRANSITIONS: ("{transition}", "Sum"),
        EVENTS: ("{event}", "Sum"),
        WRITES: ("s", "Histogram"),
        WAITS: ("s", "Histogram"),
    }
    assert all(metric.description.endswith(".") for metric in found.values())
    bounds = {
        name: {point.explicit_bounds for point in metric.points.values()}
        for name, metric in found.items()
        if metric.kind == "Histogram"
    }
    assert bounds == {
        DURATION: {(0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)},
        TOKENS: {tuple(4**power for power in range(14))},
        WRITES: {BOUNDS},
        WAITS: {BOUNDS},
    }


def test_each_end_of_a_task_is_counted_with_its_outcome(tracker: MetricTracker, collected: Collected) -> None:
    with task(tracker):
        pass
    with pytest.raises(ZeroDivisionError), task(tracker):
        _ = 1 / 0
    fail(tracker, 1)
    with pytest.raises(asyncio.CancelledError), task(tracker):
        raise asyncio.CancelledError
    assert collected.numbers(TASKS) == [
        ({**SONNET, "otel_tracker.outcome": "success"}, 1),
        ({**SONNET, "otel_tracker.outcome": "failure"}, 2),
        ({**SONNET, "otel_tracker.outcome": "cancelled"}, 1),
    ]
    durations = collected.histograms(DURATION)
    assert [(attributes, number) for attributes, number, _ in durations] == [
        (SONNET, 2),
        ({**SONNET, "error.type": "ZeroDivisionError"}, 1),
        ({**SONNET, "error.type": "set_failed"}, 1),
    ]
    assert all(seconds > 0 for _, _, seconds in durations)


def test_a_duration_is_that_of_the_task(tracker: MetricTracker, collected: Collected, clock: Clock) -> None:
    start = tracker.record_task_start(AGENT)
    with task(tracker, OTHER):
        pass
    tracker.record_task_complete(AGENT, start)
    entries = {entry["agent"]: entry for entry in tracker.get_history()}
    seconds = {attributes["gen_ai.agent.name"]: total for attributes, _, total in collected.histograms(DURATION)}
    assert seconds == {
        agent: pytest.approx(entry["duration_seconds"], abs=1e-6)
        for agent, entry in entries.items()
        if entry["duration_seconds"] is not None
    }
    assert seconds.keys() == {AGENT, OTHER}


def test_what_is_known_of_the_model_is_said(tracker: MetricTracker, collected: Collected) -> None:
    for model, full in ((None, None), ("gpt-7", None), (None, "claude-opus-5")):
        with task(tracker, model=model) as done:
            done.set_tokens_used(7)
            if full:
                done.set_model(full)
    assert collected.numbers(TASKS) == [
        ({**TASK, "otel_tracker.outcome": "success"}, 1),
        ({**TASK, "gen_ai.request.model": "gpt-7", "otel_tracker.outcome": "success"}, 1),
        ({**TASK, "gen_ai.request.model": "opus", "otel_tracker.outcome": "success"}, 1),
    ]
    providers = [attributes["gen_ai.provider.name"] for attributes, _, _ in collected.histograms(TOKENS)]
    assert providers == ["_OTHER", "_OTHER", "anthropic"]


def test_tokens_are_counted_by_type_and_input_includes_the_cache(tracker: MetricTracker, collected: Collected) -> None:
    for _ in range(2):
        with task(tracker) as done:
            done.set_usage(input_tokens=10, output_tokens=20, cache_read_tokens=300, cache_write_tokens=4000)
    assert collected.histograms(TOKENS) == [
        ({**USAGE, "gen_ai.token.type": "input"}, 2, 2 * 4310),
        ({**USAGE, "gen_ai.token.type": "output"}, 2, 2 * 20),
    ]


def test_what_tasks_cost_is_counted_where_they_have_a_price(tracker: MetricTracker, collected: Collected) -> None:
    for full_id in ("claude-sonnet-5", "claude-sonnet-5", "our-own-model"):
        with task(tracker) as done:
            done.set_model(full_id)
            done.set_usage(input_tokens=1000, output_tokens=100)
    metric = collected.metrics()["otel_tracker.cost"]
    assert (metric.unit, metric.kind) == ("{USD}", "Sum")
    assert {labels["gen_ai.request.model"]: total for labels, total in collected.numbers("otel_tracker.cost")} == {
        "sonnet": pytest.approx(2 * 0.003)
    }


def test_tokens_without_a_type_are_untyped(tracker: MetricTracker, collected: Collected) -> None:
    with task(tracker) as done:
        done.set_tokens_used(1500)
    with task(tracker):
        pass
    assert collected.histograms(TOKENS) == [({**USAGE, "gen_ai.token.type": "untyped"}, 1, 1500)]
    (point,) = collected.metrics()[TOKENS].points.values()
    assert isinstance(point, HistogramDataPoint)
    assert point.bucket_counts[point.explicit_bounds.index(4096)] == 1


def test_tasks_that_are_recorded_when_they_are_over_are_counted_too(
    tracker: MetricTracker, collected: Collected
) -> None:
    tracker.record_task_complete(AGENT, tracker.record_task_start(AGENT), tokens_used=9)
    tracker.record_task_failure(AGENT, tracker.record_task_start(AGENT), "no")
    tracker.record_task_cancelled(AGENT, tracker.record_task_start(AGENT), "enough")
    assert [(known["otel_tracker.outcome"], number) for known, number in collected.numbers(TASKS)] == [
        ("success", 1),
        ("failure", 1),
        ("cancelled", 1),
    ]
    assert [(known.get("error.type"), number) for known, number, _ in collected.histograms(DURATION)] == [
        (None, 2),
        ("record_task_failure", 1),
    ]
    assert [(known["gen_ai.token.type"], total) for known, _, total in collected.histograms(TOKENS)] == [("untyped", 9)]


def test_each_state_that_a_breaker_gets_is_counted_once(
    tracker: MetricTracker, collected: Collected, clock: Clock
) -> None:
    def counted() -> dict[tuple[str, str], float]:
        return {
            (known["gen_ai.agent.name"], known["otel_tracker.circuit.state"]): number
            for known, number in collected.numbers(TRANSITIONS)
        }

    fail(tracker, 4)
    assert counted() == {}
    fail(tracker, 3)  # the fifth opens it
    assert counted() == {(AGENT, "open"): 1}
    clock.now += 24 * 3600
    with task(tracker, enforce=True):
        assert counted() == {(AGENT, "open"): 1, (AGENT, "half_open"): 1}
    once = {(AGENT, "open"): 1, (AGENT, "half_open"): 1, (AGENT, "closed"): 1}
    assert counted() == once
    with task(tracker, enforce=True):
        pass
    fail(tracker, 5, OTHER)
    assert counted() == {**once, (OTHER, "open"): 1}


def test_without_a_meter_provider_nothing_is_collected(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "_observed", set())
    assert not TaskMeter().is_on
    assert TaskMeter(MeterProvider()).is_on
    tracker = MetricTracker(home.document)
    fail(tracker, 6)
    assert not tracker.pipeline.meter.is_on
    assert tracker.get_agent_metrics(AGENT)["metrics"]["tasks_failed"] == 6


_LATE = """
import sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from otel_tracker import MetricTracker, TaskTracker
from otel_tracker.runtime.vitals import vitals

def work(tracker):
    with TaskTracker("a.md", tracker=tracker):
        pass

first, second = MetricTracker(sys.argv[1]), MetricTracker(sys.argv[2])
work(first)
work(second)
assert not first.pipeline.meter.is_on
before = sum(vitals.writes.buckets)
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
work(first)
work(second)
work(MetricTracker(sys.argv[3]))
assert first.pipeline.meter.is_on
(resource,) = reader.get_metrics_data().resource_metrics
(scope,) = resource.scope_metrics
for metric in scope.metrics:
    numbers = [getattr(point, "count", getattr(point, "value", None)) for point in metric.data.data_points]
    print(metric.name, *numbers)
print("written", sum(vitals.writes.buckets) - before)
"""


@pytest.mark.processes
def test_a_meter_provider_that_is_set_after_the_first_task_works_from_then_on(tmp_path: Path) -> None:
    homes = [Home(str(tmp_path / name)).document for name in ("one", "two", "three")]
    command = [sys.executable, "-W", "error", "-c", _LATE, *homes]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    shown = {name: [int(number) for number in numbers] for name, *numbers in map(str.split, done.stdout.splitlines())}
    assert shown["written"] == [6]
    assert shown[WRITES] == shown["written"]
    assert shown[TASKS] == shown[DURATION] == [3]
    assert shown[EVENTS] == [10, 0, 0]
    assert TRANSITIONS not in shown


def test_a_process_shows_its_recording_once_however_many_trackers_it_has(
    tracker: MetricTracker, collected: Collected, tmp_path: Path
) -> None:
    other = MetricTracker(Home(str(tmp_path / "other")).document)
    for one in (tracker, other, tracker):
        with task(one):
            pass
    ((_, writes, _),) = collected.histograms(WRITES)
    assert writes == sum(vitals.writes.buckets) == 6
    assert [number for _, number in collected.numbers(EVENTS)] == [6, 0, 0]


def test_a_second_provider_shows_the_recording_too(
    tracker: MetricTracker, collected: Collected, tmp_path: Path
) -> None:
    with task(tracker):
        pass
    second = Collected()
    configure(meter_provider=second.provider)
    with task(MetricTracker(Home(str(tmp_path / "other")).document)):
        pass
    ((_, first_writes, _),) = collected.histograms(WRITES)
    ((_, second_writes, _),) = second.histograms(WRITES)
    assert (first_writes, second_writes) == (4, 2)
    assert [number for _, number in collected.numbers(TASKS)] == [number for _, number in second.numbers(TASKS)] == [1]
    second.provider.shutdown()


def test_what_is_recorded_tried_again_and_given_up_is_shown(
    tracker: MetricTracker, collected: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise StorageError("write", "the disk", "it is full")

    def shown() -> dict[str, float]:
        return {known["otel_tracker.result"]: number for known, number in collected.numbers(EVENTS)}

    with task(tracker):
        pass
    assert shown() == {"recorded": 2, "retried": 0, "dropped": 0}
    with monkeypatch.context() as full_disk:
        full_disk.setattr(tracker._store, "announce", break_down)
        late = task(tracker)
        late.begin()
    late.end()
    assert shown() == {"recorded": 4, "retried": 1, "dropped": 0}
    with monkeypatch.context() as full_disk:
        full_disk.setattr(tracker._store, "announce", break_down)
        full_disk.setattr(tracker._store, "record", break_down)
        full_disk.setattr(unwritten, "leave", break_down)
        with task(tracker):
            pass
        tracker._recorder.leave()
    assert shown() == {"recorded": 4, "retried": 1, "dropped": 2}
    (written,), (waited,) = collected.histograms(WRITES), collected.histograms(WAITS)
    assert written[1] == sum(vitals.writes.buckets)
    assert waited[1] == sum(vitals.lock_waits.buckets)
    assert min(written[1:] + waited[1:]) > 0
