"""`otel-tracker status`: what needs attention, the tasks that are running, and all agents, those in trouble first."""

import shutil
import sys
import time

from otel_tracker import names
from otel_tracker.cli.attention import attention_of, print_attention
from otel_tracker.cli.stores import store_of
from otel_tracker.cli.terminal import (
    bold,
    own_screen,
    plain,
    print_json,
    print_table,
    row_state,
)
from otel_tracker.errors import command
from otel_tracker.integrations import load_all
from otel_tracker.integrations.agent_files import has_file
from otel_tracker.reporting import summary, wording
from otel_tracker.runtime import owner
from otel_tracker.runtime.timestamps import format_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from otel_tracker.reporting.attention import Attention
    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Row
    from otel_tracker.storage.store import Store

WATCH_SECONDS = 2.0


def status(options: "Namespace") -> int:
    """Print the state of all agents; with --watch again and again, on a screen of its own in a terminal."""
    store = store_of(options)
    if not options.watch:
        show(store, options.format, is_whole=options.all)
        return 0
    with own_screen() as clear:
        while True:
            clear()
            show(store, options.format, is_whole=options.all)
            sys.stdout.flush()
            time.sleep(WATCH_SECONDS)


def show(store: "Store", form: str = "table", *, is_whole: bool) -> None:
    """Print the state of a home in a format; agents without a task only if it `is_whole`."""
    document, now = store.read(), time.time()
    items = attention_of(store, document, now)
    agents = [
        {**row, "has_file": has_file(row["agent_file"], store.home)} for row in summary.agent_states(document, now)
    ]
    running = summary.running_tasks(document, now, owner.is_seen_gone)
    if form == "json":
        of_attention = [item._asdict() for item in items]
        used = {"main_conversation": summary.main_conversation(document), "total": summary.total(document)}
        values = {"attention": of_attention, "agents": agents, "running": running, **used}
        print_json({"generated_at": format_timestamp(now), **values})
        return
    if agents:
        _print_status(document, items, agents, running, now, is_whole=is_whole)
    else:
        init = plain(command("init", home=store.home.option))
        print(f"no agents yet; register those of the home with: {init}")
        if document.main_conversation["models"]:
            _print_total(document, running)
    if not document.head["metrics"]["total_requests"]:
        for text in filter(None, (integration.waiting(store.home) for integration in load_all())):
            print(plain(text))


def _print_status(
    document: "Document",
    items: "list[Attention]",
    agents: "list[Row]",
    running: "list[Row]",
    now: float,
    *,
    is_whole: bool,
) -> None:
    print_attention(items)
    print()
    if running:
        _print_running(running, summary.timeout_seconds(document))
        print()
    ranks = {item.agent: rank for rank, item in reversed(list(enumerate(items)))}
    shown = [row for row in agents if is_whole or row["agent_file"] in ranks or _is_used(row)]
    _print_agents(sorted(shown, key=lambda row: ranks.get(row["agent_file"], len(ranks))), now)
    idle = len(agents) - len(shown)
    if idle:
        print(f"{wording.counted(idle, 'agent has', 'agents have')} not run a task yet (--all shows them)")
    _print_total(document, running)


def _print_total(document: "Document", running: "list[Row]") -> None:
    """Print what all agents and main conversations have done and used."""
    system, total, main = (
        summary.system_metrics(document),
        summary.total(document),
        summary.main_conversation(document),
    )
    tasks = wording.counted(system["total_requests"], "task", "tasks")
    rate, cost = wording.percent(system["success_rate"]), wording.cost(total)
    print(f"{bold('Total')}  {tasks}, {rate} successful, {len(running):,} running, {cost} by list prices")
    if main["total"]:
        share = wording.percent(wording.share(main, total))
        print(f"       {wording.cost(main)} of it ({share}) in the {wording.MAIN}")


def _is_used(row: "Row") -> bool:
    return bool(row["metrics"]["tasks_total"] or row["in_flight"] or row["state"] != names.CLOSED)


def _print_agents(agents: "list[Row]", now: float) -> None:
    has_files = any(row["has_file"] for row in agents)  # else keys are mere names here
    shown = [
        (
            row["agent_file"],
            row["status"],
            row["in_flight"] or "-",
            row["metrics"]["tasks_total"],
            wording.percent(row["success_rate"]),
            wording.cost(row, is_lower_bound=bool(row["usage_incomplete"])),
            wording.ago(row["metrics"]["last_task_timestamp"], now),
            "file gone" if has_files and row["has_file"] is False else "",
        )
        for row in agents
    ]
    print_table(
        ("Agent", "Breaker", "Now", "Tasks", "Success", "Cost", "Last", ""),
        shown,
        "llrrrrrl",
        [row_state(row) for row in agents],
        shutil.get_terminal_size().columns,
    )


def _print_running(running: "list[Row]", timeout: float) -> None:
    """Print the running tasks; those that are overdue or gone have the colour of a breaker that is not closed."""
    overdue = f"more than {wording.seconds(timeout)}"
    shown = [
        (
            task["agent"],
            task["task_id"],
            task["model"],
            wording.seconds(task["running_seconds"]),
            "its process is gone" if task["is_gone"] else overdue if task["is_overdue"] else "",
        )
        for task in running
    ]
    states = [
        names.OPEN if task["is_gone"] else names.HALF_OPEN if task["is_overdue"] else names.CLOSED for task in running
    ]
    headings = ("Running now", "Task", "Model", "For", "")
    print_table(headings, shown, "lllrl", states, shutil.get_terminal_size().columns)
