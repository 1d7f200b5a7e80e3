"""What is deleted where sessions are kept: only what is proved to be ours, since the folder may be a user's own."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from otel_tracker.doctor import WRONG, examine
from otel_tracker.errors import StorageError
from otel_tracker.integrations.claude_code import NAME
from otel_tracker.integrations.claude_code.runs.forgetting import forget_sessions
from otel_tracker.integrations.claude_code.runs.session import Session as Facts
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.faults.components import needs_root
from tests.stories.harness import Session
from tests.stories.replay import play, prepare

DAY = 86_400.0
ID = "5f0c7a9e-0000-4000-8000-000000000001"
FACTS: dict[str, Any] = {"unsettled": 0, "session_id": ID, "transcript": "/gone.jsonl", "runs": []}
THEIRS = {
    "package.json": "{}",
    "settings.json": '{"session_id": "settings"}',
    f"{ID[:-1]}2.json": json.dumps({"session_id": f"{ID[:-1]}2", "unsettled": 0}),  # the keys in another order
    f"{ID[:-1]}3.json": json.dumps(FACTS, separators=(",", ":")),  # a copy of another session's
    f"{ID[:-1]}4.json": '{"unsettled":0,"session_id":5}',
    f"{ID[:-1]}5.json": "[]",
    f"{ID[:-1]}6.json.lock": "pid 1",
    "package.json.lock": "",
    "notes.json.12.0a1b2c3d.tmp": "",
    f"{ID}.json.12.0a1b2c3d.tmp": '{"mine": 1}',
    f"{ID}.json.tmp": "",
    "old.jsonl": "",
    "beginning": "2026-01-01T00:00:00Z",
    "hook.log": "",
}
OURS = {
    f"{ID}.json": json.dumps(FACTS, separators=(",", ":")),
    f"{ID}.json.lock": "",
    f"{ID[:-1]}7.json.lock": "",
    "0a" * 16 + ".json.lock": "",
    f"{ID}.json.12.0a1b2c30.tmp": json.dumps(FACTS, separators=(",", ":")),
    f"{ID}.json.12.0a1b2c31.tmp": '{"unset',
    f"{ID}.json.12.0a1b2c32.tmp": "",
    f"{ID}.json.12.0a1b2c33.tmp": "\0" * 40,
}


@pytest.fixture
def kept(home: Home) -> Path:
    folder = Path(home.of_integration(NAME))
    folder.mkdir(parents=True)
    for name, text in {**THEIRS, **OURS}.items():
        (folder / name).write_text(text)
    return folder


def age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    for path in folder.iterdir():
        os.utime(path, (then, then))


def test_what_is_not_proved_to_be_ours_stays_however_old_it_is(home: Home, kept: Path) -> None:
    (kept / "folder.json").mkdir()
    os.mkfifo(kept / "pipe.json")
    age(kept, 400 * DAY)
    forget_sessions(home, time.time())
    assert sorted(os.listdir(kept)) == sorted([*THEIRS, "folder.json", "pipe.json"])


def test_what_is_ours_stays_while_it_is_young(home: Home, kept: Path) -> None:
    age(kept, DAY / 2)
    forget_sessions(home, time.time())
    assert len(os.listdir(kept)) == len(THEIRS) + len(OURS)
    age(kept, 2 * DAY)
    forget_sessions(home, time.time())
    assert sorted(set(OURS) - set(os.listdir(kept))) == [name for name in sorted(OURS) if name.endswith(".tmp")]


def test_what_a_killed_hook_has_left_goes_with_a_later_session(tmp_path: Path) -> None:
    prepare(tmp_path)
    session = Session()
    session.launches().begins().works().ends().completes()
    session.stops()
    play(session.steps, tmp_path)
    left = tmp_path / "claude-code" / f"{session.session_id}.json.77.0a1b2c3d.tmp"
    left.write_text('{"unsettled":1,')
    os.utime(left, (0, time.time() - 2 * DAY))
    later = Session()
    later.starts()
    play(later.steps, tmp_path)
    assert not left.exists()


def test_a_planted_link_in_the_place_of_the_folder_is_not_followed(home: Home, tmp_path: Path) -> None:
    needs_root("only root makes links that are another user's")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / f"{ID}.json").write_text(OURS[f"{ID}.json"])
    age(elsewhere, 400 * DAY)
    Path(home.folder).mkdir(parents=True)
    os.symlink(elsewhere, home.of_integration(NAME))
    os.chown(home.of_integration(NAME), 12_345, 12_345, follow_symlinks=False)
    with pytest.raises(StorageError, match="12345"):
        forget_sessions(home, time.time())
    with pytest.raises(StorageError, match="12345"), Facts.opened(home, ID):
        pass
    assert os.listdir(elsewhere) == [f"{ID}.json"]
    assert [finding.text for finding in examine(Store(home)) if finding.level == WRONG and "12345" in finding.text]


def test_a_link_of_ones_own_is_followed(home: Home, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Path(home.folder).mkdir(parents=True)
    os.symlink(tmp_path / "elsewhere", home.of_integration(NAME))
    with Facts.opened(home, ID) as session:
        session.note_permit("tool", "a.md", None)
    assert (tmp_path / "elsewhere" / f"{ID}.json").exists()
