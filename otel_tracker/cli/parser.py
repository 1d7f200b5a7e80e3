"""The arguments of every command, and which function runs it."""

import argparse
import time
from functools import partial

from otel_tracker import integrations
from otel_tracker.names import VERSION
from otel_tracker.reporting.summary import DEFAULT_METRIC, METRICS
from otel_tracker.runtime.printable import printable
from otel_tracker.runtime.timestamps import parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from otel_tracker.storage.store import Store


ORDERS = {
    "open": "refuse every task",
    "close": "reset it, and lift any order",
    "disable": "let every task through",
    "auto": "lift the order",
}


def parse(arguments: "Sequence[str]") -> argparse.Namespace:
    """Return the options of a command line, with the function to run as `command`; exits with 2 for wrong usage.

    What stands behind `--` is another program's command line (`command_line`), if the command takes one.
    """
    given = list(arguments)
    if _is_hook(given):
        return _parse_hook(given)
    end = given.index("--") if "--" in given else len(given)
    if "exec" not in given[:end]:
        return parser().parse_args(_words_first(given))
    head, unknown = parser().parse_known_args(given[:end])
    if not hasattr(head, "command_line") or (unknown and "--" in given):
        return parser().parse_args(given)
    head.command_line = given[end + 1 :]  # without -- there is none, and the command says so
    return head


def _words_first(given: "list[str]") -> "list[str]":
    """Return a command line whose words stand before its options: argparse doesn't take the words behind an option.

    `config set --agent A KEY VALUE` becomes `config set KEY VALUE --agent A`.
    """
    words = parser().parse_known_args(given)[1]
    if not words or any(word.startswith("-") for word in words):
        return given  # wrong usage, as argparse says
    rest = list(given)
    for word in reversed(words):
        del rest[max(place for place, part in enumerate(rest) if part == word)]
    command = 2 if rest[0] == "--home" else 0
    option = next((place for place in range(command, len(rest)) if rest[place].startswith("-")), len(rest))
    return [*rest[:option], *words, *rest[option:]]


def _is_hook(given: "list[str]") -> bool:
    """Tell whether a coding agent calls its hook; some call it without any arguments."""
    before = 2 if given[:1] == ["--home"] else 1 if given[:1] and given[0].startswith("--home=") else 0
    rest = given[before:]
    is_named = rest[1:2] == ["hook"] and rest[0] in integrations.NAMES
    return is_named or (not given and any(integration.is_calling() for integration in integrations.load_all()))


def _parse_hook(given: "list[str]") -> argparse.Namespace:
    """Return the options of a hook, which has been registered by another version, perhaps.

    Status 2 would tell the coding agent to refuse the launch, the prompt or the end of the turn.
    """
    try:
        return parser().parse_known_args(given)[0]
    except SystemExit as stop:
        raise SystemExit(1 if stop.code and not given else 0) from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> "NoReturn":
        super().error(printable(message))  # arguments of others are in it


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    root = _Parser(
        prog="otel-tracker", description="What each agent does, costs and breaks, and which of them may not be called."
    )
    root.add_argument("--version", action="version", version=f"otel-tracker {VERSION}")
    _add_home(root, default=None)
    # With its `prog` given argparse doesn't format the usage now, for which it would load shutil and more.
    commands = root.add_subparsers(title="commands", metavar="COMMAND", dest="name", required=True, prog=root.prog)
    _add_reading_commands(commands)
    _add_changing_commands(commands)
    return root


def _add_reading_commands(commands: "Any") -> None:
    report = _add(commands, "report", "everything, what matters first", formats=("markdown", "json"))
    report.add_argument(
        "-o", "--output", metavar="FILE", help="write to FILE, which may be a pipe, a device, or - for standard output"
    )

    leaderboard = _add(commands, "leaderboard", "agents by a metric", formats=("table", "json"))
    leaderboard.add_argument("-m", "--metric", metavar="METRIC", default=DEFAULT_METRIC, help=", ".join(METRICS))
    leaderboard.add_argument("-n", "--number", type=_number, default=10, help="agents to show (10)")

    agent = _add(commands, "agent", "one agent", formats=("table", "json"))
    agent.add_argument("agent", metavar="AGENT")

    _add(commands, "tokens", "tokens by model", formats=("table", "json"))

    health = _add(
        commands,
        "health",
        "would a task of AGENT be let through? exit 0: yes, 1: no, 3: can't tell",
        formats=("table", "json"),
    )
    health.add_argument("agent", metavar="AGENT")

    history = _add(commands, "history", "what has happened, newest first", formats=("table", "json"))
    history.add_argument("--agent", metavar="AGENT", help="only of this agent")
    history.add_argument("-n", "--number", type=_number, help="entries to show (20; all with --since)")
    history.add_argument(
        "--since", type=_moment, metavar="WHEN", help="not older than 7d, 12h, 30m, 90s, or a timestamp"
    )

    status = _add(commands, "status", "all agents: breaker, running tasks, last task", formats=("table", "json"))
    status.add_argument("--watch", action="store_true", help="show it again every two seconds, until Ctrl-C")


def _add_changing_commands(commands: "Any") -> None:
    _add(commands, "init", "make the home, register its agents, write the drop-in module")

    reset = _add(commands, "reset", "close the breaker of AGENT and forget its failures")
    reset.add_argument("agent", metavar="AGENT")

    agents = commands.add_parser("agents", help="which agents there are", description="Which agents there are.")
    actions = agents.add_subparsers(title="commands", metavar="COMMAND", dest="action", required=True, prog=agents.prog)
    _add(actions, "list", "all agents: names, files, former keys", formats=("table", "json"), function="agents_list")
    remove = _add(actions, "remove", "remove AGENT and what it has counted", function="agents_remove")
    remove.add_argument("agent", metavar="AGENT")
    rename = _add(actions, "rename", "give AGENT the key NEW, which no agent has", function="agents_rename")
    rename.add_argument("agent", metavar="AGENT")
    rename.add_argument("new", metavar="NEW")
    merge = _add(actions, "merge", "add what AGENT has counted to that of the agent INTO", function="agents_merge")
    merge.add_argument("agent", metavar="AGENT")
    merge.add_argument("into", metavar="INTO")

    backups = commands.add_parser("backups", help="copies of the document", description="Copies of the document.")
    actions = backups.add_subparsers(
        title="commands", metavar="COMMAND", dest="action", required=True, prog=backups.prog
    )
    _add(actions, "create", "make a backup now", function="backups_create")
    _add(actions, "list", "all backups, oldest first", formats=("table", "json"), function="backups_list")
    restore = _add(actions, "restore", "bring the backup NAME back, and what came after it", function="backups_restore")
    restore.add_argument("backup", metavar="NAME", help="as `list` shows it")
    restore.add_argument("--discard-later", action="store_true", help="without what came after it")

    doctor = _add(commands, "doctor", "what is wrong with the home, and what mends it", formats=("table", "json"))
    doctor.add_argument("--repair", action="store_true", help="mend it, after a backup")

    _add_breaker_commands(commands)
    _add_exporting_commands(commands)
    _add_exec(commands)
    _add_integrations(commands)

    demo = _add(commands, "demo", "record a small fleet's tasks in a home of its own, and report")
    demo.add_argument("--into", metavar="DIR", help="the demo's home, as --home; without either a new folder")


def _add_breaker_commands(commands: "Any") -> None:
    breaker = _add(commands, "breaker", "the breaker of AGENT, or an order to it", formats=("table", "json"))
    breaker.add_argument("agent", metavar="AGENT")
    breaker.add_argument("order", nargs="?", choices=ORDERS, help="; ".join(f"{o}: {m}" for o, m in ORDERS.items()))
    breaker.add_argument(
        "--for", dest="seconds", type=_duration, metavar="TIME", help="2h, 30m, 90s, 7d; else for good"
    )
    breaker.add_argument("--reason", metavar="TEXT", help="why, as status and refusals show it")

    config = _add(commands, "config", "the settings, or one of them, of all or of one agent", formats=("table", "json"))
    config.add_argument(
        "words", nargs="*", metavar="[get|set|unset] KEY [VALUE]", help="set checks VALUE, after a backup"
    )
    config.add_argument("--agent", metavar="AGENT", help="those of this agent alone, which come before all others")


def _add_exporting_commands(commands: "Any") -> None:
    spans = _add(commands, "spans", "export the spans of tasks that were recorded without one, to OTLP")
    spans.add_argument("--follow", action="store_true", help="and of those to come, until Ctrl-C")

    serve = _add(commands, "serve", "the metrics for Prometheus, at http://HOST:PORT/metrics, until Ctrl-C")
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=_port, default=9464, help="the port to listen on (9464); 0: a free one")
    serve.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[], help="a name that clients may ask by; *: any"
    )
    serve.add_argument("--certfile", metavar="FILE", help="serve HTTPS with this certificate")
    serve.add_argument("--keyfile", metavar="FILE", help="and this key")
    serve.add_argument("--client-cafile", metavar="FILE", help="the authorities that sign certificates of clients")
    serve.add_argument("--client-auth-required", action="store_true", help="refuse clients without a certificate")

    metrics = _add(commands, "metrics", "the metrics for Prometheus, as text")
    metrics.add_argument(
        "-o", "--output", metavar="FILE", help="replace FILE by them, for node_exporter's textfile collector"
    )


def _add_exec(commands: "Any") -> None:
    execute = _add(commands, "exec", "run COMMAND as a task of AGENT; exit 75: its breaker refuses", function="execute")
    execute.usage = "otel-tracker exec AGENT [options] -- COMMAND ..."
    execute.add_argument("agent", metavar="AGENT")
    execute.add_argument("--model", metavar="M", help="the model that does the work, as you call it")
    execute.add_argument(
        "--timeout", type=_duration, metavar="TIME", help="end each attempt after it: 90s, 30m, 2h, 45"
    )
    execute.add_argument("--retries", type=_number, metavar="N", help="repeat a failed command so often (0)")
    execute.add_argument(
        "--from-config", action="store_true", help="timeout, retries and fallbacks as the settings say"
    )
    execute.add_argument(
        "--fallback", action="append", metavar="AGENT", help="an agent that stands in; may be given repeatedly"
    )
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
        integration.add_commands(partial(_add_run, actions), _make_home)


def _make_home(store: "Store") -> str:
    from otel_tracker.cli.init import make_home

    return make_home(store)


def _add(
    commands: "Any", name: str, description: str, formats: "tuple[str, ...]" = (), function: "str | None" = None
) -> argparse.ArgumentParser:
    parser = _add_run(commands, name, description, _loaded(function or name))
    if formats:
        parser.add_argument("--format", choices=formats, default=formats[0], help=f"how to show it ({formats[0]})")
    return parser


def _add_run(
    commands: "Any", name: str, description: str, run: "Callable[[argparse.Namespace], int]"
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=description, description=f"{description[0].upper()}{description[1:]}."
    )
    _add_home(parser, default=argparse.SUPPRESS)
    parser.set_defaults(command=run)
    return parser


def _add_home(parser: argparse.ArgumentParser, default: "str | None") -> None:
    parser.add_argument(
        "--home", metavar="DIR", default=default, help="the home (OTEL_TRACKER_HOME, else ~/.claude/agents)"
    )


def _loaded(function: str) -> "Callable[[argparse.Namespace], int]":
    """Return the command's function, loaded when it is called: each command pays only for what it uses."""

    def run(options: argparse.Namespace) -> int:
        from importlib import import_module

        module = _MODULES.get(function, "commands")
        status: int = getattr(import_module(f"otel_tracker.cli.{module}"), function)(options)
        return status

    return run


_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_MODULES = {
    "init": "init",
    "demo": "demo",
    "doctor": "doctor",
    "breaker": "breaker",
    "config": "config",
    "execute": "execute",
    "spans": "spans",
    "serve": "serve",
    "metrics": "serve",
    **dict.fromkeys(("agents_list", "agents_remove", "agents_rename", "agents_merge"), "agents"),
    **dict.fromkeys(("backups_create", "backups_list", "backups_restore"), "backups"),
}


def _duration(text: str) -> float:
    """Return the seconds that `2h`, `30m`, `90s`, `7d` or a plain number name."""
    number, unit = (text[:-1], text[-1:]) if text[-1:] in _UNITS else (text, "s")
    if not number.replace(".", "", 1).isdecimal() or not float(number):
        raise argparse.ArgumentTypeError(f"expected a time such as 2h, 30m, 90s or 45, got {text!r}")
    return float(number) * _UNITS[unit]


def _moment(text: str) -> float:
    """Return the moment that a time before now (`7d`, `12h`, `30m`, `90s`) or a timestamp names."""
    number, unit = text[:-1], text[-1:]
    if unit in _UNITS and number.replace(".", "", 1).isdecimal():
        return time.time() - float(number) * _UNITS[unit]
    try:
        return parse_timestamp(text)
    except (ValueError, OverflowError):
        expected = "7d, 12h, 30m, 90s, or a timestamp such as 2026-02-15T21:30:00Z"
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}") from None


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return int(text)
