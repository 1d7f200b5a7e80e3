"""`otel-tracker top`: the fleet on a screen of its own, live, with keys. Only the modules in here load Textual."""

import sys

from otel_tracker.cli.stores import store_of
from otel_tracker.cli.top.errors import MissingTextualError, NoTerminalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace


def top(options: "Namespace") -> int:
    """Show what needs attention, what runs and all agents until a key ends it."""
    store = store_of(options)
    try:
        from otel_tracker.cli.top.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        raise MissingTextualError from None
    if not (sys.stdin.isatty() and sys.stderr.isatty()):  # Textual draws on standard error
        raise NoTerminalError(store.home.option)
    return run(store)
