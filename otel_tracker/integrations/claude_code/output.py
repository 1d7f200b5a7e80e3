"""What `claude -p` says of itself in the output formats `json` and `stream-json`: tokens by model, error, conversation.

The result is one JSON object on a line of its own, alone (`json`), the last of an array (`json --verbose`), or the last
line of a turn (`stream-json`). Its `usage` is what the main agent has used in that turn; its `modelUsage` is the sum of the
whole session, sub-agents and mostly earlier processes included, so that the last result of each conversation counts, less
what is recorded of it already. Other programs print results, too: Claude's have a cost.

Source of the format: the documentation of Claude Code and of its Agent SDK (type SDKResultMessage).
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from otel_tracker.errors import InvalidValueError
from otel_tracker.integrations.claude_code.conversation import NOTHING, Models, Told, told_of
from otel_tracker.names import CACHE_WRITE_1H, UNANSWERED_BECAUSE, added_tokens, model_family, total_tokens
from otel_tracker.runtime.limits import LINE_BYTES
from otel_tracker.state.event import checked_text, error_text
from otel_tracker.state.shapes import Tokens
from otel_tracker.state.tokens import anthropic_tokens, has_tokens, whole_tokens
from otel_tracker.storage.port import Port

_MODEL_USAGE = {
    "input": "inputTokens",
    "output": "outputTokens",
    "cache_read": "cacheReadInputTokens",
    "cache_write": "cacheCreationInputTokens",
}
_COSTS = ("total_cost_usd", "modelUsage")


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
        self._turns: dict[Key, Tokens] = {}  # what the main agent has used
        self._models: dict[Key, str | None] = {}  # what a conversation began with
        self.told: dict[str, Told] = {}
        """What is recorded already of each conversation."""

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

    def usage(self, store: Port, began: float) -> tuple[Tokens | None, Models]:
        """Return the tokens by type, None if unmeasured, and by full model id and type, without what is recorded already.

        `began` is the moment, in seconds since 1970, when the task began.
        """
        self.told = {each: told_of(store, each, began) for each in self.conversations}
        return self.tokens, self.models

    @property
    def error(self) -> str | None:
        """The error that the last result of this attempt tells of, None if it is none."""
        results = [result for key, result in self._results.items() if key.attempt == self._attempt]
        if not results:
            return None
        result = results[-1]
        subtype = result.get("subtype")
        if not result.get("is_error") and subtype in (None, "success"):
            return UNANSWERED_BECAUSE.get(str(result.get("stop_reason")))
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
    def conversations(self) -> list[str]:
        """The ids of all conversations that tell a sum of what they have used."""
        return [key.conversation for key, result in self._results.items() if key.conversation and _sums_of(result)]

    @property
    def models(self) -> Models:
        """The tokens by full model id and type, over all conversations; empty where no model is told."""
        total: Models = {}
        for model, used in self._uses():
            if model:
                total[model] = added_tokens(total.get(model, {}), used)
        return total

    @property
    def tokens(self) -> Tokens | None:
        """The tokens by type, None if no result tells any."""
        total: Tokens | None = None
        for _, used in self._uses():
            total = added_tokens(total or {}, used)
        return total

    def _uses(self) -> Iterator[tuple[str | None, Tokens]]:
        """Yield the tokens that each conversation has used in this task, by model, None where that isn't told."""
        told = dict(self.told)
        for key, result in self._results.items():
            sums, turns = _sums_of(result), self._turns.get(key)
            if sums:
                before, since = told.get(key.conversation or "", NOTHING)
                own = _own_share(sums, turns, Told(before, since))
                if key.conversation:  # the next attempt may go on with it
                    told[key.conversation] = Told(_added(before, own), since)
                yield from own.items()
            elif turns is not None:
                yield self._models.get(key), turns

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
            usage = message.get("usage")
            if isinstance(usage, dict) and has_tokens(usage) and any(cost in message for cost in _COSTS):
                self._turns[key] = added_tokens(self._turns.get(key, {}), anthropic_tokens(usage))
        elif message.get("type") == "system" and isinstance(message.get("model"), str):
            self._models[key] = _plain(message["model"])


def _sums_of(result: dict[str, Any]) -> dict[str | None, Tokens]:
    """Return what a result says that each model has used; one may come twice, with contexts of two sizes."""
    sums: dict[str | None, Tokens] = {}
    by_model = result.get("modelUsage")
    for name, usage in by_model.items() if isinstance(by_model, dict) else ():
        numbers = (
            {kind: whole_tokens(usage.get(key)) for kind, key in _MODEL_USAGE.items()}
            if isinstance(usage, dict)
            else {}
        )
        if any(number is not None for number in numbers.values()):
            model = _plain(name)
            sums[model] = added_tokens(sums.get(model, {}), {kind: number or 0 for kind, number in numbers.items()})
    return sums


def _own_share(sums: dict[str | None, Tokens], turns: Tokens | None, told: Told) -> dict[str | None, Tokens]:
    """Return what is left of a session's sums without what is recorded of it.

    Before Claude Code 2.1.332 they begin anew with each process. What the main agent has used in this one's `turns` tells
    whether what was recorded before is in them.
    """
    own = anew = _less(sums, told.since)
    if told.before:
        own, used = _less(anew, told.before), total_tokens(turns or {})
        if _number(own) < used and abs(_number(anew) - used) < used - _number(own):
            own = anew
    writers = [tokens for tokens in own.values() if tokens["cache_write"]]
    if turns and turns.get(CACHE_WRITE_1H) and len(writers) == 1:  # sums don't tell the lifetime
        writers[0][CACHE_WRITE_1H] = min(turns[CACHE_WRITE_1H], writers[0]["cache_write"])
    return own


def _less(sums: dict[str | None, Tokens], told: Models) -> dict[str | None, Tokens]:
    """Return sums without what is `told` of the same models, or where those have other names, of their families."""
    left = {model: dict(tokens) for model, tokens in sums.items()}
    for model, tokens in told.items():
        akin = (name for name in left if name is not None and model_family(name) == model_family(model))
        name = model if model in left else next(akin, None)
        if name in left:
            left[name] = {kind: max(0, number - tokens.get(kind, 0)) for kind, number in left[name].items()}
    return left


def _added(models: Models, own: dict[str | None, Tokens]) -> Models:
    return {**models, **{model: added_tokens(models.get(model, {}), tokens) for model, tokens in own.items() if model}}


def _number(models: dict[str | None, Tokens]) -> int:
    return sum(total_tokens(tokens) for tokens in models.values())


def _plain(model: str) -> str | None:
    """Return a model's id without a suffix such as `[1m]`, which tells the size of its context."""
    return _name(model.partition("[")[0])


def _name(value: Any) -> str | None:
    """Return a text that can be recorded, None for anything else."""
    try:
        return checked_text("a name", value)
    except InvalidValueError:
        return None
