"""Runs of sub-agents that nothing comes between."""

from tests.real_claude.account import Run, assert_recorded
from tests.real_claude.api import agent, calls, marked, says, tool
from tests.real_claude.claude import CODER, Claude

WORKS = calls(tool("Bash", command="true", description="work"))


def test_foreground(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", WORKS, says())
    claude.asks("lead")
    assert_recorded(claude, Run(CODER, "work"))


def test_background(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=True)))
    claude.plays("work", WORKS, says())
    claude.asks("lead")
    assert_recorded(claude, Run(CODER, "work"))


def test_foreground_in_a_terminal(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", WORKS, says())
    terminal = claude.opens()
    terminal.types(marked("lead"))
    claude.until_recorded(1)
    terminal.types("/exit")
    terminal.until_ended()
    assert_recorded(claude, Run(CODER, "work"))
