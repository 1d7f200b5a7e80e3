"""What a task costs without any file, against a span of the bare SDK with the same attributes."""

import os
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import TracerProvider

from benchmarks.fleet import TOKENS, agent_of
from benchmarks.measure import Row, interleaved
from otel_tracker import MetricTracker, TaskTracker, event, names
from otel_tracker.carrier import MakeEvent
from otel_tracker.pipeline import Pipeline
from otel_tracker.storage.home import Home
from otel_tracker.storage.recorder import Recorder
from otel_tracker.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

_ROUNDS, _TASKS_A_ROUND = 200, 100


class _DroppingRecorder(Recorder):
    """Takes what is announced and what the exporter delivers, and drops it."""

    def announce(self, make_event: MakeEvent) -> None:
        """Drop a start."""

    def record(self, make_event: MakeEvent) -> None:
        """Drop an end."""


def dropped_task(folder: str) -> Row:
    """Measure a task whose span, processor and exporter are real, and whose event goes nowhere."""
    ours, bare = interleaved(_many(_task(folder)), _many(_bare_span()), _ROUNDS)
    return Row("task that is dropped", ours / _TASKS_A_ROUND, bare / _TASKS_A_ROUND, 1.3)


def _task(folder: str) -> "Callable[[], None]":
    home = Home(os.path.join(folder, "span"))
    tracker = MetricTracker(home.document)
    tracker._pipeline = Pipeline(_DroppingRecorder(Store(home)), TracerProvider(shutdown_on_exit=False))  # noqa: SLF001

    def record_task() -> None:
        with TaskTracker(agent_of(0), model="sonnet", task_id="feature-7", tracker=tracker) as task:
            task.set_tokens_used(TOKENS)

    return record_task


def _bare_span() -> "Callable[[], None]":
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("benchmarks")
    run_id = event.new_id()

    def make_span() -> None:
        attributes = {
            names.GEN_AI_OPERATION: names.INVOKE_AGENT,
            names.GEN_AI_AGENT: agent_of(0),
            names.SPAN_RUN_ID: run_id,
            names.GEN_AI_REQUEST_MODEL: "sonnet",
            names.SPAN_TASK_ID: "feature-7",
        }
        with tracer.start_as_current_span(f"{names.INVOKE_AGENT} {agent_of(0)}", attributes=attributes) as span:
            span.set_attributes({names.SPAN_OUTCOME: names.SUCCESS, names.SPAN_TOKENS: TOKENS})

    return make_span


def _many(act: "Callable[[], None]") -> "Callable[[], None]":
    def act_many_times() -> None:
        for _ in range(_TASKS_A_ROUND):
            act()

    return act_many_times
