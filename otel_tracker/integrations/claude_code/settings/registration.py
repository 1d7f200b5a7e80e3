"""The one table of our hooks; it makes the hooks of a settings file and of the plugin, and recognizes them there.

Pure, except for `program`, which looks for this package's program.
"""

import os
import re
import shlex
import shutil
import sys
from typing import Any, NamedTuple

from otel_tracker.errors import OtelTrackerError, command
from otel_tracker.integrations.claude_code.hooks import payload

PROGRAM = "otel-tracker"
INSTALL = command("claude-code install")
GATE = payload.PRE_TOOL_USE
_LAUNCHES = "|".join(payload.AGENT_TOOLS)
_HOOK = ["claude-code", "hook"]
_NO_GATE, _FAIL_CLOSED, _HOME = "--no-gate", "--fail-closed", "--home"
_SHELL = frozenset("();<>|&")


class Hook(NamedTuple):
    """An event for which Claude Code calls us, and the tools that it is about; `timeout` is in seconds."""

    event: str
    timeout: int
    matcher: str | None = None


HOOKS = (
    Hook(GATE, 5, _LAUNCHES),
    Hook(payload.POST_TOOL_USE, 10, _LAUNCHES),
    Hook(payload.POST_TOOL_USE_FAILURE, 10, _LAUNCHES),
    Hook(payload.SUBAGENT_START, 10),
    Hook(payload.SUBAGENT_STOP, 10),
    Hook(payload.USER_PROMPT_SUBMIT, 5),
    Hook(payload.STOP, 10),
    Hook(payload.STOP_FAILURE, 10),
    Hook(payload.SESSION_START, 10),
    Hook(payload.SESSION_END, 1),
)


class Choice(NamedTuple):
    """The options that a user has chosen: the home (None for the default one), and what the gate does."""

    home: str | None = None
    is_gated: bool = True
    is_closed_on_doubt: bool = False


class NoProgramError(OtelTrackerError):
    """There is no program that a hook could call; `folder` is the one that was searched first."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.folder = folder

    def message(self) -> str:
        """Return the sentence that a person reads."""
        return (
            f"cannot register hooks: there is no program {PROGRAM} in {self.folder} nor in PATH; "
            "install the package, with pip install . in a clone of it, into an environment that stays"
        )


def hooks(
    command: str,
    choice: Choice = Choice(),  # noqa: B008 - it is immutable
    *,
    is_shared: bool = False,
) -> dict[str, list[dict[str, Any]]]:
    """Return the object `hooks` of a settings file, or of a plugin: groups by event.

    A project's settings are shared with other programs, too. Copilot CLI calls the `command` of each hook there without
    its `args`, and refuses every sub-agent if that fails: so in such settings the command is a whole line for the shell.
    """
    return {hook.event: [_group(hook, _called(command, choice, is_shared=is_shared), choice)] for hook in HOOKS}


def program() -> str:
    """Return the absolute path of the program of this environment, else of the one in PATH."""
    folder = os.path.dirname(os.path.abspath(sys.executable))
    path = shutil.which(PROGRAM, path=folder) or shutil.which(PROGRAM)
    if path is None:
        raise NoProgramError(folder)
    return os.path.abspath(path)


def is_ours(entry: object) -> bool:
    """Tell whether an entry of a group calls our hook and does nothing else; its path and its flags may be any."""
    return _arguments(entry) is not None


def is_akin(entry: object) -> bool:
    """Tell whether an entry calls our hook in a way of the user's own: with a pipe, a variable, another shell."""
    if not isinstance(entry, dict) or is_ours(entry):
        return False
    words = [entry.get("command"), *_list(entry.get("args"))]
    text = " ".join(word for word in words if isinstance(word, str))
    return re.search(r"otel[-_]tracker\b.*\bclaude-code\s+hook\b", text, re.DOTALL) is not None


def command_of(entry: dict[str, Any]) -> str:
    """Return the program that one of our entries calls."""
    return _words(entry)[0]


def choice_of(entry: dict[str, Any]) -> Choice:
    """Return the options with which one of our entries was made."""
    arguments = _arguments(entry) or []
    home = None
    for flag, following in zip(arguments, [*arguments, None][1:], strict=True):
        if flag == _HOME:
            home = following
        elif flag.startswith(f"{_HOME}="):
            home = flag.partition("=")[2]
    return Choice(home, _NO_GATE not in arguments, _FAIL_CLOSED in arguments)


def _called(command: str, choice: Choice, *, is_shared: bool) -> dict[str, Any]:
    if is_shared:
        return {"command": shlex.join([command, *arguments(choice)])}
    return {"command": command, "args": arguments(choice)}


def _group(hook: Hook, called: dict[str, Any], choice: Choice) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "command", **called, "timeout": hook.timeout}
    if hook.event == GATE and choice.is_closed_on_doubt:
        entry["onFailure"] = "block"
    return {**({"matcher": hook.matcher} if hook.matcher else {}), "hooks": [entry]}


def arguments(choice: Choice) -> list[str]:
    """Return the arguments of every hook; Claude Code hands OTEL_TRACKER_HOME to none of them."""
    home = [] if choice.home is None else [_HOME, choice.home]
    gate = [_NO_GATE] if not choice.is_gated else [_FAIL_CLOSED] if choice.is_closed_on_doubt else []
    return [*_HOOK, *home, *gate]


def _arguments(entry: object) -> list[str] | None:
    """Return the arguments before and behind `claude-code hook` in one of our entries; None for any other entry."""
    if not isinstance(entry, dict) or entry.get("type", "command") != "command":
        return None
    words = _words(entry)
    if words[1:3] == ["-m", "otel_tracker"]:
        rest = words[3:]
    elif re.fullmatch(rf"{PROGRAM}(\.exe)?", re.split(r"[/\\]", words[0])[-1] if words else ""):
        rest = words[1:]
    else:
        return None
    before = 2 if rest[:1] == [_HOME] else 1 if rest and rest[0].startswith(f"{_HOME}=") else 0
    if rest[before : before + 2] != _HOOK:
        return None
    return rest[:before] + rest[before + 2 :]


def _words(entry: dict[str, Any]) -> list[str]:
    """Return the command line of an entry; an empty list if it is more than one plain command."""
    command, arguments = entry.get("command"), entry.get("args")
    if not isinstance(command, str) or not all(isinstance(word, str) for word in _list(arguments)):
        return []
    if isinstance(arguments, list):
        return [command, *arguments]
    text = command.replace("\\", "/") if os.name == "nt" else command
    if re.search(r"`|\$\(|\n", text.strip()):
        return []
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError:  # a quotation mark is not closed
        return []
    return [] if any(_SHELL.issuperset(word) for word in words) else words


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
