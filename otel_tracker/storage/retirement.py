"""Moves the journal's oldest segments into the archive: what they say of runs is added up there, and they are deleted."""

from otel_tracker import names
from otel_tracker.errors import StorageError
from otel_tracker.state.document import encode_line
from otel_tracker.state.run_parts import ended_runs, parts_of
from otel_tracker.storage.archive import Archive
from otel_tracker.storage.journal import first_number
from otel_tracker.storage.journal_lines import lines_with, parsed
from otel_tracker.storage.run_events import events_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tracker.state.replay import Replay
    from otel_tracker.state.run_parts import RunPart
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.journal import Journal
    from otel_tracker.storage.parts import Parts

_ENDLESS = float("inf")
_RENAMED = encode_line({"action": names.AGENT_RENAMED})[1:-1]
_KEPT = "; the journal keeps its old segments until it can be written"


def retire(parts: "Parts", segments: list[str]) -> None:
    """Archive and delete the journal's oldest segments, one after the other; the caller must hold the document lock.

    No restore may be able to discard their events any more, or to bring them back: every backup must hold the last one.
    Raises StorageError; segments that are not archived stay.
    """
    journal, files, renamed = parts.journal, parts.files, parts.document_file.load().renamed
    archive, replay, renames = Archive(parts.home.archive, files), journal.replay_after(0), _renames(journal)
    settled = first_number(segments[0]) - 1
    for segment, last in zip(segments, journal.last_numbers(journal.segments()), strict=False):
        counting = _parts_in(journal.lines_of(segment), replay, _keys_after(last, renames, renamed))
        try:
            archive.add(counting, first_number(segment), last, settled)
        except StorageError as error:
            raise StorageError(error.attempted, error.path, error.reason + _KEPT) from error
        files.remove(segment)
        files.sync_folder(parts.home.journal)  # a later segment must not be gone while this one comes back


def _renames(journal: "Journal") -> "list[Event]":
    """Return the events that rename agents, newest first."""
    lines = [line for content in journal.contents() for line in reversed(lines_with((_RENAMED,), content))]
    return [event for line in lines if (event := parsed(line)) and event["action"] == names.AGENT_RENAMED]


def _keys_after(number: int, renames: "list[Event]", renamed: "dict[str, str]") -> "dict[str, str]":
    """Return the present keys of agents by those that they had at the event `number`: another agent may have one of these now."""
    keys = dict(renamed)
    for event in renames:
        new: str = event["to"]
        if event["seq"] > number:
            keys[event["agent"]] = keys.get(new, new)
    return keys


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
