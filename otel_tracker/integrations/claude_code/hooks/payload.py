"""The payload that Claude Code gives to a hook: one JSON object on standard input, of which nothing is trusted.

Source of the format: what Claude Code 2.1.139 to 2.1.332 sends (tests/data/claude/payloads). The fields are Claude Code's to
change: a field that is missing, or has another type than documented, reads as absent and is reported as drift.
"""

import json

from otel_tracker.integrations.claude_code.transcripts.result import STATUSES
from otel_tracker.runtime.limits import NAME_CHARACTERS, PATH_CHARACTERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PRE_TOOL_USE, POST_TOOL_USE, POST_TOOL_USE_FAILURE = "PreToolUse", "PostToolUse", "PostToolUseFailure"
SUBAGENT_START, SUBAGENT_STOP = "SubagentStart", "SubagentStop"
USER_PROMPT_SUBMIT, STOP, STOP_FAILURE = "UserPromptSubmit", "Stop", "StopFailure"
SESSION_START, SESSION_END = "SessionStart", "SessionEnd"

AGENT_TOOLS = ("Agent", "Task")
"""The tool that runs a sub-agent, and its name before Claude Code 2.1.63."""
_OF_TEAM = "@"

# The fields of each event that this package relies on, and their documented types.
_DOCUMENTED: "dict[str, dict[str, tuple[type, ...]]]" = {
    PRE_TOOL_USE: {"tool_name": (str,), "tool_input": (dict,), "tool_use_id": (str,)},
    POST_TOOL_USE: {"tool_name": (str,), "tool_input": (dict,), "tool_use_id": (str,), "tool_response": (dict, str)},
    POST_TOOL_USE_FAILURE: {"tool_name": (str,), "tool_input": (dict,), "tool_use_id": (str,), "error": (str,)},
    SUBAGENT_START: {"agent_id": (str,), "agent_type": (str,)},
    SUBAGENT_STOP: {"agent_id": (str,), "agent_type": (str,)},
    USER_PROMPT_SUBMIT: {"prompt": (str,)},
    STOP: {},
    STOP_FAILURE: {"error": (str,)},
    SESSION_START: {"source": (str,)},
    SESSION_END: {"reason": (str,)},
}


class PayloadError(ValueError):
    """Standard input has no payload in it."""


class Payload:
    """An object of a payload, asked for values by their type. Never raises once it is made."""

    __slots__ = ("values",)

    def __init__(self, values: "dict[str, Any]") -> None:
        self.values = values

    @classmethod
    def parse(cls, data: bytes) -> "Payload":
        """Return the payload in the bytes of standard input; raises PayloadError if it isn't an object."""
        try:
            values = json.loads(data.decode("utf-8", "replace"))
        except (ValueError, RecursionError) as error:
            raise PayloadError(f"standard input is not JSON: {error}") from None
        if not isinstance(values, dict):
            raise PayloadError(f"standard input is a JSON {type(values).__name__}, not an object")
        return cls(values)

    @property
    def event(self) -> str:
        """The hook's event, an empty text if it is missing."""
        return self.name("hook_event_name") or ""

    @property
    def session_id(self) -> "str | None":
        """The session that the hook belongs to."""
        return self.name("session_id")

    @property
    def agent_id(self) -> "str | None":
        """The sub-agent that the event is about, or within which it happens; without the `agent-` that some have."""
        return self.agent_id_at("agent_id")

    def agent_id_at(self, key: str) -> "str | None":
        """Return the id of a sub-agent."""
        return (self.name(key) or "").removeprefix("agent-") or None

    @property
    def launched_agent_id(self) -> "str | None":
        """The agent that this object, the result of a launch, is about, None without one.

        Of a teammate 2.1.240 and older give a name (`helper@session-1`): only its own events have the id.
        """
        agents = (self.agent_id_at(key) for key in ("agentId", "agent_id", "taskId"))
        return next((agent for agent in agents if agent is not None and _OF_TEAM not in agent), None)

    @property
    def is_about_agents(self) -> bool:
        """Whether the tool that the event is about is the one that runs sub-agents."""
        return self.values.get("tool_name") in AGENT_TOOLS

    @property
    def is_about_a_run(self) -> bool:
        """Whether the event is about runs of sub-agents, not about the turn, or the session, of the main agent."""
        return self.is_of_an_agents_turn or self.event in (PRE_TOOL_USE, POST_TOOL_USE, POST_TOOL_USE_FAILURE)

    @property
    def ends_an_agents_turn(self) -> bool:
        """Whether a turn of a sub-agent has ended; StopFailure, and Stop, may name a sub-agent, too."""
        return self.event == SUBAGENT_STOP or (self.event in (STOP, STOP_FAILURE) and self.agent_id is not None)

    @property
    def is_of_an_agents_turn(self) -> bool:
        """Whether a turn of a sub-agent begins or ends."""
        return self.event == SUBAGENT_START or self.ends_an_agents_turn

    def text(self, key: str) -> "str | None":
        """Return a text of any length, None if there is none."""
        value = self.values.get(key)
        return value if isinstance(value, str) else None

    def name(self, key: str) -> "str | None":
        """Return an id or a name: a printable text that isn't blank, without spaces around it."""
        value = (self.text(key) or "").strip()
        return value if 0 < len(value) <= NAME_CHARACTERS and value.isprintable() else None

    def path(self, key: str) -> "str | None":
        """Return the path of a file."""
        value = self.text(key)
        return value if value and len(value) <= PATH_CHARACTERS and value.isprintable() else None

    def number(self, key: str) -> "float | None":
        """Return a number from 0 to 10**12."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        return value if 0 <= value <= 1e12 else None

    def is_set(self, key: str) -> bool:
        """Tell whether a value is true."""
        return self.values.get(key) is True

    def part(self, key: str) -> "Payload":
        """Return an object inside, an empty one if there is none."""
        value = self.values.get(key)
        return Payload(value if isinstance(value, dict) else {})

    def parts(self, key: str) -> "list[Payload] | None":
        """Return a list of objects, None if there is no list."""
        value = self.values.get(key)
        return [Payload(item) for item in value if isinstance(item, dict)] if isinstance(value, list) else None

    def drift(self) -> "str | None":
        """Return a difference between the payload and its documentation, None if there is none that matters here."""
        if self.event not in _DOCUMENTED:
            return f"unknown event {self.text('hook_event_name')!r}"[:NAME_CHARACTERS]
        if self.session_id is None:
            return "no session_id"
        for key, types in _DOCUMENTED[self.event].items():
            if not isinstance(self.values.get(key), types):
                return (
                    f"{key} is {_shown(self.values.get(key))}, expected {' or '.join(each.__name__ for each in types)}"
                )
        status = self.part("tool_response").text("status")
        if self.is_about_agents and self.event == POST_TOOL_USE and status not in (None, *STATUSES):
            return f"tool_response has the unknown status {status!r}"[:NAME_CHARACTERS]
        return None


def _shown(value: "Any") -> str:
    return "missing" if value is None else f"a {type(value).__name__}"
