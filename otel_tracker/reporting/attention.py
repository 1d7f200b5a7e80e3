"""What needs a person's attention, the worst first: shown before everything else wherever people look. Pure."""

from collections import Counter
from typing import NamedTuple

from otel_tracker import names
from otel_tracker.errors import command
from otel_tracker.reporting import summary, wording
from otel_tracker.reporting.finding import OK, WRONG
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state.prices import MICRO_DOLLARS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from otel_tracker.reporting.finding import Finding
    from otel_tracker.reporting.recent import Recent, RecentAgent
    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Row
    from otel_tracker.storage.home import Home

CRITICAL, WARNING, INFO = "critical", "warning", "info"
_SEVERITIES = (CRITICAL, WARNING, INFO)
_FLAPPING_RUNS, _FLAPPING_SHARE = 10, 0.5  # at least so many runs, of which at least this share has failed
_COST_MULTIPLE, _COST_DAYS, _LEAST_COST = 3.0, 3, 1_000_000  # micro-dollars; less is nobody's worry
_SHOWN_NAMES = 3
_ERROR_CHARACTERS = 80
_FAILED = (names.FAILURE, names.LOST)


class Attention(NamedTuple):
    """One thing that needs attention."""

    severity: str
    """`critical` (broken now), `warning` (look here) or `info` (worth knowing)."""
    agent: "str | None"
    """The key of the agent that it is about; None for the home as a whole."""
    text: str
    """What it is, in a sentence without its subject if that is an agent."""
    since: "str | None" = None
    """The timestamp from which on it is so, where that is known."""
    remedy: "str | None" = None
    """The command, or the change by hand, that helps."""


def attention(
    document: "Document",
    now: float,
    home: "Home",
    *,
    recent: "Recent",
    running: "Sequence[Row]",
    findings: "Iterable[Finding]" = (),
    without_file: "Collection[str]" = (),
) -> "list[Attention]":
    """Return what needs attention in the state of a home, the worst first.

    `recent` are the runs of the last days, `running` the tasks in flight (summary.running_tasks), `findings` those of the
    surroundings that were looked at, and `without_file` the keys of agents whose file is gone.
    """
    items = [
        *_of_findings(findings),
        *(item for agent in document.agents for item in _of_agent(document, agent, now, home, recent)),
        *_of_running(running, summary.timeout_seconds(document), home),
        *_of_usage(recent),
        *_of_files(without_file, home),
    ]
    return sorted(items, key=lambda item: _SEVERITIES.index(item.severity))


def _of_findings(findings: "Iterable[Finding]") -> "Iterator[Attention]":
    for finding in findings:
        if finding.level != OK:
            severity = CRITICAL if finding.level == WRONG else INFO
            yield Attention(severity, None, f"{finding.topic}: {finding.text}", None, finding.remedy)


def _of_agent(document: "Document", agent: str, now: float, home: "Home", recent: "Recent") -> "Iterator[Attention]":
    breaker = _of_breaker(document, summary.agent_state(document, agent, now), now, home)
    if breaker is not None:
        yield breaker
    days = recent.agents.get(agent)
    if days is not None:
        if breaker is None:
            yield from _of_flapping(agent, days, home)
        yield from _of_cost(agent, days, recent, home)


def _of_breaker(document: "Document", row: "Row", now: float, home: "Home") -> "Attention | None":
    agent, order = row["agent_file"], row["override"]
    reset = command("reset", agent, home=home.option)
    if order is not None:
        severity = WARNING if summary.is_forced(order) else INFO
        lifting = command("breaker", agent, "auto", home=home.option)
        return Attention(severity, agent, f"under an order: {wording.shown_override(order)}", None, lifting)
    if row["state"] == names.CLOSED:
        return None
    since, failures = row["last_failure"], names.failures_in_a_row(row["failures"])
    if row["state"] == names.OPEN:
        left = wording.left(row["blacklisted_until"], now)
        text = f"blacklisted for {left} more: {failures}{_errors(document, agent, row['failures'])}"
        return Attention(CRITICAL, agent, text, since, reset)
    if row["permit"]:
        return Attention(WARNING, agent, f"a probe is running after {failures}", row["permit"]["granted"], reset)
    return Attention(WARNING, agent, f"its cooldown is over after {failures}: the next run decides", since, reset)


def _errors(document: "Document", agent: str, failures: int) -> str:
    """Return the most frequent error of an agent's last failures in words, if the history still has them."""
    failed = (
        entry
        for entry in reversed(document.history.entries())
        if entry.get("agent") == agent and names.OUTCOMES.get(str(entry.get("action"))) in _FAILED
    )
    texts = [str(entry["error"]) for entry, _ in zip(failed, range(failures), strict=False) if entry.get("error")]
    if not texts:
        return ""
    text, number = Counter(texts).most_common(1)[0]
    return f', {number} x "{wording.cut(text, _ERROR_CHARACTERS)}"'


def _of_flapping(agent: str, days: "RecentAgent", home: "Home") -> "Iterator[Attention]":
    """Yield a warning of an agent that fails often and is never blacklisted, since no failures in a row are enough."""
    judged = [run for run in days.runs if run.outcome != names.CANCELLED]
    failed = [run for run in judged if run.outcome in _FAILED]
    if len(judged) >= _FLAPPING_RUNS and len(failed) >= _FLAPPING_SHARE * len(judged):
        longest = max(map(len, "".join("x" if run.outcome in _FAILED else " " for run in judged).split()))
        text = f"failed {len(failed)} of its last {len(judged)} runs, never more than {longest} in a row"
        history = command("history", options=("--agent", agent), home=home.option)
        yield Attention(WARNING, agent, text, failed[-1].timestamp, history)


def _of_cost(agent: str, days: "RecentAgent", recent: "Recent", home: "Home") -> "Iterator[Attention]":
    """Yield a warning of an agent that costs far more today than on the days of its week on which it cost anything."""
    today = days.costs.get(recent.today, 0)
    earlier = [cost for day, cost in days.costs.items() if day != recent.today and cost > 0]
    if len(earlier) < _COST_DAYS or today < _LEAST_COST:
        return
    usual = sum(earlier) / len(earlier)
    if today >= _COST_MULTIPLE * usual:
        text = (
            f"{wording.dollars(today / MICRO_DOLLARS)} today, {today / usual:.1f} times "
            f"its week's daily {wording.dollars(usual / MICRO_DOLLARS)}"
        )
        history = command("history", options=("--agent", agent, "--since", "today"), home=home.option)
        yield Attention(WARNING, agent, text, None, history)


def _of_running(running: "Sequence[Row]", timeout: float, home: "Home") -> "Iterator[Attention]":
    status = command("status", home=home.option)
    for agent in dict.fromkeys(task["agent"] for task in running):
        gone = [task for task in running if task["agent"] == agent and task["is_gone"]]
        overdue = [task for task in running if task["agent"] == agent and task["is_overdue"] and not task["is_gone"]]
        if gone:
            tasks = wording.counted(len(gone), "running task has", "running tasks have")
            text = f"{tasks} lost the process: the next event records that"
            yield Attention(WARNING, agent, text, gone[0]["started"], status)
        if overdue:
            tasks = wording.counted(len(overdue), "task runs", "tasks run")
            longest = wording.seconds(overdue[0]["running_seconds"])
            text = f"{tasks} for longer than {wording.seconds(timeout)}, the longest for {longest}"
            yield Attention(WARNING, agent, text, overdue[0]["started"], status)


def _of_usage(recent: "Recent") -> "Iterator[Attention]":
    since = None if recent.window.since is None else format_timestamp(recent.window.since)
    if recent.incomplete_runs:
        runs = wording.counted(recent.incomplete_runs, "run", "runs")
        yield Attention(INFO, None, f"the final usage of {runs} is missing: tokens and costs are at least", since)
    if recent.unpriced:
        models = sorted(recent.unpriced, key=lambda model: (-recent.unpriced[model], model))
        tokens = wording.counted(sum(recent.unpriced.values()), "token has", "tokens have")
        text = f"{tokens} no price, of {_listed(models)}: costs are at least"
        yield Attention(INFO, None, text, since, "put the price into config/prices.json of the home (docs/prices.md)")


def _of_files(without_file: "Collection[str]", home: "Home") -> "Iterator[Attention]":
    if without_file:
        agents = wording.counted(len(without_file), "agent has", "agents have")
        text = f"{agents} no file any more: {_listed(sorted(without_file))}"
        yield Attention(INFO, None, text, None, command("agents list", home=home.option))


def _listed(texts: "Sequence[str]") -> str:
    shown, more = ", ".join(texts[:_SHOWN_NAMES]), len(texts) - _SHOWN_NAMES
    return f"{shown} and {more:,} more" if more > 0 else shown
