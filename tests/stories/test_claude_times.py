"""When a run began and ended, how long it worked, and what is made of one that goes silent."""

import os
import time
from pathlib import Path

import pytest

from otel_tracker import names
from otel_tracker.integrations.claude_code.runs import outcome
from otel_tracker.runtime.timestamps import parse_timestamp
from tests.stories.harness import Run, Session
from tests.stories.replay import CODER, ends, play, prepare, read

HOUR = 3600.0


@pytest.fixture
def place(tmp_path: Path) -> Path:
    prepare(tmp_path)
    return tmp_path


def make_silent(run: Run, seconds: float) -> None:
    """Let the last that was written to a run's transcript be so long ago."""
    then = time.time() - seconds
    os.utime(run.transcript, (then, then))


def test_a_woken_agents_duration_is_that_of_its_turns(place: Path) -> None:
    session = Session()
    session.now -= 3 * HOUR
    run = session.launches().is_in_background().begins().works().ends().is_notified("completed")
    session.stops()
    session.now += 2 * HOUR
    run.begins().hears("And the tests?").calls_a_tool("3").gets_a_result("3").answers("4").ends().is_notified(
        "completed"
    )
    session.stops()
    play(session.steps, place)
    metrics = read(place).agents[CODER]["metrics"]
    assert metrics["total_duration_seconds"] == pytest.approx(28 + 28)  # four gaps of seven seconds in each turn
    amended = read(place).history.entries()[-1]
    assert parse_timestamp(amended["timestamp"]) > time.time() - 2 * HOUR


def test_a_stalled_run_failed_when_that_was_reported(place: Path) -> None:
    session = Session()
    session.now -= HOUR
    session.launches().is_in_background().begins().is_cut().is_notified(
        "failed", "failed: stalled: no progress for 600s"
    )
    began = time.time()
    play(session.steps, place)
    (ended,) = ends(place)
    assert (ended["action"], ended["error"]) == (names.TASK_FAILED, "stalled: no progress for 600s")
    assert parse_timestamp(ended["timestamp"]) >= began - 0.001
    assert ended["duration_seconds"] > HOUR


def test_a_run_that_an_api_error_has_ended_failed_then(place: Path) -> None:
    session = Session()
    session.now -= HOUR
    session.launches().is_in_background().begins().works().meets("server_error", 500).is_notified("failed")
    play(session.steps, place)
    assert parse_timestamp(ends(place)[0]["timestamp"]) < time.time() - HOUR / 2


def end_turn_in_silence(session: Session, run: Run, seconds: float, place: Path, *running: Run) -> list[str]:
    """Play a session, and let its turn end when a run has been silent for so long; return the ends that are recorded."""
    session.asks()
    play(session.steps, place)
    make_silent(run, seconds)
    session.stops(*running)
    play(session.steps[-1:], place)
    return [entry["action"] for entry in ends(place)]


@pytest.mark.parametrize(("seconds", "action"), [(1, None), (60, names.TASK_CANCELLED)])
def test_a_run_in_front_that_is_silent_when_the_turn_is_over_was_interrupted(
    seconds: float, action: "str | None", place: Path
) -> None:
    session = Session()
    run = session.launches().begins().is_cut()
    assert end_turn_in_silence(session, run, seconds, place) == ([action] if action else [])


@pytest.mark.parametrize(("seconds", "action"), [(60, None), (700, names.TASK_LOST)])
def test_a_run_in_the_background_that_is_gone_and_silent_is_lost(
    seconds: float, action: "str | None", place: Path
) -> None:
    session = Session()
    run = session.launches().is_in_background().begins().is_cut()
    assert end_turn_in_silence(session, run, seconds, place) == ([action] if action else [])
    assert [entry.get("environment_error") for entry in ends(place)] == ([outcome.SESSION_ENDED] if action else [])


def test_a_run_that_goes_on_in_the_background_is_not_lost(place: Path) -> None:
    session = Session()
    run = session.launches().is_in_background().begins().is_cut()
    assert end_turn_in_silence(session, run, 700, place, run) == []
