"""A damaged document comes back from the newest valid backup and the journal, and nobody starts empty."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import names
from otel_tracker.cli import main
from otel_tracker.errors import DocumentError, StorageError, UnsupportedVersionError
from otel_tracker.names import FAILURE
from otel_tracker.runtime.ids import new_id
from otel_tracker.storage.home import Home
from otel_tracker.storage.quick_read import read_quickly
from otel_tracker.storage.store import Store
from otel_tracker.storage.transaction import Transaction
from tests.builders import AGENT, end, folded, start, usage
from tests.home_files import on_disk
from tests.places import REAL_DOCUMENT

Damage = Callable[[Path], None]
Warnings = Callable[[], list[str]]


def tasks(home: Home) -> int:
    number: int = on_disk(home)["agents"][AGENT]["metrics"]["tasks_total"]
    return number


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def rewritten(change: "Callable[[bytes], bytes]") -> Damage:
    def damage(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return damage


def with_another(old: str, new: str) -> Damage:
    return lambda path: replaced(path, old, new)


DAMAGES: dict[str, Damage] = {
    "empty": rewritten(lambda text: text[:0]),
    "cut off": rewritten(lambda text: text[: len(text) // 2]),
    "zeros where it was": rewritten(lambda text: bytes(len(text))),
    "zeros at its end": rewritten(lambda text: text[:-200] + bytes(200)),
    "vanished": lambda path: path.unlink(),
    "a wrong number": with_another('"tasks_total": ', '"tasks_total": -'),
    "a wrong config": with_another('"config": {', '"config": 5, "was": {'),
    "a wrong timestamp": with_another('"last_task_timestamp": "', '"last_task_timestamp": "x'),
    "a history that is no JSON": with_another('"action": "task_completed"', '"action": task'),
    "a history that is no list": with_another('"history": [', '"history": {}, "was": ['),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("has_backup", [True, False])
def test_a_damaged_document_comes_back_whole(
    store: Store, home: Home, damage: Damage, has_backup: bool, warnings_logged: Warnings
) -> None:
    store.record([end("r1", names.FAILURE), end("r2")])
    if has_backup:
        store.back_up()
    store.record([end("r3"), end("r4", names.FAILURE)])
    if not has_backup:
        shutil.rmtree(home.backups)
    whole, path = store.read(), Path(home.document)
    damage(path)
    damaged = path.read_bytes() if path.exists() else None
    assert Store(home).read().head == whole.head
    assert Store(home).read().history.entries() == whole.history.entries()
    assert read_quickly(home).agents[AGENT]["metrics"]["tasks_total"] == 4
    assert (path.read_bytes() if path.exists() else None) == damaged  # who only reads leaves it alone
    Store(home).record([end("r5")])
    assert tasks(home) == 5
    kept = [path.read_bytes() for path in Path(home.backups).glob("circuit-breaker.corrupt-*.json")]
    assert kept == ([] if damaged is None else [damaged])
    read, rebuilt = warnings_logged()[0], warnings_logged()[-1]
    assert "is damaged: " in read
    assert "this is the state of " in read
    assert "was damaged: " in rebuilt
    assert ("circuit-breaker_" if has_backup else "no backup and the journal; missing: settings, keys") in rebuilt
    assert not any("corrupt" in path for path in store.parts.backups.paths())


def test_a_foreign_writer_in_the_middle_is_waited_for(
    store: Store, home: Home, monkeypatch: pytest.MonkeyPatch, warnings_logged: Warnings
) -> None:
    store.record([end("r1")])
    whole = Path(home.document).read_bytes()
    Path(home.document).write_bytes(whole[:100])

    def finish_meanwhile(seconds: float) -> None:
        Path(home.document).write_bytes(whole)

    monkeypatch.setattr(time, "sleep", finish_meanwhile)
    assert Store(home).read().sequence == 1
    assert warnings_logged() == []


def test_an_older_backup_serves_where_the_newest_is_damaged_too(store: Store, home: Home) -> None:
    store.record([end("r1")])
    store.back_up()
    store.record([end("r2")])
    newest = store.back_up()
    store.record([end("r3")])
    Path(str(newest)).write_text("{")
    Path(home.document).write_text("{")
    Store(home).record([end("r4")])
    assert tasks(home) == 4


def test_what_neither_backup_nor_journal_has_is_named(
    home: Home, warnings_logged: Warnings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_tracker.storage.journal.SEGMENT_BYTES", 1)
    store = Store(home)
    for number in range(5):
        store.record([end(f"r{number}")])
    for segment in ("2.jsonl", "3.jsonl"):
        os.unlink(os.path.join(home.journal, segment))
    Path(home.document).unlink()
    Store(home).record([end("r9")])
    assert "missing: events 2 to 3" in warnings_logged()[-1]
    assert tasks(home) == 4


def test_a_damaged_document_without_any_source_is_an_error_and_stays(home: Home, store: Store) -> None:
    Path(home.document).parent.mkdir(parents=True)
    Path(home.document).write_text('{"agents": {"a.md": {"failures": "x"}}}')
    with pytest.raises(DocumentError, match=r'\$\.agents\["a\.md"\]\.failures: expected a whole number from 0'):
        store.read()
    with pytest.raises(DocumentError):
        store.back_up()
    with pytest.raises(DocumentError):
        store.rewrite()
    assert Path(home.document).read_text().startswith('{"agents"')


def test_a_wrong_value_in_the_config_is_no_damage(store: Store, home: Home, warnings_logged: Warnings) -> None:
    store.record([end("r1")])
    replaced(Path(home.document), '"failure_threshold": 5', '"failure_threshold": "x"')
    Store(home).record([end("r2")])
    assert on_disk(home)["config"]["failure_threshold"] == "x"
    assert ["$.config.failure_threshold" in message for message in warnings_logged()] == [True]


FOREIGN = ["[]", '{"version": "7.0", "agents": {"a.md": {"failures": "3"}}}', '{"version": "7.0",}', "my thesis"]


@pytest.mark.parametrize("text", FOREIGN)
def test_a_file_that_this_package_has_not_written_stays_until_a_person_corrects_it(
    home: Home, text: str, warnings_logged: Warnings
) -> None:
    path = Path(home.document)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    for number in range(3):
        Store(home).record([end(f"r{number}")])
    assert path.read_text() == text
    assert all("the new events are safe in the journal" in message for message in warnings_logged())
    path.write_text('{"version": "7.0", "agents": {"core/coder.md": {"failures": 3}}}')
    Store(home).record([end("r3")])
    assert tasks(home) == 4


def test_a_file_that_this_package_has_not_written_gives_way_to_a_backup(store: Store, home: Home) -> None:
    store.record([end("r1")])
    store.back_up()
    Path(home.document).write_text("[]")
    Store(home).record([end("r2")])
    assert tasks(home) == 2


def test_an_unreadable_backup_is_no_hindrance(store: Store, home: Home) -> None:
    store.record([end("r1")])
    store.back_up()
    Path(home.backups, "circuit-breaker_20990101_000000.json").mkdir()
    Path(home.backups, "circuit-breaker_20260230_120000.json").write_text("{}")
    Path(home.document).write_text("{")
    Store(home).record([end("r2")])
    assert tasks(home) == 2


def test_a_backup_of_another_life_of_the_home_does_not_bring_it_back(store: Store, home: Home, tmp_path: Path) -> None:
    other = Store(Home(str(tmp_path / "other")))
    other.record([end(f"other {number}") for number in range(9)])
    foreign = other.back_up()
    store.record([end("r1")])
    own = store.back_up()
    shutil.copy(str(foreign), Path(home.backups, "circuit-breaker_20000101_000000.json"))
    Path(home.document).write_text("{")
    Store(home).record([end("r2")])
    assert tasks(home) == 2
    assert store.parts.backups.paths()[-1] == own


@pytest.mark.parametrize("version", ["8.0-beta", "8.0.0rc1", "v8.0", "10"])
def test_a_newer_version_in_whatever_form_is_no_damage(store: Store, home: Home, version: str) -> None:
    store.record([end("r1")])
    replaced(Path(home.document), '"version": "7.0"', f'"version": "{version}"')
    before = Path(home.document).read_bytes()
    with pytest.raises(UnsupportedVersionError):
        Store(home).record([end("r2")])
    assert Path(home.document).read_bytes() == before


def test_a_program_that_drops_the_sequence_makes_nothing_count_twice(store: Store, home: Home) -> None:
    store.record([end(f"r{number}") for number in range(4)])
    document = on_disk(home)
    del document["sequence"]
    for entry in document["history"]:
        del entry["run_id"]
    Path(home.document).write_text(json.dumps(document))
    Store(home).record([end("r9")])
    assert tasks(home) == 5


V7_HEAD = ("version", "updated", "config", "agents", "metrics", "history")
V7_AGENT = ("status", "failures", "last_failure", "blacklisted_until", "metrics", "token_usage")


def without_sequence(value: Any) -> Any:
    """Do what `jq 'del(.sequence) | .history = []'` does."""
    return {**{key: known for key, known in value.items() if key != "sequence"}, "history": []}


def of_v7_only(value: Any) -> Any:
    """Keep what a program keeps that knows the keys of v7.0 only."""
    agents = {key: {name: agent[name] for name in V7_AGENT} for key, agent in value["agents"].items()}
    return {**{key: value[key] for key in V7_HEAD}, "agents": agents, "history": []}


REWRITES = pytest.mark.parametrize("rewrite", [without_sequence, of_v7_only])


@REWRITES
def test_a_document_rewritten_without_sequence_and_history_counts_nothing_twice(
    store: Store, home: Home, warnings_logged: Warnings, rewrite: "Callable[[Any], Any]"
) -> None:
    for number in range(4):
        store.record([end(f"r{number}", FAILURE), start(f"running {number}")])
    in_flight, agent = on_disk(home)["in_flight"], on_disk(home)["agents"][AGENT]
    value = rewrite(on_disk(home))
    value["agents"][AGENT]["metrics"]["tasks_total"] = 1  # it was read before three of them ended
    Path(home.document).write_text(json.dumps(value, indent=2))
    assert Store(home).read().agents[AGENT] == agent
    for again in (store, Store(home)):
        again.record([{**end("r3", FAILURE), "id": new_id()}])
        assert on_disk(home)["agents"][AGENT] == agent
    assert on_disk(home)["in_flight"] == in_flight
    Store(home).record([end("r9")])
    assert tasks(home) == 5
    assert any("another program has left out `sequence`" in message for message in warnings_logged())
    assert store.parts.backups.damaged_paths()


def test_a_first_document_rewritten_without_sequence_counts_nothing_twice(store: Store, home: Home) -> None:
    """There is no backup yet."""
    store.record([end("r1")])
    assert not store.parts.backups.paths()
    Path(home.document).write_text(json.dumps(without_sequence(on_disk(home))))
    Store(home).record([end("r2")])
    assert tasks(home) == 2


def test_a_document_rewritten_without_sequence_is_believed_where_nothing_else_tells_its_totals(
    store: Store, home: Home
) -> None:
    for number in range(4):
        store.record([end(f"r{number}")])
    shutil.rmtree(home.backups)
    segment = Path(home.journal, "1.jsonl")
    lines = segment.read_bytes().splitlines(keepends=True)
    Path(home.journal, "3.jsonl").write_bytes(b"".join(lines[2:]))
    segment.unlink()
    Path(home.document).write_text(json.dumps(without_sequence(on_disk(home))))
    Store(home).record([end("r4")])
    assert tasks(home) == 5
    assert all(store.parts.backups.sequence(path) > 0 for path in store.parts.backups.paths())


@REWRITES
def test_settings_and_unknown_keys_of_a_document_rewritten_without_sequence_hold(
    store: Store, home: Home, rewrite: "Callable[[Any], Any]"
) -> None:
    store.record([end("r1"), end("r2")])
    store.record([end("r3", agent="ui/designer.md"), usage()])
    document = on_disk(home)
    document["config"]["count_lost"] = False
    document["agents"]["ui/designer.md"]["config"] = {"failure_threshold": 7}
    Path(home.document).write_text(json.dumps(document, indent=2))
    store.record([end("r4")])
    value = rewrite(on_disk(home))
    value["config"] = {"failure_threshold": 2}
    value |= {"fallback_chain": {"L2_to_L1": {}}}
    value.setdefault("main_conversation", {})["team"] = "red"
    value["agents"][AGENT]["team"] = "blue"
    value["agents"]["new.md"] = {"status": "healthy", "metrics": {"tasks_total": 3}}
    Path(home.document).write_text(json.dumps(value, indent=2))
    Store(home).record([end("r5", FAILURE), end("r6", FAILURE)])
    after = on_disk(home)
    assert (after["config"]["failure_threshold"], after["config"]["count_lost"]) == (2, False)
    assert after["agents"]["ui/designer.md"]["config"] == {"failure_threshold": 7}
    assert (after["fallback_chain"], after["agents"][AGENT]["team"]) == ({"L2_to_L1": {}}, "blue")
    assert after["main_conversation"] == {**folded(usage()).main_conversation, "team": "red"}
    assert after["agents"][AGENT]["status"] == "blacklisted"
    assert (after["agents"]["new.md"]["metrics"]["tasks_total"], after["metrics"]["total_agents"]) == (3, 3)
    (changed,) = [entry for entry in after["history"] if entry["action"] == names.SETTINGS_CHANGED][-1:]
    assert changed["config"]["failure_threshold"] == 2
    path = Path(home.document)
    path.write_bytes(path.read_bytes()[:100])
    Store(home).record([end("r7")])
    for value in (after, rebuilt := on_disk(home)):
        value["agents"][AGENT]["metrics"] = value["metrics"] = value["history"] = None
        value["sequence"] = value["updated"] = value["agents"][AGENT]["token_usage"] = None
    assert rebuilt["agents"].keys() == after["agents"].keys()
    assert (rebuilt["config"], rebuilt["fallback_chain"]) == (after["config"], after["fallback_chain"])


@pytest.mark.parametrize("has_backup", [True, False])
def test_a_document_that_is_being_adopted_counts_with_what_the_journal_has_beside_it(
    home: Home, monkeypatch: pytest.MonkeyPatch, has_backup: bool
) -> None:
    """The process that records the first task may be killed before it writes the document."""
    path = Path(home.document)
    path.parent.mkdir(parents=True)
    shutil.copy(REAL_DOCUMENT, path)
    before = on_disk(home)["metrics"]["total_requests"]
    with monkeypatch.context() as patch:
        patch.setattr(Transaction, "write", lambda *_: None)
        Store(home).record([end("r1")])
    if not has_backup:
        shutil.rmtree(home.backups, ignore_errors=True)
    Store(home).record([end("r2")])
    assert on_disk(home)["metrics"]["total_requests"] == before + 2


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(store: Store, home: Home) -> None:
    store.record([end("r1")])
    store.back_up()
    for path in (Path(home.document), Path(home.backups, "circuit-breaker_20990101_000000.json")):
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    with pytest.raises(StorageError, match="it is no file"):
        Store(home).read()


def test_at_most_five_damaged_documents_are_kept(store: Store, home: Home) -> None:
    store.record([end("first")])
    store.back_up()
    for number in range(7):
        store.record([end(f"r{number}")])
        Path(home.document).write_bytes(b"{ %d" % number)
        Store(home).record([end(f"again {number}")])
    kept = sorted(Path(home.backups).glob("circuit-breaker.corrupt-*.json"))
    assert [path.read_bytes() for path in kept] == [b"{ %d" % number for number in range(2, 7)]


def test_a_damaged_document_that_cannot_be_replaced_is_kept_once(store: Store, home: Home) -> None:
    store.record([end("r1")])
    Path(home.document).write_bytes(Path(home.document).read_bytes()[:-3])
    for attempt in range(3):
        broken = Store(home)
        broken.parts.document_file.write = _refuse  # type: ignore[method-assign]
        broken.record([end(f"attempt {attempt}")])
    assert len(list(Path(home.backups).glob("circuit-breaker.corrupt-*.json"))) == 1
    Store(home).record([end("r2")])
    assert tasks(home) == 5


def _refuse(document: Any, *, in_place: bool = False) -> None:
    raise OSError("Permission denied")


def test_the_command_shows_the_state_of_a_damaged_document_and_says_so(
    store: Store, home: Home, capsys: pytest.CaptureFixture[str], warnings_logged: Warnings
) -> None:
    store.announce([start("r1")])
    store.record([end("r2")])
    Path(home.document).unlink()
    assert main(["agent", AGENT, "--home", home.folder]) == 0
    assert "tasks: 1, 1 successful" in capsys.readouterr().out
    assert "it has vanished" in warnings_logged()[0]


def test_a_home_that_was_deleted_altogether_begins_anew(store: Store, home: Home, warnings_logged: Warnings) -> None:
    store.record([end("r1")])
    shutil.rmtree(home.folder)
    Store(home).record([end("r2")])
    assert tasks(home) == 1
    assert warnings_logged() == []


def test_a_long_lived_process_finds_a_damaged_history_before_it_makes_a_backup(home: Home) -> None:
    clock = [1.8e9]
    store = Store(home, clock=lambda: clock[0])
    store.record([end("r1"), end("r2")])
    store.back_up()
    store.record([end("r3")])
    replaced(Path(home.document), '"action": "task_completed"', '"action": task')
    store.record([end("r4")])
    clock[0] += 3600
    store.record([end("r5")])
    assert tasks(home) == 5
    assert [store.parts.backups.document(path).sequence for path in store.parts.backups.paths()] == [2]
    assert len(store.parts.backups.damaged_paths()) == 1
