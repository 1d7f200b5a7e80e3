"""The commands that read a home, and the small ones that change it."""

import sys
import time

from otel_tracker import names
from otel_tracker.cli.terminal import (
    as_json,
    is_standard_output,
    plain,
    print_data,
    print_json,
    print_json_list,
    print_table,
    row_state,
    shown_state,
)
from otel_tracker.errors import command
from otel_tracker.integrations.agent_files import has_file
from otel_tracker.reporting import markdown, summary, wording
from otel_tracker.runtime import owner
from otel_tracker.runtime.environment import chosen_home
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.storage import past
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from typing import Any

    from otel_tracker.state.document import Document
    from otel_tracker.tracking.metric_tracker import MetricTracker

WATCH_SECONDS = 2.0
HISTORY_ENTRIES = 20


def report(options: "Namespace") -> int:
    """Print the report, or write it to a file."""
    document, now = store_of(options).read(), time.time()
    is_json = options.format == "json"
    text = as_json(summary.report(document, now)) if is_json else markdown.report(document, now)
    if not is_standard_output(options.output):
        Files().export(options.output, text.encode())
        print(f"wrote {plain(options.output)}")
    elif is_json:
        print_data(text)
    else:
        sys.stdout.write(text)
    return 0


def leaderboard(options: "Namespace") -> int:
    """Print agents by a metric."""
    rows = summary.leaderboard(store_of(options).read(), options.metric, options.number)
    if options.format == "json":
        print_json(rows)
        return 0
    shown = [
        (
            rank,
            row["agent_file"],
            row["agent_name"],
            _measure(options.metric, row),
            row["tasks_total"],
            wording.percent(row["success_rate"]),
        )
        for rank, row in enumerate(rows, 1)
    ]
    print_table(("#", "Agent", "Name", options.metric, "Tasks", "Success"), shown, "rllrrr")
    return 0


def agent(options: "Namespace") -> int:
    """Print what is known of one agent."""
    row = tracker_of(options).get_agent_metrics(options.agent)
    if options.format == "json":
        print_json(row)
        return 0
    print(f"{plain(row['agent_file'])} ({plain(row['agent_name'])})")
    print(f"breaker: {shown_state(row)}")
    metrics = row["metrics"]
    print(
        f"tasks: {metrics['tasks_total']:,}, {metrics['tasks_successful']:,} successful "
        f"({wording.percent(row['success_rate'])}), {metrics['tasks_failed']:,} failed, "
        f"{metrics['tasks_cancelled']:,} cancelled, {row['in_flight']:,} running"
    )
    average, total = metrics["avg_duration_seconds"], metrics["total_duration_seconds"]
    print(f"duration: {wording.seconds(average)} on average, {wording.seconds(total)} in all")
    first, last = metrics["first_task_timestamp"], metrics["last_task_timestamp"]
    print(f"first task: {wording.moment(first)} UTC, last task: {wording.moment(last)} UTC\n")
    tokens = [
        (
            model,
            wording.shown_tokens(use["total"], row["usage_incomplete"] and use["count"], use),
            use["last"],
            use["count"],
            use["measured"],
            *(None if summary.is_unmeasured(use) else use.get(kind) for kind in names.TOKEN_KEYS),
        )
        for model, use in row["token_usage"].items()
    ]
    print_table(
        ("Model", "Tokens", "Last", "Tasks", "Measured", *names.TOKEN_KEYS),
        tokens,
        "lrrrr" + "r" * len(names.TOKEN_KEYS),
    )
    _say_what_is_missing(row["usage_incomplete"])
    return 0


def tokens(options: "Namespace") -> int:
    """Print tokens by model."""
    document = store_of(options).read()
    if options.format == "json":
        print_json(summary.token_summary(document))
        return 0
    print_table(markdown.TOKENS_BY_MODEL, markdown.tokens_by_model(document), "lrrrr")
    _say_what_is_missing(sum(agent["tallies"]["usage_incomplete"] for agent in document.agents.values()))
    return 0


def health(options: "Namespace") -> int:
    """Say whether a task of an agent would be let through: status 0, else 1."""
    from otel_tracker.cli.health import health as ask

    return ask(options.agent, options.home, options.format)


def history(options: "Namespace") -> int:
    """Print the newest entries of the history, newest first; all since a moment if only that is given."""
    number = options.number if options.number is not None or options.since is not None else HISTORY_ENTRIES
    rows = past.newest_first(store_of(options), options.agent, number, options.since or 0.0)
    if options.format == "json":
        print_json_list(rows)
        return 0
    shown = (
        (
            _as_far_as_possible(wording.moment, row.get("timestamp")),
            row.get("agent"),
            str(row.get("action", "")).removeprefix("task_").replace("_", " "),
            row.get("model"),
            _tokens_of(row),
            _as_far_as_possible(wording.seconds, row.get("duration_seconds")),
            row.get("task_id"),
            _cut(_why(row)),
        )
        for row in rows
    )
    print_table(("When (UTC)", "Agent", "What", "Model", "Tokens", "Duration", "Task", "Why"), shown, "llllrrll")
    return 0


def status(options: "Namespace") -> int:
    """Print all agents: breaker, running tasks, last task; with --watch again and again."""
    store = store_of(options)
    while True:
        document, now = store.read(), time.time()
        if options.watch and sys.stdout.isatty() and options.format == "table":
            print("\033[H\033[2J", end="")
        _print_status(document, now, options.format, store.home)
        if not options.watch:
            return 0
        sys.stdout.flush()
        time.sleep(WATCH_SECONDS)


def reset(options: "Namespace") -> int:
    """Close an agent's breaker and forget its failures."""
    tracker = tracker_of(options)
    tracker.reset_agent_failures(options.agent)
    row = tracker.get_agent_metrics(options.agent)
    agent, override = row["agent_file"], row["override"]
    lift = command("breaker", agent, "auto", home=store_of(options).home.option)
    order = f"; still {plain(wording.shown_override(override))} (lift that with: {plain(lift)})" if override else ""
    print(f"{plain(agent)}: healthy, 0 failures{order}")
    return 0


def store_of(options: "Namespace") -> Store:
    """Return the store of the home that a command line names."""
    return Store(Home(chosen_home(options.home)))


def tracker_of(options: "Namespace") -> "MetricTracker":
    """Return the tracker of the home that a command line names."""
    from otel_tracker.tracking.metric_tracker import MetricTracker

    return MetricTracker(Home(chosen_home(options.home)).named)


def _print_status(document: "Document", now: float, form: str, home: Home) -> None:
    agents, running = summary.agent_states(document, now), summary.running_tasks(document, now, owner.is_seen_gone)
    agents = [{**row, "has_file": has_file(row["agent_file"], home)} for row in agents]
    if form == "json":
        print_json({"generated_at": format_timestamp(now), "agents": agents, "running": running})
        return
    if not agents:
        print(f"no agents yet; register those of the home with: {plain(command('init', home=home.option))}")
        return
    has_files = any(row["has_file"] for row in agents)  # else keys are mere names here
    shown = [
        (
            row["agent_file"],
            row["status"],
            row["failures"],
            "-" if row["blacklisted_until"] is None else wording.left(row["blacklisted_until"], now),
            wording.shown_permit(row["permit"]) if row["permit"] else "-",
            wording.shown_override(row["override"]) if row["override"] else "-",
            row["in_flight"] or "-",
            row["metrics"]["tasks_total"],
            wording.percent(row["success_rate"]),
            wording.moment(row["metrics"]["last_task_timestamp"]),
            "file gone" if has_files and row["has_file"] is False else "",
        )
        for row in agents
    ]
    headings = (
        "Agent",
        "Breaker",
        "Failures",
        "Cooldown left",
        "Permit",
        "Override",
        "Running",
        "Tasks",
        "Success",
        "Last task (UTC)",
        "",
    )
    print_table(headings, shown, "llrrllrrrrl", [row_state(row) for row in agents])
    if running:
        print()
        _print_running(running, summary.timeout_seconds(document))


def _print_running(running: "list[dict[str, Any]]", timeout: float) -> None:
    """Print the running tasks; those that are overdue or gone have the colour of a breaker that is not closed."""
    overdue = f"overdue (more than {wording.seconds(timeout)})"
    shown = [
        (
            task["agent"],
            task["task_id"],
            task["model"],
            wording.moment(task["started"]),
            wording.seconds(task["running_seconds"]),
            "its process is gone" if task["is_gone"] else overdue if task["is_overdue"] else "",
        )
        for task in running
    ]
    states = [
        names.OPEN if task["is_gone"] else names.HALF_OPEN if task["is_overdue"] else names.CLOSED for task in running
    ]
    print_table(("Running now", "Task", "Model", "Since (UTC)", "For", ""), shown, "llllrl", states)


def _cut(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _why(row: "dict[str, Any]") -> str:
    """Return why something has happened, as far as the event says."""
    if row.get("action") == names.AGENT_RENAMED:
        return f"to {row.get('to')}"
    if row.get("action") == names.BREAKER_OVERRIDE:
        return str(_as_far_as_possible(wording.shown_override, row.get("override") or None) or "lifted")
    said = [str(row.get("error") or row.get("reason") or "")]
    if row.get("environment_error"):
        said = [f"{row['environment_error']}: {said[0]}"]
    if row.get("suspect"):
        said.append("at once and without a tool: the breaker ignores it")
    if row.get("attempts"):
        said.append(f"{row['attempts']} attempts")
    if row.get("fallback_for"):
        said.append(f"for {row['fallback_for']}")
    return "; ".join(part for part in said if part)


def _as_far_as_possible(show: "Callable[[Any], str]", value: "Any") -> "Any":
    """Return a value of an entry of the history for people; as it is if another program wrote it in a form of its own."""
    try:
        return None if value is None else show(value)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
        return value


def _tokens_of(row: "dict[str, Any]") -> object:
    """Return the tokens of an entry of the history, which another program may have written."""
    tokens = row.get("tokens_used")
    if not isinstance(tokens, int):
        return tokens
    return f"~ {tokens:,}" if row.get("estimated") else wording.at_least(tokens, row.get("usage_incomplete"))


def _say_what_is_missing(incomplete: int) -> None:
    if incomplete:
        print(f"\n{wording.lower_bound(incomplete)}")


def _measure(metric: str, row: "dict[str, Any]") -> str:
    if metric.endswith("_seconds"):
        return wording.seconds(row[metric])
    if metric != "tokens_total":
        return plain(row[metric])
    return "-" if row["is_unmeasured"] else plain(wording.at_least(row[metric], row["usage_incomplete"]))
