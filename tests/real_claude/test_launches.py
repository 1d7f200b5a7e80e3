"""Launches that Claude Code itself turns down: no agent comes of them, so there is no run."""

import json

import pytest

from otel_tracker import names
from tests.real_claude.account import Run, assert_recorded
from tests.real_claude.api import agent, calls, says, works
from tests.real_claude.claude import CODER, Claude
from tests.real_claude.program import is_at_least


def test_an_unknown_type(claude: Claude) -> None:
    claude.plays("lead", calls(agent("nobody", "work", run_in_background=False)))
    claude.asks("lead")
    assert_recorded(claude, Run("unknown", "work", names.FAILURE))


def test_a_worktree_where_no_repository_is(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False, isolation="worktree")))
    claude.asks("lead")
    assert_recorded(claude)
    assert claude.document().agents[CODER]["failures"] == 0


def test_a_permission_rule(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.asks("lead", "--settings", json.dumps({"permissions": {"deny": ["Agent(coder)"]}}))
    assert_recorded(claude)
    assert claude.document().agents[CODER]["failures"] == 0


@pytest.mark.skipif(not is_at_least("2.1.240"), reason="has no limit")
def test_more_at_once_than_the_limit(claude: Claude) -> None:
    claude.plays("lead", calls(*(agent("coder", "work", run_in_background=True) for _ in range(4))))
    claude.plays("work", works(is_held=True), says())
    session = claude.starts("lead", CLAUDE_CODE_MAX_CONCURRENT_SUBAGENTS="2")
    claude.api.until_held("work", 2)
    claude.api.release("work")
    session.ended()
    assert_recorded(claude, Run(CODER, "work"), Run(CODER, "work"))
    assert claude.document().agents[CODER]["failures"] == 0
