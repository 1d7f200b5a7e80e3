"""What a single value of a document or an event must be. Pure.

Each function returns what was expected, in words, or None where the value is right.
"""

from otel_tracker import names
from otel_tracker.runtime.limits import DURATION_BOUNDS, LARGEST_NUMBER, LAST_EVENT, LATEST_SECONDS, MOST_TOKENS
from otel_tracker.runtime.timestamps import parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Check = Callable[[Any], str | None]


def json_object(value: "Any") -> "str | None":
    return None if isinstance(value, dict) else "an object"


def text(value: "Any") -> "str | None":
    return None if isinstance(value, str) else "a text"


def text_or_null(value: "Any") -> "str | None":
    return None if value is None or isinstance(value, str) else "a text or null"


def count(value: "Any") -> "str | None":
    return None if type(value) is int and 0 <= value <= LARGEST_NUMBER else "a whole number from 0"


def tokens(value: "Any") -> "str | None":
    return count(value)


def last_tokens(value: "Any") -> "str | None":
    return None if value is None or not count(value) else "a whole number from 0, or null"


def number(value: "Any") -> "str | None":
    return None if type(value) is int and 0 <= value <= LAST_EVENT else "the number of an event, a whole number from 0"


def seconds(value: "Any") -> "str | None":
    return None if type(value) in (int, float) and 0 <= value <= LARGEST_NUMBER else "a number from 0"


def timestamp(value: "Any") -> "str | None":
    try:
        parse_timestamp(value)
    except (ValueError, OverflowError, AttributeError, TypeError):
        return 'a timestamp such as "2026-02-15T21:30:00Z"'
    return None


def timestamp_or_null(value: "Any") -> "str | None":
    return None if value is None else timestamp(value)


def buckets(value: "Any") -> "str | None":
    size = len(DURATION_BOUNDS) + 1
    right = isinstance(value, list) and len(value) == size and not any(count(n) for n in value)
    return None if right else f"a list of {size} whole numbers"


def permit_or_null(value: "Any") -> "str | None":
    if value is None:
        return None
    is_right = (
        isinstance(value, dict)
        and isinstance(value.get("run_id"), str)
        and timestamp(value.get("granted")) is None
        and timestamp(value.get("expires")) is None
        and isinstance(value.get("owner"), (dict, type(None)))
    )
    return None if is_right else "a permit with run_id, granted and expires, or null"


def override_or_null(value: "Any") -> "str | None":
    if value is None:
        return None
    is_right = (
        isinstance(value, dict)
        and value.get("kind") in (names.FORCED_OPEN, names.DISABLED)
        and timestamp_or_null(value.get("until")) is None
    )
    return None if is_right else f"an override of the kind {names.FORCED_OPEN} or {names.DISABLED}, or null"


def list_of_texts(value: "Any") -> "str | None":
    is_right = isinstance(value, list) and all(isinstance(inner, str) for inner in value)
    return None if is_right else "a list of texts"


def texts(value: "Any") -> "str | None":
    is_right = isinstance(value, dict) and all(isinstance(inner, str) for inner in value.values())
    return None if is_right else "an object of texts"


def timestamps(value: "Any") -> "str | None":
    is_right = isinstance(value, dict) and not any(timestamp(inner) for inner in value.values())
    return None if is_right else "an object of timestamps"


def seconds_or_null(value: "Any") -> "str | None":
    is_right = value is None or (type(value) in (int, float) and abs(value) <= LATEST_SECONDS)
    return None if is_right else "a number of seconds, or null"


def difference_or_null(value: "Any") -> "str | None":
    is_right = value is None or (type(value) in (int, float) and abs(value) <= MOST_TOKENS)
    return None if is_right else "a number of tokens, or null"


def moment(value: "Any") -> "str | None":
    """Check a timestamp that a cooldown may be added to."""
    return timestamp(value) or (
        None if parse_timestamp(value) <= LATEST_SECONDS else "a timestamp before the year 9000"
    )


def object_or_null(value: "Any") -> "str | None":
    return None if value is None or isinstance(value, dict) else "an object, or null"


def flag_or_null(value: "Any") -> "str | None":
    return None if value is None or isinstance(value, bool) else "true, false, or null"


def objects(value: "Any") -> "str | None":
    is_right = isinstance(value, dict) and all(isinstance(inner, dict) for inner in value.values())
    return None if is_right else "an object of objects"


def outcome_or_null(value: "Any") -> "str | None":
    return None if value is None or value in list(names.ACTIONS) else "an outcome, or null"


def tokens_or_null(value: "Any") -> "str | None":
    if value is None:
        return None
    is_right = isinstance(value, dict) and all(key in names.USAGE_KEYS and type(n) is int for key, n in value.items())
    return None if is_right else "whole numbers by token type, or null"


def models_or_null(value: "Any") -> "str | None":
    if value is None:
        return None
    is_right = isinstance(value, dict) and not any(tokens_or_null(tokens) for tokens in value.values())
    return None if is_right else "tokens by model, or null"
