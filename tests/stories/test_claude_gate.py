"""The gate in Claude Code: whose breaker is open is refused with a reason; in doubt it lets through."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from otel_tracker import names
from otel_tracker.integrations.claude_code.hooks.hook import hook
from tests.stories.asking import ask, coder, go_on, reason_of
from tests.stories.harness import Session
from tests.stories.replay import play


def test_a_launch_is_denied_after_as_many_failures_as_the_threshold(place: Path) -> None:
    until = coder(place)["blacklisted_until"]
    reason = ask(place)
    assert "coder" in reason
    assert "5 failures" in reason
    assert until[:16] in reason
    assert "debugger" in reason


def test_a_launch_before_the_threshold_is_let_through(tmp_path: Path) -> None:
    session = Session()
    for _ in range(4):
        session.launches().begins().fails("boom", is_in_transcript=False)
    play(session.steps, tmp_path)
    assert ask(tmp_path) == ""


def test_agents_whose_breaker_is_closed_are_let_through(place: Path) -> None:
    before = (place / "config" / "circuit-breaker.json").read_bytes()
    for kind in ("debugger", "Explore", "never-seen"):
        assert ask(place, Session().launches(kind)) == ""
    assert (place / "config" / "circuit-breaker.json").read_bytes() == before


def test_a_launch_that_is_denied_is_a_rejection_and_no_task(place: Path) -> None:
    session = Session()
    run = session.launches()
    assert ask(place, run)
    session.stops()
    session.is_over()
    go_on(run, place)
    agent = coder(place)
    assert agent["metrics"]["tasks_total"] == 5
    assert agent["tallies"]["rejected"] == 1


def test_a_launch_that_two_hooks_ask_for_is_one_rejection(place: Path) -> None:
    run = Session().launches()
    assert ask(place, run) == ask(place, run) != ""
    assert coder(place)["tallies"]["rejected"] == 1


def test_without_a_gate_every_launch_is_let_through_and_recorded(place: Path) -> None:
    run = Session().launches()
    assert ask(place, run, is_gated=False) == ""
    run.begins().works().ends().completes()
    go_on(run, place)
    agent = coder(place)
    assert agent["metrics"]["tasks_successful"] == 1
    assert agent["tallies"]["rejected"] == 0


def test_a_breaker_that_a_person_has_opened_refuses(place: Path) -> None:
    from otel_tracker import MetricTracker

    MetricTracker(os.fspath(place / "config" / "circuit-breaker.json")).override_breaker(
        "core/debugger.md", names.FORCED_OPEN, reason="on holiday"
    )
    reason = ask(place, Session().launches("debugger"))
    assert "is refused by a person now: forced open: on holiday. Do without it." in reason
    assert "otel-tracker breaker core/debugger.md auto" in reason


@pytest.mark.parametrize("content", [b"{broken", b"", b"\0" * 99, b"[]"])
def test_a_damaged_document_lets_through_unless_in_doubt_it_is_to_be_closed(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "circuit-breaker.json").write_bytes(content)
    assert ask(tmp_path) == ""
    assert ask(tmp_path, is_closed_on_doubt=True)
    assert ask(tmp_path, is_gated=False, is_closed_on_doubt=True) == ""


def test_a_launch_that_cannot_be_read_is_let_through_unless_in_doubt_it_is_to_be_closed(tmp_path: Path) -> None:
    data = b'{"hook_event_name": "PreToolUse", "tool_name": "Agent", '
    assert hook(data, os.fspath(tmp_path)) == ""
    assert reason_of(hook(data, os.fspath(tmp_path), is_closed_on_doubt=True))
    assert hook(data.replace(b"Pre", b"Post"), os.fspath(tmp_path), is_closed_on_doubt=True) == ""


def test_a_home_that_is_not_there_lets_through_unless_doubt_is_to_be_refused(tmp_path: Path) -> None:
    assert ask(tmp_path / "nowhere") == ""
    assert "it is not there" in ask(tmp_path / "nowhere", is_closed_on_doubt=True)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("flags", "content", "is_denied"),
    [
        ([], None, True),
        (["--no-gate"], None, False),
        (["--fail-closed"], None, True),
        ([], "{broken", False),
        (["--fail-closed"], "{broken", True),
        (["--no-gate", "--fail-closed"], "{broken", False),
    ],
)
def test_the_command_denies_on_standard_output(
    flags: list[str], content: "str | None", is_denied: bool, place: Path
) -> None:
    if content is not None:
        (place / "config" / "circuit-breaker.json").write_text(content)
        for folder in ("backups", "journal"):
            shutil.rmtree(place / folder, ignore_errors=True)
    asked = json.dumps(Session().launches().session.steps[0].payload).encode()
    command = [sys.executable, "-m", "otel_tracker", "claude-code", "hook", "--home", os.fspath(place), *flags]
    done = subprocess.run(command, input=asked, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert bool(reason_of(done.stdout.decode().removesuffix("\n"))) is is_denied


def test_other_tools_are_let_through(place: Path) -> None:
    run = Session().agent()
    run.tool_name = "Bash"
    assert ask(place, run.is_asked_for()) == ""


@pytest.mark.parametrize("kind", ["CODER", "Coder", "c_o-d e r", "coder "])
def test_no_spelling_that_claude_code_takes_for_the_agent_passes_its_open_breaker(kind: str, place: Path) -> None:
    assert "core/coder.md" in ask(place, Session().launches(kind))


@pytest.mark.parametrize("kind", ["co.der", "coder2", "the coder"])
def test_a_name_that_claude_code_takes_for_another_agent_is_another_agent(kind: str, place: Path) -> None:
    assert ask(place, Session().launches(kind)) == ""


def test_a_projects_agent_of_the_same_name_is_another_agent(place: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / ".claude" / "agents").mkdir(parents=True)
    (project / ".claude" / "agents" / "house-coder.md").write_text("---\nname: coder\n---\nYou write code.\n")
    run = Session().launches()
    run.session.steps[0].payload["cwd"] = str(project)
    assert ask(place, run) == ""


def test_a_breaker_that_opens_in_a_hook_is_a_notice_in_the_hooks_log_and_no_error(place: Path) -> None:
    text = next((place / "claude-code").glob("*.log")).read_text()
    (line,) = [line for line in text.splitlines() if "is blacklisted until" in line]
    assert " notice: core/coder.md is blacklisted until " in line
    assert " error: " not in text
