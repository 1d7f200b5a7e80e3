"""One line of log for people; `logging` is loaded only when there is something to say."""

import sys

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
    """Log a warning under the name `otel_tracker`; never raise, even where nothing can be loaded any more."""
    try:
        if _elsewhere is not None:
            _elsewhere(message % arguments)
            return
        import logging

        logging.getLogger("otel_tracker").warning(message, *arguments)
    except Exception:  # noqa: BLE001 - out of memory or of file descriptors
        try:  # noqa: SIM105 - contextlib takes too long to load (files.py)
            sys.stderr.write(f"{message % arguments}\n")
        except Exception:  # noqa: BLE001, S110 - there is nobody left to tell
            pass
