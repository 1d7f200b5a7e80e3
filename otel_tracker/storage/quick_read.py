"""A look at the present state that costs as little as possible: for callers that ask one question and end.

It reads the document's head and the journal's tail, takes no lock, and loads nothing that a store needs for writing.
"""

from otel_tracker import names
from otel_tracker.state.codec import DocumentCodec
from otel_tracker.state.fold import fold_all
from otel_tracker.state.layout import HISTORY_MARK
from otel_tracker.state.replay import SAYING_OTHERWISE
from otel_tracker.state.roster import with_present_keys
from otel_tracker.storage.files import Files
from otel_tracker.storage.journal import Journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.home import Home


def glance(home: "Home", about: "str | None" = None, *, is_patient: bool = False) -> "Document":
    """Return the present state of a home, without the history where that can be left out.

    With `about`, agents may be left out whose key and entry don't contain that text (names.normal_name compares).
    Where it takes seconds to fold what the journal has and the document doesn't, only a patient caller gets the state; for
    another one it is a LaggingError. Other errors are those of a store.
    """
    files, codec = Files(), DocumentCodec()
    journal = Journal(home.journal, files)
    beginning = files.steadily(home.document, lambda: files.read_through(home.document, HISTORY_MARK))
    document = codec.decode_beginning(beginning, home.document, about) if beginning else None
    is_short = document is not None and not journal.is_far_ahead(document.sequence)
    later = journal.after(document.sequence) if document and is_short else []
    if document is None or not is_short or not _are_enough(document, later, about):
        from otel_tracker.storage.store import Store

        return Store(home).read(is_patient=is_patient)
    return _with(document, later, about) if later else document


def _with(document: "Document", later: "list[Event]", about: "str | None") -> "Document":

    present = [with_present_keys(document.head, event) for event in later]
    return fold_all(document, [event for event in present if about is None or event["agent"] in document.agents])


def _are_enough(document: "Document", later: "list[Event]", about: "str | None") -> bool:
    """Tell whether the agents in `document` are those that `later` events are about, as far as they concern `about`."""
    if not later:
        return True

    if any(event["action"] in (*SAYING_OTHERWISE, names.AGENT_REMOVED, names.AGENT_RENAMED) for event in later):
        return False
    others = [event for event in later if event["agent"] not in document.agents]
    named = [event.get(key) for event in others for key in ("agent", "name", "fallback_for")]
    if about is None:
        return True
    wanted = names.normal_name(about)
    return not any(wanted in names.normal_name(name) for name in named if name)


def is_gone(process: "dict[str, Any]") -> bool:
    """Tell whether a process can be seen to have ended."""
    from otel_tracker.runtime.owner import is_seen_gone  # only where a probe is running

    return is_seen_gone(process)
