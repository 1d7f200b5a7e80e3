"""The code that runs in a task: which one is the present one, in whatever thread, coroutine or generator."""

from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span

if TYPE_CHECKING:
    from otel_tracker.task import TaskTracker

_innermost: "ContextVar[Block | None]" = ContextVar("otel_tracker_block", default=None)


class Block(AbstractContextManager[Span]):
    """Code that runs in a task.

    A generator may leave it in another context than it was entered in, and before blocks that were entered later. What
    was the present one before is so again as soon as anybody asks in the context that it was entered in; in a copy of
    that, made for another thread or coroutine, it stays: what was begun in a task is part of it even when it's over.
    """

    is_left = False

    def __init__(self, task: "TaskTracker") -> None:
        self.task = task

    def __enter__(self) -> Span:
        present_block()
        self.context = otel_context.get_current()
        otel_context.attach(self.task.context())
        self.token = _innermost.set(self)
        return self.task.span

    def __exit__(self, *error: object) -> None:
        self.is_left = True
        if _innermost.get() is self and self.gives_way():
            otel_context.attach(self.context)
        present_block()

    def gives_way(self) -> bool:
        """Make the block around this one the innermost, and tell whether that could be done."""
        try:
            _innermost.reset(self.token)
        except (ValueError, RuntimeError):  # of another context; of another context, and used there
            return False
        return True


def present_block() -> Block | None:
    """Return the innermost block of the present context, when those have given way that were left elsewhere."""
    left = block = _innermost.get()
    while block is not None and block.is_left and block.gives_way():
        context, block = block.context, _innermost.get()
    if left is not block and left is not None and trace.get_current_span() is left.task.span:
        otel_context.attach(context)
    return block


def current_task() -> "TaskTracker | None":
    """Return the innermost task that the calling code runs in: that of a `with` block, of `run` or of `track_agent`."""
    block = present_block()
    return None if block is None else block.task
