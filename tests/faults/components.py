"""What the tests with faults share: what the machine must have, processes of our own, and a look at a home's files."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import pytest

from otel_tracker import names
from otel_tracker.doctor import WRONG, examine_home
from otel_tracker.state.shapes import Event
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests import home_files
from tests.faults.power_cut import taken
from tests.home_files import on_disk
from tests.places import ROOT

NO_PRIVILEGES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
"""What goes before a command so that the modes of files hold for it, even if root runs it."""


def miss(sentence: str) -> NoReturn:
    """Skip the test, or fail it in CI, where nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)


def needs(tool: str, how_to_install: str) -> None:
    """Miss the test where there is no `tool`."""
    if shutil.which(tool) is None:
        miss(f"{tool} is missing; install it with: {how_to_install}")


def needs_root(reason: str) -> None:
    """Miss the test where another user runs it."""
    if os.geteuid() != 0:
        miss(f"{reason}; run it with: sudo .venv/bin/python -m pytest tests/faults")


def start(
    module: str, *arguments: str, before: Iterable[str] = (), stdin: int | None = None
) -> "subprocess.Popen[str]":
    """Start a module of this folder as a process; `before` is what its command begins with."""
    return start_python(f"tests.faults.{module}", *arguments, before=before, stdin=stdin)


def start_python(
    module: str, *arguments: str, before: Iterable[str] = (), stdin: int | None = None
) -> "subprocess.Popen[str]":
    """Start any module as a process."""
    command = [*before, sys.executable, "-m", module, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=stdin, stdout=pipe, stderr=pipe, text=True, bufsize=1)


def finished(process: "subprocess.Popen[str]") -> tuple[str, list[str]]:
    """Return what a process has printed, and the lines that it has said on standard error; it must exit with 0."""
    shown, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return shown, said.splitlines()


def journal(home: Home) -> list[Event]:
    """Return the journal as any program reads it; it must have each number once, and no torn line."""
    events = home_files.journal(home)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    return events


def runs(events: list[Event], *actions: str) -> list[str]:
    """Return the runs that the events with these actions are about."""
    return [event["run_id"] for event in events if event["action"] in actions]


def assert_counted_exactly(home: Home) -> None:
    """Compare each number of tasks in the document with a count of the journal's events by their runs."""
    events = journal(home)
    ends = {(event["run_id"], event["agent"], event["action"]) for event in events if event["action"] in names.OUTCOMES}
    ended, lost = (
        Counter(agent for _, agent, action in ends if (action == names.TASK_LOST) is is_lost)
        for is_lost in (False, True)
    )
    document = on_disk(home)
    assert document["sequence"] == len(events)
    assert set(document["agents"]) == {event["agent"] for event in events if event["agent"]}
    for key, agent in document["agents"].items():
        counted = [agent["metrics"][f"tasks_{name}"] for name in ("total", "successful", "failed", "cancelled")]
        assert counted == [ended[key] + lost[key], ended[key], lost[key], 0], key
        assert agent["tallies"]["lost"] == lost[key], key
    counted = [document["metrics"][name] for name in ("total_requests", "successful", "failed", "cancelled")]
    assert counted == [len(ends), ended.total(), lost.total(), 0]


def assert_in_order(home: Home) -> None:
    """Look for what a process may have left behind, and ask the doctor."""
    assert list(Path(home.folder).rglob("*.tmp")) == []
    assert not Path(home.unwritten).exists()
    assert_sound(home)


_sound: set[int] = set()


def assert_sound(home: Home) -> None:
    """Ask the doctor about a home. Many faults leave the same files, about which it is asked once."""
    files = hash(frozenset(taken(home.folder).items()))
    if files not in _sound:
        assert [finding.text for finding in examine_home(Store(home)) if finding.level == WRONG] == []
        _sound.add(files)
