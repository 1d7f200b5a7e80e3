"""What becomes of agents that are removed, renamed, or merged into another one. Pure.

Two objects in a document's head remember that. `renamed` has the present keys of agents by their former ones: events that
processes still record under a former key count for the agent's present key. `removed` has the moments at which agents were
removed, by their keys: later events about their tasks count for no agent.
"""

from otel_tracker import names
from otel_tracker.runtime.limits import DURATION_BOUNDS
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state import agent_entry
from otel_tracker.state.circuit import seconds_of
from otel_tracker.state.schema import has_changed_settings, settings_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.state.shapes import Agent, Event, Head


_NO_GENERATION = -1  # of a breaker that no longer exists: a task that began under it moves no other one


def with_present_keys(head: "Head", event: "Event") -> "Event":
    """Return an event with the present keys of its agent and of the agent that its task stood in for.

    A registration keeps the key that it names, which is an agent of its own from then on.
    """
    renamed = head.get("renamed")
    if not renamed or event["action"] == names.AGENT_REGISTERED:
        return event
    keys = {part: renamed[event[part]] for part in ("agent", "fallback_for") if event.get(part) in renamed}
    return {**event, **keys} if keys else event


def is_about_removed(head: "Head", event: "Event") -> bool:
    """Tell whether an event is about a task that its agent began before it was removed."""
    removed, started = head.get("removed", {}).get(event["agent"]), event.get("started")
    if removed is None or (event["action"] == names.TASK_AMENDED and not event.get("run_id")):
        return False
    is_older = started is not None and parse_timestamp(started) < parse_timestamp(removed)
    return is_older or event["agent"] not in head["agents"]


def register(head: "Head", key: str, name: str) -> None:
    """Give an agent a name. If its key was another agent's former key, it is its own from now on."""
    _set(head, "renamed", {old: new for old, new in head.get("renamed", {}).items() if old != key})
    agent_entry.open_agent(head, key)["name"] = name


def remove(head: "Head", key: str, at: str, remembered_days: float) -> None:
    """Remove an agent, its running tasks and the keys that it had before; the system's counters stay.

    The removal is remembered for `remembered_days`, in which events about its tasks may still come.
    """
    is_settled = not has_changed_settings(head)
    head["agents"] = {other: agent for other, agent in head["agents"].items() if other != key}
    head["in_flight"] = {run: task for run, task in head["in_flight"].items() if task["agent"] != key}
    _set(head, "renamed", {old: new for old, new in head.get("renamed", {}).items() if new != key})
    oldest = parse_timestamp(at) - remembered_days * 86_400
    removed = {other: moment for other, moment in head.get("removed", {}).items() if parse_timestamp(moment) >= oldest}
    _set(head, "removed", {**removed, key: at})
    _settle(head, is_settled)


def rename(head: "Head", old: str, new: str) -> None:
    """Give an agent another key; its position among the others stays.

    If another agent has that key, the two become one: counters add up, and the other agent's breaker, settings and name hold.
    """
    agents = head["agents"]
    if old == new or old not in agents:
        return
    is_settled = not has_changed_settings(head)
    generation = None
    if new in agents:
        head["agents"] = {key: agent for key, agent in agents.items() if key != old}
        head["agents"][new] = _merged(agents[old], agents[new])
        generation = agents[old]["circuit"]["generation"], agents[new]["circuit"]["generation"]
    else:
        head["agents"] = {new if key == old else key: agent for key, agent in agents.items()}
    head["in_flight"] = {
        run: _moved(task, new, generation) if task["agent"] == old else task for run, task in head["in_flight"].items()
    }
    renamed = {key: new if present == old else present for key, present in head.get("renamed", {}).items()}
    _set(head, "renamed", {**{key: present for key, present in renamed.items() if key != new}, old: new})
    _settle(head, is_settled)


def _moved(task: "Agent", agent: str, generations: "tuple[int, int] | None") -> "Agent":
    """Return a running task under another agent; its end moves that agent's breaker if it would have moved the old one."""
    if generations is None:
        return {**task, "agent": agent}
    old, new = generations
    return {**task, "agent": agent, "generation": new if task.get("generation") == old else _NO_GENERATION}


def _merged(source: "Agent", target: "Agent") -> "Agent":
    """Return the entry of `target` with the counts of `source` added; the breaker and settings of `source` are dropped."""
    kept = {key: value for key, value in source.items() if key != "config"}
    merged = {**kept, **target}
    merged["metrics"] = _metrics(source["metrics"], target["metrics"])
    is_later = _last(source) > _last(target)
    for part in ("token_usage", "models"):
        uses = {**target[part]}
        for model, use in source[part].items():
            uses[model] = _use(use, uses[model], is_later=is_later) if model in uses else use
        merged[part] = uses
    merged["durations"] = _durations(source["durations"], target["durations"])
    merged["tallies"] = _sum(source["tallies"], target["tallies"])
    return merged


def _metrics(source: "Agent", target: "Agent") -> "Agent":
    metrics = _sum(source, target)
    for key, choose in (("first_task_timestamp", min), ("last_task_timestamp", max)):
        moments = [moment for moment in (source[key], target[key]) if moment is not None]
        metrics[key] = choose(moments, key=parse_timestamp, default=None)
    total = metrics["tasks_total"]
    metrics["avg_duration_seconds"] = round(metrics["total_duration_seconds"] / total, 6) if total else 0.0
    return metrics


def _use(source: "Agent", target: "Agent", *, is_later: bool) -> "Agent":
    first, second = (target, source) if is_later else (source, target)
    last = first["last"] if second["last"] is None else second["last"]
    is_known = None not in (source["measured"], target["measured"])
    return {**_sum(source, target), "last": last, **({} if is_known else {"measured": None})}


def _durations(source: "Agent", target: "Agent") -> "Agent":
    none = [0] * (len(DURATION_BOUNDS) + 1)
    counts: Agent = {
        part: [one + other for one, other in zip(source.get(part, none), target.get(part, none), strict=True)]
        for part in ("buckets", "moved")
        if part in source or part in target
    }
    return {**source, **target, **counts, "sum": round(source["sum"] + target["sum"], 6)}


def _sum(source: "Agent", target: "Agent") -> "Agent":
    """Return the sums of the numbers of two entries. A key that only one has stays; other values are those of `target`."""
    total = {**source, **target}
    for key in source.keys() & target.keys():
        if _is_number(source[key]) and _is_number(target[key]):
            total[key] = round(source[key] + target[key], 6)
    return total


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _last(agent: "Agent") -> float:
    return seconds_of(agent["metrics"]["last_task_timestamp"]) or 0.0


def _set(head: "Head", key: str, texts: "dict[str, str]") -> None:
    if texts:
        head[key] = texts
    else:
        head.pop(key, None)


def _settle(head: "Head", is_settled: bool) -> None:
    """Renew the digest of settings that were not changed by hand."""
    if is_settled:
        head["config_digest"] = settings_digest(head)
