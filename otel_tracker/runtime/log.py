"""One line of log for people; `logging` is loaded only when there is something to say."""

import sys

from otel_tracker.runtime.interrupts import is_interrupt
from otel_tracker.runtime.printable import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Take = Callable[[str, bool], object]

_elsewhere: "Take | None" = None


def divert(take: "Take | None") -> "Take | None":
    """Hand every line of this process, and whether it tells of a fault, to `take`, which must not raise.

    Returns what has got them so far; None is `logging`. Nothing reads a hook's standard error.
    """
    global _elsewhere
    before, _elsewhere = _elsewhere, take
    return before


def warn(message: str, *arguments: object) -> None:
    """Log a fault under the name `otel_tracker`; raise nothing but an interrupt of the application, even where nothing can be loaded any more."""
    _log(message, arguments, is_fault=True)


def notice(message: str, *arguments: object) -> None:
    """Log a warning that tells of agents, not of a fault in the recording; raises like `warn`."""
    _log(message, arguments, is_fault=False)


def _log(message: str, arguments: "tuple[object, ...]", *, is_fault: bool) -> None:
    text = message
    try:
        text = shown(message % arguments)
        if _elsewhere is not None:
            _elsewhere(text, is_fault)
            return
        import logging

        logging.getLogger("otel_tracker").warning("%s", text)
    except Exception as error:
        if is_interrupt(error):
            raise
        complain(text)


def shown(text: str) -> str:
    """Return a text that has words of others in it as people get it: on one line, with secrets masked."""
    from otel_tracker.runtime.masking import masked

    return printable(masked(text))


def complain(message: str) -> None:
    """Write a line to standard error, in the name of the command; raise nothing but an interrupt of the application."""
    try:
        sys.stderr.write(f"otel-tracker: {_shown_if_possible(message)}\n")
        sys.stderr.flush()
    except Exception as error:
        if is_interrupt(error):
            raise


def _shown_if_possible(text: str) -> str:
    """Return what is shown of a text; where no file can be opened any more, nothing can mask its secrets."""
    try:
        return shown(text)
    except Exception as error:
        if is_interrupt(error):
            raise
        return f"a warning can't be shown: {error}"
