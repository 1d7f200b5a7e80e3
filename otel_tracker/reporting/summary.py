"""Answers about a document as data: rankings, totals, the present state of each agent. Pure; `now` is passed in."""

from otel_tracker import names
from otel_tracker.errors import UnknownMetricError
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from otel_tracker.state import breaker, permission
from otel_tracker.state.circuit import circuit_of
from otel_tracker.state.document import Document
from otel_tracker.state.prices import MICRO_DOLLARS
from otel_tracker.state.schema import new_main_entry
from otel_tracker.state.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tracker.state.shapes import Row


DEFAULT_METRIC = "tasks_total"
METRICS = (
    "tasks_total",
    "tasks_successful",
    "tasks_failed",
    "tasks_cancelled",
    "avg_duration_seconds",
    "total_duration_seconds",
    "tokens_total",
    "cost_usd",
    "failures",
)
_LEADERS = 10  # of the report
_FASTEST_FIRST = "avg_duration_seconds"


def report(document: Document, now: float, attention: "list[Row]") -> "Row":
    """Return the JSON report: `generated_at`, `version`, `attention`, `system`, `tokens`, `main_conversation`, `total`, `leaderboard`, `agents`."""
    return {
        "generated_at": format_timestamp(now),
        "version": document.head["version"],
        "attention": attention,
        "system": system_metrics(document),
        "tokens": token_summary(document),
        "main_conversation": main_conversation(document),
        "total": total(document),
        "leaderboard": leaderboard(document, top_n=_LEADERS),
        "agents": {row["agent_file"]: row for row in agent_states(document, now)},
    }


def next_change(document: Document, now: float) -> float:
    """Return the next moment at which an agent may be let through, or refused, without any event."""
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

    Beside the document's keys: `agent_file`, `agent_name`, `state`, `in_flight` (running tasks), `success_rate`
    (0 to 1, null without a task), the keys of `costs`, `permit` and `override` (null where none is in force). `status` and
    `blacklisted_until` are those of `now`; the status is `forced_open` under such an order, and `state` that of the breaker
    below it. With `usage_incomplete` runs, more than none, tokens are lower bounds.
    """
    entry = document.agents[agent]
    circuit = circuit_of(entry)
    state, until = breaker.view(circuit, now, permission.settings_of_agent(document, agent))
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
        "success_rate": _rate(metrics["tasks_successful"], metrics["tasks_total"], metrics["tasks_cancelled"]),
        "usage_incomplete": entry["tallies"]["usage_incomplete"],
        **costs(entry),
    }


def costs(*entries: "Row") -> "Row":
    """Return what the tokens of agents' entries cost by list prices.

    `cost_usd` (null where no token has a price), `unpriced_tokens` (if there are any, the cost is a lower bound), and
    `unpriced_models`, whose tokens these are: full ids where they are known.
    """
    uses = [use for entry in entries for use in entry["token_usage"].values()]
    return {**cost_of(*uses), "unpriced_models": list(unpriced_models(*entries))}


def main_conversation(document: Document) -> "Row":
    """Return what main conversations have used, in the shape of an agent's tokens.

    `since` (the first moment that counts, null before any), `token_usage` by family, `models` by full id, `total`,
    `usage_incomplete` (turns without their final usage), and the keys of `costs`.
    """
    counted = document.main_conversation
    usage = {model: new_main_entry() for model in names.REPORTED_MODELS}
    for model, use in counted["models"].items():
        family = names.model_family(model)
        usage[family] = names.added_tokens(usage.get(family, {}), use)
    entry = {**counted, "token_usage": usage}
    return {**entry, "total": sum(use["total"] for use in usage.values()), **costs(entry)}


def total(document: Document) -> "Row":
    """Return the `tokens` of all agents and main conversations, and the keys of `costs`."""
    entries = [*document.agents.values(), main_conversation(document)]
    tokens = sum(use["total"] for entry in entries for use in entry["token_usage"].values())
    return {"tokens": tokens, **costs(*entries)}


def unpriced_models(*entries: "Row") -> "dict[str, int]":
    """Return the models of the tokens in agents' entries that have no price, and how many these are."""
    unpriced: dict[str, int] = {}
    for entry in entries:
        ids = {name: number for name, use in entry["models"].items() if (number := _unpriced(use))}
        named = {name: number for name, use in entry["token_usage"].items() if (number := _unpriced(use))}
        if sum(named.values()) > sum(ids.values()):  # some have no full id
            families = set(map(names.model_family, ids))
            ids |= {name: number for name, number in named.items() if name not in families}
        for name, number in ids.items():
            unpriced[name] = unpriced.get(name, 0) + number
    return dict(sorted(unpriced.items()))


def cost_of(*uses: "Row") -> "Row":
    """Return the `cost_usd` and the `unpriced_tokens` of entries of a `token_usage`."""
    is_priced = any(use.get(names.PRICED) for use in uses)
    micro_dollars = sum(use.get(names.COST, 0) for use in uses)
    return {
        "cost_usd": micro_dollars / MICRO_DOLLARS if is_priced else None,
        "unpriced_tokens": sum(map(_unpriced, uses)),
    }


def _unpriced(use: "Row") -> int:
    number: int = max(0, use["total"] - use.get(names.PRICED, 0))
    return number


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
    return sorted(rows, key=lambda row: (-(row[metric] or 0), row["agent_file"]))[:top_n]


def token_summary(document: Document) -> "dict[str, Row]":
    """Return tokens by model: haiku, sonnet, opus, and every other model seen.

    `total`, `count` (of tasks), `measured` (those whose tokens are known; null where an older file lacks it), `avg` (of
    measured tasks, null without any), tokens by type (`cache_write_1h` only where it is known), `cost_usd`, `unpriced_tokens`
    and `unpriced_models` as in `costs`, and `usage_incomplete`: the runs without their final usage of
    all agents that have used the model. Where there are any the tokens are lower bounds.
    """
    numbers = ("total", "count", "measured", *names.USAGE_KEYS)
    summary: dict[str, Row] = {model: _no_tokens() for model in names.REPORTED_MODELS}
    for entry in document.agents.values():
        for model, tokens in entry["token_usage"].items():
            row = summary.setdefault(model, _no_tokens())
            for number in numbers:
                if number in tokens:
                    row[number] = _sum_if_known(row.get(number, 0), tokens[number])
            if tokens["count"] or tokens["total"]:
                row["usage_incomplete"] += entry["tallies"]["usage_incomplete"]
    unpriced = unpriced_models(*document.agents.values())
    for model, row in summary.items():
        tasks = row["count"] if row["measured"] is None else row["measured"]
        row["avg"] = row["total"] / tasks if tasks else None
        row.update(cost_of(row))
        del row[names.COST], row[names.PRICED]
        row["unpriced_models"] = [name for name in unpriced if row["unpriced_tokens"] and _counts_as(name, model)]
    return summary


def _counts_as(model: str, name: str) -> bool:
    return name in (model, names.model_family(model))


def is_unmeasured(*uses: "Row") -> bool:
    """Tell whether the tokens of all `uses` are unknown: entries of a `token_usage` or of its summary."""
    return not any(use["total"] or use["measured"] for use in uses)


def _sum_if_known(one: "int | None", other: "int | None") -> "int | None":
    return None if one is None or other is None else one + other


def _no_tokens() -> "Row":
    none = {"total": 0, "count": 0, "measured": 0, "avg": None}
    return {**none, **dict.fromkeys((*names.TOKEN_TYPES, names.COST, names.PRICED), 0), "usage_incomplete": 0}


def system_metrics(document: Document) -> "Row":
    """Return the system's counters, `success_rate` (0 to 1, null without a task), and the keys of `costs` over all agents."""
    metrics = document.head["metrics"]
    counted = {**metrics, "total_agents": len(document.agents)}
    rate = _rate(metrics["successful"], metrics["total_requests"], metrics["cancelled"])
    return {**counted, "success_rate": rate, **costs(*document.agents.values())}


def timeout_seconds(document: Document) -> float:
    """Return after how many seconds a running task is overdue."""
    return Settings.of(document.config).timeout_seconds


def running_tasks(document: Document, now: float, is_seen_gone: "Callable[[Row | None], bool]") -> "list[Row]":
    """Return the tasks in flight, the longest running first.

    Each has `run_id`, `running_seconds`, `is_overdue` (`timeout_seconds`), and `is_gone`: by `is_seen_gone(owner)` its process has
    ended, and the next event of the home will record it as lost.
    """
    timeout = timeout_seconds(document)
    rows = []
    for run_id, task in document.head["in_flight"].items():
        seconds = max(0.0, now - parse_timestamp(task["started"]))
        row = {"run_id": run_id, **task, "running_seconds": round(seconds, 3), "is_overdue": seconds > timeout}
        rows.append({**row, "is_gone": is_seen_gone(task.get("owner"))})
    return sorted(rows, key=lambda row: -row["running_seconds"])


def _ranked(agent: str, entry: "Row") -> "Row":
    metrics = entry["metrics"]
    tokens = sum(tokens["total"] for tokens in entry["token_usage"].values())
    return {
        "agent_file": agent,
        "agent_name": agent_name(agent, entry),
        **entry["metrics"],
        "tokens_total": tokens,
        "is_unmeasured": is_unmeasured(*entry["token_usage"].values()),
        **costs(entry),
        "usage_incomplete": entry["tallies"]["usage_incomplete"],
        "failures": entry["failures"],
        "success_rate": _rate(metrics["tasks_successful"], metrics["tasks_total"], metrics["tasks_cancelled"]),
    }


def _rate(successful: int, ended: int, cancelled: int) -> "float | None":
    """Return the share of the tasks that have ended, and were not cancelled, which succeeded."""
    judged = ended - cancelled
    return successful / judged if judged > 0 else None
