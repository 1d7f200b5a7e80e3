"""The running tasks of a document, by their process or their age: either can show that no process will see their end.

They are kept from one look to the next and changed with the document, so that a look at thousands of tasks costs little more
than a look at one.
"""

from otel_tracker.runtime import owner
from otel_tracker.runtime.timestamps import parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Task = dict[str, Any]
    ProcessKey = tuple[object, ...]

_PROCESS = ("host", "boot_id", "namespace", "pid", "started")


class RunningTasks:
    """The tasks in flight at the last look. A task keeps the process or the clock that it had when its run was first seen."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._processes: dict[ProcessKey, tuple[Task, set[str]]] = {}  # visible processes, and their runs
        self._started: dict[str, float] = {}  # of all other runs: by the wall clock, in seconds since 1970
        self._booted: dict[str, float] = {}  # or by the clock of the present boot, in seconds

    def follow(self, tasks: "dict[str, Task]") -> None:
        """Take the tasks that are in flight now, by their runs."""
        if tasks is not self._tasks:
            for run_id in self._tasks.keys() - tasks.keys():
                self._drop(run_id, self._tasks[run_id])
            for run_id in tasks.keys() - self._tasks.keys():
                self._add(run_id, tasks[run_id])
            self._tasks = tasks

    def by_process(self) -> "Iterator[tuple[Task, set[str]]]":
        """Yield each visible process that owns tasks, and the runs of these tasks."""
        yield from self._processes.values()

    def too_old(self, now: float, hours: float) -> "dict[str, str]":
        """Return the reason why a run is over, for each run without a visible process that began more than `hours` ago."""
        clock = owner.boot_clock() if self._booted else None
        reason, oldest = f"not ended within {hours:g} hours", hours * 3600
        ages = ((self._started, now), (self._booted, clock["seconds"] if clock else 0.0))
        return {
            run_id: reason
            for began, moment in ages
            if began and moment - min(began.values()) > oldest
            for run_id, at in began.items()
            if moment - at > oldest
        }

    def _add(self, run_id: str, task: "Task") -> None:
        process, clock = task.get("owner"), task.get("clock")
        if process and owner.is_visible(process):
            self._processes.setdefault(_key_of(process), (process, set()))[1].add(run_id)
        elif owner.seconds_since(clock) is None:
            self._started[run_id] = parse_timestamp(task["started"])
        else:
            self._booted[run_id] = float((clock or {}).get("seconds", 0.0))

    def _drop(self, run_id: str, task: "Task") -> None:
        self._started.pop(run_id, None)
        self._booted.pop(run_id, None)
        key = _key_of(task["owner"]) if task.get("owner") else None
        process, runs = self._processes.get(key, (None, set())) if key else (None, set())
        runs.discard(run_id)
        if key and process and not runs:
            del self._processes[key]


def _key_of(process: "Task") -> "ProcessKey":
    return tuple(str(process.get(part)) for part in _PROCESS)
