"""`make man`: writes docs/otel-tracker.1, the man page, which is made of what `--help` prints (format: man 7 man)."""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from otel_tracker.cli.parser import parser
from otel_tracker.names import VERSION

PATH = Path(__file__).parents[1] / "docs" / "otel-tracker.1"
_WIDTH = 76  # of an 80-column terminal, within the page's margins


def page() -> str:
    """Return the man page."""
    root = parser()
    lines = [
        f'.TH OTEL-TRACKER 1 "" "otel-tracker {VERSION}" "User commands"',
        ".SH NAME",
        "otel-tracker \\- what each agent does, costs and breaks",
        ".SH OVERVIEW",
        *_verbatim(root),
        ".SH COMMANDS",
    ]
    for command in commands(root):
        lines += [f".SS {_escaped(command.prog)}", *_verbatim(command)]
    return "\n".join(lines) + "\n"


def commands(root: Any) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers of all commands that do something."""
    for action in root.actions_below:
        for command in action.choices.values():
            yield from commands(command) if command.actions_below else [command]


def _verbatim(command: argparse.ArgumentParser) -> list[str]:
    command.formatter_class = partial(argparse.RawDescriptionHelpFormatter, width=_WIDTH)
    return [".nf", *map(_escaped, command.format_help().splitlines()), ".fi"]


def _escaped(line: str) -> str:
    text = line.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    PATH.write_text(page())
