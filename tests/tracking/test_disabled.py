"""The off switch: nothing is written, no span is made, nothing is refused, and what was recorded before is answered."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_tracker import (
    CircuitBreakerSpanExporter,
    MetricTracker,
    Permit,
    Selection,
    TaskTracker,
    UnknownAgentError,
    configure,
    current_task,
    track_agent,
)
from otel_tracker.integrations.claude_code.hooks import hook
from otel_tracker.telemetry.meter import TaskMeter
from tests.places import ROOT

AGENT, OTHER = "core/coder.md", "core/debugger.md"


@pytest.fixture(params=["variable", "configure"])
def off(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Switch this process off, in one of two ways, and return its home, which doesn't exist."""
    home = tmp_path / "agents"
    if request.param == "variable":
        monkeypatch.setenv("OTEL_TRACKER_DISABLED", "1")
        monkeypatch.setenv("OTEL_TRACKER_HOME", str(home))
    else:
        configure(home=home, disabled=True)
    yield home
    assert not home.exists()
    configure()


@pytest.fixture
def blacklisted(tmp_path: Path) -> Iterator[Path]:
    """Return a home with a blacklisted agent, which nothing changes after the switch was thrown."""
    home = tmp_path / "agents"
    configure(home=home)
    for _ in range(5):
        with TaskTracker(AGENT) as task:
            task.set_failed("database is locked")
    before = content(home)
    configure(home=home, disabled=True)
    yield home
    assert content(home) == before
    configure()


def content(home: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()}


@pytest.mark.usefixtures("off")
def test_a_block_runs_and_its_values_are_taken() -> None:
    with TaskTracker(AGENT, model="opus", enforce=True) as task:
        task.set_usage(input_tokens=3, output_tokens=4)
        task.set_model("claude-opus-4-8")
        assert current_task() is task
        with TaskTracker(OTHER) as inner:
            assert current_task() is inner
    assert current_task() is None
    assert task.tokens_used == 7
    with pytest.raises(ValueError, match="mine"), TaskTracker(AGENT):
        raise ValueError("mine")


@pytest.mark.usefixtures("off")
def test_decorated_functions_coroutines_and_generators_return_what_they_return() -> None:
    @track_agent(AGENT, enforce=True)
    def work(number: int) -> int:
        return number + 1

    @track_agent(AGENT)
    async def await_work(number: int) -> int:
        return number + 2

    @track_agent(AGENT)
    def steps() -> Iterator[int]:
        yield 1
        yield 2

    assert (work(1), asyncio.run(await_work(1)), list(steps())) == (2, 3, [1, 2])


@pytest.mark.usefixtures("off")
def test_the_methods_that_record_return_what_they_return() -> None:
    tracker = MetricTracker()
    tracker.register_agent("Coder", AGENT)
    started = tracker.record_task_start(AGENT)
    assert started.endswith("Z")
    assert tracker.record_task_complete(AGENT, started, 5) >= 0
    assert tracker.record_task_failure(AGENT, tracker.record_task_start(AGENT), "no") >= 0
    assert tracker.record_task_cancelled(AGENT, tracker.record_task_start(AGENT)) >= 0
    tracker.update_token_usage(AGENT, "opus", 5)
    tracker.override_breaker(AGENT, "forced_open")
    tracker.reset_agent_failures(AGENT)
    tracker.save()
    assert tracker.check_agent_health(AGENT)
    assert tracker.get_system_metrics()["total_requests"] == 0
    assert tracker.get_history() == tracker.get_leaderboard() == []
    assert "# " in tracker.generate_report()
    with pytest.raises(UnknownAgentError):
        tracker.get_agent_metrics(AGENT)


@pytest.mark.usefixtures("off")
def test_a_permit_is_given_used_and_given_back() -> None:
    tracker = MetricTracker()
    permit = tracker.try_acquire(AGENT, task_id="fix")
    assert isinstance(permit, Permit)
    assert not permit.is_probe
    with permit as task:
        assert task.agent_file == AGENT
    unused = tracker.try_acquire(AGENT)
    assert isinstance(unused, Permit)
    unused.release()
    assert tracker.select_agent(AGENT, [OTHER]) == Selection(AGENT, None)


@pytest.mark.usefixtures("off")
def test_a_function_is_repeated_and_replaced_as_ever() -> None:
    tracker, calls = MetricTracker(), []

    def fail_twice() -> str:
        calls.append(current_task().agent_file)  # type: ignore[union-attr]
        if len(calls) < 3:
            raise ConnectionError("reset")
        return "done"

    assert tracker.run(AGENT, fail_twice, retries=1, fallbacks=[OTHER], timeout=60) == "done"
    assert calls == [AGENT, AGENT, OTHER]

    async def answer() -> int:
        return 42

    assert asyncio.run(tracker.arun(AGENT, answer, timeout=60)) == 42


@pytest.mark.usefixtures("off")
def test_no_span_and_no_metric_is_made_and_the_applications_own_span_stays_the_current_one() -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracker = MetricTracker(tracer_provider=provider)
    application = provider.get_tracer("application")
    with application.start_as_current_span("outer") as outer:
        with TaskTracker(AGENT, tracker=tracker) as task:
            assert trace.get_current_span() is outer
            with task.current_span():
                trace.get_current_span().set_attribute("mine", 1)
            application.start_span("inner").end()
            task.add_attempt()
        assert outer.is_recording()
        tracker.record_task_complete(AGENT, tracker.record_task_start(AGENT))
    inner, ended = spans.get_finished_spans()
    assert (inner.name, ended.name) == ("inner", "outer")
    assert inner.parent is not None
    assert inner.parent.span_id == ended.context.span_id
    assert ended.attributes == {"mine": 1}
    meters = MeterProvider([InMemoryMetricReader()])
    assert not TaskMeter(meters).is_on
    meters.shutdown()


@pytest.mark.usefixtures("off")
def test_spans_of_other_libraries_are_left_alone() -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(CircuitBreakerSpanExporter()))
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": AGENT}
    provider.get_tracer("theirs").start_span("invoke_agent", attributes=attributes).end()


def test_a_blacklisted_agent_is_let_through_and_what_was_recorded_is_answered(blacklisted: Path) -> None:
    tracker = MetricTracker()
    assert tracker.get_agent_metrics(AGENT)["failures"] == 5
    assert [entry["action"] for entry in tracker.get_history()] == ["task_failed"] * 5
    assert tracker.check_agent_health(AGENT)
    assert tracker.try_acquire(AGENT)
    with TaskTracker(AGENT, enforce=True):
        pass
    assert tracker.run(AGENT, lambda: 1) == 1
    assert tracker.get_agent_metrics(AGENT)["failures"] == 5
    configure(home=blacklisted)
    assert not tracker.check_agent_health(AGENT)


def test_a_task_that_runs_while_the_switch_is_thrown_ends_well(tmp_path: Path) -> None:
    try:
        configure(home=tmp_path / "on")
        with TaskTracker(AGENT) as task:
            configure(home=tmp_path / "on", disabled=True)
            task.set_tokens_used(5)
        with TaskTracker(AGENT):
            configure(home=tmp_path / "on")
        assert current_task() is None
    finally:
        configure()


LAUNCH = {
    "session_id": "s1",
    "hook_event_name": "PreToolUse",
    "tool_name": "Task",
    "tool_input": {"subagent_type": "coder", "description": "d", "prompt": "p"},
    "tool_use_id": "toolu_1",
}
STOP = {"session_id": "s1", "hook_event_name": "SubagentStop", "agent_id": "a1", "agent_type": "coder"}


@pytest.mark.processes
@pytest.mark.parametrize("payload", [LAUNCH, STOP], ids=["launch", "stop"])
def test_a_hook_records_nothing_and_refuses_nothing(blacklisted: Path, payload: dict[str, object]) -> None:
    home = {**os.environ, "OTEL_TRACKER_HOME": str(blacklisted)}
    command = [sys.executable, "-m", "otel_tracker", "claude-code", "hook"]

    def said(environment: dict[str, str]) -> bytes:
        sent = json.dumps(payload).encode()
        return subprocess.run(command, cwd=ROOT, env=environment, input=sent, capture_output=True, check=True).stdout

    assert said({**home, "OTEL_TRACKER_DISABLED": "1"}) == b""
    assert not (blacklisted / "claude-code").exists()


def test_the_same_hook_refuses_where_the_switch_is_not_thrown(blacklisted: Path, tmp_path: Path) -> None:
    configure()
    home = shutil.copytree(blacklisted, tmp_path / "copy")
    assert "deny" in hook.hook(json.dumps(LAUNCH).encode(), str(home))


@pytest.mark.processes
def test_exec_runs_its_command_keeps_its_status_and_the_trace_that_it_is_in(blacklisted: Path) -> None:
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    environment = {**os.environ, "OTEL_TRACKER_HOME": str(blacklisted), "OTEL_TRACKER_DISABLED": "1"}
    command = [sys.executable, "-m", "otel_tracker", "exec", AGENT, "--", "sh", "-c", "echo $TRACEPARENT; exit 3"]
    ran = subprocess.run(
        command, cwd=ROOT, env={**environment, "TRACEPARENT": parent}, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (3, f"{parent}\n")


@pytest.mark.processes
def test_a_persons_command_changes_the_home_and_doctor_says_that_the_switch_is_thrown(tmp_path: Path) -> None:
    environment = {**os.environ, "OTEL_TRACKER_HOME": str(tmp_path), "OTEL_TRACKER_DISABLED": "1"}

    def said(*arguments: str) -> str:
        command = [sys.executable, "-m", "otel_tracker", *arguments]
        ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        return " ".join((ran.stdout + ran.stderr).split())

    with TaskTracker(AGENT, tracker=MetricTracker(tmp_path / "config" / "circuit-breaker.json")) as task:
        task.set_failed("no")
    assert said("reset", AGENT) == f"{AGENT}: healthy, 0 failures"
    assert "forced open" in said("breaker", AGENT, "open")
    assert "let through all the same" in said("health", AGENT)
    assert MetricTracker(tmp_path / "config" / "circuit-breaker.json").get_agent_metrics(AGENT)["failures"] == 0
    for command in ("doctor", "status"):
        assert "OTEL_TRACKER_DISABLED is set here" in said(command)
