"""Exceptions of signal handlers, which come up in whatever code the main thread is running, and are not that code's."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_HAS_ARGUMENT_LIST = 0x04  # inspect.CO_VARARGS; `inspect` takes longer to load than a hook may run


def is_interrupt(error: "BaseException | None") -> bool:
    """Tell whether a signal handler, or a trace function, has raised an error, so that it must go on to the caller.

    Python calls both with the frame that they interrupt; an ordinary call doesn't get the frame of its caller.
    """
    trace = None if error is None else error.__traceback__
    while trace is not None and trace.tb_next is not None:
        interrupted, trace = trace.tb_frame, trace.tb_next
        if any(value is interrupted for value in _arguments(trace.tb_frame)):
            return True
    return False


def _arguments(frame: "FrameType") -> "Iterator[object]":
    code, values = frame.f_code, frame.f_locals
    number = code.co_argcount + code.co_kwonlyargcount
    yield from (values.get(name) for name in code.co_varnames[:number])
    if code.co_flags & _HAS_ARGUMENT_LIST:
        yield from values.get(code.co_varnames[number], ())
