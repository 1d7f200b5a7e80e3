"""How long segments of the journal live: as long as `history_retention_days` and the oldest backup need them.

What a segment says of runs goes into the archive before the segment is deleted.
A segment's age is the time from its newest event to the oldest event of the newest two segments, or to the oldest backup if
that is earlier. The wall clock can only lengthen its life: a clock that is ahead for a while deletes nothing, since the backups of
the present are still there.
"""

import re
from itertools import takewhile

from otel_tracker import names
from otel_tracker.errors import StorageError
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state.run_parts import ended_runs, parts_of
from otel_tracker.state.settings import Settings
from otel_tracker.storage.archive import Archive
from otel_tracker.storage.journal import first_number
from otel_tracker.storage.run_events import events_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tracker.state.document import Document
    from otel_tracker.state.replay import Replay
    from otel_tracker.state.run_parts import RunPart
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.files import Files
    from otel_tracker.storage.parts import Parts

_TIMESTAMP = rb'"timestamp": "([\x20-\x7e]{1,40}?)"'
_ENDLESS = float("inf")
_MOST_AT_ONCE = 16  # one takes 0.13 s, and others wait for the document lock meanwhile; the next backup is in an hour
_KEPT = "; the journal keeps its old segments until it can be written"


def retire_old_segments(parts: "Parts") -> None:
    """Archive and delete the segments that neither the settings nor a backup needs; the caller must hold the document lock."""
    document, journal, backups, files = parts.document_file.load(), parts.journal, parts.backups, parts.files
    segments = journal.segments()
    oldest_backup = backups.oldest_sequence()
    if len(segments) < 3 or oldest_backup is None:
        return
    needed = min(oldest_backup, document.sequence)
    numbered = zip(segments[:-2], journal.last_numbers(segments), strict=False)
    deletable = [path for path, last in numbered if last <= needed]
    if not deletable:
        return
    recent = [moment for segment in segments[-2:] for moment in _moments(segment, files)]
    oldest_now = min([parts.clock(), *recent, *(backups.made_at(path) for path in backups.paths())])
    limit = oldest_now - Settings.of(document.config).history_retention_days * 86_400
    old = list(takewhile(lambda path: max(_moments(path, files), default=oldest_now) < limit, deletable))
    if old:  # the journal must not have gaps: only the oldest ones
        _retire(old[:_MOST_AT_ONCE], parts, document)


def _retire(segments: list[str], parts: "Parts", document: "Document") -> None:
    """Archive and delete the journal's oldest segments, one after the other.

    No restore can discard their events any more, or bring them back: no backup is old enough.
    """
    journal, files = parts.journal, parts.files
    archive, replay = Archive(parts.home.archive, files), journal.replay_after(0)
    settled = first_number(segments[0]) - 1
    for segment, last in zip(segments, journal.last_numbers(journal.segments()), strict=False):
        counting = _parts_in(journal.lines_of(segment), replay, document.renamed)
        try:
            archive.add(counting, first_number(segment), last, settled)
        except StorageError as error:
            raise StorageError(error.attempted, error.path, error.reason + _KEPT) from error
        files.remove(segment)
        files.sync_folder(parts.home.journal)  # a later segment must not be gone while this one comes back


def _parts_in(content: bytes, replay: "Replay", renamed: "dict[str, str]") -> "Iterator[RunPart]":
    """Yield the parts of what the lines of one segment say of runs; an amendment of an end in another one is a difference."""
    events = (event for event in events_in(content) if not replay.has_discarded(event["seq"]))
    for end in ended_runs(lambda *_: [(_ENDLESS, events)], renamed=renamed):
        yield from _timed_parts(end)


def _timed_parts(end: "Event") -> "list[RunPart]":
    """Return the parts of an end; those of a difference with the seconds by which it changes the run's duration."""
    parts = parts_of(end)
    if end["action"] == names.TASK_AMENDED:
        parts[-1] = parts[-1]._replace(duration_seconds=end.get("duration_seconds"))
    return parts


def _moments(segment: str, files: "Files") -> list[float]:
    """Return the moments of a segment's events, in seconds since 1970."""
    read = files.read(segment)
    moments = (_moment(match[1].decode()) for match in re.finditer(_TIMESTAMP, read[1] if read else b""))
    return [moment for moment in moments if moment is not None]


def _moment(text: str) -> "float | None":
    try:
        return parse_timestamp(text)
    except (ValueError, OverflowError):
        return None  # another program has damaged the line
