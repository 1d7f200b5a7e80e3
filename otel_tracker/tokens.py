"""Token counts for those who have only text."""

import math

BYTES_PER_TOKEN = 4
"""A common rule of thumb for English text and code; languages with longer words have more tokens."""


class EstimatedTokens(int):
    """A number of tokens that was estimated; sums with it are estimates, too."""

    def __add__(self, other: int) -> "EstimatedTokens":
        return EstimatedTokens(int(self) + int(other))

    __radd__ = __add__


def estimate_tokens(text: str) -> EstimatedTokens:
    """Return about how many tokens `text` has: a quarter of its bytes in UTF-8, rounded up.

    A count set from it is flagged as an estimate in the task's event.
    """
    return EstimatedTokens(math.ceil(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN))
