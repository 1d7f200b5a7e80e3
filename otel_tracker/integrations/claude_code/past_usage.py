"""`otel-tracker claude-code usage`: what the transcripts say was used, without a home and without writing anything."""

import gc

from otel_tracker.integrations.claude_code.past.agent_keys import AgentKeys
from otel_tracker.integrations.claude_code.past.history import read_history
from otel_tracker.integrations.claude_code.past.transcript_files import chosen_paths
from otel_tracker.integrations.claude_code.past.usage_parts import parts_of_history
from otel_tracker.reporting import wording
from otel_tracker.reporting.aggregate import Comparison, aggregate
from otel_tracker.runtime.environment import chosen_home
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
        history = read_history(chosen_paths(options.paths), now, cost, AgentKeys(home, files).key_of, window.since)
    finally:
        gc.enable()
    if history.unreadable:
        lines = wording.counted(history.unreadable, "line", "lines")
        warn("%s of transcripts can't be read: the figures are without them", lines)
    return Comparison(aggregate(parts_of_history(history, cost, window), options.by or ("agent",), window), window)
