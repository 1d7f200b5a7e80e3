"""Findings about the files of a home: the document, the journal, and the backups."""

import math
import os
import time
from collections.abc import Iterator
from shlex import join
from typing import Any

from otel_tracker.doctor.audit import COUNTERS, distinct, moved, totals_of
from otel_tracker.doctor.compare import Difference, differences, numbers, with_keys_of_people
from otel_tracker.doctor.subject import Subject, ValidBackup
from otel_tracker.errors import INSTALL_AGAIN, DocumentError, OtelTrackerError, UnsupportedVersionError, command
from otel_tracker.reporting import summary
from otel_tracker.reporting.finding import NOTE, OK, WRONG, Finding, repair_of
from otel_tracker.reporting.wording import counted
from otel_tracker.runtime import owner
from otel_tracker.state.codec import DocumentCodec
from otel_tracker.state.document import Document
from otel_tracker.state.event_checks import is_event
from otel_tracker.state.fold import fold_all
from otel_tracker.state.schema import has_changed_settings, settings_of
from otel_tracker.state.settings import problems_in
from otel_tracker.storage.archive import Archive
from otel_tracker.storage.parts import Parts
from otel_tracker.storage.price_file import read_prices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.state.shapes import Head

_SHOWN_DIFFERENCES = 5
_MOST_FOLDED = 20_000  # events: some seconds


def document(subject: Subject) -> Iterator[Finding]:
    """Read the document as any process would."""
    parts = subject.parts
    path = parts.home.document
    try:
        state = parts.document_file.load()
    except UnsupportedVersionError as error:
        yield Finding("document", WRONG, str(error), INSTALL_AGAIN)
        return
    except DocumentError as error:
        yield Finding("document", WRONG, str(error), f"correct {path} by hand")
        return
    damage = parts.document_file.damage
    if damage is not None:
        yield Finding(
            "document", WRONG, f"{path} is damaged: {damage.reason}; there are {damage.base}", repair_of(parts.home)
        )
        return
    if not parts.document_file.exists:
        yield Finding("document", NOTE, f"{path} does not exist yet; the first task makes it")
        return
    for problem in problems_in(state.head):
        yield Finding("document", WRONG, problem, f"edit {path}")
    if has_changed_settings(state.head):
        yield Finding("document", NOTE, "its settings were changed by hand; they come into force with the next event")
    yield Finding(
        "document", OK, f"version {state.head['version']}, {counted(len(state.agents), 'agent', 'agents')}, {path}"
    )


def journal(subject: Subject) -> Iterator[Finding]:
    """Report the faults in the journal's lines."""
    audit = subject.audit
    for path in _foreign_files(subject.parts):
        text = f"{path} is no segment of this journal, and nothing of it counts"
        yield Finding("journal", WRONG, text, f"move it out of {subject.parts.home.journal}")
    for path in audit.disordered:
        text = f"{path} doesn't continue the segment before it, or begins with another number than its name"
        yield Finding("journal", WRONG, text, "if it is another home's, or a copy, move it away")
    if audit.damaged:
        text = f"{audit.damaged} of {audit.lines} lines are no events: another program, or a person, has changed them; they don't count"
        yield Finding("journal", NOTE, text)
    if audit.gaps[1:] or (audit.gaps and audit.gaps[0][0]):
        gaps = [gap for gap in audit.gaps if gap[0]]
        text = f"gaps: {len(gaps)}, after event {gaps[0][0]} comes {gaps[0][1]}; the events between are missing"
        yield Finding("journal", NOTE, text)
    for noun, repeated in (("ids", audit.repeated_ids()), ("ends of a run", audit.ends)):
        if repeated.events:
            text = f"{repeated.events} {noun} are in it twice, the first at event {repeated.first}"
            yield Finding("journal", NOTE, f"{text}; a repetition does not count")
    if not audit.damaged:
        yield Finding("journal", OK, f"{counted(audit.events, 'event', 'events')}, segments: {audit.segments}")


def archive(subject: Subject) -> Iterator[Finding]:
    """Read the archive, whose lines count once their segments of the journal are gone."""
    parts = subject.parts
    archive, first = Archive(parts.home.archive, parts.files), parts.journal.first() or math.inf
    unfinished = next(
        iter(parts.journal.last_numbers(parts.journal.segments())), None
    )  # a killed process leaves such lines
    total, contradicting = 0, 0
    for path in archive.paths():
        lines, damaged = archive.read(path)
        total += len(lines)
        contradicting += sum(1 for line in lines if line["until"] >= first and line["until"] != unfinished)
        if damaged:
            text = (
                f"{len(damaged)} lines of {path} are none of an archive: another program, or a person, has changed them"
            )
            yield Finding("archive", NOTE, f"{text}; they don't count")
    if contradicting:
        text = f"{contradicting} lines in {parts.home.archive} are of events that the journal has, or that were never in it"
        yield Finding(
            "archive", WRONG, text, "if they are another home's, or from before this one began anew, move them away"
        )
    elif total:
        yield Finding(
            "archive", OK, f"{counted(total, 'line', 'lines')} of {counted(len(archive.paths()), 'month', 'months')}"
        )


def lag(subject: Subject) -> Iterator[Finding]:
    """Report how far the document is behind the journal. Starts of tasks don't count: they wait for the next event."""
    document = subject.document
    if document is not None and subject.audit.unfolded:
        yield _lag(subject, subject.audit.unfolded, document.sequence)


def behind(subject: Subject, present: Document) -> Iterator[Finding]:
    """Report, without reading the journal, how far the document on the disk is behind the `present` state, as `lag` does."""
    document = subject.document
    if document is not None and document.sequence < present.sequence:
        later = [entry for entry in present.history.entries() if is_event(entry) and entry["seq"] > document.sequence]
        if later:
            yield _lag(subject, len(later), document.sequence)


def _lag(subject: Subject, events: int, number: int) -> Finding:
    text = f"it lags behind: {counted(events, 'event', 'events')} after event {number} are only in the journal yet"
    return Finding("document", NOTE, f"{text}; the next task writes them into it", repair_of(subject.parts.home))


def comparison(subject: Subject) -> Iterator[Finding]:
    """Compare all numbers with those from the newest backup and the journal, and the totals with older backups, too."""
    actual = subject.document
    if actual is None:
        return
    if not subject.bases:
        yield from _from_the_beginning(subject)
        return
    oldest, newest = subject.bases[0], subject.bases[-1]
    text = f"it is not what {os.path.basename(newest.path)} and the journal give, in "
    differing = [*_differences(newest, actual, subject)]
    if differing:
        shown = "; ".join(str(difference) for difference in differing[:_SHOWN_DIFFERENCES])
        home = subject.parts.home
        remedy = f"{repair_of(home)} (to keep changes made by hand: {command('backups create', home=home.option)})"
        yield Finding("document", WRONG, f"{text}{counted(len(differing), 'place', 'places')}: {shown}", remedy)
        return
    contradictions = [finding for base in subject.bases if (finding := _contradiction(base, subject))]
    if contradictions:
        yield max(contradictions, key=lambda finding: finding.level == WRONG)
        return
    base = next(base for base in subject.bases if base is newest or actual.sequence - base.sequence <= _MOST_FOLDED)
    of_old = [] if base is newest else _differences(base, actual, subject)
    if of_old:
        text = f"it was changed by hand before {os.path.basename(newest.path)}, in {counted(len(of_old), 'place', 'places')}: "
        yield Finding("document", NOTE, f"{text}{of_old[0]} from {os.path.basename(base.path)} on")
        return
    count = numbers(actual.head) + numbers(actual.history.entries())
    given = (
        f"{os.path.basename(base.path)} and {counted(actual.sequence - base.sequence, 'event', 'events')} after it give"
    )
    if actual.sequence - base.sequence <= _MOST_FOLDED:
        yield Finding("document", OK, f"{count:,} numbers are what {given}")
    if base is not oldest or actual.sequence - base.sequence > _MOST_FOLDED:
        given = f"{os.path.basename(oldest.path)} and {actual.sequence - oldest.sequence} events after it give"
        yield Finding(
            "document", OK, f"tasks and tokens of {counted(len(actual.agents), 'agent', 'agents')} are what {given}"
        )


def _from_the_beginning(subject: Subject) -> Iterator[Finding]:
    """Report what can be checked without a backup that leads to the document: what it held before the first event is unknown."""
    text = "no backup leads to it yet, so that its numbers can't be computed again"
    document, beginning = subject.document, ValidBackup("the journal's beginning", 0, {})
    if document is None or not subject.audit.leads_on(beginning.sequence, document.sequence):
        yield Finding("document", NOTE, text)
        return
    contradiction = _contradiction(beginning, subject)
    yield Finding(
        "document",
        NOTE,
        f"{text}; {contradiction.text if contradiction else 'its tasks and tokens are those of all events'}",
    )


def contradicting(subject: Subject) -> "ValidBackup | None":
    """Return the oldest backup after which the journal has fewer tasks, or tokens, than the document counts."""
    return next(
        (base for base in subject.bases if (finding := _contradiction(base, subject)) and finding.level == WRONG), None
    )


def _contradiction(base: ValidBackup, subject: Subject) -> "Finding | None":
    """Return where the document's totals differ from those of a backup and the events after it, by the doctor's own count."""
    document = subject.document
    if document is None:
        return None
    actual, sums = totals_of(document), subject.audit.totals
    places = []
    base_totals = {agent: dict(counted) for agent, counted in base.totals.items()}
    for number, old, new in subject.audit.moves:
        if base.sequence < number <= document.sequence:
            moved(base_totals, old, new)
    for agent in {**base_totals, **sums[document.sequence]}:
        for counter in COUNTERS:
            of_base, since, before, mine = (
                totals.get(agent, {}).get(counter, 0)
                for totals in (base_totals, sums[document.sequence], sums[base.sequence], actual)
            )
            expected = of_base + since - before
            if mine != expected:
                places.append(
                    (mine - expected, f"{agent or 'the main conversation'} has {mine} {counter}, not {expected}")
                )
    if not places:
        return None
    more = [text for excess, text in places if excess > 0]
    shown = "; ".join((more or [text for _, text in places])[:_SHOWN_DIFFERENCES])
    text = f"it is not what {os.path.basename(base.path)} and the events after it add up to, in {counted(len(places), 'place', 'places')}: {shown}"
    if more:  # no person adds tasks by hand
        return Finding("document", WRONG, f"{text}; something was counted twice", repair_of(subject.parts.home))
    return Finding("document", NOTE, f"{text}; a person, or another program, has taken them out since")


def _foreign_files(parts: Parts) -> list[str]:
    """Return the files in the journal's folder that are no segments."""
    home = parts.home
    ours = {os.path.basename(path) for path in [*parts.journal.segments(), home.unwritten]}
    return [os.path.join(home.journal, name) for name in sorted(parts.files.names(home.journal)) if name not in ours]


def backups(subject: Subject) -> Iterator[Finding]:
    """Read every backup."""
    parts = subject.parts
    paths = parts.backups.paths()
    valid = [base.path for base in subject.valid_backups]
    for path in paths:
        if path not in valid:
            yield _unreadable(path, parts)
    for path in parts.backups.damaged_paths():
        yield Finding("backups", NOTE, f"a damaged document was set aside: {path}", join(("rm", path)))
    if valid:
        yield Finding("backups", OK, f"{len(valid)} valid, the newest is {os.path.basename(valid[-1])}")
    elif parts.document_file.exists:
        yield Finding("backups", NOTE, "none yet; the first one is made before the document is next written")


def _unreadable(path: str, parts: Parts) -> Finding:
    try:
        parts.backups.document(path)
    except UnsupportedVersionError as error:
        return Finding("backups", NOTE, str(error))
    except OtelTrackerError as error:
        return Finding("backups", WRONG, str(error), repair_of(parts.home))
    return Finding("backups", OK, path)


def prices(subject: Subject) -> Iterator[Finding]:
    """Read the prices of models: those of the package, and a user's own."""
    parts = subject.parts
    _, faults = read_prices(parts.home, parts.files)
    for fault in faults:
        yield Finding("prices", WRONG, str(fault))
    if not faults and parts.files.signature(parts.home.prices) is not None:
        yield Finding("prices", OK, f"{parts.home.prices} goes before those of the package")


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


def expected(base: ValidBackup, actual: Document, subject: Subject) -> Document:
    """Return the document that a backup and the events after it give, each run's end counted once.

    Settings that no event has recorded yet, and keys that people have added, are taken from the document.
    """
    parts = subject.parts
    events = distinct(subject.between(base.sequence, actual.sequence), subject.ends_before)
    document = fold_all(
        parts.backups.document(base.path), events, parts.journal.replay_after(base.sequence, actual.sequence)
    )
    head = _with_settings_of(actual, document.head) if has_changed_settings(actual.head) else document.head
    head = {**head, "sequence": actual.sequence}  # the last event may repeat an end
    return Document(with_keys_of_people(head, actual.head), document.history)


def _differences(base: ValidBackup, actual: Document, subject: Subject) -> list[Difference]:
    """Return the differences between a document and the fold; none if computing them would take too long."""
    if actual.sequence - base.sequence > _MOST_FOLDED:
        return []
    given, value = _value(expected(base, actual, subject)), _value(actual)
    # The history is a display; people may shorten it.
    wanted = {entry["seq"]: entry for entry in given["history"] if is_event(entry)}
    value["history"] = [entry for entry in value["history"] if is_event(entry)]
    given["history"] = [wanted.get(entry["seq"]) for entry in value["history"]]
    return list(differences(given, value))


def _with_settings_of(actual: Document, head: "Head") -> "Head":
    """Return a head with the settings of `actual`, which no event has recorded yet."""
    config, of_agents = settings_of(actual.head)
    agents = {
        key: {name: value for name, value in agent.items() if name != "config"} for key, agent in head["agents"].items()
    }
    for key in of_agents.keys() & agents.keys():
        agents[key]["config"] = of_agents[key]
    return {**head, "config": config, "agents": agents}


def _value(document: Document) -> dict[str, Any]:
    """Return a document as the JSON value that is written for it."""
    read = DocumentCodec().decode(b"".join(DocumentCodec().encode(document)), "")
    return {**read.head, "history": read.history.entries()}
