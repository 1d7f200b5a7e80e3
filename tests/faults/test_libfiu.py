"""System calls that fail, as libfiu makes them: no task fails for it, and what was acknowledged is there, once."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import names
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.faults.components import (
    assert_counted_exactly,
    assert_in_order,
    finished,
    journal,
    needs,
    runs,
    start,
)
from tests.faults.events import begin, end
from tests.faults.injected import TASKS
from tests.home_files import on_disk

pytestmark = pytest.mark.processes

# What libfiu calls the system calls that the storage makes, and how Python makes them.
CALLS = {
    "posix/io/sync/fdatasync": "os.fdatasync(file)",
    "posix/io/sync/fsync": "os.fsync(file)",
    "posix/io/rw/write": "os.write(file, b'x')",
    "posix/io/rw/writev": "os.writev(file, [b'x'])",
    "posix/io/rw/ftruncate": "os.ftruncate(file, 0)",
    "posix/io/dir/rename": "os.replace(path, path)",
    "posix/io/dir/unlink": "os.unlink(path)",
    "posix/io/rw/read": "os.read(file, 1)",
    "posix/io/dir/opendir": "os.listdir('.')",
    "posix/io/oc/open": "os.open(path, os.O_RDONLY)",
    "posix/io/oc/close": "os.close(file)",
}
NOT_NEEDED_BY_PYTHON = [
    name for name in CALLS if "sync" in name or name.endswith(("writev", "ftruncate", "rename", "unlink"))
]
PROBABILITIES = (0.01, 0.05, 0.2, 0.5)
TURNS = 3
OFTEN = 1000
FIU_RUN = ("env", "PYTHONDONTWRITEBYTECODE=1", "fiu-run", "-x", "-f", "")


@pytest.fixture(autouse=True)
def _fiu_run() -> None:
    needs("fiu-run", "apt-get install fiu-utils")


@pytest.fixture
def untidy_home(home: Home) -> Home:
    """Return a home in which every call has its work: a backup is due, a torn line and a temporary file are left."""
    Store(home).record([begin("first"), end("first")])
    shutil.rmtree(home.backups, ignore_errors=True)
    with Path(home.journal, "1.jsonl").open("ab") as file:
        file.write(b'{"seq": 3, "id": "to')
    Path(f"{home.document}.4711.01234567.tmp").touch()
    return home


@pytest.mark.parametrize(("name", "call"), CALLS.items(), ids=CALLS)
def test_the_call_that_a_fault_names_fails(tmp_path: Path, name: str, call: str) -> None:
    assert fails(call, tmp_path / "file", f"enable name={name},failinfo=5")
    assert not fails(call, tmp_path / "file", "enable name=posix/io/net/*,failinfo=5")


@pytest.mark.parametrize("probability", PROBABILITIES)
def test_a_call_that_fails_at_random_does_sooner_or_later(tmp_path: Path, probability: float) -> None:
    often = f"[os.fdatasync(file) for _ in range({OFTEN})]"
    assert fails(often, tmp_path / "file", at_random(probability))


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_fails_once_costs_nothing(untidy_home: Home, name: str) -> None:
    told = record_under(untidy_home, f"enable name={name},failinfo=5,onetime")
    assert not told["is_armed"]  # the process has made the call
    assert lost(told["warnings"]) == 0
    assert_accounted_for(untidy_home, told)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_always_fails_makes_no_task_fail(untidy_home: Home, name: str) -> None:
    told = record_under(untidy_home, f"enable name={name},failinfo=5")
    assert_accounted_for(untidy_home, told)


def test_nothing_is_acknowledged_that_could_not_be_flushed(home: Home) -> None:
    Store(home).record([begin("first"), end("first")])
    Store(home).back_up()  # so that none is due, which would be flushed, too
    told = record_under(home, "enable name=posix/io/sync/*,failinfo=5")
    assert told["acknowledged"] == []
    assert_accounted_for(home, told)


@pytest.mark.parametrize("probability", PROBABILITIES)
@pytest.mark.parametrize("turn", range(TURNS))
def test_calls_that_fail_at_random_lose_nothing_unsaid(untidy_home: Home, probability: float, turn: int) -> None:
    assert_accounted_for(untidy_home, record_under(untidy_home, at_random(probability)))


@pytest.mark.parametrize("name", NOT_NEEDED_BY_PYTHON)
def test_a_process_in_which_a_call_fails_from_the_beginning_ends_well(untidy_home: Home, name: str) -> None:
    before = [*FIU_RUN, "-c", f"enable name={name},failinfo=5,onetime"]
    process = start("tasks", untidy_home.document, "6", before=before, stdin=subprocess.DEVNULL)
    assert finished(process)[0] == "ready\n"
    Store(untidy_home).record([begin("last"), end("last")])
    assert on_disk(untidy_home)["metrics"]["successful"] == 2 + 6
    assert_counted_exactly(untidy_home)
    assert_in_order(untidy_home)


def at_random(probability: float) -> str:
    return f"enable_random name=posix/io/*,failinfo=5,probability={probability}"


def fails(call: str, path: Path, commands: str) -> bool:
    """Tell whether a call of Python's fails with errno 5 (EIO) after commands to libfiu."""
    shown, _ = finished(start("injected", "--call", commands, call, str(path), before=FIU_RUN))
    return shown == "5\n"


def record_under(home: Home, commands: str) -> dict[str, Any]:
    """Record tasks in a process that gives libfiu commands, and return what it tells of them."""
    shown, said = finished(start("injected", home.folder, commands, before=FIU_RUN))
    assert said == []
    told: dict[str, Any] = json.loads(shown)
    return told


def lost(warnings: list[str]) -> int:
    """Return how many events a process has said are lost."""
    found = [re.match(r"(\d+) events .* are lost", line) for line in warnings]
    return sum(int(match[1]) for match in found if match)


def assert_accounted_for(home: Home, told: dict[str, Any]) -> None:
    """See to it, as the next process does, that each event is there once or was said to be lost."""
    Store(home).record([begin("last"), end("last")])
    events = journal(home)
    ids = [event["id"] for event in events]
    assert len(ids) == len(set(ids))
    assert len(told["ids"]) == 2 * TASKS
    assert len(set(told["ids"]) - set(ids)) <= lost(told["warnings"])
    assert set(told["acknowledged"]) <= set(runs(events, names.TASK_COMPLETED))
    assert on_disk(home)["in_flight"] == {}
    assert_counted_exactly(home)
    assert_in_order(home)
