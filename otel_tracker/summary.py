"""What people ask of a document: rankings, totals, the present state of each agent. Pure; `now` is passed in."""

from otel_tracker import breaker, names
from otel_tracker.document import Document
from otel_tracker.entry import circuit_of
from otel_tracker.errors import UnknownMetricError
from otel_tracker.fold import is_before
from otel_tracker.settings import Settings
from otel_tracker.timestamps import format_timestamp, parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Row = dict[str, Any]

DEFAULT_METRIC = "tasks_total"
METRICS = (
    "tasks_total",
    "tasks_successful",
    "tasks_failed",
    "tasks_cancelled",
    "avg_duration_seconds",
    "total_duration_seconds",
    "tokens_total",
    "failures",
)
_FASTEST_FIRST = "avg_duration_seconds"


def is_admitted(document: Document, agent: str, now: float) -> bool:
    """Tell whether a task of `agent` would be let through; nothing speaks against an agent that is unknown."""
    entry = document.agents.get(agent)
    if entry is None:
        return True
    state, _ = breaker.view(circuit_of(entry), now, Settings.of(document.config))
    return state != names.OPEN


def has_jumped_cooldown(document: Document, agent: str, now: float) -> bool:
    """Tell whether an agent's cooldown was set by a clock that has jumped back: the next event of anybody shortens it."""
    entry = document.agents.get(agent)
    settings = Settings.of(document.config)
    return entry is not None and breaker.cooldown_after_clock_jump(circuit_of(entry), now, settings) is not None


def agent_name(agent: str, entry: "Row") -> str:
    """Return the name that an agent was registered with, else its file's stem."""
    name: str = entry.get("name") or names.agent_stem(agent)
    return name


def agent_state(document: Document, agent: str, now: float) -> "Row":
    """Return the entry of a known agent as of `now`.

    Beside what the document says: `agent_file`, `agent_name`, `state`, `in_flight` (running tasks), `success_rate`
    (0 to 1, null without a task). `status` and `blacklisted_until` are those of `now`.
    """
    entry = document.agents[agent]
    state, until = breaker.view(circuit_of(entry), now, Settings.of(document.config))
    metrics = entry["metrics"]
    return {
        "agent_file": agent,
        "agent_name": agent_name(agent, entry),
        "state": state,
        **entry,
        "status": names.STATUSES[state],
        "blacklisted_until": None if until is None else format_timestamp(until),
        "in_flight": sum(1 for task in document.head["in_flight"].values() if task["agent"] == agent),
        "success_rate": _rate(metrics["tasks_successful"], metrics["tasks_total"]),
    }


def agent_states(document: Document, now: float) -> "list[Row]":
    """Return the state of every agent: first who is refused, then who failed last, then by key."""
    states = [agent_state(document, agent, now) for agent in document.agents]
    rank = {names.OPEN: 0, names.HALF_OPEN: 1, names.CLOSED: 2}
    return sorted(states, key=lambda row: (rank[row["state"]], -row["failures"], row["agent_file"]))


def leaderboard(document: Document, metric: str = DEFAULT_METRIC, top_n: int = 10) -> "list[Row]":
    """Return at most `top_n` agents by a metric, the highest first; by average duration the fastest first.

    Raises UnknownMetricError.
    """
    if metric not in METRICS:
        raise UnknownMetricError("a metric", metric, "one of " + ", ".join(METRICS))
    rows = [_ranked(agent, entry) for agent, entry in document.agents.items()]
    if metric == _FASTEST_FIRST:
        rows = [row for row in rows if row["tasks_total"]]
        return sorted(rows, key=lambda row: (row[metric], row["agent_file"]))[:top_n]
    return sorted(rows, key=lambda row: (-row[metric], row["agent_file"]))[:top_n]


def token_summary(document: Document) -> "dict[str, Row]":
    """Return `total`, `count` and `avg` of tokens by model: haiku, sonnet, opus, and every other model seen."""
    summary = {model: {"total": 0, "count": 0} for model in names.REPORTED_MODELS}
    for entry in document.agents.values():
        for model, tokens in entry["token_usage"].items():
            row = summary.setdefault(model, {"total": 0, "count": 0})
            row["total"] += tokens["total"]
            row["count"] += tokens["count"]
    return {
        model: {**row, "avg": row["total"] / row["count"] if row["count"] else 0.0} for model, row in summary.items()
    }


def system_metrics(document: Document) -> "Row":
    """Return the system's counters, and `success_rate` (0 to 1, null without a task)."""
    metrics = document.head["metrics"]
    counted = {**metrics, "total_agents": len(document.agents)}
    return {**counted, "success_rate": _rate(metrics["successful"], metrics["total_requests"])}


def past(entries: "list[Row]", agent: "str | None" = None, since: float = 0.0) -> "list[Row]":
    """Return those of `entries` that are about `agent`, or any, and not before `since`, without the starts of tasks."""
    return [
        entry
        for entry in entries
        if entry.get("action") != names.TASK_STARTED
        and agent in (None, entry.get("agent"))
        and not is_before(entry, since)
    ]


def timeout_seconds(document: Document) -> float:
    """Return after how many seconds a running task is overdue."""
    return Settings.of(document.config).timeout_seconds


def running_tasks(document: Document, now: float, is_gone: "Callable[[Row], bool]") -> "list[Row]":
    """Return the tasks in flight, the longest running first.

    Each has `run_id`, `running_seconds`, `is_overdue` (`timeout_seconds`), and `is_gone`: its process has ended, as
    `is_gone(owner)` tells, and the next event of anybody will record it as lost.
    """
    timeout = timeout_seconds(document)
    rows = []
    for run_id, task in document.head["in_flight"].items():
        seconds = max(0.0, now - parse_timestamp(task["started"]))
        row = {"run_id": run_id, **task, "running_seconds": round(seconds, 3), "is_overdue": seconds > timeout}
        rows.append({**row, "is_gone": bool(task.get("owner")) and is_gone(task["owner"])})
    return sorted(rows, key=lambda row: -row["running_seconds"])


def _ranked(agent: str, entry: "Row") -> "Row":
    tokens = sum(tokens["total"] for tokens in entry["token_usage"].values())
    return {
        "agent_file": agent,
        "agent_name": agent_name(agent, entry),
        **entry["metrics"],
        "tokens_total": tokens,
        "failures": entry["failures"],
        "success_rate": _rate(entry["metrics"]["tasks_successful"], entry["metrics"]["tasks_total"]),
    }


def _rate(part: int, whole: int) -> "float | None":
    return part / whole if whole else None
