"""What the values of a document must be: the first wrong one is an error that names its place. Pure."""

import re

from otel_tracker import names
from otel_tracker.state import expectations as expect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.state.expectations import Check

KNOWN_MAJOR = 7


class ShapeError(ValueError):
    """A value has the wrong type: its `json_path` in the document, and what was expected."""

    def __init__(self, json_path: str, reason: str) -> None:
        super().__init__(f"{json_path}: {reason}")
        self.json_path, self.reason = json_path, reason


class NewerVersionError(ShapeError):
    """The document has a newer major version than this package knows."""


def check_head(head: "Any") -> None:
    """Raise ShapeError at the first value of `head` that this package would misread."""
    _expect_object("$", head)
    if version_of(head.get("version"))[0] > KNOWN_MAJOR:
        raise NewerVersionError("$.version", f"version {head['version']} is newer than the {KNOWN_MAJOR} known here")
    _check_fields("$", head, HEAD)
    for key, agent in head.get("agents", {}).items():
        check_agent(key, agent)
    _check_fields("$.metrics", head.get("metrics", {}), SYSTEM)
    main = head.get("main_conversation", {})
    _check_fields("$.main_conversation", main, MAIN_CONVERSATION)
    _check_uses("$.main_conversation.models", main.get("models", {}))
    for run_id, task in head.get("in_flight", {}).items():
        check_task(run_id, task)


def check_task(run_id: str, task: "Any") -> None:
    """Raise ShapeError at the first value of a running task that this package would misread."""
    json_path = f'$.in_flight["{run_id}"]'
    _check_fields(json_path, {"agent": None, "started": None, **_expect_object(json_path, task)}, _IN_FLIGHT)


def check_agent(key: str, agent: "Any") -> None:
    """Raise ShapeError at the first value of an agent's entry that this package would misread."""
    json_path = f'$.agents["{key}"]'
    _check_fields(json_path, _expect_object(json_path, agent), AGENT)
    for part, fields in AGENT_PARTS.items():
        if part in agent:
            _check_fields(f"{json_path}.{part}", agent[part], fields)
    for part in ("token_usage", "models"):
        _check_uses(f"{json_path}.{part}", agent.get(part, {}))


def _check_uses(json_path: str, uses: "dict[str, Any]") -> None:
    for model, use in uses.items():
        inner = f'{json_path}["{model}"]'
        _check_fields(inner, _expect_object(inner, use), TOKENS)


def check_history(history: "Any") -> None:
    """Raise ShapeError unless `history` is a list of objects."""
    if not isinstance(history, list):
        raise ShapeError("$.history", f"expected a list, got {_shown(history)}")
    for index, entry in enumerate(history):
        _expect_object(f"$.history[{index}]", entry)


def version_of(version: "Any") -> "tuple[int, ...]":
    """Return the version as numbers; files before 7.0 may have none."""
    if version is None:
        return (6, 0)
    digits = re.match(r"v?(\d{1,9})(?:\.(\d{1,9}))?", str(version))
    if digits is None:
        raise ShapeError("$.version", f'expected a version such as "7.0", got {version!r}')
    return tuple(int(part) for part in digits.groups(default="0"))


def _check_fields(json_path: str, value: "dict[str, Any]", fields: "dict[str, Check]") -> None:
    for key, check in fields.items():
        if key in value:
            expected = check(value[key])
            if expected:
                raise ShapeError(f"{json_path}.{key}", f"expected {expected}, got {_shown(value[key])}")


def _expect_object(json_path: str, value: "Any") -> "dict[str, Any]":
    if not isinstance(value, dict):
        raise ShapeError(json_path, f"expected an object, got {_shown(value)}")
    return value


def _shown(value: "Any") -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


HEAD: "dict[str, Check]" = {
    "updated": expect.timestamp_or_null,
    "sequence": expect.number,
    "config": expect.json_object,
    "agents": expect.json_object,
    "metrics": expect.json_object,
    "main_conversation": expect.json_object,
    "in_flight": expect.json_object,
    "config_digest": expect.text,
    "renamed": expect.texts,
    "removed": expect.timestamps,
}
MAIN_CONVERSATION: "dict[str, Check]" = {
    "since": expect.timestamp_or_null,
    "models": expect.json_object,
    "usage_incomplete": expect.count,
}
AGENT: "dict[str, Check]" = {
    "name": expect.text_or_null,
    "status": expect.text,
    "failures": expect.count,
    "last_failure": expect.timestamp_or_null,
    "blacklisted_until": expect.timestamp_or_null,
    "metrics": expect.json_object,
    "token_usage": expect.json_object,
    "models": expect.json_object,
    "circuit": expect.json_object,
    "durations": expect.json_object,
    "tallies": expect.json_object,
    "config": expect.json_object,
}
_AGENT_METRICS: "dict[str, Check]" = {
    "tasks_total": expect.count,
    "tasks_successful": expect.count,
    "tasks_failed": expect.count,
    "tasks_cancelled": expect.count,
    "avg_duration_seconds": expect.seconds,
    "total_duration_seconds": expect.seconds,
    "last_task_timestamp": expect.timestamp_or_null,
    "first_task_timestamp": expect.timestamp_or_null,
}
TOKENS: "dict[str, Check]" = {
    "total": expect.tokens,
    "last": expect.last_tokens,
    "count": expect.count,
    "measured": expect.last_tokens,
    **dict.fromkeys(names.USAGE_KEYS, expect.tokens),
}
_CIRCUIT: "dict[str, Check]" = {
    "state": expect.text,
    "generation": expect.count,
    "opened": expect.timestamp_or_null,
    "reopenings": expect.count,
    "permit": expect.permit_or_null,
    "override": expect.override_or_null,
    "streak": expect.list_of_texts,
}
_DURATIONS: "dict[str, Check]" = {"buckets": expect.buckets, "moved": expect.buckets, "sum": expect.seconds}
_TALLIES: "dict[str, Check]" = dict.fromkeys(names.TALLIES, expect.count)
AGENT_PARTS = {"metrics": _AGENT_METRICS, "circuit": _CIRCUIT, "durations": _DURATIONS, "tallies": _TALLIES}
_SYSTEM_METRICS = (
    "total_agents",
    "total_requests",
    "successful",
    "failed",
    "cancelled",
    "fallback_used",
    "circuit_breaks",
)
SYSTEM: "dict[str, Check]" = dict.fromkeys(_SYSTEM_METRICS, expect.count)
_IN_FLIGHT: "dict[str, Check]" = {
    "agent": expect.text,
    "started": expect.timestamp,
    "model": expect.text_or_null,
    "task_id": expect.text_or_null,
    "loss_error": expect.text_or_null,
}
