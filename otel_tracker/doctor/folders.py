"""Findings about the place of a home: its folders and their owners, its locks, files that processes have left."""

import os
import stat
from collections.abc import Iterator
from shlex import join

from otel_tracker.doctor.subject import Subject
from otel_tracker.errors import LockTimeoutError, StorageError, command
from otel_tracker.reporting.finding import NOTE, OK, WRONG, Finding, repair_of
from otel_tracker.reporting.wording import counted
from otel_tracker.storage import claim, lock, mounts, unwritten
from otel_tracker.storage.archive import Archive
from otel_tracker.storage.maintenance import temporary_files
from otel_tracker.storage.parts import Parts

_ANOTHER_HOME = "choose another home with --home or OTEL_TRACKER_HOME"


def home(subject: Subject) -> Iterator[Finding]:
    """Look at the home's folder, its file system, and whether another home has the same document."""
    parts, home = subject.parts, subject.parts.home
    filesystem = mounts.filesystem_of(home.folder)
    if parts.files.signature(home.folder) is None:  # raises StorageError where this user may not look
        yield Finding("home", NOTE, f"{home.folder} does not exist yet", command("init", home=home.option))
        return
    if not os.path.isdir(home.folder):
        yield Finding("home", WRONG, f"{home.folder} is not a folder", _ANOTHER_HOME)
        return
    warning = mounts.warning_about(home.folder)
    if warning is not None:
        yield Finding("home", NOTE, warning, "export OTEL_TRACKER_HOME=a folder on a disk of this machine")
    else:
        yield Finding("home", OK, f"{home.folder}{f' on {filesystem}' if filesystem else ''}")
    try:
        claim.check(home, parts.files)
    except StorageError as error:
        yield Finding("home", WRONG, str(error), "the change that the sentence names")


def permissions(subject: Subject) -> Iterator[Finding]:
    """Look for folders that can't be written to, and for files that others may write to."""
    parts, home = subject.parts, subject.parts.home
    folders = [folder for folder in _folders(parts) if os.path.isdir(folder)]
    closed = [folder for folder in folders if not os.access(folder, os.R_OK | os.W_OK | os.X_OK)]
    for folder in closed:
        yield Finding("permissions", WRONG, f"{folder} can't be written to by this user", _permission("u+rwx", folder))
    if os.path.exists(home.document) and not os.access(home.document, os.R_OK):
        remedy = _permission("u+rw", home.document)
        yield Finding("permissions", WRONG, f"{home.document} can't be read by this user", remedy)
    if mounts.is_mounted_alone(home.document):
        yield _mounted_alone(home.document)
    for path in open_to_others(parts):
        yield Finding("permissions", WRONG, f"every user may write to {path}", repair_of(home))
    if folders and not closed:
        yield Finding("permissions", OK, f"{counted(len(folders), 'folder', 'folders')} can be written to")


def _permission(mode: str, path: str) -> str:
    """Return the command that gives this user the permission `mode` of `path`, which only its owner can do."""
    owner = os.stat(path).st_uid
    if hasattr(os, "geteuid") and os.geteuid() not in (owner, 0):
        return f"{_ANOTHER_HOME}: this one is user {owner}'s"
    return join(("chmod", mode, path))


def _mounted_alone(document: str) -> Finding:
    remedy = f"mount {os.path.dirname(document)} instead"
    if os.access(document, os.W_OK):
        return Finding("permissions", NOTE, mounts.written_in_place(document), remedy)
    text = f"{document} is mounted on its own, and can't be written to: new events stay in the journal"
    return Finding("permissions", WRONG, text, remedy)


def open_to_others(parts: Parts) -> list[str]:
    """Return the folders and files of the home that every user may write to."""
    home = parts.home
    files = [home.document, home.append_lock, home.document_lock, *parts.journal.segments(), *parts.backups.paths()]
    files += Archive(home.archive, parts.files).paths()
    existing = [path for path in [*_folders(parts), *files] if os.path.exists(path)]
    return [path for path in existing if os.stat(path).st_mode & stat.S_IWOTH]


def locks(subject: Subject) -> Iterator[Finding]:
    """Try to take both locks, for as long as a task would."""
    parts = subject.parts
    paths = [path for path in (parts.home.document_lock, parts.home.append_lock) if os.path.exists(path)]
    stuck = next(filter(None, (_stuck(path, parts) for path in paths)), None)
    yield stuck or Finding("lock", OK, "free" if paths else "not used yet")


def _stuck(path: str, parts: Parts) -> "Finding | None":
    try:
        with lock.held(path, parts.files):
            return None
    except LockTimeoutError as error:
        pids = " ".join(str(pid) for pid in lock.holders(path))
        return Finding("lock", WRONG, str(error), f"kill {pids}" if pids else join(("fuser", "-k", path)))
    except StorageError as error:  # it can't be opened: no process holds it
        return Finding("lock", WRONG, str(error))


def leavings(subject: Subject) -> Iterator[Finding]:
    """Look for events that could not be written, and for temporary files of killed processes."""
    parts = subject.parts
    waiting = unwritten.paths(parts.home, parts.files)
    if waiting:
        count = sum(len(unwritten.read(path, parts.files)) for path in waiting)
        text = f"{counted(count, 'event waits', 'events wait')} in {parts.home.unwritten} for the next task of this home to take in"
        yield Finding("journal", WRONG, text, repair_of(parts.home))
    temporary = temporary_files(parts.home, parts.files)
    if temporary:
        text = f"{counted(len(temporary), 'temporary file', 'temporary files')}, of writers at work or of killed ones: {temporary[0]}"
        yield Finding("home", NOTE, text, repair_of(parts.home))


def _folders(parts: Parts) -> list[str]:
    home = parts.home
    return [home.folder, os.path.dirname(home.document), home.journal, home.backups, home.archive]
