"""Events that a process could not write before it ended. It leaves them beside the journal, and the next writer appends them.

A file of them appears in one step, and is deleted when its events are in the journal. If a writer is killed in between, the next
one finds out which of them the journal has (recognition.py).
"""

import os

from otel_tracker.runtime.log import warn
from otel_tracker.runtime.owner import is_ended
from otel_tracker.state.document import decode_json, encode_line
from otel_tracker.state.event_checks import is_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.files import Files
    from otel_tracker.storage.home import Home


_SUFFIX = ".jsonl"


def leave(home: "Home", files: "Files", events: "list[Event]") -> str:
    """Write `events`, which have no numbers yet, to a file beside the journal, and return its path."""
    files.make_folder(home.unwritten)
    path = os.path.join(home.unwritten, f"{os.getpid()}-{os.urandom(4).hex()}{_SUFFIX}")
    files.create(path, b"".join(encode_line(event) + b"\n" for event in events))
    return path


def paths(home: "Home", files: "Files") -> list[str]:
    """Return the paths of the files whose events are still to be appended."""
    names = [name for name in files.names(home.unwritten) if name.endswith(_SUFFIX)]
    return [os.path.join(home.unwritten, name) for name in sorted(names)]


def read(path: str, files: "Files") -> "list[Event]":
    """Return the events of such a file; lines that are no events are skipped with a warning."""
    content = files.read(path)
    lines = (content[1] if content else b"").splitlines()
    events = [event for line in lines if (event := _parsed(line)) is not None]
    if len(events) < len(lines):
        warn("skipped %d lines of %s that are no events", len(lines) - len(events), path)
    return events


def remove(home: "Home", files: "Files", appended: list[str]) -> None:
    """Delete the files at the paths `appended`, whose events are on the disk as part of the journal."""
    for path in [*appended, *filter(_is_abandoned, files.temporary_files(os.path.join(home.unwritten, "")))]:
        files.remove(path)
    files.remove_folder(home.unwritten)


def _is_abandoned(temporary: str) -> bool:
    """Tell whether the process that was writing a file has ended; its name begins with the process's id."""
    pid = os.path.basename(temporary).partition("-")[0]
    return pid.isdecimal() and is_ended(int(pid))


def _parsed(line: bytes) -> "Event | None":
    try:
        event = decode_json(line)
    except ValueError:
        return None
    is_right = isinstance(event, dict) and is_event({"seq": 0, "run_id": "", **_without_nulls(event)})
    if not is_right:
        return None
    event.pop("seq", None)  # it gets its number when it is appended
    return event  # type: ignore[no-any-return]


def _without_nulls(event: "Event") -> "Event":
    """Return an event without a `run_id` of null, which stands for a run that is looked up when the event is appended."""
    return {key: value for key, value in event.items() if value is not None or key != "run_id"}
