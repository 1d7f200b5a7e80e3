"""Tokens that are hard to count: answers that are cut off, or of which no transcript tells."""

import pytest

from otel_tracker import names
from tests.real_claude.account import AT_LEAST, UNMEASURED, Run, assert_recorded
from tests.real_claude.api import agent, calls, fails, says, works
from tests.real_claude.claude import CODER, Claude
from tests.real_claude.program import is_at_least


@pytest.mark.parametrize("in_background", [False, True])
def test_an_answer_that_is_cut_off_and_kept(claude: Claude, in_background: bool) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=in_background)))
    claude.plays("work", works(), says("I have begun.", "There is m", is_cut=True), says())
    claude.asks("lead")
    assert_recorded(claude, Run(CODER, "work", usage=AT_LEAST))


def test_an_answer_that_is_cut_off_and_asked_for_again(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", works(), says("I have b", is_cut=True), says())
    claude.asks("lead")
    assert_recorded(claude, Run(CODER, "work"))


def test_compaction_in_an_agent(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", works(), works(cached_tokens=150_000), works(cached_tokens=150_000))
    claude.plays("work-compacted", works(), says())
    claude.asks("lead", CLAUDE_CODE_AUTO_COMPACT_WINDOW="100000")
    assert_recorded(claude, Run(CODER, "work", usage=AT_LEAST, also="work-compacted"))


@pytest.mark.skipif(is_at_least("2.1.332"), reason="writes no answer down before its usage has come")
@pytest.mark.parametrize("in_background", [False, True])
def test_a_usage_that_comes_after_its_answer_was_written_down(claude: Claude, in_background: bool) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=in_background)))
    claude.plays("work", works(), says("All is done.", is_usage_held=True))
    session = claude.starts("lead")
    claude.until_written("All is done.")
    claude.api.release("work")
    assert session.ended().returncode == 0
    assert_recorded(claude, Run(CODER, "work", usage=AT_LEAST))


@pytest.mark.parametrize("in_background", [False, True])
def test_without_a_transcript(claude: Claude, in_background: bool) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=in_background)))
    claude.plays("work", works(), fails(500))
    claude.asks("lead", "--no-session-persistence")
    assert_recorded(claude, Run(CODER, "work", names.FAILURE, UNMEASURED))
