"""The v7.0 specification's own Python blocks and shell lines, unchanged, against a fresh home."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.places import DATA

pytestmark = pytest.mark.processes

SPEC = (DATA / "metrics-tracker-v7.md").read_text()
BLOCKS = dict(enumerate(re.findall(r"```python\n(.*?)```", SPEC, re.DOTALL)))
SHELL_LINES = [line for block in re.findall(r"```bash\n(.*?)```", SPEC, re.DOTALL) for line in block.splitlines()]
COMMANDS = [line for line in SHELL_LINES if line.startswith("python ")]

# What the specification takes for granted around its blocks: the reader's own functions, and a path to the module.
_AROUND = """
import os, sys
from pathlib import Path
sys.path[:0] = [os.path.expanduser("~/.claude"), os.path.expanduser("~/.claude/agents/scripts")]
class Result:
    tokens = token_count = 1500
execute_work = implement_fix = lambda: Result()
estimate_tokens = lambda: 1500
class ImplementationResult:
    def __init__(self, tokens_used): self.tokens_used = tokens_used
"""
_TRACKER = "from metric_tracker import MetricTracker, TaskTracker\ntracker = MetricTracker()\n"
_A_START = 'start_ts = tracker.record_task_start("core/coder.md")\n'
_A_TASK = 'tracker.record_task_complete("core/coder.md", tracker.record_task_start("core/coder.md"), tokens_used=5)\n'


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder in which `init` has made a home. Nothing in it says where it is: a copy is as good."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "otel_tracker", "init"], env=of_user(folder), check=True, capture_output=True)
    assert [path for path in folder.rglob("*") if path.is_file() and os.fsencode(folder) in path.read_bytes()] == []
    return folder


@pytest.fixture
def user(fresh: Path, tmp_path: Path) -> dict[str, str]:
    """A user with a fresh home; `python` on the path is the one that has the package."""
    shutil.copytree(fresh, tmp_path, dirs_exist_ok=True)
    return of_user(tmp_path)


def of_user(folder: Path) -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if key != "OTEL_TRACKER_HOME"}
    return {**environment, "HOME": str(folder), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def run(code: str, user: dict[str, str], folder: Path, python: str = sys.executable) -> str:
    done = subprocess.run([python, "-c", code], env=user, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{code}\n{done.stderr}"
    assert done.stderr == ""
    return done.stdout


def test_the_specification_has_the_blocks_that_are_tested_here() -> None:
    assert (len(BLOCKS), len(COMMANDS)) == (20, 8)


@pytest.mark.parametrize("number", BLOCKS)
def test_a_python_block_runs_unchanged(number: int, user: dict[str, str], tmp_path: Path) -> None:
    block = BLOCKS[number]
    needs_start = "start_ts," in block and "start_ts =" not in block
    around = _AROUND + _TRACKER + _A_TASK + (_A_START if needs_start else "")
    assert "Traceback" not in run(around + block, user, tmp_path)


def test_the_block_of_an_example_leaves_its_numbers_in_the_document(user: dict[str, str], tmp_path: Path) -> None:
    example = next(block for block in BLOCKS.values() if "agents_dir" in block and "record_task_start" in block)
    assert run(example, user, tmp_path).splitlines()[0] == "Tasks: 1"
    assert (tmp_path / ".claude" / "agents" / "config" / "circuit-breaker.json").exists()


def test_the_shell_lines_run_unchanged(user: dict[str, str], tmp_path: Path) -> None:
    run(_AROUND + _TRACKER + _A_TASK, user, tmp_path)
    for line in COMMANDS:
        done = subprocess.run(["bash", "-c", line], env=user, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), line
    assert (tmp_path / "report.md").read_text().startswith("# Agent Metrics Report")


def test_the_cp_line_of_the_troubleshooting_brings_a_backup_back(user: dict[str, str], tmp_path: Path) -> None:
    run(_AROUND + _TRACKER + _A_TASK + "tracker.save(backup=True)", user, tmp_path)
    backup = max((tmp_path / ".claude" / "agents" / "backups").glob("circuit-breaker_*.json"))
    document = tmp_path / ".claude" / "agents" / "config" / "circuit-breaker.json"
    document.write_text("{ torn")
    line = next(block for block in re.findall(r"```bash\n(.*?)```", SPEC, re.DOTALL) if block.startswith("cp "))
    stamp = backup.stem.removeprefix("circuit-breaker_")
    subprocess.run(["bash", "-c", line.replace("YYYYMMDD_HHMMSS", stamp)], env=user, check=True)
    assert run(_AROUND + _TRACKER + "print(tracker.get_system_metrics()['total_requests'])", user, tmp_path) == "1\n"


def test_a_python_without_the_package_can_use_the_module_too(user: dict[str, str], tmp_path: Path) -> None:
    venv.create(tmp_path / "other", with_pip=False)
    other = str(tmp_path / "other" / "bin" / "python")
    with_other = {**user, "PATH": f"{Path(other).parent}:{os.environ['PATH']}"}
    with_other.pop("PYTHONPATH", None)
    example = next(block for block in BLOCKS.values() if "agents_dir" in block and "record_task_start" in block)
    assert run(example, with_other, tmp_path, other).splitlines()[0] == "Tasks: 1"
    line = "python ~/.claude/agents/scripts/metric_tracker.py report --format json"
    done = subprocess.run(["bash", "-c", line], env=with_other, capture_output=True, text=True, check=True)
    assert '"total_requests": 1' in done.stdout


def test_the_home_of_the_module_is_the_parent_of_its_folder(user: dict[str, str], tmp_path: Path) -> None:
    elsewhere = {**user, "OTEL_TRACKER_HOME": str(tmp_path / "elsewhere")}
    run(_AROUND + _TRACKER + _A_TASK, elsewhere, tmp_path)
    done = subprocess.run(
        ["bash", "-c", "python ~/.claude/agents/scripts/metric_tracker.py report"],
        env=elsewhere, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "| core/coder.md |" in done.stdout
    assert not (tmp_path / "elsewhere").exists()
