"""The arguments of every command, and the function that runs it."""

import argparse
import time
from functools import partial

from otel_tracker import integrations
from otel_tracker.cli.argument_values import duration, keys, moment, number, port
from otel_tracker.cli.guide import examples
from otel_tracker.reporting.choices import FORMATS, KEYS, WHEN
from otel_tracker.reporting.summary import DEFAULT_METRIC, METRICS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from otel_tracker.reporting.aggregate import Comparison
    from otel_tracker.reporting.window import Window
    from otel_tracker.storage.port import Port

    Sums = Callable[[argparse.Namespace, Window, float], Comparison]

SHELLS = ("bash", "zsh", "fish")
ORDERS = {
    "open": "refuse every task",
    "close": "reset it, and lift any order",
    "disable": "let every task through",
    "auto": "lift the order",
}


def add_commands(commands: "Any") -> None:
    """Add all commands to a parser's sub-commands."""
    _add_reading_commands(commands)
    _add_changing_commands(commands)


def _add_reading_commands(commands: "Any") -> None:
    report = _add(
        commands,
        "report",
        "the whole report, blacklisted agents first",
        formats=("markdown", "json", "html"),
        function="reports.report",
    )
    report.add_argument(
        "-o", "--output", metavar="FILE", help="write to FILE, which may be a pipe, a device, or - for standard output"
    )
    _add_window(report)

    _add_window(_add(commands, "usage", "runs, tokens and costs of a window of time", formats=FORMATS))

    leaderboard = _add(
        commands, "leaderboard", "agents by a metric", formats=("table", "json"), function="reports.leaderboard"
    )
    leaderboard.add_argument("-m", "--metric", metavar="METRIC", default=DEFAULT_METRIC, help=", ".join(METRICS))
    leaderboard.add_argument("-n", "--number", type=number, default=10, help="agents to show (10)")
    _add_window(leaderboard)

    agent = _add(commands, "agent", "one agent", formats=("table", "json"), function="reports.agent")
    _add_agent(agent)

    tokens = _add(commands, "tokens", "tokens by model", formats=("table", "json"), function="reports.tokens")
    _add_window(tokens)

    health = _add(
        commands,
        "health",
        "would a task of AGENT be let through? exit 0: yes, 1: no, 3: can't tell",
        formats=("table", "json"),
    )
    _add_agent(health)

    history = _add(commands, "history", "what has happened, newest first", formats=("table", "json"))
    _add_agent(history, "--agent", help="only of this agent")
    history.add_argument("-n", "--number", type=number, help="entries to show (20; all with a window)")
    _add_window(history)

    status = _add(
        commands, "status", "what needs attention, what runs, and all agents in use", formats=("table", "json")
    )
    status.add_argument("--all", action="store_true", help="also the agents that have not run a task yet")
    status.add_argument("--watch", action="store_true", help="show it again every two seconds, until Ctrl-C")

    _add(
        commands, "top", "the fleet on a screen of its own, live: attention, running tasks, agents", function="top.top"
    )


def _add_window(parser: argparse.ArgumentParser, *, has_rows: bool = True) -> None:
    """Let a parser take a window of time, and by what the rows of its sums are."""
    parser.add_argument("--since", type=moment, metavar="WHEN", help=f"from then on: {WHEN}")
    parser.add_argument("--until", type=moment, metavar="WHEN", help="before then; a day, or a month, to its end")
    parser.add_argument("--utc", action="store_true", help="days are those of UTC, not of the local time (TZ)")
    if has_rows:
        parser.add_argument(
            "--by", type=keys, metavar="K[,K]", help=f"a row for each {', '.join(KEYS)}, or two of them"
        )


def _add_changing_commands(commands: "Any") -> None:
    _add(commands, "init", "make the home, register its agents, write the drop-in module")

    reset = _add(commands, "reset", "close the breaker of AGENT and forget its failures", function="breaker.reset")
    _add_agent(reset)

    agents = commands.add_parser("agents", help="which agents there are", description="Which agents there are.")
    actions = agents.add_subparsers(title="commands", metavar="COMMAND", dest="action", required=True, prog=agents.prog)
    _add(
        actions,
        "list",
        "all agents: names, files, former keys",
        formats=("table", "json"),
        function="agents.agents_list",
    )
    remove = _add(actions, "remove", "remove AGENT and its counts", function="agents.agents_remove")
    _add_agent(remove)
    rename = _add(actions, "rename", "give AGENT the key NEW, which no agent has", function="agents.agents_rename")
    _add_agent(rename)
    rename.add_argument("new", metavar="NEW")
    merge = _add(actions, "merge", "add the counts of AGENT to those of the agent INTO", function="agents.agents_merge")
    _add_agent(merge)
    _add_agent(merge, "into", metavar="INTO")

    backups = commands.add_parser("backups", help="copies of the document", description="Copies of the document.")
    actions = backups.add_subparsers(
        title="commands", metavar="COMMAND", dest="action", required=True, prog=backups.prog
    )
    _add(actions, "create", "make a backup now", function="backups.backups_create")
    _add(actions, "list", "all backups, oldest first", formats=("table", "json"), function="backups.backups_list")
    restore = _add(
        actions, "restore", "restore the backup NAME, and fold later events into it", function="backups.backups_restore"
    )
    restore.add_argument("backup", metavar="NAME", help="as `list` shows it")
    restore.add_argument("--discard-later", action="store_true", help="without later events")

    doctor = _add(
        commands, "doctor", "what is wrong with the home, and the commands that mend it", formats=("table", "json")
    )
    doctor.add_argument("--repair", action="store_true", help="mend it, after a backup")

    _add_breaker_commands(commands)
    _add_exporting_commands(commands)
    _add_exec(commands)
    _add_integrations(commands)

    completion = _add(
        commands,
        "completion",
        "the script that lets a shell complete command lines, keys of agents included",
        function="completion.completion",
    )
    completion.add_argument("shell", choices=SHELLS, help="whose script to print")

    demo = _add(commands, "demo", "record a small fleet's tasks in a home of its own, and report")
    demo.add_argument("--into", metavar="DIR", help="the demo's home, as --home; without either a new folder")


def _add_breaker_commands(commands: "Any") -> None:
    breaker = _add(commands, "breaker", "the breaker of AGENT, or an order to it", formats=("table", "json"))
    _add_agent(breaker)
    breaker.add_argument("order", nargs="?", choices=ORDERS, help="; ".join(f"{o}: {m}" for o, m in ORDERS.items()))
    breaker.add_argument("--for", dest="seconds", type=duration, metavar="TIME", help="2h, 30m, 90s, 7d; else for good")
    breaker.add_argument("--reason", metavar="TEXT", help="why, as status and refusals show it")

    config = _add(commands, "config", "the settings, or one of them, of all or of one agent", formats=("table", "json"))
    config.add_argument(
        "words", nargs="*", metavar="[get|set|unset] KEY [VALUE]", help="set checks VALUE, after a backup"
    )
    _add_agent(config, "--agent", help="those of this agent alone, which come before all others")


def _add_exporting_commands(commands: "Any") -> None:
    export = _add(
        commands,
        "export",
        "ended runs for other programs, a line for each model of one",
        formats=("csv", "jsonl"),
        function="usage.export",
    )
    _add_window(export, has_rows=False)

    spans = _add(commands, "spans", "export the spans of tasks that were recorded without one, to OTLP")
    spans.add_argument("--follow", action="store_true", help="and of those to come, until Ctrl-C")

    ui = _add(commands, "ui", "the page in the browser, until Ctrl-C", function="serve.ui")
    ui.add_argument("--port", type=port, help="the port to listen on (9464, else a free one)")

    serve = _add(
        commands, "serve", "the page at http://HOST:PORT/ and the metrics for Prometheus at /metrics, until Ctrl-C"
    )
    serve.add_argument("--no-page", action="store_true", help="serve the metrics alone")
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=port, default=9464, help="the port to listen on (9464); 0: a free one")
    serve.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[], help="a name that clients may ask by; *: any"
    )
    serve.add_argument("--certfile", metavar="FILE", help="serve HTTPS with this certificate")
    serve.add_argument("--keyfile", metavar="FILE", help="and this key")
    serve.add_argument("--client-cafile", metavar="FILE", help="the authorities that sign certificates of clients")
    serve.add_argument("--client-auth-required", action="store_true", help="refuse clients without a certificate")

    metrics = _add(commands, "metrics", "the metrics for Prometheus, as text", function="serve.metrics")
    metrics.add_argument(
        "-o", "--output", metavar="FILE", help="replace FILE by them, for node_exporter's textfile collector"
    )


def _add_exec(commands: "Any") -> None:
    execute = _add(
        commands, "exec", "run COMMAND as a task of AGENT; exit 75: its breaker refuses", function="execute.execute"
    )
    execute.usage = "otel-tracker exec AGENT [options] -- COMMAND ..."
    _add_agent(execute)
    execute.add_argument("--model", metavar="M", help="the model that does the work, as you call it")
    execute.add_argument("--timeout", type=duration, metavar="TIME", help="end each attempt after it: 90s, 30m, 2h, 45")
    execute.add_argument("--retries", type=number, metavar="N", help="repeat a failed command so often (0)")
    execute.add_argument(
        "--from-config", action="store_true", help="timeout, retries and fallbacks as the settings say"
    )
    _add_agent(execute, "--fallback", action="append", help="an agent that stands in; may be given repeatedly")
    execute.add_argument("--task-id", metavar="T", help="the task's id, as you call it")
    execute.add_argument("--no-gate", action="store_true", help="only record, without asking the breaker")
    execute.set_defaults(command_line=[])


def _add_integrations(commands: "Any") -> None:
    for name in integrations.NAMES:
        integration = integrations.load(name)
        group = commands.add_parser(name, help=integration.TITLE, description=f"{integration.TITLE}.")
        actions = group.add_subparsers(
            title="commands", metavar="COMMAND", dest="action", required=True, prog=group.prog
        )
        integration.add_commands(partial(_add_run, actions), partial(_add_sums, actions), _make_home)


def _add_sums(commands: "Any", name: str, description: str, sums: "Sums") -> argparse.ArgumentParser:
    """Add a command that prints what `sums` returns for a window of time."""

    def run(options: argparse.Namespace) -> int:
        from otel_tracker.cli import usage

        now = time.time()
        return usage.print_sums(sums(options, usage.window_of(options, now), now), options.format)

    parser = _with_formats(_add_run(commands, name, description, run), FORMATS)
    _add_window(parser)
    return parser


def _make_home(store: "Port") -> str:
    from otel_tracker.cli.init import make_home

    return make_home(store)


def _add(
    commands: "Any", name: str, description: str, formats: "tuple[str, ...]" = (), function: "str | None" = None
) -> argparse.ArgumentParser:
    parser = _add_run(commands, name, description, _loaded(function or f"{name}.{name}"))
    return _with_formats(parser, formats) if formats else parser


def _with_formats(parser: argparse.ArgumentParser, formats: "tuple[str, ...]") -> argparse.ArgumentParser:
    parser.add_argument("--format", choices=formats, default=formats[0], help=f"how to show it ({formats[0]})")
    return parser


def _add_run(
    commands: "Any", name: str, description: str, run: "Callable[[argparse.Namespace], int]"
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=description,
        description=f"{description[0].upper()}{description[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.epilog = examples(parser.prog)
    add_home(parser, default=argparse.SUPPRESS)
    parser.set_defaults(command=run)
    return parser


def _add_agent(parser: argparse.ArgumentParser, name: str = "agent", **known: "Any") -> None:
    """Let a parser take the key of an agent, which a shell can complete."""
    action: Any = parser.add_argument(name, **{"metavar": "AGENT", **known})
    action.completer = _keys_of_agents


def _keys_of_agents(prefix: str, parsed_args: argparse.Namespace, **_: object) -> "list[str]":
    """Return the keys of a home's agents that begin with a text, as argcomplete asks for them."""
    from otel_tracker.cli.completion import keys_of_agents

    return keys_of_agents(prefix, parsed_args.home)


def add_home(parser: argparse.ArgumentParser, default: "str | None") -> None:
    """Let a parser take the home that a command works on."""
    parser.add_argument(
        "--home", metavar="DIR", default=default, help="the home (OTEL_TRACKER_HOME, else ~/.claude/agents)"
    )


def _loaded(function: str) -> "Callable[[argparse.Namespace], int]":
    """Return the command's function, loaded when it is called: each command pays only for what it uses."""

    def run(options: argparse.Namespace) -> int:
        from importlib import import_module

        module, name = function.split(".")
        status: int = getattr(import_module(f"otel_tracker.cli.{module}"), name)(options)
        return status

    return run
