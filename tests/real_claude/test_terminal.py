"""Interactive sessions: what a person does with keys and commands while agents run."""

import pytest

from otel_tracker import names
from tests.real_claude.account import AT_LEAST, EXACT, Run, assert_recorded
from tests.real_claude.api import agent, calls, marked, says, works
from tests.real_claude.claude import CODER, TESTER, Claude
from tests.real_claude.program import is_at_least
from tests.real_claude.terminal import IN_A_TURN, Terminal

FOREGROUND = {"CLAUDE_CODE_FORK_SUBAGENT": "0"}
"""Without it newer versions run every agent of a terminal in the background."""


@pytest.fixture(params=[False, True], ids=["foreground", "background"])
def in_background(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_to_the_end(claude: Claude, in_background: bool) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=in_background)))
    claude.plays("work", works(), says())
    terminal = claude.opens(**FOREGROUND)
    terminal.types(marked("lead"))
    claude.until_recorded(1)
    terminal.leaves()
    assert_recorded(claude, Run(CODER, "work"))


def test_escape(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", works(), says(is_held=True))
    terminal = claude.opens(**FOREGROUND)
    terminal.types(marked("lead"))
    claude.api.until_held("work")
    terminal.until_shows(IN_A_TURN)
    terminal.presses("Escape", to_see="Interrupted")
    terminal.leaves()
    assert_recorded(claude, Run(CODER, "work", names.CANCELLED))
    assert claude.document().agents[CODER]["failures"] == 0


def test_escape_and_another_try(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", works(), says(is_held=True))
    claude.plays("again", calls(agent("tester", "check", run_in_background=False)))
    claude.plays("check", works(), says())
    terminal = claude.opens(**FOREGROUND)
    terminal.types(marked("lead"))
    claude.api.until_held("work")
    terminal.until_shows(IN_A_TURN)
    terminal.presses("Escape", to_see="Interrupted")
    terminal.types(marked("again"))
    claude.until_recorded(2)
    terminal.leaves()
    assert_recorded(claude, Run(CODER, "work", names.CANCELLED), Run(TESTER, "check"))


def test_the_key_that_stops_what_is_in_the_background(claude: Claude) -> None:
    terminal = with_an_agent_in_the_background(claude)
    terminal.presses("C-x", "C-k", "C-x", "C-k", to_see="was stopped by the user")
    claude.until_recorded(1)
    terminal.leaves()
    assert_recorded(claude, Run(CODER, "work", names.CANCELLED))


def test_moved_to_the_background_by_a_key(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", works(), says(is_held=True))
    terminal = claude.opens(**FOREGROUND)
    terminal.types(marked("lead"))
    claude.api.until_held("work")
    terminal.presses("C-b", "C-b", to_see="Backgrounded agent")
    claude.api.release("work")
    terminal.until_shows('Agent "a task"')
    terminal.leaves()
    loses_the_answer_that_was_awaited = not is_at_least("2.1.197")
    assert_recorded(claude, Run(CODER, "work", usage=AT_LEAST if loses_the_answer_that_was_awaited else EXACT))


def test_clear_while_an_agent_runs(claude: Claude) -> None:
    terminal = with_an_agent_in_the_background(claude)
    terminal.types("/clear")
    terminal.until_hides(marked("lead"))
    terminal.until_shows("/clear")
    terminal.until_ready()
    claude.api.release("work")
    terminal.until_shows('Agent "a task"')
    terminal.leaves()
    assert_recorded(claude, Run(CODER, "work"))


def test_exit_that_stops_what_runs(claude: Claude) -> None:
    terminal = with_an_agent_in_the_background(claude)
    terminal.types("/exit")
    if is_at_least("2.1.240"):
        terminal.chooses("1. Exit and stop tasks")
    terminal.until_ended()
    assert_recorded(claude, Run(CODER, "work", names.CANCELLED))


@pytest.mark.skipif(not is_at_least("2.1.240"), reason="can't")
def test_exit_that_lets_it_go_on(claude: Claude) -> None:
    terminal = with_an_agent_in_the_background(claude)
    terminal.types("/exit")
    terminal.chooses("2. Move to background and exit")
    terminal.until_ended()
    claude.api.release("work")
    claude.until_recorded(1, names.SUCCESS)  # until then it passes for cancelled, as its session has ended
    claude.box.end_all()
    assert_recorded(claude, Run(CODER, "work"))


def test_compact(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", works(), says())
    terminal = claude.opens(**FOREGROUND)
    terminal.types(marked("lead"))
    claude.until_recorded(1)
    terminal.until_shows("Done.")
    terminal.types("/compact")
    terminal.until_shows("ompacted")
    terminal.leaves()
    assert_recorded(claude, Run(CODER, "work"))


@pytest.mark.skipif(not is_at_least("2.1.197"), reason="has no agent teams")
def test_a_teammate(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", name="helper")))
    claude.plays("work", works(), says())
    terminal = claude.opens(CLAUDE_CODE_EXPERIMENTAL_AGENT_TEAMS="1")
    terminal.types(marked("lead"))
    claude.until_recorded(1)
    terminal.leaves()
    assert_recorded(claude, Run(CODER, "work"))


def with_an_agent_in_the_background(claude: Claude) -> Terminal:
    """Open a session whose turn has ended, while an agent waits in the background for the last answer."""
    claude.plays("lead", calls(agent("coder", "work", run_in_background=True)))
    claude.plays("work", works(), says(is_held=True))
    terminal = claude.opens()
    terminal.types(marked("lead"))
    claude.api.until_held("work")
    terminal.until_shows("Done.")
    return terminal
