"""What a command costs as a whole process, against a Python that does nothing."""

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.fleet import agent_of, make_home
from benchmarks.measure import Row, interleaved

if TYPE_CHECKING:
    from collections.abc import Callable

_ROUNDS = 40
_PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def health_command(folder: str) -> Row:
    """Measure `otel-tracker health AGENT`."""
    return _command(folder, "health", agent_of(0), bound=2.5)


def report_command(folder: str) -> Row:
    """Measure `otel-tracker report`."""
    return _command(folder, "report", bound=6)


def exec_command(folder: str) -> Row:
    """Measure `otel-tracker exec AGENT -- true`: it asks, runs, and records a start and an end on the disk."""
    return _command(folder, "exec", agent_of(0), "--", "true")


def _command(folder: str, name: str, *arguments: str, bound: float | None = None) -> Row:
    binaries = installed(os.path.join(folder, "venv"))
    home = make_home(os.path.join(folder, f"home-of-{name}"))
    command = [os.path.join(binaries, "otel-tracker"), name, "--home", home.folder, *arguments]
    python = [os.path.join(binaries, "python"), "-c", "pass"]
    ours, bare = interleaved(_process(command), _process(python), _ROUNDS)
    return Row(f"otel-tracker {name}", ours, bare, bound)


def installed(venv: str) -> str:
    """Return the folder of the programs of a venv that has this project's wheel, and nothing that it doesn't need."""
    binaries = os.path.join(venv, "bin")
    if not os.path.isdir(venv):
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        pip = [os.path.join(binaries, "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", _PROJECT], check=True)
    return binaries


def _process(command: list[str]) -> "Callable[[], object]":
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
