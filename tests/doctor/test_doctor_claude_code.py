"""The doctor says whether Claude Code calls the hooks, once and as this version wants it, and what they have logged."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_tracker.doctor import NOTE, OK, WRONG, Finding, examine
from otel_tracker.integrations.claude_code import NAME
from otel_tracker.integrations.claude_code.findings import findings
from otel_tracker.integrations.claude_code.settings import registration, settings_places
from otel_tracker.integrations.claude_code.settings.registration import Choice
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.integrations.claude_code.dropped import DROPPED

PROGRAM = os.path.join(os.path.dirname(sys.executable), "otel-tracker")
Put = Callable[..., Path]


@pytest.fixture
def used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return the default home of a user who has Claude Code, in the folder of a project."""
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    monkeypatch.setattr(settings_places, "MANAGED", (str(tmp_path / "managed-settings.json"),))
    (tmp_path / "user" / ".claude" / "projects").mkdir(parents=True)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return Home("~/.claude/agents")


@pytest.fixture
def put(used: Home, tmp_path: Path) -> Put:
    """Write settings: the user's, or those that are named."""
    places = {
        "user": tmp_path / "user" / ".claude" / "settings.json",
        "project": tmp_path / "project" / ".claude" / "settings.json",
        "local": tmp_path / "project" / ".claude" / "settings.local.json",
        "managed": tmp_path / "managed-settings.json",
    }

    def write(settings: Any, place: str = "user") -> Path:
        path = places[place]
        path.parent.mkdir(exist_ok=True)
        path.write_text(settings if isinstance(settings, str) else json.dumps(settings))
        return path

    return write


def registered(
    command: str = PROGRAM,
    choice: Choice = Choice(),  # noqa: B008
    *,
    is_shared: bool = False,
    **more: Any,
) -> dict[str, Any]:
    return {"hooks": registration.hooks(command, choice, is_shared=is_shared), **more}


def one(home: Home) -> Finding:
    (finding,) = findings(home)
    return finding


def wrong(home: Home) -> Finding:
    (finding,) = [finding for finding in findings(home) if finding.level == WRONG]
    return finding


def test_hooks_that_are_not_registered_are_worth_a_note(used: Home) -> None:
    finding = one(used)
    assert (finding.topic, finding.level) == ("claude code", NOTE)
    assert finding.text.startswith("no hooks are registered")
    assert finding.remedy == "otel-tracker claude-code install"


def test_without_claude_code_there_is_no_finding(used: Home, tmp_path: Path) -> None:
    (tmp_path / "user" / ".claude" / "projects").rmdir()
    assert list(findings(used)) == []


def test_hooks_that_are_registered_once_are_in_order(used: Home, put: Put) -> None:
    path = put(registered())
    assert one(used) == Finding("claude code", OK, f"hooks are registered once, in {path}; the gate is on")
    put(registered(choice=Choice(is_gated=False)))
    assert one(used).text.endswith("the gate is off")


def test_the_doctor_says_it_with_all_else(used: Home, put: Put) -> None:
    put(registered())
    assert [finding.level for finding in examine(Store(used)) if finding.topic == "claude code"] == [OK]


def test_a_project_in_the_users_own_folder_is_not_a_second_registration(
    used: Home, put: Put, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(registered())
    monkeypatch.chdir(tmp_path / "user")
    assert one(used).level == OK


def test_hooks_of_user_and_project_are_twice(used: Home, put: Put) -> None:
    user, project = put(registered()), put(registered(is_shared=True), "project")
    finding = wrong(used)
    assert finding.text == f"hooks are registered 2 times: {user}, {project}"
    assert finding.remedy == "otel-tracker claude-code uninstall --project"


def test_settings_and_plugin_are_twice_unless_the_plugin_is_switched_off(used: Home, put: Put) -> None:
    path = put(registered(enabledPlugins={"otel-tracker@market": True, "another@market": True}))
    finding = next(found for found in findings(used) if "times" in found.text)
    assert finding.text == f"hooks are registered 2 times: {path}, the plugin otel-tracker@market"
    assert finding.remedy == "/plugin uninstall otel-tracker@market"
    put({"enabledPlugins": {"otel-tracker@market": False}}, "local")
    assert one(used).level == OK


def test_a_plugin_needs_the_program_in_path(used: Home, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put({"enabledPlugins": {"otel-tracker@market": True}})
    monkeypatch.setenv("PATH", os.path.dirname(PROGRAM))
    assert one(used).text == "hooks are registered once, in the plugin otel-tracker@market; the gate is on"
    monkeypatch.setenv("PATH", "")
    assert "which is not in PATH" in wrong(used).text


def test_an_event_that_has_the_hook_twice_is_wrong(used: Home, put: Put) -> None:
    settings = registered(choice=Choice(is_gated=False))
    settings["hooks"]["Stop"] *= 2
    path = put(settings)
    assert wrong(used).text == f"{path} has them more than once for Stop"
    assert wrong(used).remedy == "otel-tracker claude-code install --no-gate"


def test_hooks_of_an_older_version_are_recognised_by_what_they_lack(used: Home, put: Put) -> None:
    settings = registered(choice=Choice("/h", is_closed_on_doubt=True), is_shared=True)
    hooks = settings["hooks"]
    del hooks["StopFailure"]
    hooks["PreToolUse"][0]["matcher"] = "Task"
    hooks["Stop"][0]["hooks"][0]["timeout"] = 3
    hooks["SubagentStop"][0]["hooks"][0]["timeout"] = 60
    hooks["PreCompact"] = hooks["SessionEnd"]
    path = put(settings, "project")
    finding = wrong(used)
    assert finding.text == (
        f"{path} lacks StopFailure and has PreToolUse, Stop, PreCompact otherwise than this version registers it"
    )
    assert finding.remedy == "otel-tracker claude-code install --project --fail-closed --home /h"


def test_hooks_of_a_project_that_copilot_would_call_without_their_arguments_are_wrong(used: Home, put: Put) -> None:
    path = put(registered(), "project")
    finding = wrong(used)
    assert finding.text.startswith(f"{path} has PreToolUse, ")
    assert finding.remedy == "otel-tracker claude-code install --project"


def test_hooks_with_different_flags_are_wrong(used: Home, put: Put) -> None:
    settings = registered()
    settings["hooks"]["Stop"][0]["hooks"][0]["args"].append("--no-gate")
    put(settings)
    assert "other flags for one event than for another" in wrong(used).text


@pytest.mark.parametrize("key", ["async", "asyncRewake"])
def test_a_hook_in_the_background_cannot_refuse(used: Home, put: Put, key: str) -> None:
    settings = registered()
    settings["hooks"]["PreToolUse"][0]["hooks"][0][key] = True
    settings["hooks"]["Stop"][0]["hooks"].append({"type": "command", "command": "mine", key: True})
    put(settings)
    assert "has PreToolUse as async: such a hook can't refuse" in wrong(used).text
    assert wrong(used).remedy == "otel-tracker claude-code install"


def test_hooks_that_are_switched_off_are_wrong(used: Home, put: Put) -> None:
    put(registered(disableAllHooks=True))
    assert "disableAllHooks is true in " in wrong(used).text
    put({"disableAllHooks": False}, "project")
    assert one(used).level == OK
    path = put({"disableAllHooks": True}, "local")
    assert wrong(used).text == f"disableAllHooks is true in {path}: Claude Code calls none of them"


def test_a_policy_that_allows_managed_hooks_only_is_wrong_where_ours_are_not(used: Home, put: Put) -> None:
    path = put({"allowManagedHooksOnly": True}, "managed")
    put(registered(allowManagedHooksOnly=True))
    assert wrong(used).text.startswith(f"allowManagedHooksOnly is true in {path}: ")
    put({}, "user")
    put(registered(allowManagedHooksOnly=True), "managed")
    assert one(used).level == OK


def test_a_user_cannot_forbid_what_only_a_policy_can(used: Home, put: Put) -> None:
    put(registered(allowManagedHooksOnly=True))
    assert one(used).level == OK


def test_a_program_that_is_not_there_is_wrong(used: Home, put: Put, tmp_path: Path) -> None:
    gone = tmp_path / "otel-tracker"
    path = put(registered(str(gone)))
    assert wrong(used).text.startswith(f"{path} calls {gone}, which isn't there, or can't be executed")
    gone.write_text("#!/bin/sh\n")
    gone.chmod(0o600)
    assert wrong(used).remedy == "otel-tracker claude-code install"
    gone.chmod(0o700)
    assert one(used).level == OK


def test_a_program_that_is_not_in_path_is_wrong(used: Home, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put(registered("otel-tracker"), "local")
    monkeypatch.setenv("PATH", "")
    finding = wrong(used)
    assert "calls otel-tracker, which isn't in PATH" in finding.text
    assert str(finding.remedy).startswith("take them out of ")


@pytest.mark.parametrize("text", ["{", "[]", '{"hooks": 1} x'])
def test_settings_that_cannot_be_read_are_wrong(used: Home, put: Put, text: str) -> None:
    path = put(text)
    assert f"cannot use the settings {path}: " in wrong(used).text


@pytest.mark.parametrize("hooks", [None, [], {"Stop": 5}, {"Stop": [1, {"hooks": 2}, {"hooks": [3, {"command": 4}]}]}])
def test_hooks_of_any_shape_are_looked_at(used: Home, put: Put, hooks: Any) -> None:
    put({"hooks": hooks, "enabledPlugins": hooks, "disableAllHooks": hooks})
    assert {finding.level for finding in findings(used)} == {NOTE, WRONG}


def test_a_hook_of_the_users_own_making_is_named(used: Home, put: Put) -> None:
    entry = {"type": "command", "command": "otel-tracker claude-code hook | tee log"}
    path = put({"hooks": {"Stop": [{"hooks": [entry]}]}})
    assert one(used).text == f"{path} calls the hook in a way of its own, which no test has checked"
    put(registered(is_shared=True), "project")
    assert wrong(used).text == f"{path} calls the hook once more, in a way of its own"


def test_hooks_that_record_elsewhere_are_worth_a_note(used: Home, put: Put, tmp_path: Path) -> None:
    put(registered(choice=Choice(str(tmp_path / "fleet"))))
    assert [finding.level for finding in findings(used)] == [OK, NOTE]
    *_, finding = findings(used)
    assert finding.remedy == f"otel-tracker doctor --home {tmp_path / 'fleet'}"
    assert [finding.level for finding in findings(Home(str(tmp_path / "fleet")))] == [OK]


# The log


def log(home: Home, *lines: str) -> None:
    Path(home.of_integration(NAME)).mkdir(parents=True, exist_ok=True)
    with (Path(home.of_integration(NAME)) / "hook.log").open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def days_ago(days: float) -> str:
    return format_timestamp(time.time() - days * 86_400)


def test_repeated_drift_of_late_is_wrong_and_other_drift_worth_a_note(used: Home, put: Put) -> None:
    put(registered())
    log(used, f"{days_ago(30)} Stop drift: an old thing")
    note = list(findings(used))[-1]
    assert (note.level, "0 times in 7 days" in note.text) == (NOTE, True)
    stamp = days_ago(1)
    log(used, f"{days_ago(2)} Stop drift: a")
    assert list(findings(used))[-1].level == NOTE
    log(used, f"{days_ago(2)} Stop drift: a", f"{stamp} PostToolUse drift: status is  'new thing'")
    finding = wrong(used)
    assert "3 times in 7 days" in finding.text
    assert finding.text.endswith(f"last at {stamp} with PostToolUse: status is  'new thing'")


def test_errors_of_late_are_worth_a_note(used: Home, put: Put) -> None:
    put(registered())
    log(used, f"{days_ago(8)} - error: old")
    assert one(used).level == OK
    log(used, f"{days_ago(1)} - error: disk full")
    _, finding = findings(used)
    assert finding.level == NOTE
    assert finding.text.startswith("hooks failed 1 time in 7 days, last at ")
    assert finding.text.endswith(" with -: disk full")


def test_only_the_end_of_a_long_log_is_read_and_odd_lines_are_passed_over(used: Home, put: Put) -> None:
    put(registered())
    log(used, f"{days_ago(1)} Stop error: first", "x" * 70_000, "", "no line", "a b drift: c", f"{days_ago(1)} Stop")
    log(used, "9999-99-99T00:00:00.000000Z Stop error: never", f"{days_ago(1)} Stop other: thing", "\0")
    assert one(used).level == OK


def test_a_log_that_cannot_be_read_is_wrong(used: Home, put: Put) -> None:
    put(registered())
    (Path(used.of_integration(NAME)) / "hook.log").mkdir(parents=True)
    assert "hook.log" in wrong(used).text


@pytest.mark.parametrize(("hooks", "said"), DROPPED.values(), ids=DROPPED)
@pytest.mark.parametrize("place", ["user", "project", "local", "managed"])
def test_settings_that_claude_code_drops_whole_are_wrong(
    used: Home, put: Put, hooks: Any, said: str, place: str
) -> None:
    settings = registered() if place == "user" else {"hooks": {}}
    if not isinstance(hooks, dict):
        settings["hooks"] = hooks
    for event, groups in hooks.items() if isinstance(hooks, dict) else ():
        settings["hooks"][event] = groups
    if place != "user":
        put(registered())
    path = put(settings, place)
    texts = [finding.text for finding in findings(used) if finding.level == WRONG]
    assert f"{path}: {said}: Claude Code drops the whole file for it, with all of its hooks" in texts
    are_on = any(finding.level == OK and "registered" in finding.text for finding in findings(used))
    assert are_on is (place != "user")


def test_an_odd_entry_of_ours_is_wrong_too(used: Home, put: Put) -> None:
    settings = registered()
    settings["hooks"]["Stop"][0]["hooks"][0]["timeout"] = "10"
    put(settings)
    texts = [finding.text for finding in findings(used) if finding.level == WRONG]
    assert any(
        "$.hooks.Stop[0].hooks[0].timeout: expected a number of seconds above 0, got a text" in text for text in texts
    )
