"""The environment variables that this package reads; nothing else reads any."""

import os

DEFAULT_HOME = "~/.claude/agents"


def home_folder() -> str:
    """Return the home: `OTEL_TRACKER_HOME`, else `~/.claude/agents`."""
    return os.path.expanduser(os.environ.get("OTEL_TRACKER_HOME") or DEFAULT_HOME)


def has_colour(is_terminal: bool) -> bool:
    """Tell whether output may be coloured: on a terminal, unless `NO_COLOR` is set or the terminal is dumb."""
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
