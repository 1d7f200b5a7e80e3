"""Runs of sub-agents that nothing comes between."""

import json
import subprocess

import pytest

from otel_tracker import names
from tests.real_claude.account import Run, assert_recorded
from tests.real_claude.api import agent, calls, says, works
from tests.real_claude.claude import CODER, DEBUGGER, EXPERT, TESTER, Claude
from tests.real_claude.program import is_at_least


def test_foreground(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", works(), says())
    claude.asks("lead")
    assert_recorded(claude, Run(CODER, "work"))


def test_background(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=True)))
    claude.plays("work", works(), says())
    claude.asks("lead")
    assert_recorded(claude, Run(CODER, "work"))


def test_launched_as_the_version_does_by_itself(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work")))
    claude.plays("work", works(), says())
    claude.asks("lead")
    assert_recorded(claude, Run(CODER, "work"))


@pytest.mark.parametrize("in_background", [False, True])
def test_five_at_once(claude: Claude, in_background: bool) -> None:
    kinds = [
        ("coder", CODER),
        ("coder", CODER),
        ("tester", TESTER),
        ("debugger", DEBUGGER),
        ("database-expert", EXPERT),
    ]
    launches = [agent(kind, f"work-{place}", run_in_background=in_background) for place, (kind, _) in enumerate(kinds)]
    claude.plays("lead", calls(*launches))
    for place in range(5):
        claude.plays(f"work-{place}", works(), says())
    claude.asks("lead")
    assert_recorded(claude, *(Run(key, f"work-{place}") for place, (_, key) in enumerate(kinds)))


@pytest.mark.skipif(not is_at_least("2.1.197"), reason="its sub-agents have no tool to launch others")
@pytest.mark.parametrize("in_background", [False, True])
def test_nested(claude: Claude, in_background: bool) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", calls(agent("tester", "check", run_in_background=in_background)), says())
    claude.plays("check", works(), says())
    claude.asks("lead")
    assert_recorded(claude, Run(CODER, "work"), Run(TESTER, "check"))


def test_built_in(claude: Claude) -> None:
    claude.plays("lead", calls(agent("Explore", "look", run_in_background=False)))
    claude.plays("look", works(), says())
    claude.asks("lead")
    assert_recorded(claude, Run("Explore", "look"))


def test_no_type_at_all(claude: Claude) -> None:
    claude.plays("lead", calls(agent(None, "work", run_in_background=False)))
    claude.plays("work", works(), says())
    claude.asks("lead")
    assert_recorded(claude, Run("general-purpose", "work"))


def test_an_agent_of_the_command_line(claude: Claude) -> None:
    claude.plays("lead", calls(agent("reviewer", "work", run_in_background=False)))
    claude.plays("work", works(), says())
    claude.asks("lead", "--agents", json.dumps({"reviewer": {"description": "reviews", "prompt": "Review."}}))
    assert_recorded(claude, Run("reviewer", "work"))


def test_an_agent_with_a_model_of_its_own(claude: Claude) -> None:
    claude.has_agent(TESTER, model="haiku")
    claude.plays("lead", calls(agent("tester", "check", run_in_background=False)))
    claude.plays("check", works(), says())
    claude.asks("lead")
    assert_recorded(claude, Run(TESTER, "check"))
    assert claude.document().agents[TESTER]["token_usage"]["haiku"]["count"] == 1


@pytest.mark.parametrize("in_background", [False, True])
def test_an_agent_of_the_project_before_the_users_of_the_same_name(claude: Claude, in_background: bool) -> None:
    of_project = "reviewed/coder.md"
    claude.has_agent(of_project, is_the_projects=True)
    claude.tracker("breaker", CODER, "open")
    claude.plays("lead", calls(agent("coder", "work", run_in_background=in_background)))
    claude.plays("work", works(), says())
    claude.asks("lead")
    assert_recorded(claude, Run(of_project, "work"))
    assert claude.document().agents[CODER]["tallies"]["rejected"] == 0


@pytest.mark.parametrize("in_background", [False, True])
def test_other_spellings(claude: Claude, in_background: bool) -> None:
    spellings = ("Database-Expert", "database expert", "DatabaseExpert")
    claude.plays("lead", calls(*(agent(spelling, "work", run_in_background=in_background) for spelling in spellings)))
    claude.plays("work", works(), says())
    claude.asks("lead")
    is_known = is_at_least("2.1.197")
    assert_recorded(claude, *[Run(EXPERT, "work") if is_known else Run("unknown", "work", names.FAILURE)] * 3)


def test_a_worktree(claude: Claude) -> None:
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "--allow-empty", "-m", "a"],
    ):
        subprocess.run(["git", *command], cwd=claude.box.project, check=True)
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False, isolation="worktree")))
    claude.plays("work", works(), says())
    claude.asks("lead")
    assert_recorded(claude, Run(CODER, "work"))
