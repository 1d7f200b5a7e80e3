"""Reads the status of a run in the result of the tool that runs sub-agents, an object of payloads and transcripts. Pure."""

from otel_tracker.integrations.claude_code.transcripts.statuses import COMPLETED, FAILED, KILLED, LAUNCHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


STATUSES = {
    "completed": COMPLETED,
    "async_launched": LAUNCHED,
    "remote_launched": LAUNCHED,
    "teammate_spawned": LAUNCHED,
    "failed": FAILED,
    "killed": KILLED,
    "stopped": KILLED,
}
_OF_WHOLE_RUN = ("content", "usage", "totalDurationMs")


def status_of(result: "dict[str, Any]") -> "str | None":
    """Return the status in a result, None if it has none that is known; older versions leave it out once a run has ended."""
    status = result.get("status")
    if isinstance(status, str):
        return STATUSES.get(status)
    if result.get("isAsync") is True:
        return LAUNCHED
    return COMPLETED if any(key in result for key in _OF_WHOLE_RUN) else None


def is_error_text(text: str) -> bool:
    """Tell whether a text in the place of a result reports an error."""
    return text.lstrip().startswith("Error:") or is_unknown_type(text)


def is_unknown_type(text: str) -> bool:
    """Tell whether a text says that there is no such type of agent."""
    return text.lstrip().removeprefix("Error: ").startswith("Agent type '") and "not found" in text
