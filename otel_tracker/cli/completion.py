"""`otel-tracker completion`: what lets a shell complete command lines (argcomplete)."""

import argcomplete
from argcomplete.shell_integration import shellcode

from otel_tracker.cli.terminal import print_data
from otel_tracker.errors import OtelTrackerError
from otel_tracker.runtime.environment import chosen_home
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def completion(options: "Namespace") -> int:
    """Print the script for a shell: at each TAB it calls this program."""
    print_data(shellcode(["otel-tracker"], shell=options.shell))
    return 0


def complete(parser: "ArgumentParser") -> None:
    """Print what may stand where a shell's cursor is, and end this process."""
    argcomplete.autocomplete(parser, always_complete_options=False)


def keys_of_agents(prefix: str, home: "str | None") -> "list[str]":
    """Return the keys of a home's agents that begin with a text; none where the home can't be read."""
    try:
        agents = Store(Home(chosen_home(home))).read(is_patient=False).agents
    except OtelTrackerError:
        return []
    return [agent for agent in agents if agent.startswith(prefix)]
