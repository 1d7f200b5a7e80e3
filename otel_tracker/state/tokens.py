"""Numbers of tokens: what may stand for one, and an estimate for callers that have only text. Pure."""

import operator

from otel_tracker.names import CACHE_WRITE_1H, COST, PRICED, total_tokens
from otel_tracker.runtime.limits import MOST_TOKENS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BYTES_PER_TOKEN = 4
"""A common rule of thumb for English text and code; languages with longer words have more tokens."""

_ANTHROPIC = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_write": "cache_creation_input_tokens",
}
_WRITTEN_FOR_AN_HOUR = "ephemeral_1h_input_tokens"


def estimate_tokens(text: str) -> int:
    """Return about how many tokens `text` has: a quarter of its bytes in UTF-8, rounded up.

    Mark the number as estimated when you record it: `task.set_tokens_used(estimate_tokens(text), estimated=True)`.
    """
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def anthropic_tokens(usage: "dict[str, Any]") -> "dict[str, int]":
    """Return tokens by type of a `usage` object of Anthropic's API; a value that is no number counts as 0.

    The object has the cache writes by their lifetime, too (`cache_creation`); the larger of the two sums counts.
    """
    tokens = {token_type: whole_tokens(usage.get(field)) or 0 for token_type, field in _ANTHROPIC.items()}
    lifetimes = usage.get("cache_creation")
    if isinstance(lifetimes, dict):
        written = {key: whole_tokens(number) or 0 for key, number in lifetimes.items() if key.startswith("ephemeral_")}
        tokens["cache_write"] = max(tokens["cache_write"], sum(written.values()))
        if written.get(_WRITTEN_FOR_AN_HOUR):
            tokens[CACHE_WRITE_1H] = written[_WRITTEN_FOR_AN_HOUR]
    return tokens


def priced_tokens(tokens: "dict[str, int]", micro_dollars: "int | None") -> "dict[str, int]":
    """Return the tokens of a request with what they cost; as they are where that is None, for they have no price."""
    if micro_dollars is None:
        return tokens
    return {**tokens, COST: micro_dollars, PRICED: total_tokens(tokens)}


def has_tokens(usage: "dict[str, Any]") -> bool:
    """Tell whether a `usage` object of Anthropic's API has any number of tokens."""
    return any(whole_tokens(usage.get(field)) is not None for field in _ANTHROPIC.values())


def whole_tokens(value: "Any") -> "int | None":
    """Return a number of tokens as a whole number from 0 to MOST_TOKENS, None for anything else.

    A float, a Decimal or another number is rounded: estimates such as `len(text) / 4` are seldom whole.
    """
    number = value if type(value) is int else _rounded(value)
    return number if number is not None and 0 <= number <= MOST_TOKENS else None


def _rounded(value: "Any") -> "int | None":
    if isinstance(value, bool) or not (hasattr(value, "__index__") or hasattr(value, "__round__")):
        return None
    try:
        return operator.index(value if hasattr(value, "__index__") else round(value))
    except (TypeError, ValueError, ArithmeticError):  # not a number, or an endless one
        return None
