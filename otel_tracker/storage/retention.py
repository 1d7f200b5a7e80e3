"""How long segments of the journal live: as long as `history_retention_days` and the oldest backup need them.

A segment's age is the time from its newest event to the oldest event of the newest two segments, or to the oldest backup if
that is earlier. The wall clock can only lengthen its life: a clock that is ahead for a while deletes nothing, since the backups of
the present are still there.
"""

import re
from itertools import takewhile

from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.storage.files import Files
    from otel_tracker.storage.parts import Parts

_TIMESTAMP = rb'"timestamp": "([\x20-\x7e]{1,40}?)"'
_MOST_AT_ONCE = 16  # one takes 0.13 s, and others wait for the document lock meanwhile; the next backup is in an hour


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
        from otel_tracker.storage.retirement import retire  # here: most backups retire nothing

        retire(parts, old[:_MOST_AT_ONCE])


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
