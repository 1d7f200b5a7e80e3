"""Reads the transcript of one sub-agent, which may be long, in the time that a hook has.

The format is Claude Code's own, internal, and documented nowhere officially; what is read was seen in versions up to
2.1.332.

The longest lines of a transcript are results of tools. They matter only at its end. So the file is read once for the
answers, and once more, in full, from its last answer on. If the time is over before, the next hook goes on from there.
"""

import os
import time

from otel_tracker.integrations.claude_code.transcripts.ending import (
    API_ERROR,
    MID_TOOL,
    Ending,
    ending_of_answer,
)
from otel_tracker.integrations.claude_code.transcripts.lines import (
    blocks_of_type,
    lines_in,
    moment_of,
    part,
    record_in,
    text,
    texts_of,
)
from otel_tracker.integrations.claude_code.transcripts.transcript import Transcript
from otel_tracker.integrations.claude_code.transcripts.usage import SYNTHETIC, TranscriptUsage
from otel_tracker.runtime.limits import TAIL_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, BinaryIO

    from otel_tracker.integrations.claude_code.transcripts.lines import Record
    from otel_tracker.state.prices import Cost

COMPACTED = "compact_boundary"  # the requests that compact a conversation are in no transcript (2.1.332)
CUT = b"Your response above was cut off mid-stream"  # Claude Code has made up the end of the answer before it (2.1.332)


_LONG_BYTES = 32 * 2**20  # a shorter file is read from its beginning each time
_LOOK_BYTES = 2**20  # between two looks at the clock
_RESUMED = ("skipped", "started", "ended", "idle_seconds", "version", "agent", "has_gap")


def read_transcript(
    path: str,
    since: "float | None" = None,
    reading: "dict[str, Any] | None" = None,
    until: float = float("inf"),
    later: "Sequence[str]" = (),
    cost: "Cost | None" = None,
) -> "Transcript | None":
    """Return the transcript at `path`, None if there is no such file or it can't be read. Never raises.

    It goes on in the files `later`: an answer counts once, in however many of them it is.

    Records from before `since` (seconds since 1970) are not the run's: a fork's transcript begins with its parent's.
    A long file is read until the moment `until` of `time.monotonic`, from where the `reading` of an earlier call
    has stopped. `cost` prices each request; without it the tokens have no cost.
    """
    try:
        if not isinstance(path, str) or not os.path.isfile(path):  # not a pipe, which would be waited for
            return None
        with open(path, "rb") as file:
            reader = Reader.resumed(file, since, reading, cost)
            transcript = reader.read(until)
        for following in later:
            with open(following, "rb") as file:
                transcript = reader.go_on_in(file, until)
    except (OSError, ValueError):
        return None
    return transcript


class Reader:
    """Reads one file, and those in which it goes on."""

    __slots__ = (
        "_cost",
        "_end",
        "_file",
        "_last_answer",
        "_message_id",
        "_offset",
        "_rests_since",
        "_since",
        "_tools",
        "_transcript",
        "_unread",
        "_usage",
    )

    def __init__(self, file: "BinaryIO", since: "float | None", cost: "Cost | None" = None) -> None:
        self._file, self._cost = file, cost
        self._since = float("-inf") if since is None else since
        self._transcript = Transcript()
        self._usage = TranscriptUsage()
        self._tools: set[str] = set()
        self._message_id: str | None = None
        self._rests_since: float | None = None  # the end of a turn, if no record has come since
        self._last_answer = 0  # where its first record begins
        self._unread = float("inf")  # from here on, lines that only the second pass reads were left out
        self._end = 0
        self._offset = 0  # of the line that comes next

    @classmethod
    def resumed(
        cls, file: "BinaryIO", since: "float | None", reading: "dict[str, Any] | None", cost: "Cost | None" = None
    ) -> "Reader":
        """Return a reader that goes on from where another one has stopped, if the file is still the same."""
        reader = cls(file, since, cost)
        status = os.fstat(file.fileno())
        if reading is not None and reading.get("file") == [status.st_ino, since]:
            try:
                reader._take_up(reading)
            except (KeyError, TypeError, ValueError, AttributeError):  # it is another version's
                return cls(file, since, cost)
        return reader if reader._offset <= status.st_size else cls(file, since, cost)

    def read(self, until: float) -> Transcript:
        """Return the transcript in the file, read as far as the time allows."""
        transcript = self._transcript
        transcript.is_partial = not self._read_answers(until)
        if self._offset >= _LONG_BYTES:
            transcript.reading = self._progress()
        transcript.models = self._usage.by_model(self._cost)
        transcript.is_incomplete = self._usage.is_incomplete or transcript.has_gap
        transcript.tool_uses = len(self._tools)
        if transcript.is_partial:
            self._skip_to_tail()
        self._read_ending()
        return transcript

    def go_on_in(self, file: "BinaryIO", until: float) -> Transcript:
        """Return the transcript in all files up to the end of this one."""
        self._file, self._message_id = file, None
        self._offset = self._last_answer = self._end = 0
        self._unread = float("inf")
        self._transcript.reading = None
        return self.read(until)

    def _progress(self) -> "dict[str, Any]":
        transcript = self._transcript
        return {
            "file": [os.fstat(self._file.fileno()).st_ino, None if self._since == float("-inf") else self._since],
            "found": {name: getattr(transcript, name) for name in _RESUMED},
            "answers": self._usage.facts(),
            "tools": sorted(self._tools),
            "unread": None if self._unread == float("inf") else self._unread,
            "places": [self._offset, self._last_answer, self._message_id, self._rests_since],
        }

    def _take_up(self, reading: "dict[str, Any]") -> None:
        for name in _RESUMED:
            setattr(self._transcript, name, reading["found"][name])
        self._usage, self._tools = TranscriptUsage.of(reading["answers"]), set(reading["tools"])
        self._unread = float("inf") if reading["unread"] is None else reading["unread"]
        self._offset, self._last_answer, self._message_id, self._rests_since = reading["places"]

    def _skip_to_tail(self) -> None:
        """Go to the end of the file, which tells how the run ended, although the lines before it have not been read."""
        self._end = os.fstat(self._file.fileno()).st_size
        start = max(self._offset, self._end - TAIL_BYTES)
        if start > self._offset:
            self._file.seek(start)
            start += len(self._file.readline(TAIL_BYTES))
        self._last_answer, self._unread = max(start, self._last_answer), float("inf")

    def _read_answers(self, until: float) -> bool:
        """Read on to the end, and tell whether it was reached in time; some of the file is read in any case."""
        looked_at = self._offset
        for offset, line in lines_in(self._file, self._offset):
            if offset - looked_at >= _LOOK_BYTES:
                looked_at = offset
                if time.monotonic() >= until:
                    return False
            self._end = offset + 1
            if line.endswith(b"\n"):
                self._offset = offset + len(line)
            self._take(offset, line)
        return True

    def _take(self, offset: int, line: bytes) -> None:
        """Take a line into account, of those within a turn only answers and what is damaged."""
        is_within_turn = self._transcript.started is not None and self._rests_since is None
        if is_within_turn and not _needs_reading(line):
            self._unread = min(self._unread, offset)
            return
        record = self._record_in(line)
        if record is None:
            self._transcript.skipped += 1
        else:
            self._add(offset, record)

    def _record_in(self, line: bytes) -> "Record | None":
        return record_in(line)

    def _add(self, offset: int, record: "Record") -> None:
        self._transcript.has_gap |= record.get("subtype") == COMPACTED or _says_that_it_was_cut(record)
        if self._is_own(record):
            self._take_turns(record)
            if record["type"] == "assistant":
                self._add_answer(offset, record, part(record, "message"))

    def _take_turns(self, record: "Record") -> None:
        """Note how long the agent was at rest, if a record of the next turn ends that.

        A record behind an answer that calls no tool begins a turn.
        """
        moment, message = moment_of(record), part(record, "message")
        is_answer = record["type"] == "assistant"
        if self._rests_since is not None and moment is not None and not is_answer:
            self._transcript.idle_seconds += max(0.0, moment - self._rests_since)
        is_rest = is_answer and ending_of_answer(record, message) not in (None, MID_TOOL)
        self._rests_since = moment if is_rest and not blocks_of_type(message, "tool_use") else None

    def _read_ending(self) -> None:
        ending = Ending()
        for offset, line in lines_in(self._file, self._last_answer, self._end):
            record = self._record_in(line)
            if record is None:
                self._transcript.skipped += offset >= self._unread and not _needs_reading(line)
            elif self._is_own(record):
                ending.add(record, part(record, "message"))
        transcript = self._transcript
        transcript.ending, transcript.error, transcript.error_type, transcript.outage = (
            ending.name,
            ending.error,
            ending.error_type,
            ending.outage,
        )

    def _is_own(self, record: "Record") -> bool:
        """Tell whether a record is one of the agent's messages, or one to it; note its moment, version and agent."""
        if record.get("type") not in ("user", "assistant"):
            return False
        return self._note(moment_of(record), text(record.get("version")), text(record.get("attributionAgent")))

    def _note(self, moment: "float | None", version: "str | None", agent: "str | None") -> bool:
        """Note what a record of type user or assistant says beside its message; False for one that isn't the agent's."""
        if moment is not None and moment < self._since:
            return False
        transcript = self._transcript
        if moment is not None:
            transcript.started = moment if transcript.started is None else min(transcript.started, moment)
            transcript.ended = moment if transcript.ended is None else max(transcript.ended, moment)
        transcript.version, transcript.agent = version or transcript.version, agent or transcript.agent
        return True

    def _add_answer(self, offset: int, record: "Record", message: "Record") -> None:
        ending = ending_of_answer(record, message)
        if ending is not None:
            self._note_answer(offset, text(message.get("id")))
        for block in blocks_of_type(message, "tool_use"):
            if (tool := text(block.get("id"))) is not None:
                self._tools.add(tool)
        if ending != API_ERROR and message and message.get("model") != SYNTHETIC:
            moment = moment_of(record)
            at = os.fstat(self._file.fileno()).st_mtime if moment is None else moment
            self._usage.add(record, message, at)

    def _note_answer(self, offset: int, message_id: "str | None") -> None:
        """Note where the last answer begins, from which on the second pass reads."""
        if message_id is None or message_id != self._message_id:
            self._last_answer = offset
        self._message_id = message_id


def _needs_reading(line: bytes) -> bool:
    """Tell whether a line may be an answer, or damaged; the others are messages of users and results of tools.

    Quotes within a text are escaped: a line without `"assistant"` is no answer, whatever a tool has printed.
    """
    if b'"assistant"' in line or b'"user"' not in line or CUT in line:
        return True
    return not (line.startswith(b"{") and line.rstrip().endswith(b"}"))


def _says_that_it_was_cut(record: "Record") -> bool:
    """Tell whether Claude Code asks for an answer again whose stream broke off: its usage is the first part's."""
    is_meta = record.get("isMeta") is True
    return is_meta and any(words.startswith(CUT.decode()) for words in texts_of(part(record, "message")))
