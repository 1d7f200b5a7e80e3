"""`otel-tracker agents`: lists, removes, renames and merges agents."""

import time

from otel_tracker import names
from otel_tracker.cli.stores import store_of
from otel_tracker.cli.terminal import plain, print_json, print_table
from otel_tracker.errors import InvalidValueError, command
from otel_tracker.integrations.agent_files import has_file
from otel_tracker.reporting import summary, wording
from otel_tracker.state import lookup
from otel_tracker.state.event import checked_agent, happened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Event, Row
    from otel_tracker.storage.port import Port


_FILES = {True: "there", False: "gone", None: "-"}


def agents_list(options: "Namespace") -> int:
    """Print every agent: its key, its name, whether its file is there, and the keys that it had before."""
    store = store_of(options)
    document = store.read()
    rows: list[Row] = [
        {
            "agent_file": key,
            "agent_name": summary.agent_name(key, entry),
            "has_file": has_file(key, store.home),
            "former_keys": sorted(lookup.all_keys(document, key) - {key}),
            "tasks_total": entry["metrics"]["tasks_total"],
            "last_task_timestamp": entry["metrics"]["last_task_timestamp"],
        }
        for key, entry in document.agents.items()
    ]
    if options.format == "json":
        print_json(rows)
        return 0
    shown = [
        (
            row["agent_file"],
            row["agent_name"],
            _FILES[row["has_file"]],
            ", ".join(row["former_keys"]) or "-",
            row["tasks_total"],
            wording.moment(row["last_task_timestamp"]),
        )
        for row in rows
    ]
    print_table(("Agent", "Name", "File", "Before", "Tasks", "Last task (UTC)"), shown, "llllrr")
    return 0


def agents_remove(options: "Namespace") -> int:
    """Remove an agent, after a backup."""
    store = store_of(options)

    def removal(document: "Document") -> "Event":
        return happened(names.AGENT_REMOVED, time.time(), agent=lookup.known_key(document, options.agent, store.home))

    event = _recorded(store, removal)
    print(f"removed {plain(event['agent'])}; its tasks stay in the history and in the system's counters")
    return 0


def agents_rename(options: "Namespace") -> int:
    """Give an agent another key, after a backup."""
    store, new = store_of(options), checked_agent(options.new)

    def renaming(document: "Document") -> "Event":
        old = lookup.known_key(document, options.agent, store.home)
        if new in document.agents:
            merge = command("agents merge", old, new, home=store.home.option)
            raise InvalidValueError("a new key", new, f"one that no agent has (to make the two one: {merge})")
        return happened(names.AGENT_RENAMED, time.time(), agent=old, to=new)

    event = _recorded(store, renaming)
    print(
        f"{plain(event['agent'])} is {plain(new)} now; tasks that are still recorded under the old key count for it, too"
    )
    return 0


def agents_merge(options: "Namespace") -> int:
    """Add an agent's counts to those of another one, which keeps its breaker and settings, after a backup."""
    store = store_of(options)

    def merging(document: "Document") -> "Event":
        agent, into = (lookup.known_key(document, text, store.home) for text in (options.agent, options.into))
        if agent == into:
            raise InvalidValueError("the agent to merge into", options.into, f"another one than {agent}")
        return happened(names.AGENT_RENAMED, time.time(), agent=agent, to=into)

    event = _recorded(store, merging)
    agent, into = plain(event["agent"]), plain(event["to"])
    print(f"{agent} is part of {into} now; tasks that are still recorded under the old key count for it, too")
    return 0


def _recorded(store: "Port", make_event: "Callable[[Document], Event]") -> "Event":
    """Record the event that `make_event` makes of the present state, after a backup, and return it."""
    make_event(store.read())  # raises before a backup is made
    store.back_up()
    return store.record_found(lambda document: [make_event(document)])[0]
