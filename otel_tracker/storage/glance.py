"""A look at the present state that costs as little as possible: for who asks one question and ends.

It reads the document's head and the journal's tail, takes no lock, and loads nothing that a store needs for writing.
"""

from otel_tracker import names
from otel_tracker.codec import DocumentCodec
from otel_tracker.fold import fold_all
from otel_tracker.storage.files import Files
from otel_tracker.storage.journal import Journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.document import Document
    from otel_tracker.storage.home import Home

_BEGINNING_BYTES = 128 * 1024


def glance(home: "Home", about: "str | None" = None) -> "Document":
    """Return the present state of a home, without the history where that can be left out.

    Where it is `about` a text, agents may be missing in whose entries, and keys, it doesn't occur.
    Raises DocumentError and StorageError like a store.
    """
    files, codec = Files(), DocumentCodec()
    read = files.read(home.document, 0, _BEGINNING_BYTES)
    document = codec.decode_beginning(read[1], home.document, about) if read else None
    later = Journal(home.journal, files).after(document.sequence if document else 0)
    if document is None or any(event["action"] != names.TASK_STARTED for event in later):
        from otel_tracker.storage.store import Store

        return Store(home).read()  # only the whole document tells whether an event is a repeated one
    return fold_all(document, [event for event in later if about is None or event["agent"] in document.agents])


def is_gone(process: "dict[str, Any]") -> bool:
    """Tell whether a process can be seen to have ended."""
    from otel_tracker.owner import is_seen_gone  # only where a probe is running

    return is_seen_gone(process)
