"""A finding: the doctor's answer to one question."""

from typing import TYPE_CHECKING, NamedTuple

from otel_tracker.errors import command

if TYPE_CHECKING:
    from otel_tracker.storage.home import Home

OK, NOTE, WRONG = "ok", "note", "wrong"


class Finding(NamedTuple):
    """A sentence about a `topic` (home, lock, document, ...), how bad it is, and what mends it."""

    topic: str
    level: str
    """`ok`, `note` (worth knowing, nothing to do) or `wrong`."""
    text: str
    remedy: str | None = None
    """The command, or the change by hand, that mends it."""


def repair_of(home: "Home") -> str:
    """Return the command that mends what needs no person in a home."""
    return command("doctor", options=("--repair",), home=home.option)
