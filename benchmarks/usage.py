"""What it takes to add up a window of time, against the second that it may take beside a Python that does nothing."""

import os
import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.commands import installed
from benchmarks.measure import Row, interleaved
from otel_tracker import names
from otel_tracker.runtime.ids import new_id
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state import event
from otel_tracker.state.document import encode_line
from otel_tracker.state.run_parts import RunPart
from otel_tracker.storage.archive import Archive
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS, _AGENTS, _DAYS = 50_000, 50, 10
_PER_SEGMENT, _ROUNDS = 4_000, 5
_MOST_SECONDS = 1.0
_TOKENS = {"input": 31_415, "output": 92_653, "cache_read": 5_897_932, names.COST: 3_279_502, names.PRICED: 6_022_000}
_MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")


def usage_of_a_week(folder: str) -> Row:
    """Measure the processor time of `otel-tracker usage --since 7d` in a home with 100,000 events of ten days, and the archive of a year."""
    home, binaries = _home(folder), installed(os.path.join(folder, "venv"))
    command = [os.path.join(binaries, "otel-tracker"), "usage", "--since", "7d", "--home", home.folder]
    python = [os.path.join(binaries, "python"), "-c", "pass"]
    ours, bare = interleaved(_process(command), _process(python), _ROUNDS, warm_up=1, clock=of_children)
    return Row("otel-tracker usage, 100,000 events", ours - bare, _MOST_SECONDS, 1)


def of_children() -> float:
    """Return the seconds of processor time that ended child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _process(command: list[str]) -> "Callable[[], None]":
    def run() -> None:
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)

    return run


def _home(folder: str) -> Home:
    """Return a home with a journal of runs of Claude Code, each with its tokens and costs by model, and no document yet."""
    home = Home(os.path.join(folder, "home-of-usage"))
    os.makedirs(home.journal)
    began, pace = time.time() - _DAYS * 86_400, _DAYS * 86_400 / RUNS
    lines = [_run(number, began + number * pace) for number in range(RUNS)]
    for first in range(0, RUNS, _PER_SEGMENT):
        path = os.path.join(home.journal, f"{2 * first + 1}.jsonl")
        Files().create(path, b"".join(lines[first : first + _PER_SEGMENT]))
    _archive(home, began)
    subprocess.run(
        [sys.executable, "-m", "otel_tracker", "status", "--home", home.folder], capture_output=True, check=True
    )
    return home


def _archive(home: Home, until: float) -> None:
    """Write the archive of the year before: three lines a day of each agent."""
    kinds = list(zip(_MODELS, ("shop", "site", "site"), strict=True))
    parts = [
        RunPart(
            format_timestamp(until - day * 86_400),
            f"core/agent_{agent}.md",
            names.SUCCESS,
            model,
            project,
            runs=7,
            tokens=_TOKENS,
        )
        for day in range(1, 366)
        for agent in range(_AGENTS)
        for model, project in kinds
    ]
    Archive(home.archive, Files()).add(parts, first=-2, last=-1, settled=-3)


def _run(number: int, at: float) -> bytes:
    """Return the lines of a run's start and end."""
    agent, run_id = f"core/agent_{number % _AGENTS}.md", new_id()
    started = event.task_started(agent, at - number % 300, run_id=run_id, model=None, task_id=None, owner=None)
    tokens = {"input": number % 997, "output": number % 4999, "cache_read": 10 * number, "cache_write": number % 9973}
    tokens |= {names.PRICED: names.total_tokens(tokens), names.COST: number}
    ended = event.task_ended(
        agent,
        names.FAILURE if number % 7 == 0 else names.SUCCESS,
        at,
        run_id=run_id,
        started=started["timestamp"],
        duration_seconds=number % 300 + 0.25,
        tokens=tokens,
        models={_MODELS[number % len(_MODELS)]: tokens},
        project=f"/home/user/projects/project-{number % 11}",
        conversation_id=f"00000000-0000-4000-8000-{number // 200:012}",
        told_later=True,
    )
    numbered = enumerate((started, ended), 2 * number + 1)
    return b"".join(encode_line({"seq": place, **line}) + b"\n" for place, line in numbered)
