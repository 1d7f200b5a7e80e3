"""What the result of the tool that runs sub-agents says has become of the run; hooks and transcripts have the same object. Pure."""

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
    """Return what a result says, None if that is nothing known; older versions leave out the status of a run that has ended."""
    status = result.get("status")
    if isinstance(status, str):
        return STATUSES.get(status)
    if result.get("isAsync") is True:
        return LAUNCHED
    return COMPLETED if any(key in result for key in _OF_WHOLE_RUN) else None


def is_error_text(said: str) -> bool:
    """Tell whether a text in the place of a result tells of an error."""
    return said.lstrip().startswith("Error:") or is_unknown_type(said)


def is_unknown_type(said: str) -> bool:
    """Tell whether a text says that there is no such type of agent."""
    return said.lstrip().removeprefix("Error: ").startswith("Agent type '") and "not found" in said
