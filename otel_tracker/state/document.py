"""The document as the package works with it: the content of `circuit-breaker.json` (codec.py turns it into text and back).

A `Document` is never changed in place. Its history stays text, one entry a line, so that a writer passes on thousands
of entries without parsing one.
"""

import _thread
import json
from math import isfinite

from otel_tracker.errors import DocumentError
from otel_tracker.state import schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from otel_tracker.state.shapes import Agent, Event, Head

_ENTRY = b"\n    "  # before each entry: it stands on a line of its own, at this depth
_TIMESTAMP = b'"timestamp": "'
_LINE_BYTES = 512  # of an entry, in which its timestamp is looked for
_RECENT_ENTRIES = 128  # this many are kept apart before they are joined to the block

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_encode_ascii = json.JSONEncoder(allow_nan=False).encode


class History:
    """The newest entries, oldest first, each one line of JSON.

    They stand in `block`, from `start` to `end`, and in `recent`. So neither reading nor an append or a drop copies
    more than it must: the text of a thousand entries is half a megabyte. `source` is the file that they come from.
    """

    __slots__ = ("block", "count", "end", "recent", "source", "start")

    def __init__(
        self, block: bytes, start: int, end: int, count: int, recent: "tuple[bytes, ...]" = (), source: str = ""
    ) -> None:
        self.block, self.start, self.end, self.count = block, start, end, count
        self.recent, self.source = recent, source

    @classmethod
    def of(cls, entries: "list[Event]", source: str = "") -> "History":
        """Return the history that holds `entries`."""
        block = b",".join(_ENTRY + encode_line(entry) for entry in entries)
        return cls(block, 0, len(block), len(entries), source=source)

    def append(self, line: bytes) -> "History":
        """Return the history with one more entry."""
        recent = (*self.recent, (b"," if self.count else b"") + _ENTRY + line)
        longer = History(self.block, self.start, self.end, self.count + 1, recent, self.source)
        return longer if len(recent) <= _RECENT_ENTRIES else longer.joined()

    def joined(self) -> "History":
        """Return the same history in one block."""
        block = b"".join(self.pieces())
        return History(block, 0, len(block), self.count, source=self.source)

    def drop_first(self, number: int) -> "History":
        """Return the history without its `number` oldest entries."""
        if number <= 0:
            return self
        if number >= self.count:
            return History.of([], self.source)
        if number >= self.count - len(self.recent):
            return self.joined().drop_first(number)
        start = self.start
        for _ in range(number):
            start = self.block.index(b"\n", start + 1, self.end)
        return History(self.block, start, self.end, self.count - number, self.recent, self.source)

    def oldest(self) -> "Iterator[Event]":
        """Yield the entries, oldest first, parsing no more than are asked for."""
        start = self.start
        while 0 <= start < self.end:
            end = self.block.find(b"\n", start + 1, self.end)
            yield self._parsed(self.block[start : end if end > 0 else self.end])
            start = end
        for line in self.recent:
            yield self._parsed(line)

    def oldest_timestamp(self) -> "str | None":
        """Return the timestamp that stands first in the oldest entry, without parsing it; None if there is none."""
        line = self.block[self.start : self.start + _LINE_BYTES] if self.start < self.end else b"".join(self.recent[:1])
        _, mark, rest = line.partition(_TIMESTAMP)
        return rest[: rest.find(b'"')].decode("utf-8", "replace") if mark else None

    def pieces(self) -> "list[memoryview | bytes]":
        """Return the text between the brackets of the list, in parts."""
        return [memoryview(self.block)[self.start : self.end], b"".join(self.recent)]

    def entries(self) -> "list[Event]":
        """Return all entries, oldest first; raises DocumentError where they are damaged."""
        entries: list[Event] = self._parsed(b"".join((b"[", *self.pieces(), b"]")))
        return entries

    def _parsed(self, text: bytes) -> "Any":
        try:
            return decode_json(text.strip(b",\n "))
        except ValueError as error:
            raise DocumentError(self.source, "$.history", f"not JSON ({error})") from error


class Document:
    """A checked and completed document: `head` is everything but the history."""

    __slots__ = ("head", "history")

    def __init__(self, head: "Head", history: History) -> None:
        self.head, self.history = head, history

    @property
    def sequence(self) -> int:
        """The number of the last event that the document holds."""
        sequence: int = self.head["sequence"]
        return sequence

    @property
    def agents(self) -> "dict[str, Agent]":
        """The entries of all agents by their keys."""
        agents: dict[str, Agent] = self.head["agents"]
        return agents

    @property
    def main_conversation(self) -> "dict[str, Any]":
        """What is counted of main conversations, which no agent's entry has."""
        main_conversation: dict[str, Any] = self.head["main_conversation"]
        return main_conversation

    @property
    def renamed(self) -> "dict[str, str]":
        """The present keys of agents by those that they had before."""
        renamed: dict[str, str] = self.head.get("renamed", {})
        return renamed

    @property
    def config(self) -> "dict[str, Any]":
        """The settings as the file has them."""
        config: dict[str, Any] = self.head["config"]
        return config


def new_document() -> Document:
    """Return a document that knows no agent."""
    return Document(schema.new_head(), History.of([]))


def decode_json(text: bytes) -> "Any":
    """Return the value of a JSON text.

    Raises ValueError where it is none, is nested too deeply, or has numbers that JSON can't hold again. The depth of
    the caller's stack makes no difference; RecursionError means that the caller can't call anything more.
    """
    try:
        return _decoded(text)
    except RecursionError:
        return _decoded_on_a_fresh_stack(text)


def _decoded(text: bytes) -> "Any":
    return _decode(text.decode(json.detect_encoding(text), "surrogatepass"))


def _decoded_on_a_fresh_stack(text: bytes) -> "Any":
    values: list[Any] = []
    errors: list[Exception] = []
    has_ended = _thread.allocate_lock()
    has_ended.acquire()

    def decode() -> None:
        try:
            values.append(_decoded(text))
        except RecursionError:
            errors.append(ValueError("it is nested too deeply"))
        except Exception as error:  # noqa: BLE001 - it is raised in the caller's thread
            errors.append(error)
        finally:
            has_ended.release()

    _thread.start_new_thread(decode, ())
    has_ended.acquire()
    if errors:
        raise errors[0]
    return values[0]


def _finite(digits: str) -> float:
    number = float(digits)
    return number if isfinite(number) else _refuse_number(digits)


def _refuse_number(text: str) -> float:
    raise ValueError(f"{text} is no number that JSON can hold")


_decode = json.JSONDecoder(parse_constant=_refuse_number, parse_float=_finite).decode


def encode_line(value: "Any") -> bytes:
    """Return `value` as one line of JSON, without the line's end."""
    try:
        return _encode(value).encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return _encode_ascii(value).encode()
