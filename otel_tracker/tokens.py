"""Numbers of tokens: what may stand for one, and an estimate for callers that have only text. Pure."""

import operator

from otel_tracker.limits import MOST_TOKENS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BYTES_PER_TOKEN = 4
"""A common rule of thumb for English text and code; languages with longer words have more tokens."""


def estimate_tokens(text: str) -> int:
    """Return about how many tokens `text` has: a quarter of its bytes in UTF-8, rounded up.

    Say so where it is recorded: `task.set_tokens_used(estimate_tokens(text), estimated=True)`.
    """
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def whole_tokens(value: "Any") -> "int | None":
    """Return a number of tokens as a whole number from 0 to MOST_TOKENS, None for whatever else.

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
