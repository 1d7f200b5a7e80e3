"""The transcript of one sub-agent: its tokens by model and type, how it ends, when it began and ended.

It is the only source of a run's true tokens: what hooks and notifications say covers the last request alone. The format is
Claude Code's own, internal, and documented nowhere officially; what is read was seen in versions up to 2.1.240.

The longest lines of a transcript are results of tools. They matter only at its end, so the file is read once for
the answers, and once more, in full, from its last answer on.
"""

import os

from otel_tracker.claude_code.ending import (
    API_ERROR,
    CLEAN,
    EMPTY,
    INTERRUPTED,
    MID_TOOL,
    UNANSWERED,
    Ending,
    kind_of_answer,
)
from otel_tracker.claude_code.lines import blocks_of_type, lines_in, moment_of, part, record_in, text
from otel_tracker.claude_code.usage import SYNTHETIC, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from otel_tracker.claude_code.lines import Record


__all__ = ["API_ERROR", "CLEAN", "EMPTY", "INTERRUPTED", "MID_TOOL", "UNANSWERED", "Transcript", "read_transcript"]


class Transcript:
    """What a transcript says of its run.

    models         tokens by full model id and type; empty if no usage was written (unmeasured)
    is_incomplete  the usage of an answer was never written to its end: the tokens are a lower bound
    tool_uses      how many tools the agent has called
    started, ended seconds since 1970 of the first and the last record, None without any
    version        of Claude Code, as the last record has it; agent: what `attributionAgent` names
    idle_seconds   between the end of a turn and what woke the agent for the next one
    ending         CLEAN, INTERRUPTED, API_ERROR, UNANSWERED, MID_TOOL or EMPTY (the agent has said nothing yet)
    error, outage  of an API_ERROR: its text, and which outage it tells of, if any
    error_type     the `stop_reason` of an answer that is none, or not a whole one (ending.UNANSWERED_BECAUSE)
    skipped        lines that can't be read
    """

    __slots__ = (
        "agent",
        "ended",
        "ending",
        "error",
        "error_type",
        "idle_seconds",
        "is_incomplete",
        "models",
        "outage",
        "skipped",
        "started",
        "tool_uses",
        "version",
    )

    def __init__(self) -> None:
        self.models: dict[str, dict[str, int]] = {}
        self.is_incomplete = False
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


def read_transcript(path: str, since: "float | None" = None) -> "Transcript | None":
    """Return what the transcript at `path` says, None if there is no such file or it can't be read. Never raises.

    Records from before `since` (seconds since 1970) are not the run's: a fork's transcript begins with its parent's.
    """
    try:
        if not isinstance(path, str) or not os.path.isfile(path):  # not a pipe, which would be waited for
            return None
        with open(path, "rb") as file:
            return _Reader(file, since).read()
    except (OSError, ValueError):
        return None


class _Reader:
    """Reads one file."""

    __slots__ = (
        "_end",
        "_file",
        "_found",
        "_last_answer",
        "_message_id",
        "_rests_since",
        "_since",
        "_tools",
        "_unread",
        "_usage",
    )

    def __init__(self, file: "BinaryIO", since: "float | None") -> None:
        self._file = file
        self._since = float("-inf") if since is None else since
        self._found = Transcript()
        self._usage = Usage()
        self._tools: set[str] = set()
        self._message_id: str | None = None
        self._rests_since: float | None = None  # the end of a turn, if that is the last thing said
        self._last_answer = 0  # where its first record begins
        self._unread = float("inf")  # from here on, lines that only the second pass reads were left out
        self._end = 0

    def read(self) -> Transcript:
        """Return what the file says."""
        found = self._found
        self._read_answers()
        self._read_ending()
        found.models, found.is_incomplete = self._usage.by_model(), self._usage.is_incomplete
        found.tool_uses = len(self._tools)
        return found

    def _read_answers(self) -> None:
        for offset, line in lines_in(self._file):
            self._end = offset + 1
            is_within_turn = self._found.started is not None and self._rests_since is None
            if is_within_turn and not _needs_reading(line):
                self._unread = min(self._unread, offset)
                continue
            record = record_in(line)
            if record is None:
                self._found.skipped += 1
            elif self._is_own(record):
                self._take_turns(record)
                if record["type"] == "assistant":
                    self._add_answer(offset, record, part(record, "message"))

    def _take_turns(self, record: "Record") -> None:
        """Note how long the agent was at rest, if a record of the next turn ends that.

        Who says something behind an answer that calls no tool begins a turn.
        """
        moment, message, is_answer = (
            moment_of(record),
            part(record, "message"),
            record["type"] == "assistant",
        )
        if self._rests_since is not None and moment is not None and not is_answer:
            self._found.idle_seconds += max(0.0, moment - self._rests_since)
        is_rest = is_answer and kind_of_answer(record, message) not in (None, MID_TOOL)
        self._rests_since = moment if is_rest and not blocks_of_type(message, "tool_use") else None

    def _read_ending(self) -> None:
        ending = Ending()
        for offset, line in lines_in(self._file, self._last_answer, self._end):
            record = record_in(line)
            if record is None:
                self._found.skipped += offset >= self._unread and not _needs_reading(line)
            elif self._is_own(record):
                ending.add(record, part(record, "message"))
        found = self._found
        found.ending, found.error, found.error_type, found.outage = (
            ending.kind,
            ending.error,
            ending.error_type,
            ending.outage,
        )

    def _is_own(self, record: "Record") -> bool:
        """Tell whether a record is the agent's or said to it; note what such a record says beside its message."""
        if record.get("type") not in ("user", "assistant"):
            return False
        moment = moment_of(record)
        if moment is not None and moment < self._since:
            return False
        found = self._found
        if moment is not None:
            found.started = moment if found.started is None else min(found.started, moment)
            found.ended = moment if found.ended is None else max(found.ended, moment)
        found.version = text(record.get("version")) or found.version
        found.agent = text(record.get("attributionAgent")) or found.agent
        return True

    def _add_answer(self, offset: int, record: "Record", message: "Record") -> None:
        kind = kind_of_answer(record, message)
        if kind is not None:
            message_id = text(message.get("id"))
            if message_id is None or message_id != self._message_id:
                self._last_answer = offset
            self._message_id = message_id
        for block in blocks_of_type(message, "tool_use"):
            if (tool := text(block.get("id"))) is not None:
                self._tools.add(tool)
        if kind != API_ERROR and message and message.get("model") != SYNTHETIC:
            self._usage.add(record, message)


def _needs_reading(line: bytes) -> bool:
    """Tell whether a line may be an answer, or something damaged; the others are what users and tools say.

    Quotes within a text are escaped: a line without `"assistant"` is no answer, whatever a tool has printed.
    """
    if b'"assistant"' in line or b'"user"' not in line:
        return True
    return not (line.startswith(b"{") and line.rstrip().endswith(b"}"))
