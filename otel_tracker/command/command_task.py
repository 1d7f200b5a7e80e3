"""A command as one task of an agent: its events and its attempts."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from signal import SIGINT, strsignal
from typing import TYPE_CHECKING, NamedTuple

from otel_tracker import names
from otel_tracker.command.child import Children, CommandEnd
from otel_tracker.command.tee import Tee
from otel_tracker.runtime.environment import is_disabled, value_of
from otel_tracker.runtime.log import complain
from otel_tracker.runtime.owner import this_process
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state import event
from otel_tracker.state.outages import outage_of
from otel_tracker.state.shapes import Event
from otel_tracker.storage.recorder import Recorder
from otel_tracker.telemetry.trace_context import SpanContext, new_span
from otel_tracker.tracking.gate import Admission
from otel_tracker.tracking.output import Output

if TYPE_CHECKING:
    from otel_tracker.tracking.retry import Retries

EXIT_TIMEOUT, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND = 124, 126, 127  # as timeout(1) and shells have them


class Attempt(NamedTuple):
    """The result of running the command once."""

    outcome: str
    status: int
    """The exit status to end with; minus a signal's number."""
    error: str | None
    outage: str | None = None
    """The cause, if it is not the agent: the command can't be run, or the error is an outage."""


class AttemptFailedError(Exception):
    """An attempt has failed; tenacity repeats attempts that raise."""

    def __init__(self, attempt: Attempt, *, is_final: bool = False) -> None:
        super().__init__(attempt.error)
        self.attempt, self.is_final = attempt, is_final


class CommandTask:
    """Runs a command as a task of the agent that was let through. All its attempts are one task."""

    def __init__(
        self,
        recorder: Recorder,
        admission: Admission,
        command: Sequence[str],
        model: str | None,
        children: Children,
        output: Output,
    ) -> None:
        self._recorder, self._admission, self._command, self._model = recorder, admission, command, model
        self._children = children
        self._parent = SpanContext.parse(value_of("TRACEPARENT"))
        self._span = new_span(self._parent)
        self._attempts, self._output = 0, output
        self._last_error: str | None = None  # of the last attempt

    def run(self, timeout: float | None, retries: "Retries | None", environment: Mapping[str, str]) -> Attempt:
        """Run the command until it succeeds or is given up, and return the last attempt when the task is recorded.

        Without `retries` there is a single attempt.
        """
        began, started = time.perf_counter(), time.time()
        self._recorder.announce(self._start(started))
        parent = {} if is_disabled() else {"TRACEPARENT": str(self._span)}
        environment = {**environment, **parent, "OTEL_TRACKER_AGENT": self._admission.agent_file}
        try:
            with self._children.interruptible():
                last = self._attempt_until(timeout, retries, environment)
        except KeyboardInterrupt:  # before the first attempt, or between two
            last = Attempt(names.CANCELLED, -(self._children.ending_signal or SIGINT), "interrupted")
        except AttemptFailedError as error:
            last = error.attempt
        self._recorder.record(self._end(last, started, time.perf_counter() - began))
        return last

    def _attempt_until(
        self, timeout: float | None, retries: "Retries | None", environment: Mapping[str, str]
    ) -> Attempt:
        if retries is None:
            return self._attempt(timeout, environment)
        attempt: Attempt = retries.call(self._attempt, timeout, environment)
        return attempt

    def _attempt(self, timeout: float | None, environment: Mapping[str, str]) -> Attempt:
        if self._attempts:
            complain(
                f"{self._admission.agent_file}: trying again, since attempt {self._attempts} has failed: {self._last_error}"
            )
        self._attempts += 1
        self._output.begin()
        try:
            ended = self._ended(timeout, environment)
        except OSError as error:
            status = EXIT_NOT_FOUND if isinstance(error, FileNotFoundError) else EXIT_NOT_EXECUTABLE
            message = f"cannot run {self._command[0]}: {error.strerror}"
            complain(message)
            raise AttemptFailedError(Attempt(names.FAILURE, status, message, "command"), is_final=True) from None
        self._output.close()
        attempt = _judged(ended, self._output.error, timeout)
        if attempt.outcome == names.FAILURE:
            self._last_error = attempt.error
            if ended.is_overdue:
                complain(f"{self._admission.agent_file}: {attempt.error}")
            raise AttemptFailedError(attempt)
        return attempt

    def _ended(self, timeout: float | None, environment: Mapping[str, str]) -> CommandEnd:
        """Run the command. Its output is inspected on its way, except on a terminal, where the command may want to draw."""
        is_closed = not os.get_inheritable(1)  # for the command, as it was for us (cli/__init__.py)
        if is_closed or (sys.stdout.isatty() and not any("--output-format" in part for part in self._command)):
            return self._children.run(self._command, environment, timeout)
        with Tee(sys.stdout.fileno(), self._output.feed) as tee:
            return self._children.run(self._command, environment, timeout, tee.inlet, tee.start)

    def _start(self, started: float) -> Event:
        return event.task_started(
            self._admission.agent_file,
            started,
            run_id=self._admission.run_id,
            model=self._model,
            task_id=self._admission.task_id,
            owner=this_process(),
        )

    def _end(self, last: Attempt, started: float, duration: float) -> Event:
        is_failure = last.outcome == names.FAILURE
        tokens, models = self._output.usage(self._recorder.store, started)
        return event.task_ended(
            self._admission.agent_file,
            last.outcome,
            started + duration,
            run_id=self._admission.run_id,
            started=format_timestamp(started),
            duration_seconds=duration,
            model=self._model,
            task_id=self._admission.task_id,
            tokens=tokens,
            models=models or None,
            error=event.error_text(last.error) if is_failure else None,
            reason=event.error_text(last.error) if last.outcome == names.CANCELLED else None,
            environment_error=(last.outage or outage_of(None, last.error)) if is_failure else None,
            attempts=self._attempts if self._attempts > 1 else None,
            fallback_for=self._admission.fallback_for,
            conversation_id=self._output.conversation_id,
            reported_cost_micro_usd=self._output.reported_cost,
            unexported=True,
            trace_id=self._span.trace_id,
            span_id=self._span.span_id,
            parent_span_id=self._parent.span_id if self._parent else None,
        )


def _judged(ended: CommandEnd, error: str | None, timeout: float | None) -> Attempt:
    """Return the attempt that an end stands for, given the `error` in the command's output."""
    if ended.is_interrupted:
        return Attempt(names.CANCELLED, ended.status, "interrupted")
    if ended.is_overdue:
        return Attempt(names.FAILURE, EXIT_TIMEOUT, f"timed out after {timeout:g} s")
    if ended.status == 0 and error is None:
        return Attempt(names.SUCCESS, 0, None)
    end = f"exit status {ended.status}" if ended.status >= 0 else f"ended by a signal: {strsignal(-ended.status)}"
    return Attempt(names.FAILURE, ended.status, error or end)
