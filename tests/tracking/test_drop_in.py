"""`scripts/metric_tracker.py`, as a command and as a module, wherever the package was found when it was made."""

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import otel_tracker
from otel_tracker.storage.home import Home

ROOT = Path(otel_tracker.__file__).parent.parent
PACKAGES = (ROOT / "otel_tracker", ROOT / "exporters" / "otel_tracker_exporters")
LIBRARIES = sysconfig.get_path("purelib")
BARE = os.path.realpath(sys.executable)
"""The python below the virtual environment, which has no packages."""

pytestmark = pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="needs a python without packages below this one")

Shown = tuple[int, str, str]


@pytest.fixture
def run(home: Home) -> Callable[..., Shown]:
    def process(*command: str, **environment: str) -> Shown:
        known = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "OTEL_TRACKER"))}
        ended = subprocess.run(
            command, env={**known, **environment}, capture_output=True, text=True, check=False, cwd=home.folder
        )
        return ended.returncode, ended.stdout, ended.stderr

    os.makedirs(home.folder)
    return process


def module_of(home: Home) -> str:
    return f"{home.scripts}/metric_tracker.py"


def use(home: Home, name: str) -> str:
    return (
        f"import sys; sys.path.insert(0, {home.scripts!r}); from metric_tracker import {name}; print({name}.__name__)"
    )


def copy(folder: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def zipped(folder: Path) -> Path:
    archive = folder / "tracker.pyz"
    with zipfile.ZipFile(archive, "w") as file:
        for path in (path for package in PACKAGES for path in package.rglob("*.py")):
            file.write(path, path.relative_to(ROOT if "exporters" not in path.parts else ROOT / "exporters"))
    return archive


@pytest.mark.processes
@pytest.mark.parametrize("place", [copy, zipped])
def test_it_works_where_the_package_was_found_by_the_search_path_alone(
    run: Callable[..., Shown], home: Home, tmp_path: Path, place: Callable[[Path], Path]
) -> None:
    (tmp_path / "100% place").mkdir()
    path = f"{place(tmp_path / '100% place')}{os.pathsep}{LIBRARIES}"
    assert run(BARE, "-m", "otel_tracker", "--home", home.folder, "init", PYTHONPATH=path)[0] == 0
    status, shown, said = run(BARE, module_of(home), "health", "core/coder.md")
    assert (status, shown, said) == (0, "core/coder.md: healthy (unknown agent)\n", "")
    assert run(BARE, module_of(home), "exec", "core/coder.md", "--", "false")[0] == 1
    assert "tasks_total" in run(BARE, module_of(home), "metrics")[1]
    assert run(BARE, "-c", use(home, "TaskTracker")) == (0, "TaskTracker\n", "")


@pytest.mark.processes
def test_all_names_of_the_specification_can_be_imported_at_once(run: Callable[..., Shown], home: Home) -> None:
    assert run(sys.executable, "-m", "otel_tracker", "--home", home.folder, "init")[0] == 0
    code = f"import sys; sys.path.insert(0, {home.scripts!r}); from metric_tracker import *; print(sorted(vars()))"
    status, shown, said = run(sys.executable, "-c", code)
    assert (status, said) == (0, "")
    names = [name for name in ast.literal_eval(shown) if not name.startswith("_")]
    assert names == ["MetricTracker", "TaskTracker", "sys", "track_agent"]


@pytest.mark.processes
def test_without_its_interpreter_it_runs_in_the_python_that_is_asked(run: Callable[..., Shown], home: Home) -> None:
    assert run(sys.executable, "-m", "otel_tracker", "--home", home.folder, "init")[0] == 0
    module = Path(module_of(home))
    module.write_text(module.read_text().replace(repr(sys.executable), "'/gone/python'"))
    assert run(sys.executable, str(module), "health", "core/coder.md")[0] == 0
    assert run(BARE, str(module), "health", "core/coder.md")[0] == 0


@pytest.mark.processes
@pytest.mark.parametrize("is_interpreter_gone", [False, True])
def test_without_the_package_one_line_says_what_to_do(
    run: Callable[..., Shown], home: Home, tmp_path: Path, is_interpreter_gone: bool
) -> None:
    path = copy(tmp_path / "site")
    assert run(BARE, "-m", "otel_tracker", "--home", home.folder, "init", PYTHONPATH=f"{path}")[0] == 0
    shutil.rmtree(path)
    module = Path(module_of(home))
    if is_interpreter_gone:
        module.write_text(module.read_text().replace(repr(BARE), "'/gone/python'"))
    status, shown, said = run(BARE, str(module), "status")
    advice = f"install the package otel-tracker again, and run `otel-tracker init` to renew {module}\n"
    assert (status, shown, said) == (1, "", f"otel-tracker: No module named 'otel_tracker'; {advice}")
    status, shown, said = run(BARE, "-c", use(home, "MetricTracker"))
    assert (status, shown) == (1, "")
    assert said.endswith(f"ImportError: No module named 'otel_tracker'; {advice}")


@pytest.mark.processes
def test_a_library_that_is_missing_is_said_in_one_line_too(
    run: Callable[..., Shown], home: Home, tmp_path: Path
) -> None:
    assert (
        run(BARE, "-m", "otel_tracker", "--home", home.folder, "init", PYTHONPATH=f"{copy(tmp_path / 'site')}")[0] == 0
    )
    status, shown, said = run(BARE, module_of(home), "metrics")
    assert (status, shown, len(said.splitlines())) == (1, "", 1)
    assert said.startswith("otel-tracker: No module named '")
