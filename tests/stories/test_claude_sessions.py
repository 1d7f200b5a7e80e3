"""What is recorded of a session beside its counts: the documented payloads, the entries' fields, who has launched whom."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import names
from tests.stories.documented import DOCUMENTED, NOTIFICATION
from tests.stories.harness import Run, Session
from tests.stories.outcome_stories import CUT
from tests.stories.replay import (
    CODER,
    STORIES,
    Ended,
    ends,
    everything_under,
    expected,
    play,
    prepare,
    read,
    reconcile,
    said,
    send,
    write,
)
from tests.stories.stories import told
from tests.stories.transcript_of_agent import PRIVATE


def one_end(home: Path) -> Any:
    (entry,) = ends(home)
    return entry


def started(run: Run) -> str:
    return moment(run, 0)


def ended(run: Run) -> str:
    return moment(run, -1)


def moment(run: Run, place: int) -> str:
    timestamp: str = json.loads(run.transcript.read_text().splitlines()[place])["timestamp"]
    return timestamp


def play_all(session: Session, home: Path) -> None:
    play(session.steps, home)
    session.steps.clear()


def test_the_documented_payloads_of_the_foreground_are_one_run(tmp_path: Path) -> None:
    for event in ("PreToolUse", "PostToolUse"):
        assert send(DOCUMENTED[event], tmp_path) == ""
    assert said(tmp_path) == expected([Ended(agent="Explore", models={})])
    entry = one_end(tmp_path)
    assert (entry["agent_id"], entry["tool_use_id"]) == ("a4d2c8f1e0b3a297", "toolu_01ABC123")
    assert entry["tokens_used"] is None


def test_the_documented_payloads_of_the_background_are_one_run(tmp_path: Path) -> None:
    for event in ("PreToolUse", "async_launched"):
        assert send(DOCUMENTED[event], tmp_path) == ""
    assert len(read(tmp_path).head["in_flight"]) == 0  # only what ran has an agent: nothing has told that yet
    assert send(NOTIFICATION, tmp_path) == ""
    assert said(tmp_path) == expected([Ended(agent="Explore", models={})])


def test_the_documented_failure_is_one_run(tmp_path: Path) -> None:
    for event in ("PreToolUse", "SubagentStart", "PostToolUseFailure"):
        assert send(DOCUMENTED[event], tmp_path) == ""
    assert said(tmp_path) == expected([Ended(names.FAILURE, "Explore", models={}, failures=1)])
    assert one_end(tmp_path)["error"].startswith("Agent terminated early")


def test_every_documented_payload_is_taken_without_an_error(tmp_path: Path) -> None:
    for payload in (*DOCUMENTED.values(), NOTIFICATION):
        assert send(payload, tmp_path) == ""
    says = said(tmp_path)
    assert (says["in_flight"], says["log"]) == (0, [])


def test_an_entry_says_when_the_run_was_and_whose(tmp_path: Path) -> None:
    session = Session()
    run = session.launches().begins().works().ends().completes()
    play_all(session, tmp_path)
    entry = one_end(tmp_path)
    assert (entry["started"], entry["timestamp"]) == (started(run), ended(run))
    assert entry["duration_seconds"] == pytest.approx(28)
    assert entry["conversation_id"] == session.session_id
    assert (entry["agent_id"], entry["tool_use_id"], entry["task_id"]) == (run.agent_id, run.tool_use_id, run.agent_id)
    assert entry["tokens_used"] == names.total_tokens(entry["tokens"])
    assert entry["unexported"] is True
    assert entry.get("owner") is None


def test_a_run_that_begins_is_in_flight(tmp_path: Path) -> None:
    session = Session()
    run = session.launches()
    play_all(session, tmp_path)
    assert not read(tmp_path).head["in_flight"]
    run.begins()
    play_all(session, tmp_path)
    (task,) = read(tmp_path).head["in_flight"].values()
    assert task["agent"] == "coder"
    assert task["owner"] is None


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        ("rate_limit", 429, "rate_limit"),
        ("overloaded", 529, "overloaded"),
        ("server_error", 529, "overloaded"),
        ("authentication_failed", 401, "authentication"),
        ("billing_error", 402, "billing"),
        ("account_on_hold", None, "billing"),
        ("oauth_org_not_allowed", 403, "billing"),
        ("server_error", 500, None),
        ("invalid_request", 400, None),
    ],
)
def test_an_api_error_is_recorded_as_the_outage_that_it_is(
    error: str, status: "int | None", kind: "str | None", tmp_path: Path
) -> None:
    session = Session()
    session.launches().begins().works().meets(error, status).ends().completes()
    play_all(session, tmp_path)
    entry = one_end(tmp_path)
    assert entry["action"] == names.TASK_FAILED
    assert entry.get("environment_error") == kind


@pytest.mark.usefixtures("flushed")
@pytest.mark.parametrize(("error", "kind"), [("rate_limit", "rate_limit"), ("server_error", None)])
def test_a_run_that_breaks_off_when_an_outage_ends_the_main_turn_is_not_to_blame(
    error: str, kind: "str | None", tmp_path: Path
) -> None:
    session = Session()
    session.now = time.time() - 60
    run = session.launches().is_in_background().begins().is_cut()
    session.breaks_off(error)
    run.ends().is_notified("completed")
    play_all(session, tmp_path)
    entry = one_end(tmp_path)
    assert (entry["action"], entry.get("environment_error")) == (names.TASK_FAILED, kind)


def test_an_agent_type_that_does_not_exist_is_recorded_as_such(tmp_path: Path) -> None:
    session = Session()
    session.launches("codre").gives("Error: Agent type 'codre' not found. Available agents: coder")
    play_all(session, tmp_path)
    assert one_end(tmp_path)["environment_error"] == "unknown_agent"


def test_a_run_that_its_session_has_left_behind_is_recorded_as_such(tmp_path: Path) -> None:
    session = Session()
    session.launches().is_in_background().begins().is_cut()
    session.is_over()
    play_all(session, tmp_path)
    entry = one_end(tmp_path)
    assert (entry["action"], entry["environment_error"]) == (names.TASK_LOST, "session_ended")


def test_a_run_whose_session_the_user_has_left_is_cancelled(tmp_path: Path) -> None:
    session = Session()
    session.launches().is_in_background().begins().is_cut()
    session.is_over("prompt_input_exit")
    play_all(session, tmp_path)
    assert one_end(tmp_path)["action"] == names.TASK_CANCELLED


@pytest.mark.parametrize("is_suspect", [True, False])
def test_a_success_at_once_and_without_a_tool_is_suspect(is_suspect: bool, tmp_path: Path) -> None:
    session = Session()
    run = session.launches().begins().is_prompted()
    run = run if is_suspect else run.calls_a_tool().gets_a_result()
    run.answers().ends().completes()
    play_all(session, tmp_path)
    assert one_end(tmp_path).get("suspect", False) is is_suspect


@pytest.mark.parametrize("times", [1, 2])
def test_a_nested_run_keeps_its_parent(times: int, tmp_path: Path) -> None:
    session = Session()
    outer = session.launches().begins().is_prompted().calls_a_tool()
    inner = session.launches("Explore", by=outer).begins().is_prompted().calls_a_tool()
    innermost = session.launches("Plan", by=inner).begins().works()
    innermost.ends().completes()
    inner.gets_a_result().answers().ends().completes()
    outer.gets_a_result().answers().ends().completes()
    play((step._replace(writes=step.writes * (turn == 0)) for step in session.steps for turn in range(times)), tmp_path)
    by_agent = {entry["agent"]: entry for entry in ends(tmp_path)}
    outermost, middle, last = by_agent["coder"], by_agent["Explore"], by_agent["Plan"]
    assert outermost.get("parent_run_id") is None
    assert (middle["parent_run_id"], last["parent_run_id"]) == (outermost["run_id"], middle["run_id"])
    assert (middle["parent_span_id"], last["parent_span_id"]) == (outermost["span_id"], middle["span_id"])
    assert len({entry["trace_id"] for entry in by_agent.values()}) == 1


def test_an_agent_is_known_by_its_name_then_by_its_file(tmp_path: Path) -> None:
    for key, name in (("core/coder.md", "builder"), ("ui/designer.md", "painter"), ("ui/builder.md", "other")):
        (tmp_path / key).parent.mkdir(exist_ok=True)
        (tmp_path / key).write_text(f"---\nname: {name}\n---\n")
    session = Session()
    for kind in ("builder", "designer", "Explore"):
        session.launches(kind).begins().works().ends().completes()
    play_all(session, tmp_path)
    assert [entry["agent"] for entry in ends(tmp_path)] == ["core/coder.md", "ui/designer.md", "Explore"]


def test_an_unmeasured_run_counts_under_the_model_that_it_was_launched_with(tmp_path: Path) -> None:
    session = Session()
    session.launches(model="opus").completes(resolvedModel=None)
    play_all(session, tmp_path)
    assert one_end(tmp_path)["tokens_used"] is None
    use = read(tmp_path).agents["coder"]["token_usage"]["opus"]
    assert (use["count"], use["total"]) == (1, 0)


def test_a_fork_that_copies_a_sessions_history_counts_nothing_anew(tmp_path: Path) -> None:
    session = Session()
    session.launches().begins().works().ends().completes()
    session.launches().is_in_background().begins().works().ends().is_notified("completed")
    session.stops()
    play(session.steps, tmp_path)
    before = said(tmp_path)
    fork = Session()
    for step in session.steps:
        for path, text in step.writes:
            copy = str(path).replace(session.session_id, fork.session_id)
            fork.writes(Path(copy), text.replace(session.session_id, fork.session_id))
    fork.starts("fork")
    fork.asks()
    fork.stops()
    play(fork.steps, tmp_path)
    reconcile(fork, tmp_path)
    assert said(tmp_path) == before


@pytest.mark.parametrize("is_idle", [True, False])
def test_a_session_that_was_left_without_an_end_is_settled_when_another_one_starts(
    is_idle: bool, tmp_path: Path
) -> None:
    session = Session()
    session.launches().is_in_background().begins().works()
    session.launches("Explore").is_in_background().begins().is_cut()
    session.launches("Plan")
    play(session.steps, tmp_path)
    if is_idle:
        for path in (*session.folder.rglob("*"), *(tmp_path / "claude-code").rglob("*")):
            os.utime(path, (time.time() - 4000,) * 2)
    other = Session()
    other.starts()
    play_all(other, tmp_path)
    found = sorted((entry["agent"], entry["action"]) for entry in ends(tmp_path))
    assert found == ([("Explore", names.TASK_LOST), ("coder", names.TASK_COMPLETED)] if is_idle else [])


@pytest.mark.parametrize("is_error", [False, True])
def test_a_last_line_that_is_on_its_way_is_waited_for(is_error: bool, tmp_path: Path) -> None:
    prepare(tmp_path)
    session = Session()
    run = session.launches().begins().is_prompted().calls_a_tool().gets_a_result()
    if not is_error:  # after an error of the API SubagentStop doesn't fire
        run.ends()
    run.completes()
    (*steps, last) = session.steps
    play(steps, tmp_path)
    write(last.writes)
    if is_error:
        run.meets("server_error", 500)
    else:
        run.answers()
    writer = threading.Timer(0.05, write, [session.written()])
    writer.start()
    play([last._replace(writes=[])], tmp_path)
    writer.join()
    assert said(tmp_path) == expected([Ended(names.FAILURE, models=CUT) if is_error else Ended()])


@pytest.mark.usefixtures("flushed")
def test_nothing_that_was_said_is_stored(tmp_path: Path) -> None:
    for name, story in STORIES.items():
        home = tmp_path / name
        session, _ = told(story, home)
        play(session.steps, home)
        reconcile(session, home)
        telling = [path for path, content in everything_under(home).items() if PRIVATE.encode() in content]
        assert not telling, name


def test_a_home_that_is_made_by_the_first_run_has_the_agents_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / CODER).write_text("---\nname: coder\n---\n")
    session = Session()
    session.launches().begins().works().ends().completes()
    play_all(session, tmp_path)
    assert list(said(tmp_path)) == ["in_flight", "ends", "log", CODER]


def goes_on_in(run: Run, later: Session) -> None:
    """Let an agent go on in another session: its events come under that id, and the rest of its transcript lies there."""
    run.session = later
    run.transcript = later.folder / later.session_id / "subagents" / run.transcript.name


def test_an_agent_that_lives_on_after_clear_is_one_run(tmp_path: Path) -> None:
    prepare(tmp_path)
    session, later = Session(), Session()
    run = session.launches().is_in_background().begins().is_prompted().calls_a_tool()
    session.stops(run)
    session.is_over("clear")
    play_all(session, tmp_path)
    assert len(read(tmp_path).head["in_flight"]) == 1
    goes_on_in(run, later)
    later.starts("clear")
    later.stops(run)
    run.gets_a_result().answers().ends().is_notified("completed")
    later.stops()
    play_all(later, tmp_path)
    assert said(tmp_path) == expected([Ended()])
    assert facts_of(later, tmp_path)["unsettled"] == facts_of(session, tmp_path)["unsettled"] == 0


def test_an_agent_that_ends_with_the_session_in_which_it_lives_on_is_lost_once(tmp_path: Path) -> None:
    prepare(tmp_path)
    session, later = Session(), Session()
    run = session.launches().is_in_background().begins().is_prompted().calls_a_tool()
    session.is_over("clear")
    play_all(session, tmp_path)
    goes_on_in(run, later)
    run.gets_a_result().calls_a_tool("2").begins()
    later.is_over("other")
    play_all(later, tmp_path)
    assert said(tmp_path)[CODER][names.LOST] == 1
    assert len(ends(tmp_path)) == 1


def test_an_agent_that_goes_on_in_a_fork_is_one_run_although_its_transcript_is_linked_there(tmp_path: Path) -> None:
    prepare(tmp_path)
    session, fork = Session(), Session()
    run = session.launches().is_in_background().begins().is_prompted().calls_a_tool()
    session.is_over("prompt_input_exit")
    play_all(session, tmp_path)
    assert ends(tmp_path)[0]["action"] == names.TASK_CANCELLED
    there = run.transcript
    goes_on_in(run, fork)
    run.transcript.parent.mkdir(parents=True)
    run.transcript.symlink_to(there)
    fork.starts("fork")
    run.gets_a_result().answers().ends().is_notified("completed")
    fork.stops()
    play_all(fork, tmp_path)
    assert said(tmp_path) == expected([Ended(failures=1)])


def facts_of(session: Session, home: Path) -> Any:
    return json.loads((home / "claude-code" / f"{session.session_id}.json").read_bytes())
