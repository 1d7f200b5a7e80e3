"""`otel-tracker claude-code usage`: what the transcripts say was used, without a home and without writing anything."""

import gc
import os

from otel_tracker.errors import InvalidValueError, OtelTrackerError
from otel_tracker.integrations.claude_code.past.history import read_history
from otel_tracker.integrations.claude_code.past.usage_parts import parts_of_history
from otel_tracker.integrations.claude_code.runs import agent_types
from otel_tracker.integrations.claude_code.variables import transcript_folders
from otel_tracker.reporting import wording
from otel_tracker.reporting.aggregate import Comparison, aggregate
from otel_tracker.runtime.environment import absolute, chosen_home
from otel_tracker.runtime.log import warn
from otel_tracker.state.document import new_document
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.price_file import price_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from otel_tracker.reporting.window import Window
    from otel_tracker.state.document import Document


def usage(options: "Namespace", window: "Window", now: float) -> Comparison:
    """Return the sums of a window over the transcripts that a command line names, else over the user's."""
    home, files = Home(chosen_home(options.home)), Files()
    cost = price_table(home, files).cost
    gc.disable()  # nothing that a reader makes refers to itself, and looking for what does takes a tenth of the time
    try:
        history = read_history(_paths(options.paths), now, cost, _Keys(home, files).key_of, window.since)
    finally:
        gc.enable()
    if history.unreadable:
        lines = wording.counted(history.unreadable, "line", "lines")
        warn("%s of transcripts can't be read: the figures are without them", lines)
    return Comparison(aggregate(parts_of_history(history, cost, window), options.by or ("agent",), window), window)


def _paths(named: "list[str]") -> "list[str]":
    for path in named:
        if not os.path.exists(path):
            raise InvalidValueError(
                "a path of transcripts", path, "a folder of Claude Code's, or a transcript, that exists"
            )
    return [absolute(path) for path in named] or [path for path in transcript_folders() if os.path.isdir(path)]


class _Keys:
    """The keys of agents by their types, as hooks find them; without a home those of the files that there are."""

    def __init__(self, home: Home, files: Files) -> None:
        self._home, self._document = home, _document(home, files)
        self._keys: dict[tuple[str, str | None], str] = {}

    def key_of(self, agent_type: str, project: "str | None") -> str:
        """Return the key of the agent that a type means in a session that works in the folder `project`."""
        place = agent_type, project
        if place not in self._keys:
            self._keys[place] = agent_types.resolved(self._document, agent_type, project, self._home).key
        return self._keys[place]


def _document(home: Home, files: Files) -> "Document":
    """Return the state of a home, which knows agents by their names; an empty one if there is none that can be read."""
    try:
        if files.signature(home.document) is not None:
            from otel_tracker.storage.store import Store  # here: without a home nothing else needs it

            return Store(home).read(is_patient=False)
    except OtelTrackerError as error:
        warn("%s", error)
    return new_document()
