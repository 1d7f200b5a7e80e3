"""Amendments: the difference between the end that a run was counted with and the end that it turned out to have. Pure.

Folding an end and its amendment counts the same metrics, tokens and durations as folding the amended end alone. Only the
breaker has already moved by the first one.
"""

from otel_tracker import names
from otel_tracker.state.token_use import shares_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.state.shapes import Event, Tokens


def amendment_of(previous: "Event", now: "Event") -> "Event | None":
    """Return the event that amends the end `previous`, as which a run was counted, to `now`; None if they are the same.

    Both are ends of one agent's task, each with the model that it counts under (that of the start, if the end has neither
    `model` nor `models`). Tokens may become measured or unmeasured; an unknown duration in `now` leaves the counted one.
    All other keys, `id` too, are those of `now`.
    """
    if _is_same(previous, now):
        return None
    return {
        **now,
        **_outcomes(previous, now),
        "action": names.TASK_AMENDED,
        **_tokens(previous, now),
        **_duration(previous, now),
        **_incompleteness(previous, now),
    }


def amended(previous: "Event", amendment: "Event") -> "Event":
    """Return the end of a run after an amendment of its end `previous`: the inverse of `amendment_of`.

    A duration that is unknown there is that of `previous`.
    """
    now = {key: value for key, value in amendment.items() if key != "outcome" and not key.startswith("previous_")}
    models, seconds = previous.get("models") or {}, previous.get("duration_seconds")
    change, number = amendment.get("duration_seconds"), amendment.get("tokens_used")
    return {
        **now,
        "action": names.ACTIONS[amendment["outcome"]] if "outcome" in amendment else previous["action"],
        "tokens": changed_tokens(previous.get("tokens"), amendment.get("tokens")),
        "tokens_used": None if number is None else number + (previous.get("tokens_used") or 0),
        "models": {name: changed_tokens(models.get(name), of_it) for name, of_it in (now.get("models") or {}).items()},
        "duration_seconds": seconds if change is None else round(change + (seconds or 0.0), 6),
    }


def changed_tokens(before: "Tokens | None", change: "Tokens | None") -> "Tokens | None":
    """Return the tokens of a run after the difference in an amendment; None for the difference means unmeasured."""
    return None if change is None else names.added_tokens(before or {}, change)


def _is_same(previous: "Event", now: "Event") -> bool:
    is_counted_same = all(previous.get(key) == now.get(key) for key in ("action", "model", "tokens", "tokens_used"))
    is_timed_same = now.get("duration_seconds") in (None, previous.get("duration_seconds"))
    return (
        is_counted_same
        and is_timed_same
        and (previous.get("models") or {}) == (now.get("models") or {})
        and bool(previous.get("usage_incomplete")) == bool(now.get("usage_incomplete"))
    )


def _outcomes(previous: "Event", now: "Event") -> "Event":
    before, after = names.OUTCOMES[previous["action"]], names.OUTCOMES[now["action"]]
    return {} if before == after else {"previous_outcome": before, "outcome": after}


def _duration(previous: "Event", now: "Event") -> "Event":
    before, after = previous.get("duration_seconds"), now.get("duration_seconds")
    difference = None if after is None else round(after - (before or 0.0), 6)
    return {"duration_seconds": difference, "previous_duration_seconds": before}


def _incompleteness(previous: "Event", now: "Event") -> "Event":
    before, after = bool(previous.get("usage_incomplete")), bool(now.get("usage_incomplete"))
    return {"usage_incomplete": after, "previous_usage_incomplete": before} if before or after else {}


def _tokens(previous: "Event", now: "Event") -> "Event":
    """Return the differences in tokens, with the previous values unless there were none under the same models.

    None instead of a difference means that the tokens turned out unmeasured.
    """
    differences: Event = {"model": now.get("model")}
    models, models_now = previous.get("models") or {}, now.get("models") or {}
    if previous.get("tokens") is not None:
        differences["tokens"] = _difference(previous["tokens"], now.get("tokens"))
    if previous.get("tokens_used") is not None:
        differences["tokens_used"] = (now.get("tokens_used") or 0) - previous["tokens_used"]
    if models:
        differences["models"] = {name: _difference(models.get(name), tokens) for name, tokens in models_now.items()}
    is_measured_first = previous.get("tokens") is None and all(tokens is None for tokens in models.values())
    if is_measured_first and models.keys() == models_now.keys() and _names(previous) == _names(now):
        return differences
    before = {"previous_model": previous.get("model"), "previous_tokens": previous.get("tokens")}
    return {**differences, **before, "previous_models": models}


def _names(event: "Event") -> "set[str]":
    """Return the models that a run counts under in `token_usage`."""
    return set(shares_of(event.get("model"), event.get("tokens"), event.get("models") or {}))


def _difference(before: "Tokens | None", after: "Tokens | None") -> "Tokens | None":
    if before is None or after is None:
        return after
    changes = {token_type: after.get(token_type, 0) - before.get(token_type, 0) for token_type in {**before, **after}}
    return {token_type: change for token_type, change in changes.items() if change}
