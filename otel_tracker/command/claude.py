"""What `claude -p` says of itself in the output formats `json` and `stream-json`: tokens by model, error, conversation.

The result is one JSON object on a line of its own, alone (`json`), the last of an array (`json --verbose`), or the last
line of a turn (`stream-json`). Its `modelUsage` grows over the turns of a conversation, so that the last result of each
counts. Source of the format: the documentation of Claude Code and of its Agent SDK (type SDKResultMessage).
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from otel_tracker.errors import InvalidValueError
from otel_tracker.event import checked_text, error_text
from otel_tracker.limits import LINE_BYTES
from otel_tracker.names import added_tokens

_MODEL_USAGE = {
    "input": "inputTokens",
    "output": "outputTokens",
    "cache_read": "cacheReadInputTokens",
    "cache_write": "cacheCreationInputTokens",
}
_USAGE = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_write": "cache_creation_input_tokens",
}
_TOO_MANY = 2**53  # as a number of tokens; what others compute with is exact below
Tokens = dict[str, int]


class Key(NamedTuple):
    """Of a conversation, which may have no id."""

    attempt: int
    conversation: str | None


class ClaudeOutput:
    """Looks for results in the bytes of a command's output; anything else in it is let go.

    The command may be run more than once: what all of these attempts have used is added up.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._is_too_long = False
        self._attempt = 0
        self._results: dict[Key, dict[str, Any]] = {}  # in the order of each conversation's last result
        self._models: dict[Key, str | None] = {}  # what a conversation began with

    def begin(self) -> None:
        """Get ready for the output of the next attempt."""
        self._attempt += 1
        self._line, self._is_too_long = bytearray(), False

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes of the output."""
        *complete, rest = chunk.split(b"\n")
        for part in complete:
            self._extend(part)
            self._end_line()
        self._extend(rest)

    def close(self) -> None:
        """Look at what the output ends with, which may lack a line's end."""
        self._end_line()

    @property
    def error(self) -> str | None:
        """The error that the last result of this attempt tells of, None if it is none."""
        results = [result for key, result in self._results.items() if key.attempt == self._attempt]
        if not results:
            return None
        result = results[-1]
        subtype = result.get("subtype")
        if not result.get("is_error") and subtype in (None, "success"):
            return None
        errors, said, status = result.get("errors"), result.get("result"), result.get("api_error_status")
        listed = "; ".join(map(str, errors)) if isinstance(errors, list) else ""
        told = said if isinstance(said, str) and result.get("is_error") else ""  # else it is the agent's answer
        text = told or listed or str(subtype)
        return error_text(text if type(status) is not int or str(status) in text else f"API Error: {status} {text}")

    @property
    def conversation_id(self) -> str | None:
        """The id of the last result's conversation."""
        known = [key.conversation for key in self._results if key.conversation is not None]
        return known[-1] if known else None

    @property
    def models(self) -> dict[str, Tokens]:
        """The tokens by full model id and type, over all conversations; empty where no model is told."""
        total: dict[str, Tokens] = {}
        for model, used in self._uses():
            if model:
                total[model] = added_tokens(total.get(model, {}), used)
        return total

    @property
    def tokens(self) -> Tokens | None:
        """The tokens by type, None if no result tells any."""
        used = [tokens for _, tokens in self._uses()]
        return {kind: sum(tokens[kind] for tokens in used) for kind in _USAGE} if used else None

    def _uses(self) -> Iterator[tuple[str | None, Tokens]]:
        """Return the tokens of each conversation, with their model; one may come twice, with contexts of two sizes."""
        for key, result in self._results.items():
            by_model, usage = result.get("modelUsage"), result.get("usage")
            if isinstance(by_model, dict) and by_model:
                for model, used in by_model.items():
                    if isinstance(used, dict):
                        yield _plain(model), _numbers(used, _MODEL_USAGE)
            elif isinstance(usage, dict):
                yield self._models.get(key), _numbers(usage, _USAGE)

    def _extend(self, part: bytes) -> None:
        if len(self._line) + len(part) > LINE_BYTES:
            self._is_too_long = True
        if self._is_too_long:
            self._line.clear()
        else:
            self._line += part

    def _end_line(self) -> None:
        line, self._line, self._is_too_long = self._line, bytearray(), False
        if line.lstrip().startswith((b"{", b"[")) and (b'"result"' in line or b'"init"' in line):
            try:
                value = json.loads(line.decode("utf-8", "replace"))
            except (ValueError, RecursionError):
                return
            for message in value if isinstance(value, list) else [value]:
                if isinstance(message, dict):
                    self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        key = Key(self._attempt, _name(message.get("session_id")))
        if message.get("type") == "result":
            self._results.pop(key, None)
            self._results[key] = message
        elif message.get("type") == "system" and isinstance(message.get("model"), str):
            self._models[key] = _plain(message["model"])


def _numbers(usage: dict[str, Any], keys: dict[str, str]) -> Tokens:
    values = {kind: usage.get(key) for kind, key in keys.items()}
    return {kind: value if type(value) is int and 0 < value < _TOO_MANY else 0 for kind, value in values.items()}


def _plain(model: str) -> str | None:
    """Return a model's id without a suffix such as `[1m]`, which tells the size of its context."""
    return _name(model.partition("[")[0])


def _name(value: Any) -> str | None:
    """Return a text that can be recorded, None for anything else."""
    try:
        return checked_text("a name", value)
    except InvalidValueError:
        return None
