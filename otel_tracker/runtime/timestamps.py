"""Timestamps of the document and the journal: UTC, 27 characters, `2026-02-15T21:30:00.000000Z`.

Inside the package a moment is a number: seconds since 1970-01-01T00:00:00Z. Nothing here asks a clock.
"""

from datetime import UTC, datetime
from functools import lru_cache

WIDTH = 27


def format_timestamp(seconds: float) -> str:
    """Return `seconds` in the fixed-width form, rounded to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


@lru_cache(maxsize=4096)  # each event's is asked for several times
def parse_timestamp(text: str) -> float:
    """Return the moment that an ISO 8601 `text` names; a text without an offset is taken as UTC.

    Raises ValueError where it is not a timestamp.
    """
    moment = datetime.fromisoformat(text if len(text) == WIDTH else text.strip().upper())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()
