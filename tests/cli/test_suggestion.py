"""The commands that messages suggest do what the messages say, whatever agents and homes are called."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from otel_tracker import AgentBlacklistedError, MetricTracker, TaskTracker, UnknownAgentError, names
from otel_tracker.cli import main
from otel_tracker.errors import command
from otel_tracker.storage.home import Home
from tests.stories.asking import ask
from tests.stories.harness import Session

AGENTS = ["core/coder.md", "experts/a b.md", "$(touch x)", "`touch x`", "it's; touch x", '"', "-x", "--help", "*", "é&"]


def pasted(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line in a shell that finds `otel-tracker` in its path."""
    program = folder / "bin" / "otel-tracker"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m otel_tracker "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", line], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )


def broken(home: str, agent: str) -> MetricTracker:
    """Return the tracker of a home in which an agent's breaker is open."""
    tracker = MetricTracker(Home(home).config_file)
    for _ in range(5):
        with TaskTracker(agent, tracker=tracker) as task:
            task.set_failed("broken")
    return tracker


def suggested(message: str) -> str:
    (line,) = re.findall(r"otel-tracker (?:reset|breaker) .*", message)
    return str(line)


@pytest.mark.processes
@pytest.mark.parametrize("agent", AGENTS)
def test_the_command_of_a_refusal_lets_the_agent_run_again(agent: str, tmp_path: Path) -> None:
    home = str(tmp_path / "a home; $HOME")
    tracker = broken(home, agent)
    with pytest.raises(AgentBlacklistedError) as refused, TaskTracker(agent, tracker=tracker, enforce=True):
        pass
    line = suggested(str(refused.value))
    assert line == suggested(ask(Path(home), Session().launches(agent)))
    assert pasted(line, tmp_path).returncode == 0
    assert tracker.check_agent_health(agent)
    tracker.override_breaker(agent, names.FORCED_OPEN)
    with pytest.raises(AgentBlacklistedError) as refused, TaskTracker(agent, tracker=tracker, enforce=True):
        pass
    line = suggested(str(refused.value))
    assert line == suggested(ask(Path(home), Session().launches(agent)))
    assert pasted(line, tmp_path).returncode == 0
    assert tracker.check_agent_health(agent)
    assert not (tmp_path / "x").exists()


def test_the_default_home_is_not_named_and_any_other_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Home("~/.claude/agents").option is None
    monkeypatch.setenv("OTEL_TRACKER_HOME", str(tmp_path))
    with pytest.raises(UnknownAgentError, match=re.escape(f"otel-tracker status --home {tmp_path}")):
        MetricTracker().get_agent("nobody.md")
    with pytest.raises(UnknownAgentError, match=r"otel-tracker status$"):
        MetricTracker(Home("~/.claude/agents").config_file).get_agent("nobody.md")


def test_options_stand_before_operands_and_what_looks_like_one_behind_a_double_hyphen() -> None:
    assert command("doctor", options=("--repair",), home="/a b") == "otel-tracker doctor --repair --home '/a b'"
    assert command("agents merge", "-x", "y", home="/h") == "otel-tracker agents merge --home /h -- -x y"


def test_a_home_without_agents_suggests_the_command_that_registers_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--home", str(tmp_path)]) == 0
    assert f"otel-tracker init --home {tmp_path}" in capsys.readouterr().out
