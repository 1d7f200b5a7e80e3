"""How many tasks eight processes record together, against eight that rewrite the same document with `json`."""

import fcntl
import json
import os
import shutil
import time
from itertools import count
from multiprocessing import get_context
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.fleet import ENTRIES, TASK_SECONDS, TOKENS, agent_of, make_home, task_recorder
from benchmarks.measure import Row
from otel_tracker.runtime.timestamps import format_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    MakeAct = Callable[[str], Callable[[], None]]

_PROCESSES = 8
_ROUNDS, _SECONDS = 3, 2.0


def crowded_tasks(folder: str) -> Row:
    """Measure how many tasks of eight processes end a second, ours and theirs by turns."""
    home = make_home(os.path.join(folder, "crowd"))
    copied = shutil.copy(home.document, os.path.join(folder, "rewritten.json"))
    ours, theirs = _Crowd(task_recorder, home.document), _Crowd(_json_rewriter, copied)
    rates = [(ours.rate(_SECONDS), theirs.rate(_SECONDS)) for _ in range(_ROUNDS)]
    ours.leave()
    theirs.leave()
    return Row("8 processes", median(rate for rate, _ in rates), median(rate for _, rate in rates), 4, is_rate=True)


class _Crowd:
    """Processes that do the same thing to one file, each as often as it can, for as long as they are told."""

    def __init__(self, make_act: "MakeAct", path: str) -> None:
        context = get_context("spawn")
        pipes = [context.Pipe() for _ in range(_PROCESSES)]
        self._lines = [near for near, _ in pipes]
        self._processes = [
            context.Process(target=_act_when_told, args=(make_act, path, far), daemon=True) for _, far in pipes
        ]
        for process in self._processes:
            process.start()
        self.rate(0.5)  # what everybody loads at first isn't measured

    def rate(self, seconds: float) -> float:
        """Return how often all of them together have acted in a second."""
        began = time.perf_counter()
        for line in self._lines:
            line.send(seconds)
        acts: int = sum(line.recv() for line in self._lines)
        return acts / (time.perf_counter() - began)

    def leave(self) -> None:
        """End the processes."""
        for line in self._lines:
            line.send(0)
        for process in self._processes:
            process.join()


def _act_when_told(make_act: "MakeAct", path: str, line: "Connection[int, float]") -> None:
    act = make_act(path)
    while seconds := line.recv():
        end, acts = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            act()
            acts += 1
        line.send(acts)


def _json_rewriter(path: str) -> "Callable[[], None]":
    """Return a function that counts a task in the document at a path, as one does without this package."""
    numbers = count()

    def rewrite() -> None:
        with open(f"{path}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with open(path) as file:
                document = json.load(file)
            _count_task(document, agent_of(next(numbers)))
            with open(f"{path}.tmp", "w") as file:
                file.write(json.dumps(document, indent=2))
                file.flush()
                os.fsync(file.fileno())
            os.replace(f"{path}.tmp", path)

    return rewrite


def _count_task(document: dict[str, Any], agent: str) -> None:
    now = format_timestamp(time.time())
    metrics, tokens = (document["agents"][agent][key] for key in ("metrics", "token_usage"))
    metrics["tasks_total"] += 1
    metrics["tasks_successful"] += 1
    metrics["total_duration_seconds"] += TASK_SECONDS
    metrics["avg_duration_seconds"] = metrics["total_duration_seconds"] / metrics["tasks_total"]
    metrics["last_task_timestamp"] = document["updated"] = now
    tokens["sonnet"]["total"] += TOKENS
    tokens["sonnet"]["count"] += 1
    document["metrics"]["total_requests"] += 1
    document["metrics"]["successful"] += 1
    document["history"].append({**document["history"][-1], "timestamp": now, "agent": agent})
    del document["history"][:-ENTRIES]
