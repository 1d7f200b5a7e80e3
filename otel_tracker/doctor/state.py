"""What the home holds: the document, the journal beside it, and the backups."""

import os
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from otel_tracker import owner, summary
from otel_tracker.codec import DocumentCodec
from otel_tracker.doctor.compare import differences, numbers
from otel_tracker.doctor.finding import NOTE, OK, REPAIR, WRONG, Finding
from otel_tracker.document import Document
from otel_tracker.errors import DocumentError, UnsupportedVersionError
from otel_tracker.fold import fold_all
from otel_tracker.replay import is_discarded
from otel_tracker.schema import has_changed_settings
from otel_tracker.settings import Settings
from otel_tracker.storage.store import Store

_SHOWN_DIFFERENCES = 5


def document(store: Store) -> Iterator[Finding]:
    """Read the document as any process would."""
    path = store.home.document
    try:
        state = store.file.load()
    except UnsupportedVersionError as error:
        yield Finding("document", WRONG, str(error), "pip install --upgrade otel-tracker")
        return
    except DocumentError as error:
        yield Finding("document", WRONG, str(error), f"correct {path} by hand")
        return
    damage = store.file.damage
    if damage is not None:
        yield Finding("document", WRONG, f"{path} is damaged: {damage.reason}; there are {damage.base}", REPAIR)
        return
    if not store.file.exists:
        yield Finding("document", NOTE, f"{path} does not exist yet; the first task makes it")
        return
    for problem in Settings.of(state.config).problems:
        yield Finding("document", WRONG, problem, f"edit {path}")
    if has_changed_settings(state.head):
        yield Finding("document", NOTE, "its settings were changed by hand; they come into force with the next event")
    yield Finding("document", OK, f"version {state.head['version']}, {len(state.agents)} agents, {path}")


def journal(store: Store) -> Iterator[Finding]:
    """Read every line of the journal."""
    segments, lines = store.journal.segments(), 0
    for segment in segments:
        read = store.files.read(segment)
        lines += (read[1] if read else b"").count(b"\n")
    events = store.journal.after(0)
    found = [event["seq"] for event in events]
    if lines > len(events):
        text = f"{lines - len(events)} of {lines} lines are no events: somebody has changed them; they don't count"
        yield Finding("journal", NOTE, text)
    gaps = [(before, after) for before, after in pairwise(found) if after != before + 1]
    if gaps:
        before, after = gaps[0]
        yield Finding(
            "journal", NOTE, f"{len(gaps)} gaps: after event {before} comes {after}; what is between is missing"
        )
    if not lines > len(events):
        yield Finding("journal", OK, f"{len(events)} events in {len(segments)} segments")


def comparison(store: Store) -> Iterator[Finding]:
    """Fold the journal again, from the oldest backup that it leads on from, and compare every number."""
    actual = _on_disk(store)
    if actual is None:
        return
    bases = [(path, base) for path, base in store.backups.valid() if _leads_on(store, base, actual)]
    if not bases:
        yield Finding("document", NOTE, "no backup leads to it yet, so that its numbers can't be computed again")
        return
    found = {path: _differences(store, base, actual) for path, base in (bases[0], bases[-1])}
    newest, oldest = os.path.basename(bases[0][0]), os.path.basename(bases[-1][0])
    from_newest, from_oldest = found[bases[0][0]], found[bases[-1][0]]
    if from_newest:
        text = f"it is not what {newest} and the journal give, in {len(from_newest)} places: "
        shown = "; ".join(str(difference) for difference in from_newest[:_SHOWN_DIFFERENCES])
        remedy = f"{REPAIR} (to keep what a hand has changed: otel-tracker backups create)"
        yield Finding("document", WRONG, text + shown, remedy)
    elif from_oldest:
        text = (
            f"it was changed by hand before {newest}, in {len(from_oldest)} places: {from_oldest[0]} from {oldest} on"
        )
        yield Finding("document", NOTE, text)
    else:
        count = numbers(actual.head) + numbers(actual.history.entries())
        events = actual.sequence - bases[-1][1].sequence
        yield Finding("document", OK, f"{count} numbers are what {oldest} and {events} events after it give")


def backups(store: Store) -> Iterator[Finding]:
    """Read every backup."""
    paths = store.backups.paths()
    valid = [path for path, _ in store.backups.valid()]
    for path in paths:
        if path not in valid:
            yield Finding("backups", WRONG, f"{path} can't be read", REPAIR)
    for path in store.backups.damaged_paths():
        yield Finding("backups", NOTE, f"a damaged document was set aside: {path}", f"rm {path}")
    if valid:
        yield Finding("backups", OK, f"{len(valid)} valid, the newest is {os.path.basename(valid[0])}")
    elif store.file.exists:
        yield Finding("backups", NOTE, "none yet; the first one is made before the document is next written")


def running(store: Store) -> Iterator[Finding]:
    """Look for running tasks that run too long, or whose process is gone."""
    try:
        state = store.read()
    except DocumentError:
        return
    for task in summary.running_tasks(state, time.time(), owner.is_seen_gone):
        shown = f"a task of {task['agent']} since {task['started']}"
        if task["is_gone"]:
            yield Finding("tasks", NOTE, f"{shown}: its process is gone; the next event records it as lost")
        elif task["is_overdue"]:
            yield Finding("tasks", NOTE, f"{shown} is overdue")


def expected(store: Store) -> "Document | None":
    """Return what the document should be by the oldest backup that leads to it, None where nothing tells."""
    actual = _on_disk(store)
    bases = [base for _, base in store.backups.valid() if actual and _leads_on(store, base, actual)]
    return _refolded(store, bases[-1], actual) if actual and bases else None


def _on_disk(store: Store) -> "Document | None":
    try:
        document = store.file.load()
    except DocumentError:
        return None
    return document if store.file.exists and store.file.damage is None else None


def _leads_on(store: Store, base: Document, actual: Document) -> bool:
    """Tell whether the journal has all that lies between a backup and the document."""
    events = store.journal.after(base.sequence)
    if base.sequence > actual.sequence or is_discarded(base.sequence, events):
        return False
    between = [event["seq"] for event in events if event["seq"] <= actual.sequence]
    return between == list(range(base.sequence + 1, actual.sequence + 1))


def _refolded(store: Store, base: Document, actual: Document) -> Document:
    events = [event for event in store.journal.after(base.sequence) if event["seq"] <= actual.sequence]
    return fold_all(base, events)


def _differences(store: Store, base: Document, actual: Document) -> "list[Any]":
    """Return in what a document differs from the fold, apart from settings that no event has recorded yet."""
    refolded = _refolded(store, base, actual)
    pending = {"config": actual.config} if has_changed_settings(actual.head) else {}
    return list(differences(_value({**refolded.head, **pending}, refolded), _value(actual.head, actual)))


def _value(head: "dict[str, Any]", document: Document) -> "dict[str, Any]":
    """Return a document as a JSON value as it is written."""
    text = b"".join(DocumentCodec().encode(Document(head, document.history)))
    read = DocumentCodec().decode(text, "")
    return {**read.head, "history": read.history.entries()}
