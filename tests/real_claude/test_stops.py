"""What a person, a tool or the machine stops."""

import signal

import pytest

from otel_tracker import names
from tests.real_claude.account import Run, assert_recorded
from tests.real_claude.api import LAST_AGENT, agent, calls, says, tool, works
from tests.real_claude.claude import CODER, TESTER, Claude
from tests.real_claude.program import is_at_least

tells_its_process = pytest.mark.skipif(not is_at_least("2.1.240"), reason="hooks are not told its process")
tells_of_background = not is_at_least("2.1.332")
"""Whether a session that is stopped notifies of the agents in its background. Where nothing tells, they are lost."""


@pytest.mark.parametrize("in_background", [False, True])
def test_ctrl_c(claude: Claude, in_background: bool) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=in_background)))
    claude.plays("work", works(), says(is_held=True))
    session = claude.starts("lead")
    claude.api.until_held("work")
    session.send_signal(signal.SIGINT)
    session.ended()
    is_told = not in_background or tells_of_background
    assert_recorded(claude, Run(CODER, "work", names.CANCELLED if is_told else names.LOST))
    assert claude.document().agents[CODER]["failures"] == 0


@pytest.mark.parametrize("in_background", [False, True])
def test_sigterm(claude: Claude, in_background: bool) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=in_background)))
    claude.plays("work", works(), says(is_held=True))
    session = claude.starts("lead")
    claude.api.until_held("work")
    session.send_signal(signal.SIGTERM)
    session.ended()
    is_told = in_background and tells_of_background
    assert_recorded(claude, Run(CODER, "work", names.CANCELLED if is_told else names.LOST))
    assert claude.document().agents[CODER]["failures"] == 0


@tells_its_process
def test_kill_9(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", works(), says(is_held=True))
    claude.plays("next", calls(agent("tester", "check", run_in_background=False)))
    claude.plays("check", works(), says())
    session = claude.starts("lead")
    claude.api.until_held("work")
    session.kill()
    session.ended()
    claude.asks("next")
    assert_recorded(claude, Run(CODER, "work", names.LOST), Run(TESTER, "check"))


def test_a_tool(claude: Claude) -> None:
    stop = tool("TaskStop", task_id=LAST_AGENT)
    claude.plays("lead", calls(agent("coder", "work", run_in_background=True)), calls(stop, is_held=True))
    claude.plays("work", works(), says(is_held=True))
    session = claude.starts("lead")
    claude.api.until_held("work")
    claude.api.release("lead")
    session.ended()
    assert_recorded(claude, Run(CODER, "work", names.CANCELLED))


def test_kill_9_and_a_resume(claude: Claude) -> None:
    session_id = "11111111-2222-4333-8444-555555555555"
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", works(), says(is_held=True))
    claude.plays("again", calls(agent("coder", "more", run_in_background=False)))
    claude.plays("more", works(), says())
    session = claude.starts("lead", "--session-id", session_id)
    claude.api.until_held("work")
    session.kill()
    session.ended()
    claude.asks("again", "--resume", session_id)
    assert_recorded(claude, Run(CODER, "work", names.LOST), Run(CODER, "more"))
