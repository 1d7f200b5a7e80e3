"""A current folder that has been deleted, such as a worktree: only what is named by a path in it is not found."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.builders import AGENT

COMMANDS = [
    "init",
    "doctor",
    "doctor --repair",
    "claude-code install",
    "claude-code uninstall",
    "report -o {home}/report.md",
    "metrics -o {home}/metrics.prom",
    f"exec {AGENT} -- true",
    f"health {AGENT}",
    f"reset {AGENT}",
    "status",
    "history",
    "backups create",
    "config get",
]


class Ran(NamedTuple):
    status: int
    shown: str
    said: str


def run_in_deleted_folder(tmp_path: Path, *command: str, **variables: str) -> Ran:
    gone = tmp_path / "gone"
    gone.mkdir()
    environment = {**os.environ, "HOME": str(tmp_path / "user"), "PYTHONPATH": os.getcwd(), **variables}
    script = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    ran = subprocess.run(
        ["sh", "-c", script, "sh", str(gone), *command], capture_output=True, text=True, env=environment, check=False
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


@pytest.mark.processes
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_need_no_current_folder(tmp_path: Path, command: str) -> None:
    home = tmp_path / "user" / ".claude" / "agents"
    python = (sys.executable, "-m", "otel_tracker")
    assert run_in_deleted_folder(tmp_path, *python, "exec", AGENT, "--", "true").status == 0
    ran = run_in_deleted_folder(tmp_path, *python, *command.format(home=home).split())
    assert (ran.status, ran.said) == (0, "")


@pytest.mark.processes
@pytest.mark.parametrize(
    "command", ["report -o report.md", "claude-code install --project", "--home agents status", "--home agents init"]
)
def test_what_is_named_by_a_path_in_it_is_an_error_of_one_line(tmp_path: Path, command: str) -> None:
    ran = run_in_deleted_folder(tmp_path, sys.executable, "-m", "otel_tracker", *command.split())
    assert ran.status == (0 if "status" in command else 1)
    assert len(ran.said.splitlines()) == (0 if "status" in command else 1)
    assert "the output" not in ran.said


TASK = """
from otel_tracker import MetricTracker, TaskTracker
with TaskTracker("core/coder.md"):
    print("worked")
MetricTracker("team.json").record_task_start("core/coder.md")
"""


@pytest.mark.processes
def test_a_task_whose_home_is_named_by_a_path_in_it_works(tmp_path: Path) -> None:
    script = tmp_path / "task.py"
    script.write_text(TASK)
    ran = run_in_deleted_folder(tmp_path, sys.executable, str(script), OTEL_TRACKER_HOME="agents")
    assert (ran.status, ran.shown) == (0, "worked\n")
    assert "No such file or directory" in ran.said
