"""Where this process's lines of log go: to `logging`, which is loaded when the first line comes, or wherever they are diverted."""

import sys

from otel_tracker.runtime.interrupts import is_interrupt
from otel_tracker.runtime.printable import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Take = Callable[[str, bool], object]

_elsewhere: "Take | None" = None


def divert(take: "Take | None") -> "Take | None":
    """Hand every line of this process, and whether it reports a fault, to `take`, which must not raise.

    Returns the function that has taken the lines so far; None stands for `logging`. Hooks divert: nothing reads their
    standard error.
    """
    global _elsewhere
    before, _elsewhere = _elsewhere, take
    return before


def write(text: str, *, is_fault: bool) -> None:
    """Write a text as one line; raise nothing but an interrupt of the application, even where no module can be loaded any more."""
    try:
        line = printable(text)
        if _elsewhere is not None:
            _elsewhere(line, is_fault)
            return
        import logging

        logging.getLogger("otel_tracker").warning("%s", line)
    except Exception as error:
        if is_interrupt(error):
            raise
        write_to_standard_error(text)


def write_to_standard_error(text: str) -> None:
    """Write a text as one line to standard error, in the name of the command; raise like `write`."""
    try:
        sys.stderr.write(f"otel-tracker: {printable(text)}\n")
        sys.stderr.flush()
    except Exception as error:
        if is_interrupt(error):
            raise
