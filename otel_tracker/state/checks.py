"""What each value of a document and of an event must be: the first wrong one is an error that names its place. Pure.

Other programs, the predecessor of this package among them, write some numbers in another form; `with_usual_numbers` and
`agent_with_usual_numbers` say what these mean.
"""

import re

from otel_tracker import names
from otel_tracker.runtime.limits import LARGEST_NUMBER, LAST_EVENT, LATEST_SECONDS, MOST_TOKENS
from otel_tracker.runtime.timestamps import parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

KNOWN_MAJOR = 7

# Upper bounds of the duration buckets, in seconds; one more bucket counts what is longer.
DURATION_BOUNDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)

# What is counted of an agent beside its tasks.
TALLIES = (
    *("lost", "amended", "opened", "rejected", "fallback"),
    *("usage_incomplete", "amended_success", "amended_failure", "amended_cancelled"),
)


class ShapeError(ValueError):
    """A value has the wrong type: its `place` in the document, and what was expected."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place, self.reason = place, reason


class NewerVersionError(ShapeError):
    """The document has a newer major version than this package knows."""


def check_head(head: "Any") -> None:
    """Raise ShapeError at the first value of `head` that this package would misread."""
    _expect_object("$", head)
    if version_of(head.get("version"))[0] > KNOWN_MAJOR:
        raise NewerVersionError("$.version", f"version {head['version']} is newer than the {KNOWN_MAJOR} known here")
    _check_fields("$", head, _HEAD)
    for key, agent in head.get("agents", {}).items():
        check_agent(key, agent)
    _check_fields("$.metrics", head.get("metrics", {}), _SYSTEM)
    for run_id, task in head.get("in_flight", {}).items():
        check_task(run_id, task)


def check_task(run_id: str, task: "Any") -> None:
    """Raise ShapeError at the first value of a running task that this package would misread."""
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


def with_usual_numbers(head: "Any") -> "Any":
    """Return a head, which may be anything at all, in which numbers that another program wrote have their usual form.

    Whole numbers may be written as floats (`6.0`), token counts may have a fraction (a quarter of a text's length), and
    durations may be negative (naive clocks at the end of summer time): these are rounded, and 0.
    """
    head = _with_usual_fields(head, _HEAD)
    if not isinstance(head, dict):
        return head
    usual = {"metrics": _with_usual_fields(head["metrics"], _SYSTEM)} if "metrics" in head else {}
    if isinstance(head.get("agents"), dict):
        usual["agents"] = {key: agent_with_usual_numbers(agent) for key, agent in head["agents"].items()}
    return {**head, **usual}


def agent_with_usual_numbers(agent: "Any") -> "Any":
    """Return an agent's entry in which numbers that another program wrote have their usual form."""
    agent = _with_usual_fields(agent, _AGENT)
    if not isinstance(agent, dict):
        return agent
    usual = {part: _with_usual_fields(agent[part], fields) for part, fields in _AGENT_PARTS.items() if part in agent}
    for part in ("token_usage", "models"):
        if isinstance(agent.get(part), dict):
            usual[part] = {model: _with_usual_fields(entry, _TOKENS) for model, entry in agent[part].items()}
    return {**agent, **usual}


def check_history(history: "Any") -> None:
    """Raise ShapeError unless `history` is a list of objects."""
    if not isinstance(history, list):
        raise ShapeError("$.history", f"expected a list, got {_shown(history)}")
    for index, entry in enumerate(history):
        _expect_object(f"$.history[{index}]", entry)


def is_event(value: "Any") -> bool:
    """Tell whether a line of the journal says what the fold relies on."""
    if not isinstance(value, dict) or not {"seq", "id", "timestamp", "agent", "action"} <= value.keys():
        return False
    if any(key in _EVENT and _EVENT[key](known) for key, known in value.items()):
        return False
    needed = _NEEDED.get(value["action"], ())
    return all(value.get(key) is not None for key in needed) and (
        value["agent"] is not None or value["action"] in _ABOUT_NO_AGENT
    )


def version_of(version: "Any") -> "tuple[int, ...]":
    """Return the version as numbers; files before 7.0 may have none."""
    if version is None:
        return (6, 0)
    digits = re.match(r"v?(\d{1,9})(?:\.(\d{1,9}))?", str(version))
    if digits is None:
        raise ShapeError("$.version", f'expected a version such as "7.0", got {version!r}')
    return tuple(int(part) for part in digits.groups(default="0"))


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


def _object(value: "Any") -> "str | None":
    return None if isinstance(value, dict) else "an object"


def _text(value: "Any") -> "str | None":
    return None if isinstance(value, str) else "a text"


def _text_or_null(value: "Any") -> "str | None":
    return None if value is None or isinstance(value, str) else "a text or null"


def _count(value: "Any") -> "str | None":
    return None if type(value) is int and 0 <= value <= LARGEST_NUMBER else "a whole number from 0"


def _tokens(value: "Any") -> "str | None":
    return _count(value)


def _last_tokens(value: "Any") -> "str | None":
    return None if value is None or not _count(value) else "a whole number from 0, or null"


def _number(value: "Any") -> "str | None":
    return None if type(value) is int and 0 <= value <= LAST_EVENT else "the number of an event, a whole number from 0"


def _seconds(value: "Any") -> "str | None":
    return None if type(value) in (int, float) and 0 <= value <= LARGEST_NUMBER else "a number from 0"


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


def _permit_or_null(value: "Any") -> "str | None":
    if value is None:
        return None
    is_right = (
        isinstance(value, dict)
        and isinstance(value.get("run_id"), str)
        and _timestamp(value.get("granted")) is None
        and _timestamp(value.get("expires")) is None
        and isinstance(value.get("owner"), (dict, type(None)))
    )
    return None if is_right else "a permit with run_id, granted and expires, or null"


def _override_or_null(value: "Any") -> "str | None":
    if value is None:
        return None
    is_right = (
        isinstance(value, dict)
        and value.get("kind") in (names.FORCED_OPEN, names.DISABLED)
        and _timestamp_or_null(value.get("until")) is None
    )
    return None if is_right else f"an override of the kind {names.FORCED_OPEN} or {names.DISABLED}, or null"


def _list_of_texts(value: "Any") -> "str | None":
    is_right = isinstance(value, list) and all(isinstance(inner, str) for inner in value)
    return None if is_right else "a list of texts"


def _texts(value: "Any") -> "str | None":
    is_right = isinstance(value, dict) and all(isinstance(inner, str) for inner in value.values())
    return None if is_right else "an object of texts"


def _timestamps(value: "Any") -> "str | None":
    is_right = isinstance(value, dict) and not any(_timestamp(inner) for inner in value.values())
    return None if is_right else "an object of timestamps"


_HEAD: "dict[str, Check]" = {
    "updated": _timestamp_or_null,
    "sequence": _number,
    "config": _object,
    "agents": _object,
    "metrics": _object,
    "in_flight": _object,
    "config_digest": _text,
    "renamed": _texts,
    "removed": _timestamps,
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
    "total": _tokens,
    "last": _last_tokens,
    "count": _count,
    "measured": _last_tokens,
    **dict.fromkeys(names.TOKEN_KEYS, _tokens),
}
_CIRCUIT: "dict[str, Check]" = {
    "state": _text,
    "generation": _count,
    "opened": _timestamp_or_null,
    "reopenings": _count,
    "permit": _permit_or_null,
    "override": _override_or_null,
    "streak": _list_of_texts,
}
_DURATIONS: "dict[str, Check]" = {"buckets": _buckets, "moved": _buckets, "sum": _seconds}
_TALLIES: "dict[str, Check]" = dict.fromkeys(TALLIES, _count)
_AGENT_PARTS = {"metrics": _AGENT_METRICS, "circuit": _CIRCUIT, "durations": _DURATIONS, "tallies": _TALLIES}
_SYSTEM_METRICS = (
    "total_agents",
    "total_requests",
    "successful",
    "failed",
    "cancelled",
    "fallback_used",
    "circuit_breaks",
)
_SYSTEM: "dict[str, Check]" = dict.fromkeys(_SYSTEM_METRICS, _count)
_USUAL_FORMS: "dict[Check, Callable[[Any], Any]]" = {
    _count: _usual_count,
    _number: _usual_count,
    _tokens: _usual_tokens,
    _last_tokens: _usual_tokens,
    _buckets: _usual_counts,
    _seconds: _usual_seconds,
}
_IN_FLIGHT: "dict[str, Check]" = {
    "agent": _text,
    "started": _timestamp,
    "model": _text_or_null,
    "task_id": _text_or_null,
    "loss_error": _text_or_null,
}


def _seconds_or_null(value: "Any") -> "str | None":
    is_right = value is None or (type(value) in (int, float) and abs(value) <= LATEST_SECONDS)
    return None if is_right else "a number of seconds, or null"


def _difference_or_null(value: "Any") -> "str | None":
    is_right = value is None or (type(value) in (int, float) and abs(value) <= MOST_TOKENS)
    return None if is_right else "a number of tokens, or null"


def _moment(value: "Any") -> "str | None":
    """Check a timestamp that a cooldown may be added to."""
    return _timestamp(value) or (
        None if parse_timestamp(value) <= LATEST_SECONDS else "a timestamp before the year 9000"
    )


def _object_or_null(value: "Any") -> "str | None":
    return None if value is None or isinstance(value, dict) else "an object, or null"


def _flag_or_null(value: "Any") -> "str | None":
    return None if value is None or isinstance(value, bool) else "true, false, or null"


def _objects(value: "Any") -> "str | None":
    is_right = isinstance(value, dict) and all(isinstance(inner, dict) for inner in value.values())
    return None if is_right else "an object of objects"


def _outcome_or_null(value: "Any") -> "str | None":
    return None if value is None or value in list(names.ACTIONS) else "an outcome, or null"


def _tokens_or_null(value: "Any") -> "str | None":
    if value is None:
        return None
    is_right = isinstance(value, dict) and all(kind in names.TOKEN_KEYS and type(n) is int for kind, n in value.items())
    return None if is_right else "whole numbers by token type, or null"


def _models_or_null(value: "Any") -> "str | None":
    if value is None:
        return None
    is_right = isinstance(value, dict) and not any(_tokens_or_null(tokens) for tokens in value.values())
    return None if is_right else "tokens by model, or null"


_EVENT: "dict[str, Check]" = {
    "seq": _number,
    "id": _text,
    "timestamp": _moment,
    "agent": _text_or_null,
    "action": _text,
    "run_id": _text_or_null,
    "started": _timestamp_or_null,
    "model": _text_or_null,
    "task_id": _text_or_null,
    "duration_seconds": _seconds_or_null,
    "previous_duration_seconds": _seconds_or_null,
    "tokens_used": _difference_or_null,
    "tokens": _tokens_or_null,
    "models": _models_or_null,
    "previous_model": _text_or_null,
    "previous_tokens": _tokens_or_null,
    "previous_models": _models_or_null,
    "usage_incomplete": _flag_or_null,
    "previous_usage_incomplete": _flag_or_null,
    "suspect": _flag_or_null,
    "told_later": _flag_or_null,
    "agent_id": _text_or_null,
    "tool_use_id": _text_or_null,
    "parent_run_id": _text_or_null,
    "outcome": _outcome_or_null,
    "previous_outcome": _outcome_or_null,
    "name": _text_or_null,
    "to": _text,
    "owner": _object_or_null,
    "clock": _object_or_null,
    "blacklisted_until": _moment,
    "permit": _text,
    "override": _override_or_null,
    "expires": _moment,
    "refused_until": _timestamp_or_null,
    "fallback_for": _text_or_null,
    "error_type": _text_or_null,
    "config": _object,
    "agents": _objects,
    "since": _count,
    "backup": _text,
    "after": _count,
    "until": _count,
}
# What an event of an action must say beside what every event says.
_NEEDED = {
    **dict.fromkeys((names.TASK_STARTED, *names.OUTCOMES), ("run_id",)),
    names.AGENT_REGISTERED: ("name",),
    names.AGENT_RENAMED: ("to",),
    names.COOLDOWN_SHORTENED: ("blacklisted_until",),
    names.PROBE_GRANTED: ("permit", "expires"),
    names.PROBE_RETURNED: ("permit",),
    names.SETTINGS_CHANGED: ("config", "agents", "since"),
    names.DOCUMENT_RESTORED: ("backup", "after", "until"),
}
_ABOUT_NO_AGENT = (names.SETTINGS_CHANGED, names.DOCUMENT_RESTORED)
