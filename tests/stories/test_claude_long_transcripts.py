"""A transcript that is too long for one hook: its run is recorded at once, with lower bounds, and its true tokens after further hooks."""

import json
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import names
from otel_tracker.storage.home import Home
from otel_tracker.storage.price_file import cost_in
from tests.stories.harness import Run, Session
from tests.stories.replay import CODER, ends, play, prepare, read
from tests.stories.transcript_of_agent import FIRST, LAST, MODEL

CALLS = 40


@pytest.fixture(autouse=True)
def _short_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a hook read some lines of a transcript, whatever its time."""
    monkeypatch.setattr("otel_tracker.integrations.claude_code.transcripts.transcript_reader._LONG_BYTES", 100)
    monkeypatch.setattr("otel_tracker.integrations.claude_code.transcripts.transcript_reader._LOOK_BYTES", 20_000)
    monkeypatch.setattr("otel_tracker.integrations.claude_code.transcripts.transcript_reader.TAIL_BYTES", 3000)
    monkeypatch.setattr("otel_tracker.integrations.claude_code.hooks.dispatch._LAST_SECONDS", 0.0)
    monkeypatch.setattr("otel_tracker.integrations.claude_code.hooks.dispatch.READING_SECONDS", 0.0)


def works_long(run: Run) -> Run:
    run.begins().is_prompted()
    for number in range(CALLS):
        run.calls_a_tool(f"call {number}").gets_a_result(f"call {number}")
    return run.answers("last")


def agent(home: Path) -> Any:
    return read(home).agents[CODER]


def tokens(home: Path) -> int:
    total: int = agent(home)["models"][MODEL]["total"]
    return total


TRUE_TOKENS = CALLS * sum(FIRST.values()) + sum(LAST.values())


def cost(tokens: dict[str, int]) -> int:
    """Return what a request of a run costs, in micro-dollars."""
    return cost_in(Home("/none"))(MODEL, tokens, 1.8e9, speed=None) or 0


def go_on(session: Session, home: Path) -> None:
    """Let a turn of the main agent end."""
    session.stops()
    play(session.steps, home)
    session.steps.clear()


def ended(tmp_path: Path) -> "tuple[Session, Path]":
    """Return a session, and its home, in which the end of a run with a long transcript has just been told."""
    home, session = tmp_path / "home", Session()
    prepare(home)
    works_long(session.launches()).ends().completes()
    play(session.steps, home)
    session.steps.clear()
    return session, home


def test_the_end_is_recorded_at_once_with_what_was_read_as_a_lower_bound(tmp_path: Path) -> None:
    _, home = ended(tmp_path)
    (entry,) = ends(home)
    assert (entry["action"], entry["usage_incomplete"]) == (names.TASK_COMPLETED, True)
    assert 0 < tokens(home) < TRUE_TOKENS
    assert agent(home)["tallies"]["usage_incomplete"] == 1


def test_the_next_hooks_read_on_and_the_true_tokens_are_counted_once(tmp_path: Path) -> None:
    session, home = ended(tmp_path)
    known = [tokens(home)]
    while agent(home)["tallies"]["usage_incomplete"]:
        assert len(known) < 50
        go_on(session, home)
        known.append(tokens(home))
    assert len(known) > 2
    assert set(known[:-1]) == {known[0]}  # one amendment, at the end
    assert known[-1] == TRUE_TOKENS
    use = agent(home)["models"][MODEL]
    assert use[names.PRICED] == TRUE_TOKENS
    assert use[names.COST] == CALLS * cost(FIRST) + cost(LAST)
    go_on(session, home)
    metrics = agent(home)["metrics"]
    assert (tokens(home), metrics["tasks_total"], metrics["tasks_successful"]) == (TRUE_TOKENS, 1, 1)


def test_a_session_that_has_ended_is_read_on_when_others_begin(tmp_path: Path) -> None:
    session, home = ended(tmp_path)
    session.is_over()
    play(session.steps, home)
    for _ in range(50):
        if not agent(home)["tallies"]["usage_incomplete"]:
            break
        for file in home.rglob("claude-code/*.json"):
            facts = json.loads(file.read_bytes())
            assert facts["unsettled"]
        session = Session(session.session_id)
        session.is_over()
        play(session.steps, home)
    assert tokens(home) == TRUE_TOKENS
