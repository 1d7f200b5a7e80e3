"""The code that runs in a task: which one is the present one, in whatever thread, coroutine or generator."""

from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

if TYPE_CHECKING:
    from otel_tracker.task import TaskTracker

(SPAN_KEY,) = trace.set_span_in_context(trace.INVALID_SPAN, Context())
"""Where a context has its span: `set_span_in_context` copies the context twice, and each task pays for it."""

_innermost: "ContextVar[Block | None]" = ContextVar("otel_tracker_block", default=None)


class Block:
    """Code that runs in a task.

    A generator may leave it in another context than it was entered in, and before blocks that were entered later. What
    was the present one before is so again as soon as anybody asks in the context that it was entered in; in a copy of
    that, made for another thread or coroutine, it stays: what was begun in a task is part of it even when it's over.
    """

    def __init__(self, task: "TaskTracker", context: Context) -> None:
        """Make this the innermost block and `context`, with the task's span, the present one; ask `present_block` first."""
        self.task = task
        self.is_left = False
        self.attached = otel_context.attach(context)
        self.token = _innermost.set(self)

    def leave(self) -> None:
        """Make what was the present one before so again, as soon as that can be done."""
        self.is_left = True
        if _innermost.get() is self and self.gives_way():
            otel_context.detach(self.attached)
        if _innermost.get() is not None:
            present_block()

    def gives_way(self) -> bool:
        """Make the block around this one the innermost, and tell whether that could be done."""
        try:
            _innermost.reset(self.token)
        except (ValueError, RuntimeError):  # of another context; of another context, and used there
            return False
        return True


class Visit(AbstractContextManager[Span]):
    """A block of a task that goes on behind it."""

    def __init__(self, task: "TaskTracker") -> None:
        self._task = task

    def __enter__(self) -> Span:
        present_block()
        self._block = Block(self._task, self._task.context())
        return self._task.span

    def __exit__(self, *error: object) -> None:
        self._block.leave()


def present_block() -> Block | None:
    """Return the innermost block of the present context, when those have given way that were left elsewhere."""
    left = block = _innermost.get()
    while block is not None and block.is_left and block.gives_way():
        attached, block = block.attached, _innermost.get()
    if left is not block and left is not None and trace.get_current_span() is left.task.span:
        otel_context.detach(attached)
    return block


def current_task() -> "TaskTracker | None":
    """Return the innermost task that the calling code runs in: that of a `with` block, of `run` or of `track_agent`."""
    block = present_block()
    return None if block is None else block.task
