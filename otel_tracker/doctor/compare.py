"""What differs between two JSON values, by place. Pure."""

from collections.abc import Iterator
from typing import Any, NamedTuple

_MISSING = "nothing"


class Difference(NamedTuple):
    """Two values that should be equal."""

    place: str
    expected: Any
    actual: Any

    def __str__(self) -> str:
        """Return the difference in words, values cut at 60 characters."""
        return f"{self.place} is {_shown(self.actual)}, not {_shown(self.expected)}"


def differences(expected: Any, actual: Any, place: str = "$") -> Iterator[Difference]:
    """Yield the innermost values in which two JSON values differ; the order of keys doesn't matter."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in [*expected, *(key for key in actual if key not in expected)]:
            inner = f'{place}["{key}"]' if any(letter in key for letter in "./ ") else f"{place}.{key}"
            yield from differences(expected.get(key, _MISSING), actual.get(key, _MISSING), inner)
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for index, pair in enumerate(zip(expected, actual, strict=True)):
            yield from differences(*pair, f"{place}[{index}]")
    elif expected != actual:
        yield Difference(place, expected, actual)


def numbers(value: Any) -> int:
    """Return how many numbers a JSON value holds."""
    if isinstance(value, dict):
        return sum(numbers(inner) for inner in value.values())
    if isinstance(value, list):
        return sum(numbers(inner) for inner in value)
    return int(isinstance(value, (int, float)) and not isinstance(value, bool))


def _shown(value: Any) -> str:
    text = f"a list of {len(value)}" if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
