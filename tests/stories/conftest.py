import json
import time
from pathlib import Path

import pytest

from otel_tracker.integrations.claude_code.runs import pending_events
from otel_tracker.storage.store import Store
from tests.stories.asking import Wait
from tests.stories.harness import Session
from tests.stories.replay import CODER, play


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for last lines of transcripts: they are there, or never come."""
    monkeypatch.setattr(pending_events, "_FLUSH_SECONDS", 0.0)


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """Return a function that lets so many minutes pass."""
    real, passed = time.time, [0.0]

    def now() -> float:
        return real() + passed[0]

    def wait(minutes: float) -> None:
        passed[0] += minutes * 60

    monkeypatch.setattr(time, "time", now)
    monkeypatch.setattr(time, "time_ns", lambda: int(now() * 1e9))
    monkeypatch.setattr(Store.__init__, "__defaults__", (None, now))
    return wait


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a home whose coder has failed as often as it may, and whose debugger may stand in for it."""
    home = tmp_path / "agents"
    for stem in ("coder", "debugger"):
        (home / "core").mkdir(parents=True, exist_ok=True)
        (home / "core" / f"{stem}.md").write_text(f"---\nname: {stem}\n---\n")
    (home / "config").mkdir()
    agents = {CODER: {"config": {"fallbacks": ["core/debugger.md"]}}, "core/debugger.md": {}}
    (home / "config" / "circuit-breaker.json").write_text(json.dumps({"version": "7.0", "agents": agents}))
    session = Session()
    for _ in range(5):
        session.launches().begins().fails("boom", is_in_transcript=False)
    play(session.steps, home)
    return home
