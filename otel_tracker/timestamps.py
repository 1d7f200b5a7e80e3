"""Timestamps of the document and the journal: UTC, 27 characters, `2026-02-15T21:30:00.000000Z`.

Inside the package a moment is a number: seconds since 1970-01-01T00:00:00Z. Nothing here asks a clock.
"""

from datetime import datetime, timezone
from functools import lru_cache

WIDTH = 27


def format_timestamp(seconds: float) -> str:
    """Return `seconds` in the fixed-width form, rounded to the microsecond."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="microseconds")[:-6] + "Z"


@lru_cache(maxsize=4096)  # each event's is asked for several times
def parse_timestamp(text: str) -> float:
    """Return the moment that an ISO 8601 `text` names; a text without an offset is taken as UTC.

    Raises ValueError where it is not a timestamp.
    """
    if len(text) == WIDTH and text[-1] == "Z":
        return datetime.fromisoformat(text[:-1] + "+00:00").timestamp()
    normal = text.strip()
    if normal[-1:] in ("Z", "z"):
        normal = normal[:-1] + "+00:00"
    moment = datetime.fromisoformat(_pad_fraction(normal))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.timestamp()


def _pad_fraction(text: str) -> str:
    """Give a fraction of a second six digits, as Python 3.10 wants them."""
    head, dot, tail = text.partition(".")
    if not dot:
        return text
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return f"{head}.{tail[:digits][:6].ljust(6, '0')}{tail[digits:]}"
