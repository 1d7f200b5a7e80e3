"""From a command line to options: argparse, and what argparse doesn't do by itself."""

import argparse

from otel_tracker import integrations
from otel_tracker.cli.arguments import add_commands, add_home
from otel_tracker.names import VERSION
from otel_tracker.runtime.printable import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def parse(arguments: "Sequence[str]") -> argparse.Namespace:
    """Return the options of a command line, with the function to run as `command`; exits with 2 for wrong usage.

    The words behind `--` are another program's command line (`command_line`), if the command takes one.
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
    head.command_line = given[end + 1 :]  # without -- there is none, which the command reports
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
        del rest[max(index for index, part in enumerate(rest) if part == word)]
    command = 2 if rest[0] == "--home" else 0
    option = next((index for index in range(command, len(rest)) if rest[index].startswith("-")), len(rest))
    return [*rest[:option], *words, *rest[option:]]


def _is_hook(given: "list[str]") -> bool:
    """Tell whether a coding agent calls its hook; some call it without any arguments."""
    before = 2 if given[:1] == ["--home"] else 1 if given[:1] and given[0].startswith("--home=") else 0
    rest = given[before:]
    is_named = rest[1:2] == ["hook"] and rest[0] in integrations.NAMES
    return is_named or (not given and any(integration.is_calling() for integration in integrations.load_all()))


def _parse_hook(given: "list[str]") -> argparse.Namespace:
    """Return the options of a hook, which another version may have registered.

    Status 2 would tell the coding agent to refuse the launch, the prompt or the end of the turn.
    """
    try:
        return parser().parse_known_args(given)[0]
    except SystemExit as stop:
        raise SystemExit(1 if stop.code and not given else 0) from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> "NoReturn":
        super().error(printable(message))  # it repeats the arguments


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    root = _Parser(
        prog="otel-tracker", description="What each agent does, costs and breaks, and which of them may not be called."
    )
    root.add_argument("--version", action="version", version=f"otel-tracker {VERSION}")
    add_home(root, default=None)
    # With its `prog` given argparse doesn't format the usage now, for which it would load shutil and more.
    commands = root.add_subparsers(title="commands", metavar="COMMAND", dest="name", required=True, prog=root.prog)
    add_commands(commands)
    return root
