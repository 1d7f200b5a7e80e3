"""Hooks for which Claude Code drops a whole file of settings, and what is said of them."""

from typing import Any

ENTRY = {"type": "command", "command": "x"}
DROPPED: dict[str, tuple[Any, str]] = {
    "hooks as a list": ([], "$.hooks: expected an object, got a list"),
    "no hooks": (None, "$.hooks: expected an object, got null"),
    "an event that is an object": ({"Stop": {}}, "$.hooks.Stop: expected a list, got an object"),
    "a comment": ({"Stop_DISABLED": "slow"}, "$.hooks.Stop_DISABLED: expected a list, got a text"),
    "a group that is a text": ({"Stop": ["x"]}, "$.hooks.Stop[0]: expected an object, got a text"),
    "an entry in a group's place": ({"Stop": [ENTRY]}, "$.hooks.Stop[0]: expected an object with a list `hooks`"),
    "entries that are null": ({"Stop": [{"hooks": None}]}, "$.hooks.Stop[0].hooks: expected a list, got null"),
    "an entry in the entries' place": (
        {"Stop": [{"hooks": ENTRY}]},
        "$.hooks.Stop[0].hooks: expected a list, got an object",
    ),
    "a matcher that is an object": (
        {"PreToolUse": [{"hooks": [ENTRY]}, {"matcher": {"tools": ["Bash"]}, "hooks": [ENTRY]}]},
        "$.hooks.PreToolUse[1].matcher: expected a text, got an object",
    ),
    "a matcher that is null": (
        {"PreToolUse": [{"matcher": None, "hooks": []}]},
        "$.hooks.PreToolUse[0].matcher: expected a text, got null",
    ),
    "an entry that is a text": (
        {"Stop": [{"hooks": ["x"]}]},
        "$.hooks.Stop[0].hooks[0]: expected an object, got a text",
    ),
    "an entry without a type": (
        {"Stop": [{"hooks": [{"command": "x"}]}]},
        "$.hooks.Stop[0].hooks[0]: expected an object with a text `type`",
    ),
    "an entry without a command": (
        {"Stop": [{"hooks": [ENTRY, {"type": "command"}]}]},
        "$.hooks.Stop[0].hooks[1]: expected an object with a text `command`",
    ),
    "a prompt that is a list": (
        {"Stop": [{"hooks": [{"type": "prompt", "prompt": ["x"]}]}]},
        "$.hooks.Stop[0].hooks[0].prompt: expected a text, got a list",
    ),
    "a hook over HTTP without an address": (
        {"Stop": [{"hooks": [{"type": "http"}]}]},
        "$.hooks.Stop[0].hooks[0]: expected an object with a text `url`",
    ),
    "a timeout that is a text": (
        {"Stop": [{"hooks": [{**ENTRY, "timeout": "5"}]}]},
        "$.hooks.Stop[0].hooks[0].timeout: expected a number of seconds above 0, got a text",
    ),
    "a timeout of nothing": (
        {"Stop": [{"hooks": [{**ENTRY, "timeout": 0}]}]},
        "$.hooks.Stop[0].hooks[0].timeout: expected a number of seconds above 0, got 0",
    ),
}
