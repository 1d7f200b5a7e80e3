"""`track_agent`: every call of a function is a task; with a generator, the task lasts while it runs."""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, TypeVar, cast

from otel_tracker.state.event import checked_agent, checked_model
from otel_tracker.tracking.block import Watched
from otel_tracker.tracking.pipeline import Tracker
from otel_tracker.tracking.task import DEFAULT_MODEL, TaskTracker

_Function = TypeVar("_Function", bound=Callable[..., Any])


def track_agent(
    agent_file: str,
    default_model: str | None = DEFAULT_MODEL,
    *,
    tracker: Tracker | None = None,
    enforce: bool | None = None,
) -> Callable[[_Function], _Function]:
    """Record each call of the decorated function as a task of the agent `agent_file`.

    Functions, coroutines, generators and asynchronous generators alike. Where the result has `tokens_used`, as an
    attribute or as a key, it is recorded. Exceptions are recorded and go on. With `enforce` a call that the agent's
    breaker refuses raises AgentBlacklistedError, as TaskTracker does. Raises InvalidValueError at once.
    """
    checked_agent(agent_file)
    checked_model(default_model)

    def decorate(function: _Function) -> _Function:
        def new_task() -> TaskTracker:
            return TaskTracker(agent_file, default_model, tracker=tracker, enforce=enforce)

        wrap = next((wrap for is_kind, wrap in _KINDS if is_kind(function)), None)
        if wrap is None:
            raise TypeError(f"cannot track {function!r}: expected a function; put @track_agent below @classmethod")
        return cast("_Function", functools.wraps(function)(wrap(function, new_task)))

    return decorate


class _Running(Watched[TaskTracker]):
    """A block that a task lasts for; its span is not the present one in it."""

    def __init__(self, task: TaskTracker) -> None:
        self._task = task

    def __enter__(self) -> TaskTracker:
        self._task.begin()
        return self._task

    def leave(self, error: BaseException | None) -> None:
        """End the task, with the exception that has ended the block if there was one."""
        self._task.end(error)

    def interrupted(self) -> None:
        """End the task if an interrupt has kept its block from doing so; for the writer."""
        self._task.interrupted()


def _wrap_function(function: Callable[..., Any], new_task: Callable[[], TaskTracker]) -> Callable[..., Any]:
    def wrapper(*arguments: Any, **keywords: Any) -> Any:
        with new_task() as task:
            return task.take_tokens(function(*arguments, **keywords))

    return wrapper


def _wrap_coroutine(function: Callable[..., Any], new_task: Callable[[], TaskTracker]) -> Callable[..., Any]:
    async def wrapper(*arguments: Any, **keywords: Any) -> Any:
        async with new_task() as task:
            return task.take_tokens(await function(*arguments, **keywords))

    return wrapper


def _wrap_generator(function: Callable[..., Any], new_task: Callable[[], TaskTracker]) -> Callable[..., Any]:
    def wrapper(*arguments: Any, **keywords: Any) -> Generator[Any, Any, Any]:
        with _Running(new_task()) as task:
            return task.take_tokens((yield from _stepped(task, function(*arguments, **keywords))))

    return wrapper


def _stepped(task: TaskTracker, inner: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Delegate to `inner`, with the task's span the current one while `inner` runs, and only then."""
    step, value = inner.send, None
    while True:
        try:
            with task.current_span():
                item = step(value)
        except StopIteration as stop:
            return stop.value
        try:
            value = yield item
            step = inner.send
        except GeneratorExit:
            with task.current_span():
                inner.close()
            raise
        except BaseException as error:  # noqa: BLE001 - it is the generator's to handle
            step, value = inner.throw, error


def _wrap_async_generator(function: Callable[..., Any], new_task: Callable[[], TaskTracker]) -> Callable[..., Any]:
    async def wrapper(*arguments: Any, **keywords: Any) -> AsyncGenerator[Any, Any]:
        with _Running(new_task()) as task:
            inner = function(*arguments, **keywords)
            step, value = inner.asend, None
            while True:
                try:
                    with task.current_span():
                        item = await step(value)
                except StopAsyncIteration:
                    break
                try:
                    value = yield item
                    step = inner.asend
                except GeneratorExit:
                    with task.current_span():
                        await inner.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - it is the generator's to handle
                    step, value = inner.athrow, error

    return wrapper


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[..., Callable[..., Any]]], ...] = (
    (inspect.isasyncgenfunction, _wrap_async_generator),
    (inspect.iscoroutinefunction, _wrap_coroutine),
    (inspect.isgeneratorfunction, _wrap_generator),
    (callable, _wrap_function),
)
