"""`otel-tracker status`: all agents, and the tasks that are running."""

import sys
import time

from otel_tracker import names
from otel_tracker.cli.stores import store_of
from otel_tracker.cli.terminal import (
    plain,
    print_json,
    print_table,
    row_state,
)
from otel_tracker.errors import command
from otel_tracker.integrations.agent_files import has_file
from otel_tracker.reporting import summary, wording
from otel_tracker.runtime import owner
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.storage.home import Home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Row

WATCH_SECONDS = 2.0


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


def _print_running(running: "list[Row]", timeout: float) -> None:
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
