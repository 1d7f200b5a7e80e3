"""`TaskTracker`: a `with` block around one task of an agent."""

import time
import traceback
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, StatusCode

from otel_tracker import names
from otel_tracker.errors import InvalidValueError, OtelTrackerError
from otel_tracker.runtime import lifecycle, terminate
from otel_tracker.runtime.environment import is_enforced
from otel_tracker.runtime.ids import new_id
from otel_tracker.runtime.interrupts import is_interrupt
from otel_tracker.runtime.log import warn
from otel_tracker.runtime.masking import masked
from otel_tracker.runtime.owner import this_process
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.runtime.writer import Receipt, settle
from otel_tracker.state import event
from otel_tracker.state.outages import outage_of
from otel_tracker.state.raised import outcome_of
from otel_tracker.state.shapes import Event, Tokens
from otel_tracker.state.tokens import priced_tokens
from otel_tracker.storage.price_file import cost_in
from otel_tracker.storage.recorder import Recorder
from otel_tracker.telemetry.meter import Facts
from otel_tracker.tracking.block import Block, Visit, Watched, present_block
from otel_tracker.tracking.gate import Admission, Rejection
from otel_tracker.tracking.pipeline import Tracker, default_pipeline

if TYPE_CHECKING:
    from typing import Self

_Result = TypeVar("_Result")


class _Default(str):
    """The default of an argument, which differs in type from the same text of a caller."""


DEFAULT_MODEL = _Default("sonnet")


class TaskTracker(Watched["TaskTracker"]):
    """Records one task of an agent: a success, unless an exception leaves the block or `set_failed` is called.

    `agent_file` is the agent's key (`core/coder.md`), `model` the model as its user names it, `task_id` the user's own name
    of the task, which need not be unique. `tracker`, a MetricTracker, says where to record, by default in the home. With
    `enforce`, by default as OTEL_TRACKER_ENFORCE says, the block asks the agent's breaker first, and raises
    AgentBlacklistedError where it refuses. `fallback_for` is the agent in whose place this one runs; an `admission` comes
    with a permit (MetricTracker.try_acquire).

    An interrupt or a cancellation makes the task cancelled, `sys.exit(0)` is a success; every exception goes on to the
    caller. When the block has ended the task is on the disk. Raises InvalidValueError before anything starts.
    """

    def __init__(
        self,
        agent_file: str,
        model: str | None = DEFAULT_MODEL,
        task_id: str | None = None,
        *,
        tracker: Tracker | None = None,
        enforce: bool | None = None,
        fallback_for: str | None = None,
        admission: Admission | None = None,
    ) -> None:
        self._agent = event.checked_agent(agent_file)
        self._model = event.checked_model(model)
        self._task_id = event.checked_text("a task id", task_id)
        self._fallback_for = None if fallback_for is None else event.checked_agent(fallback_for)
        if admission is not None and self._fallback_for is None:
            self._fallback_for = admission.fallback_for
        self._pipeline = default_pipeline() if tracker is None else tracker.pipeline
        self._is_asked = admission is not None or (is_enforced() if enforce is None else enforce)
        self._admission = admission
        self._span: Span | None = None
        self._block: Block | None = None
        self._full_model: str | None = None
        self._tokens: dict[str, int] | None = None
        self._is_estimated = False
        self._outcome = names.SUCCESS
        self._message: str | None = None
        self._run_id: str | None = None
        self._started_ns = self._ended_ns = 0
        self._began = self._duration = 0.0
        self._receipt: Receipt | None = None
        self._is_ended = False
        self._attempts = 0
        self._error_type: str | None = None
        self._forks = lifecycle.forks
        self._complaints: set[str] = set()

    @property
    def recorder(self) -> Recorder:
        """Writes the task's events to its home."""
        return self._pipeline.recorder

    @property
    def agent_file(self) -> str:
        """The agent's key."""
        return self._agent

    @property
    def span(self) -> Span:
        """The task's span; raises RuntimeError before the task has begun."""
        if self._span is None:
            raise RuntimeError(f"this task of {self._agent} has not begun; use it in a `with` block")
        return self._span

    @property
    def tokens_used(self) -> float:
        """How many tokens the task has used in all, 0 until that is set."""
        return names.total_tokens(self._tokens or {})

    @tokens_used.setter
    def tokens_used(self, tokens: float) -> None:
        self.set_tokens_used(tokens)

    def set_tokens_used(self, tokens: float, *, estimated: bool = False) -> None:
        """Set how many tokens the task has used in all, rounded; `estimated` says that the number is an estimate.

        A value that is no such number is one warning in the log, and the task's tokens are unmeasured.
        """
        self._set_tokens({"untyped": tokens}, estimated)

    def set_usage(
        self,
        input_tokens: float | None = None,
        output_tokens: float | None = None,
        cache_read_tokens: float | None = None,
        cache_write_tokens: float | None = None,
        *,
        cache_write_1h_tokens: float | None = None,
        estimated: bool = False,
    ) -> None:
        """Set how many tokens the task has used by type, rounded; `estimated` says that the numbers are estimates.

        The parts exclude each other: `input_tokens` are those that were neither read from nor written to the cache. But
        `cache_write_1h_tokens` are those of `cache_write_tokens` that are kept for an hour. One that is None is 0 where
        another one is a number; if all are None, nothing was measured.
        """
        tokens = {
            "input": input_tokens,
            "output": output_tokens,
            "cache_read": cache_read_tokens,
            "cache_write": cache_write_1h_tokens if cache_write_tokens is None else cache_write_tokens,
            names.CACHE_WRITE_1H: cache_write_1h_tokens,
        }
        self._set_tokens(tokens, estimated)

    def _set_tokens(self, tokens: Mapping[str, float | None], is_estimated: bool) -> None:
        is_measured = any(number is not None for number in tokens.values())
        try:
            checked = {key: event.checked_tokens(0 if number is None else number) for key, number in tokens.items()}
        except InvalidValueError as error:
            is_measured = False
            self._complain("tokens", error)
        self._tokens, self._is_estimated = (checked, bool(is_estimated)) if is_measured else (None, False)

    def set_model(self, full_id: str) -> None:
        """Set the full id of the model that did the work (`claude-sonnet-5`), by which its tokens are priced."""
        try:
            self._full_model = event.checked_text("a model id", full_id)
        except InvalidValueError as error:
            self._complain("model", error)

    def set_failed(self, message: object = None) -> None:
        """Make the task a failure, whose error is the text of `message`: secrets masked, cut at 500 characters.

        An exception that leaves the block afterwards comes before it.
        """
        self._outcome, self._message = names.FAILURE, event.error_text(message)

    def take_tokens(self, result: _Result) -> _Result:
        """Set the tokens used from a result that has `tokens_used`, as an attribute or as a key, and return it."""
        tokens = result.get("tokens_used") if isinstance(result, Mapping) else getattr(result, "tokens_used", None)
        if tokens is not None:
            self.set_tokens_used(tokens)
        return result

    def add_attempt(self, error: BaseException | None = None) -> None:
        """Add an event to the task's span: one more attempt is over, with the error that ended it if there was one."""
        self._attempts += 1
        attributes: dict[str, Any] = {names.SPAN_ATTEMPT: self._attempts}
        if error is not None and outcome_of(error) != names.SUCCESS:
            attributes |= {names.ERROR_TYPE: type(error).__qualname__, names.SPAN_ERROR: event.error_text(error) or ""}
        self.span.add_event(names.ATTEMPT, attributes)

    def __enter__(self) -> "Self":
        return self._begin(is_block=True)

    def leave(self, error: BaseException | None) -> None:
        """Leave the `with` block, by the exception that has ended it if there was one, and end the task."""
        try:
            if self._block is not None:
                self._block.leave()
        except BaseException:  # an interrupt
            if self._block is not None:
                self._block.leave()
            raise
        finally:
            self.end(error)
        self._block = None  # each has the other

    def interrupted(self) -> None:
        """End the task as cancelled if an interrupt has kept its block from doing so; for the writer."""
        if self._block is not None:
            self._block.is_left = True
        if self._run_id is not None and self._receipt is None and lifecycle.forks == self._forks:
            self._take_time()
            self._outcome, self._message = names.CANCELLED, "interrupted"
            self._receipt = self._pipeline.recorder.submit(self._end())

    def begin(self) -> None:
        """Start the task without a `with` block; its span isn't made the current one. End it with `end`.

        Where an interrupt leaves this the task has ended, as cancelled. Raises RuntimeError for a task that has begun before,
        AgentBlacklistedError as the block does.
        """
        self._begin(is_block=False)

    def _begin(self, *, is_block: bool) -> "Self":
        if self._run_id is not None:
            raise RuntimeError(f"this task of {self._agent} has begun already; make a TaskTracker for each task")
        self._forks = lifecycle.forks
        self._run_id = new_id() if self._admission is None else self._admission.run_id
        try:
            if self._is_asked and self._admission is None:
                self._take_permit(self._run_id)
            context = self._start_span(self._run_id)
            self._pipeline.recorder.announce(self._start())
            if is_block:
                self._block = Block(self)
                self._block.enter(context, self.watch)
            return self  # noqa: TRY300 - an interrupt here is one of the beginning, too
        except BaseException as error:
            if self._span is None and isinstance(error, OtelTrackerError):  # the breaker has refused it
                self._run_id = None
                raise
            if self._block is not None:
                self._block.leave()
            self._conclude(error)
            settle()
            raise

    def _start_span(self, run_id: str) -> Context:
        """Start the task's span, and return the context that it has begun in, with that as the current one."""
        attributes = {
            names.GEN_AI_OPERATION: names.INVOKE_AGENT,
            names.GEN_AI_AGENT: self._agent,
            names.SPAN_RUN_ID: run_id,
        }
        if (model := self._model) is not None:
            attributes[names.GEN_AI_REQUEST_MODEL] = model
            attributes[names.GEN_AI_PROVIDER] = names.provider_of(model)
        if self._task_id is not None:
            attributes[names.SPAN_TASK_ID] = self._task_id
        if self._fallback_for is not None:
            attributes[names.SPAN_FALLBACK_FOR] = self._fallback_for
        if self._admission is not None and self._admission.claim is not None:
            self._admission.claim.settle()
        present_block()
        context = self._pipeline.context()
        self._started_ns, self._began = time.time_ns(), time.perf_counter()
        span = self._span = self._pipeline.start_span(self._agent, attributes, self._started_ns, context)
        if self._admission is not None and self._admission.is_probe:
            self._pipeline.add_transition(span, self._agent, names.HALF_OPEN)
        terminate.handler.cover(run_id, self)
        # A context that a processor has attached meanwhile isn't looked for: that would be two calls more.
        return self._pipeline.block_context(span, context)

    def _take_permit(self, run_id: str) -> None:
        """Ask the agent's breaker for the run; raises AgentBlacklistedError."""
        answer = self._pipeline.gate.ask(self._agent, self._task_id, run_id)
        if isinstance(answer, Rejection):
            raise answer.error()
        self._admission = answer
        self._agent = answer.agent_file  # the agent whose breaker was asked, which may be called otherwise

    def end(self, error: BaseException | None = None) -> None:
        """End the task, with the exception that ended it if there was one, and return when it is recorded.

        Does nothing for a task that has ended. Raises RuntimeError before the task has begun.
        """
        if self._run_id is None:
            raise RuntimeError(f"this task of {self._agent} has not begun; use it in a `with` block")
        if self._is_ended or lifecycle.forks != self._forks:
            return  # SIGTERM has ended it; or the child of a fork leaves a block of its parent, whose task goes on
        try:
            self._conclude(error).wait()
        except BaseException:  # an interrupt: the rest is done now, but not waited for
            if not self._is_ended:
                self._conclude(error)
            settle()
            raise

    def _conclude(self, error: BaseException | None) -> Receipt:
        """Hand over the task's end, and end its span; called again after an interrupt, it does the rest."""
        self._take_time()
        outcome = names.SUCCESS if error is None else outcome_of(error)
        if outcome == names.SUCCESS:
            error = None  # `sys.exit(0)` says no more than the end of the block; `set_failed` still holds
        else:
            self._outcome, self._message = outcome, event.error_text(error)
        pipeline, span = self._pipeline, self._span or trace.INVALID_SPAN
        if span.is_recording():
            self._describe(span, error)
        receipt = self._receipt = pipeline.end_span(span, self._end(error), self._ended_ns)
        self._is_ended, self.watch = True, None
        if pipeline.meter.is_on:
            pipeline.meter.task_ended(self._facts())
        return receipt

    def _take_time(self) -> None:
        if not self._ended_ns:
            self._duration, self._ended_ns = time.perf_counter() - self._began, time.time_ns()

    def _describe(self, span: Span, error: BaseException | None) -> None:
        """Set the attributes and the status of the span that say how the task ended."""
        span.set_attribute(names.SPAN_OUTCOME, self._outcome)
        if self._full_model:
            span.set_attribute(names.GEN_AI_RESPONSE_MODEL, self._full_model)
        if self._tokens is not None:
            if "untyped" in self._tokens:
                span.set_attribute(names.SPAN_TOKENS, self._tokens["untyped"])
            else:
                span.set_attributes(names.usage_attributes(self._tokens))
            if self._is_estimated:
                span.set_attribute(names.SPAN_ESTIMATED, True)
        if self._outcome == names.FAILURE:
            self._describe_failure(span, error)

    def _describe_failure(self, span: Span, error: BaseException | None) -> None:
        self._error_type = "set_failed" if error is None else type(error).__qualname__
        span.set_attribute(names.ERROR_TYPE, self._error_type)
        if error is not None:
            try:
                span.record_exception(error, _masked(error))
            except Exception as failure:  # the application's __str__ may raise
                if is_interrupt(failure):
                    raise
        span.set_status(StatusCode.ERROR, self._message)

    def _facts(self) -> Facts:
        seconds = max(0.0, self._duration)
        tokens = self._priced_tokens()
        return Facts(self._agent, self._outcome, seconds, self._named_model(), tokens, self._error_type)

    def current_span(self) -> AbstractContextManager[Span]:
        """Return a context manager in which the task, and its span, is the current one; it does not end it."""
        return Visit(self)

    def context(self) -> Context:
        """Return the present context, with the task's span as the current one."""
        return self._pipeline.block_context(self.span, self._pipeline.context())

    def _named_model(self) -> str | None:
        """Return the model to count under: as the user named it, else the family of the model that did the work."""
        is_named = self._model is not None and not isinstance(self._model, _Default)
        return self._model if is_named or not self._full_model else names.model_family(self._full_model)

    def _priced_tokens(self) -> Tokens | None:
        """Return the task's tokens with what they cost as one request, if the table has a price for just this model."""
        model = self._full_model or self._model
        if not self._tokens or model is None or "untyped" in self._tokens:
            return self._tokens
        cost = cost_in(self._pipeline.recorder.store.home)
        return priced_tokens(self._tokens, cost(model, self._tokens, self._ended_ns / 1e9, speed=None))

    def _start(self) -> Event:
        at, owner = self._started_ns / 1e9, this_process()
        return event.task_started(
            self._agent, at, run_id=str(self._run_id), model=self._model, task_id=self._task_id, owner=owner
        )

    def _end(self, error: BaseException | None = None) -> Event:
        error_type = None if error is None else type(error).__qualname__
        is_cancelled, is_failure = self._outcome == names.CANCELLED, self._outcome == names.FAILURE
        tokens = self._priced_tokens()
        return event.task_ended(
            self._agent,
            self._outcome,
            self._ended_ns / 1e9,
            event_id=self._run_id,  # one end, one id, however many exporters ask for it
            run_id=self._run_id,
            started=format_timestamp(self._started_ns / 1e9),
            duration_seconds=max(0.0, self._duration),
            clock_skew=True if self._duration < 0 else None,
            model=self._named_model(),
            task_id=self._task_id,
            tokens=tokens,
            models={self._full_model: tokens} if self._full_model else None,
            estimated=self._is_estimated or None,
            error=None if is_cancelled else self._message,
            error_type=error_type if is_failure else None,
            environment_error=outage_of(error, self._message) if is_failure else None,
            attempts=self._attempts if self._attempts > 1 else None,
            reason=self._message if is_cancelled else None,
            fallback_for=self._fallback_for,
            **self._pipeline.ids_of(self._span or trace.INVALID_SPAN, str(self._run_id)),
        )

    def _complain(self, about: str, error: InvalidValueError) -> None:
        """Log the fault of a value, once for each name of a value; a task never fails for its numbers."""
        if about not in self._complaints:
            self._complaints.add(about)
            warn("task of %s: %s", self._agent, error)


def current_task() -> TaskTracker | None:
    """Return the innermost task that the calling code runs in: that of a `with` block, of `run` or of `track_agent`.

    None outside of any task.
    """
    block = present_block()
    return cast("TaskTracker | None", block and block.task)


def _masked(error: BaseException) -> dict[str, str]:
    """Return the attributes of an exception's event that may have secrets in them, in the place of the SDK's own."""
    trace_back = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return {"exception.message": masked(str(error)), "exception.stacktrace": masked(trace_back)}
