"""`MetricTracker.run` and `arun`: fallback(retry(breaker(timeout(task)))). All attempts of an agent are one task."""

import asyncio
import contextvars
import inspect
import math
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from otel_tracker.errors import AgentTimeoutError, InvalidValueError
from otel_tracker.runtime.interrupts import is_interrupt
from otel_tracker.state import event
from otel_tracker.tracking.gate import Admission
from otel_tracker.tracking.pipeline import Tracker
from otel_tracker.tracking.task import TaskTracker

if TYPE_CHECKING:
    from otel_tracker.tracking.retry import Retries


class Plan(NamedTuple):
    """The arguments of `run` and `arun`; those that are None are taken from the settings of each agent."""

    tracker: Tracker
    agent: str
    model: str | None
    timeout: float | None
    retries: int | None
    fallbacks: Sequence[str] | None

    def checked(self) -> "Plan":
        """Return the plan; raises InvalidValueError."""
        event.checked_agent(self.agent)
        event.checked_model(self.model)
        event.checked_agents(self.fallbacks)
        if self.retries is not None:
            event.checked_count(self.retries, "a number of retries")
        is_number = isinstance(self.timeout, (int, float)) and not isinstance(self.timeout, bool)
        if self.timeout is not None and not (is_number and self.timeout >= 0):
            raise InvalidValueError("a timeout", self.timeout, "seconds from 0, or None")
        return self


class _Chain:
    """The agents that may do the work, one after the other."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan.checked()
        self._failure: Exception | None = None

    def tasks(self) -> "Iterator[_Task]":
        """Yield a task for each agent that is let through; the caller stops when one has done the work."""
        plan, gate = self._plan, self._plan.tracker.gate
        for admission in gate.admissions(plan.agent, plan.fallbacks):
            settings = gate.settings(admission.agent_file)
            timeout = settings.timeout_seconds if plan.timeout is None else plan.timeout
            retries = settings.retry_attempts if plan.retries is None else plan.retries
            yield _Task(plan, admission, None if timeout in (0, math.inf) else timeout, retries)

    def failure(self) -> Exception:
        """Return the failure of the last task, for which no other agent has made up."""
        assert self._failure is not None  # noqa: S101 - `admissions` raises where it lets no agent through
        return self._failure

    def __enter__(self) -> None:
        """Keep a failure of the block, for which the next agent may make up."""

    def __exit__(self, error_type: object, error: BaseException | None, trace_back: object) -> bool:
        if not isinstance(error, Exception) or is_interrupt(error) or getattr(error, "is_final", False):
            return False
        self._failure = error
        return True


class _Task(NamedTuple):
    plan: Plan
    admission: Admission
    timeout: float | None
    retries: int

    def tracked(self) -> TaskTracker:
        return TaskTracker(
            self.admission.agent_file, self.plan.model, tracker=self.plan.tracker, admission=self.admission
        )

    def repeated(self) -> "Retries":
        from otel_tracker.tracking.retry import Retries

        return Retries(self.retries, lambda: self.plan.tracker.gate.is_open(self.admission))

    def call(self, attempt: Callable[..., Any], *arguments: Any) -> Any:
        return self.repeated().call(attempt, *arguments) if self.retries else attempt(*arguments)

    async def await_call(self, attempt: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        call = self.repeated().await_call(attempt, *arguments) if self.retries else attempt(*arguments)
        return await call


def run(plan: Plan, function: Callable[[], Any]) -> Any:
    """Run a function as `plan` says, and return its result; errors as MetricTracker.run."""
    if inspect.iscoroutinefunction(getattr(function, "func", function)):
        raise InvalidValueError(
            "a function for run", function, "one that isn't a coroutine function: await arun instead"
        )
    chain = _Chain(plan)
    for task in chain.tasks():
        with chain, task.tracked() as tracked:
            return tracked.take_tokens(task.call(_attempt, task, tracked, function))
    raise chain.failure()


async def arun(plan: Plan, function: Callable[[], Awaitable[Any]]) -> Any:
    """Run and await a function as `plan` says, and return its result; errors as MetricTracker.run."""
    chain = _Chain(plan)
    for task in chain.tasks():
        with chain:
            async with task.tracked() as tracked:
                return tracked.take_tokens(await task.await_call(_attempt_async, task, tracked, function))
    raise chain.failure()


@contextmanager
def _counted(tracked: TaskTracker) -> Iterator[None]:
    """Count an attempt of a task, with the exception that ends the block if there is one."""
    try:
        yield
    except BaseException as error:
        tracked.add_attempt(error)
        raise
    tracked.add_attempt()


def _attempt(task: _Task, tracked: TaskTracker, function: Callable[[], Any]) -> Any:
    with _counted(tracked):
        return _finished(function() if task.timeout is None else _within(task, task.timeout, function))


def _within(task: _Task, seconds: float, function: Callable[[], Any]) -> Any:
    """Return the function's result, from a thread that sees the caller's context; after `seconds` it is given up."""
    ended: list[tuple[Any, BaseException | None]] = []

    def call() -> None:
        try:
            ended.append((function(), None))
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            ended.append((None, error))

    context = contextvars.copy_context()
    thread = threading.Thread(
        target=context.run, args=(call,), name=f"task of {task.admission.agent_file}", daemon=True
    )
    thread.start()
    thread.join(min(seconds, threading.TIMEOUT_MAX))
    if not ended:
        overrun = AgentTimeoutError(task.admission.agent_file, seconds)
        overrun.is_final = True  # it still runs: repeated, it would run twice at once
        raise overrun
    result, error = ended[0]
    if error is not None:
        raise error
    return result


async def _attempt_async(task: _Task, tracked: TaskTracker, function: Callable[[], Awaitable[Any]]) -> Any:
    with _counted(tracked):
        return await _awaited_within(task, function)


async def _awaited_within(task: _Task, function: Callable[[], Awaitable[Any]]) -> Any:
    awaitable = function()
    if not inspect.isawaitable(awaitable):
        raise _wrong("arun", function, "one that returns an awaitable: call run instead")
    running = asyncio.ensure_future(_caught(awaitable))
    try:
        done, _ = await asyncio.wait({running}, timeout=task.timeout)
    except BaseException:
        await _cancelled(running)
        raise
    if not done:
        await _cancelled(running)
        assert task.timeout is not None  # noqa: S101 - without one there is no end before the end
        raise AgentTimeoutError(task.admission.agent_file, task.timeout)
    result, error = running.result()
    if error is not None:
        raise error
    return result


def _finished(result: Any) -> Any:
    """Return a result; raises InvalidValueError for one whose work has not been done yet."""
    if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise _wrong("run", result, "one that does its work: await arun instead, or see track_agent for generators")
    return result


def _wrong(method: str, value: Any, expected: str) -> InvalidValueError:
    wrong = InvalidValueError(f"a function for {method}", value, expected)
    wrong.is_final = True
    return wrong


async def _caught(awaitable: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """Return the result, or the error: a SystemExit that leaves a task of asyncio would end the loop at once."""
    try:
        return await awaitable, None
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - it is raised where the caller waits
        return None, error


async def _cancelled(running: "asyncio.Future[Any]") -> None:
    running.cancel()
    await asyncio.wait({running})
