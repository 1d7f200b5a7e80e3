"""`otel-tracker claude-code usage`: what the transcripts say was used, without a home and without writing anything."""

import gc
import os

from otel_tracker.errors import InvalidValueError
from otel_tracker.integrations.claude_code.past.agent_keys import AgentKeys
from otel_tracker.integrations.claude_code.past.history import read_history
from otel_tracker.integrations.claude_code.past.usage_parts import parts_of_history
from otel_tracker.integrations.claude_code.variables import transcript_folders
from otel_tracker.reporting import wording
from otel_tracker.reporting.aggregate import Comparison, aggregate
from otel_tracker.runtime.environment import absolute, chosen_home
from otel_tracker.runtime.log import warn
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.price_file import price_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from otel_tracker.reporting.window import Window


def usage(options: "Namespace", window: "Window", now: float) -> Comparison:
    """Return the sums of a window over the transcripts that a command line names, else over the user's."""
    home, files = Home(chosen_home(options.home)), Files()
    cost = price_table(home, files).cost
    gc.disable()  # nothing that a reader makes refers to itself, and looking for what does takes a tenth of the time
    try:
        history = read_history(transcripts_at(options.paths), now, cost, AgentKeys(home, files).key_of, window.since)
    finally:
        gc.enable()
    if history.unreadable:
        lines = wording.counted(history.unreadable, "line", "lines")
        warn("%s of transcripts can't be read: the figures are without them", lines)
    return Comparison(aggregate(parts_of_history(history, cost, window), options.by or ("agent",), window), window)


def transcripts_at(named: "list[str]") -> "list[str]":
    """Return the paths that a command line names, else the user's folders that there are; raises InvalidValueError."""
    for path in named:
        if not os.path.exists(path):
            raise InvalidValueError(
                "a path of transcripts", path, "a folder of Claude Code's, or a transcript, that exists"
            )
    return [absolute(path) for path in named] or [path for path in transcript_folders() if os.path.isdir(path)]
