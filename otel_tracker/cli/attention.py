"""What needs attention, as all commands show it first."""

import shutil
import textwrap
from functools import partial
from typing import NamedTuple

from otel_tracker import doctor
from otel_tracker.cli.terminal import coloured, plain
from otel_tracker.integrations.agent_files import has_file
from otel_tracker.reporting import summary
from otel_tracker.reporting.aggregate import parts_in
from otel_tracker.reporting.attention import CRITICAL, INFO, WARNING, attention
from otel_tracker.reporting.recent import recent, recent_window
from otel_tracker.runtime import owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.reporting.attention import Attention
    from otel_tracker.reporting.finding import Finding
    from otel_tracker.reporting.recent import Recent
    from otel_tracker.state.document import Document
    from otel_tracker.storage.store import Store

_MARKS = {CRITICAL: ("✕", "31"), WARNING: ("!", "33"), INFO: ("i", "2")}
_FAINT = "2"
_INDENT = " " * 4


class Surroundings(NamedTuple):
    """What attention is made of beside the document: it takes reading, and changes with the state or slowly."""

    recent: "Recent"
    findings: "list[Finding]"
    without_file: "list[str]"


def surroundings_of(store: "Store", document: "Document", now: float) -> Surroundings:
    """Return what stands around a home whose state is `document`."""
    parts = parts_in(recent_window(now), partial(store.run_events, document), document.renamed)
    files = {agent: has_file(agent, store.home) for agent in document.agents}
    without_file = [agent for agent, is_there in files.items() if is_there is False] if any(files.values()) else []
    return Surroundings(recent(parts, now), doctor.look(store, document), without_file)


def attention_of(
    store: "Store", document: "Document", now: float, around: "Surroundings | None" = None
) -> "list[Attention]":
    """Return what needs attention in a home whose state is `document`, the worst first; `around` is read unless it is given."""
    running = summary.running_tasks(document, now, owner.is_seen_gone)
    around = around or surroundings_of(store, document, now)
    return attention(document, now, store.home, running=running, **around._asdict())


def print_attention(items: "list[Attention]") -> None:
    """Print what needs attention, each thing with what helps; one quiet line if nothing does."""
    if not items:
        print(coloured("Nothing needs attention.", _FAINT))
        return
    width = shutil.get_terminal_size().columns
    for item in items:
        mark, colour = _MARKS[item.severity]
        text = plain(item.text if item.agent is None else f"{item.agent}: {item.text}")
        first, *others = textwrap.wrap(text, width - len(_INDENT), break_on_hyphens=False)
        print(f" {coloured(mark, colour)}  {first}")
        for line in others:
            print(f"{_INDENT}{line}")
        if item.remedy is not None:
            print(f"{_INDENT}{coloured(plain(item.remedy), _FAINT)}")
