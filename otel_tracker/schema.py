"""The shape of the v7.0 document: what a new one holds, how older ones are completed, what each value must be.

Source of the format: the Metrics Tracker System v7.0 specification, and the keys of our own beside it that
docs/document.md lists. Keys that are not named here pass through untouched.
"""

from otel_tracker import names
from otel_tracker.settings import default_config
from otel_tracker.timestamps import parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

VERSION = "7.0"

# Upper bounds of the duration buckets, in seconds; one more bucket counts what is longer.
DURATION_BOUNDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)


class ShapeError(ValueError):
    """A value has the wrong type: its `place` in the document, and what was expected."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place, self.reason = place, reason


class NewerVersionError(ShapeError):
    """The document has a newer major version than this package knows."""


def new_head() -> "dict[str, Any]":
    """Return a new document without its `history`."""
    return {
        "version": VERSION,
        "updated": None,
        "sequence": 0,
        "config": default_config(),
        "agents": {},
        "metrics": _new_system_metrics(),
        "in_flight": {},
    }


def new_agent() -> "dict[str, Any]":
    """Return the entry of an agent that has done nothing yet."""
    return complete_agent({})


def new_token_entry() -> "dict[str, Any]":
    """Return the token counts of a model that has not been used yet."""
    return {"total": 0, "last": None, "count": 0, **dict.fromkeys(names.TOKEN_TYPES, 0)}


def complete_head(head: "dict[str, Any]") -> "dict[str, Any]":
    """Return a checked `head` with everything that this package relies on; older versions lack some of it.

    The keys that the head has keep their order and their values.
    """
    completed = {"version": head.get("version", VERSION), "updated": head.get("updated")}
    completed["sequence"] = head.get("sequence", 0)
    completed.update(head)
    if _major_minor(head.get("version")) < _major_minor(VERSION):
        completed["version"] = VERSION
    completed["config"] = {**default_config(), **head.get("config", {})}
    completed["agents"] = {key: complete_agent(agent) for key, agent in head.get("agents", {}).items()}
    completed["metrics"] = {**_new_system_metrics(), **head.get("metrics", {})}
    completed.setdefault("in_flight", {})
    return completed


def complete_agent(agent: "dict[str, Any]") -> "dict[str, Any]":
    """Return `agent` with everything that this package relies on."""
    completed = {"status": "healthy", "failures": 0, "last_failure": None, "blacklisted_until": None, **agent}
    completed["metrics"] = {
        "tasks_total": 0,
        "tasks_successful": 0,
        "tasks_failed": 0,
        "tasks_cancelled": 0,
        "avg_duration_seconds": 0.0,
        "total_duration_seconds": 0.0,
        "last_task_timestamp": None,
        "first_task_timestamp": None,
        **agent.get("metrics", {}),
    }
    usage = agent.get("token_usage", {})
    known = {model: usage.get(model, {}) for model in names.REPORTED_MODELS}
    completed["token_usage"] = {model: _complete_tokens(entry) for model, entry in {**known, **usage}.items()}
    completed.setdefault("models", {})
    completed["circuit"] = {"state": "closed", "generation": 0, "opened": None, "reopenings": 0} | agent.get(
        "circuit", {}
    )
    completed["durations"] = {"buckets": [0] * (len(DURATION_BOUNDS) + 1), "sum": 0.0} | agent.get("durations", {})
    completed["tallies"] = {"lost": 0, "opened": 0, "rejected": 0, "fallback": 0} | agent.get("tallies", {})
    return completed


def _complete_tokens(entry: "dict[str, Any]") -> "dict[str, Any]":
    completed = new_token_entry() | entry
    if "untyped" not in entry:  # a file of v7.0 says only totals
        typed = sum(completed[kind] for kind in names.TOKEN_TYPES)
        completed["untyped"] = max(0, completed["total"] - typed)
    return completed


def _new_system_metrics() -> "dict[str, Any]":
    return {
        "total_agents": 0,
        "total_requests": 0,
        "successful": 0,
        "failed": 0,
        "cancelled": 0,
        "fallback_used": 0,
        "circuit_breaks": 0,
    }


def check_head(head: "Any") -> None:
    """Raise ShapeError at the first value of `head` that this package would misread."""
    _expect_object("$", head)
    if _major_minor(head.get("version"))[0] > _major_minor(VERSION)[0]:
        raise NewerVersionError("$.version", f"version {head['version']} is newer than the {VERSION} known here")
    _check_fields("$", head, _HEAD)
    for key, agent in head.get("agents", {}).items():
        check_agent(key, agent)
    _check_fields("$.metrics", head.get("metrics", {}), _SYSTEM)
    for run_id, task in head.get("in_flight", {}).items():
        place = f'$.in_flight["{run_id}"]'
        _check_fields(place, {"agent": None, "started": None, **_expect_object(place, task)}, _IN_FLIGHT)


def check_agent(key: str, agent: "Any") -> None:
    """Raise ShapeError at the first value of an agent's entry that this package would misread."""
    place = f'$.agents["{key}"]'
    _check_fields(place, _expect_object(place, agent), _AGENT)
    for part, fields in _AGENT_PARTS.items():
        if part in agent:
            _check_fields(f"{place}.{part}", agent[part], fields)
    for part in ("token_usage", "models"):
        for model, entry in agent.get(part, {}).items():
            inner = f'{place}.{part}["{model}"]'
            _check_fields(inner, _expect_object(inner, entry), _TOKENS)


def check_history(history: "Any") -> None:
    """Raise ShapeError unless `history` is a list of objects."""
    if not isinstance(history, list):
        raise ShapeError("$.history", f"expected a list, got {_shown(history)}")
    for index, entry in enumerate(history):
        _expect_object(f"$.history[{index}]", entry)


def _major_minor(version: "Any") -> "tuple[int, ...]":
    """Return the version as numbers; files before 7.0 may have none."""
    if version is None:
        return (6, 0)
    try:
        return tuple(int(part) for part in str(version).split("."))[:2]
    except ValueError:
        raise ShapeError("$.version", f'expected a version such as "{VERSION}", got {version!r}') from None


# A check returns what was expected, or nothing where the value is right.
if TYPE_CHECKING:
    Check = Callable[[Any], str | None]


def _check_fields(place: str, value: "dict[str, Any]", fields: "dict[str, Check]") -> None:
    for key, check in fields.items():
        if key in value:
            expected = check(value[key])
            if expected:
                raise ShapeError(f"{place}.{key}", f"expected {expected}, got {_shown(value[key])}")


def _expect_object(place: str, value: "Any") -> "dict[str, Any]":
    if not isinstance(value, dict):
        raise ShapeError(place, f"expected an object, got {_shown(value)}")
    return value


def _shown(value: "Any") -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _object(value: "Any") -> "str | None":
    return None if isinstance(value, dict) else "an object"


def _text(value: "Any") -> "str | None":
    return None if isinstance(value, str) else "a text"


def _text_or_null(value: "Any") -> "str | None":
    return None if value is None or isinstance(value, str) else "a text or null"


def _count(value: "Any") -> "str | None":
    return None if type(value) is int and value >= 0 else "a whole number from 0"


def _count_or_null(value: "Any") -> "str | None":
    return None if value is None or (type(value) is int and value >= 0) else "a whole number from 0, or null"


def _seconds(value: "Any") -> "str | None":
    return None if type(value) in (int, float) and value >= 0 else "a number from 0"


def _timestamp(value: "Any") -> "str | None":
    try:
        parse_timestamp(value)
    except (ValueError, OverflowError, AttributeError, TypeError):
        return 'a timestamp such as "2026-02-15T21:30:00Z"'
    return None


def _timestamp_or_null(value: "Any") -> "str | None":
    return None if value is None else _timestamp(value)


def _buckets(value: "Any") -> "str | None":
    size = len(DURATION_BOUNDS) + 1
    right = isinstance(value, list) and len(value) == size and not any(_count(n) for n in value)
    return None if right else f"a list of {size} whole numbers"


_HEAD: "dict[str, Check]" = {
    "updated": _timestamp_or_null,
    "sequence": _count,
    "config": _object,
    "agents": _object,
    "metrics": _object,
    "in_flight": _object,
}
_AGENT: "dict[str, Check]" = {
    "name": _text_or_null,
    "status": _text,
    "failures": _count,
    "last_failure": _timestamp_or_null,
    "blacklisted_until": _timestamp_or_null,
    "metrics": _object,
    "token_usage": _object,
    "models": _object,
    "circuit": _object,
    "durations": _object,
    "tallies": _object,
    "config": _object,
}
_AGENT_METRICS: "dict[str, Check]" = {
    "tasks_total": _count,
    "tasks_successful": _count,
    "tasks_failed": _count,
    "tasks_cancelled": _count,
    "avg_duration_seconds": _seconds,
    "total_duration_seconds": _seconds,
    "last_task_timestamp": _timestamp_or_null,
    "first_task_timestamp": _timestamp_or_null,
}
_TOKENS: "dict[str, Check]" = {
    "total": _count,
    "last": _count_or_null,
    "count": _count,
    **dict.fromkeys(names.TOKEN_TYPES, _count),
}
_CIRCUIT: "dict[str, Check]" = {
    "state": _text,
    "generation": _count,
    "opened": _timestamp_or_null,
    "reopenings": _count,
}
_DURATIONS: "dict[str, Check]" = {"buckets": _buckets, "sum": _seconds}
_TALLIES: "dict[str, Check]" = dict.fromkeys(("lost", "opened", "rejected", "fallback"), _count)
_AGENT_PARTS = {"metrics": _AGENT_METRICS, "circuit": _CIRCUIT, "durations": _DURATIONS, "tallies": _TALLIES}
_SYSTEM: "dict[str, Check]" = dict.fromkeys(_new_system_metrics(), _count)
_IN_FLIGHT: "dict[str, Check]" = {
    "agent": _text,
    "started": _timestamp,
    "model": _text_or_null,
    "task_id": _text_or_null,
}
