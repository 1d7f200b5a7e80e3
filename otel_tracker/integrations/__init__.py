"""Coding agents: the runs of their sub-agents are recorded as tasks.

Each integration is a package in here, called as in `NAMES` with `_` for `-`. The commands and the doctor use nothing of it
but its module `integration`, which is an Integration (protocol.py) and loads the rest only when it is needed.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tracker.integrations.protocol import Integration

NAMES = ("claude-code",)
"""The integrations, as the command line calls them; a home's folder of the same name is theirs."""


def load(name: str) -> "Integration":
    """Return the integration `name`, one of NAMES."""
    # Not importlib, which each hook would have to load.
    integration: Integration = __import__(f"{__name__}.{name.replace('-', '_')}.integration", fromlist=["integration"])
    return integration


def load_all() -> "Iterator[Integration]":
    """Yield every integration, in the order of NAMES."""
    return map(load, NAMES)
