"""A wrong value of an environment variable, of OpenTelemetry's or of ours, never keeps a task from running and counting."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from otel_tracker.storage.home import Home

LIMITS = (
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
)
NAMED = (
    "OTEL_PYTHON_TRACER_PROVIDER",
    "OTEL_PYTHON_METER_PROVIDER",
    "OTEL_TRACKER_ENFORCE",
    "OTEL_TRACKER_HANDLE_SIGNALS",
    "OTEL_TRACKER_MASK_SECRETS",
)
QUIET = {  # nothing that a task needs reads them, or the SDK itself takes them for unset
    "OTEL_TRACES_SAMPLER": "nosuch",
    "OTEL_TRACES_SAMPLER_ARG": "x",
    "OTEL_TRACES_EXPORTER": "nosuch",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "://",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "x",
    "OTEL_BSP_SCHEDULE_DELAY": "x",
    "OTEL_PROPAGATORS": "nosuch",
    "OTEL_RESOURCE_ATTRIBUTES": ",=,a",
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "nosuch",
    "OTEL_PYTHON_ID_GENERATOR": "nosuch",
    "OTEL_SDK_DISABLED": "perhaps",
    "TRACEPARENT": "nonsense",
}
TASKS = """
from otel_tracker import TaskTracker, track_agent
@track_agent("core/coder.md")
def work():
    print("worked")
work()
with TaskTracker("core/coder.md"):
    print("worked")
"""


def run(home: Home, code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    known = {**os.environ, "OTEL_TRACKER_HOME": home.folder, **environment}
    return subprocess.run([sys.executable, "-c", code], env=known, capture_output=True, text=True, check=False)


def successes(home: Home) -> int:
    document = json.loads(Path(home.document).read_text())
    return int(document["agents"]["core/coder.md"]["metrics"]["tasks_successful"])


@pytest.mark.processes
@pytest.mark.parametrize("value", ["-1", "abc"])
def test_a_value_that_cannot_be_used_is_one_warning_and_the_work_counts(home: Home, value: str) -> None:
    wrong = dict.fromkeys((*LIMITS, *NAMED), value)
    ended = run(home, TASKS, **wrong)
    assert (ended.returncode, ended.stdout, successes(home)) == (0, "worked\nworked\n", 2)
    warnings = [line.partition(" ")[0] for line in ended.stderr.splitlines()]
    assert sorted(warnings) == sorted(f"{variable}={value}" for variable in wrong)


@pytest.mark.processes
def test_a_provider_without_a_name_is_one_warning_and_the_work_counts(home: Home) -> None:
    ended = run(home, TASKS, OTEL_PYTHON_TRACER_PROVIDER="", OTEL_PYTHON_METER_PROVIDER="")
    assert (ended.returncode, ended.stdout, successes(home)) == (0, "worked\nworked\n", 2)
    assert ended.stderr.count("_PROVIDER= can't be used") == len(ended.stderr.splitlines()) == 2


@pytest.mark.processes
def test_values_that_no_task_needs_are_no_matter(home: Home) -> None:
    ended = run(home, TASKS, **QUIET)
    assert (ended.returncode, ended.stdout, ended.stderr, successes(home)) == (0, "worked\nworked\n", "", 2)


@pytest.mark.processes
@pytest.mark.parametrize(("value", "warnings"), [("", 0), (" ", 1), ("~no-such-user/agents", 1)])
def test_a_home_that_is_no_folder_is_the_default_one(tmp_path: Path, value: str, warnings: int) -> None:
    ended = run(Home(str(tmp_path)), TASKS, OTEL_TRACKER_HOME=value, HOME=str(tmp_path))
    assert (ended.returncode, ended.stdout) == (0, "worked\nworked\n")
    assert ended.stderr.count("OTEL_TRACKER_HOME=") == len(ended.stderr.splitlines()) == warnings
    assert successes(Home(str(tmp_path / ".claude" / "agents"))) == 2


@pytest.mark.processes
def test_a_limit_that_can_be_used_stays(home: Home) -> None:
    code = "import os, otel_tracker.tracking.task; print(os.environ['OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT'])"
    for value in ("0", " 7 ", ""):
        ended = run(home, code, OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=value)
        assert (ended.stdout, ended.stderr) == (f"{value}\n", "")


@pytest.mark.processes
def test_a_provider_of_the_application_gets_the_spans_whatever_the_variable_says(home: Home) -> None:
    code = f"""
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from otel_tracker import TaskTracker
with TaskTracker("core/coder.md"):
    pass
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: span.name)))
trace.set_tracer_provider(provider)
{TASKS}"""
    ended = run(home, code, OTEL_PYTHON_TRACER_PROVIDER="nosuch")
    assert ended.stdout.count("invoke_agent core/coder.md") == 2
    assert successes(home) == 3


@pytest.mark.processes
@pytest.mark.parametrize("value", ["nosuch", "-5"])
def test_an_exporter_takes_a_wrong_value_for_unset_or_says_so_in_one_line(home: Home, value: str) -> None:
    command = "from otel_tracker.cli import main; raise SystemExit(main(['spans']))"
    ended = run(home, command, OTEL_EXPORTER_OTLP_TIMEOUT=value, OTEL_EXPORTER_OTLP_COMPRESSION=value)
    assert (ended.returncode, len(ended.stderr.splitlines())) in ((0, 0), (1, 1))  # the newest SDK, the oldest one
