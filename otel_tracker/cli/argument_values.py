"""The values that arguments of commands have: durations, moments, numbers, ports."""

import argparse
import time

from otel_tracker.runtime.timestamps import parse_timestamp

_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


def duration(text: str) -> float:
    """Return the seconds that `2h`, `30m`, `90s`, `7d` or a plain number name."""
    number, unit = (text[:-1], text[-1:]) if text[-1:] in _UNITS else (text, "s")
    if not number.replace(".", "", 1).isdecimal() or not float(number):
        raise argparse.ArgumentTypeError(f"expected a time such as 2h, 30m, 90s or 45, got {text!r}")
    return float(number) * _UNITS[unit]


def moment(text: str) -> float:
    """Return the moment that a time before now (`7d`, `12h`, `30m`, `90s`) or a timestamp names."""
    number, unit = text[:-1], text[-1:]
    if unit in _UNITS and number.replace(".", "", 1).isdecimal():
        return time.time() - float(number) * _UNITS[unit]
    try:
        return parse_timestamp(text)
    except (ValueError, OverflowError):
        expected = "7d, 12h, 30m, 90s, or a timestamp such as 2026-02-15T21:30:00Z"
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}") from None


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
