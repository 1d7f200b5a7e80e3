"""A document that is mounted on its own can't be replaced. It is written in place, and no kill or cut in the middle loses it."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tracker.errors import MountedAloneError, StorageError
from otel_tracker.storage import files
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.quick_read import read_quickly
from otel_tracker.storage.store import Store
from tests.faults.acknowledged import Acknowledge, assert_whole, record, write_line
from tests.faults.components import miss, needs_root
from tests.faults.events import AGENTS, begin, end
from tests.faults.steps import survives

pytestmark = pytest.mark.processes
TASKS = 100


class MountedFiles(Files):
    """The files of a system on which each document is mounted on its own."""

    def replace(self, path: str, parts: "Iterable[bytes | memoryview]", **options: Any) -> tuple[int, int, int]:
        if path.endswith("circuit-breaker.json") and os.path.exists(path):
            raise MountedAloneError(path)
        return super().replace(path, parts, **options)


def mounted(home: Home) -> Store:
    return Store(home, MountedFiles())


def adopt_another(home: Home, acknowledge: Acknowledge) -> None:
    os.makedirs(os.path.dirname(home.document))
    Path(home.document).write_text('{"version": "7.0", "mine": true, "agents": {"core/coder.md": {"failures": 2}}}')


def record_in_place(home: Home, acknowledge: Acknowledge) -> None:
    store = mounted(home)
    for run_id in ("a", "b"):
        store.announce([begin(run_id)])
        store.record([end(run_id)])
        acknowledge(run_id)


@pytest.mark.parametrize("prepare", [partial(record, "before"), adopt_another], ids=["ours", "another program's"])
def test_a_writer_that_is_killed_while_writing_in_place_loses_nothing(
    tmp_path: Path, prepare: Callable[[Home, Acknowledge], None]
) -> None:
    torn = 0
    for step in count(1):
        home, ledger = Home(str(tmp_path / str(step))), tmp_path / f"{step}.ledger"
        acknowledge = partial(write_line, ledger)
        prepare(home, acknowledge)
        inode = os.stat(home.document).st_ino
        is_through = survives(partial(record_in_place, home, acknowledge), step)
        torn += not _is_json(Path(home.document).read_bytes())
        assert ("mine" in Store(home).read().head) is (prepare is adopt_another)
        assert ("mine" in read_quickly(home).head) is (prepare is adopt_another)
        mounted(home).record([begin("last"), end("last")])
        assert_whole(home, ledger)
        assert ("mine" in json.loads(Path(home.document).read_bytes())) is (prepare is adopt_another)
        assert os.stat(home.document).st_ino == inode
        if is_through:
            break
    assert torn > 2


def test_without_a_backup_nothing_is_written_in_place(home: Home) -> None:
    class FullFiles(MountedFiles):
        def create(self, path: str, content: bytes) -> bool:
            raise StorageError("create", path, "No space left on device")

    adopt_another(home, print)
    before = Path(home.document).read_bytes()
    Store(home, FullFiles()).record([end("a")])
    assert Path(home.document).read_bytes() == before
    mounted(home).record([end("b")])
    assert Store(home).read().agents[AGENTS[0]]["metrics"]["tasks_total"] == 2
    assert json.loads(Path(home.document).read_bytes())["sequence"] == 2


def test_a_disk_that_is_full_says_so_before_anything_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "document"
    path.write_text("{}")
    real, room = os.write, 3

    def write_into_the_room(descriptor: int, content: bytes) -> int:
        if os.lseek(descriptor, 0, os.SEEK_CUR) >= len("{}") + room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, content[:room])

    monkeypatch.setattr(os, "write", write_into_the_room)
    with pytest.raises(StorageError, match="No space left"):
        Files().overwrite(str(path), [b'{"longer": true}'])
    assert path.read_text() == "{}"


class CutOs:
    """The module `os`, which notes what is written to a file, in the order in which a disk may get it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents = [[path.read_bytes()]]

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return partial(self._note, real) if name in ("write", "ftruncate", "fdatasync") else real

    def _note(self, real: Callable[..., Any], *arguments: Any) -> Any:
        result = real(*arguments)
        content = self.path.read_bytes()
        if real is os.fdatasync:
            self.contents.append([content])
        else:
            self.contents[-1].append(content)
        return result


@given(st.data())
def test_a_power_cut_leaves_the_old_document_the_new_one_or_what_is_none(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.json"
    old, new = (
        json.dumps({"a": data.draw(st.integers(0, 9)), "b": data.draw(st.text("xyz", max_size=20))}).encode()
        for _ in range(2)
    )
    path.write_bytes(old)
    with pytest.MonkeyPatch.context() as patch:
        noted = CutOs(path)
        patch.setattr(files, "os", noted)
        Files().overwrite(str(path), [new])
    # Between two flushes each block is on the disk as of any moment, and so is the file's length.
    moments = data.draw(st.sampled_from(noted.contents))
    length = len(data.draw(st.sampled_from(moments)))
    blocks = [data.draw(st.sampled_from(moments)).ljust(length, b"\0")[at : at + 8] for at in range(0, length, 8)]
    found = b"".join(blocks)[:length]
    assert found.rstrip(b" ") in (old, new) or not _is_json(found)


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


WRITER = f"""
import sys
from otel_tracker.storage.home import Home
from tests.faults.events import end
from tests.faults.test_in_place import mounted
store = mounted(Home(sys.argv[1]))
for number in range({TASKS}):
    store.record([end(f"run {{number}}")])
"""


def test_a_reader_sees_no_half_of_a_document_that_is_overwritten(home: Home) -> None:
    record("first", home, print)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, home.folder])
    states = 0
    while writer.poll() is None:
        state = Store(home).read() if states % 2 else read_quickly(home)
        assert state.agents[AGENTS[0]]["metrics"]["tasks_total"] == state.sequence - 1  # one is a start
        states += 1
    assert writer.returncode == 0
    assert Store(home).read().sequence == TASKS + 2
    assert states > 2


def test_files_that_are_really_mounted_on_their_own_are_written_and_the_doctor_says_so(tmp_path: Path) -> None:
    needs_root("only root mounts files")
    script = f"""
        set -e
        run() {{ {sys.executable} -m otel_tracker "$@"; }}
        run init > /dev/null
        run exec core/coder.md -- true
        mkdir -p "$HOME/.claude"
        echo '{{"model": "opus"}}' > "$HOME/.claude/settings.json"
        for file in agents/config/circuit-breaker.json settings.json; do
            cp "$HOME/.claude/$file" "$HOME/${{file##*/}}"
            mount --bind "$HOME/${{file##*/}}" "$HOME/.claude/$file" || exit 77
        done
        run exec core/coder.md -- true
        run claude-code install
        run report -o "$HOME/.claude/settings.json.md"
        run doctor || true
        mount -o remount,bind,ro "$HOME/.claude/agents/config/circuit-breaker.json"
        run exec core/coder.md -- true
        run doctor || true
    """
    environment = {**os.environ, "HOME": str(tmp_path)}
    command = ["unshare", "--mount", "sh", "-c", script]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if ran.returncode == 77 or "unshare" in ran.stderr:
        miss(f"nothing can be mounted here: {ran.stderr}")
    assert ran.returncode == 0, ran.stderr
    agents = json.loads((tmp_path / "circuit-breaker.json").read_bytes())["agents"]
    assert agents["core/coder.md"]["metrics"]["tasks_total"] == 2
    assert "hooks" in json.loads((tmp_path / "settings.json").read_bytes())
    assert "is mounted on its own, so that it is written in place" in ran.stdout
    assert "is mounted on its own, and can't be written to" in ran.stdout
    assert "Read-only file system" in ran.stderr
    assert "settings.json is mounted on its own" in ran.stdout
