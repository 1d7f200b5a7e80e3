"""Reads Claude Code's environment variables: they name the user's folder, the project and Claude Code's own process."""

import os

from otel_tracker.runtime import owner
from otel_tracker.runtime.environment import absolute, value_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FOLDER, _PROJECT, _PROCESS = "CLAUDE_CONFIG_DIR", "CLAUDE_PROJECT_DIR", "CLAUDE_PID"
_COPILOT = "COPILOT_CLI"
_LONGEST_PID = 10


def user_folder() -> str:
    """Return the folder of the user's Claude Code, with its settings and agents: of several the first."""
    return user_folders()[0]


def user_folders() -> "list[str]":
    """Return the folders of the user's Claude Code: the variable may list several, with commas."""
    value = value_of(_FOLDER)
    several = [folder.strip() for folder in value.split(",")] if "," in value and not os.path.isdir(value) else [value]
    return [absolute(folder) for folder in several if folder] or [absolute("~/.claude")]


def transcript_folders() -> "list[str]":
    """Return the folders in which the user's Claude Code keeps transcripts; they need not exist."""
    older = [] if value_of(_FOLDER) else [absolute("~/.config/claude")]  # where some versions kept them
    return [os.path.join(folder, "projects") for folder in (*user_folders(), *older)]


def user_agents() -> str:
    """Return the folder of the user's agents."""
    return os.path.join(user_folder(), "agents")


def project_agents(project: "str | None") -> "str | None":
    """Return the folder of a project's agents: of the one that Claude Code names, else of `project`; None if that is None."""
    project = value_of(_PROJECT) or project
    return os.path.join(project, ".claude", "agents") if project else None


def session_process() -> "dict[str, Any] | None":
    """Return the process of the session that this hook belongs to (owner.py), None if Claude Code doesn't name it (before 2.1.240)."""
    pid = value_of(_PROCESS)
    return owner.process(int(pid)) if pid.isascii() and pid.isdigit() and len(pid) < _LONGEST_PID else None


def is_in_session() -> bool:
    """Tell whether Claude Code, or a coding agent that sets the same variable, has started this process."""
    return bool(value_of(_PROJECT))


def is_run_by_copilot() -> bool:
    """Tell whether GitHub's Copilot CLI, which reads Claude Code's settings too, has started this process as a hook.

    A process that also has Claude Code's id was started by a Claude Code that Copilot has started.
    """
    return bool(value_of(_COPILOT)) and not value_of(_PROCESS)
