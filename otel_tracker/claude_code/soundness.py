"""Whether what a session's file holds is what this package has written: a hook must not stumble over a file. Pure."""

from otel_tracker.checks import is_event
from otel_tracker.claude_code.run import STATUSES, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TEXTS = (
    *("agent", "agent_id", "agent_type", "error", "launcher", "model", "notified", "outage"),
    *("returned", "run_id", "tool_use_id", "transcript"),
)
_NUMBERS = ("began", "notices", "reported", "took", "tool_uses")


def is_sound(facts: "Any") -> bool:
    """Tell whether the facts of a session can be relied on."""
    if not isinstance(facts, dict) or not isinstance(facts.get("transcript"), (str, type(None))):
        return False
    runs, permits, outages = facts.get("runs", []), facts.get("permits", {}), facts.get("outages", [])
    return (
        isinstance(runs, list)
        and all(_is_run(run) for run in runs)
        and isinstance(permits, dict)
        and all(_is_permit(permit) for permit in permits.values())
        and isinstance(outages, list)
        and all(isinstance(outage, list) and len(outage) == 2 and _is_number(outage[1]) for outage in outages)
        and _is_unsaid(facts.get("unsaid"), len(runs))
    )


def _is_run(run: "Any") -> bool:
    if not isinstance(run, dict) or not run.keys() <= set(Run.__slots__):
        return False
    return (
        all(isinstance(run.get(key, ""), str) for key in _TEXTS)
        and all(_is_number(run.get(key, 0)) for key in _NUMBERS)
        and all(run.get(key) in (None, *STATUSES) for key in ("returned", "notified"))
        and (run.get("said") is None or _is_event(run["said"]))
    )


def _is_permit(permit: "Any") -> bool:
    return isinstance(permit, dict) and all(isinstance(permit.get(key), str) for key in ("agent", "run_id"))


def _is_unsaid(unsaid: "Any", runs: int) -> bool:
    if unsaid is None:
        return True
    if not isinstance(unsaid, dict):
        return False
    events, ends, starts = (unsaid.get(key, ()) for key in ("events", "ends", "starts"))
    return (
        isinstance(events, list)
        and isinstance(ends, list)
        and isinstance(starts, list)
        and (
            all(_is_event(event) for event in events)
            and all(
                isinstance(end, list) and len(end) == 2 and _is_place(end[0], runs) and _is_event(end[1])
                for end in ends
            )
            and all(_is_place(start, runs) for start in starts)
        )
    )


def _is_event(value: "Any") -> bool:
    return isinstance(value, dict) and is_event({"seq": 0, **value})


def _is_place(value: "Any", runs: int) -> bool:
    return type(value) is int and 0 <= value < runs


def _is_number(value: "Any") -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
