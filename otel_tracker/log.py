"""One line of log for people; `logging` is loaded only when there is something to say."""


def warn(message: str, *arguments: object) -> None:
    """Log a warning under the name `otel_tracker`."""
    import logging

    logging.getLogger("otel_tracker").warning(message, *arguments)
