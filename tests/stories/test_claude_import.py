"""An import into a home whose hooks have recorded, or record later, what the transcripts tell: it counts once."""

import os
import shutil
import time
from pathlib import Path

import pytest

from otel_tracker import names
from otel_tracker.cli import main
from otel_tracker.integrations.claude_code.runs.forgetting import forget_sessions
from otel_tracker.state.shapes import Event
from otel_tracker.storage.home import Home
from tests.home_files import journal, on_disk
from tests.integrations.claude_code.imports import imported
from tests.stories.harness import Session
from tests.stories.replay import STORIES, Story, play, prepare, read, reconcile, write
from tests.stories.stories import each_story, told
from tests.stories.test_claude_conversation import Talk, times, tokens, watched

DAY = 86_400.0
_UNLINKED = {
    "sidecar_is_missing",
    "run_without_a_transcript_is_unmeasured",
    "teammate_of_whom_its_launch_tells_the_name_alone",
}
"""Stories in which hooks hear of an agent before anything tells its launch, and its id, which the transcript has later, is another."""


@each_story
@pytest.mark.usefixtures("flushed")
def test_hooks_then_import(story: Story, tmp_path: Path) -> None:
    """Whatever hooks have heard of is theirs."""
    home = Home(str(tmp_path / "agents"))
    session, _ = told(story, tmp_path / "agents")
    play(session.steps, tmp_path / "agents")
    reconcile(session, tmp_path / "agents")
    before = on_disk(home)
    _, events = imported(home, session.folder, now=time.time() + DAY)
    ended = {event["run_id"] for event in journal(home) if event["action"] in names.OUTCOMES}
    assert {event["run_id"] for event in events} <= ended
    after = on_disk(home)
    for key, agent in before["agents"].items():
        assert {**after["agents"][key], "metrics": 0, "models": 0, "token_usage": 0, "tallies": 0, "durations": 0} == {
            **agent, "metrics": 0, "models": 0, "token_usage": 0, "tallies": 0, "durations": 0
        }  # fmt: skip
    assert events == []


@pytest.mark.parametrize(
    "story", [pytest.param(tell, id=name) for name, tell in STORIES.items() if name not in _UNLINKED]
)
@pytest.mark.usefixtures("flushed")
def test_import_then_hooks(story: Story, tmp_path: Path) -> None:
    """What was imported before the hooks tell of it counts once, where the transcripts link a launch to its agent."""
    home, other = tmp_path / "agents", tmp_path / "other"
    session, _ = told(story, home)
    prepare(other)
    play(session.steps, other)
    write(session.written())
    imported(Home(str(home)), session.folder, now=time.time() + DAY)
    play([step._replace(writes=[]) for step in session.steps], home)
    for each in (home, other):
        reconcile(session, each)
    assert total(home) == total(other)


def total(home: Path) -> int:
    """Return how many runs a home has counted, each of which has one end in its journal."""
    counted: int = read(home).head["metrics"]["total_requests"]
    ends = [event["run_id"] for event in journal(Home(str(home))) if event["action"] in names.OUTCOMES]
    assert len(set(ends)) == len(ends) == counted
    return counted


@pytest.mark.usefixtures("flushed")
def test_a_run_that_hooks_have_counted_stays_known_when_its_sessions_file_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, home = tmp_path / "agents", Home(str(tmp_path / "agents"))
    prepare(folder)
    session = Session()
    session.launches().begins().works().ends().completes()
    play(session.steps, folder)
    reconcile(session, folder)
    shutil.move(session.folder, tmp_path / "backup")
    before = on_disk(home)
    forget_sessions(home, time.time() + 31 * DAY)
    assert not list(Path(home.of_integration("claude-code")).glob(f"{session.session_id}*"))
    for segment in Path(home.journal).iterdir():
        segment.unlink()  # as if they were archived
    run, events = imported(home, tmp_path / "backup", now=time.time() + DAY)
    assert (events, run.known) == ([], 1)
    assert on_disk(home)["metrics"] == before["metrics"]


# The main conversation


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    """Return a session that has worked before there were hooks, and that hooks watch from now on."""
    talk = Talk(tmp_path)
    talk.now -= 100
    talk.works()
    write(talk.written())
    talk.written().clear()
    talk.now = time.time() + 5
    talk.starts("resume")
    return talk.goes_on()


def imported_tomorrow(talk: Talk) -> list[Event]:
    return imported(Home(str(talk.home)), talk.folder, now=time.time() + DAY)[1]


def test_what_a_session_asked_for_before_hooks_watched_it_is_imported_and_the_rest_is_theirs(talk: Talk) -> None:
    talk.turns().turns().is_over()
    talk.goes_on()
    assert tokens(talk.home) == times(2)
    (event,) = imported_tomorrow(talk)
    assert event["conversation_id"] == talk.session_id
    assert tokens(talk.home) == times(3)
    assert imported_tomorrow(talk) == []


def test_a_session_that_is_watched_is_left_to_hooks_from_then_on(talk: Talk) -> None:
    talk.turns().works()
    write(talk.written())
    talk.written().clear()
    assert len(imported_tomorrow(talk)) == 1
    assert tokens(talk.home) == times(2)
    talk.is_over()
    talk.goes_on()
    assert tokens(talk.home) == times(3)
    assert imported_tomorrow(talk) == []
    assert tokens(talk.home) == times(3)


def test_what_hooks_have_counted_stays_known_when_the_journal_has_archived_it(talk: Talk) -> None:
    talk.turns().is_over()
    talk.goes_on()
    for segment in Path(Home(str(talk.home)).journal).iterdir():
        segment.unlink()  # as if they were archived
    assert len(imported_tomorrow(talk)) == 1
    assert tokens(talk.home) == times(2)


def test_a_copy_that_outlives_a_session_repeats_nothing(talk: Talk) -> None:
    talk.turns().is_over()
    talk.goes_on()
    assert len(imported_tomorrow(talk)) == 1
    later = Session()
    later.transcript.write_bytes(
        talk.transcript.read_bytes().replace(talk.session_id.encode(), later.session_id.encode())
    )
    talk.transcript.unlink()
    assert imported_tomorrow(talk) == []
    assert tokens(talk.home) == times(2)


def test_a_session_that_goes_on_with_hooks_after_an_import_counts_once(talk: Talk, tmp_path: Path) -> None:
    other = Talk(tmp_path, talk.session_id)
    talk.is_over()
    talk.goes_on()
    assert len(imported_tomorrow(talk)) == 1
    other.starts("resume")
    other.goes_on().turns().is_over()
    other.goes_on()
    assert tokens(talk.home) == times(2)
    assert imported_tomorrow(talk) == []


def test_an_import_settles_what_a_killed_session_has_left(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    talk.turns().works()
    write(talk.written())
    hour_ago = time.time() - 2 * 3600
    os.utime(talk.transcript, (hour_ago, hour_ago))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + DAY + 7200)
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(talk.folder.parent.parent))
    monkeypatch.setenv("OTEL_TRACKER_HOME", str(talk.home))
    assert main(["claude-code", "import"]) == 0
    assert tokens(talk.home) == times(3)
    assert watched(talk.home) == []
