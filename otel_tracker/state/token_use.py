"""How an event changes the tokens that an agent's entry counts by model. Pure.

`token_usage` is by what people call a model, `models` by full model id. Like other parts of an entry they are replaced,
never changed in place.
"""

from otel_tracker import names
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state import schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.state.shapes import Agent, Event, Shares, Tokens


def model_of(end: "Event", earlier: "Event") -> "str | None":
    """Return the model that the end of a run counts under, after an `earlier` event of it.

    Full ids in the end come before a name that was given at the start.
    """
    model: str | None = end.get("model") or (None if end.get("models") else earlier.get("model"))
    return model


def count_tokens(agent: "Agent", event: "Event", model: "str | None", tasks: int) -> None:
    """Add the event's tokens under its full model ids, and under the names that people use.

    The task that it is about has them measured now, also where it was counted without them before.
    """
    models, is_of_task = event.get("models") or {}, bool(tasks or event.get("run_id"))
    is_newest = not event.get("imported") or agent["metrics"]["last_task_timestamp"] == event["timestamp"]
    for part, shares in (("models", models), ("token_usage", shares_of(model, event.get("tokens"), models))):
        for name, tokens in shares.items():
            total = names.total_tokens(tokens or {})
            # An amendment that takes tokens away is not the last task, nor is an imported one that others came after.
            is_last = tokens is not None and (tasks or total > 0) and is_newest
            measured = int(is_of_task and tokens is not None)
            _add_tokens(agent, part, name, tokens or {}, tasks, measured, max(0, total) if is_last else None)


def shares_of(model: "str | None", tokens: "Tokens | None", models: "Shares") -> "Shares":
    """Return a run's tokens under the model that the user named, else under the family of each full id.

    None instead of tokens stands for a run that is counted and not measured.
    """
    if model:
        return {model: tokens}
    if not models:
        return {names.UNKNOWN_MODEL: tokens} if tokens else {}
    shares: Shares = {}
    for full_id, of_model in models.items():
        family = names.model_family(full_id)
        shares[family] = _sum_of(shares.get(family), of_model)
    return shares


def amend_tokens(agent: "Agent", event: "Event") -> None:
    """Add the differences in an amendment. If it has the previous models, the task is moved to the present ones."""
    if event.get("previous_models") is None:
        count_tokens(agent, event, event.get("model"), tasks=0)
        return
    before, tokens = event["previous_models"], event.get("previous_tokens")
    models = {name: _changed(before.get(name), change) for name, change in (event.get("models") or {}).items()}
    _exchange(agent, "models", before, models)
    shares_before = shares_of(event.get("previous_model"), tokens, before)
    shares = shares_of(event.get("model"), _changed(tokens, event.get("tokens")), models)
    _exchange(agent, "token_usage", shares_before, shares)


def main_conversation_after(counted: "Agent", event: "Event") -> "Agent":
    """Return what is counted of main conversations after an event of what one of them has used."""
    models, since, started = dict(counted["models"]), counted["since"], event.get("started") or event["timestamp"]
    for name, tokens in event["models"].items():
        models[name] = _changed_use(models.get(name) or schema.new_main_entry(), tokens or {})
    is_first = since is None or parse_timestamp(started) < parse_timestamp(since)
    return {
        **counted,
        "since": started if is_first else since,
        "models": models,
        "usage_incomplete": counted["usage_incomplete"] + bool(event.get("usage_incomplete")),
    }


def _changed(tokens: "Tokens | None", change: "Tokens | None") -> "Tokens | None":
    """Return tokens after a change; without one they turned out unmeasured."""
    if change is None:
        return None
    return {token_type: number for token_type, number in names.added_tokens(tokens or {}, change).items() if number}


def _exchange(agent: "Agent", part: str, before: "Shares", after: "Shares") -> None:
    """Replace the shares that a run was counted with by those that it has."""
    for name in {**before, **after}:
        if name not in after and name not in agent[part]:
            continue  # a person has removed it
        was, tokens = before.get(name) or {}, after.get(name)
        change = {
            token_type: (tokens or {}).get(token_type, 0) - was.get(token_type, 0)
            for token_type in {**was, **(tokens or {})}
        }
        last = max(0, names.total_tokens(tokens)) if tokens else None
        measured = (tokens is not None) - (before.get(name) is not None)
        _add_tokens(agent, part, name, change, (name in after) - (name in before), measured, last)


def _add_tokens(
    agent: "Agent", part: str, model: str, change: "Tokens", tasks: int, measured: int, last: "int | None"
) -> None:
    use = _changed_use(agent[part].get(model) or schema.new_token_entry(), change)
    use["count"] = max(0, use["count"] + tasks)
    if use["measured"] is not None:  # else it is not known of how many tasks an older file has counted the tokens
        use["measured"] = max(0, use["measured"] + measured)
    if last is not None:
        use["last"] = last
    agent[part] = {**agent[part], model: use}


def _changed_use(before: "Agent", change: "Tokens") -> "Agent":
    """Return a model's entry after a change of its tokens, none of which falls below 0."""
    use = dict(before)
    for token_type, number in change.items():
        use[token_type] = max(0, use.get(token_type, 0) + number)
    for key in (names.CACHE_WRITE_1H, names.PRICED):
        if use.get(key) == 0:  # an unknown number isn't shown as 0
            del use[key]
    if names.PRICED in use:
        use.setdefault(names.COST, 0)  # a free model has a price
    else:
        use.pop(names.COST, None)
    use["total"] = max(0, use["total"] + names.total_tokens(change))
    return use


def _sum_of(one: "Tokens | None", other: "Tokens | None") -> "Tokens | None":
    """Return the sum of tokens by type; unmeasured is unmeasured only where both are."""
    if one is None or other is None:
        return one if other is None else other
    return names.added_tokens(one, other)
