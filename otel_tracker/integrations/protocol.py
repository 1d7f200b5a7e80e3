"""What the commands and the doctor ask of an integration."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from otel_tracker.reporting.aggregate import Comparison
from otel_tracker.reporting.finding import Finding
from otel_tracker.reporting.window import Window
from otel_tracker.state.shapes import Event
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from otel_tracker.tracking.output import Output

AddCommand = Callable[[str, str, Callable[[Namespace], int]], ArgumentParser]
"""Adds a command: its name, its description in small letters, and the function that runs it and returns the exit status.

Returns the parser of its options; `--home` is one of them already.
"""

AddSums = Callable[[str, str, Callable[[Namespace, Window, float], Comparison]], ArgumentParser]
"""Adds a command that shows sums of a window of time: its name, its description, and the function that returns them.

The function gets the options, the window that they name, and the present moment. Returns the parser, to which only options
of the command's own have to be added.
"""

MakeHome = Callable[[Store], str]
"""Makes a home as `otel-tracker init` does; returns lines for people that say what was done."""


class Integration(Protocol):
    """The module `integration` of a coding agent's package."""

    @property
    def TITLE(self) -> str:  # noqa: N802 - a constant of the module
        """What the commands are about, as help shows it: `Claude Code's sub-agents`."""

    def add_commands(self, add: AddCommand, add_sums: AddSums, make_home: MakeHome) -> None:
        """Add the commands below `otel-tracker NAME`.

        The coding agent calls the one named `hook`, whose usage is never wrong: options that it doesn't know are ignored.
        """

    def run_hook(self, arguments: Sequence[str]) -> bool:
        """Run the command `hook` without argparse; do nothing and return False if argparse has to read the arguments."""

    def is_calling(self) -> bool:
        """Tell whether the coding agent has started this process: without any arguments it is a hook then."""

    def output(self) -> Output:
        """Return a reader for the output of a command."""

    def findings(self, home: Home) -> Iterator[Finding]:
        """Yield the doctor's findings about the coding agent: whether it calls the hooks, and records in `home`."""

    def waiting(self, home: Home) -> str | None:
        """Return a sentence on what is known of the past that `home` hasn't recorded, with the command; None for nothing."""

    def transcript_of(self, event: Event) -> str | None:
        """Return the path of the transcript of the run that an event is about, None if there is none of this coding agent's."""

    def agent_folders(self) -> list[str]:
        """Return the folders outside of a home in which the coding agent finds its agents' files."""
