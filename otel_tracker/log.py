"""One line of log for people; `logging` is loaded only when there is something to say."""

import sys


def warn(message: str, *arguments: object) -> None:
    """Log a warning under the name `otel_tracker`; never raise, even where nothing can be loaded any more."""
    try:
        import logging

        logging.getLogger("otel_tracker").warning(message, *arguments)
    except Exception:  # noqa: BLE001 - out of memory or of file descriptors
        try:  # noqa: SIM105 - contextlib takes too long to load (files.py)
            sys.stderr.write(f"{message % arguments}\n")
        except Exception:  # noqa: BLE001, S110 - there is nobody left to tell
            pass
