"""How a sub-agent's transcript ends: well, interrupted, with an error of the API, or in the middle of something. Pure.

The last record of type user or assistant decides; Claude Code's notes to itself (system, attachment, progress,
queue-operation, summary) say nothing, nor does a tool's result behind the answer to it: a busy Claude Code may write the
two in the wrong order (seen in 2.1.139). The `stop_reason` of an answer is often null even if the answer has ended well. It
decides only if the model refused to answer, or had no room left for the rest of its answer.
"""

from otel_tracker.integrations.claude_code.transcripts.lines import (
    blocks_of,
    blocks_of_type,
    part,
    said_by,
    text,
    texts_of,
)
from otel_tracker.integrations.claude_code.transcripts.usage import SYNTHETIC
from otel_tracker.names import UNANSWERED_BECAUSE
from otel_tracker.runtime.limits import ERROR_CHARACTERS
from otel_tracker.state import outages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.integrations.claude_code.transcripts.lines import Record

CLEAN, INTERRUPTED, API_ERROR, MID_TOOL, EMPTY = "clean", "interrupted", "api_error", "mid_tool", "empty"
AFTER_TOOL = "after_tool"
"""All the tools that the agent called have given their results, and it has not answered these."""
UNANSWERED = "unanswered"
IN_BETWEEN = (MID_TOOL, AFTER_TOOL, EMPTY)
"""Endings that don't tell how a run ended: more may have been to come."""

_TO_BE_CONTINUED = ("tool_use", "pause_turn", "compaction")

INTERRUPTION = "[Request interrupted by user"
_ABORTED = "API Error: Request was aborted"
_ERROR = "API Error"
_NO_ERRORS = ("No response requested.", "(no content)")  # Claude Code puts these in the place of a missing answer
_STOPPED_BY_USER = ("interrupted", "user-rejected")
_THOUGHTS = ("thinking", "redacted_thinking")


class Ending:
    """How a transcript ends after the records that were added so far."""

    __slots__ = ("_has_answered", "_message_id", "_open_tools", "error", "error_type", "name", "outage")

    def __init__(self) -> None:
        self.name = EMPTY
        self.error: str | None = None
        self.error_type: str | None = None
        self.outage: str | None = None
        self._has_answered = False
        self._message_id: str | None = None
        self._open_tools: set[str | None] = set()

    def add(self, record: "Record", message: "Record") -> None:
        """Take a record of type user or assistant into account."""
        if record.get("type") == "user":
            self._add_user(record, message)
            return
        ending = ending_of_answer(record, message)
        if ending is not None:
            self._add_answer(record, message, ending)

    def _add_answer(self, record: "Record", message: "Record", ending: str) -> None:
        self._has_answered = True
        message_id = text(message.get("id"))
        if message_id is None or message_id != self._message_id:
            self._open_tools.clear()  # the agent went on without their results
        self._message_id = message_id
        self._open_tools.update(text(block.get("id")) for block in blocks_of_type(message, "tool_use"))
        self._set(MID_TOOL if ending == CLEAN and self._open_tools else ending)
        if ending == API_ERROR:
            self.error = error_text(record, message)
            self.outage = outage_of(record, self.error)
        reason = text(message.get("stop_reason")) or ""
        if ending in (API_ERROR, UNANSWERED) and reason in UNANSWERED_BECAUSE:
            self.error, self.error_type = self.error or UNANSWERED_BECAUSE[reason], reason

    def _add_user(self, record: "Record", message: "Record") -> None:
        results = blocks_of_type(message, "tool_result")
        returned = {text(block.get("tool_use_id")) for block in results}
        is_late = self._open_tools.isdisjoint(returned)
        self._open_tools -= returned
        is_stopped = record.get("toolDenialKind") in _STOPPED_BY_USER
        if is_stopped or is_interruption(message) or any(is_interrupted_result(block) for block in results):
            self._set(INTERRUPTED)
        elif results and (is_late or self.name in (INTERRUPTED, API_ERROR)):
            return  # of a tool that was still running, or written behind the answer to it: it changes nothing
        elif results or (record.get("isMeta") is not True and blocks_of(message)):
            is_answered = bool(results) and not self._open_tools
            self._set((AFTER_TOOL if is_answered else MID_TOOL) if self._has_answered else EMPTY)

    def _set(self, name: str) -> None:
        self.name, self.error, self.error_type, self.outage = name, None, None, None


def ending_of_answer(record: "Record", message: "Record") -> "str | None":
    """Return the ending of a transcript whose last record is this one, of type assistant; None if it says nothing."""
    if is_interruption(message):
        return INTERRUPTED
    if _is_error(record, message):
        return API_ERROR
    if record.get("isAbortedMidStream") is True:
        return INTERRUPTED
    blocks, reason = blocks_of(message), text(message.get("stop_reason"))
    if message.get("model") == SYNTHETIC:
        return None
    return ending_of_content([block.get("type") for block in blocks], reason)


def ending_of_content(types: "list[Any]", reason: "str | None") -> "str | None":
    """Return how a transcript ends whose last record is a model's answer: with blocks of these types, for that reason."""
    if not (types or reason):
        return None
    if reason in UNANSWERED_BECAUSE:
        return UNANSWERED
    is_only_thought = reason is None and all(kind in _THOUGHTS for kind in types)
    return MID_TOOL if is_only_thought or reason in _TO_BE_CONTINUED else CLEAN


def is_interruption(message: "Record") -> bool:
    """Tell whether a message says that the user has interrupted the agent."""
    return any(words.lstrip().startswith((INTERRUPTION, _ABORTED)) for words in texts_of(message))


def is_interrupted_result(block: "Record") -> bool:
    """Tell whether a tool's result says that the user has interrupted the tool."""
    return block.get("is_error") is True and said_by(block).lstrip().startswith(INTERRUPTION)


def _is_error(record: "Record", message: "Record") -> bool:
    flag = record.get("isApiErrorMessage")
    if flag is True or text(record.get("error")) or _status_of(record) is not None or part(record, "error"):
        return True
    if message.get("model") != SYNTHETIC:
        return False
    words = " ".join(texts_of(message)).strip()
    if words.startswith(_ERROR) or outages.outage_of(None, words) is not None:
        return True
    return flag is not False and bool(words) and words not in _NO_ERRORS


def error_text(record: "Record", message: "Record") -> str:
    """Return the text of an error's record, else its code."""
    from otel_tracker.runtime.masking import masked  # few transcripts end with an error

    error = text(masked(" ".join(texts_of(message))), ERROR_CHARACTERS)
    return error or text(_code_of(record), ERROR_CHARACTERS) or _ERROR


def outage_of(record: "Record", error: "str | None") -> "str | None":
    """Return the outage that an error's record reports: by its status, else by its code, else by its text."""
    status = outages.STATUSES.get(_status_of(record) or 0)
    return status or outages.outage_of(None, _code_of(record)) or outages.outage_of(None, error)


def _code_of(record: "Record") -> "Any":
    """Return an error's code: `error` itself, or the type in it if it is an object."""
    error = part(record, "error")
    return (error.get("type") or error.get("message")) if error else record.get("error")


def _status_of(record: "Record") -> "int | None":
    """Return the HTTP status of an error's record, None if it has none or one of success."""
    status = record.get("apiErrorStatus")
    if isinstance(status, str) and len(status) == 3 and status.isascii() and status.isdigit():
        status = int(status)
    return status if type(status) is int and status >= 400 else None
