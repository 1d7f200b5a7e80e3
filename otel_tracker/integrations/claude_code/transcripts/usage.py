"""Tokens in a transcript. Pure.

Claude Code writes a record for each block of an answer's content. Each repeats the usage of the whole answer, and later
records mostly have more of it. So records are grouped by message and request, and the largest number of each field counts.
An answer belongs to the request that got it: a side question makes copies under another request, which are dropped.

`usage.iterations` lists all that the API has done for an answer. The numbers of `usage` are the sums of the iterations of
the type `message`; the tokens of an advisor (another model), a compaction or a declined attempt come on top.
"""

from otel_tracker.integrations.claude_code.transcripts.lines import text
from otel_tracker.names import UNKNOWN_MODEL, added_tokens
from otel_tracker.state.tokens import anthropic_tokens, priced_tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from otel_tracker.integrations.claude_code.transcripts.lines import Record
    from otel_tracker.state.prices import Cost

SYNTHETIC = "<synthetic>"
"""The model in a record that Claude Code has written in an answer's place."""


class TranscriptUsage:
    """The answers of a transcript, and the tokens of each."""

    __slots__ = ("_answers",)

    def __init__(self) -> None:
        self._answers: dict[str | int, _Answer] = {}

    def add(self, record: "Record", message: "Record", at: float) -> None:
        """Take a record of an answer into account, written at a moment in seconds since 1970."""
        request, is_side = text(record.get("requestId")), record.get("isSidechain") is True
        key = text(message.get("id")) or request or text(record.get("uuid")) or len(self._answers)
        answer = self._answers.get(key)
        if answer is None or answer.is_copy_of(request, is_side):
            answer = self._answers[key] = _Answer(request, is_side, at)
        elif answer.is_of_another(request):
            return
        answer.add(message, request)

    def by_model(self, cost: "Cost | None" = None) -> "dict[str, dict[str, int]]":
        """Return tokens by model and by type with what they cost, request by request (names.USAGE_KEYS).

        A model without any usage is left out: it was not measured.
        """
        models: dict[str, dict[str, int]] = {}
        for answer in self._answers.values():
            for model, tokens, speed in answer.shares():
                micro_dollars = None if cost is None else cost(model, tokens, answer.at, speed=speed)
                models[model] = added_tokens(models.get(model, {}), priced_tokens(tokens, micro_dollars))
        return models

    def facts(self) -> "list[list[Any]]":
        """Return the answers so far as a JSON value, which `of` takes back."""
        return [[key, *answer.facts()] for key, answer in self._answers.items()]

    @classmethod
    def of(cls, facts: "list[list[Any]]") -> "TranscriptUsage":
        """Return the answers that `facts` returned."""
        usage = cls()
        usage._answers = {key: _Answer.of(*answer) for key, *answer in facts}
        return usage

    @property
    def is_unmeasured(self) -> bool:
        """Whether no usage was written."""
        return not any(True for answer in self._answers.values() for _ in answer.shares())

    @property
    def is_incomplete(self) -> bool:
        """Whether an answer's last usage was never written: no record of the answer has a `stop_reason`."""
        return any(not answer.is_final for answer in self._answers.values())


class _Answer:
    """One message of one request, made at the moment `at`, in seconds since 1970."""

    __slots__ = ("_beside", "_tokens", "at", "is_final", "is_side", "model", "request", "speed")

    def __init__(self, request: "str | None", is_side: bool, at: float) -> None:
        self.request = request
        self.is_side = is_side
        self.at = at
        self.speed: str | None = None
        self.model: str | None = None
        self.is_final = False
        self._tokens: dict[str, int] | None = None
        self._beside: dict[str | None, dict[str, int]] = {}

    def facts(self) -> "list[Any]":
        """Return the answer as a JSON value, which `of` takes back."""
        beside = list(self._beside.items())
        return [self.request, self.is_side, self.at, self.speed, self.model, self.is_final, self._tokens, beside]

    @classmethod
    def of(
        cls,
        request: "str | None",
        is_side: bool,
        at: float,
        speed: "str | None",
        model: "str | None",
        is_final: bool,
        tokens: "Any",
        beside: "Any",
    ) -> "_Answer":
        """Return the answer that `facts` returned."""
        answer = cls(request, is_side, at)
        answer.speed, answer.model, answer.is_final = speed, model, is_final
        answer._tokens = None if tokens is None else dict(tokens)
        answer._beside = {of_model: dict(used) for of_model, used in beside}
        return answer

    def is_of_another(self, request: "str | None") -> bool:
        """Tell whether a request is known to be another than this answer's."""
        return request is not None and self.request is not None and request != self.request

    def is_copy_of(self, request: "str | None", is_side: bool) -> bool:
        """Tell whether this is a side question's copy of the answer that a main request got."""
        return self.is_side and not is_side and self.is_of_another(request)

    def add(self, message: "Record", request: "str | None") -> None:
        """Take a record of this answer into account; the highest value of each number counts."""
        self.request = self.request or request
        self.model = model_of(message) or self.model
        self.is_final = self.is_final or text(message.get("stop_reason")) is not None
        usage = message.get("usage")
        if isinstance(usage, dict):
            self.speed = text(usage.get("speed")) or self.speed
            self._tokens = _larger(self._tokens, anthropic_tokens(usage))
            for model, tokens in _beside(usage).items():
                self._beside[model] = _larger(self._beside.get(model), tokens)

    def shares(self) -> "Iterator[tuple[str, dict[str, int], str | None]]":
        """Yield the tokens of this answer by model, and the speed of each; nothing if no usage was written."""
        own = self.model or UNKNOWN_MODEL
        if self._tokens is not None:
            yield own, self._tokens, self.speed
        for model, tokens in self._beside.items():
            yield model or own, tokens, None if model else self.speed


def model_of(message: "Record") -> "str | None":
    """Return the full id of a message's model, without a suffix such as `[1m]`; None if there is none."""
    model = text((text(message.get("model")) or "").partition("[")[0])
    return None if model == SYNTHETIC else model


def _larger(one: "dict[str, int] | None", other: "dict[str, int]") -> "dict[str, int]":
    """Return the larger number of each type, of two records of the same answer."""
    if one is None or one == other:
        return other
    return {key: max(one.get(key, 0), other.get(key, 0)) for key in {**one, **other}}


def _beside(usage: "Record") -> "dict[str | None, dict[str, int]]":
    """Return the tokens used beside the answer itself, by model; None is the answer's own model."""
    iterations, models = usage.get("iterations"), dict[str | None, dict[str, int]]()
    for iteration in iterations if isinstance(iterations, list) else ():
        if isinstance(iteration, dict) and text(iteration.get("type")) not in (None, "message"):
            tokens = anthropic_tokens(iteration)
            if any(tokens.values()):
                model = model_of(iteration)
                models[model] = added_tokens(models.get(model, {}), tokens)
    return models
