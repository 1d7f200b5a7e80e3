"""An import into a home whose hooks have recorded, or record later, what the transcripts tell: each run counts once."""

import shutil
import time
from pathlib import Path

import pytest

from otel_tracker import names
from otel_tracker.integrations.claude_code.runs.forgetting import forget_sessions
from otel_tracker.storage.home import Home
from tests.home_files import journal, on_disk
from tests.integrations.claude_code.imports import imported
from tests.stories.harness import Session
from tests.stories.replay import STORIES, Story, play, prepare, read, reconcile, write
from tests.stories.stories import each_story, told

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
