"""Finds the sessions whose runs a payload is about (runs/lineage.py)."""

from otel_tracker.integrations.claude_code.hooks.payload import POST_TOOL_USE, USER_PROMPT_SUBMIT
from otel_tracker.integrations.claude_code.runs.lineage import owner_of
from otel_tracker.integrations.claude_code.transcripts.notification import notifications_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.integrations.claude_code.hooks.payload import Payload
    from otel_tracker.storage.home import Home


def sessions_of(payload: "Payload", home: "Home") -> "list[str]":
    """Return the sessions whose runs a payload is about: its own session, unless all of its agents belong to others."""
    own = payload.session_id or ""
    return list(dict.fromkeys(owner_of(home, agent) or own for agent in _agents_in(payload))) or [own]


def _agents_in(payload: "Payload") -> "list[str]":
    """Return the agents that an event is about; an event that merely happens within an agent isn't about it."""
    if payload.is_of_an_agents_turn:
        agents = [payload.agent_id]
    elif payload.event == POST_TOOL_USE:
        agents = [payload.part("tool_response").launched_agent_id]
    elif payload.event == USER_PROMPT_SUBMIT:
        agents = [each.task_id for each in notifications_in(payload.text("prompt") or "")]
    else:
        agents = []
    return [agent for agent in agents if agent is not None]
