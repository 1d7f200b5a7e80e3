"""Compares JSON values, and keeps the keys of a document that other programs and people have added. Pure."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from otel_tracker.names import USAGE_KEYS
from otel_tracker.state import schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.state.shapes import Agent, Head

_MISSING = "nothing"


_OF_HEAD = frozenset(schema.new_head())
_OF_AGENT = frozenset((*schema.new_agent(), "name", "config"))
_OF_PARTS = {
    **{part: frozenset(schema.new_agent()[part]) for part in ("metrics", "circuit", "tallies")},
    "durations": frozenset(("buckets", "sum", "moved")),
}
_OF_MAIN = frozenset(schema.new_main_conversation())
_OF_TOKENS = frozenset((*schema.new_token_entry(), *USAGE_KEYS))


class Difference(NamedTuple):
    """Two values that should be equal."""

    path: str
    expected: Any
    actual: Any

    def __str__(self) -> str:
        """Return the difference in words, values cut at 60 characters."""
        return f"{self.path} is {_shown(self.actual)}, not {_shown(self.expected)}"


def differences(expected: Any, actual: Any, path: str = "$") -> Iterator[Difference]:
    """Yield the innermost values in which two JSON values differ; the order of keys doesn't matter."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in [*expected, *(key for key in actual if key not in expected)]:
            inner = f'{path}["{key}"]' if any(letter in key for letter in "./ ") else f"{path}.{key}"
            yield from differences(expected.get(key, _MISSING), actual.get(key, _MISSING), inner)
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for index, pair in enumerate(zip(expected, actual, strict=True)):
            yield from differences(*pair, f"{path}[{index}]")
    elif expected != actual:
        yield Difference(path, expected, actual)


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


def with_keys_of_people(head: "Head", actual: "Head") -> "Head":
    """Return `head`, as the journal gives it, with all that `actual` has beside it, at any level.

    These are keys that this package doesn't know, and whole agents and models that no event has made.
    """
    ours = _joined(head, actual, _OF_HEAD)
    ours["agents"] = {
        **{key: _agent(agent, actual["agents"].get(key, {})) for key, agent in head["agents"].items()},
        **{key: agent for key, agent in actual["agents"].items() if key not in head["agents"]},
    }
    ours["metrics"] = _joined(head["metrics"], actual["metrics"], frozenset(schema.new_head()["metrics"]))
    main, actual_main = head["main_conversation"], actual["main_conversation"]
    ours["main_conversation"] = {**_joined(main, actual_main, _OF_MAIN), "models": _uses("models", main, actual_main)}
    if len(ours["agents"]) != len(head["agents"]):  # the next event counts them
        ours["metrics"]["total_agents"] = actual["metrics"].get("total_agents")
    return ours


def _agent(agent: "Agent", actual: "Agent") -> "Agent":
    ours = _joined(agent, actual, _OF_AGENT)
    for part, keys in _OF_PARTS.items():
        ours[part] = _joined(agent[part], actual.get(part, {}), keys)
    for part in ("token_usage", "models"):
        ours[part] = _uses(part, agent, actual)
    return ours


def _uses(part: str, owner: dict[str, Any], actual: dict[str, Any]) -> dict[str, Any]:
    used: dict[str, Any] = actual.get(part, {})
    return {**used, **{key: _joined(use, used.get(key, {}), _OF_TOKENS) for key, use in owner[part].items()}}


def _joined(ours: dict[str, Any], actual: dict[str, Any], our_keys: "frozenset[str]") -> dict[str, Any]:
    """Return `ours` reduced to `our_keys`, with the other keys of `actual`."""
    others = {key: value for key, value in actual.items() if key not in our_keys}
    return {**{key: value for key, value in ours.items() if key in our_keys}, **others}
