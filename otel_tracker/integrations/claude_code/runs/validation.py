"""Whether a session's file holds what this package writes: whatever it holds, a hook must not fail on it. Pure."""

from otel_tracker.integrations.claude_code.runs.run import Run
from otel_tracker.integrations.claude_code.transcripts.statuses import STATUSES
from otel_tracker.state.event_checks import is_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TEXTS = (
    *("agent", "agent_id", "agent_type", "api_error", "error", "launcher", "model", "notified", "outage"),
    *("returned", "run_id", "tool_use_id", "transcript", "wished_type"),
)
_NUMBERS = ("began", "notices", "reported", "took", "tool_uses")


def is_sound(facts: "Any") -> bool:
    """Tell whether the facts of a session have the types that this package writes."""
    if not isinstance(facts, dict):
        return False
    if not all(isinstance(facts.get(key), (str, type(None))) for key in ("transcript", "project")):
        return False
    runs, permits, outages = facts.get("runs", []), facts.get("permits", {}), facts.get("outages", [])
    return (
        all(_is_list_of_texts(facts.get(key, [])) for key in ("later_transcripts", "earlier_sessions"))
        and isinstance(facts.get("process") or {}, dict)
        and isinstance(runs, list)
        and all(_is_run(run) for run in runs)
        and isinstance(permits, dict)
        and all(_is_permit(permit) for permit in permits.values())
        and isinstance(outages, list)
        and all(isinstance(outage, list) and len(outage) == 2 and _is_number(outage[1]) for outage in outages)
        and _is_unrecorded(facts.get("unsaid"), {run.get("run_id") for run in runs})
    )


def _is_run(run: "Any") -> bool:
    if not isinstance(run, dict) or not run.keys() <= Run.keys():
        return False
    return (
        all(isinstance(run.get(key, ""), str) for key in _TEXTS)
        and all(_is_number(run.get(key, 0)) for key in _NUMBERS)
        and all(run.get(key) in (None, *STATUSES) for key in ("returned", "notified"))
        and (run.get("said") is None or _is_event(run["said"]))
        and isinstance(run.get("reading", {}), dict)
    )


def _is_list_of_texts(value: "Any") -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_permit(permit: "Any") -> bool:
    return isinstance(permit, dict) and all(isinstance(permit.get(key), str) for key in ("agent", "run_id"))


def _is_unrecorded(value: "Any", run_ids: "set[str | None]") -> bool:
    """Tell whether a value is None, or events that aren't recorded yet, with the ends and starts of these runs."""
    if value is None:
        return True
    parts = value if isinstance(value, dict) else {}
    if not all(isinstance(parts.get(key), list) for key in ("events", "ends", "starts")):
        return False
    events, ends, starts = parts["events"], parts["ends"], parts["starts"]
    are_events = all(_is_event(event) for event in [*events, *ends])
    return (
        are_events and all(end.get("run_id") in run_ids for end in ends) and all(start in run_ids for start in starts)
    )


def _is_event(value: "Any") -> bool:
    return isinstance(value, dict) and is_event({"seq": 0, **value})


def _is_number(value: "Any") -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
