"""The files of sessions in a home: where each is, whether anything is left to find out about it, and when the first was written.

Most sessions never launch a sub-agent, and most hooks need no more than this module: it loads little.
"""

import json
import os

from otel_tracker.errors import StorageError
from otel_tracker.integrations.claude_code import NAME
from otel_tracker.integrations.claude_code.runs.run import digest
from otel_tracker.integrations.claude_code.transcripts import places
from otel_tracker.runtime.owner import is_seen_gone
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from otel_tracker.storage import claim
from otel_tracker.storage.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from otel_tracker.storage.home import Home

BEGINNING_OF_FACTS = b'{"unsettled":'
"""The first bytes of each file. A 0 follows if nothing is left to find out: then no hook has to read the rest."""

_SETTLED = BEGINNING_OF_FACTS + b"0,"
_FIRST_SESSION = "beginning"
_WATCHED = "watched"

READING_SECONDS = 2.5  # for long transcripts, of the 5 that most hooks have at least
SILENT_SECONDS = 3600.0
"""A session counts as ended once neither an event nor a line of its transcripts has come for so long."""


def path_of(home: "Home", session_id: str) -> str:
    """Return the path of a session's file."""
    is_plain = session_id.isascii() and session_id.replace("-", "").replace("_", "").isalnum() and len(session_id) <= 64
    return os.path.join(home.of_integration(NAME), f"{session_id if is_plain else digest(session_id)}.json")


def path_of_watched(home: "Home", session_id: str) -> str:
    """Return the path of what is remembered of a session while its main conversation is watched (watched.py)."""
    return os.path.join(home.of_integration(NAME), _WATCHED, os.path.basename(path_of(home, session_id)))


def is_unsettled(home: "Home", session_id: str, transcript: "str | None") -> bool:
    """Tell whether anything is, or may be, left to find out about a session."""
    path = path_of(home, session_id)
    since = places.modified(path)
    if not _is_settled(path, Files()):
        return True
    return places.has_new_agents(transcript, first_session(home) if since is None else since)


def first_session(home: "Home") -> float:
    """Return the moment of the first session with hooks, 0 if it wasn't noted: agents that ran before are not looked for."""
    read = Files().read(os.path.join(home.of_integration(NAME), _FIRST_SESSION))
    try:
        return parse_timestamp(read[1].decode()) if read else 0.0
    except ValueError:
        return 0.0


def note_first_session(home: "Home", now: float) -> None:
    """Note that the first session with hooks begins `now`, unless an earlier one has been noted."""
    files, folder = Files(), home.of_integration(NAME)
    path = os.path.join(folder, _FIRST_SESSION)
    if files.signature(path) is None:
        claim.check_links(home, files, folder)
        files.make_folder(folder)
        files.create(path, format_timestamp(now).encode())


def abandoned_sessions(home: "Home", before: float) -> "Iterator[str]":
    """Yield the ids of unsettled sessions that have ended without an event.

    Their process has ended, or nothing has been written to their file since the moment `before`.
    """
    files = Files()
    silent = set(paths_in(home, ".json", before, files))
    for path in paths_in(home, ".json", float("inf"), files):
        if not _is_settled(path, files):
            facts = facts_in(home, path, files)
            if facts is not None and (path in silent or is_seen_gone(facts.get("process"))):
                yield facts["session_id"]


def paths_in(home: "Home", suffix: str, before: float, files: Files) -> "list[str]":
    """Return the paths in the folder of sessions that end with `suffix` and were last written to before a moment."""
    folder = home.of_integration(NAME)
    claim.check_links(home, files, folder)
    paths = [os.path.join(folder, name) for name in files.names(folder) if name.endswith(suffix)]
    return [path for path in paths if (places.modified(path) or before) < before]


def facts_in(home: "Home", path: str, files: Files) -> "dict[str, Any] | None":
    """Return the facts in a session's file; None if its content doesn't prove that it is one: the user may keep files there."""
    try:
        read = files.read(path)
    except StorageError:
        return None
    facts = decoded(read[1]) if read is not None and read[1].startswith(BEGINNING_OF_FACTS) else {}
    session_id = facts.get("session_id")
    return facts if isinstance(session_id, str) and path_of(home, session_id) == path else None


def encoded(facts: "dict[str, Any]", unsettled: int) -> bytes:
    """Return the content of a session's file; `unsettled` is the number of things that are left to find out."""
    return json.dumps({"unsettled": unsettled, **facts}, separators=(",", ":")).encode()


def decoded(content: bytes) -> "dict[str, Any]":
    """Return the facts in the content of a session's file, none if it is damaged."""
    from otel_tracker.integrations.claude_code.runs.validation import is_sound  # most hooks read no whole file

    try:
        facts = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return facts if is_sound(facts) else {}


def _is_settled(path: str, files: Files) -> bool:
    """Tell whether nothing is left to find out about a session: its file says so, or it has none."""
    try:
        read = files.read(path, 0, len(_SETTLED))
    except StorageError:
        return True
    return read is None or read[1] == _SETTLED
