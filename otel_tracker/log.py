"""One line of log for people; `logging` is loaded only when there is something to say."""

import sys

from otel_tracker.interrupts import is_interrupt
from otel_tracker.printable import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_elsewhere: "Callable[[str], object] | None" = None


def divert(take: "Callable[[str], object] | None") -> "Callable[[str], object] | None":
    """Hand every line of this process to `take`, which must not raise, and return who has got them so far.

    None is `logging`. A hook's standard error is read by nobody.
    """
    global _elsewhere
    before, _elsewhere = _elsewhere, take
    return before


def warn(message: str, *arguments: object) -> None:
    """Log a warning under the name `otel_tracker`; raise nothing but an interrupt of the application, even where nothing can be loaded any more."""
    text = message
    try:
        text = shown(message % arguments)
        if _elsewhere is not None:
            _elsewhere(text)
            return
        import logging

        logging.getLogger("otel_tracker").warning("%s", text)
    except Exception as error:
        if is_interrupt(error):
            raise
        complain(text)


def shown(text: str) -> str:
    """Return a text that has words of others in it as people get it: on one line, with secrets masked."""
    from otel_tracker.masking import masked

    return printable(masked(text))


def complain(message: str) -> None:
    """Write a line to standard error, in the name of the command; never raise."""
    try:
        sys.stderr.write(f"otel-tracker: {shown(message)}\n")
        sys.stderr.flush()
    except Exception as error:
        if is_interrupt(error):
            raise
