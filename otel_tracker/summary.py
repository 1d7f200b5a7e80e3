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


def answer(document: Document, agent: str, now: float, is_gone: "Callable[[Row], bool]") -> breaker.Answer:
    """Return what the breaker of `agent` answers now; nothing speaks against an agent that is unknown.

    `is_gone(owner)` tells whether a process can be seen to have ended.
    """
    if agent not in document.agents:
        return breaker.Answer(True)
    return breaker.ask(_overtaken(document, agent, now, is_gone), now, settings_of_agent(document, agent))


def is_overtaken(document: Document, agent: str, now: float, is_gone: "Callable[[Row], bool]") -> bool:
    """Tell whether something has happened to an agent's breaker that the next event of the home records.

    Its cooldown was set by a clock that has jumped back, or the holder of its permit has ended, or hangs.
    """
    if agent not in document.agents:
        return False
    circuit, settings = circuit_of(document.agents[agent]), settings_of_agent(document, agent)
    is_ended = circuit.permit is not None and _overtaken(document, agent, now, is_gone).permit is None
    return is_ended or breaker.cooldown_after_clock_jump(circuit, now, settings) is not None


def ended_permit(
    document: Document, agent: str, now: float, is_gone: "Callable[[Row], bool]"
) -> "tuple[str, str] | None":
    """Return the run that an agent's permit is for and why it is over, None as long as it isn't.

    A run that has begun, and whose process has ended, is lost, which ends its permit as well.
    """
    permit, settings = circuit_of(document.agents[agent]).permit, settings_of_agent(document, agent)
    if permit is None:
        return None
    if permit.run_id in document.head["in_flight"]:
        is_over = breaker.is_overdue(permit, now, settings) and not _is_left(document, permit, is_gone)
        return (permit.run_id, "the probe has not ended in time") if is_over else None
    is_left = permit.owner is not None and is_gone(permit.owner)
    return (permit.run_id, "not used") if is_left or breaker.is_lapsed(permit, now) else None


def _is_left(document: Document, permit: breaker.Permit, is_gone: "Callable[[Row], bool]") -> bool:
    """Tell whether the process can be seen to have ended that runs a probe."""
    owner = document.head["in_flight"].get(permit.run_id, {}).get("owner")
    return owner is not None and is_gone(owner)


def _overtaken(document: Document, agent: str, now: float, is_gone: "Callable[[Row], bool]") -> breaker.Circuit:
    """Return the breaker as it will be once it is recorded that the holder of its permit has ended, or hangs."""
    circuit = circuit_of(document.agents[agent])
    if circuit.permit is None:
        return circuit
    ended = ended_permit(document, agent, now, is_gone)
    if ended is not None:
        return breaker.after_return(circuit, ended[0])
    if not _is_left(document, circuit.permit, is_gone):
        return circuit
    settings = settings_of_agent(document, agent)
    task = document.head["in_flight"][circuit.permit.run_id]
    is_counted = settings.count_lost and not task.get("loss_error")
    lost = breaker.TaskEnd(names.LOST, now, is_counted=is_counted, run_id=circuit.permit.run_id)
    return breaker.after_task(circuit, lost, settings)


def settings_of_agent(document: Document, agent: str) -> Settings:
    """Return the settings of an agent: its own ones over the document's."""
    return Settings.of_agent(document.config, document.agents.get(agent, {}).get("config"))


def next_change(document: Document, now: float) -> float:
    """Return the moment after which what agents are let through may be another, although nothing happens."""
    ends = [
        parse_timestamp(text)
        for agent in document.agents
        for row in (agent_state(document, agent, now),)
        for text in (row["blacklisted_until"], (row["override"] or {}).get("until"))
        if text is not None
    ]
    return min(ends, default=float("inf"))


def agent_name(agent: str, entry: "Row") -> str:
    """Return the name that an agent was registered with, else its file's stem."""
    name: str = entry.get("name") or names.agent_stem(agent)
    return name


def agent_state(document: Document, agent: str, now: float) -> "Row":
    """Return the entry of a known agent as of `now`.

    Beside what the document says: `agent_file`, `agent_name`, `state`, `in_flight` (running tasks), `success_rate`
    (0 to 1, null without a task), `permit` and `override` (null where none is in force). `status` and
    `blacklisted_until` are those of `now`; the status is `forced_open` where a person has ordered that, and `state` that of the
    breaker below it. With `usage_incomplete` runs, more than none, tokens are lower bounds.
    """
    entry = document.agents[agent]
    circuit = circuit_of(entry)
    state, until = breaker.view(circuit, now, settings_of_agent(document, agent))
    metrics, order = entry["metrics"], entry["circuit"]["override"] if breaker.override_at(circuit, now) else None
    return {
        "agent_file": agent,
        "agent_name": agent_name(agent, entry),
        "state": state,
        **entry,
        "status": names.FORCED_OPEN if is_forced(order) else names.STATUSES[state],
        "blacklisted_until": None if until is None else format_timestamp(until),
        "permit": entry["circuit"]["permit"] if circuit.permit else None,
        "override": order,
        "in_flight": sum(1 for task in document.head["in_flight"].values() if task["agent"] == agent),
        "success_rate": _rate(metrics["tasks_successful"], metrics["tasks_total"]),
        "usage_incomplete": entry["tallies"]["usage_incomplete"],
    }


def is_forced(order: "Row | None") -> bool:
    """Tell whether an order that is in force refuses all tasks."""
    return order is not None and order["kind"] == names.FORCED_OPEN


def agent_states(document: Document, now: float) -> "list[Row]":
    """Return the state of every agent: first the refused ones, then by failures in a row, then by key."""
    states = [agent_state(document, agent, now) for agent in document.agents]
    rank = {names.OPEN: 0, names.HALF_OPEN: 1, names.CLOSED: 2}

    def urgency(row: "Row") -> "tuple[int, int, str]":
        return 0 if is_forced(row["override"]) else rank[row["state"]], -row["failures"], row["agent_file"]

    return sorted(states, key=urgency)


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
    """Return tokens by model: haiku, sonnet, opus, and every other model seen.

    `total`, `count` (of tasks), `measured` (those whose tokens are known; null where an older file doesn't tell), `avg` (of
    measured tasks, null without any), tokens by type (`cache_write_1h` only where it was told), and `usage_incomplete`: the runs without their final usage of
    all agents that have used the model. Where there are any the tokens are lower bounds.
    """
    numbers = ("total", "count", "measured", *names.TOKEN_KEYS)
    summary: dict[str, Row] = {model: _no_tokens() for model in names.REPORTED_MODELS}
    for entry in document.agents.values():
        for model, tokens in entry["token_usage"].items():
            row = summary.setdefault(model, _no_tokens())
            for number in numbers:
                if number in tokens:
                    row[number] = _sum_if_known(row.get(number, 0), tokens[number])
            if tokens["count"] or tokens["total"]:
                row["usage_incomplete"] += entry["tallies"]["usage_incomplete"]
    for row in summary.values():
        tasks = row["count"] if row["measured"] is None else row["measured"]
        row["avg"] = row["total"] / tasks if tasks else None
    return summary


def is_unmeasured(*uses: "Row") -> bool:
    """Tell whether nothing is known of the tokens of all `uses`, entries of a `token_usage`, or of a summary of it."""
    return not any(use["total"] or use["measured"] for use in uses)


def _sum_if_known(one: "int | None", other: "int | None") -> "int | None":
    return None if one is None or other is None else one + other


def _no_tokens() -> "Row":
    none = {"total": 0, "count": 0, "measured": 0, "avg": None}
    return {**none, **dict.fromkeys(names.TOKEN_TYPES, 0), "usage_incomplete": 0}


def system_metrics(document: Document) -> "Row":
    """Return the system's counters, and `success_rate` (0 to 1, null without a task)."""
    metrics = document.head["metrics"]
    counted = {**metrics, "total_agents": len(document.agents)}
    return {**counted, "success_rate": _rate(metrics["successful"], metrics["total_requests"])}


def past(entries: "list[Row]", agents: "set[str] | None" = None, since: float = 0.0) -> "list[Row]":
    """Return those of `entries` that are about one of `agents`, or any, not before `since`, without the starts of tasks."""
    return [
        entry
        for entry in entries
        if entry.get("action") != names.TASK_STARTED
        and (agents is None or (isinstance(entry.get("agent"), str) and entry["agent"] in agents))
        and not is_before(entry, since)
    ]


def timeout_seconds(document: Document) -> float:
    """Return after how many seconds a running task is overdue."""
    return Settings.of(document.config).timeout_seconds


def running_tasks(document: Document, now: float, is_gone: "Callable[[Row], bool]") -> "list[Row]":
    """Return the tasks in flight, the longest running first.

    Each has `run_id`, `running_seconds`, `is_overdue` (`timeout_seconds`), and `is_gone`: its process has ended, as
    `is_gone(owner)` tells, and the next event of the home will record it as lost.
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
        "is_unmeasured": is_unmeasured(*entry["token_usage"].values()),
        "usage_incomplete": entry["tallies"]["usage_incomplete"],
        "failures": entry["failures"],
        "success_rate": _rate(entry["metrics"]["tasks_successful"], entry["metrics"]["tasks_total"]),
    }


def _rate(part: int, whole: int) -> "float | None":
    return part / whole if whole else None
