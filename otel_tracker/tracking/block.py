"""The code that runs in a task, and which task is the present one, in whatever thread, coroutine or generator.

A task may have several blocks of code: its own `with` statement, and visits (`current_span`) in which a
generator runs a step. Each block sets two context variables, ours (`_innermost`) and OpenTelemetry's, and each can only be
reset with the token of its own setting, in the context in which it was set. But blocks are not always left in that order or
in that context: a generator may be closed by another coroutine, or collected; a copy of the context, in another thread,
keeps a block that is over. So `leave` only marks a block as left and resets those that it can; `present_block` resets the rest
when it is asked next in the context in question. It must be asked before a block is entered, for the token of the new
block would bring back one that is over.

An interrupt (an exception of a signal handler) may come before the first line of any method, `__exit__` included. So
leaving has two ways: `leave` is called by the `with` statement, or `interrupted` by the writer's thread when the statement
is gone without that (`Watched`). Either may come first, or twice, and each does only the rest.
"""

from collections.abc import Awaitable, Generator
from contextvars import ContextVar, Token
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

from otel_tracker.runtime.writer import Watch, watch

if TYPE_CHECKING:
    from collections.abc import Callable

_innermost: "ContextVar[Block | None]" = ContextVar("otel_tracker_block", default=None)


class Task(Protocol):
    """A task, as its blocks see it."""

    @property
    def span(self) -> Span:
        """The task's span."""

    def context(self) -> Context:
        """Return the present context, with the task's span as the current one."""


class Block:
    """Code that runs in a task.

    In a copy of the context, made for another thread or coroutine, a block stays the present one although it is over: work
    that was begun in a task is part of it.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.is_left = False
        self._watch: Watch | None = None
        self._token: Token[Block | None] | None = None
        self._context: Context | None = None
        self._attached: Token[Context] | None = None

    def enter(self, context: Context, watch: "Watch | None") -> None:
        """Make this the innermost block, and `context`, which has the task's span, the present context.

        The caller must have called `present_block`. The block has been left when the object that `watch` watches is gone.
        """
        self._watch, self._context = watch, context
        self._token = _innermost.set(self)
        self._attached = otel_context.attach(context)

    def leave(self) -> None:
        """Mark the block as left, and make the block and the context before it the present ones if that can be done now.

        May be called again where an interrupt has left it.
        """
        self.is_left = True
        if _innermost.get() is self:
            self.give_way()
        if _innermost.get() is not self and otel_context.get_current() is self._context:
            self.detach()
        if _innermost.get() is not None:
            present_block()

    def is_over(self) -> bool:
        """Tell whether the code has been left, also where an interrupt has kept `leave` from marking that."""
        return self.is_left or (self._watch is not None and self._watch.has_come())

    def give_way(self) -> bool:
        """Make the block around this one the innermost one; return False if that can't be done in this context."""
        try:
            if self._token is not None:
                _innermost.reset(self._token)
        except (ValueError, RuntimeError):  # of another context; of another context, and used there
            return False
        return self._token is not None

    def detach(self) -> None:
        """Make the OpenTelemetry context from before this block the present one again."""
        if self._attached is not None:
            otel_context.detach(self._attached)


class _WatchedExit:
    """An `__exit__` whose `with` statement is known to be left also where an interrupt comes before its first step.

    Only the statement holds what this descriptor returns, and it lets go of that however it is left. The writer then calls
    the context manager's `interrupted`, unless its `watch` has been let go of before.
    """

    def __init__(self, leave: "Callable[..., Any]") -> None:
        self._leave = leave

    def __get__(self, manager: "Any", owner: type | None = None) -> "Callable[..., Any]":
        if manager is None:
            return self._leave
        leave = partial(self._leave, manager)
        manager.watch = watch(leave, manager.interrupted)
        return leave


class _Nothing:
    """An awaitable with nothing left to do, for an `async with` statement."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_Entered = TypeVar("_Entered", covariant=True)  # noqa: PLC0105 - each `with` statement only gets it


class Watched(Generic[_Entered]):
    """A context manager for `with` and `async with` that is left once, whatever interrupts come."""

    watch: Watch | None = None
    """Calls `interrupted` when the statement has been left, unless `leave` has returned before."""

    def __enter__(self) -> _Entered:
        raise NotImplementedError

    def leave(self, error: BaseException | None) -> None:
        """Leave the block, by the exception that has ended it if there was one; the `with` statement calls this."""
        raise NotImplementedError

    def interrupted(self) -> None:
        """Do the rest of `leave` after an interrupt; the writer's thread calls this."""

    def _leave(
        self,
        error_type: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace_back: TracebackType | None = None,
    ) -> None:
        self.leave(error)
        self.watch = None

    async def __aenter__(self) -> _Entered:
        return self.__enter__()

    def _leave_asynchronously(
        self,
        error_type: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace_back: TracebackType | None = None,
    ) -> Awaitable[None]:
        self._leave(error_type, error, trace_back)  # now: the statement lets go of `__aexit__` before it awaits
        return _Nothing()

    if TYPE_CHECKING:
        __exit__, __aexit__ = _leave, _leave_asynchronously
    else:
        __exit__, __aexit__ = _WatchedExit(_leave), _WatchedExit(_leave_asynchronously)


class Visit(Watched[Span]):
    """A block of a task that goes on after it."""

    def __init__(self, task: Task) -> None:
        self._task, self._block = task, Block(task)

    def __enter__(self) -> Span:
        present_block()
        self._block.enter(self._task.context(), self.watch)
        return self._task.span

    def leave(self, error: BaseException | None) -> None:
        """Leave the block; one that an interrupt keeps from that is known to be over."""
        try:
            self._block.leave()
        except BaseException:  # an interrupt
            self._block.leave()
            raise


def present_block() -> Block | None:
    """Return the innermost block of the present context that is not over; reset those within it that are."""
    left = block = _innermost.get()
    while block is not None and block.is_over() and block.give_way():
        last, block = block, _innermost.get()
    if left is not block and left is not None and trace.get_current_span() is left.task.span:
        last.detach()
    return block
