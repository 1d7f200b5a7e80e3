"""Reads on in the transcript of a session: what its main conversation has asked for since it was last read.

The file grows while the session goes on, each answer with its records behind the one before. It may begin with a copy of an
earlier session's history, which keeps its old moments; and it may be written anew. So beside the place in the file a moment
tells what is new. Records of sub-agents, which old versions of Claude Code wrote into the same file, are the agents' own.
"""

import os
import time

from otel_tracker.integrations.claude_code.transcripts.lines import lines_in, moment_of, part, record_in, text
from otel_tracker.integrations.claude_code.transcripts.usage import SYNTHETIC, TranscriptUsage
from otel_tracker.runtime.limits import PATH_CHARACTERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from otel_tracker.integrations.claude_code.transcripts.lines import Record

_LOOK_BYTES = 2**20  # between two looks at the clock
_ANSWER = b'"assistant"'
_OF_ITS_OWN = ("isApiErrorMessage", "error", "apiErrorStatus", "isAbortedMidStream")  # of Claude Code's, some of them


class Place:
    """How far a conversation has been counted.

    until     the moment (seconds since 1970) up to which it is counted; first the one from which on it is watched
    after     of the file only what was asked for after this moment counts
    file      the inode of the file, None before there was one
    position  in the file, of the line that comes next
    last      the id of the last answer that was counted: whatever else is written of it is known
    """

    __slots__ = ("after", "file", "last", "position", "until")

    def __init__(
        self, until: float, after: float, file: "int | None" = None, position: int = 0, last: "str | None" = None
    ) -> None:
        self.until, self.after, self.file, self.position, self.last = until, after, file, position, last

    @classmethod
    def at_the_end(cls, path: str, now: float) -> "Place":
        """Return the place of a conversation that is watched from now on."""
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return cls(now, now)
        return cls(now, now, status.st_ino, status.st_size)

    def facts(self) -> "list[Any]":
        """Return the arguments that make the place."""
        return [self.until, self.after, self.file, self.position, self.last]


class ConversationReader:
    """Reads on from a `place`, which it moves. `usage` is what was asked for from there on."""

    def __init__(self, place: Place) -> None:
        self.place, self.usage = place, TranscriptUsage()
        self._since = place.until
        self._held: list[_Answer] = []  # the records of the last answer, as long as it isn't there to its end
        self._held_from = place.position
        self._counted: str | None = None
        self._skipped = place.last
        self._of_others: set[str | None] = {place.last}  # answers in the file that aren't to be counted here

    def read(self, path: str, until: float = float("inf"), *, is_over: bool = False) -> bool:
        """Read on in the transcript at `path` to its end, and return whether there was time for it; raises OSError.

        The moment `until` of `time.monotonic` ends it. The last answer counts if it is there to its end, or the session `is_over`.
        """
        with open(path, "rb") as file:
            self._find_place(file)
            try:
                is_whole = self._read_lines(file, until)
                if is_whole and is_over:
                    self._count_held()
            finally:
                if self._held:
                    self.place.position = self._held_from
        return is_whole

    def read_helper(self, path: str) -> None:
        """Add what one of Claude Code's own helpers has asked for, whose transcript may begin with a copy of the conversation."""
        known = self._of_others.union(answer.key for answer in self._held)
        with open(path, "rb") as file:
            modified = os.fstat(file.fileno()).st_mtime
            answers = [_answer_in(line, modified) for _, line in lines_in(file) if _ANSWER in line]
        for answer in answers:
            if answer is not None and answer.at > self._since and answer.key not in known:
                self.usage.add(answer.record, answer.message, answer.at)
                self.place.until = max(self.place.until, answer.at)

    def _find_place(self, file: "BinaryIO") -> None:
        """Go back to the beginning of a file that is another one, or has been written anew."""
        place, inode = self.place, os.fstat(file.fileno()).st_ino
        file.seek(max(0, place.position - 1))
        if inode != place.file or (place.position and file.read(1) != b"\n"):
            place.file, place.position, place.after = inode, 0, place.until

    def _read_lines(self, file: "BinaryIO", until: float) -> bool:
        modified, looked_at = os.fstat(file.fileno()).st_mtime, self.place.position
        for offset, line in lines_in(file, self.place.position):
            if offset - looked_at >= _LOOK_BYTES:
                looked_at = offset
                if time.monotonic() >= until:
                    return False
            if not line.endswith(b"\n"):  # the rest is still to be written
                break
            answer = _answer_in(line, modified) if _ANSWER in line else None
            if answer is not None and answer.is_side:
                self._of_others.add(answer.key)
            elif answer is not None:
                self._take(answer, offset)
            self.place.position = offset + len(line)
        return True

    def _take(self, answer: "_Answer", offset: int) -> None:
        if answer.at <= self.place.after or answer.key == self._skipped:
            self._skipped = answer.key
        elif answer.key == self._counted:
            self._count(answer)
        else:
            if not self._held or answer.key != self._held[0].key:
                self._count_held()
                self._held_from = offset
            self._held.append(answer)
            if answer.is_final:
                self._count_held()

    def _count_held(self) -> None:
        for answer in self._held:
            self._count(answer)
        self._held = []

    def _count(self, answer: "_Answer") -> None:
        self.usage.add(answer.record, answer.message, answer.at)
        self._counted = self.place.last = answer.key
        self.place.until = max(self.place.until, answer.at)


class _Answer:
    """A record of an answer, written at the moment `at`."""

    __slots__ = ("at", "is_final", "is_side", "key", "message", "record")

    def __init__(self, record: "Record", message: "Record", at: float) -> None:
        self.record, self.message, self.at = record, message, at
        self.key = text(message.get("id")) or text(record.get("requestId")) or text(record.get("uuid")) or f"at {at}"
        self.is_final = text(message.get("stop_reason")) is not None
        self.is_side = record.get("isSidechain") is True


def project_in(path: str) -> "str | None":
    """Return the folder in which a session worked at its first answer, None if its transcript tells of none."""
    try:
        with open(os.path.expanduser(path), "rb") as file:
            for _, line in lines_in(file):
                record = (record_in(line) if _ANSWER in line else None) or {}
                folder = text(record.get("cwd"), PATH_CHARACTERS) if record.get("type") == "assistant" else None
                if folder is not None and record.get("isSidechain") is not True:
                    return folder
    except (OSError, ValueError):
        pass
    return None


def _answer_in(line: bytes, modified: float) -> "_Answer | None":
    """Return the record of a model's answer that a line has, None for any other line; `modified` stands for a missing moment."""
    record = record_in(line)
    if record is None or record.get("type") != "assistant":
        return None
    message, moment = part(record, "message"), moment_of(record)
    if not message or message.get("model") == SYNTHETIC or _is_error(record, message):
        return None
    return _Answer(record, message, modified if moment is None else moment)


def _is_error(record: "Record", message: "Record") -> bool:
    if not any(record.get(key) for key in _OF_ITS_OWN):
        return False
    from otel_tracker.integrations.claude_code.transcripts.ending import API_ERROR, ending_of_answer  # few records are

    return ending_of_answer(record, message) == API_ERROR
