"""How tests ask the gate, and read what it answers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.stories.harness import Run, Session
from tests.stories.replay import CODER, play, read, send

Wait = Callable[[float], None]


def ask(home: Path, run: "Run | None" = None, **options: bool) -> str:
    """Send the PreToolUse of a run, by default one of a new session; return the reason if it is denied."""
    run = run or Session().launches()
    asked = next(step for step in run.session.steps if step.event == "PreToolUse")
    return reason_of(send(asked.payload, home, **options))


def reason_of(answer: str) -> str:
    """Return why an answer denies, nothing if it doesn't; it has to be what Claude Code takes for a denial."""
    if not answer:
        return ""
    assert answer.count("\n") == 0
    said = json.loads(answer)
    assert set(said) == {"hookSpecificOutput"}
    output = said["hookSpecificOutput"]
    assert set(output) == {"hookEventName", "permissionDecision", "permissionDecisionReason"}
    assert (output["hookEventName"], output["permissionDecision"]) == ("PreToolUse", "deny")
    reason: str = output["permissionDecisionReason"]
    return reason


def go_on(run: Run, home: Path) -> None:
    """Send what has been added to the run's session, all but the launch that was sent already."""
    play((step for step in run.session.steps if step.event != "PreToolUse"), home)
    run.session.steps.clear()


def probe(home: Path) -> Run:
    """Return a run that has the permit."""
    run = Session().launches()
    assert ask(home, run) == ""
    return run


def coder(home: Path) -> Any:
    return read(home).agents[CODER]
