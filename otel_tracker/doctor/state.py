"""What the home holds: the document, the journal beside it, and the backups."""

import os
import time
from collections.abc import Iterator
from itertools import pairwise
from shlex import join
from typing import Any

from otel_tracker import owner, summary
from otel_tracker.codec import DocumentCodec
from otel_tracker.doctor.compare import Difference, differences, numbers
from otel_tracker.doctor.finding import NOTE, OK, WRONG, Finding, repair_of
from otel_tracker.doctor.subject import Subject
from otel_tracker.document import Document
from otel_tracker.errors import DocumentError, OtelTrackerError, UnsupportedVersionError
from otel_tracker.fold import fold_all
from otel_tracker.schema import has_changed_settings, settings_of
from otel_tracker.settings import problems_in
from otel_tracker.storage.store import Store
from otel_tracker.suggestion import INSTALL_AGAIN, command

_SHOWN_DIFFERENCES = 5


def document(subject: Subject) -> Iterator[Finding]:
    """Read the document as any process would."""
    store = subject.store
    path = store.home.document
    try:
        state = store.file.load()
    except UnsupportedVersionError as error:
        yield Finding("document", WRONG, str(error), INSTALL_AGAIN)
        return
    except DocumentError as error:
        yield Finding("document", WRONG, str(error), f"correct {path} by hand")
        return
    damage = store.file.damage
    if damage is not None:
        yield Finding(
            "document", WRONG, f"{path} is damaged: {damage.reason}; there are {damage.base}", repair_of(store.home)
        )
        return
    if not store.file.exists:
        yield Finding("document", NOTE, f"{path} does not exist yet; the first task makes it")
        return
    for problem in problems_in(state.head):
        yield Finding("document", WRONG, problem, f"edit {path}")
    if has_changed_settings(state.head):
        yield Finding("document", NOTE, "its settings were changed by hand; they come into force with the next event")
    yield Finding("document", OK, f"version {state.head['version']}, {len(state.agents)} agents, {path}")


def journal(subject: Subject) -> Iterator[Finding]:
    """Read every line of the journal."""
    store, events = subject.store, subject.events
    segments, lines = store.journal.segments(), 0
    for segment in segments:
        read = store.files.read(segment)
        lines += (read[1] if read else b"").count(b"\n")
    found = [event["seq"] for event in events]
    if lines > len(events):
        text = f"{lines - len(events)} of {lines} lines are no events: somebody has changed them; they don't count"
        yield Finding("journal", NOTE, text)
    gaps = [(before, after) for before, after in pairwise(found) if after != before + 1]
    if gaps:
        before, after = gaps[0]
        yield Finding(
            "journal", NOTE, f"gaps: {len(gaps)}, after event {before} comes {after}; what is between is missing"
        )
    if not lines > len(events):
        yield Finding("journal", OK, f"{len(events)} events, segments: {len(segments)}")


def comparison(subject: Subject) -> Iterator[Finding]:
    """Fold the journal again, from the oldest backup that it leads on from, and compare every number."""
    actual = subject.document
    if actual is None:
        return
    if not subject.bases:
        yield Finding("document", NOTE, "no backup leads to it yet, so that its numbers can't be computed again")
        return
    (newest_path, newest), (oldest_path, oldest) = subject.bases[0], subject.bases[-1]
    from_oldest = _differences(oldest, actual, subject)
    from_newest = _differences(newest, actual, subject) if from_oldest else []
    newest_name, oldest_name = os.path.basename(newest_path), os.path.basename(oldest_path)
    if from_newest:
        text = f"it is not what {newest_name} and the journal give, in {len(from_newest)} places: "
        shown = "; ".join(str(difference) for difference in from_newest[:_SHOWN_DIFFERENCES])
        home = subject.store.home
        remedy = f"{repair_of(home)} (to keep what was changed by hand: {command('backups create', home=home.option)})"
        yield Finding("document", WRONG, text + shown, remedy)
    elif from_oldest:
        text = f"it was changed by hand before {newest_name}, in {len(from_oldest)} places: "
        yield Finding("document", NOTE, f"{text}{from_oldest[0]} from {oldest_name} on")
    else:
        count = numbers(actual.head) + numbers(actual.history.entries())
        events = actual.sequence - oldest.sequence
        yield Finding("document", OK, f"{count} numbers are what {oldest_name} and {events} events after it give")


def backups(subject: Subject) -> Iterator[Finding]:
    """Read every backup."""
    store = subject.store
    paths = store.backups.paths()
    valid = [path for path, _ in store.backups.valid()]
    for path in paths:
        if path not in valid:
            yield _unreadable(path, store)
    for path in store.backups.damaged_paths():
        yield Finding("backups", NOTE, f"a damaged document was set aside: {path}", join(("rm", path)))
    if valid:
        yield Finding("backups", OK, f"{len(valid)} valid, the newest is {os.path.basename(valid[0])}")
    elif store.file.exists:
        yield Finding("backups", NOTE, "none yet; the first one is made before the document is next written")


def _unreadable(path: str, store: Store) -> Finding:
    try:
        store.backups.document(path)
    except UnsupportedVersionError as error:
        return Finding("backups", NOTE, str(error))
    except OtelTrackerError as error:
        return Finding("backups", WRONG, str(error), repair_of(store.home))
    return Finding("backups", OK, path)


def running(subject: Subject) -> Iterator[Finding]:
    """Look for running tasks that run too long, or whose process is gone."""
    try:
        state = subject.store.read()
    except DocumentError:
        return
    for task in summary.running_tasks(state, time.time(), owner.is_seen_gone):
        shown = f"a task of {task['agent']} since {task['started']}"
        if task["is_gone"]:
            yield Finding("tasks", NOTE, f"{shown}: its process is gone; the next event records it as lost")
        elif task["is_overdue"]:
            yield Finding("tasks", NOTE, f"{shown} is overdue")


def expected(subject: Subject) -> "Document | None":
    """Return what the document should be by the newest backup that leads to it, None where nothing tells."""
    actual = subject.document
    if actual is None or not subject.bases:
        return None
    _, newest = subject.bases[0]
    return fold_all(newest, subject.between(newest, actual))


def _differences(base: Document, actual: Document, subject: Subject) -> list[Difference]:
    """Return in what a document differs from the fold, apart from settings that no event has recorded yet."""
    refolded = fold_all(base, subject.between(base, actual))
    head = _with_settings_of(actual, refolded.head) if has_changed_settings(actual.head) else refolded.head
    return list(differences(_value(head, refolded), _value(actual.head, actual)))


def _with_settings_of(actual: Document, head: dict[str, Any]) -> dict[str, Any]:
    """Return a head with the settings of another document, which are in no event yet."""
    config, of_agents = settings_of(actual.head)
    agents = {
        key: {name: value for name, value in agent.items() if name != "config"} for key, agent in head["agents"].items()
    }
    for key in of_agents.keys() & agents.keys():
        agents[key]["config"] = of_agents[key]
    return {**head, "config": config, "agents": agents}


def _value(head: dict[str, Any], document: Document) -> dict[str, Any]:
    """Return a document as a JSON value, as it is written."""
    text = b"".join(DocumentCodec().encode(Document(head, document.history)))
    read = DocumentCodec().decode(text, "")
    return {**read.head, "history": read.history.entries()}
