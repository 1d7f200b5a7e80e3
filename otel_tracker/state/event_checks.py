"""What the values of an event must be, so that the fold can rely on them. Pure."""

from otel_tracker import names
from otel_tracker.state import expectations as expect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.state.expectations import Check


def is_event(value: "Any") -> bool:
    """Tell whether a line of the journal has all that the fold relies on."""
    if not isinstance(value, dict) or not {"seq", "id", "timestamp", "agent", "action"} <= value.keys():
        return False
    if any(key in _EVENT and _EVENT[key](entry) for key, entry in value.items()):
        return False
    needed = _NEEDED.get(value["action"], ())
    return all(value.get(key) is not None for key in needed) and (
        value["agent"] is not None or value["action"] in _ABOUT_NO_AGENT
    )


_EVENT: "dict[str, Check]" = {
    "seq": expect.number,
    "id": expect.text,
    "timestamp": expect.moment,
    "agent": expect.text_or_null,
    "action": expect.text,
    "run_id": expect.text_or_null,
    "started": expect.timestamp_or_null,
    "model": expect.text_or_null,
    "task_id": expect.text_or_null,
    "duration_seconds": expect.seconds_or_null,
    "previous_duration_seconds": expect.seconds_or_null,
    "tokens_used": expect.difference_or_null,
    "tokens": expect.tokens_or_null,
    "models": expect.models_or_null,
    "previous_model": expect.text_or_null,
    "previous_tokens": expect.tokens_or_null,
    "previous_models": expect.models_or_null,
    "usage_incomplete": expect.flag_or_null,
    "previous_usage_incomplete": expect.flag_or_null,
    "suspect": expect.flag_or_null,
    "told_later": expect.flag_or_null,
    "imported": expect.flag_or_null,
    "agent_id": expect.text_or_null,
    "tool_use_id": expect.text_or_null,
    "parent_run_id": expect.text_or_null,
    "outcome": expect.outcome_or_null,
    "previous_outcome": expect.outcome_or_null,
    "name": expect.text_or_null,
    "by": expect.text_or_null,
    "to": expect.text,
    "owner": expect.object_or_null,
    "clock": expect.object_or_null,
    "blacklisted_until": expect.moment,
    "permit": expect.text,
    "override": expect.override_or_null,
    "expires": expect.moment,
    "refused_until": expect.timestamp_or_null,
    "fallback_for": expect.text_or_null,
    "error_type": expect.text_or_null,
    "config": expect.json_object,
    "agents": expect.objects,
    "since": expect.count,
    "backup": expect.text,
    "after": expect.count,
    "until": expect.count,
}
# Keys that an event of an action must have beside those of every event.
_NEEDED = {
    **dict.fromkeys((names.TASK_STARTED, *names.OUTCOMES), ("run_id",)),
    names.AGENT_REGISTERED: ("name",),
    names.AGENT_RENAMED: ("to",),
    names.COOLDOWN_SHORTENED: ("blacklisted_until",),
    names.PROBE_GRANTED: ("permit", "expires"),
    names.PROBE_RETURNED: ("permit",),
    names.SETTINGS_CHANGED: ("config", "agents", "since"),
    names.DOCUMENT_RESTORED: ("backup", "after", "until"),
    names.USAGE_RECORDED: ("models",),
}
_ABOUT_NO_AGENT = (names.SETTINGS_CHANGED, names.DOCUMENT_RESTORED, names.USAGE_RECORDED)
