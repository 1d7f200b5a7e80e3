"""The layout in which this package writes `circuit-breaker.json`, made to be read in parts.

It is indented; an agent's entry is a block of lines at one depth, and the history is the last key with one entry a line.
So a reader of the head stops at the history, and an entry that has not changed is neither parsed nor written again.
"""

import json
from functools import lru_cache

from otel_tracker.state.document import History

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SEQUENCE = b'\n  "sequence": '
AGENTS, AGENTS_END = b'\n  "agents": {\n    "', b"\n    }\n  }"
ANY_AGENTS = b'\n  "agents": {'
RUNNING, RUNNING_END = b'\n  "in_flight": {\n    "', b"}\n  }"
ANY_RUNNING = b'\n  "in_flight": {'
SEPARATOR = b',\n    "'
_ENTRY = b'\n    {"'
HISTORY_MARK = b'\n  "history": ['
"""What stands between the head and the entries of the history, in our own layout."""
HISTORY_END, EMPTY_HISTORY_END = b"\n  ]\n}\n", b"]\n}\n"

# Objects this deep are written on one line: `"haiku": {"total": 0, "last": null, "count": 0}`.
INLINE_DEPTH = 4
INLINE_DEPTHS = {"main_conversation": 3}  # where this is another one: by key at the top
_INLINE_KEYS = ("circuit", "durations", "tallies")  # and so are the parts of an agent that are for machines


class Encoder:
    """Python's encoder, for values, and for keys, of which a document has few."""

    __slots__ = ("key", "value")

    def __init__(self, *, is_ascii: bool) -> None:
        self.value = json.JSONEncoder(ensure_ascii=is_ascii, allow_nan=False).encode
        self.key = lru_cache(maxsize=4096)(self.value)


UTF8, ASCII = Encoder(is_ascii=False), Encoder(is_ascii=True)


def sequence_of(beginning: bytes) -> "int | None":
    """Return the `sequence` of a document from the first bytes of its file, None where only a full read tells."""
    at = beginning.find(_SEQUENCE)
    end = beginning.find(b",", at)
    digits = beginning[at + len(_SEQUENCE) : end] if 0 < at < end else b""
    # The key must stand before any nested object, where it could be another program's.
    return int(digits) if digits.isdigit() and beginning.find(b"{", 1, at) < 0 else None


def is_torn(text: bytes) -> bool:
    """Tell whether a text in our own layout lacks its end, or has zeros in it, as a power cut or a full disk leaves it."""
    return b"\0" in text or not text.endswith((HISTORY_END, EMPTY_HISTORY_END))


def split_history(text: bytes, path: str) -> "tuple[bytes, History] | None":
    """Split a file in our own layout without parsing or copying its history; None for any other layout."""
    at = text.find(HISTORY_MARK)
    if at < 0 or b"\0" in text:
        return None
    head, start = closed_head(text, at), at + len(HISTORY_MARK)
    if text.startswith(EMPTY_HISTORY_END, start) and len(text) == start + len(EMPTY_HISTORY_END):
        return head, History.of([], path)
    end = len(text) - len(HISTORY_END)
    lines = text.count(b"\n", start, end)
    is_an_entry_each = lines == text.count(_ENTRY, start, end) and text.startswith(_ENTRY, start)
    # An entry may hold a list of objects, but then it takes the longer way: its end could be that of the history.
    may_end_early = text.find(b'}], "', start) > 0
    if not is_an_entry_each or may_end_early or not text.endswith(b"}" + HISTORY_END):
        return None
    return head, History(text, start, end, lines, source=path)


def closed_head(text: bytes, end: int) -> bytes:
    """Return the head of a document as an object of its own; its history begins at `end`."""
    return text[:end].rstrip(b",") + b"\n}"


def is_at_the_top(text: bytes, at: int, mark: bytes) -> bool:
    """Tell whether the offset `at` is outside all inner objects of a head, by counting braces, and `mark` occurs only once."""
    return text.count(b"{", 0, at) - text.count(b"}", 0, at) == 1 == text.count(mark)


def entry_text(key: str, value: "Any", depth: int, encode: "Encoder") -> bytes:
    """Return the text of an entry of an object in the head, without the quote that it begins with."""
    return f"{encode.key(key)[1:]}: {indented(value, depth, encode)}".encode()


def indented(value: "Any", depth: int, encode: "Encoder", inline_depth: int = INLINE_DEPTH) -> str:
    """Return a value of the head as text, indented from `depth` on down to `inline_depth`."""
    if type(value) is int:
        return repr(value)
    if value is None:
        return "null"
    if depth >= inline_depth or not value or not isinstance(value, dict):
        return encode.value(value)
    pad = "\n" + "  " * (depth + 1)
    inner = [(key, inline_depth if key in _INLINE_KEYS else depth + 1) for key in value]
    items = [f"{encode.key(key)}: {indented(value[key], below, encode, inline_depth)}" for key, below in inner]
    return "{" + pad + ("," + pad).join(items) + pad[:-2] + "}"
