"""Backups: copies of validated documents, named by the second (UTC) in which they were made.

The newer one of two is that whose document has the higher sequence, whatever the names say: clocks jump.
"""

import os
import re
from datetime import UTC

from otel_tracker.errors import DocumentError, StorageError, UnknownBackupError
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state.codec import DocumentCodec
from otel_tracker.state.layout import sequence_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tracker.state.document import Document
    from otel_tracker.storage.files import Files, Signature
    from otel_tracker.storage.home import Home
    from otel_tracker.storage.journal import Journal

KEPT_NEWEST, KEPT_DAYS, KEPT_DAMAGED = 5, 7, 5
_STAMP = "%Y%m%d_%H%M%S"
_BEGINNING_BYTES = 4096
_UNREADABLE = -1


class Backups:
    """The backups of one document."""

    def __init__(self, home: "Home", files: "Files", journal: "Journal") -> None:
        self._home, self._folder, self._files, self._journal = home, home.backups, files, journal
        self._pattern = re.escape(home.stem) + r"_(\d{8})_\d{6}\.json"
        self._damaged = re.escape(home.stem) + r"\.corrupt-\d{8}_\d{6}\.json"
        self._sequences: dict[tuple[str, Signature | None], int] = {}

    def paths(self) -> list[str]:
        """Return the paths of all backups, oldest first.

        A backup that holds more events than the journal is from another life of the home, and comes before all others.
        """
        names = [name for name in self._files.names(self._folder) if self._is_name(name)]
        last = self._journal.last() or float("inf")

        def age(path: str) -> "tuple[bool, int, str]":
            return self.sequence(path) <= last, self.sequence(path), path

        return sorted((os.path.join(self._folder, name) for name in names), key=age)

    def damaged_paths(self) -> list[str]:
        """Return the paths of the damaged documents that were set aside, oldest first."""
        names = [name for name in self._files.names(self._folder) if re.fullmatch(self._damaged, name)]
        return [os.path.join(self._folder, name) for name in sorted(names)]

    def path_of(self, name: str) -> str:
        """Return the path of the backup that a user calls `name`, with or without folder and ending; raises UnknownBackupError."""
        wanted = os.path.basename(name)
        for path in self.paths():
            if os.path.basename(path) in (wanted, f"{wanted}.json"):
                return path
        raise UnknownBackupError(name, self._folder, self._home.option)

    def create(self, content: bytes, now: float) -> str:
        """Keep `content` and return the path; a name that is taken moves on to the next second.

        The caller must hold the document lock.
        """
        self._files.make_folder(self._folder)
        second = int(now)
        while True:
            path = os.path.join(self._folder, f"{self._home.stem}_{_stamp(second)}.json")
            if self._files.create(path, content):
                return path
            second += 1

    def prune(self) -> None:
        """Delete all but the 5 newest and the newest of each of the last 7 days; unreadable ones are left alone."""
        readable = [path for path in self.paths() if self.sequence(path) != _UNREADABLE]
        of_day: dict[str, str] = {}
        for path in reversed(readable):
            of_day.setdefault(self._day(path), path)
        kept = {*readable[-KEPT_NEWEST:], *list(of_day.values())[:KEPT_DAYS]}
        for path in readable:
            if path not in kept:
                self._files.remove(path)

    def oldest_sequence(self) -> "int | None":
        """Return the sequence of the oldest readable backup, None if there is none."""
        sequences = [self.sequence(path) for path in self.paths()]
        return min((sequence for sequence in sequences if sequence != _UNREADABLE), default=None)

    def valid(self) -> "Iterator[tuple[str, Document]]":
        """Yield the path and the document of each valid backup, the newest first."""
        for path in reversed(self.paths()):
            document = self._document_or_none(path)
            if document is not None:
                yield path, document

    def document(self, path: str) -> "Document":
        """Return the document of a backup; raises DocumentError if it has none."""
        read = self._files.read(path)
        if read is None:
            raise DocumentError(path, "", "it has vanished")
        document = DocumentCodec().decode(read[1], path)
        document.history.entries()
        return document

    def keep_damaged(self, content: bytes, now: float, most: int = KEPT_DAMAGED) -> str:
        """Set a damaged document aside in the backups' folder, and return its path; only the newest `most` of these are kept."""
        self._files.make_folder(self._folder)
        kept, second = self.damaged_paths(), int(now)
        newest = self._files.read(kept[-1]) if kept else None
        if newest is not None and newest[1] == content:  # an earlier attempt has set it aside and then failed
            return kept[-1]
        # Its name must be the last one, for the oldest are deleted by name: two may be set aside in one second.
        while kept and self._damaged_path(second) <= kept[-1]:
            second += 1
        path = self._damaged_path(second)
        self._files.create(path, content)
        for old in [*kept, path][:-most]:
            self._files.remove(old)
        return path

    def made_at(self, path: str) -> float:
        """Return the moment in the name of a backup, in seconds since 1970."""
        date, _, clock = os.path.basename(path)[len(self._home.stem) + 1 : -len(".json")].partition("_")
        parts = (date[:4], date[4:6], date[6:]), (clock[:2], clock[2:4], clock[4:])
        return parse_timestamp(f"{'-'.join(parts[0])}T{':'.join(parts[1])}Z")  # strptime takes 2 ms to load

    def sequence(self, path: str) -> int:
        """Return the sequence of the document that a backup holds, -1 if it can't be read."""
        key = path, self._files.signature(path)
        if key not in self._sequences:
            sequence = self._sequence_from_beginning(path)
            if sequence is None:  # the file was not written by this package
                document = self._document_or_none(path)
                sequence = _UNREADABLE if document is None else document.sequence
            self._sequences[key] = sequence
        return self._sequences[key]

    def has_sequence(self, path: str) -> bool:
        """Tell whether a backup has its sequence where this package writes it: another program may have left it out."""
        return self._sequence_from_beginning(path) not in (None, _UNREADABLE)

    def _document_or_none(self, path: str) -> "Document | None":
        try:
            return self.document(path)
        except (DocumentError, StorageError):
            return None

    def _is_name(self, name: str) -> bool:
        try:
            return bool(re.fullmatch(self._pattern, name)) and self.made_at(name) > 0
        except (ValueError, OverflowError):  # the 30th of February
            return False

    def _sequence_from_beginning(self, path: str) -> "int | None":
        try:
            read = self._files.read(path, 0, _BEGINNING_BYTES)
        except StorageError:
            return _UNREADABLE
        return sequence_of(read[1]) if read else None

    def _day(self, path: str) -> str:
        match = re.fullmatch(self._pattern, os.path.basename(path))
        return match[1] if match else ""

    def _damaged_path(self, second: int) -> str:
        return os.path.join(self._folder, f"{self._home.stem}.corrupt-{_stamp(second)}.json")


def _stamp(second: int) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(second, UTC).strftime(_STAMP)
