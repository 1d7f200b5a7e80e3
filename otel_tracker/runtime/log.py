"""Log lines for people, with secrets masked."""

from otel_tracker.runtime import log_output
from otel_tracker.runtime.interrupts import is_interrupt
from otel_tracker.runtime.printable import printable


def warn(message: str, *arguments: object) -> None:
    """Log a fault under the name `otel_tracker`; raise nothing but an interrupt of the application."""
    log_output.write(_shown_if_possible(message, arguments), is_fault=True)


def notice(message: str, *arguments: object) -> None:
    """Log a warning about agents, not about a fault in the recording; raises like `warn`."""
    log_output.write(_shown_if_possible(message, arguments), is_fault=False)


def complain(message: str) -> None:
    """Write a line to standard error, in the name of the command; raises like `warn`."""
    log_output.write_to_standard_error(_shown_if_possible(message))


def shown(text: str) -> str:
    """Return a text that has words of others in it as people get it: on one line, with secrets masked."""
    from otel_tracker.runtime.masking import masked  # its patterns take longer to compile than a hook may run

    return printable(masked(text))


def _shown_if_possible(message: str, arguments: "tuple[object, ...]" = ()) -> str:
    """Return a message as people get it; where no file can be opened any more its secrets can't be masked, and it isn't shown."""
    try:
        return shown(message % arguments if arguments else message)
    except Exception as error:
        if is_interrupt(error):
            raise
        return f"a warning can't be shown: {error}"
