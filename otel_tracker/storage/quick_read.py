"""Reads the present state at the least cost, for a process that asks one question and ends.

It reads the document's head and the journal's tail, takes no lock, and loads nothing that a store needs for writing.
"""

from otel_tracker import names
from otel_tracker.state.codec import DocumentCodec
from otel_tracker.state.layout import HISTORY_MARK
from otel_tracker.storage.files import Files
from otel_tracker.storage.journal import Journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.home import Home


def read_quickly(home: "Home", about: "str | None" = None, *, is_patient: bool = False) -> "Document":
    """Return the present state of a home, without the history if that can be left out.

    With `about`, agents whose key and entry don't contain that text (compared by names.normal_name) may be left out. Raises
    LaggingError, unless the caller `is_patient`, if it takes seconds to fold what the journal has and the document doesn't.
    Other errors are those of `Store.read`.
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
    from otel_tracker.state.fold import fold_all  # here: the document mostly has all events already
    from otel_tracker.state.roster import with_present_keys

    present = [with_present_keys(document.head, event) for event in later]
    return fold_all(document, [event for event in present if about is None or event["agent"] in document.agents])


def _are_enough(document: "Document", later: "list[Event]", about: "str | None") -> bool:
    """Tell whether `document` has every agent that `later` events concern and that `about` may mean."""
    if not later:
        return True
    from otel_tracker.state.replay import SAYING_OTHERWISE

    if any(event["action"] in (*SAYING_OTHERWISE, names.AGENT_REMOVED, names.AGENT_RENAMED) for event in later):
        return False
    others = [event for event in later if event["agent"] not in document.agents]
    named = [event.get(key) for event in others for key in ("agent", "name", "fallback_for")]
    if about is None:
        return True
    wanted = names.normal_name(about)
    return not any(wanted in names.normal_name(name) for name in named if name)


def is_seen_gone(process: "dict[str, Any] | None") -> bool:
    """Tell whether this process can see that another one has ended; False for None."""
    from otel_tracker.runtime import owner  # here: most agents have no probe whose process must be looked at

    return owner.is_seen_gone(process)
