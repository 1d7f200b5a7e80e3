"""From a command line to options: argparse, and what argparse doesn't do by itself."""

import argparse
import re
import sys
from functools import partial

from otel_tracker import integrations
from otel_tracker.cli.arguments import add_commands, add_home
from otel_tracker.cli.guide import overview
from otel_tracker.names import VERSION
from otel_tracker.runtime.environment import value_of
from otel_tracker.runtime.printable import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, NoReturn

_COMPLETING = "_ARGCOMPLETE"
"""The variable with which a shell's completion script calls this program."""


def parse(arguments: "Sequence[str]") -> argparse.Namespace:
    """Return the options of a command line, with the function to run as `command`; exits with 2 for wrong usage.

    The words behind `--` are another program's command line (`command_line`), if the command takes one.
    """
    if value_of(_COMPLETING):
        from otel_tracker.cli.completion import complete

        complete(parser())
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

    Status 2 would tell the coding agent to refuse the launch, the prompt or the end of the turn, and it may take what is printed
    for an answer.
    """
    if not given:
        parser().print_usage(sys.stderr)
        raise SystemExit(1)
    try:
        return parser().parse_known_args(given)[0]
    except SystemExit:
        raise SystemExit(0) from None


class _Parser(argparse.ArgumentParser):
    words: "set[str]" = set()  # noqa: RUF012 - the options of all commands
    """What an option may have been meant to be."""

    def __init__(self, *arguments: "Any", **known: "Any") -> None:
        self.actions_below: list[Any] = []
        super().__init__(*arguments, **known)

    def add_subparsers(self, **known: "Any") -> "Any":
        action = super().add_subparsers(**known)
        self.actions_below.append(action)
        return action

    def add_argument(self, *names: "Any", **known: "Any") -> argparse.Action:
        self.words.update(name for name in names if name.startswith("--"))
        return super().add_argument(*names, **known)

    def error(self, message: str) -> "NoReturn":
        super().error(printable(_with_suggestion(message, self.words)))  # it repeats the arguments


def _with_suggestion(message: str, options: "Iterable[str]") -> str:
    """Return argparse's message with the command, value or option that was probably meant, in the place of all others."""
    from difflib import get_close_matches

    choice = re.fullmatch(r"(.*invalid choice: '(.*)') \(choose from (.*)\)", message)
    option = re.fullmatch(r"unrecognized arguments: (--[^ =]+).*", message)
    if choice is not None:
        wrong, given, possible = choice[1], choice[2], re.findall(r"[\w.-]+", choice[3])
    elif option is not None:
        wrong, given, possible = message, option[1], list(options)
    else:
        return message
    similar = get_close_matches(given, possible, 1)
    return f"{wrong}; did you mean {similar[0]}?" if similar else message


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    root = _Parser(
        prog="otel-tracker",
        description="What each agent does, costs and breaks, and which of them may not be called.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.usage = f"{root.prog} [--home DIR] COMMAND ..."
    root.add_argument("-V", "--version", action="version", version=f"otel-tracker {VERSION}")
    add_home(root, default=None)
    # With its `prog` given argparse doesn't format the usage now, for which it would load shutil and more.
    commands = root.add_subparsers(metavar="COMMAND", dest="name", help=argparse.SUPPRESS, prog=root.prog)
    add_commands(commands)
    titles = {name: integrations.load(name).TITLE for name in integrations.NAMES}
    root.epilog = overview(root.prog, dict(_descriptions(commands)), titles)
    root.set_defaults(command=partial(_print_help, root))
    return root


def _print_help(root: argparse.ArgumentParser, _: argparse.Namespace) -> int:
    root.print_help()
    return 0


def _descriptions(commands: "Any", before: str = "") -> "Iterator[tuple[str, str]]":
    """Yield the names of commands, of those below them, too, and what they do."""
    for name, command in commands.choices.items():
        yield f"{before}{name}", command.description
        for action in command.actions_below:
            yield from _descriptions(action, f"{name} ")
