"""What is rare and has gone wrong once: each of these was counted twice, not at all, or for the wrong agent."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import MetricTracker, names
from otel_tracker.errors import StorageError
from otel_tracker.integrations import agent_files
from otel_tracker.integrations.claude_code.runs.session import Session as Facts
from otel_tracker.integrations.claude_code.transcripts import places
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.journal import Journal
from otel_tracker.storage.store import Store
from tests.builders import document_of, text_of
from tests.stories.asking import Wait, ask, go_on, probe
from tests.stories.harness import Run, Session
from tests.stories.payloads import NEWEST
from tests.stories.replay import CODER, ends, play, prepare, read

TEAMMATE = {"agentType": "coder", "name": "rita", "taskKind": "in_process_teammate"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    prepare(tmp_path)
    return tmp_path


def outcomes(home: Path) -> list[tuple[str, str]]:
    return [(entry["agent"], entry["action"]) for entry in ends(home)]


def make_silent(run: Run) -> None:
    then = time.time() - 30
    os.utime(run.transcript, (then, then))


def test_a_nested_run_in_front_of_its_launcher_is_not_interrupted_by_the_main_agents_turn(home: Path) -> None:
    session = Session()
    outer = session.launches("Explore").is_in_background().begins().is_prompted().calls_a_tool()
    inner = session.launches(by=outer).begins().is_cut()
    session.asks()
    play(session.steps, home)
    make_silent(inner)
    session.stops(outer)
    session.asks()
    inner.fails("boom")
    play(session.steps[-3:], home)
    assert outcomes(home) == [(CODER, names.TASK_FAILED)]
    assert read(home).agents[CODER]["failures"] == 2


@pytest.mark.parametrize(
    "sidecar", [{"agentType": "workflow-subagent", "spawnDepth": 1}, {**TEAMMATE, "spawnDepth": 1}]
)
def test_a_run_that_no_call_has_launched_is_not_interrupted_by_the_end_of_a_turn(
    sidecar: dict[str, Any], home: Path
) -> None:
    session = Session()
    run = session.agent(sidecar["agentType"]).begins().is_prompted(sidecar=sidecar).calls_a_tool()
    session.asks()
    play(session.steps, home)
    make_silent(run)
    session.stops()
    session.asks()
    play(session.steps[-2:], home)
    assert outcomes(home) == []


@pytest.mark.parametrize("is_named", [True, False])
def test_a_teammate_is_one_run_although_its_launch_returns_at_once(is_named: bool, home: Path) -> None:
    session = Session(version=NEWEST if is_named else "2.1.240")
    run = session.launches(name="rita")
    in_team = run.agent_id if is_named else "rita@session-1"
    run.gives({"status": "teammate_spawned", "name": "rita", "agentId": run.agent_id, "agent_id": in_team})
    run.begins().is_prompted(sidecar=TEAMMATE).calls_a_tool().gets_a_result().answers().ends()
    session.stops()
    session.is_over()
    play(session.steps, home)
    assert outcomes(home) == [(CODER, names.TASK_COMPLETED)]
    assert read(home).agents[CODER]["token_usage"]["sonnet"]["count"] == 1


def test_a_launch_that_names_no_type_fails_once(home: Path) -> None:
    session = Session()
    run = session.agent("general-purpose")
    del run.tool_input["subagent_type"]
    run.is_asked_for().begins().fails("boom").ends()
    session.stops()
    play(session.steps, home)
    assert outcomes(home) == [("general-purpose", names.TASK_FAILED)]


def test_a_file_that_cannot_be_read_keeps_no_run_from_being_recorded(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> str:
        raise StorageError("read", path, "Permission denied")

    monkeypatch.setattr(agent_files, "front_matter_name", refuse)
    session = Session()
    session.launches("Explore").begins().works().ends().completes()
    play(session.steps, home)
    assert outcomes(home) == [("Explore", names.TASK_COMPLETED)]


def test_a_name_in_a_file_goes_before_another_files_stem(place: Path, tmp_path: Path) -> None:
    agents = tmp_path / "project" / ".claude" / "agents"
    agents.mkdir(parents=True)
    (agents / "zz.md").write_text("---\nname: coder\n---\n")
    document = json.loads((place / "config" / "circuit-breaker.json").read_text())
    document["agents"][CODER]["name"] = "the-coder"
    (place / "config" / "circuit-breaker.json").write_text(json.dumps(document))
    session = Session()
    run = session.launches()
    session.steps[0].payload["cwd"] = str(tmp_path / "project")
    assert ask(place, run) == ""


def test_the_probe_of_a_session_that_was_killed_is_given_up_when_a_caller_asks(place: Path, wait: Wait) -> None:
    wait(11)
    run = probe(place)
    run.begins().is_prompted()
    go_on(run, place)
    wait(30)
    assert "probe" in ask(place)
    wait(60)
    assert ask(place) == ""


@pytest.mark.parametrize("is_after", [True, False], ids=["after the journal", "before the journal"])
@pytest.mark.parametrize("entries", [1000, 3, 0])
def test_a_hook_that_is_killed_while_it_records_leaves_no_difference(
    is_after: bool, entries: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much the history holds of what others have recorded until the next hook repeats the events."""
    document = home / "config" / "circuit-breaker.json"
    document.parent.mkdir(parents=True, exist_ok=True)
    document.write_bytes(text_of(document_of(history_max_entries=entries)))
    session = Session()
    run = session.launches().begins().works().ends().completes()
    play(session.steps[:-1], home)
    record = Store.record

    def killed(self: Store, events: list[Any], *, may_repeat: bool) -> list[Any]:
        if is_after:
            record(self, events, may_repeat=may_repeat)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "record", killed)
        with pytest.raises(KeyboardInterrupt):
            play(session.steps[-1:], home)
    others = MetricTracker(document)
    for _ in range(5):
        others.record_task_complete("core/other.md", others.record_task_start("core/other.md"))
    run.hears("And the tests?").calls_a_tool("3").gets_a_result("3").answers("4")
    session.stops()
    session.is_over()
    play(session.steps[-2:], home)
    usage = read(home).agents[CODER]["token_usage"]["sonnet"]
    assert (usage["count"], usage["total"]) == (1, 2 * 32930)
    journal = Journal(Home(str(home)).journal, Files()).after(0)
    assert [event["action"] for event in journal if event["agent"] == CODER and event["action"] in names.OUTCOMES] == [
        names.TASK_COMPLETED
    ]


def test_while_nothing_can_be_recorded_no_event_is_lost(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session()
    session.launches().begins().works().ends().completes()
    session.launches("Explore").begins().fails("boom")
    session.launches("Plan").begins().works().ends().completes()

    def fail(self: Store, events: list[Any], *, may_repeat: bool) -> list[Any]:
        raise StorageError("append to", "the journal", "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "record", fail)
        patch.setattr(Store, "announce", fail)
        play(session.steps, home)
    assert outcomes(home) == []
    session.stops()
    play(session.steps[-1:], home)
    found = [(CODER, names.TASK_COMPLETED), ("Explore", names.TASK_FAILED), ("Plan", names.TASK_COMPLETED)]
    assert sorted(outcomes(home)) == sorted(found)


def test_a_session_is_not_forgotten_while_its_transcript_is_there(home: Path, wait: Wait) -> None:
    session = Session()
    session.launches().begins().works().ends().completes()
    session.stops()
    session.tells("more")
    session.is_over()
    play(session.steps, home)
    wait(40 * 24 * 60)
    later = Session(session.session_id)
    later.starts("resume")
    play(later.steps, home)
    assert (home / "claude-code" / f"{session.session_id}.json").exists()
    session.transcript.unlink()
    other = Session()
    other.starts()
    play(other.steps, home)
    assert not (home / "claude-code" / f"{session.session_id}.json").exists()


def test_a_second_workflow_is_found_too(home: Path) -> None:
    session = Session()
    meta = {"agentType": "workflow-subagent", "spawnDepth": 1}
    for number in range(2):
        run = session.agent("workflow-subagent")
        run.transcript = run.transcript.parent / "workflows" / f"wf{number}" / run.transcript.name
        run.is_prompted(sidecar=meta).calls_a_tool().gets_a_result().answers()
        session.stops()
        session.is_over()
        play(session.steps[-2:], home)
        later = time.time() + number + 1
        os.utime(home / "claude-code" / f"{session.session_id}.json", (later, later))
        os.utime(run.transcript.parent, (later + 1, later + 1))
    session.is_over()
    play(session.steps[-1:], home)
    assert len(ends(home)) == 2


@pytest.mark.parametrize(
    "damage",
    [
        {"runs": [{"said": "x"}]},
        {"permits": {"t": 5}},
        {"runs": [{"returned": "odd"}]},
        {"runs": 5},
        {"unsaid": {}},
        [],
    ],
)
def test_a_session_file_with_anything_in_it_keeps_no_process_from_recording(damage: Any, home: Path) -> None:
    session = Session()
    folder = home / "claude-code"
    folder.mkdir()
    for name in (session.session_id, "other"):
        text = json.dumps({"unsettled": 1, "session_id": name, **damage} if isinstance(damage, dict) else damage)
        (folder / f"{name}.json").write_text(text)
        os.utime(folder / f"{name}.json", (1, 1))
    session.starts()
    session.launches().begins().works().ends().completes()
    session.stops()
    play(session.steps, home)
    assert outcomes(home) == [(CODER, names.TASK_COMPLETED)]


def test_the_files_of_a_session_are_looked_for_once_in_a_hook(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session()
    for _ in range(5):
        session.agent("workflow-subagent").begins()
    play(session.steps, home)
    walks: list[str | None] = []
    real = places.transcripts_below

    def walk(path: "str | None") -> dict[str, str]:
        walks.append(path)
        return real(path)

    monkeypatch.setattr(places, "transcripts_below", walk)
    session.is_over()
    play(session.steps[-1:], home)
    assert len(walks) <= 2  # one to find new ones, one to find where they are


def test_a_result_that_speaks_of_errors_is_no_error(home: Path) -> None:
    session = Session()
    session.launches().begins().works().ends().gives("Error handling in the code is fine")
    session.stops()
    play(session.steps, home)
    assert outcomes(home) == [(CODER, names.TASK_COMPLETED)]


def test_the_sessions_own_transcript_is_no_other_sessions_however_it_is_spelled(home: Path) -> None:
    session = Session()
    session.tells("hello")
    run = session.launches().begins()
    odd = f"{session.transcript.parent}/../{session.transcript.parent.name}/{session.transcript.name}"
    run.ends(agent_transcript_path=odd).completes()
    play(session.steps, home)
    with Facts.opened(home_of(home), session.session_id) as facts:
        assert facts.transcript_of(run.agent_id, odd) is None


def home_of(home: Path) -> Any:
    from otel_tracker.storage.home import Home

    return Home(os.fspath(home))


@pytest.mark.parametrize("is_stopped", [True, False])
def test_an_agent_of_a_workflow_may_end_by_calling_a_tool(is_stopped: bool, home: Path) -> None:
    session = Session()
    run = session.agent("summer")
    run.transcript = run.transcript.parent / "workflows" / "wf" / run.transcript.name
    run.begins().is_prompted(sidecar={"agentType": "summer", "spawnDepth": 1}).calls_a_tool().gets_a_result()
    if is_stopped:
        run.ends()
    session.is_over()
    play(session.steps, home)
    assert outcomes(home) == [("summer", names.TASK_COMPLETED if is_stopped else names.TASK_LOST)]


def test_a_result_of_an_unknown_status_is_drift_and_ends_nothing(home: Path) -> None:
    session = Session()
    run = session.launches().begins().is_cut()
    run.gives({"status": "parked", "agentId": run.agent_id})
    play(session.steps, home)
    assert outcomes(home) == []
    assert len(read(home).head["in_flight"]) == 1
    assert "drift: tool_response has the unknown status 'parked'" in (home / "claude-code" / "hook.log").read_text()


def test_a_result_without_a_status_is_that_of_a_run_that_has_ended(home: Path) -> None:
    session = Session()
    run = session.launches().begins().works().ends()
    run.gives({"agentId": run.agent_id, "content": [], "totalDurationMs": 5})
    play(session.steps, home)
    assert outcomes(home) == [(CODER, names.TASK_COMPLETED)]


def test_an_entry_says_how_many_lines_could_not_be_read_and_which_version_wrote_them(home: Path) -> None:
    session = Session()
    run = session.launches().begins().is_prompted()
    session.writes(run.transcript, '{"type": "assistant", "message": {"id": 1\n')
    run.calls_a_tool().gets_a_result().answers().ends().completes()
    play(session.steps, home)
    (entry,) = ends(home)
    assert (entry["skipped_lines"], entry["claude_code_version"]) == (1, NEWEST)


@pytest.mark.processes
@pytest.mark.parametrize(
    "form", [["--home=H", "claude-code", "hook", "--later"], ["--home", "H", "claude-code", "hook", "--x"]]
)
def test_a_hook_of_a_later_version_never_ends_with_a_status_that_refuses(form: list[str], home: Path) -> None:
    given = [word.replace("H", os.fspath(home)) for word in form]
    command = [sys.executable, "-m", "otel_tracker", *given]
    done = subprocess.run(command, input=b"{}", capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"")
