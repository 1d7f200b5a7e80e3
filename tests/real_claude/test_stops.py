"""What a person, a tool or the machine stops."""

import signal

import pytest

from otel_tracker import names
from tests.real_claude.account import Run, assert_recorded
from tests.real_claude.api import LAST_AGENT, agent, calls, says, tool, works
from tests.real_claude.box import Process
from tests.real_claude.claude import CODER, TESTER, Claude
from tests.real_claude.program import is_at_least

tells_its_process = pytest.mark.skipif(not is_at_least("2.1.240"), reason="hooks are not told its process")


@pytest.mark.parametrize("in_background", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal(claude: Claude, number: signal.Signals, in_background: bool) -> None:
    session = with_an_agent_at_work(claude, in_background=in_background)
    session.send_signal(number)
    session.ended()
    claude.until_quiet()
    lost = claude.document().agents[CODER]["tallies"]["lost"]  # by chance: what Claude Code still writes when it ends
    assert_recorded(claude, Run(CODER, "work", names.LOST if lost else names.CANCELLED))
    assert claude.document().agents[CODER]["failures"] == 0


@tells_its_process
def test_kill_9(claude: Claude) -> None:
    claude.plays("next", calls(agent("tester", "check", run_in_background=False)))
    claude.plays("check", works(), says())
    session = with_an_agent_at_work(claude)
    session.kill()
    session.ended()
    claude.asks("next")
    assert_recorded(claude, Run(CODER, "work", names.LOST), Run(TESTER, "check"))


def test_kill_9_and_a_resume(claude: Claude) -> None:
    session_id = "11111111-2222-4333-8444-555555555555"
    claude.plays("again", calls(agent("coder", "more", run_in_background=False)))
    claude.plays("more", works(), says())
    session = with_an_agent_at_work(claude, "--session-id", session_id)
    session.kill()
    session.ended()
    claude.asks("again", "--resume", session_id)
    assert_recorded(claude, Run(CODER, "work", names.LOST), Run(CODER, "more"))


def test_a_tool(claude: Claude) -> None:
    stop = tool("TaskStop", task_id=LAST_AGENT)
    claude.plays("lead", calls(agent("coder", "work", run_in_background=True)), calls(stop, is_held=True))
    claude.plays("work", works(), says(is_held=True))
    session = claude.starts("lead")
    claude.api.until_held("work")
    claude.api.release("lead")
    session.ended()
    assert_recorded(claude, Run(CODER, "work", names.CANCELLED))


def with_an_agent_at_work(claude: Claude, *options: str, in_background: bool = False) -> Process:
    """Start a session whose agent has used a tool, as its transcript says, and waits for the last answer."""
    claude.plays("lead", calls(agent("coder", "work", run_in_background=in_background)))
    claude.plays("work", works(), says(is_held=True))
    session = claude.starts("lead", *options)
    claude.api.until_held("work")
    claude.until_written("tool_result")
    return session
