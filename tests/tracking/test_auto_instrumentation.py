"""`opentelemetry-instrument`, the real one: programs that know nothing of this package, and its settings."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_tracker import CircuitBreakerSpanExporter, MetricTracker, TaskTracker, configure
from otel_tracker.runtime import environment
from otel_tracker.storage.home import Home
from otel_tracker.tracking.instrumentor import AgentTrackerInstrumentor
from tests.faults.components import miss

pytestmark = pytest.mark.processes

AGENT, FOREIGN = "core/coder.md", "research/reader.md"
BOUND = 120.0
INSTRUMENT = Path(sys.executable).with_name("opentelemetry-instrument")
ALONE = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "otel_tracker"}
BEGINNING = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": FOREIGN}

_WITH_TASK = f"""
from otel_tracker import TaskTracker
with TaskTracker({AGENT!r}, model="opus") as task:
    task.set_tokens_used(1500)
"""
_WITH_SPANS = f"""
from opentelemetry import trace
tracer = trace.get_tracer("somebody's agents")
with tracer.start_as_current_span("invoke_agent", attributes={{**{BEGINNING!r}, "gen_ai.usage.input_tokens": 7}}):
    with tracer.start_as_current_span("GET /"):
        pass
try:
    with tracer.start_as_current_span("invoke_agent", attributes={BEGINNING!r}):
        raise KeyError("of the agent")
except KeyError:
    pass
"""
_WITH_BOTH = _WITH_TASK + _WITH_SPANS


class Instrumented:
    """Runs programs under `opentelemetry-instrument`, and tells what was recorded of them."""

    def __init__(self, home: Home, folder: Path) -> None:
        self.home, self._script = home, folder / "skill.py"

    def run(self, code: str, *arguments: str, **variables: str) -> str:
        """Run a script, and return what it has printed; nothing may be on standard error."""
        self._script.write_text(code)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        exporters = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
        known = {**kept, **exporters, "OTEL_TRACKER_HOME": self.home.folder, **variables}
        command = [str(INSTRUMENT), *arguments, sys.executable, str(self._script)]
        done = subprocess.run(command, env=known, capture_output=True, text=True, timeout=BOUND, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    @property
    def entries(self) -> list[tuple[str, str]]:
        """Return agent and action of each entry of the history, oldest first."""
        return entries_of(self.home)


def entries_of(home: Home) -> list[tuple[str, str]]:
    return [(entry["agent"], entry["action"]) for entry in MetricTracker(home.document).get_history()]


TASK = [(AGENT, "task_completed")]
SPANS = [(FOREIGN, "task_completed"), (FOREIGN, "task_failed")]


@pytest.fixture
def instrumented(home: Home, tmp_path: Path) -> Instrumented:
    if not INSTRUMENT.exists():
        miss("opentelemetry-instrument is missing; install it with: pip install opentelemetry-distro")
    return Instrumented(home, tmp_path)


def shown_spans(printed: str) -> list[dict[str, Any]]:
    """Return the spans that the exporter `console` has printed."""
    decoder, spans, rest = json.JSONDecoder(), [], printed.strip()
    while rest:
        span, end = decoder.raw_decode(rest)
        spans.append(span)
        rest = rest[end:].strip()
    return spans


def test_the_entry_points_are_there_and_load() -> None:
    def the(group: str, name: str) -> EntryPoint:
        (found,) = entry_points(group=group, name=name)
        return found

    assert the("opentelemetry_instrumentor", "otel_tracker").load() is AgentTrackerInstrumentor
    assert the("opentelemetry_traces_exporter", "circuit_breaker").load() is CircuitBreakerSpanExporter
    assert the("opentelemetry_environment_variables", "otel_tracker").load() is environment


def test_a_script_with_task_trackers_alone_has_its_spans_exported(instrumented: Instrumented) -> None:
    (span,) = shown_spans(instrumented.run(_WITH_TASK, OTEL_TRACES_EXPORTER="console", OTEL_SERVICE_NAME="skills"))
    assert (span["name"], span["resource"]["attributes"]["service.name"]) == (f"invoke_agent {AGENT}", "skills")
    assert span["attributes"]["otel_tracker.tokens_used"] == 1500
    (entry,) = MetricTracker(instrumented.home.document).get_history()
    assert (entry["agent"], entry["tokens_used"], entry.get("unexported")) == (AGENT, 1500, None)
    assert (f"0x{entry['trace_id']}", f"0x{entry['span_id']}") == (
        span["context"]["trace_id"],
        span["context"]["span_id"],
    )


def test_agents_of_a_script_that_knows_nothing_of_us_are_recorded(instrumented: Instrumented) -> None:
    assert "otel_tracker" not in _WITH_SPANS
    instrumented.run(_WITH_SPANS)
    assert instrumented.entries == SPANS
    agent = MetricTracker(instrumented.home.document).get_agent(FOREIGN)
    assert agent["metrics"]["tasks_total"] == 2
    first, second = MetricTracker(instrumented.home.document).get_history()
    assert (first["tokens_used"], second["error"]) == (7, "KeyError: 'of the agent'")


def test_without_the_instrumentor_the_spans_of_others_are_not_recorded(instrumented: Instrumented) -> None:
    instrumented.run(_WITH_SPANS, **ALONE)
    assert not Path(instrumented.home.document).exists()
    instrumented.run(_WITH_TASK, **ALONE)
    assert instrumented.entries == TASK


@pytest.mark.parametrize("variables", [{}, ALONE])
def test_the_exporter_by_its_name_records_each_task_once(instrumented: Instrumented, variables: dict[str, str]) -> None:
    assert instrumented.run(_WITH_BOTH, OTEL_TRACES_EXPORTER="circuit_breaker", **variables) == ""
    assert instrumented.entries == TASK + SPANS


@pytest.mark.parametrize("variables", [{}, ALONE])
def test_our_exporter_beside_another_one_records_each_task_once(
    instrumented: Instrumented, variables: dict[str, str]
) -> None:
    printed = instrumented.run(_WITH_BOTH, OTEL_TRACES_EXPORTER="circuit_breaker,console", **variables)
    assert instrumented.entries == TASK + SPANS
    names = [span["name"] for span in shown_spans(printed)]
    assert names == [f"invoke_agent {AGENT}", "GET /", "invoke_agent", "invoke_agent"]


def test_with_the_sdk_disabled_tasks_are_recorded_for_a_later_export(instrumented: Instrumented) -> None:
    assert instrumented.run(_WITH_BOTH, OTEL_SDK_DISABLED="true", OTEL_TRACES_EXPORTER="console") == ""
    (entry,) = MetricTracker(instrumented.home.document).get_history()
    assert (entry["agent"], entry["action"], entry["unexported"]) == (AGENT, "task_completed", True)


def test_an_argument_of_opentelemetry_instrument_chooses_the_home(instrumented: Instrumented, tmp_path: Path) -> None:
    chosen = Home(str(tmp_path / "chosen"))
    instrumented.run(_WITH_BOTH, "--tracker_home", chosen.folder, OTEL_TRACKER_HOME="")
    assert entries_of(chosen) == TASK + SPANS
    assert not Path(instrumented.home.folder).exists()


def test_an_argument_of_opentelemetry_instrument_comes_before_the_environment(
    instrumented: Instrumented, tmp_path: Path
) -> None:
    chosen = Home(str(tmp_path / "chosen"))
    instrumented.run(_WITH_TASK, "--tracker_home", chosen.folder)
    assert entries_of(chosen) == TASK
    assert not Path(instrumented.home.folder).exists()


def test_metrics_of_a_script_are_exported_too(instrumented: Instrumented) -> None:
    (printed,) = shown_spans(instrumented.run(_WITH_TASK, OTEL_METRICS_EXPORTER="console"))
    (resource,) = printed["resource_metrics"]
    found = {metric["name"] for scope in resource["scope_metrics"] for metric in scope["metrics"]}
    assert found >= {"gen_ai.invoke_agent.duration", "gen_ai.client.token.usage", "otel_tracker.tasks"}


@pytest.fixture
def instrumentor(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[AgentTrackerInstrumentor]:
    """Return the instrumentor, of which there is one in a process, not at work; and put an end to its work."""
    monkeypatch.setenv("OTEL_TRACKER_HOME", home.folder)
    monkeypatch.setattr(environment, "configuration", environment.Configuration())
    made = AgentTrackerInstrumentor()
    assert not made.is_instrumented_by_opentelemetry
    yield made
    if made.is_instrumented_by_opentelemetry:
        made.uninstrument()


@pytest.fixture
def provider() -> TracerProvider:
    return TracerProvider(shutdown_on_exit=False)


def make_span(provider: trace.TracerProvider) -> None:
    with provider.get_tracer("somebody's agents").start_as_current_span("invoke_agent", attributes=BEGINNING):
        pass


def test_instrumenting_twice_records_once(
    instrumentor: AgentTrackerInstrumentor, home: Home, provider: TracerProvider
) -> None:
    instrumentor.instrument(tracer_provider=provider)
    instrumentor.instrument(tracer_provider=provider)
    make_span(provider)
    assert entries_of(home) == SPANS[:1]


def test_uninstrumenting_stops_the_recording_of_others_and_instrumenting_again_takes_it_up(
    instrumentor: AgentTrackerInstrumentor, home: Home, provider: TracerProvider
) -> None:
    instrumentor.instrument(tracer_provider=provider)
    make_span(provider)
    instrumentor.uninstrument()
    make_span(provider)
    assert entries_of(home) == SPANS[:1]
    instrumentor.instrument(tracer_provider=provider)
    make_span(provider)
    assert entries_of(home) == SPANS[:1] * 2
    instrumentor.uninstrument()
    instrumentor.uninstrument()
    make_span(provider)
    assert entries_of(home) == SPANS[:1] * 2


def test_an_own_task_does_not_take_up_the_recording_of_others(
    instrumentor: AgentTrackerInstrumentor, home: Home, provider: TracerProvider
) -> None:
    instrumentor.instrument(tracer_provider=provider)
    instrumentor.uninstrument()
    with TaskTracker(AGENT, tracker=MetricTracker(home.document, tracer_provider=provider)):
        pass
    make_span(provider)
    assert entries_of(home) == TASK


def test_own_tasks_are_recorded_whether_it_is_at_work_or_not(
    instrumentor: AgentTrackerInstrumentor, home: Home, provider: TracerProvider
) -> None:
    tracker = MetricTracker(home.document, tracer_provider=provider)
    for step in (lambda: None, lambda: instrumentor.instrument(tracer_provider=provider), instrumentor.uninstrument):
        step()
        with TaskTracker(AGENT, tracker=tracker):
            pass
    assert entries_of(home) == TASK * 3


def test_own_tasks_go_to_the_providers_that_it_was_given(
    instrumentor: AgentTrackerInstrumentor, home: Home, provider: TracerProvider
) -> None:
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    instrumentor.instrument(tracer_provider=provider, meter_provider=MeterProvider([reader]))
    with TaskTracker(AGENT, tracker=MetricTracker(home.document)):
        pass
    assert [span.name for span in spans.get_finished_spans()] == [f"invoke_agent {AGENT}"]
    assert reader.get_metrics_data() is not None
    instrumentor.uninstrument()
    assert (environment.configuration.tracer_provider, environment.configuration.meter_provider) == (None, None)


def test_what_was_configured_stays_when_it_stops(
    instrumentor: AgentTrackerInstrumentor, provider: TracerProvider
) -> None:
    configure(tracer_provider=provider)
    instrumentor.instrument()
    instrumentor.uninstrument()
    assert environment.configuration.tracer_provider is provider
