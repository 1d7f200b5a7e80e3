"""What the API or a limit does to an agent."""

from pathlib import Path

import pytest

from otel_tracker import names
from tests.real_claude.account import Run, assert_recorded
from tests.real_claude.api import agent, calls, fails, says, works
from tests.real_claude.claude import CODER, DEBUGGER, EXPERT, TESTER, Claude


@pytest.mark.parametrize("in_background", [False, True])
def test_errors_of_the_api(claude: Claude, in_background: bool) -> None:
    errors = {CODER: 400, TESTER: 401, DEBUGGER: 429, EXPERT: 500, "Explore": 529}
    launches = [agent(Path(key).stem, Path(key).stem, run_in_background=in_background) for key in errors]
    claude.plays("lead", calls(*launches))
    for key, status in errors.items():
        claude.plays(Path(key).stem, works(), fails(status))
    claude.asks("lead")
    assert_recorded(claude, *(Run(key, Path(key).stem, names.FAILURE) for key in errors))
    counted = {key for key in errors if claude.document().agents[key]["failures"]}
    assert counted == {CODER, EXPERT}, "authentication, rate limits and overload are no fault of an agent"


def test_an_error_that_a_retry_gets_over(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", works(), says(after_failures=1))
    claude.asks("lead")
    assert_recorded(claude, Run(CODER, "work"))


@pytest.mark.parametrize("in_background", [False, True])
def test_an_agent_that_fails_among_others(claude: Claude, in_background: bool) -> None:
    claude.plays(
        "lead",
        calls(*(agent(kind, kind, run_in_background=in_background) for kind in ("coder", "tester"))),
    )
    claude.plays("coder", works(), fails(500))
    claude.plays("tester", works(), says())
    claude.asks("lead")
    assert_recorded(claude, Run(CODER, "coder", names.FAILURE), Run(TESTER, "tester"))
    assert claude.document().agents[CODER]["failures"] == 1


@pytest.mark.parametrize("in_background", [False, True])
def test_an_outage_that_ends_the_turn_too(claude: Claude, in_background: bool) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=in_background)), fails(529))
    claude.plays("work", works(), says())
    claude.asks("lead")
    assert_recorded(claude, Run(CODER, "work"))


@pytest.mark.parametrize("in_background", [False, True])
def test_the_limit_of_turns(claude: Claude, in_background: bool) -> None:
    claude.has_agent(CODER, maxTurns="2")
    claude.plays("lead", calls(agent("coder", "work", run_in_background=in_background)))
    claude.plays("work", works(), works(), works())
    claude.asks("lead")
    assert_recorded(claude, Run(CODER, "work"))
