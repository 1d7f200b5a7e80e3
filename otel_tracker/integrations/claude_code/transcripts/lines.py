"""Reads lines of Claude Code's transcripts; no content of a line can raise an error.

The format is Claude Code's own, internal, and documented nowhere officially; what this package reads was seen in versions
up to 2.1.332. A field that is missing, or has another type than expected, reads as absent.
"""

import json

from otel_tracker.runtime.limits import LATEST_SECONDS, LINE_BYTES, NAME_CHARACTERS
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state.tokens import whole_tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

    Record = dict[str, Any]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UNREADABLE = b"?"


def lines_in(file: "BinaryIO", start: int = 0, end: float = float("inf")) -> "Iterator[tuple[int, bytes]]":
    """Yield each line that begins before `end`, with its offset; in the place of a line that is too long, an unreadable one."""
    file.seek(start)
    offset = start
    while offset < end and (line := file.readline(LINE_BYTES)):
        size = len(line)
        is_too_long = size == LINE_BYTES and not line.endswith(b"\n")
        if is_too_long:
            size += _drained(file)
            line = _UNREADABLE
        if not line.isspace():
            yield offset, line
        offset += size


def _drained(file: "BinaryIO") -> int:
    """Read to the end of a line; return the number of bytes."""
    size = 0
    while more := file.readline(LINE_BYTES):
        size += len(more)
        if more.endswith(b"\n"):
            break
    return size


def record_in(line: bytes) -> "Record | None":
    """Return the object that a line holds, None if it can't be read; bytes that aren't UTF-8 are replaced."""
    try:
        record = json.loads(line.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace"))
    except (ValueError, RecursionError, MemoryError):
        return None
    return record if isinstance(record, dict) else None


def moment_of(record: "Record") -> "float | None":
    """Return the moment that a record names, in seconds since 1970; None if it names none, or an impossible one."""
    return moment_in(record.get("timestamp"))


def moment_in(timestamp: "Any") -> "float | None":
    """Return the moment of a record's `timestamp`, None if it is no moment."""
    try:
        moment = parse_timestamp(timestamp) if isinstance(timestamp, str) and len(timestamp) <= 40 else -1.0
    except (ValueError, OverflowError):
        return None
    return moment if 0 <= moment < LATEST_SECONDS else None


def part(record: "Record", key: str) -> "Record":
    """Return an object inside of another, an empty one if there is none."""
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def text(value: "Any", longest: int = NAME_CHARACTERS) -> "str | None":
    """Return a text that can be written as UTF-8, without spaces around it, cut at `longest`; None if there is none."""
    if not isinstance(value, str):
        return None
    if len(value) <= longest and value.isascii():
        return value.strip() or None
    return value[: longest * 2].encode("utf-8", "replace").decode().strip()[:longest] or None


def count(value: "Any") -> int:
    """Return a whole number from 0; 0 for any other value."""
    return whole_tokens(value) or 0


def blocks_of(message: "Record") -> "list[Record]":
    """Return the blocks of a message's content; content that is a text is one block."""
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def blocks_of_type(message: "Record", block_type: str) -> "list[Record]":
    """Return the blocks of one type: `text`, `tool_use`, `tool_result`."""
    return [block for block in blocks_of(message) if block.get("type") == block_type]


def texts_of(message: "Record") -> "list[str]":
    """Return the plain texts of a message, without the results of tools."""
    texts = (block.get("text") for block in blocks_of_type(message, "text"))
    return [words for words in texts if isinstance(words, str)]


def said_by(block: "Record") -> str:
    """Return the plain text of a tool's result."""
    return " ".join(texts_of(block))
