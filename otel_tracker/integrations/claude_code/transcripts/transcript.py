"""The facts about a run in its own transcript: its tokens by model and type, how it ends, when it began and ended. Pure.

The transcript is the only source of a run's true tokens: hooks and notifications have those of the last request alone.
"""

from otel_tracker.integrations.claude_code.transcripts.ending import EMPTY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Transcript:
    """The facts about a run in its transcript.

    models         tokens by full model id and type; empty if no usage was written (unmeasured)
    is_incomplete  the tokens are a lower bound: the usage of an answer was never written to its end, or there is a gap
    has_gap        the usage of some requests is known to be missing, or incomplete
    tool_uses      the number of tools that the agent has called
    started, ended seconds since 1970 of the first and the last record, None without any
    version        of Claude Code, as the last record has it; agent: what `attributionAgent` names
    idle_seconds   between the end of a turn and what woke the agent for the next one
    ending         CLEAN, INTERRUPTED, API_ERROR, UNANSWERED, MID_TOOL, AFTER_TOOL or EMPTY (the agent has said nothing yet)
    error, outage  of an API_ERROR: its text, and the outage that it reports, if any
    error_type     the `stop_reason` of an answer that is none, or is incomplete (ending.UNANSWERED_BECAUSE)
    skipped        lines that can't be read
    is_partial     the time was over before the file was read: tokens, tools and idle time are those of its beginning alone
    reading        of a long file: where reading may go on, and what was read so far, as a JSON object
    """

    __slots__ = (
        "agent",
        "ended",
        "ending",
        "error",
        "error_type",
        "has_gap",
        "idle_seconds",
        "is_incomplete",
        "is_partial",
        "models",
        "outage",
        "reading",
        "skipped",
        "started",
        "tool_uses",
        "version",
    )

    def __init__(self) -> None:
        self.models: dict[str, dict[str, int]] = {}
        self.is_incomplete = self.is_partial = self.has_gap = False
        self.reading: dict[str, Any] | None = None
        self.skipped = 0
        self.tool_uses = 0
        self.started: float | None = None
        self.ended: float | None = None
        self.idle_seconds = 0.0
        self.version: str | None = None
        self.agent: str | None = None
        self.ending = EMPTY
        self.error: str | None = None
        self.error_type: str | None = None
        self.outage: str | None = None
