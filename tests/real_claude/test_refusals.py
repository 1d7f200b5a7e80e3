"""Agents whose breaker is open: they are refused, Claude reads why, and one is let through after the cooldown."""

import json

import pytest

from otel_tracker import names
from tests.real_claude.account import Run, assert_recorded
from tests.real_claude.api import agent, calls, fails, says, works
from tests.real_claude.claude import CODER, DEBUGGER, EXPERT, Claude
from tests.real_claude.program import is_at_least

TRIPPED = Run(CODER, "", names.FAILURE)


def test_a_refused_agent_and_the_one_that_stands_in(claude: Claude) -> None:
    claude.tracker("config", "set", "fallbacks", DEBUGGER, "--agent", CODER)
    claude.tracker("breaker", CODER, "open", "--for", "2h")
    claude.plays(
        "lead",
        calls(agent("coder", "work", run_in_background=False)),
        calls(agent("debugger", "instead", run_in_background=False)),
    )
    claude.plays("instead", works(), says())
    claude.asks("lead")
    assert_recorded(claude, Run(DEBUGGER, "instead"))
    assert claude.document().agents[CODER]["tallies"]["rejected"] == 1
    assert "is refused by a person until" in what_claude_reads(claude)
    assert "Use agent 'debugger' instead" in what_claude_reads(claude)


def what_claude_reads(claude: Claude) -> str:
    return json.dumps([request["messages"] for request in claude.api.requests])


@pytest.mark.skipif(not is_at_least("2.1.197"), reason="knows no other spelling")
def test_no_other_spelling_passes(claude: Claude) -> None:
    claude.tracker("breaker", EXPERT, "open")
    spellings = ("Database-Expert", "database expert", "DatabaseExpert", "DATABASE_EXPERT")
    claude.plays("lead", calls(*(agent(spelling, "work", run_in_background=False) for spelling in spellings)))
    claude.asks("lead")
    assert_recorded(claude)
    assert claude.document().agents[EXPERT]["tallies"]["rejected"] == 4


@pytest.mark.skipif(not is_at_least("2.1.197"), reason="its sub-agents have no tool to launch others")
def test_an_agent_of_an_agent(claude: Claude) -> None:
    claude.tracker("breaker", CODER, "open")
    claude.plays("lead", calls(agent("tester", "check", run_in_background=False)))
    claude.plays("check", calls(agent("coder", "work", run_in_background=False)), says())
    claude.asks("lead")
    assert_recorded(claude, Run("core/tester.md", "check"))


def test_one_that_fails_five_times_is_refused_the_sixth_time(claude: Claude) -> None:
    claude.plays("lead", *(calls(agent("coder", "work", run_in_background=False)) for _ in range(6)))
    claude.plays("work", fails(500))
    claude.asks("lead")
    assert_recorded(claude, *[Run(CODER, "work", names.FAILURE)] * 5)
    assert claude.document().agents[CODER]["tallies"]["rejected"] == 1


@pytest.mark.parametrize("in_background", [False, True])
def test_after_the_cooldown_it_may_show_that_it_works(claude: Claude, in_background: bool) -> None:
    trip(claude)
    claude.plays("again", calls(agent("coder", "work", run_in_background=in_background)))
    claude.plays("work", works(), says())
    claude.asks("again")
    assert_recorded(claude, TRIPPED, Run(CODER, "work"))
    assert claude.document().agents[CODER]["status"] == "healthy"


def test_a_probe_that_fails(claude: Claude) -> None:
    trip(claude)
    claude.plays("again", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", works(), fails(500))
    claude.asks("again")
    assert_recorded(claude, TRIPPED, Run(CODER, "work", names.FAILURE))
    assert claude.document().agents[CODER]["circuit"]["reopenings"] == 1


def test_one_probe_over_eight_sessions(claude: Claude) -> None:
    trip(claude)
    claude.plays("again", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", works(is_held=True), says())
    sessions = [claude.starts("again") for _ in range(8)]
    claude.until_rejected(CODER, 7)
    claude.api.release("work")
    for session in sessions:
        session.ended()
    assert_recorded(claude, TRIPPED, Run(CODER, "work"))
    assert claude.document().agents[CODER]["status"] == "healthy"


def trip(claude: Claude) -> None:
    """Let the coder fail once, which is enough, and its cooldown be over at once."""
    claude.tracker("config", "set", "failure_threshold", "1", "--agent", CODER)
    claude.tracker("config", "set", "cooldown_minutes", "0.00001", "--agent", CODER)
    claude.tracker("exec", CODER, "--", "false", status=1)
    assert claude.document().agents[CODER]["status"] == "blacklisted"
