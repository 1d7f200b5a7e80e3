"""Over the wire: OTLP to rotel, a collector, which hands on what it got to a server here that reads it.

What a collector has got is known for sure when it has ended: at SIGTERM it hands on what it still has.
"""

import gzip
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from otel_tracker import MetricTracker, __version__, names
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.runtime.vitals import BOUNDS
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from otel_tracker.telemetry.metrics import TASK_DURATION, TASK_TOKENS
from tests.builders import end
from tests.faults.components import miss
from tests.waiting import BOUND, until

pytestmark = pytest.mark.processes

AGENT, OTHER = "core/coder.md", "core/debugger.md"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
LOOPBACK = "127.0.0.1"
TRACKER = [sys.executable, "-m", "otel_tracker"]


def free_port() -> int:
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        port: int = found.getsockname()[1]
        return port


class Arrived(NamedTuple):
    """A span or a metric, and whose it is."""

    resource: dict[str, Any]
    scope: tuple[str, str, str]
    """Name, version and schema."""
    signal: Any


class Reader:
    """An HTTP server that keeps what it gets by OTLP, and holds back its answer for as long as it is told to."""

    def __init__(self) -> None:
        self.spans: list[Arrived] = []
        self.metrics: list[Arrived] = []
        self.requests = 0
        self.answered_at_most = 1_000_000
        self._released = threading.Event()
        self._server = ThreadingHTTPServer((LOOPBACK, 0), self._handler())
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _take(self, path: str, body: bytes) -> None:
        if path.endswith("/v1/traces"):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scoped in resource.scope_spans:
                    scope = (scoped.scope.name, scoped.scope.version, scoped.schema_url)
                    self.spans += [Arrived(values(resource.resource.attributes), scope, one) for one in scoped.spans]
        else:
            for resource_metrics in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                known = values(resource_metrics.resource.attributes)
                for measured in resource_metrics.scope_metrics:
                    scope = (measured.scope.name, measured.scope.version, measured.schema_url)
                    self.metrics += [Arrived(known, scope, one) for one in measured.metrics]
        self.requests += 1
        if self.requests > self.answered_at_most:
            self._released.wait()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                take(self.path, gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/x-protobuf")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    return  # who asked was killed

            def log_message(self, *arguments: object, **_: object) -> None:
                pass

        return Handler


def values(attributes: Any) -> dict[str, Any]:
    """Return attributes as Python has them."""

    def value(one: KeyValue) -> Any:
        return getattr(one.value, one.value.WhichOneof("value") or "string_value")

    return {one.key: value(one) for one in attributes}


class Collector:
    """rotel, as a process of its own, that hands on to a reader; it can be stopped, and started again at its place."""

    def __init__(self, reader: Reader, folder: Path, program: str) -> None:
        self.reader, self._folder, self._program = reader, folder, program
        self._port, self._grpc_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"

    def start(self) -> None:
        arguments = {
            "--pid-file": str(self._folder / "rotel.pid"),
            "--log-file": str(self._folder / "rotel.log"),
            "--otlp-http-endpoint": f"{LOOPBACK}:{self._port}",
            "--otlp-grpc-endpoint": f"{LOOPBACK}:{self._grpc_port}",
            "--batch-timeout": "10ms",
            "--exporter": "otlp",
            "--otlp-exporter-protocol": "http",
            "--otlp-exporter-endpoint": f"http://{LOOPBACK}:{self.reader.port}",
        }
        command = [self._program, "start", *(part for pair in arguments.items() for part in pair)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ROTEL_")}
        libraries = [sysconfig.get_config_var("LIBDIR") or "", kept.get("LD_LIBRARY_PATH", "")]
        known = {**kept, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries))}  # it needs that of this Python
        with (self._folder / "rotel.out").open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out, env=known, cwd=self._folder)
        until(self._is_listening)

    def stop(self) -> None:
        """End it when it has handed on all that it has got."""
        if self._process is not None:
            self._process.terminate()
            assert self._process.wait(BOUND) == 0
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def spans(self) -> list[Arrived]:
        """Return all that it has ever got, and end it."""
        self.stop()
        return self.reader.spans

    def metrics(self) -> dict[str, Metric]:
        """Return the metrics of this package that it has got, each only once, and end it."""
        self.stop()
        found: dict[str, Metric] = {}
        for arrived in self.reader.metrics:
            assert arrived.scope == ("otel_tracker", __version__, names.SCHEMA_URL)
            assert arrived.signal.name not in found
            found[arrived.signal.name] = arrived.signal
        return found

    def _is_listening(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "rotel.out").read_text()
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self._port)) == 0


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader()
    yield made
    made.close()


@pytest.fixture
def absent(reader: Reader, tmp_path: Path) -> Iterator[Collector]:
    """Return a collector that isn't there yet."""
    package = importlib.util.find_spec("rotel")
    if package is None or package.origin is None:
        miss("rotel is missing; install it with: pip install 'rotel>=0.0.1a15'")
    made = Collector(reader, tmp_path, str(Path(package.origin).with_name("rotel-agent")))
    yield made
    made.kill()


@pytest.fixture
def collector(absent: Collector) -> Collector:
    absent.start()
    return absent


class Programs:
    """Runs programs whose home and receiver are the test's."""

    def __init__(self, home: Home, folder: Path, endpoint: str) -> None:
        self.home, self._folder = home, folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        self.environment = {
            **kept,
            "OTEL_TRACKER_HOME": home.folder,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
            "OTEL_SERVICE_NAME": "fleet",
            "PYTHONWARNINGS": "error",
        }

    def start(self, command: list[str], stderr: Any = subprocess.PIPE, **variables: str) -> "subprocess.Popen[str]":
        known = {**self.environment, **variables}
        return subprocess.Popen(command, cwd=self._folder, env=known, stdout=subprocess.PIPE, stderr=stderr, text=True)

    def run(self, command: list[str], **variables: str) -> str:
        """Run a program, and return what it has printed."""
        process = self.start(command, **variables)
        printed, said = process.communicate(timeout=BOUND)
        assert (process.returncode, said) == (0, "")
        return printed

    def python(self, code: str) -> str:
        return self.run([sys.executable, "-c", code])

    def execute(self, agent: str, script: str, **variables: str) -> str:
        """Run a shell script as a task, and return what it has printed."""
        return self.run([*TRACKER, "exec", agent, "--", "sh", "-c", script], **variables)

    def export(self) -> str:
        return self.run([*TRACKER, "spans"])

    @property
    def entries(self) -> list[dict[str, Any]]:
        return MetricTracker(self.home.document).get_history()


@pytest.fixture
def programs(home: Home, tmp_path: Path, absent: Collector) -> Programs:
    return Programs(home, tmp_path, absent.endpoint)


def ids(span: Span) -> tuple[str, str, str]:
    """Return the trace, the span and its parent in hexadecimal."""
    return span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()


def by_agent(arrived: list[Arrived]) -> dict[str, Span]:
    """Return spans by their agents, each of which has one."""
    found = {values(one.signal.attributes)["gen_ai.agent.name"]: one.signal for one in arrived}
    assert len(found) == len(arrived)
    return found


def run_ids(arrived: list[Arrived]) -> list[str]:
    return [values(one.signal.attributes)["otel_tracker.run_id"] for one in arrived]


def moments(entry: dict[str, Any]) -> tuple[int, int]:
    """Return when an entry's task began and ended, in nanoseconds since 1970."""
    return round(parse_timestamp(entry["started"]) * 1e9), round(parse_timestamp(entry["timestamp"]) * 1e9)


_APPLICATION = f"""
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from otel_tracker import TaskTracker

def trace_tasks():
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)

def measure_tasks():
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())]))

def work():
    with TaskTracker({AGENT!r}, model="opus", task_id="t1") as task:
        task.set_model("claude-opus-5")
        task.set_usage(input_tokens=10, output_tokens=20, cache_read_tokens=300, cache_write_tokens=4000)
        try:
            with TaskTracker({OTHER!r}):
                raise KeyError("missing")
        except KeyError:
            pass
"""


def test_an_application_has_its_tasks_at_the_receiver_and_in_its_document(
    programs: Programs, collector: Collector
) -> None:
    programs.python(_APPLICATION + "trace_tasks(); work()")
    assert programs.export() == "exported 0 spans\n"
    arrived = collector.spans()
    assert {one.scope for one in arrived} == {("otel_tracker", __version__, names.SCHEMA_URL)}
    assert {one.resource["service.name"] for one in arrived} == {"fleet"}
    spans, entries = by_agent(arrived), {entry["agent"]: entry for entry in programs.entries}
    assert spans.keys() == entries.keys() == {AGENT, OTHER}
    for agent, span in spans.items():
        entry = entries[agent]
        assert (span.name, span.kind) == (f"invoke_agent {agent}", Span.SPAN_KIND_INTERNAL)
        assert ids(span)[:2] == (entry["trace_id"], entry["span_id"])
        assert values(span.attributes)["otel_tracker.run_id"] == entry["run_id"]
        assert moments(entry) == pytest.approx((span.start_time_unix_nano, span.end_time_unix_nano), rel=0, abs=2000)
    assert (ids(spans[AGENT])[2], ids(spans[OTHER])[2]) == ("", entries[AGENT]["span_id"])
    assert values(spans[AGENT].attributes) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": AGENT,
        "gen_ai.request.model": "opus",
        "gen_ai.response.model": "claude-opus-5",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.usage.input_tokens": 4310,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 300,
        "gen_ai.usage.cache_creation.input_tokens": 4000,
        "otel_tracker.run_id": entries[AGENT]["run_id"],
        "otel_tracker.task_id": "t1",
        "otel_tracker.outcome": "success",
        "otel_tracker.tokens_used": 4330,
    }
    failed = spans[OTHER]
    assert (failed.status.code, failed.status.message) == (Status.STATUS_CODE_ERROR, "'missing'")
    assert values(failed.attributes)["error.type"] == "KeyError"
    assert [event.name for event in failed.events] == ["exception"]
    assert entries[AGENT]["tokens_used"] == 4330


def test_metrics_of_an_application_arrive_as_the_conventions_have_them(
    programs: Programs, collector: Collector
) -> None:
    programs.python(_APPLICATION + "measure_tasks(); work()")
    found = collector.metrics()
    assert {name: (one.unit, one.WhichOneof("data")) for name, one in found.items()} == {
        "gen_ai.invoke_agent.duration": ("s", "histogram"),
        "gen_ai.client.token.usage": ("{token}", "histogram"),
        "otel_tracker.cost": ("{USD}", "sum"),
        "otel_tracker.tasks": ("{task}", "sum"),
        "otel_tracker.events": ("{event}", "sum"),
        "otel_tracker.write.duration": ("s", "histogram"),
        "otel_tracker.lock.wait.duration": ("s", "histogram"),
    }
    bounds = {
        name: {tuple(point.explicit_bounds) for point in one.histogram.data_points}
        for name, one in found.items()
        if one.WhichOneof("data") == "histogram"
    }
    assert bounds == {
        "gen_ai.invoke_agent.duration": {TASK_DURATION.bounds},
        "gen_ai.client.token.usage": {TASK_TOKENS.bounds},
        "otel_tracker.write.duration": {BOUNDS},
        "otel_tracker.lock.wait.duration": {BOUNDS},
    }
    tokens = found["gen_ai.client.token.usage"].histogram.data_points
    assert {values(point.attributes)["gen_ai.token.type"]: point.sum for point in tokens} == {
        "input": 4310,
        "output": 20,
    }
    tasks = found["otel_tracker.tasks"].sum
    assert tasks.is_monotonic
    assert tasks.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    counted = {values(point.attributes)["gen_ai.agent.name"]: point.as_int for point in tasks.data_points}
    assert counted == {AGENT: 1, OTHER: 1}
    events = found["otel_tracker.events"].sum.data_points
    assert {values(point.attributes)["otel_tracker.result"]: point.as_int for point in events} == {
        "recorded": 4,
        "retried": 0,
        "dropped": 0,
    }


def test_commands_of_a_shell_have_their_spans_with_true_times_and_the_ids_that_they_saw(
    programs: Programs, collector: Collector
) -> None:
    inner = f"{' '.join(TRACKER)} exec {OTHER} -- printenv TRACEPARENT"
    printed = programs.execute(
        AGENT, f"date +%s%N; printenv TRACEPARENT; {inner}", TRACEPARENT=f"00-{TRACE}-{PARENT}-01"
    )
    moment, *seen = printed.splitlines()
    assert programs.export() == "exported 2 spans\n"
    spans, entries = by_agent(collector.spans()), {entry["agent"]: entry for entry in programs.entries}
    assert [f"00-{ids(span)[0]}-{ids(span)[1]}-01" for span in (spans[AGENT], spans[OTHER])] == seen
    assert ids(spans[AGENT]) == (TRACE, entries[AGENT]["span_id"], PARENT)
    assert ids(spans[OTHER]) == (TRACE, entries[OTHER]["span_id"], entries[AGENT]["span_id"])
    for agent, span in spans.items():
        assert (span.start_time_unix_nano, span.end_time_unix_nano) == moments(entries[agent])
    outer = spans[AGENT]
    assert outer.start_time_unix_nano < int(moment) < outer.end_time_unix_nano
    assert outer.start_time_unix_nano < spans[OTHER].start_time_unix_nano < spans[OTHER].end_time_unix_nano
    assert spans[OTHER].end_time_unix_nano < outer.end_time_unix_nano


def test_a_command_that_fails_has_a_span_with_its_error_and_the_names_of_the_conventions(
    programs: Programs, collector: Collector
) -> None:
    process = programs.start([*TRACKER, "exec", AGENT, "--model", "gpt-7", "--", "sh", "-c", "exit 3"])
    process.communicate(timeout=BOUND)
    assert process.returncode == 3
    assert programs.export() == "exported 1 span\n"
    (arrived,) = collector.spans()
    assert arrived.scope == ("otel_tracker", __version__, names.SCHEMA_URL)
    assert arrived.resource["service.name"] == "fleet"
    span, (entry,) = arrived.signal, programs.entries
    assert (span.status.code, span.status.message) == (Status.STATUS_CODE_ERROR, "exit status 3")
    assert (span.name, span.kind, ids(span)[2]) == (f"invoke_agent {AGENT}", Span.SPAN_KIND_INTERNAL, "")
    assert values(span.attributes) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": AGENT,
        "gen_ai.request.model": "gpt-7",
        "gen_ai.provider.name": "_OTHER",
        "error.type": "_OTHER",
        "otel_tracker.run_id": entry["run_id"],
        "otel_tracker.outcome": "failure",
    }


def test_each_task_is_exported_once_over_several_runs(programs: Programs, collector: Collector) -> None:
    without_sdk = f"from otel_tracker import TaskTracker\nwith TaskTracker({AGENT!r}): pass"
    programs.execute(AGENT, "true")
    assert programs.export() == "exported 1 span\n"
    assert programs.export() == "exported 0 spans\n"
    programs.python(without_sdk)
    programs.python(_APPLICATION + "trace_tasks(); work()")  # exports its own
    programs.execute(AGENT, "true")
    assert programs.export() == "exported 2 spans\n"
    arrived = collector.spans()
    assert sorted(run_ids(arrived)) == sorted(entry["run_id"] for entry in programs.entries)
    assert {ids(one.signal)[:2] for one in arrived} == {
        (entry["trace_id"], entry["span_id"]) for entry in programs.entries
    }


def test_what_the_receiver_has_not_taken_is_exported_when_it_is_back(programs: Programs, absent: Collector) -> None:
    programs.execute(AGENT, "true")
    process = programs.start([*TRACKER, "spans"])
    printed, said = process.communicate(timeout=BOUND)
    assert (process.returncode, printed) == (1, "")
    assert "otel-tracker: cannot export 1 span: " in said
    assert "Traceback" not in said
    absent.start()
    assert programs.export() == "exported 1 span\n"
    assert run_ids(absent.spans()) == [entry["run_id"] for entry in programs.entries]


class Following:
    """`otel-tracker spans --follow`, as a process, and what it says."""

    def __init__(self, programs: Programs, said: Path) -> None:
        self._said, self._place = said, Path(programs.home.spans_position)
        with said.open("w") as errors:
            self.process = programs.start([*TRACKER, "spans", "--follow"], stderr=errors)

    def failures(self) -> int:
        """Return how often it has said that a span could not be exported."""
        assert self.process.poll() is None, self._said.read_text()
        return self._said.read_text().count("otel-tracker: cannot export 1 span: ")

    def is_at(self, entry: dict[str, Any]) -> bool:
        """Tell whether it has noted that all up to an entry is exported."""
        return self._place.exists() and json.loads(self._place.read_bytes())["seq"] >= entry["seq"]

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send it a signal, and return its exit status and what it has printed."""
        self.process.send_signal(number)
        printed, _ = self.process.communicate(timeout=BOUND)
        assert "Traceback" not in self._said.read_text()
        return self.process.returncode, printed


@pytest.fixture
def following(programs: Programs, tmp_path: Path) -> Iterator[Following]:
    made = Following(programs, tmp_path / "said")
    yield made
    made.process.kill()
    made.process.communicate()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_follow_exports_later_tasks_through_an_absence_of_the_receiver_until_a_signal(
    programs: Programs, absent: Collector, following: Following, number: signal.Signals, status: int
) -> None:
    programs.execute(AGENT, "true")
    until(following.failures)
    absent.start()
    until(lambda: following.is_at(programs.entries[0]))
    absent.stop()
    failures = following.failures()
    programs.execute(OTHER, "true")
    until(lambda: following.failures() > failures)
    absent.start()
    until(lambda: following.is_at(programs.entries[1]))
    programs.execute(AGENT, "true")
    until(lambda: following.is_at(programs.entries[2]))
    assert following.end(number) == (status, "")
    programs.execute(AGENT, "true")
    assert programs.export() == "exported 1 span\n"
    assert run_ids(absent.spans()) == [entry["run_id"] for entry in programs.entries]


def test_a_second_one_is_refused_while_the_first_is_at_work(
    programs: Programs, collector: Collector, following: Following
) -> None:
    programs.execute(AGENT, "true")
    until(lambda: following.is_at(programs.entries[0]))
    second = programs.start([*TRACKER, "spans"])
    printed, said = second.communicate(timeout=BOUND)
    assert (second.returncode, printed) == (1, "")
    assert f"process {following.process.pid} is already exporting them; only one process may" in said
    following.end(signal.SIGKILL)
    programs.execute(OTHER, "true")
    assert programs.export() == "exported 1 span\n"
    assert list(by_agent(collector.spans())) == [AGENT, OTHER]


def test_one_that_was_killed_in_the_middle_goes_on_where_it_was(programs: Programs, collector: Collector) -> None:
    wanted = [f"r{number}" for number in range(1200)]
    Store(programs.home).record([end(run, unexported=True) for run in wanted])
    stuck = Reader()
    stuck.answered_at_most = 1
    where = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{LOOPBACK}:{stuck.port}", "OTEL_EXPORTER_OTLP_TIMEOUT": "600"}
    killed = programs.start([*TRACKER, "spans"], **where)
    try:
        until(lambda: stuck.requests == 2)
    finally:
        killed.kill()
        killed.communicate()
        stuck.close()
    assert run_ids(stuck.spans) == wanted[:1024]
    assert programs.export() == "exported 688 spans\n"
    arrived = collector.spans()
    assert sorted(run_ids(arrived)) == sorted(wanted[512:])
    first, again = (
        {run: ids(one.signal) for run, one in zip(run_ids(got), got, strict=True)} for got in (stuck.spans, arrived)
    )
    assert {run: first[run] for run in wanted[512:1024]} == {run: again[run] for run in wanted[512:1024]}
