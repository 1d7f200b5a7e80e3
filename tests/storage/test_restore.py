import json
import os
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import names
from otel_tracker.cli import main
from otel_tracker.errors import DocumentError, RestoreError, UnknownBackupError
from otel_tracker.storage.home import Home
from otel_tracker.storage.restore import restore
from otel_tracker.storage.store import Store
from tests.builders import AGENT, end
from tests.home_files import on_disk


def tasks(store: Store) -> int:
    number: int = store.read().agents[AGENT]["metrics"]["tasks_total"]
    return number


@pytest.fixture
def backup(store: Store) -> str:
    """Record two tasks, make a backup, and record three more."""
    store.record([end("r1"), end("r2")])
    path = store.back_up()
    assert path is not None
    store.record([end("r3"), end("r4", names.FAILURE)])
    store.record([end("r5")])
    return path


def test_a_restore_replays_what_came_after_the_backup(store: Store, home: Home, backup: str) -> None:
    document = on_disk(home)
    document["agents"][AGENT]["metrics"]["tasks_total"] = 999
    Path(home.document).write_text(json.dumps(document, indent=2))
    assert restore(Store(home), os.path.basename(backup), discard_later=False) == (backup, 3, 0)
    assert on_disk(home)["agents"][AGENT]["metrics"]["tasks_total"] == tasks(store) == 5


def test_a_restore_that_discards_brings_back_the_backups_own_numbers(store: Store, home: Home, backup: str) -> None:
    assert restore(store, backup, discard_later=True) == (backup, 0, 3)
    assert on_disk(home)["agents"][AGENT]["metrics"]["tasks_total"] == tasks(Store(home)) == 2
    store.record([end("r6")])
    assert tasks(Store(home)) == 3
    Path(home.document).unlink()
    assert tasks(Store(home)) == 3  # the journal knows what was discarded


def test_what_was_discarded_can_be_brought_back(store: Store, backup: str) -> None:
    restore(store, backup, discard_later=True)
    before = store.parts.backups.paths()[-2]  # made by the restore itself
    with pytest.raises(RestoreError, match="--discard-later"):
        restore(store, before, discard_later=False)
    restore(store, before, discard_later=True)
    assert tasks(store) == 5


def test_a_restore_that_is_killed_before_the_document_is_written_is_finished_by_the_next_process(
    store: Store, home: Home, backup: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(document: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store.parts.document_file, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        restore(store, backup, discard_later=True)
    assert on_disk(home)["agents"][AGENT]["metrics"]["tasks_total"] == 5
    assert tasks(Store(home)) == 2
    Store(home).record([end("r6")])
    assert on_disk(home)["agents"][AGENT]["metrics"]["tasks_total"] == 3


def test_a_process_with_the_old_document_in_memory_goes_on_from_the_restored_one(home: Home, backup: str) -> None:
    running = Store(home)
    running.record([end("r6")])
    restore(Store(home), backup, discard_later=True)
    running.record([end("r7")])
    assert tasks(running) == tasks(Store(home)) == on_disk(home)["agents"][AGENT]["metrics"]["tasks_total"] == 3


def test_settings_changed_after_the_backup_are_replayed_or_discarded_like_the_rest(
    store: Store, home: Home, backup: str
) -> None:
    path = Path(home.document)
    path.write_text(path.read_text().replace('"failure_threshold": 5', '"failure_threshold": 2'))
    store.record([end("r6")])
    restore(store, backup, discard_later=False)
    assert on_disk(home)["config"]["failure_threshold"] == 2
    restore(store, backup, discard_later=True)
    assert on_disk(home)["config"]["failure_threshold"] == 5


def test_a_restore_makes_a_backup_of_what_was_there_first(store: Store, home: Home, backup: str) -> None:
    before = Path(home.document).read_bytes()
    restore(store, backup, discard_later=True)
    assert before in [Path(path).read_bytes() for path in store.parts.backups.paths()]


def test_a_damaged_document_is_no_hindrance(store: Store, home: Home, backup: str) -> None:
    Path(home.document).write_text("{")
    restore(Store(home), backup, discard_later=True)
    assert tasks(store) == 2


def test_a_damaged_or_unknown_backup_is_refused(store: Store, home: Home, backup: str) -> None:
    before = Path(home.document).read_bytes()
    Path(backup).write_text('{"version": "7.0", "sequence": "x"}')
    with pytest.raises(DocumentError, match=r"\$\.sequence"):
        restore(Store(home), backup, discard_later=False)
    with pytest.raises(UnknownBackupError, match="backups list"):
        restore(store, "circuit-breaker_20000101_000000.json", discard_later=False)
    assert Path(home.document).read_bytes() == before


def test_the_command_restores_by_the_name_that_list_shows(
    store: Store, home: Home, backup: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = os.path.basename(backup)
    assert main(["backups", "list", "--home", home.folder]) == 0
    shown = capsys.readouterr().out
    assert f"{name}  " in shown
    assert main(["backups", "restore", name.removesuffix(".json"), "--discard-later", "--home", home.folder]) == 0
    assert capsys.readouterr().out == f"restored {backup}\n0 later events were folded into it, 3 discarded\n"
    assert tasks(store) == 2
    assert main(["backups", "restore", "nothing", "--home", home.folder]) == 1
    assert "unknown backup 'nothing'" in capsys.readouterr().err


def test_a_backup_that_cannot_be_read_is_shown_as_damaged(
    store: Store, home: Home, backup: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(backup).write_text("{")
    Path(home.backups, "circuit-breaker.corrupt-20260101_000000.json").write_text("{")
    main(["backups", "list", "--home", home.folder])
    shown = capsys.readouterr().out
    assert "damaged\n" in shown
    assert "set aside as damaged: " in shown
    main(["backups", "list", "--format", "json", "--home", home.folder])
    assert json.loads(capsys.readouterr().out)[0]["sequence"] is None
