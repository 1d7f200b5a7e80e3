"""The values that arguments of commands have: durations, moments, numbers, ports."""

import argparse
import time
from contextlib import contextmanager

from otel_tracker.errors import InvalidValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


def duration(text: str) -> float:
    """Return the seconds that `2h`, `30m`, `90s`, `7d` or a plain number name."""
    number, unit = (text[:-1], text[-1:]) if text[-1:] in _UNITS else (text, "s")
    if not number.replace(".", "", 1).isdecimal() or not float(number):
        raise argparse.ArgumentTypeError(f"expected a time such as 2h, 30m, 90s or 45, got {text!r}")
    return float(number) * _UNITS[unit]


def moment(text: str) -> str:
    """Return a text that names a moment: which one, depends on the reader's days (reporting/window.py)."""
    from otel_tracker.reporting import window

    with _as_wrong_usage():
        window.moment(text, time.time())
    return text


def keys(text: str) -> "tuple[str, ...]":
    """Return the one or two keys that rows of sums are by."""
    from otel_tracker.reporting.aggregate import checked_keys

    with _as_wrong_usage():
        return checked_keys(text)


@contextmanager
def _as_wrong_usage() -> "Iterator[None]":
    try:
        yield
    except InvalidValueError as error:
        raise argparse.ArgumentTypeError(f"expected {error.expected}, got {error.value!r}") from None


def number(text: str) -> int:
    """Return a whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")
    return int(text)


def port(text: str) -> int:
    """Return a port from 0 to 65535."""
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return int(text)
