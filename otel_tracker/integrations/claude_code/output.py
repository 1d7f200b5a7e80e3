"""Reads the output of `claude -p` in the formats `json` and `stream-json`: tokens by model, error, conversation.

The result is one JSON object: the only one (`json`), the last of an array (`json --verbose`), or on the last line of a
turn (`stream-json`). Its `usage` has the tokens of the main agent in that turn. Its `modelUsage` has the sums of the whole
session, so that the last result of each conversation counts, less what is recorded already (conversation.py). Other
programs print results, too; those of Claude Code have a cost.

Source of the format: the documentation of Claude Code and of its Agent SDK (type SDKResultMessage).
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from otel_tracker.errors import InvalidValueError
from otel_tracker.integrations.claude_code.conversation import (
    NOTHING,
    Models,
    Recorded,
    Sums,
    own_share,
    recorded_in,
)
from otel_tracker.integrations.claude_code.reported_cost import cost_by_model, total_cost
from otel_tracker.names import COST, UNANSWERED_BECAUSE, added_tokens
from otel_tracker.runtime.limits import LINE_BYTES
from otel_tracker.state.event import checked_text, error_text
from otel_tracker.state.shapes import Tokens
from otel_tracker.state.tokens import anthropic_tokens, has_tokens, priced_tokens, whole_tokens
from otel_tracker.storage.port import Port

_MODEL_USAGE = {
    "input": "inputTokens",
    "output": "outputTokens",
    "cache_read": "cacheReadInputTokens",
    "cache_write": "cacheCreationInputTokens",
}
_COSTS = ("total_cost_usd", "modelUsage")


class Key(NamedTuple):
    """A conversation in an attempt to run the command; it may have no id."""

    attempt: int
    conversation: str | None


class ClaudeOutput:
    """Looks for results in the bytes of a command's output, and ignores all else.

    The command may be run more than once: the tokens of all attempts are added up.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._is_too_long = False
        self._attempt = 0
        self._results: dict[Key, dict[str, Any]] = {}  # ordered by the last result of each conversation
        self._turns: dict[Key, Tokens] = {}  # the tokens of the main agent
        self._models: dict[Key, str | None] = {}  # the model that a conversation began with
        self._recorded: dict[str, Recorded] = {}  # by conversation

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
        """Look at the end of the output, which may be an unfinished line."""
        self._end_line()

    def usage(self, store: Port, began: float) -> tuple[Tokens | None, Models]:
        """Return the tokens by type, None if unmeasured, and by full model id and type, less the tokens that are recorded already.

        `began` is the moment, in seconds since 1970, when the task began.
        """
        self._recorded = {each: recorded_in(store, each, began) for each in self.conversations}
        return self.tokens, self.models

    @property
    def error(self) -> str | None:
        """The error that the last result of this attempt reports, None if it reports none."""
        results = [result for key, result in self._results.items() if key.attempt == self._attempt]
        if not results:
            return None
        result = results[-1]
        subtype = result.get("subtype")
        if not result.get("is_error") and subtype in (None, "success"):
            return UNANSWERED_BECAUSE.get(str(result.get("stop_reason")))
        errors, answer, status = result.get("errors"), result.get("result"), result.get("api_error_status")
        listed = "; ".join(map(str, errors)) if isinstance(errors, list) else ""
        is_error = isinstance(answer, str) and result.get("is_error")  # else it is the agent's answer
        text = str(answer if is_error and answer else listed or subtype)
        return error_text(text if type(status) is not int or str(status) in text else f"API Error: {status} {text}")

    @property
    def conversation_id(self) -> str | None:
        """The id of the last result's conversation."""
        ids = [key.conversation for key in self._results if key.conversation is not None]
        return ids[-1] if ids else None

    @property
    def conversations(self) -> list[str]:
        """The ids of all conversations whose results have sums."""
        return [key.conversation for key, result in self._results.items() if key.conversation and _sums_of(result)]

    @property
    def models(self) -> Models:
        """The tokens by full model id and type, over all conversations; empty if no model is named."""
        total: Models = {}
        for model, used in self._uses():
            if model:
                total[model] = added_tokens(total.get(model, {}), used)
        return total

    @property
    def tokens(self) -> Tokens | None:
        """The tokens by type, None if no result has any."""
        total: Tokens | None = None
        for _, used in self._uses():
            total = added_tokens(total or {}, used)
        return total

    def _uses(self) -> Iterator[tuple[str | None, Tokens]]:
        """Yield the tokens that each conversation has used in this task, by model, None if that isn't named."""
        recorded = dict(self._recorded)
        for key, result in self._results.items():
            sums, turns = _sums_of(result), self._turns.get(key)
            if sums:
                of_conversation = recorded.get(key.conversation or "", NOTHING)
                share = own_share(sums, turns, of_conversation)
                if key.conversation:
                    recorded[key.conversation] = of_conversation.with_share(share)
                yield from share.items()
            elif turns is not None:
                yield self._models.get(key), priced_tokens(turns, total_cost(result) or None)

    @property
    def reported_cost(self) -> dict[str, int] | int | None:
        """The cost that the last result of each conversation reports, in micro-dollars: by model, else in all."""
        last = {key.conversation or key: result for key, result in self._results.items()}.values()
        by_model: dict[str, int] = {}
        for result in last:
            by_model = added_tokens(by_model, cost_by_model(result))
        totals = [cost for cost in map(total_cost, last) if cost is not None]
        return by_model or (sum(totals) if totals else None)

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


def _sums_of(result: dict[str, Any]) -> Sums:
    """Return the tokens of each model in a result, and their cost where it is reported.

    A model may come twice, with contexts of two sizes. A cost of 0 is no price.
    """
    sums: Sums = {}
    by_model = result.get("modelUsage")
    for name, usage in by_model.items() if isinstance(by_model, dict) else ():
        numbers = (
            {token_type: whole_tokens(usage.get(key)) for token_type, key in _MODEL_USAGE.items()}
            if isinstance(usage, dict)
            else {}
        )
        if any(number is not None for number in numbers.values()):
            model = _plain(name)
            sums[model] = added_tokens(sums.get(model, {}), {key: number or 0 for key, number in numbers.items()})
    for model, cost in cost_by_model(result).items():
        if cost and model in sums:
            sums[model][COST] = cost
    return sums


def _plain(model: str) -> str | None:
    """Return a model's id without a suffix such as `[1m]`, the size of its context."""
    return _name(model.partition("[")[0])


def _name(value: Any) -> str | None:
    """Return a text that can be recorded, None for anything else."""
    try:
        return checked_text("a name", value)
    except InvalidValueError:
        return None
