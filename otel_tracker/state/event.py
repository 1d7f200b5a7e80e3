"""Events, made of checked arguments, in the shape of an entry of the v7.0 `history` with keys of our own beside it.

docs/document.md lists the keys.
"""

import operator
from collections.abc import Iterable, Mapping
from functools import lru_cache

from otel_tracker import names
from otel_tracker.errors import InvalidValueError
from otel_tracker.runtime.ids import new_id
from otel_tracker.runtime.interrupts import is_interrupt
from otel_tracker.runtime.limits import ERROR_CHARACTERS, MOST_TOKENS, NAME_CHARACTERS
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from otel_tracker.state.tokens import whole_tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.state.shapes import Event

else:
    Any, Event = object, dict  # typing takes as long to load as all of this package's own modules that a hook needs


def task_started(
    agent: str,
    at: float,
    *,
    run_id: str,
    model: str | None,
    task_id: str | None,
    owner: Any,
    clock: Any = None,
    loss_error: str | None = None,
) -> Event:
    """Return the event of a task's start at the moment `at`.

    `owner` is the process that will see its end, if any. Without one, `clock` is a reading of the boot clock, which measures
    the task's age whatever the wall clock does (owner.py). With `loss_error`, an environment error, a loss of the task doesn't count for the
    breaker.
    """
    event = {
        "id": new_id(),
        "run_id": run_id,
        "timestamp": format_timestamp(at),
        "agent": agent,
        "action": names.TASK_STARTED,
        "model": model,
        "task_id": task_id,
        "tokens_used": None,
        "duration_seconds": None,
        "owner": owner,
    }
    more = {"clock": clock, "loss_error": loss_error}
    return event | {key: value for key, value in more.items() if value is not None}


def task_ended(
    agent: str,
    outcome: str,
    at: float,
    *,
    run_id: str | None,
    started: str,
    duration_seconds: float | None,
    model: str | None = None,
    task_id: str | None = None,
    tokens: Mapping[str, int] | None = None,
    event_id: str | None = None,
    **more: Any,
) -> Event:
    """Return the event of a task's end at the moment `at`.

    `tokens` is by type (names.TOKEN_KEYS), None if unmeasured, and so is a duration; more tokens in all than MOST_TOKENS
    are no measure. Without an `event_id` one is drawn. Keys in `more` are left out where they are None.
    """
    total = None if tokens is None else names.total_tokens(tokens)
    if total is not None and total > MOST_TOKENS:
        tokens = total = more["models"] = None
    event: Event = {
        "id": event_id or new_id(),
        "run_id": run_id,
        "timestamp": format_timestamp(at),
        "agent": agent,
        "action": names.ACTIONS[outcome],
        "model": model,
        "task_id": task_id,
        "tokens_used": total,
        "duration_seconds": None if duration_seconds is None else round(duration_seconds, 6),
        "started": started,
    }
    if tokens:
        event["tokens"] = {token_type: number for token_type, number in tokens.items() if number}
    return event | {key: value for key, value in more.items() if value is not None}


def usage_recorded(
    conversation_id: str,
    started: float,
    at: float,
    models: dict[str, dict[str, int]],
    *,
    event_id: str,
    usage_incomplete: bool = False,
    project: str | None = None,
) -> Event:
    """Return the event of what a main conversation used after the moment `started` and not after the moment `at`.

    `models` are tokens by type, with their cost (names.USAGE_KEYS), by full model id. More of them in all than MOST_TOKENS are no
    measure.
    """
    total: dict[str, int] = {}
    for tokens in models.values():
        total = names.added_tokens(total, tokens)
    is_measure = names.total_tokens(total) <= MOST_TOKENS
    more = {"usage_incomplete": usage_incomplete or not is_measure or None, "project": project}
    return {
        **happened(names.USAGE_RECORDED, at),
        "id": event_id,
        "tokens_used": names.total_tokens(total) if is_measure else None,
        "started": format_timestamp(started),
        "conversation_id": conversation_id,
        "tokens": total if is_measure else None,
        "models": models if is_measure else dict.fromkeys(models),
        "told_later": True,
        **{key: value for key, value in more.items() if value is not None},
    }


def happened(action: str, at: float, *, agent: str | None = None, **more: Any) -> Event:
    """Return an event, at the moment `at`, about an agent and no task; without an agent it is about the document."""
    no_task = dict.fromkeys(("model", "task_id", "tokens_used", "duration_seconds"))
    return {"id": new_id(), "timestamp": format_timestamp(at), "agent": agent, "action": action, **no_task, **more}


def checked_agent(value: object) -> str:
    """Return an agent key that can be recorded: a text that isn't blank, of at most 512 characters on one line."""
    if type(value) is str and len(value) <= NAME_CHARACTERS and _is_name(value):
        return value
    if not isinstance(value, str) or not value.strip():
        raise InvalidValueError("an agent", value, 'a text such as "core/coder.md"')
    if len(value) > NAME_CHARACTERS or not value.isprintable():
        raise InvalidValueError("an agent", value[:80], f"at most {NAME_CHARACTERS} printable characters")
    return value


def checked_agents(values: "Iterable[object] | None") -> list[str] | None:
    """Return agent keys that can be recorded, None for None; raises InvalidValueError for a single text."""
    if isinstance(values, str):
        raise InvalidValueError("a list of agents", values, 'a list such as ["core/coder.md"]')
    return None if values is None else [checked_agent(value) for value in values]


def checked_text(field: str, value: object) -> str | None:
    """Return an optional text that can be recorded: None, or a printable text that isn't blank."""
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or len(value) > NAME_CHARACTERS or not value.isprintable():
        raise InvalidValueError(field, value, f"a text of 1 to {NAME_CHARACTERS} printable characters, or None")
    return value


def checked_model(value: object) -> str | None:
    """Return the name of a model that can be recorded, or None."""
    if type(value) is str and len(value) <= NAME_CHARACTERS and _is_name(value):
        return value
    return checked_text("a model", value)


def is_name(text: str) -> bool:
    """Tell whether a text can be recorded as an agent or a model."""
    return len(text) <= NAME_CHARACTERS and _is_name(text)


@lru_cache(maxsize=1024)  # agents and models come again with each task; its id is mostly new, and a miss costs more
def _is_name(text: str) -> bool:
    return text.isprintable() and not text.isspace() and text != ""


def checked_tokens(value: object) -> int:
    """Return a number of tokens, rounded if it isn't whole; raises InvalidValueError for other values (limits.py)."""
    number = whole_tokens(value)
    if number is None:
        raise InvalidValueError("a number of tokens", value, f"a number from 0 to {MOST_TOKENS:,}")
    return number


def checked_count(value: object, field: str) -> int:
    """Return a whole number from 0, such as a limit."""
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = -1
    if number < 0:
        raise InvalidValueError(field, value, "a whole number from 0")
    return number


def checked_timestamp(field: str, value: object) -> float:
    """Return the moment that a timestamp names, in seconds since 1970."""
    try:
        return parse_timestamp(value)
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise InvalidValueError(field, value, 'a timestamp such as "2026-02-15T21:30:00Z"') from None


def error_text(error: object) -> str | None:
    """Return the recorded text of an error: secrets masked, cut at 500 characters."""
    if error is None:
        return None
    try:
        text = str(error) or type(error).__name__
    except Exception as failure:
        if is_interrupt(failure):
            raise
        text = type(error).__name__
    from otel_tracker.runtime.masking import masked

    return masked(text).encode("utf-8", "replace").decode()[:ERROR_CHARACTERS]
