"""The requests of all transcripts, each once: who made it, its tokens, and when.

Histories are copied: by resuming, forking, compacting, side questions, by a user's backup. So a request is known by its
message, as in one transcript (transcripts/usage.py), and belongs to whoever has the best claim to it, whichever file is read first.
"""

from typing import NamedTuple

from otel_tracker.integrations.claude_code.past.answer_line import Iteration, Line, Message, Usage
from otel_tracker.integrations.claude_code.transcripts.usage import model_of
from otel_tracker.names import CACHE_WRITE_1H, UNKNOWN_MODEL
from otel_tracker.state.tokens import priced_tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from otel_tracker.state.prices import Cost
    from otel_tracker.state.shapes import Tokens

    Counts = tuple[int, int, int, int, int]


_KINDS = ("input", "output", "cache_read", "cache_write", CACHE_WRITE_1H)
_NONE: "Counts" = (0, 0, 0, 0, 0)

OF_CONVERSATION, OF_RUN, OF_COPY, OF_PROGRESS = range(4)
"""Claims to a request, the best first: the session's own record, a run's, one in a copy of a history, one quoted as progress."""


class Share(NamedTuple):
    """What one request has used of one model: its full id, tokens by type, the moment (seconds since 1970), the speed."""

    model: str
    tokens: "Tokens"
    at: float
    speed: "str | None"


class Request:
    """One message of one request; its owner is what has the best claim to it."""

    __slots__ = ("_beside", "_counts", "_usage", "at", "claim", "id", "is_final", "model", "owner", "speed")

    def __init__(self, owner: "Any", claim: int, request_id: "str | None", at: float) -> None:
        self.owner, self.claim, self.id, self.at = owner, claim, request_id, at
        self.model: str | None = None
        self.speed: str | None = None
        self.is_final = False
        self._usage: Usage | None = None  # as the last record had it: most records repeat it as it is
        self._counts: Counts | None = None  # the largest numbers, once there were several
        self._beside: dict[str | None, Counts] | None = None

    def add(self, message: Message, request_id: "str | None") -> None:
        """Take a record of this answer into account; of each number the highest counts."""
        if self.id is None:
            self.id = request_id
        if message.model is not None:
            self.model = message.model
        if message.stop_reason:
            self.is_final = True
        usage = message.usage
        if usage is None or usage == self._usage:
            return
        if self._usage is not None:
            self._counts = _larger(self._counts or _counts(self._usage), _counts(usage))
        self._usage = usage
        self.speed = usage.speed or self.speed
        if usage.iterations:
            self._add_beside(usage.iterations)

    def shares(self) -> "Iterator[Share]":
        """Yield what was used by model; nothing where no usage was written."""
        own = full_id(self.model) or UNKNOWN_MODEL
        if self._usage is not None:
            yield Share(own, _tokens(self._counts or _counts(self._usage)), self.at, self.speed)
        for model, counts in (self._beside or {}).items():
            yield Share(model or own, _tokens(counts), self.at, None if model else self.speed)

    def priced_shares(self, cost: "Cost") -> "Iterator[tuple[str, Tokens, float]]":
        """Yield what was used by model, with what it cost (names.USAGE_KEYS), and when."""
        for model, tokens, at, speed in self.shares():
            yield model, priced_tokens(tokens, cost(model, tokens, at, speed=speed)), at

    def _add_beside(self, iterations: "list[Iteration]") -> None:
        """Add what was used beside the answer itself: by an advisor, a compaction, a declined attempt."""
        beside: dict[str | None, Counts] = {}
        for one in iterations:
            counts = _NONE if one.type in (None, "message") else _counts(one)
            if any(counts):
                model = full_id(one.model)
                beside[model] = _sum(beside.get(model, _NONE), counts)
        for model, counts in beside.items():
            self._beside = self._beside or {}
            self._beside[model] = _larger(self._beside.get(model), counts)


class RequestTable:
    """All requests, by message."""

    def __init__(self) -> None:
        self._requests: dict[str, Request] = {}
        self._unnamed = 0

    def add(self, line: Line, message: Message, owner: "Any", claim: int, at: float) -> None:
        """Take a record of an answer into account that `owner` has with that claim, written at a moment."""
        request_id = line.request_id
        key = message.id or request_id or line.uuid
        if not key:
            self._unnamed += 1
            key = f"\0{self._unnamed}"
        request = self._requests.get(key)
        if request is None:
            request = self._requests[key] = Request(owner, claim, request_id, at)
        elif request.owner is not owner or request.id != request_id:
            is_another = request_id is not None and request.id is not None and request_id != request.id
            if claim < request.claim:
                if is_another:
                    request = self._requests[key] = Request(owner, claim, request_id, at)
                request.owner, request.claim, request.at = owner, claim, at
            elif is_another:
                return
        request.add(message, request_id)

    def items(self) -> "Iterable[tuple[str, Request]]":
        """Return the requests with the ids of their messages; one without an id has another one each time."""
        return self._requests.items()


_full_ids: "dict[str, str | None]" = {}


def full_id(model: "str | None") -> "str | None":
    """Return the full id of a model, without a suffix such as `[1m]`; None if there is none."""
    if model is None:
        return None
    if model not in _full_ids:
        _full_ids[model] = model_of({"model": model})
    return _full_ids[model]


def _counts(usage: "Usage | Iteration") -> "Counts":
    """Return the numbers of tokens; what is written is told in two ways, of which the larger counts (state/tokens.py)."""
    lifetimes, written = usage.cache_creation, usage.cache_creation_input_tokens or 0
    for_an_hour = 0
    if lifetimes is not None:
        for_an_hour = lifetimes.ephemeral_1h_input_tokens or 0
        written = max(written, for_an_hour + (lifetimes.ephemeral_5m_input_tokens or 0))
    return (
        usage.input_tokens or 0,
        usage.output_tokens or 0,
        usage.cache_read_input_tokens or 0,
        written,
        for_an_hour,
    )


def _larger(one: "Counts | None", other: "Counts") -> "Counts":
    return other if one is None else tuple(map(max, one, other))  # type: ignore[return-value]  # of five numbers


def _sum(one: "Counts", other: "Counts") -> "Counts":
    return tuple(a + b for a, b in zip(one, other, strict=True))  # type: ignore[return-value]  # of five numbers


def _tokens(counts: "Counts") -> "Tokens":
    """Return tokens by type: the four types always, what is kept for an hour where there is any."""
    tokens = dict(zip(_KINDS, counts, strict=True))
    if not counts[-1]:
        del tokens[CACHE_WRITE_1H]
    return tokens
