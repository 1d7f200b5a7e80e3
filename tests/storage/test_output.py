"""Files that a caller has named for a report or for metrics: links are followed, what is no file is written into."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_tracker import MetricTracker
from otel_tracker.cli import main
from otel_tracker.errors import OutputError
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.builders import AGENT, end
from tests.faults.components import needs_root

Write = Callable[[Path], None]


@pytest.fixture(params=["report", "metrics", "generate_report"])
def write(request: pytest.FixtureRequest, store: Store, home: Home, tracker: MetricTracker) -> Write:
    """Each way to write what a tracker knows to a file."""
    store.record([end("r1")])
    if request.param == "generate_report":
        return lambda path: (tracker.generate_report(path), None)[1]

    def command(path: Path) -> None:
        if main(["--home", home.folder, request.param, "-o", str(path)]):
            raise OutputError("write", str(path), "the command said so")

    return command


def test_a_file_is_replaced_and_keeps_its_mode(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old")
    path.chmod(0o640)
    before = path.stat().st_ino
    write(path)
    assert AGENT in path.read_text()
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_ino == before) == (0o640, False)


@pytest.mark.parametrize("target", ["real", "other/real", "missing"])
def test_links_are_followed_one_after_the_other(write: Write, tmp_path: Path, target: str) -> None:
    folder = tmp_path / "folder"
    (folder / "other").mkdir(parents=True)
    (folder / "other" / "real").symlink_to("../real")
    (folder / "real").write_text("old")
    (tmp_path / "linked").symlink_to(folder)
    (tmp_path / "linked" / "latest").symlink_to(target)
    (tmp_path / "link").symlink_to("linked/latest")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (folder / "latest").is_symlink()
    assert (folder / "other" / "real").is_symlink()
    assert AGENT in (folder / ("missing" if target == "missing" else "real")).read_text()


def test_a_loop_of_links_is_an_error(write: Write, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OutputError):
        write(tmp_path / "a")
    assert (tmp_path / "a").is_symlink()


def test_a_pipe_is_written_into(write: Write, tmp_path: Path) -> None:
    path, read = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    write(path)
    reader.join()
    assert stat.S_ISFIFO(path.lstat().st_mode)
    assert AGENT in read[0]


def test_a_device_is_written_into(write: Write, tmp_path: Path) -> None:
    needs_root("only root makes devices")
    path = tmp_path / "null"
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (tmp_path / "link").symlink_to("null")
    for name in ("null", "link"):
        write(tmp_path / name)
    assert stat.S_ISCHR(path.lstat().st_mode)
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.parent.rmdir()], ids=["a folder", "no folder"])
def test_what_can_not_be_written_is_an_error(write: Write, tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "folder" / "out"
    path.parent.mkdir()
    make(path)
    with pytest.raises(OutputError):
        write(path)


def test_a_link_that_another_user_has_planted_is_not_followed(write: Write, tmp_path: Path) -> None:
    needs_root("only root makes links that are another user's")
    sticky, victim = tmp_path / "sticky", tmp_path / "victim"
    sticky.mkdir()
    sticky.chmod(0o1777)
    victim.write_text("precious")
    (sticky / "out").symlink_to(victim)
    (sticky / "folder").symlink_to(tmp_path)
    (tmp_path / "mine").symlink_to(sticky / "out")
    for link in ("out", "folder"):
        os.chown(sticky / link, 12_345, 12_345, follow_symlinks=False)
    for path in (sticky / "out", sticky / "folder" / "victim", tmp_path / "mine"):
        with pytest.raises(OutputError):
            write(path)
    assert victim.read_text() == "precious"


def test_a_hyphen_is_standard_output(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = os.listdir()
    write("-")  # type: ignore[arg-type]
    assert os.listdir() == before
    assert AGENT in capsys.readouterr().out


@pytest.mark.processes
@pytest.mark.parametrize("command", ["report", "metrics"])
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_names_of_standard_output_are_standard_output(
    store: Store, home: Home, tmp_path: Path, command: str, name: str
) -> None:
    store.record([end("r1")])
    arguments = [sys.executable, "-m", "otel_tracker", "--home", home.folder, command]
    shown = subprocess.run([*arguments], capture_output=True, check=True).stdout
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("ab") as file:
        subprocess.run([*arguments, "-o", name], stdout=file, check=True)
    assert log.read_text().startswith("before\n")
    assert len(log.read_text()) == len("before\n") + len(shown.decode())
    piped = subprocess.run([*arguments, "-o", name], capture_output=True, check=True).stdout
    assert len(piped) == len(shown)


def test_what_a_process_has_open_is_written_into_though_it_has_no_name(tmp_path: Path) -> None:
    with (tmp_path / "gone").open("w+b") as file:
        (tmp_path / "gone").unlink()
        Files().export(f"/dev/fd/{file.fileno()}", b"report")
        assert file.read() == b"report"
    assert os.listdir(tmp_path) == []
