"""Whatever an application has set up of OpenTelemetry, a task counts once, with its outcome and its tokens."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_tracker import (
    AgentBlacklistedError,
    CircuitBreakerSpanExporter,
    InvalidValueError,
    MetricTracker,
    TaskTracker,
    configure,
)
from otel_tracker.errors import OtelTrackerError
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.builders import value_of
from tests.clock import Clock

AGENT = "core/coder-of-many-words.md"
COOLDOWN = 600.0

_TOOLS = """
import threading
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from otel_tracker import CircuitBreakerSpanExporter, MetricTracker, TaskTracker

def use(provider, *processors):
    for processor in processors:
        provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    return provider

class Blocked(CircuitBreakerSpanExporter):
    gate = threading.Event()
    def export(self, spans):
        self.gate.wait()
        return super().export(spans)

class OtherSpan(trace.NonRecordingSpan):
    def is_recording(self):
        return True

class OtherTracer(trace.NoOpTracer):
    def start_span(self, *arguments, **keywords):
        return OtherSpan(trace.SpanContext(7, 8, False))

class OtherProvider(trace.TracerProvider):
    def get_tracer(self, *arguments, **keywords):
        return OtherTracer()

def in_the_block(): pass
def at_the_end(): pass
"""
_TASKS = f"""
with TaskTracker({AGENT!r}, model="opus-of-many-words") as task:
    in_the_block()
    task.set_tokens_used(1500)
try:
    with TaskTracker({AGENT!r}) as task:
        task.set_usage(input_tokens=1, output_tokens=2)
        raise ValueError("broken beyond repair")
except ValueError:
    pass
tracker = MetricTracker()
tracker.record_task_complete({AGENT!r}, tracker.record_task_start({AGENT!r}), 9)
at_the_end()
"""
EXPECTED = [
    ("task_completed", 1500, "opus-of-many-words", None),
    ("task_failed", 3, "sonnet", "broken beyond repair"),
    ("task_completed", 9, "sonnet", None),
]


class Setup(NamedTuple):
    code: str = ""
    environment: tuple[tuple[str, str], ...] = ()


SETUPS = {
    "no SDK": Setup(),
    "our processor only": Setup("use(TracerProvider())"),
    "exporter in a simple processor": Setup("use(TracerProvider(), SimpleSpanProcessor(CircuitBreakerSpanExporter()))"),
    "exporter in a batch processor": Setup("use(TracerProvider(), BatchSpanProcessor(CircuitBreakerSpanExporter()))"),
    "all at once": Setup(
        """
use(TracerProvider(), BatchSpanProcessor(CircuitBreakerSpanExporter()), SimpleSpanProcessor(CircuitBreakerSpanExporter()))
from otel_tracker.tracking.instrumentor import AgentTrackerInstrumentor
AgentTrackerInstrumentor().instrument()
"""
    ),
    "sampled out": Setup("use(TracerProvider(sampler=ALWAYS_OFF), SimpleSpanProcessor(CircuitBreakerSpanExporter()))"),
    "sampled out by a root": Setup("use(TracerProvider(sampler=ParentBased(ALWAYS_OFF)))"),
    "sampled out by a parent": Setup(
        "use(TracerProvider())", (("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"),)
    ),
    "sampled out by the environment": Setup("use(TracerProvider())", (("OTEL_TRACES_SAMPLER", "always_off"),)),
    "sampled out without a provider": Setup("", (("OTEL_TRACES_SAMPLER", "always_off"),)),
    "disabled": Setup("use(TracerProvider())", (("OTEL_SDK_DISABLED", "true"),)),
    "disabled without a provider": Setup("", (("OTEL_SDK_DISABLED", "true"),)),
    "disabled in a trace": Setup(
        "use(TracerProvider())",
        (
            ("OTEL_SDK_DISABLED", "true"),
            ("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ),
    ),
    "limits": Setup(
        """
limits = SpanLimits(max_span_attributes=3, max_span_attribute_length=8)
use(TracerProvider(span_limits=limits), BatchSpanProcessor(CircuitBreakerSpanExporter()))
""",
    ),
    "limits by the environment": Setup(
        "use(TracerProvider(), BatchSpanProcessor(CircuitBreakerSpanExporter()))",
        (("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "3"), ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "8")),
    ),
    "limits without a provider": Setup(
        "",
        (("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "3"), ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "8")),
    ),
    "a full queue": Setup(
        """
use(TracerProvider(), BatchSpanProcessor(Blocked()))
with trace.get_tracer("somebody").start_as_current_span("filler"): pass
at_the_end = Blocked.gate.set
""",
        (("OTEL_BSP_MAX_QUEUE_SIZE", "1"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")),
    ),
    "shut down before": Setup(
        "use(TracerProvider(), BatchSpanProcessor(CircuitBreakerSpanExporter())).shutdown()",
    ),
    "shut down after a task": Setup(
        """
provider = use(TracerProvider(), SimpleSpanProcessor(CircuitBreakerSpanExporter()))
MetricTracker().pipeline.start_span("nobody", {}, 1)
provider.shutdown()
""",
    ),
    "shut down in the block": Setup(
        "in_the_block = use(TracerProvider(), BatchSpanProcessor(CircuitBreakerSpanExporter())).shutdown",
    ),
    "shut down twice": Setup(
        """
provider = use(TracerProvider(), SimpleSpanProcessor(CircuitBreakerSpanExporter()))
def in_the_block():
    provider.shutdown()
    provider.shutdown()
at_the_end = provider.shutdown
""",
    ),
    "set in the first task": Setup(
        """
spans = InMemorySpanExporter()
def in_the_block():
    use(TracerProvider(), SimpleSpanProcessor(spans), SimpleSpanProcessor(CircuitBreakerSpanExporter()))
def at_the_end():
    assert len(spans.get_finished_spans()) == 2
""",
    ),
    "somebody else's provider": Setup("use(OtherProvider())"),
    "somebody else's provider passed in": Setup(
        """
from otel_tracker import configure
configure(tracer_provider=OtherProvider())
"""
    ),
    "a processor that fails": Setup(
        """
class Broken(SimpleSpanProcessor):
    def on_end(self, span): raise RuntimeError("processor on fire")
use(TracerProvider(), Broken(CircuitBreakerSpanExporter()))
""",
    ),
}


def recorded(home: Home) -> list[tuple[str, int | None, str | None, str | None]]:
    """Return the ended tasks as a store that has seen nothing yet reads them."""
    document = value_of(Store(home).read())
    ended = document["history"]
    assert document["in_flight"] == {}
    assert document["metrics"]["total_requests"] == len(ended)
    return [(entry["action"], entry["tokens_used"], entry["model"], entry.get("error")) for entry in ended]


def run(home: Home, command: list[str], **environment: str) -> tuple[str, str]:
    """Run a program whose tasks go to `home`, and return its output and what it has complained of."""
    environment = {**os.environ, "OTEL_TRACKER_HOME": home.folder, **environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    return done.stdout, done.stderr


def python(home: Home, code: str, **environment: str) -> tuple[str, str]:
    return run(home, [sys.executable, "-W", "error", "-c", code], **environment)


@pytest.mark.processes
@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS)
def test_a_task_counts_once_whatever_is_set_up(home: Home, setup: Setup) -> None:
    _, said = python(home, _TOOLS + setup.code + _TASKS, **dict(setup.environment))
    ours = [line for line in said.splitlines() if "otel_tracker" in line and "processor on fire" not in said]
    assert ours == []  # what the SDK says of its limits and its end depends on its version
    assert recorded(home) == EXPECTED


@pytest.mark.processes
@pytest.mark.parametrize("exporters", ["circuit_breaker", "none", "circuit_breaker,console"])
def test_a_task_counts_once_under_opentelemetry_instrument(home: Home, exporters: str) -> None:
    code = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
assert isinstance(trace.get_tracer_provider(), TracerProvider)
"""
    instrument = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
    command = [sys.executable, "-c", instrument, sys.executable, "-c", _TOOLS + code + _TASKS]
    shown, said = run(
        home,
        command,
        OTEL_TRACES_EXPORTER=exporters,
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
    )
    assert said == ""
    assert shown.count(f'"name": "invoke_agent {AGENT}"') == (3 if "console" in exporters else 0)
    assert recorded(home) == EXPECTED


@pytest.mark.processes
def test_trackers_tasks_and_instrumentors_add_one_processor_to_a_provider(home: Home) -> None:
    code = """
import logging
from otel_tracker import configure
from otel_tracker.tracking.instrumentor import AgentTrackerInstrumentor
logging.getLogger("opentelemetry.instrumentation.instrumentor").setLevel(logging.ERROR)
first, second = use(TracerProvider()), TracerProvider()
def ours(provider):
    return sum(type(p).__name__ == "AgentSpanProcessor" for p in provider._active_span_processor._span_processors)
for _ in range(3):
    AgentTrackerInstrumentor().instrument()
    for tracker in (MetricTracker(), MetricTracker(), MetricTracker(tracer_provider=second), None):
        with TaskTracker("a.md", tracker=tracker): pass
AgentTrackerInstrumentor().uninstrument()
AgentTrackerInstrumentor().instrument()
AgentTrackerInstrumentor().uninstrument()
AgentTrackerInstrumentor().instrument(tracer_provider=second)
configure(tracer_provider=first)
with TaskTracker("a.md"): pass
configure(tracer_provider=second)
with TaskTracker("a.md"): pass
print(ours(first), ours(second))
"""
    shown, said = python(home, _TOOLS + code)
    assert (shown.split(), said, len(recorded(home))) == (["1", "1"], "", 14)


@pytest.mark.processes
def test_after_uninstrument_spans_of_others_are_recorded_no_more_and_our_own_tasks_are(home: Home) -> None:
    code = """
from otel_tracker.tracking.instrumentor import AgentTrackerInstrumentor
use(TracerProvider())
def work(foreign, own):
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": foreign}
    with trace.get_tracer("others").start_as_current_span("invoke_agent", attributes=attributes): pass
    with TaskTracker(own, tracker=MetricTracker()): pass
for _ in range(2):
    AgentTrackerInstrumentor().instrument()
    for _ in range(2):
        work("foreign", "own")
    AgentTrackerInstrumentor().uninstrument()
    for _ in range(2):
        work("hidden", "alone")
print(*[entry["agent"] for entry in MetricTracker().get_history()], sep="\\n")
"""
    shown, said = python(home, _TOOLS + code)
    assert (shown.splitlines(), said) == ([*["foreign", "own"] * 2, "alone", "alone"] * 2, "")


@pytest.mark.processes
def test_a_provider_that_configure_has_named_outlives_an_instrumentor(home: Home) -> None:
    code = """
from otel_tracker import configure
from otel_tracker.tracking.instrumentor import AgentTrackerInstrumentor
spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
configure(tracer_provider=provider)
for step in (AgentTrackerInstrumentor().instrument, AgentTrackerInstrumentor().uninstrument):
    step()
    with TaskTracker("a.md"): pass
    print(len(spans.get_finished_spans()))
"""
    shown, said = python(home, _TOOLS + code)
    assert (shown.split(), said) == (["1", "2"], "")


@pytest.mark.processes
@pytest.mark.parametrize(
    ("setup", "is_unexported"),
    [
        (SETUPS["no SDK"], True),
        (SETUPS["disabled"], True),
        (SETUPS["disabled without a provider"], True),
        (SETUPS["our processor only"], False),
        (SETUPS["somebody else's provider passed in"], False),
    ],
)
def test_a_task_whose_span_is_not_exported_says_so(home: Home, setup: Setup, is_unexported: bool) -> None:
    python(home, _TOOLS + setup.code + _TASKS, **dict(setup.environment))
    history = value_of(Store(home).read())["history"]
    assert [entry.get("unexported", False) for entry in history] == [is_unexported] * 3


@pytest.mark.processes
def test_the_span_of_a_task_is_made_by_the_applications_provider_with_its_limits(home: Home) -> None:
    code = """
spans = InMemorySpanExporter()
def at_the_end():
    for span in spans.get_finished_spans():
        assert len(span.attributes) == 3
        assert max(len(str(value)) for value in span.attributes.values()) <= 8
        print(span.dropped_attributes > 0)
use(TracerProvider(span_limits=SpanLimits(max_span_attributes=3, max_span_attribute_length=8)), SimpleSpanProcessor(spans))
"""
    shown, _ = python(home, _TOOLS + code + _TASKS)
    assert shown.split() == ["True"] * 3


def spans_of_agents(*agents: str) -> list[ReadableSpan]:
    """Return spans of another library."""
    provider, kept = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    for agent in agents:
        attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": agent}
        provider.get_tracer("somebody").start_span("invoke_agent", attributes=attributes).end()
    return list(kept.get_finished_spans())


def test_an_exporter_that_is_shut_down_refuses_spans_and_may_be_shut_down_again(home: Home) -> None:
    (before, after), exporter = spans_of_agents("before", "after"), CircuitBreakerSpanExporter(home.document)
    assert exporter.export([before]) is SpanExportResult.SUCCESS
    exporter.shutdown()
    exporter.shutdown()
    assert exporter.export([after]) is SpanExportResult.FAILURE
    assert exporter.force_flush()
    assert len(recorded(home)) == 1


def test_spans_that_four_threads_export_at_once_count_once(home: Home) -> None:
    provider, kept = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracker = MetricTracker(home.document, tracer_provider=provider)
    for _ in range(10):
        with TaskTracker("ours", tracker=tracker):
            pass
    spans = [*kept.get_finished_spans(), *spans_of_agents(*["theirs"] * 40)]
    exporter, together = CircuitBreakerSpanExporter(home.document), threading.Barrier(4)

    def export() -> list[SpanExportResult]:
        together.wait()
        return [exporter.export(spans[number : number + 5]) for number in range(0, len(spans), 5)]

    with ThreadPoolExecutor(4) as threads:
        said = [thread.result() for thread in [threads.submit(export) for _ in range(4)]]
    assert said == [[SpanExportResult.SUCCESS] * 10] * 4
    assert len(recorded(home)) == 50


def test_tasks_of_four_threads_count_once_with_every_kind_of_processor(home: Home) -> None:
    provider, together = TracerProvider(), threading.Barrier(4)
    for _ in range(2):
        provider.add_span_processor(SimpleSpanProcessor(CircuitBreakerSpanExporter(home.document)))
    tracker = MetricTracker(home.document, tracer_provider=provider)

    def work() -> None:
        together.wait()
        for _ in range(10):
            with TaskTracker(AGENT, tracker=tracker) as task:
                task.set_tokens_used(3)

    with ThreadPoolExecutor(4) as threads:
        for thread in [threads.submit(work) for _ in range(4)]:
            thread.result()
    assert recorded(home) == [("task_completed", 3, "sonnet", None)] * 40


class Watched(NamedTuple):
    tracker: MetricTracker
    spans: InMemorySpanExporter

    def transitions(self) -> list[list[Any]]:
        """Return, for each task's span, the states that its events say the breaker gets."""
        events = [span.events for span in self.spans.get_finished_spans()]
        return [
            [dict(event.attributes or {})["otel_tracker.circuit.state"] for event in some if "circuit" in event.name]
            for some in events
        ]

    def work(self, *, is_failure: bool = False, enforce: bool = False) -> None:
        with TaskTracker(AGENT, tracker=self.tracker, enforce=enforce) as task:
            if is_failure:
                task.set_failed("broken")


@pytest.fixture
def watched(tracker: MetricTracker) -> Watched:
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return Watched(MetricTracker(tracker.config_file, tracer_provider=provider), spans)


def test_the_failure_that_trips_a_breaker_has_a_span_event(watched: Watched) -> None:
    watched.work()
    for _ in range(5):
        watched.work(is_failure=True)
    assert watched.transitions() == [[]] * 5 + [["open"]]
    (event,) = watched.spans.get_finished_spans()[-1].events
    assert (event.name, dict(event.attributes or {})) == ("circuit_transition", {"otel_tracker.circuit.state": "open"})


def test_a_probe_has_span_events_at_its_begin_and_at_its_success(watched: Watched, clock: Clock) -> None:
    for _ in range(5):
        watched.work(is_failure=True)
    with pytest.raises(AgentBlacklistedError):
        watched.work(enforce=True)
    clock.now += COOLDOWN
    watched.work(enforce=True)
    watched.work(enforce=True)
    assert watched.transitions()[4:] == [["open"], ["half_open", "closed"], []]


def test_a_probe_that_fails_has_span_events_at_its_begin_and_at_its_failure(watched: Watched, clock: Clock) -> None:
    for _ in range(5):
        watched.work(is_failure=True)
    clock.now += COOLDOWN
    watched.work(is_failure=True, enforce=True)
    assert watched.transitions()[4:] == [["open"], ["half_open", "open"]]


def test_a_failure_that_is_recorded_afterwards_has_its_span_event_too(watched: Watched) -> None:
    for _ in range(5):
        watched.tracker.record_task_failure(AGENT, watched.tracker.record_task_start(AGENT))
    assert watched.transitions() == [[]] * 4 + [["open"]]


@pytest.fixture
def _configured_anew() -> Iterator[None]:
    yield
    configure()


@pytest.mark.usefixtures("_configured_anew")
class TestConfigure:
    def test_a_home_holds_above_the_environment(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        elsewhere = Home(f"{home.folder}-of-the-environment")
        monkeypatch.setenv("OTEL_TRACKER_HOME", elsewhere.folder)
        configure(home=home.folder)
        with TaskTracker(AGENT):
            pass
        CircuitBreakerSpanExporter().export(spans_of_agents("somebody"))
        assert MetricTracker().config_file == MetricTracker(home.document).config_file
        assert (len(recorded(home)), len(recorded(elsewhere))) == (2, 0)
        configure(home=None)
        with TaskTracker(AGENT):
            pass
        assert (len(recorded(home)), len(recorded(elsewhere))) == (2, 1)

    def test_a_home_may_be_a_path_of_any_length(self, home: Home) -> None:
        folder = home.folder
        for _ in range(6):
            folder = os.path.join(folder, "x" * 100)
        for one in (MetricTracker(home.document).config_file.parent, folder):
            configure(home=one)
            with TaskTracker(AGENT):
                pass
            assert len(recorded(Home(os.fspath(one)))) == 1

    @pytest.mark.parametrize("is_enforced", [True, False])
    def test_enforce_holds_above_the_environment(
        self, home: Home, monkeypatch: pytest.MonkeyPatch, is_enforced: bool
    ) -> None:
        def is_refused() -> bool:
            try:
                with TaskTracker(AGENT, tracker=tracker):
                    return False
            except AgentBlacklistedError:
                return True

        tracker = MetricTracker(home.document)
        for _ in range(5):
            tracker.record_task_failure(AGENT, tracker.record_task_start(AGENT))
        monkeypatch.setenv("OTEL_TRACKER_ENFORCE", "0" if is_enforced else "1")
        assert is_refused() is not is_enforced
        configure(enforce=is_enforced)
        assert is_refused() is is_enforced
        with TaskTracker(AGENT, tracker=tracker, enforce=False):
            pass
        configure(enforce=None)
        assert is_refused() is not is_enforced

    def test_a_tracer_provider_holds_for_tasks_from_now_on(self, home: Home) -> None:
        def provider_of(spans: InMemorySpanExporter) -> TracerProvider:
            provider = TracerProvider()
            provider.add_span_processor(SimpleSpanProcessor(spans))
            return provider

        configured, passed_in = InMemorySpanExporter(), InMemorySpanExporter()
        tracker = MetricTracker(home.document)
        told = MetricTracker(home.document, tracer_provider=provider_of(passed_in))
        for provider in (None, provider_of(configured), None):
            configure(tracer_provider=provider)
            for one in (tracker, told):
                with TaskTracker(AGENT, tracker=one):
                    pass
        assert (len(configured.get_finished_spans()), len(passed_in.get_finished_spans())) == (1, 3)
        assert len(recorded(home)) == 6

    @pytest.mark.parametrize(
        "wrong",
        [
            {"home": ""},
            {"home": " "},
            {"home": 5},
            {"home": b"folder"},
            {"home": "a\0b"},
            {"enforce": "yes"},
            {"enforce": 1},
            {"handle_signals": "no"},
            {"handle_signals": 0},
            {"tracer_provider": "console"},
            {"tracer_provider": TracerProvider},
            {"meter_provider": 1},
        ],
        ids=str,
    )
    def test_a_wrong_value_is_an_error_and_changes_nothing(self, home: Home, wrong: dict[str, Any]) -> None:
        configure(home=home.folder)
        with pytest.raises(InvalidValueError) as refused:
            configure(**{"enforce": True, **wrong})
        assert isinstance(refused.value, OtelTrackerError)
        assert MetricTracker().config_file == MetricTracker(home.document).config_file
