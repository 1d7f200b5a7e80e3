"""The text of `circuit-breaker.json` and back.

A codec that has seen a file before parses and writes only the agents and running tasks that changed. layout.py says how
this package writes the file; a file in any other layout is read whole.
"""

from operator import is_

from otel_tracker.errors import DocumentError, UnsupportedVersionError
from otel_tracker.names import normal_name
from otel_tracker.runtime.limits import LAST_EVENT
from otel_tracker.state import checks, layout, schema
from otel_tracker.state.document import Document, History, decode_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.state.shapes import Agent, Head

_ENTRY_DEPTHS = {"agents": 2, "in_flight": layout.INLINE_DEPTH}  # whose entries are remembered one by one
_MOST_FORGOTTEN = 1000  # entries that are gone from a document, and still remembered

_SMALL_LETTERS = bytes(range(256)).lower()
_NO_ENTRY: "tuple[Any, bytes]" = (None, b"")


class DocumentCodec:
    """Reads and writes documents; remembers agents and running tasks of the last one, by their text and by their value."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        # By part and key: an entry, and its text from the key on.
        self._entries: dict[str, dict[str, tuple[Agent, bytes]]] = {part: {} for part in _ENTRY_DEPTHS}
        self._values: dict[str, tuple[Any, bytes]] = {}  # the head's values, whole

    def decode(self, text: bytes, path: str) -> Document:
        """Return the document that `text`, the content of the file at `path`, holds.

        Raises DocumentError, which names the first wrong value, where the text is no document.
        """
        if layout.sequence_of(text) is not None:  # written by this package, or at least in its layout
            parts = layout.split_history(text, path)
            if parts is not None:
                try:
                    return Document(self._decode_head(parts[0], path), parts[1])
                except ValueError:
                    pass  # changed by hand: parsing the whole text shows how
        value = _loads(text, path)
        history = value.pop("history", []) if isinstance(value, dict) else []
        if isinstance(value, dict) and "sequence" not in value:  # a program that keeps only the keys that it knows
            value["sequence"] = _newest_number(history)
        return Document(_checked(value, path), _checked_history(history, path))

    def decode_beginning(self, beginning: bytes, path: str, about: "str | None" = None) -> "Document | None":
        """Return a document without its history from the first bytes of its file.

        With `about`, agents whose key and entry don't contain that text may be left out (names.normal_name compares).
        None where the bytes end before the history, are damaged, or not in our own layout.
        """
        at = beginning.find(layout.HISTORY_MARK)
        if at < 0 or layout.sequence_of(beginning) is None or beginning.find(layout.ANY_AGENTS, 0, at) < 0:
            return None
        try:
            return Document(self._decode_head(layout.closed_head(beginning, at), path, about), History.of([], path))
        except ValueError:
            return None

    def _decode_head(self, text: bytes, path: str, about: "str | None" = None) -> "Head":
        """Return the head that a document in our own layout holds up to its history."""
        at = text.find(layout.AGENTS)
        end = text.find(layout.AGENTS_END, at)
        if not (0 < at < end and layout.is_at_the_top(text, at, layout.ANY_AGENTS)):
            return _checked(_loads(text, path), path)
        opening, closing = at + len(layout.AGENTS) - len(layout.SEPARATOR) + 1, end + len(layout.AGENTS_END) - 1
        value = self._decode_rest(text[:opening] + text[closing:], path)
        if value.get("agents") != {}:
            raise ValueError("these were not the document's agents")
        blocks = (text[at + len(layout.AGENTS) : end] + b"\n    }").split(layout.SEPARATOR)
        wanted = [] if about is None else _wanted(about, value.get("renamed", {}))
        if wanted and all(text.isascii() and not {'"', "\\"} & set(text) for text in wanted):  # others may be escaped
            parts = [text.encode() for text in wanted]
            plain = ((block, block.translate(_SMALL_LETTERS, b"-_ ")) for block in blocks)
            blocks = [block for block, text in plain if any(part in text for part in parts)]
        return {**_checked(value, path), "agents": self._decode_agents(blocks)}

    def _decode_rest(self, text: bytes, path: str) -> "Any":
        """Return the head that a text without agents holds; of its running tasks those that are remembered aren't parsed."""
        at = text.find(layout.RUNNING)
        end = text.find(layout.RUNNING_END, at)
        if not (self._entries["in_flight"] and 0 < at < end and layout.is_at_the_top(text, at, layout.ANY_RUNNING)):
            return _loads(text, path)
        opening, closing = at + len(layout.RUNNING) - len(layout.SEPARATOR) + 1, end + len(layout.RUNNING_END) - 1
        value = _loads(text[:opening] + text[closing:], path)
        if value.get("in_flight") != {}:
            raise ValueError("these were not the document's running tasks")
        return {
            **value,
            "in_flight": self._decode_tasks(text[at + len(layout.RUNNING) : end + 1].split(layout.SEPARATOR)),
        }

    def _decode_tasks(self, blocks: list[bytes]) -> "dict[str, Any]":
        remembered = {block: (key, task) for key, (task, block) in self._entries["in_flight"].items()}
        tasks, entries = {}, {}
        for block in blocks:
            entry = remembered.get(block)
            if entry is None:
                (entry,) = decode_json(b'{"' + block + b"}").items()
                checks.check_task(*entry)
            key, task = entry
            tasks[key] = task
            if block in remembered or block == layout.entry_text(key, task, layout.INLINE_DEPTH, layout.UTF8):
                entries[key] = (task, block)
        self._entries["in_flight"] = entries
        return tasks

    def _decode_agents(self, blocks: list[bytes]) -> "dict[str, Agent]":
        remembered = {block: (key, agent) for key, (agent, block) in self._entries["agents"].items()}
        agents, entries = {}, {}
        for block in blocks:
            entry = remembered.get(block)
            is_as_we_write = entry is not None
            if entry is None:
                ((key, parsed),) = decode_json(b'{"' + block + b"}").items()
                checked = _checked_agent(key, parsed)
                completed = schema.complete_agent(checked)
                is_as_we_write = checked is parsed and list(completed) == list(checked) and completed == checked
                entry = (key, completed)
            key, agent = entry
            agents[key] = agent
            if is_as_we_write:
                entries[key] = (agent, block)
        self._entries["agents"] = entries
        return agents

    def encode(self, document: Document) -> "list[bytes | memoryview]":
        """Return the content of the file, in parts."""
        try:
            head = self._encode_head(document.head, layout.UTF8)
        except UnicodeEncodeError:  # half of a surrogate pair somewhere
            self._forget()
            head = self._encode_head(document.head, layout.ASCII)
        end = layout.HISTORY_END if document.history.count else layout.EMPTY_HISTORY_END
        return [*head, layout.HISTORY_MARK, *document.history.pieces(), end]

    def is_text_of(self, document: Document, text: bytes) -> bool:
        """Tell whether `text` is what `encode` would write, to the last byte."""
        at = 0
        for part in self.encode(document):
            if not text.startswith(part, at):  # at the speed of memcmp, unlike comparing memoryviews
                return False
            at += len(part)
        return at == len(text)

    def _encode_head(self, head: "Head", encode: "layout.Encoder") -> "list[bytes]":
        parts = [b"{"]
        for key, value in head.items():
            remembered = self._values.get(key)
            if remembered is None or not _is_unchanged(remembered[0], value):
                if key in _ENTRY_DEPTHS and value:
                    text = self._encode_entries(key, value, encode)
                else:
                    inline_depth = layout.INLINE_DEPTHS.get(key, layout.INLINE_DEPTH)
                    text = f"\n  {encode.key(key)}: {layout.indented(value, 1, encode, inline_depth)},".encode()
                remembered = self._values[key] = (value, text)
            parts.append(remembered[1])
        return parts

    def _encode_entries(self, part: str, entries: "dict[str, Any]", encode: "layout.Encoder") -> bytes:
        remembered, depth, blocks = self._entries[part], _ENTRY_DEPTHS[part], []
        for key, value in entries.items():
            entry = remembered.get(key, _NO_ENTRY)
            if entry[0] is not value:
                entry = remembered[key] = (value, layout.entry_text(key, value, depth, encode))
            blocks.append(entry[1])
        if len(remembered) > len(entries) + _MOST_FORGOTTEN:
            self._entries[part] = {key: remembered[key] for key in entries}
        return b'\n  "%b": {\n    "%b\n  },' % (part.encode(), layout.SEPARATOR.join(blocks))


def _is_unchanged(before: "Any", now: "Any") -> bool:
    """Tell whether a value of the head is the same object, or has the same entries in the same order.

    The latter is true of the running tasks after one has begun and ended.
    """
    if before is now or not (isinstance(before, dict) and isinstance(now, dict)):
        return before is now
    return len(before) == len(now) and all(map(is_, before.values(), now.values())) and list(before) == list(now)


def _wanted(about: str, renamed: "Any") -> list[str]:
    """Return what agents that are about a text contain: that text, or the key that an agent has now which had it before."""
    wanted = normal_name(about)
    old_keys = renamed if isinstance(renamed, dict) else {}
    return [wanted, *(normal_name(str(new)) for old, new in old_keys.items() if wanted in normal_name(old))]


def _newest_number(history: "Any") -> int:
    entries = history if isinstance(history, list) else []
    numbers = [entry.get("seq") for entry in entries if isinstance(entry, dict)]
    return max((number for number in numbers if type(number) is int and 0 <= number <= LAST_EVENT), default=0)


def _loads(text: bytes, path: str) -> "Any":
    try:
        return decode_json(text)
    except ValueError as error:
        raise DocumentError(path, "", _why_not_json(text, error)) from error


def _why_not_json(text: bytes, error: Exception) -> str:
    if not text.strip(b"\0 \r\n\t"):
        return "the file is empty"
    if text.startswith(b"\0"):  # see `Files.overwrite`; to the decoder such a text is in another encoding
        return "a process was killed while it wrote the file in place"
    return f"not JSON ({error})"


def _checked(value: "Any", path: str) -> "Head":
    try:
        try:
            checks.check_head(value)
        except checks.NewerVersionError as error:
            raise UnsupportedVersionError(path, error.json_path, error.reason) from error
        except checks.ShapeError:
            from otel_tracker.state.usual_numbers import with_usual_numbers  # only other programs need it

            value = with_usual_numbers(value)
            checks.check_head(value)
    except checks.ShapeError as error:
        raise DocumentError(path, error.json_path, error.reason) from error
    return schema.complete_head(value)


def _checked_agent(key: str, agent: "Any") -> "Any":
    """Return an agent's entry, as it is or with its numbers in their usual form; raises ShapeError."""
    try:
        checks.check_agent(key, agent)
    except checks.ShapeError:
        from otel_tracker.state.usual_numbers import agent_with_usual_numbers

        agent = agent_with_usual_numbers(agent)
        checks.check_agent(key, agent)
    return agent


def _checked_history(history: "Any", path: str) -> History:
    try:
        checks.check_history(history)
    except checks.ShapeError as error:
        raise DocumentError(path, error.json_path, error.reason) from error
    return History.of(history, path)
