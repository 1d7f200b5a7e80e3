"""Sessions that go on, beside others, or elsewhere."""

import json

import pytest

from tests.real_claude.account import Run, assert_recorded
from tests.real_claude.api import LAST_AGENT, agent, calls, marked, says, tool, works
from tests.real_claude.claude import CODER, TESTER, Claude
from tests.real_claude.program import is_at_least

SESSION = "11111111-2222-4333-8444-555555555555"


def test_a_session_that_is_resumed(claude: Claude) -> None:
    for mark in ("first", "second"):
        claude.plays(mark, calls(agent("coder", f"{mark}-work", run_in_background=False)))
        claude.plays(f"{mark}-work", works(), says())
    claude.asks("first", "--session-id", SESSION)
    claude.asks("second", "--resume", SESSION)
    assert_recorded(claude, Run(CODER, "first-work"), Run(CODER, "second-work"))


def test_a_session_that_is_forked(claude: Claude) -> None:
    for mark in ("first", "second"):
        claude.plays(mark, calls(agent("coder", f"{mark}-work", run_in_background=False)))
        claude.plays(f"{mark}-work", works(), says())
    claude.asks("first", "--session-id", SESSION)
    claude.asks("second", "--resume", SESSION, "--fork-session")
    assert_recorded(claude, Run(CODER, "first-work"), Run(CODER, "second-work"))


@pytest.mark.skipif(not is_at_least("2.1.197"), reason="has no SendMessage")
@pytest.mark.parametrize("in_background", [False, True])
def test_an_agent_that_is_woken(claude: Claude, in_background: bool) -> None:
    wake = tool("SendMessage", to=LAST_AGENT, summary="some more", message=marked("more"))
    claude.plays("lead", calls(agent("coder", "work", run_in_background=in_background)), calls(wake))
    claude.plays("work", works(), says())
    claude.plays("more", works(), says())
    claude.asks("lead")
    assert_recorded(claude, Run(CODER, "work", also="more"))


def test_another_plugin_whose_hook_keeps_an_agent_at_work(claude: Claude) -> None:
    once = f"test -e {claude.box.project}/asked || {{ touch {claude.box.project}/asked; echo 'go on' >&2; exit 2; }}"
    hooks = {"SubagentStop": [{"hooks": [{"type": "command", "command": once}]}]}
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", works(), says("Done, I think."), says("Now it is done."))
    claude.asks("lead", "--settings", json.dumps({"hooks": hooks}))
    assert (claude.box.project / "asked").exists()
    assert_recorded(claude, Run(CODER, "work"))


def test_another_folder_for_the_configuration(claude: Claude) -> None:
    elsewhere = claude.box.home / "elsewhere"
    elsewhere.mkdir()
    claude.configuration.joinpath("agents", "core", "coder.md").read_text()
    (elsewhere / "agents").symlink_to(claude.home)
    claude.box.environment["CLAUDE_CONFIG_DIR"] = str(elsewhere)
    claude.tracker("claude-code", "uninstall")
    claude.tracker("claude-code", "install")
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", works(), says())
    claude.asks("lead")
    assert_recorded(claude, Run(CODER, "work"))


@pytest.mark.skipif(not is_at_least("2.1.197"), reason="has no workflows")
def test_a_workflow(claude: Claude) -> None:
    script = f"""
export const meta = {{ name: 'both', description: 'both', phases: [{{ title: 'Only' }}] }}
phase('Only')
return await parallel([
  () => agent({marked("work")!r}, {{ label: 'one', agentType: 'coder' }}),
  () => agent({marked("other")!r}, {{ label: 'two' }}),
])
"""
    claude.plays("lead", calls(tool("Workflow", script=script)))
    claude.plays("work", works(), says())
    claude.plays("other", works(), says())
    claude.asks("lead")
    assert_recorded(claude, Run(CODER, "work"), Run("workflow-subagent", "other"))


def test_a_session_beside_another_one(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", works(), says(is_held=True))
    claude.plays("beside", calls(agent("tester", "check", run_in_background=False)))
    claude.plays("check", works(), says())
    session = claude.starts("lead")
    claude.api.until_held("work")
    claude.asks("beside")
    claude.api.release("work")
    session.ended()
    assert_recorded(claude, Run(CODER, "work"), Run(TESTER, "check"))


def test_a_skill_that_is_an_agents(claude: Claude) -> None:
    skill = claude.configuration / "skills" / "tidy"
    skill.mkdir(parents=True)
    front_matter = "---\nname: tidy\ndescription: tidies\ncontext: fork\nagent: coder\n---\n"
    (skill / "SKILL.md").write_text(front_matter + marked("work"))
    claude.plays("lead", calls(tool("Skill", skill="tidy")))
    claude.plays("work", works(), says())
    claude.asks("lead")
    assert_recorded(claude, Run(CODER, "work"))
