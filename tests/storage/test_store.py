import json
import os
import stat
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import otel_tracker
from otel_tracker import names
from otel_tracker.errors import LockTimeoutError, StorageError, UnsupportedVersionError
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state.codec import DocumentCodec
from otel_tracker.state.event import task_ended, task_started
from otel_tracker.state.fold import fold_all
from otel_tracker.state.shapes import Event
from otel_tracker.storage import lock
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.home_files import journal, on_disk

NOW = 1_800_000_000.0


def ended(run_id: str | None = None, outcome: str = names.SUCCESS, at: float = NOW, **known: Any) -> Event:
    run_id = run_id or os.urandom(16).hex()
    return task_ended(
        "core/coder.md", outcome, at, run_id=run_id, started=format_timestamp(at - 1), duration_seconds=1, **known
    )


def started(run_id: str, **known: Any) -> Event:
    known = {"model": "sonnet", "task_id": None, "owner": None, **known}
    return task_started("core/coder.md", NOW, run_id=run_id, **known)


def test_a_recorded_event_is_numbered_in_the_journal_and_shown_by_the_document(store: Store) -> None:
    store.record([ended(), ended()])
    assert [event["seq"] for event in journal(store.home)] == [1, 2]
    document = on_disk(store.home)
    assert document["sequence"] == 2
    assert document["agents"]["core/coder.md"]["metrics"]["tasks_total"] == 2
    assert [entry["seq"] for entry in document["history"]] == [1, 2]


def test_a_start_is_only_appended_until_the_next_event_folds_it(store: Store) -> None:
    store.record([ended()])
    store.announce([started("r1")])
    assert on_disk(store.home)["in_flight"] == {}
    assert list(store.read().head["in_flight"]) == ["r1"]
    store.record([ended()])
    assert list(on_disk(store.home)["in_flight"]) == ["r1"]


def test_another_reader_sees_what_is_only_in_the_journal(store: Store) -> None:
    store.announce([started("r1")])
    assert list(Store(store.home).read().head["in_flight"]) == ["r1"]


def test_two_stores_of_one_home_continue_each_others_numbers(home: Home) -> None:
    first, second = Store(home), Store(home)
    for _ in range(3):
        first.record([ended()])
        second.record([ended()])
    assert [event["seq"] for event in journal(home)] == [1, 2, 3, 4, 5, 6]
    assert first.read().head == second.read().head


def test_what_another_process_has_written_is_predicted_unless_a_person_has_edited_it(home: Home) -> None:
    ours, theirs = Store(home), Store(home)
    ours.record([ended()])
    theirs.record([ended(), ended()])
    predicted = ours.parts.document_file._predicted(Path(home.document).read_bytes())
    assert predicted is not None
    assert predicted.head == Store(home).read().head
    theirs.record([ended()])
    text = Path(home.document).read_text()
    Path(home.document).write_text(text.replace('"tasks_failed": 0', '"tasks_failed": 7'))
    assert ours.parts.document_file._predicted(Path(home.document).read_bytes()) is None
    assert ours.read().agents["core/coder.md"]["metrics"]["tasks_failed"] == 7


def test_the_document_is_the_fold_of_each_backup_and_the_events_after_it(store: Store) -> None:
    for number in range(12):
        store.record([ended(outcome=names.FAILURE if number % 3 else names.SUCCESS)])
        store.back_up()
    events = journal(store.home)
    for path in store.parts.backups.paths():
        backup = DocumentCodec().decode(Path(path).read_bytes(), path)
        again = fold_all(backup, [event for event in events if event["seq"] > backup.sequence])
        assert again.head == store.read().head
        assert again.history.entries() == store.read().history.entries()


def test_a_real_v7_document_takes_tasks_and_keeps_every_key(adopt: Callable[[], Home]) -> None:
    home = adopt()
    before = on_disk(home)
    Store(home).record([ended(tokens={"untyped": 700}, model="sonnet")])
    after = on_disk(home)
    assert after["fallback_chain"] == before["fallback_chain"]
    assert set(after["agents"]) == set(before["agents"])
    for key, agent in before["agents"].items():
        if key != "core/coder.md":
            assert all(after["agents"][key][field] == value for field, value in agent.items() if field != "token_usage")
    assert after["agents"]["core/coder.md"]["token_usage"]["sonnet"]["total"] == 700
    assert list(after)[-1] == "history"


def test_the_end_of_a_task_finds_its_start_by_task_id_or_by_timestamp(store: Store) -> None:
    store.announce([started("by-id", task_id="t1"), started("by-start")])
    end = {**ended(task_id="t1"), "run_id": None}
    assert store.record([end])[0]["run_id"] == "by-id"
    end = {**ended(), "run_id": None, "started": format_timestamp(NOW)}
    assert store.record([end])[0]["run_id"] == "by-start"
    assert on_disk(store.home)["in_flight"] == {}


def test_ends_of_one_batch_end_a_run_each(store: Store) -> None:
    store.announce([started("r1", task_id="t"), started("r2", task_id="t")])
    ends = [{**ended(task_id="t", at=NOW + second), "run_id": None} for second in range(2)]
    assert [event["run_id"] for event in store.record(ends)] == ["r1", "r2"]


def test_a_start_and_its_end_may_come_in_one_batch(store: Store) -> None:
    end = {**ended(task_id="t"), "run_id": None}
    assert store.record([started("r1", task_id="t"), end])[1]["run_id"] == "r1"
    assert on_disk(store.home)["in_flight"] == {}


def test_an_end_without_a_known_start_is_a_run_of_its_own(store: Store) -> None:
    end = {**ended(), "run_id": None}
    assert store.record([end])[0]["run_id"] == end["id"]


def test_a_torn_last_line_is_cut_off_and_its_number_used_again(store: Store, home: Home) -> None:
    store.record([ended()])
    segment = Path(home.journal, "1.jsonl")
    with segment.open("ab") as file:
        file.write(b'{"seq": 2, "id": "torn')
    assert store.read().sequence == 1
    Store(home).record([ended()])
    assert [event["seq"] for event in journal(home)] == [1, 2]


def test_a_line_that_is_no_event_is_skipped_and_kept(
    store: Store, home: Home, warnings_logged: Callable[[], list[str]]
) -> None:
    store.record([ended()])
    segment = Path(home.journal, "1.jsonl")
    with segment.open("ab") as file:
        file.write(b"not an event\n")
    other = Store(home)
    other.record([ended()])
    assert other.read().agents["core/coder.md"]["metrics"]["tasks_total"] == 2
    assert b"not an event\n" in segment.read_bytes()
    assert any("no event" in message for message in warnings_logged())


def test_damaged_lines_of_a_segment_are_one_warning_however_often_they_are_read(
    store: Store, home: Home, warnings_logged: Callable[[], list[str]]
) -> None:
    store.record([ended()])
    with Path(home.journal, "1.jsonl").open("ab") as file:
        file.write(b"not an event\n" * 5)
    store.announce([ended()])
    for _ in range(3):
        assert store.read().sequence == 2
        store.parts.journal.forget()
    assert warnings_logged() == [f"skipped 5 lines of {Path(home.journal, '1.jsonl')} that are no events"]


def test_a_process_near_its_recursion_limit_leaves_out_no_event(store: Store, home: Home) -> None:
    """An event that only the journal has is either read or an error: a document without it would be wrong for good."""
    store.record([ended()])
    deep, reads = Store(home), []

    def go_deeper(left_alone: int) -> None:
        with suppress(RecursionError):
            if not left_alone:
                store.announce([ended()])
                reads.append(deep.read().sequence)
            go_deeper(max(0, left_alone - 1))

    go_deeper(sys.getrecursionlimit() - 300)
    assert len(reads) > 50
    assert deep.read().agents["core/coder.md"]["metrics"]["tasks_total"] == len(journal(home)) > reads[-1] - 2
    assert [event["seq"] for event in journal(home)] == [*range(1, len(journal(home)) + 1)]


def test_a_full_segment_is_followed_by_one_named_by_its_first_number(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_tracker.storage.journal.SEGMENT_BYTES", 2_000)
    first, second = Store(home), Store(home)
    for _ in range(10):
        first.record([ended()])
        second.record([ended()])
    names_of_segments = sorted((path.stem for path in Path(home.journal).iterdir()), key=int)
    assert len(names_of_segments) > 2
    events = journal(home)
    assert [event["seq"] for event in events] == list(range(1, 21))
    assert set(map(int, names_of_segments)) <= {event["seq"] for event in events}
    assert Store(home).read().head == first.read().head


def test_a_journal_that_was_deleted_does_not_reuse_numbers(store: Store, home: Home) -> None:
    store.record([ended(), ended()])
    Path(home.journal, "1.jsonl").unlink()
    assert store.record([ended()])[0]["seq"] == 3
    assert Store(home).read().agents["core/coder.md"]["metrics"]["tasks_total"] == 3


def test_a_document_that_was_deleted_comes_back_from_the_journal(store: Store, home: Home) -> None:
    store.record([ended(), ended()])
    Path(home.document).unlink()
    Store(home).record([ended()])
    assert on_disk(home)["agents"]["core/coder.md"]["metrics"]["tasks_total"] == 3


def test_the_first_write_of_an_hour_makes_a_backup_of_what_was_there(adopt: Callable[[], Home]) -> None:
    home = adopt()
    clock = [NOW]
    store = Store(home, clock=lambda: clock[0])
    original = Path(home.document).read_bytes()
    store.record([ended()])
    (backup,) = store.parts.backups.paths()
    assert Path(backup).read_bytes() == original
    assert os.path.basename(backup) == "circuit-breaker_20270115_080000.json"
    clock[0] += 3599
    Store(home, clock=lambda: clock[0]).record([ended()])
    assert len(store.parts.backups.paths()) == 1
    clock[0] += 1
    store.record([ended()])
    assert len(store.parts.backups.paths()) == 2


def test_settings_changed_by_hand_come_into_force_after_a_backup(store: Store, home: Home) -> None:
    store.record([ended()])
    store.record([ended()])
    backups = len(store.parts.backups.paths())
    text = Path(home.document).read_text()
    Path(home.document).write_text(text.replace('"failure_threshold": 5', '"failure_threshold": 1'))
    store.record([ended(outcome=names.FAILURE)])
    assert on_disk(home)["agents"]["core/coder.md"]["status"] == "blacklisted"
    assert len(store.parts.backups.paths()) == backups + 1
    assert json.loads(Path(store.parts.backups.paths()[-1]).read_bytes())["config"]["failure_threshold"] == 1


def test_a_backup_whose_name_is_taken_gets_the_next_second(home: Home) -> None:
    store = Store(home, clock=lambda: NOW)
    store.rewrite()
    made = [store.back_up() for _ in range(3)]
    assert [os.path.basename(str(path))[-9:] for path in made] == ["0000.json", "0001.json", "0002.json"]


def test_what_is_created_is_for_its_owner_only_and_what_exists_keeps_its_mode(store: Store, home: Home) -> None:
    mask = os.umask(0o277)
    try:
        store.record([ended()])
        store.back_up()
    finally:
        os.umask(mask)
    for folder, _, files in os.walk(home.folder):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        for file in files:
            assert stat.S_IMODE(os.stat(os.path.join(folder, file)).st_mode) == 0o600
    os.chmod(home.document, 0o644)
    store.record([ended()])
    assert stat.S_IMODE(os.stat(home.document).st_mode) == 0o644


def test_a_document_that_is_a_link_is_written_through(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "state.json"
    real.parent.mkdir()
    link = tmp_path / "agents" / "config" / "circuit-breaker.json"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    store = Store(Home(str(tmp_path / "agents")))
    store.record([ended()])
    assert link.is_symlink()
    assert json.loads(real.read_bytes())["sequence"] == 1
    assert (tmp_path / "agents" / "journal" / "1.jsonl").exists()


def test_a_document_of_a_newer_version_is_refused_and_nothing_is_written(store: Store, home: Home) -> None:
    Path(home.document).parent.mkdir(parents=True)
    Path(home.document).write_text('{\n  "version": "8.0",\n  "sequence": 4,\n  "history": []\n}\n')
    before = Path(home.document).read_bytes()
    with pytest.raises(UnsupportedVersionError, match="newer"):
        store.record([ended()])
    assert Path(home.document).read_bytes() == before
    assert not Path(home.journal).exists()


def test_a_lock_that_stays_held_is_an_error_after_the_bound(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.record([ended()])
    monkeypatch.setattr(lock, "WAIT_SECONDS", 0.05)
    with lock.held(store.home.append_lock, Files()), pytest.raises(LockTimeoutError, match=r"not free within 0\.05 s"):
        store.record([ended()])
    assert len(journal(store.home)) == 1


def test_an_unwritable_home_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/agents"):
        Store(Home(str(tmp_path / "file" / "agents"))).record([ended()])


def test_documents_of_other_names_that_share_a_folder_have_a_journal_each(tmp_path: Path) -> None:
    stores = [Store(Home.of_document(tmp_path / f"{name}.json")) for name in ("one", "two")]
    for store in stores:
        store.record([ended()])
    assert [store.read().sequence for store in stores] == [1, 1]
    assert stores[0].home.journal != stores[1].home.journal


def test_the_home_of_a_document_is_the_parent_of_a_folder_called_config(tmp_path: Path) -> None:
    assert Home.of_document(tmp_path / "config" / "circuit-breaker.json").folder == str(tmp_path)
    assert Home.of_document(tmp_path / "other" / "circuit-breaker.json").folder == str(tmp_path / "other")


def test_threads_that_share_a_store_lose_nothing(store: Store) -> None:
    def work() -> None:
        for _ in range(20):
            store.record([ended()])

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert on_disk(store.home)["agents"]["core/coder.md"]["metrics"]["tasks_total"] == 120


def test_a_failed_append_leaves_the_journal_as_it_was(home: Home) -> None:
    class FullDisk(Files):
        is_full = False

        def append(self, path: str, content: bytes) -> None:
            if self.is_full and content:
                super().append(path, content[: len(content) // 2])
                super().truncate(path, Path(path).stat().st_size - len(content) // 2)
                raise StorageError("append to", path, "No space left on device")
            super().append(path, content)

    files = FullDisk()
    store = Store(home, files)
    store.record([ended()])
    files.is_full = True
    with pytest.raises(StorageError, match="No space left"):
        store.record([ended()])
    files.is_full = False
    store.record([ended()])
    assert [event["seq"] for event in journal(home)] == [1, 2]
    assert store.read().agents["core/coder.md"]["metrics"]["tasks_total"] == 2


def test_a_document_that_cannot_be_replaced_does_not_lose_the_event(
    home: Home, warnings_logged: Callable[[], list[str]]
) -> None:
    class NoReplace(Files):
        is_broken = False

        def replace(self, path: str, parts: Any, **options: Any) -> tuple[int, int, int]:
            if self.is_broken:
                raise StorageError("write", path, "Permission denied")
            return super().replace(path, parts, **options)

    files = NoReplace()
    store = Store(home, files)
    store.record([ended()])
    files.is_broken = True
    store.record([ended()])
    assert on_disk(home)["sequence"] == 1
    assert Store(home).read().agents["core/coder.md"]["metrics"]["tasks_total"] == 2
    assert any("safe in the journal" in message for message in warnings_logged())
    files.is_broken = False
    store.record([ended()])
    assert on_disk(home)["agents"]["core/coder.md"]["metrics"]["tasks_total"] == 3


def test_an_unusable_setting_is_named_once_and_its_default_holds(
    store: Store, home: Home, warnings_logged: Callable[[], list[str]]
) -> None:
    store.rewrite()
    text = Path(home.document).read_text()
    Path(home.document).write_text(text.replace('"failure_threshold": 5', '"failure_threshold": "many"'))
    for _ in range(5):
        store.record([ended(outcome=names.FAILURE)])
    assert on_disk(home)["agents"]["core/coder.md"]["status"] == "blacklisted"
    assert on_disk(home)["config"]["failure_threshold"] == "many"
    assert len([message for message in warnings_logged() if "$.config.failure_threshold" in message]) == 1


def test_what_needs_the_document_lock_can_not_be_called_without_it(home: Home) -> None:
    store = Store(home)
    with store.transaction() as transaction:
        transaction.append(ended("a"))
        transaction.write(transaction.present())
    for call in (transaction.present, transaction.back_up, transaction.tidy, transaction.last_number):
        with pytest.raises(AttributeError):
            call()
    assert not hasattr(store, "write")
    assert Store(home).read().sequence == 1


def test_only_the_doctor_and_the_backups_look_behind_the_port() -> None:
    package = Path(otel_tracker.__file__).parent
    users = {path.relative_to(package) for path in package.rglob("*.py") if ".parts." in path.read_text()}
    assert {path.parts[0] for path in users} <= {"storage", "doctor"}
