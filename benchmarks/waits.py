"""`python -m benchmarks.waits [PROCESSES [TASKS]]`: how long processes wait for the locks, all of them at once.

By default 50 processes that record 20 tasks each in the same home, which has 42 agents and 1,000 entries.
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from benchmarks.fleet import make_home, task_recorder
from otel_tracker.storage import lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from otel_tracker.storage.home import Home

    Waits = dict[str, list[float]]  # by the lock's path, in seconds

_LINE = "{:<20}  {:>8}  {:>10}  {:>10}  {:>10}"


def main() -> None:
    """Measure, and print a row for each lock, and one for whole tasks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waits", description="Waits for the locks of a home.")
    parser.add_argument("processes", nargs="?", type=int, default=50)
    parser.add_argument("tasks", nargs="?", type=int, default=20)
    arguments = parser.parse_args()
    # Here and not in the system's temporary folder, which may be no disk.
    with tempfile.TemporaryDirectory(prefix=".benchmarks-", dir=os.getcwd()) as folder:
        home = make_home(os.path.join(folder, "waits"))
        waits, seconds = _waits_of_all(home, arguments.processes, arguments.tasks)
    rate = arguments.processes * arguments.tasks / seconds
    print(f"Python {sys.version.split()[0]}, {arguments.processes} processes, {rate:,.0f} tasks a second")
    print(_LINE.format("", "times", "p50", "p99", "longest"))
    for name, path in (("append lock", home.append_lock), ("document's lock", home.document_lock), ("task", "")):
        print(_shown(name, sorted(waits.get(path, []))))


def _waits_of_all(home: "Home", processes: int, tasks: int) -> "tuple[Waits, float]":
    """Return the waits of all processes together, and the seconds from when they were told to begin."""
    context = get_context("spawn")
    pipes = [context.Pipe() for _ in range(processes)]
    running = [context.Process(target=_record_when_told, args=(home.document, tasks, far)) for _, far in pipes]
    for process in running:
        process.start()
    for near, _ in pipes:
        near.recv()
    began = time.perf_counter()
    for near, _ in pipes:
        near.send(True)
    together: Waits = {}
    for near, _ in pipes:
        for path, waits in near.recv().items():
            together.setdefault(path, []).extend(waits)
    seconds = time.perf_counter() - began
    for process in running:
        process.join()
    return together, seconds


def _record_when_told(document: str, tasks: int, line: "Connection[Any, Any]") -> None:
    record_task = task_recorder(document)
    record_task()  # what it loads at first isn't measured
    waits = _timed_locks()
    line.send(True)
    line.recv()
    for _ in range(tasks):
        began = time.perf_counter()
        record_task()
        waits.setdefault("", []).append(time.perf_counter() - began)
    line.send(waits)


def _timed_locks() -> "Waits":
    """Have each wait for a lock measured from now on, and return where they are noted."""
    waits: Waits = {}
    held = lock.held

    @contextmanager
    def timed(path: str, *arguments: Any) -> "Iterator[bool]":
        began = time.perf_counter()
        with held(path, *arguments) as is_held:
            waits.setdefault(path, []).append(time.perf_counter() - began)
            yield is_held

    lock.held = timed  # type: ignore[assignment]  # it passes on whatever it is given
    return waits


def _shown(name: str, waits: list[float]) -> str:
    if not waits:
        return _LINE.format(name, 0, "", "", "").rstrip()
    at = [waits[len(waits) // 2], waits[len(waits) * 99 // 100], waits[-1]]
    return _LINE.format(name, len(waits), *(f"{seconds * 1e3:.2f} ms" for seconds in at))


if __name__ == "__main__":
    main()
