"""The environment variables that this package reads; nothing else reads any."""

import os

from otel_tracker.errors import InvalidValueError

DEFAULT_HOME = "~/.claude/agents"


def home_folder() -> str:
    """Return the home: `OTEL_TRACKER_HOME`, else `~/.claude/agents`."""
    return os.path.expanduser(os.environ.get("OTEL_TRACKER_HOME") or DEFAULT_HOME)


def chosen_home(folder: "str | None") -> str:
    """Return the home that a caller names, else that of the environment; raises InvalidValueError for a blank one."""
    if folder is not None and not folder.strip():
        raise InvalidValueError("a home", folder, "a folder")
    return folder or home_folder()


def is_enforced() -> bool:
    """Tell whether tasks ask their agent's breaker first: `OTEL_TRACKER_ENFORCE` is 1, true, yes or on."""
    return os.environ.get("OTEL_TRACKER_ENFORCE", "").strip().lower() in ("1", "true", "yes", "on")


def has_colour(is_terminal: bool) -> bool:
    """Tell whether output may be coloured: on a terminal, unless `NO_COLOR` is set or the terminal is dumb."""
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
