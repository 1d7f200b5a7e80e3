"""What the numbers mean that other programs, the predecessor of this package among them, write in another form. Pure.

Whole numbers may be written as floats (`6.0`), token counts may have a fraction (a quarter of a text's length), and
durations may be negative (naive clocks at the end of summer time): these are rounded, and 0.
"""

from otel_tracker.state import checks
from otel_tracker.state import expectations as expect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from otel_tracker.state.expectations import Check


def with_usual_numbers(head: "Any") -> "Any":
    """Return a head, which may be anything at all, in which numbers that another program wrote have their usual form."""
    head = _with_usual_fields(head, checks.HEAD)
    if not isinstance(head, dict):
        return head
    usual = {"metrics": _with_usual_fields(head["metrics"], checks.SYSTEM)} if "metrics" in head else {}
    if isinstance(head.get("main_conversation"), dict):
        usual["main_conversation"] = _with_usual_uses(
            _with_usual_fields(head["main_conversation"], checks.MAIN_CONVERSATION), ("models",)
        )
    if isinstance(head.get("agents"), dict):
        usual["agents"] = {key: agent_with_usual_numbers(agent) for key, agent in head["agents"].items()}
    return {**head, **usual}


def agent_with_usual_numbers(agent: "Any") -> "Any":
    """Return an agent's entry in which numbers that another program wrote have their usual form."""
    agent = _with_usual_fields(agent, checks.AGENT)
    if not isinstance(agent, dict):
        return agent
    usual = {
        part: _with_usual_fields(agent[part], fields) for part, fields in checks.AGENT_PARTS.items() if part in agent
    }
    return _with_usual_uses({**agent, **usual}, ("token_usage", "models"))


def _with_usual_uses(owner: "dict[str, Any]", parts: "tuple[str, ...]") -> "dict[str, Any]":
    """Return an object in which the tokens by model in some of its parts have their usual form."""
    usual = {
        part: {model: _with_usual_fields(use, checks.TOKENS) for model, use in owner[part].items()}
        for part in parts
        if isinstance(owner.get(part), dict)
    }
    return {**owner, **usual}


def _with_usual_fields(value: "Any", fields: "dict[str, Check]") -> "Any":
    """Return an object in which the fields that a check refuses, but that have a usual form, are in that form."""
    if not isinstance(value, dict):
        return value
    unusual = [key for key, check in fields.items() if check in _USUAL_FORMS and key in value and check(value[key])]
    return {**value, **{key: _USUAL_FORMS[fields[key]](value[key]) for key in unusual}}


def _usual_count(value: "Any") -> "Any":
    return int(value) if type(value) is float and value.is_integer() else value


def _usual_counts(value: "Any") -> "Any":
    return [_usual_count(number) for number in value] if isinstance(value, list) else value


def _usual_tokens(value: "Any") -> "Any":
    return round(value) if type(value) is float else value


def _usual_seconds(value: "Any") -> "Any":
    return 0.0 if type(value) in (int, float) and value < 0 else value


_USUAL_FORMS: "dict[Check, Callable[[Any], Any]]" = {
    expect.count: _usual_count,
    expect.number: _usual_count,
    expect.tokens: _usual_tokens,
    expect.last_tokens: _usual_tokens,
    expect.buckets: _usual_counts,
    expect.seconds: _usual_seconds,
}
