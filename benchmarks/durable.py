"""What a task costs until it is on the disk and in the document, against the least that the disk allows."""

import os
from multiprocessing import get_context
from typing import TYPE_CHECKING

from benchmarks.fleet import lengthen_journal, make_home, task_recorder
from benchmarks.measure import Row, interleaved

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from otel_tracker.storage.home import Home

_ROUNDS = 200
_SHARED_ROUNDS = 150
_LINE = b"x" * 249 + b"\n"
_FEW, _MANY = 1_000, 1_000_000


def durable_task(folder: str) -> Row:
    """Measure a task of a long-lived process that has the home for itself."""
    home = make_home(os.path.join(folder, "durable"))
    ours, floor = interleaved(task_recorder(home.document), _floor_of(home), _ROUNDS)
    return Row("durable task", ours, floor, 2.0)


def shared_task(folder: str) -> Row:
    """Measure a task before which another process has recorded one, so that the document must be read again."""
    home = make_home(os.path.join(folder, "shared"))
    line, far_end = get_context("spawn").Pipe()
    neighbour = get_context("spawn").Process(target=_record_when_told, args=(home.document, far_end), daemon=True)
    neighbour.start()

    def let_neighbour_record() -> None:
        line.send(True)
        line.recv()

    ours, floor = interleaved(
        task_recorder(home.document), _floor_of(home), _SHARED_ROUNDS, before_ours=let_neighbour_record
    )
    line.send(False)
    neighbour.join()
    return Row("task after another process's", ours, floor, 3)


def task_behind_long_journal(folder: str) -> Row:
    """Measure the same task with a million events in the journal and with a thousand."""
    many, few = make_home(os.path.join(folder, "many")), make_home(os.path.join(folder, "few"))
    lengthen_journal(many, _MANY)
    lengthen_journal(few, _FEW)
    with_many, with_few = interleaved(task_recorder(many.document), task_recorder(few.document), _ROUNDS)
    return Row("durable task, 1,000,000 events to 1,000", with_many, with_few, 1.1)


def _floor_of(home: "Home") -> "Callable[[], None]":
    """Return what no durable task can do without: an append and its flush, the document's bytes put in place.

    In the order of the store, for a flush pays for what was written before it.
    """
    folder = os.path.join(home.folder, "floor")
    os.mkdir(folder)
    document, temporary = os.path.join(folder, "document"), os.path.join(folder, "temporary")
    journal = os.open(os.path.join(folder, "journal"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with open(home.document, "rb") as file:
        content = file.read()

    def append_and_replace() -> None:
        os.write(journal, _LINE)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(descriptor, content)
        os.close(descriptor)
        os.replace(temporary, document)
        os.fdatasync(journal)

    return append_and_replace


def _record_when_told(document: str, line: "Connection") -> None:
    record_task = task_recorder(document)
    while line.recv():
        record_task()
        line.send(True)
