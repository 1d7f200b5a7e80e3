"""The lines of log that tell a user at once of an agent: that its key may be misspelt, that its breaker has opened."""

from otel_tracker.errors import command
from otel_tracker.names import failures_in_a_row
from otel_tracker.state.lookup import similar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tracker.state.document import Document

_ALIKE = 0.85  # how alike a misspelt key must be: from 7 letters on a single one may differ


def misspelt(before: "Document", after: "Document", home: "str | None") -> "Iterator[str]":
    """Yield a text for each new agent whose key is like that of an older one; a registered agent is one of its own.

    `home` is what `--home` must name in a command, None for the default one.
    """
    for key, entry in after.agents.items():
        alike = [] if key in before.agents or entry.get("name") else similar(before, key, _ALIKE)
        if alike:
            merge = command("agents merge", key, alike[0], home=home)
            yield f"{key} is a new agent whose name is like that of {alike[0]}; if they are one: {merge}"


def opened(before: "Document", after: "Document", home: "str | None") -> "Iterator[str]":
    """Yield a text for each agent that is blacklisted and whose breaker has opened; `home` as in `misspelt`."""
    for key, entry in after.agents.items():
        openings = before.agents[key]["tallies"]["opened"] if key in before.agents else 0
        until, failures = entry["blacklisted_until"], entry["failures"]
        if entry["tallies"]["opened"] > openings and until:
            look = command("breaker", key, home=home)
            yield f"{key} is blacklisted until {until}: {failures_in_a_row(failures)}; look at: {look}"
