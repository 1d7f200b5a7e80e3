"""What the main conversation of a session uses, recorded while the session goes on.

To know first: a session is watched from its first event on until it ends. Meanwhile a file remembers how far its transcript has
been counted. The file of a session that was killed stays until an event of another session finds it: there are few files, and
each event looks at all of them.

1. `opened` takes the lock of the file: two hooks never go on from the same place.
2. `record` saves an event, and the place behind it, before the event goes into the journal, and takes it out of the file only
   afterwards. A hook that was killed in between leaves it there; the next one records it again, and by its id it counts once.
3. When a session ends, the ledger keeps for good from when to when it was watched: an import leaves out what it asked for then.
4. At the end of a turn the event is only appended to the journal: all readers see it there, and whoever records next brings it
   into the document. The end of the session does that in any case.
"""

import json
import os
from contextlib import contextmanager

from otel_tracker.integrations.claude_code import NAME
from otel_tracker.integrations.claude_code.runs import ledger
from otel_tracker.integrations.claude_code.runs.run import event_id
from otel_tracker.integrations.claude_code.runs.session_files import SILENT_SECONDS, path_of_watched
from otel_tracker.integrations.claude_code.transcripts import places
from otel_tracker.integrations.claude_code.transcripts.conversation_reader import ConversationReader, Place
from otel_tracker.integrations.claude_code.variables import session_process
from otel_tracker.runtime.owner import is_seen_gone, is_visible
from otel_tracker.storage import claim, lock
from otel_tracker.storage.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.home import Home

_SUFFIX = ".json"
_NUMBER, _TEXT = (int, float), (str, type(None))
_OF_PLACE: "tuple[Any, ...]" = (_NUMBER, _NUMBER, (int, type(None)), int, _TEXT)
_TYPES: "dict[str, Any]" = {
    "session_id": str,
    "transcript": str,
    "process": (dict, type(None)),
    "project": _TEXT,
    "began": _NUMBER,
    "place": list,
    "looked": _NUMBER,
    "unrecorded": (dict, type(None)),
}
_LEFT_SECONDS = 86_400.0  # after so long without a line a session whose process can't be seen counts as killed


class WatchedSession:
    """What is remembered of a session that is watched. `opened` returns one and holds its lock."""

    def __init__(self, home: "Home", session_id: str, files: Files) -> None:
        self.id, self._home, self._files = session_id, home, files
        self._path = path_of_watched(home, session_id)
        read = files.read(self._path)
        self._saved = read[1] if read else None
        facts = _facts_in(read[1]) if read else {}
        self.place = Place(*facts["place"]) if facts else None
        """None: the session isn't watched yet."""
        self._began: float = facts.get("began", 0.0)
        self.is_over = False
        self.transcript: str = facts.get("transcript", "")
        self.process: dict[str, Any] | None = facts.get("process")
        self._project: str | None = facts.get("project")
        self._looked: float = facts.get("looked", 0.0)
        self._unrecorded: Event | None = facts.get("unrecorded")

    @classmethod
    @contextmanager
    def opened(cls, home: "Home", session_id: str) -> "Iterator[WatchedSession]":
        """Hold the file of a session so that no other hook changes it meanwhile. Raises StorageError."""
        files, path = Files(), path_of_watched(home, session_id)
        claim.check_links(home, files, home.of_integration(NAME), os.path.dirname(path))
        with lock.held(f"{path}.lock", files):
            session = cls(home, session_id, files)
            yield session
        if session.is_over:
            files.remove(f"{path}.lock")

    def note_origin(self, transcript: "str | None", now: float) -> None:
        """Note the process and the transcript of a session, which is watched from `now` on, unless it is watched already."""
        self.process = session_process() or self.process
        self.transcript = self.transcript if transcript is None else os.path.expanduser(transcript)
        if self.place is None:
            self.place = Place.at_the_end(self.transcript, now)
            self._began = self._looked = now
        self._save()

    def record(self, now: float, until: float, *, is_over: bool = False) -> None:
        """Record what the conversation has asked for since the last time; `now` is in seconds since 1970.

        No more of a long transcript is read from the moment `until` of `time.monotonic` on. The file of a session that `is_over`
        is deleted, unless there is more to read. Raises OtelTrackerError if the event can't be written: the next hook does it.
        """
        if self.place is None:
            return
        if self._unrecorded is not None:
            self._put(may_repeat=True)
        since, reader = self.place.until, ConversationReader(self.place)
        is_whole = self._read(reader, until, is_over=is_over)
        self._unrecorded = self._event(since, reader)
        if self._unrecorded is not None:
            self._looked = now
        self._save()
        if self._unrecorded is not None or (is_over and self.place.last is not None):
            self._put(is_last=is_over)
            self._save()
        if is_over and is_whole:
            if self.place.last is not None:
                ledger.remember_watched(self._home, self._files, self.id, self._began, self.place.until)
            for path in (self._path, *self._files.temporary_files(self._path)):  # of killed hooks
                self._files.remove(path)
            self.is_over = True

    def _read(self, reader: ConversationReader, until: float, *, is_over: bool) -> bool:
        """Read on in the transcripts of the conversation and of its helpers; return whether nothing is left."""
        try:
            is_whole = reader.read(self.transcript, until, is_over=is_over)
            for path in places.helpers_of(self.transcript, self._looked):
                reader.read_helper(path)
        except (OSError, ValueError):  # it is not there yet, or no longer
            return True
        return is_whole

    def _event(self, since: float, reader: ConversationReader) -> "Event | None":
        """Return the event of what was asked for after the moment `since`, None if that is nothing."""
        if reader.usage.is_unmeasured:
            return None
        from otel_tracker.integrations.claude_code.runs.project import project_of
        from otel_tracker.state.event import usage_recorded
        from otel_tracker.storage.price_file import cost_in

        self._project = project_of(self._home, self.transcript, self._project)
        models, until = reader.usage.by_model(cost_in(self._home)), reader.place.until
        return usage_recorded(
            self.id,
            since,
            until,
            models,
            event_id=event_id(self.id, f"usage {since} {until}"),
            usage_incomplete=reader.usage.is_incomplete,
            project=self._project,
        )

    def _put(self, *, may_repeat: bool = False, is_last: bool = False) -> None:
        from otel_tracker.storage.store import Store  # here: most events of a session have nothing to record

        store, events = Store(self._home), [] if self._unrecorded is None else [self._unrecorded]
        if is_last:
            store.record(events, may_repeat=may_repeat)
        else:
            store.announce(events, may_repeat=may_repeat)
        self._unrecorded = None

    def _save(self) -> None:
        facts = {
            "session_id": self.id,
            "transcript": self.transcript,
            "process": self.process,
            "project": self._project,
            "began": self._began,
            "place": self.place.facts() if self.place is not None else None,
            "looked": self._looked,
            "unrecorded": self._unrecorded,
        }
        content = json.dumps(facts, separators=(",", ":")).encode()
        if content != self._saved:
            self._files.replace(self._path, [content])
            self._saved = content


def watched_since(home: "Home", session_id: str, files: Files) -> "float | None":
    """Return the moment from which on a session is watched, seconds since 1970; None if it isn't."""
    read = files.read(path_of_watched(home, session_id))
    return _facts_in(read[1]).get("began") if read else None


def settle_others(home: "Home", session_id: str, now: float, until: float) -> None:
    """Record what other sessions used that are over, although no event has said so; `until` as in `WatchedSession.record`."""
    files, folder = Files(), os.path.dirname(path_of_watched(home, session_id))
    for name in files.names(folder):
        read = files.read(os.path.join(folder, name)) if name.endswith(_SUFFIX) else None
        facts = _facts_in(read[1]) if read else {}
        if facts and facts["session_id"] != session_id and _may_be_over(facts, now):
            with WatchedSession.opened(home, facts["session_id"]) as other:
                other.record(now, until, is_over=_is_over(facts, now))


def _may_be_over(facts: "dict[str, Any]", now: float) -> bool:
    """Tell whether the process of a session has ended, or can't be seen, and nothing has come from it for an hour."""
    process = facts["process"]
    if process is not None and is_visible(process):
        return is_seen_gone(process)
    return _silence(facts, now) > SILENT_SECONDS


def _is_over(facts: "dict[str, Any]", now: float) -> bool:
    return is_seen_gone(facts["process"]) or _silence(facts, now) > _LEFT_SECONDS


def _silence(facts: "dict[str, Any]", now: float) -> float:
    """Return the seconds since a session has written to its transcript, or since it is watched."""
    return now - (places.modified(facts["transcript"]) or facts["looked"])


def _facts_in(content: bytes) -> "dict[str, Any]":
    """Return the facts in the content of a file, none if it is damaged."""
    try:
        facts = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) and _is_sound(facts) else {}


def _is_sound(facts: "dict[str, Any]") -> bool:
    """Tell whether facts have the types that this package writes: whatever a file holds, a hook must not fail on it."""
    if facts.keys() != _TYPES.keys() or not all(isinstance(facts[key], types) for key, types in _TYPES.items()):
        return False
    place, event = facts["place"], facts["unrecorded"]
    is_place = len(place) == len(_OF_PLACE) and all(
        isinstance(value, types) for value, types in zip(place, _OF_PLACE, strict=True)
    )
    if not is_place or event is None:
        return is_place
    from otel_tracker.state.event_checks import is_event  # here: only a killed hook leaves an event

    return is_event({"seq": 0, **event})
