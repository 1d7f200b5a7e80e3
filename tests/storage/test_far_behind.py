"""A document that is far behind the journal: tasks are recorded and don't wait for it; a process that reads the state brings it up."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import names
from otel_tracker.cli import main
from otel_tracker.doctor import WRONG, examine_home, repair
from otel_tracker.errors import LaggingError
from otel_tracker.integrations.claude_code import NAME
from otel_tracker.integrations.claude_code.hooks.hook import hook
from otel_tracker.storage.home import Home
from otel_tracker.storage.quick_read import read_quickly
from otel_tracker.storage.recorder import Recorder
from otel_tracker.storage.restore import restore
from otel_tracker.storage.store import Store
from otel_tracker.tracking.gate import Gate
from tests.builders import AGENT, about, end, start

Warnings = Callable[[], list[str]]
OTHER = "core/critic.md"


@pytest.fixture
def behind(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return a home without document and backup, whose journal is long for this test."""
    monkeypatch.setattr("otel_tracker.storage.journal.SEGMENT_BYTES", 4096)
    store = Store(home)
    store.record([end(f"r{number}", names.FAILURE, after=number) for number in range(5)])
    order = {"kind": names.FORCED_OPEN, "until": None, "reason": "being mended"}
    store.record([about(names.BREAKER_OVERRIDE, override=order)])
    for batch in range(10):
        store.record([end(f"other {batch} {number}", agent=OTHER) for number in range(10)])
    assert len(store.parts.journal.segments()) > 5
    monkeypatch.setattr("otel_tracker.storage.journal._FAR_BYTES", 8192)
    Path(home.document).unlink()
    shutil.rmtree(home.backups)
    return home


def tasks(home: Home, agent: str = AGENT) -> int:
    document: Any = json.loads(Path(home.document).read_bytes())
    number: int = document["agents"][agent]["metrics"]["tasks_total"]
    return number


def test_a_task_is_recorded_in_the_journal_and_does_not_wait_for_the_rest(
    behind: Home, warnings_logged: Warnings
) -> None:
    store = Store(behind)
    for number in range(3):
        assert store.record([end(f"new {number}")])[0]["seq"] == 107 + number
    assert not Path(behind.document).exists()
    (warning,) = warnings_logged()
    assert "which no task waits for; fold them in with: otel-tracker doctor --repair" in warning
    assert warning.endswith("(the new events are safe in the journal)")


def test_a_reader_of_the_state_waits_for_it_and_writes_it(behind: Home) -> None:
    Store(behind).record([end("new")])
    assert Store(behind).read().agents[AGENT]["metrics"]["tasks_total"] == 6
    assert tasks(behind) == 6
    Store(behind).record([end("newer")])
    assert tasks(behind) == 7
    assert Store(behind).read().sequence == 108


def test_a_process_that_has_read_the_state_writes_what_comes(behind: Home) -> None:
    store = Store(behind)
    store.record([end("new")])
    store.read()
    store.record([end("newer")])
    assert tasks(behind) == 7


@pytest.mark.parametrize("arguments", [("status",), ("report",), ("health", OTHER), ("doctor", "--repair")])
def test_a_command_brings_the_document_up(behind: Home, arguments: "tuple[str, ...]") -> None:
    assert main([*arguments, "--home", behind.folder]) == 0
    assert tasks(behind) == 5


def test_a_repair_brings_the_document_up(behind: Home) -> None:
    assert repair(Store(behind)) == ["wrote what only the journal had into the document"]
    assert [finding for finding in examine_home(Store(behind)) if finding.level == WRONG] == []
    assert tasks(behind, OTHER) == 100


def test_an_end_that_names_no_run_finds_the_one_that_began_lately(behind: Home) -> None:
    Store(behind).announce([start("mine", after=7.0, task_id="feature")])
    ended = {**end(None, after=70.0, task_id="feature"), "run_id": None}
    assert Store(behind).record([ended])[0]["run_id"] == "mine"
    assert Store(behind).read().head["in_flight"] == {}


def test_a_repeated_end_counts_once_although_the_state_is_not_known(behind: Home) -> None:
    assert Store(behind).record([end("r1", names.FAILURE, after=1)]) == []
    assert Store(behind).read().agents[AGENT]["metrics"]["tasks_total"] == 5


def test_a_question_before_a_task_is_answered_that_the_state_is_not_known(
    behind: Home, warnings_logged: Warnings
) -> None:
    with pytest.raises(LaggingError):
        read_quickly(behind, AGENT)
    with pytest.raises(LaggingError):
        Store(behind).read(is_patient=False)
    assert Gate(Recorder(Store(behind))).ask(AGENT)
    assert "all are taken for closed" in warnings_logged()[0]
    assert main(["health", AGENT, "--home", behind.folder]) == 1  # it waits, and refuses
    assert not Gate(Recorder(Store(behind))).ask(AGENT)


def test_the_gate_of_claude_code_answers_at_once_and_says_in_its_log_why(behind: Home) -> None:
    wanted = {"tool_name": "Agent", "tool_use_id": "t1", "tool_input": {"subagent_type": "coder"}}
    payload = json.dumps({"hook_event_name": "PreToolUse", "session_id": "s", **wanted}).encode()
    assert hook(payload, behind.folder) == ""
    assert "cannot tell the state of" in Path(behind.of_integration(NAME), "hook.log").read_text()
    assert '"deny"' in hook(payload, behind.folder, is_closed_on_doubt=True)
    Store(behind).read()
    assert '"deny"' in hook(payload, behind.folder)


@pytest.mark.parametrize("discards", [False, True])
def test_restores_and_settings_in_a_long_journal_are_as_in_a_short_one(
    behind: Home, monkeypatch: pytest.MonkeyPatch, discards: bool
) -> None:
    store = Store(behind)
    store.read()
    backup = store.back_up()
    store.record([end("later"), end("latest", agent=OTHER)])
    restore(store, str(backup), discard_later=discards)
    store.record([end("after all")])
    document = json.loads(Path(behind.document).read_bytes())
    document["config"]["failure_threshold"] = 3
    Path(behind.document).write_text(json.dumps(document, indent=2))
    Store(behind).record([end(f"more {number}", names.FAILURE, agent=OTHER) for number in range(60)])
    shutil.copy(str(backup), behind.document)
    far = Store(behind).read()
    shutil.copy(str(backup), behind.document)
    monkeypatch.setattr("otel_tracker.storage.journal._FAR_BYTES", 10**9)
    near = Store(behind).read()
    assert (far.head, far.history.entries()) == (near.head, near.history.entries())
    assert far.agents[AGENT]["metrics"]["tasks_total"] == (6 if discards else 7)
