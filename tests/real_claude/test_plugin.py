"""The hooks as a plugin, and hooks that come and go while a session runs."""

import json

from otel_tracker import names
from tests.places import ROOT
from tests.real_claude.account import Run, assert_recorded
from tests.real_claude.api import agent, calls, fails, says, works
from tests.real_claude.claude import CODER, Claude
from tests.real_claude.program import executable, is_at_least

PLUGIN = ROOT / "claude-plugin"


def test_it_is_valid(claude: Claude) -> None:
    strictly = ["--strict"] if is_at_least("2.1.240") else []
    done = claude.box.run(executable(), "plugin", "validate", *strictly, PLUGIN)
    assert done.returncode == 0, done.stdout


def test_its_hooks_record_and_refuse(claude: Claude) -> None:
    claude.tracker("claude-code", "uninstall")
    claude.plays("lead", *[calls(agent("coder", "work", run_in_background=False))] * 2)
    claude.plays("work", fails(500))
    claude.tracker("config", "set", "failure_threshold", "1", "--agent", CODER)
    claude.asks("lead", "--plugin-dir", str(PLUGIN))
    assert_recorded(claude, Run(CODER, "work", names.FAILURE))
    assert claude.document().agents[CODER]["tallies"]["rejected"] == 1


def test_its_command_shows_the_report_to_claude(claude: Claude) -> None:
    claude.box.run(executable(), "--plugin-dir", PLUGIN, "-p", "/otel-tracker:agent-metrics")
    assert "4 agents are registered" in json.dumps(claude.api.requests[0]["messages"])


def test_installed_anew_while_an_agent_runs(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", works(), says(is_held=True))
    session = claude.starts("lead")
    claude.api.until_held("work")
    claude.tracker("claude-code", "uninstall")
    claude.tracker("claude-code", "install")
    claude.api.release("work")
    session.ended()
    assert_recorded(claude, Run(CODER, "work"))


def test_uninstalled_while_an_agent_runs(claude: Claude) -> None:
    claude.plays("lead", calls(agent("coder", "work", run_in_background=False)))
    claude.plays("work", works(), says(is_held=True))
    session = claude.starts("lead")
    claude.api.until_held("work")
    claude.tracker("claude-code", "uninstall")
    claude.api.release("work")
    assert session.ended().stdout == "Done.\n"
