"""Which home a document belongs to: before its first write, a home checks that no other home writes the same file.

Two homes can reach one document through links. Each would number its own events, and each would lose the events of the other.
A home that reaches its document through a link leaves a note beside the file that says so; a document that is reached without a
link belongs to the home around it.
"""

import json
import os

from otel_tracker.errors import SharedDocumentError, StorageError
from otel_tracker.storage.files import parents
from otel_tracker.storage.home import Home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.storage.files import Files


def check(home: Home, files: "Files") -> None:
    """Raise SharedDocumentError if another home has the same document, and StorageError if a planted link leads to it."""
    check_links(home, files)
    noted = _noted(home, files)
    around = Home.of_document(home.document)
    for other in (around, noted):
        if other is not None and _is_rival(home, other, files):
            raise SharedDocumentError(home.document, (home.folder, other.folder))


def check_links(home: Home, files: "Files", *others: str) -> None:
    """Raise StorageError if a link that another user has planted leads into the home, or out of it.

    `others` are folders in the home that only the caller knows.
    """
    inside = (home.journal, home.unwritten, home.backups, home.archive, home.scripts, *others)
    for path in (*parents(home.folder), home.folder, os.path.dirname(home.config_file), home.config_file, *inside):
        files.refuse_planted_link(path)


def is_needed(home: Home, files: "Files") -> bool:
    """Tell whether the home must leave a note: the folder around the document isn't the home's."""
    if home.config_file == home.document:
        return False
    around, noted = Home.of_document(home.document), _noted(home, files)
    is_elsewhere = files.identity(around.folder) != files.identity(home.folder)
    return is_elsewhere and (noted is None or noted.config_file != home.config_file)


def leave_note(home: Home, files: "Files") -> None:
    """Note beside the document that it belongs to this home; the caller must hold the document lock."""
    files.replace(home.claim, [json.dumps({"document": home.config_file, "home": home.folder}).encode() + b"\n"])


def _noted(home: Home, files: "Files") -> "Home | None":
    read = files.read(home.claim)
    try:
        note = json.loads(read[1]) if read else {}
        return Home(note["home"], note["document"])
    except (ValueError, KeyError, TypeError):
        return None


def _is_rival(home: Home, other: Home, files: "Files") -> bool:
    """Tell whether another home is alive, has a journal of its own, and the same document."""
    try:
        is_other = files.identity(other.journal) != files.identity(home.journal)
        has_events = any(name.endswith(".jsonl") for name in files.names(other.journal))
    except StorageError:
        return False  # this user can't read it, so no process of this user works there
    return is_other and has_events and os.path.realpath(other.config_file) == home.document
