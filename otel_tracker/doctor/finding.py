"""What the doctor says of one matter."""

from typing import NamedTuple

OK, NOTE, WRONG = "ok", "note", "wrong"


class Finding(NamedTuple):
    """A sentence about a `topic` (home, lock, document, ...), how bad it is, and what mends it."""

    topic: str
    level: str
    """`ok`, `note` (worth knowing, nothing to do) or `wrong`."""
    text: str
    remedy: str | None = None
    """The command, or the change by hand, that mends it."""


REPAIR = "otel-tracker doctor --repair"
