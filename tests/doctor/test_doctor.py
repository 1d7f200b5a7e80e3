"""The doctor finds each kind of damage, says what mends it, and mends it; a home in order is in order."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import names
from otel_tracker.cli import main
from otel_tracker.doctor import NOTE, OK, WRONG, Finding, examine, repair
from otel_tracker.doctor.compare import differences, numbers
from otel_tracker.storage import lock, mounts, unwritten
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.builders import AGENT, end, usage


def found(home: Home, level: str, topic: "str | None" = None) -> list[Finding]:
    return [finding for finding in examine(Store(home)) if finding.level == level and topic in (None, finding.topic)]


def edit(home: Home, change: Callable[[Any], None]) -> None:
    """Change the document as a person does, in an editor that keeps its layout."""
    path = Path(home.document)
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document, indent=2))


@pytest.fixture
def used(store: Store, home: Home) -> Home:
    """Return a home with six tasks and a backup after the first."""
    for number in range(6):
        store.record([end(f"r{number}", names.FAILURE if number % 2 else names.SUCCESS)])
    return home


def test_a_home_in_order_is_in_order(used: Home) -> None:
    findings = examine(Store(used))
    assert [finding for finding in findings if finding.level != OK] == []
    topics = [finding.topic for finding in findings]
    assert topics == [
        *("home", "permissions", "lock", "document", "journal", "document", "backups", "clock", "packages"),
        "opentelemetry",
    ]
    assert any("numbers are what circuit-breaker_" in finding.text for finding in findings)


def test_a_real_v7_document_in_use_is_in_order(adopt: Callable[[], Home]) -> None:
    home = adopt()
    Store(home).record([end("r1")])
    Store(home).record([end("r2")])
    assert [finding for finding in examine(Store(home)) if finding.level != OK] == []


def test_a_home_that_does_not_exist_is_not_made(home: Home) -> None:
    (finding,) = found(home, NOTE)
    assert (finding.topic, finding.remedy) == ("home", f"otel-tracker init --home {home.folder}")
    assert found(home, WRONG) == []
    assert not os.path.exists(home.folder)


def test_a_home_that_cannot_be_looked_at_or_is_no_folder_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    (finding,) = found(Home(str(file)), WRONG, "home")
    assert finding.text == f"{file} is not a folder"
    (finding,) = found(Home(f"{file}/agents"), WRONG, "home")
    assert finding.text.startswith(f"cannot look at {file}/agents: Not a directory; ")


def test_a_number_that_is_not_what_the_journal_gives_is_found_and_mended(used: Home) -> None:
    edit(used, lambda document: document["agents"][AGENT]["metrics"].update(tasks_total=99))
    edited = Path(used.document).read_bytes()
    (finding,) = found(used, WRONG)
    assert f'$.agents["{AGENT}"].metrics.tasks_total is 99, not 6' in finding.text
    assert str(finding.remedy).startswith("otel-tracker doctor --repair")
    done = repair(Store(used))
    assert done[0].startswith("rebuilt the document from the journal; the old one is ")
    assert Path(done[0].rpartition(" ")[2]).read_bytes() == edited
    assert Store(used).read().agents[AGENT]["metrics"]["tasks_total"] == 6
    assert found(used, WRONG) == []


def test_what_the_journal_gives_of_main_conversations_is_found_and_mended(used: Home) -> None:
    Store(used).record([usage(), usage(120)])
    (opus,) = Store(used).read().main_conversation["models"]
    edit(used, lambda document: document["main_conversation"]["models"][opus].update(total=99))
    (finding,) = found(used, WRONG)
    assert f"$.main_conversation.models.{opus}.total is 99, not 30" in finding.text
    repair(Store(used))
    assert Store(used).read().main_conversation["models"][opus]["total"] == 30
    assert found(used, WRONG) == []
    edit(used, lambda document: document["main_conversation"].update(team="red"))
    assert found(used, WRONG) == []


def test_usage_of_a_main_conversation_that_was_counted_twice_is_found_by_the_doctors_own_count(used: Home) -> None:
    store = Store(used)
    store.record([usage()])
    store.record([usage(120)])
    edit(used, lambda document: document["main_conversation"]["models"]["claude-opus-5-5"].update(total=45))
    store = Store(used)
    store.back_up()
    (finding,) = found(used, WRONG)
    assert "the main conversation has 45 tokens, not 30; something was counted twice" in finding.text


def test_a_change_by_hand_that_a_backup_holds_is_only_noted(used: Home) -> None:
    edit(used, lambda document: document["agents"][AGENT].update(status="healthy", failures=0))
    assert len(found(used, WRONG)) == 1
    Store(used).back_up()
    assert found(used, WRONG) == []
    (finding,) = found(used, NOTE)
    assert "it was changed by hand before circuit-breaker_" in finding.text


def test_a_repair_keeps_settings_that_were_changed_by_hand(used: Home) -> None:
    def change(document: Any) -> None:
        document["config"]["failure_threshold"] = 3
        document["metrics"]["failed"] = 99

    edit(used, change)
    assert "come into force with the next event" in found(used, NOTE)[0].text
    repair(Store(used))
    document = json.loads(Path(used.document).read_bytes())
    assert (document["config"]["failure_threshold"], document["metrics"]["failed"]) == (3, 3)
    assert found(used, WRONG) == []


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_damaged_document_is_found_and_rebuilt(used: Home, is_deleted: bool) -> None:
    before = Store(used).read()
    Path(used.document).unlink() if is_deleted else Path(used.document).write_text("{")
    (finding,) = found(used, WRONG)
    assert "is damaged: " in finding.text
    assert (finding.topic, finding.remedy) == ("document", f"otel-tracker doctor --repair --home {used.folder}")
    assert repair(Store(used))[0].startswith("rebuilt the document from ")
    assert Store(used).read().head == before.head
    assert found(used, WRONG) == []
    set_aside = found(used, NOTE, "backups")
    assert [bool(is_deleted), *("was set aside" in finding.text for finding in set_aside)] == (
        [True] if is_deleted else [False, True]
    )


def test_an_unusable_setting_is_named(used: Home) -> None:
    edit(used, lambda document: document["config"].update(failure_threshold="many"))
    (finding,) = found(used, WRONG)
    assert "$.config.failure_threshold" in finding.text
    assert finding.remedy == f"edit {used.document}"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("{", "not JSON"),
        ('{"models": {"mine": {"input": 1, "output": "much"}}}', '$.models["mine"].output: expected dollars'),
        ('{"models": {"mine": "nobodys-model"}}', '$.models["mine"]: expected prices'),
    ],
)
def test_a_users_prices_are_read_and_a_fault_is_named_with_its_place(used: Home, content: str, place: str) -> None:
    assert found(used, OK, "prices") == []
    Path(used.prices).write_text('{"models": {"mine": {"input": 1, "output": 2}}}')
    (finding,) = found(used, OK, "prices")
    assert finding.text.startswith(f"{used.prices} ")
    Path(used.prices).write_text(content)
    (finding,) = found(used, WRONG)
    assert finding.topic == "prices"
    assert finding.text.startswith(f"cannot read {used.prices}: ")
    assert place in finding.text


def test_a_document_of_a_newer_version_is_named(used: Home) -> None:
    edit(used, lambda document: document.update(version="8.0"))
    assert [finding.remedy for finding in found(used, WRONG, "document")] == [
        "git pull && pip install . in a clone of otel-tracker"
    ]


def test_a_damaged_backup_is_found_and_set_aside(used: Home) -> None:
    path = Store(used).parts.backups.paths()[0]
    Path(path).write_text("{")
    (finding,) = found(used, WRONG)
    assert path in finding.text
    repair(Store(used))
    assert not os.path.exists(path)
    assert [Path(kept).read_text() for kept in Store(used).parts.backups.damaged_paths()] == ["{"]
    assert found(used, WRONG) == []


def test_events_that_were_left_over_are_found_and_taken_in(used: Home) -> None:
    unwritten.leave(used, Files(), [end("r7"), end("r8")])
    (finding,) = found(used, WRONG)
    assert finding.text.startswith("2 events wait in ")
    assert repair(Store(used)) == ["took in 2 events that were left over"]
    assert json.loads(Path(used.document).read_bytes())["metrics"]["total_requests"] == 8
    assert found(used, WRONG) == []


def test_files_that_others_may_write_to_are_found_and_closed(used: Home) -> None:
    os.chmod(used.document, 0o666)  # noqa: S103 - that is what is to be found
    os.chmod(used.journal, 0o777)  # noqa: S103
    assert {finding.text.rpartition(" ")[2] for finding in found(used, WRONG)} == {used.document, used.journal}
    repair(Store(used))
    assert os.stat(used.document).st_mode & 0o777 == 0o664
    assert found(used, WRONG) == []


def test_what_killed_writers_have_left_is_found_and_removed(used: Home) -> None:
    left = [f"{used.document}.99.00c0ffee.tmp", os.path.join(used.backups, f"{used.stem}_x.json.9.00c0ffee.tmp")]
    foreign = f"{used.document}.tmp"
    for path in [*left, foreign]:
        Path(path).write_text("half of a docum")
    (finding,) = found(used, NOTE)
    assert finding.text.startswith("2 temporary files")
    repair(Store(used))
    assert [os.path.exists(path) for path in [*left, foreign]] == [False, False, True]


def test_the_next_writer_removes_what_killed_writers_have_left(used: Home) -> None:
    left = Path(f"{used.document}.99.00c0ffee.tmp")
    left.write_text("half of a docum")
    Store(used).record([end("r7")])
    assert not left.exists()


@pytest.mark.processes
def test_a_lock_that_a_stopped_process_holds_is_named_with_that_process(
    used: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); time.sleep(60)"
    monkeypatch.setattr(lock, "WAIT_SECONDS", 0.05)
    with subprocess.Popen([sys.executable, "-c", code, used.append_lock], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (finding,) = found(used, WRONG, "lock")
        process.kill()
    assert f"process {process.pid} holds it" in finding.text
    assert finding.remedy == f"kill {process.pid}"
    assert found(used, WRONG) == []


def test_a_lock_that_cannot_be_opened_is_no_reason_to_end_a_process(used: Home) -> None:
    os.unlink(used.append_lock)
    os.mkdir(used.append_lock)
    (finding,) = found(used, WRONG, "lock")
    assert "cannot open the lock" in finding.text
    assert finding.remedy is None


def test_a_line_and_a_segment_that_are_missing_are_said(used: Home) -> None:
    segment = Path(used.journal, "1.jsonl")
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([*lines[:2], b"nonsense\n", *lines[3:]]))
    texts = [finding.text for finding in found(used, NOTE)]
    assert "1 of 6 lines are no events: another program, or a person, has changed them; they don't count" in texts
    assert "gaps: 1, after event 2 comes 4; the events between are missing" in texts
    assert any(text.startswith("no backup leads to it yet") for text in texts)


def test_an_event_ahead_of_the_clock_is_found(used: Home) -> None:
    Store(used).record([end("r7", after=4e9)])
    (finding,) = found(used, WRONG)
    assert finding.topic == "clock"
    assert finding.text.startswith("event 7 is dated 2152-")


def test_a_home_on_a_network_is_said(
    used: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mounts, "filesystem_of", lambda _: "nfs4")
    (finding,) = found(used, NOTE)
    assert finding.text.startswith(f"{used.folder} is on nfs4: ")
    main(["init", "--home", used.folder])
    assert finding.text in capsys.readouterr().out


def test_the_command_says_what_is_wrong_and_mends_it(used: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--home", used.folder]) == 0
    assert capsys.readouterr().out.endswith("nothing is wrong\n")
    Path(used.document).unlink()
    assert main(["doctor", "--home", used.folder]) == 1
    shown = capsys.readouterr().out
    assert "wrong   document" in shown
    assert "what to do: otel-tracker doctor --repair" in shown
    assert main(["doctor", "--repair", "--format", "json", "--home", used.folder]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["is_wrong"], len(said["repaired"])) == (False, 1)
    assert {"topic", "level", "text", "remedy"} == said["findings"][0].keys()


def test_differences_are_named_by_their_place() -> None:
    one: Any = {"a": 1, "b": {"c.d": [1, 2]}, "e": [1], "f": True}
    other: Any = {"b": {"c.d": [1, 3]}, "a": 1, "e": [1, 2], "g": None, "f": True}
    shown = [str(difference) for difference in differences(one, other)]
    assert shown == ['$.b["c.d"][1] is 3, not 2', "$.e is a list of 2, not a list of 1", "$.g is None, not nothing"]
    assert list(differences(one, json.loads(json.dumps(one)))) == []
    assert numbers(one) == 4
