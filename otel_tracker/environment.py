"""What is set for a whole process: the environment variables that this package reads, and what `configure` says above them.

Nothing else reads variables of this package's own. docs/opentelemetry.md has the same table.
"""

import os

from otel_tracker.errors import InvalidValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OTEL_TRACKER_HOME = "OTEL_TRACKER_HOME"
"""The folder of the document, the journal and the backups; by default `~/.claude/agents`."""
OTEL_TRACKER_ENFORCE = "OTEL_TRACKER_ENFORCE"
"""Whether tasks ask their agent's breaker first (1, true, yes, on); by default they only observe."""
OTEL_TRACKER_HANDLE_SIGNALS = "OTEL_TRACKER_HANDLE_SIGNALS"
"""Whether SIGTERM ends running tasks as cancelled before it does what it did; by default they are lost."""

DEFAULT_HOME = "~/.claude/agents"
_TRUE = ("1", "true", "yes", "on")
_ENFORCE_KEY = os.fsencode(OTEL_TRACKER_ENFORCE) if os.name == "posix" else OTEL_TRACKER_ENFORCE

configured: "dict[str, Any]" = {}
"""What `configure` has been told, by its own argument names; it comes before the environment."""


def home_folder() -> str:
    """Return the home of this process."""
    chosen: str | None = configured.get("home")
    return os.path.expanduser(chosen or os.environ.get(OTEL_TRACKER_HOME) or DEFAULT_HOME)


def chosen_home(folder: "str | None") -> str:
    """Return the home that a caller names, else that of this process; raises InvalidValueError for a blank one."""
    if folder is not None and not folder.strip():
        raise InvalidValueError("a home", folder, "a folder")
    return folder or home_folder()


def claude_folder() -> str:
    """Return the folder of the user's Claude Code, with its settings and agents."""
    return os.path.abspath(os.path.expanduser(os.environ.get("CLAUDE_CONFIG_DIR") or "~/.claude"))


def is_enforced() -> bool:
    """Tell whether tasks ask their agent's breaker first."""
    # Each task asks, mostly in vain: `os.environ` raises twice to say so, the dict behind it answers ten times as fast.
    # It has no public name: where there is none, a closer look has to do.
    variables = getattr(os.environ, "_data", (_ENFORCE_KEY,))
    return (_ENFORCE_KEY in variables or "enforce" in configured) and _is_set("enforce", OTEL_TRACKER_ENFORCE)


def handles_signals() -> bool:
    """Tell whether SIGTERM ends running tasks as cancelled."""
    return _is_set("handle_signals", OTEL_TRACKER_HANDLE_SIGNALS)


def _is_set(argument: str, variable: str) -> bool:
    chosen: bool | None = configured.get(argument)
    if chosen is not None:
        return chosen
    return variable in os.environ and os.environ[variable].strip().lower() in _TRUE


def has_colour(is_terminal: bool) -> bool:
    """Tell whether output may be coloured: on a terminal, unless `NO_COLOR` is set or the terminal is dumb."""
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
