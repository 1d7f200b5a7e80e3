"""One document reached by two homes is refused; links that somebody has planted are not followed."""

import os
import shutil
from pathlib import Path

import pytest

from otel_tracker import MetricTracker, TaskTracker
from otel_tracker.errors import SharedDocumentError, StorageError
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.builders import AGENT, end
from tests.home_files import journal


def linked(home: Home, to: Path) -> Home:
    """Make the document of `home` a link."""
    Path(home.config_file).parent.mkdir(parents=True)
    Path(home.config_file).symlink_to(to)
    return Home(home.folder)


def test_a_home_whose_document_is_a_link_into_another_home_is_refused(store: Store, tmp_path: Path) -> None:
    store.record([end("r1")])
    other = Store(linked(Home(str(tmp_path / "project")), Path(store.home.document)))
    with pytest.raises(SharedDocumentError, match=r"project and .*agents are homes of it") as error:
        other.record([end("r2")])
    assert "OTEL_TRACKER_HOME" in str(error.value)
    with pytest.raises(SharedDocumentError):
        other.read()
    assert not Path(other.home.journal).exists()
    store.record([end("r3")])
    assert store.read().agents[AGENT]["metrics"]["tasks_total"] == 2


def test_two_homes_that_link_to_one_file_are_refused_whichever_comes_second(tmp_path: Path) -> None:
    shared = tmp_path / "dotfiles" / "state.json"
    shared.parent.mkdir()
    first = Store(linked(Home(str(tmp_path / "one")), shared))
    second = Store(linked(Home(str(tmp_path / "two")), shared))
    first.record([end("r1")])
    with pytest.raises(SharedDocumentError, match=r"two and .*one are homes of it"):
        second.record([end("r2")])
    first.record([end("r3")])
    assert [event["seq"] for event in journal(first.home)] == [1, 2]


def test_a_home_that_comes_after_one_that_links_into_it_is_refused(home: Home, tmp_path: Path) -> None:
    other = Store(linked(Home(str(tmp_path / "project")), Path(home.config_file)))
    Path(home.config_file).parent.mkdir(parents=True)
    other.record([end("r1")])
    with pytest.raises(SharedDocumentError):
        Store(home).record([end("r2")])


def test_a_home_that_is_gone_or_has_its_own_document_now_is_no_rival(tmp_path: Path) -> None:
    shared = tmp_path / "dotfiles" / "state.json"
    shared.parent.mkdir()
    first = linked(Home(str(tmp_path / "one")), shared)
    second = linked(Home(str(tmp_path / "two")), shared)
    Store(first).record([end("r1")])
    shutil.copy(shared, tmp_path / "copy.json")
    Path(first.config_file).unlink()
    (tmp_path / "copy.json").rename(first.config_file)
    Store(second).record([end("r2")])
    Store(Home(first.folder)).record([end("r3")])
    shutil.rmtree(second.folder)
    third = linked(Home(str(tmp_path / "three")), shared)
    Store(third).record([end("r4")])
    homes = (Home(first.folder), third)
    assert [Store(home).read().agents[AGENT]["metrics"]["tasks_total"] for home in homes] == [2, 3]


@pytest.mark.parametrize("what", ["home", "parent"])
def test_a_home_that_is_reached_through_a_linked_folder_is_the_same_home(
    store: Store, tmp_path: Path, what: str
) -> None:
    store.record([end("r1")])
    (tmp_path / "link").symlink_to(store.home.folder if what == "home" else tmp_path)
    again = Store(Home(str(tmp_path / "link" / ("" if what == "home" else "agents"))))
    again.record([end("r2")])
    store.record([end("r3")])
    assert [event["seq"] for event in journal(store.home)] == [1, 2, 3]
    assert not Path(store.home.claim).exists()


def test_a_home_that_was_moved_goes_on(tmp_path: Path) -> None:
    shared = tmp_path / "state.json"
    first = linked(Home(str(tmp_path / "one")), shared)
    Store(first).record([end("r1")])
    Path(first.folder).rename(tmp_path / "moved")
    store = Store(Home(str(tmp_path / "moved")))
    store.record([end("r2")])
    assert store.read().agents[AGENT]["metrics"]["tasks_total"] == 2


def test_a_task_in_a_refused_home_is_recorded_when_the_home_has_a_document_of_its_own(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.record([end("r1")])
    other = linked(Home(str(tmp_path / "project")), Path(store.home.document))
    tracker = MetricTracker(other.config_file)
    with TaskTracker("a.md", tracker=tracker):
        pass
    assert "are homes of it" in caplog.text
    tracker._recorder.leave()  # as at the end of the process
    Path(other.config_file).unlink()
    Store(Home(other.folder)).record([end("r2")])
    assert Store(Home(other.folder)).read().agents["a.md"]["metrics"]["tasks_total"] == 1
    assert "a.md" not in store.read().agents


as_root = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root can make a link of somebody else's: run it with sudo"
)


@as_root
@pytest.mark.parametrize("what", ["document", "journal", "backups", "config"])
def test_a_link_that_another_user_has_planted_is_not_followed(home: Home, tmp_path: Path, what: str) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "circuit-breaker.json").write_text("precious")
    place = {
        "document": home.config_file,
        "journal": home.journal,
        "backups": home.backups,
        "config": os.path.dirname(home.config_file),
    }[what]
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    os.symlink(target / "circuit-breaker.json" if what == "document" else target, place)
    os.lchown(place, 12345, 12345)
    with pytest.raises(StorageError, match="user 12345 made it"):
        Store(Home(home.folder)).record([end("r1")])
    assert (target / "circuit-breaker.json").read_text() == "precious"
    assert list(target.iterdir()) == [target / "circuit-breaker.json"]


@as_root
def test_a_link_of_the_folders_owner_is_followed_but_not_by_root(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").mkdir()
    Path(home.folder).mkdir()
    os.symlink(tmp_path / "disk", home.journal)
    for path in (home.folder, tmp_path / "disk"):
        os.chown(path, 12345, 12345)
    os.lchown(home.journal, 12345, 12345)
    monkeypatch.setattr(os, "geteuid", lambda: 67890)
    Files().refuse_planted_link(home.journal)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(StorageError, match="user 12345 made it"):  # of whom root has to beware
        Files().refuse_planted_link(home.journal)


@as_root
def test_what_root_creates_in_the_home_of_another_user_belongs_to_that_user(home: Home) -> None:
    Path(home.folder).mkdir()
    os.chown(home.folder, 12345, 12346)
    store = Store(home)
    store.record([end("r1")])
    store.back_up()
    store.record([end("r2")])
    found = [Path(folder, name) for folder, folders, files in os.walk(home.folder) for name in [*folders, *files]]
    assert len(found) == 8
    assert {(path.stat().st_uid, path.stat().st_gid) for path in found} == {(12345, 12346)}


@pytest.mark.parametrize("name", ["append_lock", "segment"])
def test_a_link_in_the_place_of_a_file_that_only_this_package_makes_is_refused(
    home: Home, tmp_path: Path, name: str
) -> None:
    victim = link_to_victim(tmp_path, Path(home.journal, "1.jsonl") if name == "segment" else Path(home.append_lock))
    with pytest.raises(StorageError, match="it is a link, which is not followed here"):
        Store(home).record([end("r1")])
    assert victim.read_text() == "precious"


def test_a_link_in_the_place_of_the_documents_lock_keeps_events_in_the_journal(
    home: Home, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    victim = link_to_victim(tmp_path, Path(home.document_lock))
    Store(home).record([end("r1")])
    assert victim.read_text() == "precious"
    assert len(journal(home)) == 1
    assert "it is a link, which is not followed here" in caplog.text


def link_to_victim(folder: Path, place: Path) -> Path:
    """Put a link to a file of value in a place, and return that file."""
    (folder / "victim").write_text("precious")
    place.parent.mkdir(parents=True)
    place.symlink_to(folder / "victim")
    return folder / "victim"


def test_a_link_in_the_place_of_a_temporary_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    victim, path = tmp_path / "victim", tmp_path / "document"
    victim.write_text("precious")
    Path(f"{path}.{os.getpid()}.00000000.tmp").symlink_to(victim)
    with pytest.raises(StorageError):
        Files().replace(str(path), [b"{}"])
    assert victim.read_text() == "precious"
