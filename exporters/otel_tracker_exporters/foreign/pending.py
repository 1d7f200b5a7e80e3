"""Tokens on their way up: from the spans that have used them to the span of the agent that they were used for.

Children end before their parents. Each span takes its children's tokens, or its own where it has some, and passes them
on to its parent; an agent's span keeps them. A span that comes twice gets the same tokens again and passes none on.
"""

from collections import OrderedDict, deque

from otel_tracker.names import added_tokens, total_tokens
from otel_tracker.runtime.guard import Guard
from otel_tracker.state.shapes import Tokens

SpanKey = tuple[int, int]
TokensByModel = dict[str | None, Tokens]  # by full model id, None where no span has named one

_REMEMBERED = 10_000  # spans; some that are still running will never be exported
_RESPONSES = 256  # of a span's children; those of the same one end one after the other


class _Sum:
    """The tokens that the children of a span have used so far, and for which responses."""

    __slots__ = ("responses", "usage")

    def __init__(self) -> None:
        self.usage: TokensByModel = {}
        self.responses: deque[str] = deque(maxlen=_RESPONSES)


class PendingTokens:
    """The tokens of spans that have ended, for parents that have not. Safe from several threads."""

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._guard = Guard()
        self._sums: OrderedDict[SpanKey, _Sum] = OrderedDict()
        self._ended: OrderedDict[SpanKey, TokensByModel | None] = OrderedDict()

    def settle_task(
        self, key: SpanKey, own: TokensByModel | None, *, is_own_vague: bool = False
    ) -> TokensByModel | None:
        """Return the tokens of an agent's span that has ended, None if unmeasured.

        Where `own` may be about other agents, too, the children's come first.
        """
        with self._guard:
            if key not in self._ended:
                self._end(key, own, is_own_vague=is_own_vague)
            return self._ended[key]

    def settle(self, key: SpanKey, own: TokensByModel | None, parent: SpanKey | None, response: str | None) -> None:
        """Pass the tokens of any other span that has ended on to its parent.

        Two instrumentations may make a span each of one `response`, side by side: the first one counts.
        """
        if own is None and key not in self._sums:
            return
        with self._guard:
            if key not in self._ended:
                usage = self._end(key, own)
                if usage is not None and parent is not None and parent not in self._ended:
                    self._pass_on(usage, parent, response)

    def holds(self, key: SpanKey) -> bool:
        """Tell whether children of a span have used tokens."""
        return key in self._sums

    def drop(self, key: SpanKey) -> None:
        """Forget the tokens of a span's children: the span counts its tokens itself."""
        self._sums.pop(key, None)  # one step, for which no guard is needed

    def _end(self, key: SpanKey, own: TokensByModel | None, *, is_own_vague: bool = False) -> TokensByModel | None:
        below = self._sums.pop(key, None)
        usage = own if below is None else below.usage if is_own_vague else _chosen(own, below.usage)
        self._ended[key] = usage
        _evict(self._ended, self._remembered)
        return usage

    def _pass_on(self, usage: TokensByModel, parent: SpanKey, response: str | None) -> None:
        total = self._sums.setdefault(parent, _Sum())
        self._sums.move_to_end(parent)
        if response is None or response not in total.responses:
            total.responses.extend(() if response is None else (response,))
            for model, tokens in usage.items():
                total.usage[model] = added_tokens(total.usage.get(model, {}), tokens)
        _evict(self._sums, self._remembered)


def all_tokens(usage: TokensByModel) -> Tokens:
    """Return the tokens of all models together, by type."""
    total: Tokens = {}
    for tokens in usage.values():
        total = added_tokens(total, tokens)
    return total


def _chosen(own: TokensByModel | None, below: TokensByModel) -> TokensByModel:
    """Return a span's own tokens, or its children's: if it has none, or if they are the same ones in more detail."""
    number = 0 if own is None else _number(own)
    is_detailed = None not in below and number == _number(below)
    return below if own is None or number == 0 or is_detailed else own


def _number(usage: TokensByModel) -> int:
    return total_tokens(all_tokens(usage))


def _evict(memory: "OrderedDict[SpanKey, _Sum] | OrderedDict[SpanKey, TokensByModel | None]", most: int) -> None:
    while len(memory) > most:
        memory.popitem(last=False)
