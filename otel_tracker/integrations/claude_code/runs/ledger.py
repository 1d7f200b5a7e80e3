"""What has been counted of transcripts, kept for as long as the home: `claude-code/imported`.

The journal has the ids of runs, and the intervals of main conversations, until its segments are archived, and the file of a session lasts as long as its transcript.
Transcripts may live for longer, and come back as copies, from a backup or another machine. So this file keeps ids, as 64 bits
of a digest of each: of the runs that an import has recorded, of the requests of main conversations that it has counted, or has
found counted by hooks, and of the runs of the sessions whose files hooks have forgotten. A run has up to two ids, of its agent and of the call that launched it; each
of them alone tells that a run is known, since a copy of a session's file may lack the one, or stand under another session.

Each line is an object with some of these keys, and lines add up:

folders         for each folder of transcripts that was read to its end, a digest of the names, sizes and times of its files
since           the moment from which on its runs and requests were taken, seconds since 1970; null: all of them
runs, requests  ids, in base64
watched         for a session, from which moment to which one hooks have counted its main conversation

A line is appended when the events that it is about are on the disk, and is flushed. The events of a process that was killed in
between are still in the journal, which recognises them. A part of a line, of a process that was killed while it wrote, is
none, and the next process ends it.
"""

import base64
import json
import os
import struct

from otel_tracker.integrations.claude_code import NAME
from otel_tracker.integrations.claude_code.runs.run import digest
from otel_tracker.runtime.log import warn
from otel_tracker.storage import claim, lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from otel_tracker.storage.files import Files
    from otel_tracker.storage.home import Home

FILE_NAME = "imported"
_RUNS, _REQUESTS = "runs", "requests"
_HEX_DIGITS, _ID_BYTES = 16, 8


class Ledger:
    """The ledger of a home, as it was when it was read, and with what was added since."""

    def __init__(self, home: "Home", files: "Files") -> None:
        """Read it. Raises StorageError."""
        self._path = path_of(home)
        self._folders: dict[str, tuple[str, float | None]] = {}
        self._coded: dict[str, list[str]] = {_RUNS: [], _REQUESTS: []}
        self._ids: dict[str, set[int]] = {}
        self._watched: dict[str, list[list[float]]] = {}
        self._home, self._files = home, files
        read = files.read(self._path)
        lines = read[1].splitlines() if read else []
        entries = [entry for entry in map(_entry, lines) if entry is not None]
        if len(entries) < len(lines) - 1:  # one may be that of a process that was killed
            warn(
                "%d lines of %s are damaged: what they tell may be imported again",
                len(lines) - len(entries),
                self._path,
            )
        for entry in entries:
            self._take(entry)

    def has_read(self, folder: str, state: str, since: "float | None") -> bool:
        """Tell whether a folder in that state has been read, from the moment `since` on or before."""
        known, began = self._folders.get(folder, (None, None))
        return known == state and (began is None or (since is not None and began <= since))

    def knows_run(self, *ids: "str | None") -> bool:
        """Tell whether a run that has one of these ids is counted."""
        known = self._decoded(_RUNS)
        return any(_hash(one) in known for one in ids if one)

    def was_watched(self, session_id: str, at: float) -> bool:
        """Tell whether hooks have counted what a session's main conversation asked for at a moment."""
        return any(began < at <= until for began, until in self._watched.get(session_id, ()))

    def knows_request(self, message: str) -> bool:
        """Tell whether a request of a main conversation is counted, by the id of its message."""
        return _hash(message) in self._decoded(_REQUESTS)

    def add(
        self,
        *,
        runs: "Iterable[str]" = (),
        requests: "Iterable[str]" = (),
        folders: "Mapping[str, str] | None" = None,
        since: "float | None" = None,
    ) -> None:
        """Add what has been counted: it is on the disk when this returns. Raises StorageError."""
        entry = {"folders": folders, "since": since, **_of_ids(runs, requests)}
        entry = {key: value for key, value in entry.items() if value}
        _append(self._home, self._files, entry)
        self._take(entry)

    def note(self, *, runs: "Iterable[str]" = (), requests: "Iterable[str]" = ()) -> None:
        """Know runs and requests from now on, without writing."""
        self._take(_of_ids(runs, requests))

    def _take(self, entry: "dict[str, Any]") -> None:
        for path, state in entry.get("folders", {}).items():
            self._folders[path] = state, entry.get("since")
        for session_id, interval in entry.get("watched", {}).items():
            self._watched.setdefault(session_id, []).append(interval)
        for kind, coded in self._coded.items():
            if entry.get(kind):
                coded.append(entry[kind])

    def _decoded(self, kind: str) -> "set[int]":
        """Return the ids of a kind; where nothing has changed since the last import nobody asks for them."""
        ids, coded = self._ids.setdefault(kind, set()), self._coded[kind]
        while coded:
            ids.update(_decoded(coded.pop()))
        return ids


def path_of(home: "Home") -> str:
    """Return the path of a home's ledger."""
    return os.path.join(home.of_integration(NAME), FILE_NAME)


def remember_runs(home: "Home", files: "Files", runs: "Iterable[str]") -> None:
    """Add the ids of runs to the ledger, without reading it. Raises StorageError."""
    _append(home, files, {key: value for key, value in _of_ids(runs, ()).items() if value})


def remember_watched(home: "Home", files: "Files", session_id: str, began: float, until: float) -> None:
    """Add that hooks have counted a session's main conversation from one moment to another one. Raises StorageError."""
    _append(home, files, {"watched": {session_id: [began, until]}})


def _append(home: "Home", files: "Files", entry: "dict[str, Any]") -> None:
    if not entry:
        return
    path = path_of(home)
    folder = os.path.dirname(path)
    claim.check_links(home, files, folder)
    with lock.held(f"{path}.lock", files):
        signature = files.signature(path)
        size = signature[1] if signature else 0
        read = files.read(path, size - 1) if size else None
        is_cut = read is not None and read[1] != b"\n"
        files.append(path, (b"\n" if is_cut else b"") + json.dumps(entry).encode() + b"\n")
        files.sync(path)
        if not size:
            files.sync_folder(folder)


def _of_ids(runs: "Iterable[str]", requests: "Iterable[str]") -> "dict[str, str]":
    return {_RUNS: _encoded(runs), _REQUESTS: _encoded(requests)}


def _hash(text: str) -> int:
    return int(digest(text)[:_HEX_DIGITS], 16)


def _encoded(ids: "Iterable[str]") -> str:
    hashes = sorted(set(map(_hash, ids)))
    return base64.b64encode(struct.pack(f"<{len(hashes)}Q", *hashes)).decode()


def _decoded(text: str) -> "tuple[int, ...]":
    content = base64.b64decode(text)
    return struct.unpack(f"<{len(content) // _ID_BYTES}Q", content)


def _entry(line: bytes) -> "dict[str, Any] | None":
    """Return what a line says, None if it is damaged."""
    try:
        entry: dict[str, Any] = json.loads(line)
        folders, since = entry.get("folders", {}), entry.get("since")
        is_sound = all(isinstance(state, str) for state in folders.values()) and isinstance(
            since, (int, float, type(None))
        )
        _decoded(entry.get(_RUNS, "")), _decoded(entry.get(_REQUESTS, ""))
        watched = [float(began) <= float(until) for began, until in entry.get("watched", {}).values()]
    except (ValueError, TypeError, AttributeError, RecursionError, struct.error):
        return None
    return entry if is_sound and all(watched) else None
