"""Sessions whose process is killed: hooks are told that process (CLAUDE_PID, from 2.1.240 on), and anybody sees it go."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_tracker import MetricTracker, names
from tests.stories.asking import Wait, ask, coder, go_on, probe
from tests.stories.harness import Session
from tests.stories.replay import CODER, ends, play, prepare, read, said, write


@pytest.fixture
def claude(monkeypatch: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[bytes]"]:
    """Return a process that hooks take for that of their session."""
    with subprocess.Popen(["sleep", "600"]) as process:
        monkeypatch.setenv("CLAUDE_PID", str(process.pid))
        yield process
        process.kill()


def record_something(home: Path) -> None:
    tracker = MetricTracker(home / "config" / "circuit-breaker.json")
    tracker.record_task_complete("other.md", tracker.record_task_start("other.md"))


@pytest.mark.processes
def test_the_next_event_of_any_process_settles_the_runs_of_a_killed_session(
    claude: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    prepare(tmp_path)
    session = Session()
    session.launches().begins().is_cut()
    play(session.steps, tmp_path)
    record_something(tmp_path)
    assert len(read(tmp_path).head["in_flight"]) == 1
    claude.kill()
    claude.wait()
    record_something(tmp_path)
    assert read(tmp_path).head["in_flight"] == {}
    agent = read(tmp_path).agents[CODER]
    assert (agent["tallies"]["lost"], agent["failures"]) == (1, 1)  # as before: the agent isn't to blame


@pytest.mark.processes
def test_the_next_session_adds_what_the_transcript_of_a_killed_one_tells(
    claude: "subprocess.Popen[bytes]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    session = Session()
    session.launches().is_in_background().begins().works().ends()
    play(session.steps, tmp_path)
    claude.kill()
    claude.wait()
    monkeypatch.delenv("CLAUDE_PID")
    record_something(tmp_path)
    other = Session()
    other.starts()
    play(other.steps, tmp_path)
    assert [end["action"] for end in ends(tmp_path) if end["agent"] == CODER] == [names.TASK_LOST]
    assert said(tmp_path)[CODER][names.SUCCESS] == 1
    assert read(tmp_path).agents[CODER]["token_usage"]["sonnet"]["total"] > 0


@pytest.mark.processes
def test_the_next_session_adds_the_usage_of_a_lost_run(
    claude: "subprocess.Popen[bytes]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    session = Session()
    session.launches().begins().is_cut()
    play(session.steps, tmp_path)
    write(session.written())
    claude.kill()
    claude.wait()
    monkeypatch.delenv("CLAUDE_PID")
    record_something(tmp_path)
    for _ in range(2):
        other = Session()
        other.starts()
        play(other.steps, tmp_path)
    agent = read(tmp_path).agents[CODER]
    assert (agent["tallies"]["lost"], agent["metrics"]["tasks_total"]) == (1, 1)
    assert agent["token_usage"]["sonnet"]["total"] > 0


@pytest.mark.processes
def test_a_killed_probe_is_free_for_the_next_launch(claude: "subprocess.Popen[bytes]", place: Path, wait: Wait) -> None:
    wait(11)
    run = probe(place)
    run.begins().is_prompted()
    go_on(run, place)
    assert ask(place)
    claude.kill()
    claude.wait()
    assert ask(place) == ""
    assert coder(place)["status"] == "half_open"


@pytest.mark.processes
def test_a_permit_of_a_killed_session_is_free_for_the_next_launch(
    claude: "subprocess.Popen[bytes]", place: Path, wait: Wait
) -> None:
    wait(11)
    probe(place)
    assert ask(place)
    claude.kill()
    claude.wait()
    assert ask(place) == ""


@pytest.mark.parametrize("told", ["", "x", "-1", "99999999999", "4194304999"])
def test_a_process_that_is_none_owns_nothing(told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    monkeypatch.setenv("CLAUDE_PID", told)
    session = Session()
    session.launches().begins().is_cut()
    play(session.steps, tmp_path)
    (task,) = read(tmp_path).head["in_flight"].values()
    assert task["owner"] is None
