"""The hooks come into settings of Claude Code and out of them again, and nothing else of these files changes."""

import copy
import io
import json
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tracker import MetricTracker
from otel_tracker.cli import main
from otel_tracker.integrations.claude_code.settings import plugin, registration, settings_file, settings_text
from otel_tracker.integrations.claude_code.settings.registration import HOOKS, Choice, choice_of, is_akin, is_ours
from otel_tracker.integrations.claude_code.settings.settings_file import (
    SettingsError,
    SettingsWriteError,
    with_hooks,
    without_hooks,
)
from tests.integrations.claude_code.dropped import DROPPED

Run = Callable[..., "tuple[int, str, str]"]
PROGRAM = os.path.join(os.path.dirname(sys.executable), "otel-tracker")
OURS = {"type": "command", "command": "/old/bin/otel-tracker", "args": ["claude-code", "hook"], "timeout": 5}
THEIRS = {"type": "command", "command": "say done"}


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's settings file, which isn't there yet; the current folder is a project's."""
    for name in ("CLAUDE_CONFIG_DIR", "CLAUDE_PROJECT_DIR"):
        monkeypatch.delenv(name, raising=False)
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return tmp_path / "user" / ".claude" / "settings.json"


@pytest.fixture
def run(user: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(["claude-code", *arguments])
        except SystemExit as stop:
            status = int(stop.code or 0)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return command


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def hooks_of(path: Path) -> Any:
    return json.loads(path.read_text())["hooks"]


def gate_of(path: Path) -> Any:
    return hooks_of(path)["PreToolUse"][0]["hooks"][0]


def backups_of(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.glob("settings.json.*"))


# The table


def test_the_hooks_are_synchronous_in_exec_form_and_only_tools_have_a_matcher() -> None:
    made = registration.hooks("/bin/otel-tracker")
    assert list(made) == [hook.event for hook in HOOKS]
    for event, (group,) in made.items():
        (entry,) = group["hooks"]
        assert set(entry) == {"type", "command", "args", "timeout"}
        assert entry["args"] == ["claude-code", "hook"]
        assert group.get("matcher") == ("Agent|Task" if "ToolUse" in event else None)
    assert {event: made[event][0]["hooks"][0]["timeout"] for event in ("PreToolUse", "Stop", "SessionEnd")} == {
        "PreToolUse": 5,
        "Stop": 10,
        "SessionEnd": 1,
    }


def test_failing_closed_is_said_to_claude_code_at_the_gate_alone() -> None:
    made = registration.hooks("otel-tracker", Choice(is_closed_on_doubt=True))
    blocking = [event for event, (group,) in made.items() if group["hooks"][0].get("onFailure") == "block"]
    assert blocking == ["PreToolUse"]


@pytest.mark.parametrize("choice", [Choice(), Choice("/a home"), Choice(None, False), Choice("/h", True, True)])
def test_what_was_chosen_can_be_read_from_an_entry(choice: Choice) -> None:
    for ((entry,),) in [
        [group["hooks"] for group in groups] for groups in registration.hooks("x/otel-tracker", choice).values()
    ]:
        assert is_ours(entry)
        assert choice_of(entry) == choice
        line = " ".join(f'"{word}"' for word in [entry["command"], *entry["args"]])
        assert choice_of({"type": "command", "command": line}) == choice


@pytest.mark.parametrize(
    "command",
    [
        "otel-tracker claude-code hook",
        "/usr/local/bin/otel-tracker claude-code hook --no-gate",
        '"/with a space/otel-tracker" claude-code hook --home "/a b" --from-a-later-version',
        "otel-tracker --home /h claude-code hook",
        "python3 -m otel_tracker claude-code hook",
        "otel-tracker.exe claude-code hook\n",
    ],
)
def test_entries_of_any_path_and_flags_are_ours(command: str) -> None:
    assert is_ours({"type": "command", "command": command})
    program, *arguments = command.replace('"/with a space/otel-tracker"', "/with/otel-tracker").split()
    assert is_ours({"type": "command", "command": program, "args": arguments, "async": True})


@pytest.mark.parametrize(
    ("command", "is_like_it"),
    [
        ("otel-tracker claude-code hook | tee /tmp/log", True),
        ("otel-tracker claude-code hook; say done", True),
        ("otel-tracker claude-code hook\nsay done", True),
        ("otel-tracker claude-code hook --home $(pwd)", True),
        ("OTEL_TRACKER_HOME=/h otel-tracker claude-code hook", True),
        ("otel-tracker report", False),
        ("otel-tracker claude-code install", False),
        ("my-otel-tracker claude-code hook", True),
        ("otel-tracker exec a -- claude-code hook", True),
        ("", False),
        ("it's", False),
    ],
)
def test_what_does_more_than_call_the_hook_is_the_users_own(command: str, is_like_it: bool) -> None:
    entry = {"type": "command", "command": command}
    assert not is_ours(entry)
    assert is_akin(entry) == is_like_it


@pytest.mark.parametrize(
    "entry",
    [None, 5, [], {}, {**THEIRS, "type": "http"}, {"command": 5}, {"command": "x", "args": [1]}],
)
def test_what_is_no_command_is_not_ours(entry: object) -> None:
    assert not is_ours(entry)
    assert not is_akin(entry)


# Settings, as values

names = st.text(max_size=8)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | names
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
own_entries = st.fixed_dictionaries({"type": st.just("command"), "command": names}, optional={"timeout": st.integers()})
matchers = st.sampled_from(["", "*", "Agent|Task", "Task|Agent", "Bash", "mcp__.*"])
events = st.sampled_from(["PreToolUse", "Stop", "SubagentStop", "Notification", "PreCompact"])


def groups(entries: "st.SearchStrategy[Any]") -> "st.SearchStrategy[Any]":
    return st.fixed_dictionaries({"hooks": st.lists(entries, min_size=1, max_size=3)}, optional={"matcher": matchers})


def settings(entries: "st.SearchStrategy[Any]") -> "st.SearchStrategy[Any]":
    hooks = st.dictionaries(events, st.lists(groups(entries), min_size=1, max_size=3), min_size=1, max_size=4)
    return st.tuples(st.dictionaries(names.filter("hooks".__ne__), values, max_size=3), st.none() | hooks).map(
        lambda parts: {**parts[0], **({} if parts[1] is None else {"hooks": parts[1]})}
    )


def own(of: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(event, entry) for event, _, entry in settings_file.entries(of) if not is_ours(entry)]


def ordered(value: object) -> str:
    return json.dumps(value)


@given(before=settings(own_entries), choice=st.sampled_from([Choice(), Choice("/h", False)]))
def test_taking_out_what_was_put_in_gives_what_was_there(before: dict[str, Any], choice: Choice) -> None:
    untouched = copy.deepcopy(before)
    after = with_hooks(before, registration.hooks(PROGRAM, choice))
    assert ordered(without_hooks(after)) == ordered(before) == ordered(untouched)


@given(before=settings(own_entries | st.just(OURS)))
def test_hooks_are_there_once_however_often_and_from_where_they_are_put_in(before: dict[str, Any]) -> None:
    hooks = registration.hooks(PROGRAM)
    after = with_hooks(before, hooks)
    assert ordered(with_hooks(after, hooks)) == ordered(after)
    found = [(event, group, entry) for event, group, entry in settings_file.entries(after) if is_ours(entry)]
    assert sorted(event for event, *_ in found) == sorted(hooks)
    for event, group, entry in found:
        assert entry == hooks[event][0]["hooks"][0]
        assert settings_file.has_matcher(group, hooks[event][0].get("matcher"))
    assert own(after) == own(before)
    assert own(without_hooks(after)) == own(before)
    assert not any(is_ours(entry) for *_, entry in settings_file.entries(without_hooks(after)))


def test_ours_are_replaced_in_place_in_a_group_with_theirs() -> None:
    before = {"hooks": {"Stop": [{"hooks": [THEIRS, OURS, {**THEIRS, "command": "b"}]}], "PreToolUse": []}}
    after = with_hooks(before, registration.hooks("/new/otel-tracker"))
    (group,) = after["hooks"]["Stop"]
    assert [entry["command"] for entry in group["hooks"]] == ["say done", "/new/otel-tracker", "b"]
    assert list(after["hooks"])[:2] == ["Stop", "PreToolUse"]


def test_ours_with_another_matcher_or_at_another_event_are_moved() -> None:
    theirs = {"matcher": "Bash", "hooks": [THEIRS, OURS]}
    before = {
        "hooks": {"PreToolUse": [theirs, {"matcher": "Agent", "hooks": [OURS]}], "PreCompact": [{"hooks": [OURS]}]}
    }
    after = with_hooks(before, registration.hooks("otel-tracker"))
    assert after["hooks"]["PreToolUse"] == [
        {"matcher": "Bash", "hooks": [THEIRS]},
        *registration.hooks("otel-tracker")["PreToolUse"],
    ]
    assert "PreCompact" not in after["hooks"]


def test_empty_containers_that_were_there_stay_without_hooks() -> None:
    cases: list[Any] = [{}, {"Stop": []}, {"Stop": [{"hooks": []}]}, None]
    for before in [{}, *({"hooks": case} for case in cases)]:
        assert without_hooks(before) == before


# Settings, as text

layouts = st.sampled_from([None, 2, 4, "\t", 0])


@given(before=settings(own_entries), indent=layouts, end=st.sampled_from(["", "\n"]), is_ascii=st.booleans())
def test_a_text_is_what_it_was_after_a_change_and_its_opposite(
    before: dict[str, Any], indent: "int | str | None", end: str, is_ascii: bool
) -> None:
    text = json.dumps(before, indent=indent, ensure_ascii=is_ascii) + end
    hooks = registration.hooks(PROGRAM)
    changed = settings_text.changed(text, "hooks", hooks)
    assert settings_text.parsed(changed) == {**before, "hooks": hooks}
    assert changed.endswith(end)
    if "hooks" not in before:
        assert settings_text.changed(changed, "hooks", None) == text
    assert settings_text.parsed(settings_text.changed(text, "hooks", before.get("hooks"))) == before


def test_only_the_hooks_of_a_file_are_laid_out_anew(user: Path, run: Run) -> None:
    text = '\ufeff{\r\n\t"env": {"A":"ä",  "B": 1e3},\r\n\t"hooks": {},\r\n\t"allow": ["a", "b"]\r\n}'
    put(user, text)
    assert run("install")[0] == 0
    head, tail = text.split('"hooks": {}')
    after = user.read_bytes().decode()
    assert after.startswith(head)
    assert after.endswith(tail)
    assert after.count("\n") == after.count("\r\n")
    assert '\r\n\t\t"PreToolUse": [\r\n\t\t\t{' in after


def test_halves_of_letters_stay_escapes(user: Path, run: Run) -> None:
    put(user, '{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "\\ud800 é"}]}]}}')
    assert run("install")[0] == 0
    assert "\\ud800 é" in user.read_text()
    assert hooks_of(user)["Stop"][0]["hooks"][0]["command"] == "\ud800 é"


# The commands


def test_install_registers_the_program_and_makes_the_home(user: Path, run: Run) -> None:
    status, out, _ = run("install")
    assert status == 0
    assert gate_of(user) == {"type": "command", "command": PROGRAM, "args": ["claude-code", "hook"], "timeout": 5}
    assert os.access(PROGRAM, os.X_OK)
    assert (user.parent / "agents" / "config" / "circuit-breaker.json").exists()
    assert stat.S_IMODE(user.stat().st_mode) == 0o600
    assert user.read_text().endswith("}\n")
    assert f"settings: {user} (new)\nhooks:    10 registered, 10 of them new\n" in out
    assert "undo:     otel-tracker claude-code uninstall\n" in out
    assert backups_of(user) == []


def test_install_keeps_what_the_user_has_and_makes_a_backup_of_the_same_mode(user: Path, run: Run) -> None:
    text = json.dumps({"model": "opus", "hooks": {"Stop": [{"hooks": [THEIRS]}]}}, indent=4)
    put(user, text).chmod(0o640)
    status, out, _ = run("install", "--user", "--gate")
    assert status == 0
    assert "hooks:    10 registered, 10 of them new; 1 of your own, which stay as they are\n" in out
    backup = user.parent / "settings.json.before-otel-tracker.1"
    assert f"backup:   {backup}\n" in out
    assert backup.read_text() == text
    assert [stat.S_IMODE(path.stat().st_mode) for path in (user, backup)] == [0o640, 0o640]
    assert hooks_of(user)["Stop"][0] == {"hooks": [THEIRS]}
    assert run("uninstall")[0] == 0
    assert user.read_text() == text
    assert len(backups_of(user)) == 2


def written(path: Path) -> tuple[int, ...]:
    """Return what tells whether a file was written to; reading it changes when it was last read."""
    status = path.stat()
    return status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def test_a_second_install_writes_nothing(user: Path, run: Run) -> None:
    run("install")
    before = written(user)
    status, out, _ = run("install")
    assert status == 0
    assert f"settings: {user} (as it was)\nhooks:    10 registered, 0 of them new\n" in out
    assert written(user) == before
    assert backups_of(user) == []


def test_a_dry_run_shows_the_difference_and_writes_nothing(user: Path, run: Run, tmp_path: Path) -> None:
    put(user, '{"model": "opus"}')
    before = {path: written(path) for path in tmp_path.rglob("*")}
    status, out, _ = run("install", "--dry-run")
    assert status == 0
    assert out.startswith(f"--- {user}\n+++ {user}\n")
    assert '-{"model": "opus"}\n\\ No newline at end of file\n+{"model": "opus", "hooks": {"PreToolUse"' in out
    assert run("uninstall", "--dry-run") == (0, f"{user} would stay as it is\n", "")
    assert {path: written(path) for path in tmp_path.rglob("*")} == before


def test_uninstall_removes_ours_alone_and_says_so(user: Path, run: Run) -> None:
    put(user, json.dumps({"hooks": {"Stop": [{"hooks": [THEIRS, OURS]}], "Setup": [{"hooks": [OURS]}]}, "a": 1}))
    status, out, _ = run("uninstall")
    assert status == 0
    assert "hooks:    2 removed\n" in out
    assert "with all that was recorded" in out
    assert json.loads(user.read_text()) == {"hooks": {"Stop": [{"hooks": [THEIRS]}]}, "a": 1}
    assert "there were none of ours" in run("uninstall")[1]


def test_uninstall_without_a_file_makes_none(user: Path, run: Run) -> None:
    assert run("uninstall")[0] == 0
    assert not user.exists()


def test_the_home_and_the_gate_that_were_chosen_are_in_the_arguments(
    user: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("install", "--no-gate", "--home", str(tmp_path / "fleet"))
    assert gate_of(user)["args"] == ["claude-code", "hook", "--home", str(tmp_path / "fleet"), "--no-gate"]
    assert (tmp_path / "fleet" / "config" / "circuit-breaker.json").exists()
    assert f"kept:     {tmp_path / 'fleet'}, with all" in run("uninstall")[1]
    monkeypatch.setenv("OTEL_TRACKER_HOME", "../other")
    run("install", "--fail-closed")
    assert gate_of(user)["args"] == ["claude-code", "hook", "--home", str(tmp_path / "other"), "--fail-closed"]
    assert gate_of(user)["onFailure"] == "block"
    monkeypatch.setenv("OTEL_TRACKER_HOME", "~/.claude/agents/")
    run("install")
    assert gate_of(user)["args"] == ["claude-code", "hook"]


def test_a_projects_settings_name_the_program_and_a_home_that_every_user_has(
    user: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.path.dirname(PROGRAM))
    status, out, _ = run("install", "--project", "--home", "~/fleet")
    assert status == 0
    path = tmp_path / "project" / ".claude" / "settings.json"
    assert gate_of(path)["command"] == "otel-tracker claude-code hook --home '~/fleet'"
    assert "args" not in gate_of(path)  # other programs that read the file leave them out
    assert "undo:     otel-tracker claude-code uninstall --project\n" in out
    assert "note:" not in out
    assert not user.exists()
    assert run("uninstall", "--project")[0] == 0
    assert path.read_text() == "{}\n"


@pytest.mark.processes
def test_a_projects_hooks_are_silent_where_copilot_calls_them_and_answer_where_claude_code_does(
    run: Run, tmp_path: Path
) -> None:
    home = tmp_path / "a home"
    assert run("install", "--project", "--home", str(home))[0] == 0
    MetricTracker(home / "config" / "circuit-breaker.json").register_agent("coder", "core/coder.md")
    assert main(["breaker", "core/coder.md", "open", "--home", str(home)]) == 0
    command = gate_of(tmp_path / "project" / ".claude" / "settings.json")["command"]
    payload: dict[str, Any] = {"hook_event_name": "PreToolUse", "session_id": "s", "cwd": "/", "tool_name": "Agent"}
    payload |= {
        "transcript_path": str(tmp_path / "s.jsonl"),
        "tool_use_id": "t",
        "tool_input": {"subagent_type": "coder"},
    }
    known = {name: value for name, value in os.environ.items() if name not in ("COPILOT_CLI", "CLAUDE_PID")}

    def called(**environment: str) -> tuple[int, bytes, bytes]:
        done = subprocess.run(  # noqa: S602 - as both programs call it
            command,
            shell=True,
            input=json.dumps(payload).encode(),
            env=known | environment,
            capture_output=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    assert called(COPILOT_CLI="1", CLAUDE_PROJECT_DIR=str(tmp_path)) == (0, b"", b"")
    assert not (home / "claude-code" / "hook.log").exists()
    of_claude_code: list[dict[str, str]] = [{}, {"COPILOT_CLI": "1", "CLAUDE_PID": "1"}]
    for environment in of_claude_code:
        status, out, _ = called(**environment)
        assert (status, b'"deny"' in out) == (0, True)


def test_a_projects_settings_name_a_place_where_path_has_no_program(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    status, out, _ = run("install", "--project")
    assert status == 0
    assert (
        gate_of(tmp_path / "project" / ".claude" / "settings.json")["command"]
        == f"{shlex.quote(PROGRAM)} claude-code hook"
    )
    assert "note:     other users of this file need otel-tracker at that place" in out


def test_install_says_where_else_the_hooks_are_registered(user: Path, run: Run) -> None:
    put(user, json.dumps({"enabledPlugins": {"otel-tracker@otel-tracker": True, "other@x": True}}))
    out = run("install", "--project")[1]
    assert (
        "the plugin otel-tracker@otel-tracker, too; once is enough: /plugin uninstall otel-tracker@otel-tracker" in out
    )
    out = run("install")[1]
    assert "too; once is enough: otel-tracker claude-code uninstall --project\n" in out


def test_another_folder_of_claude_codes_is_respected(
    user: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "elsewhere"))
    assert run("install")[0] == 0
    assert gate_of(tmp_path / "elsewhere" / "settings.json")["command"] == PROGRAM
    assert not user.exists()


def test_without_a_program_nothing_is_registered(
    user: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    status, _, err = run("install")
    assert status == 1
    assert f"there is no program otel-tracker in {tmp_path} nor in PATH" in err
    assert not user.parent.exists()


def test_a_gate_that_is_left_out_cannot_fail_closed(user: Path, run: Run) -> None:
    assert run("install", "--no-gate", "--fail-closed")[0] == 2
    assert run("install", "--gate", "--no-gate")[0] == 2
    assert run("install", "--user", "--project")[0] == 2
    assert not user.parent.exists()


# Files that are not as one expects


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1,}', "line 1 column"),
        ('{"a": 1} // mine', "Extra data"),
        ("[]", "expected an object, got []"),
        ('{"a": 1, "a": 2}', "the key 'a' is there twice"),
        ('{"a": NaN}', "NaN is no JSON"),
        ("[" * 100_000, "not the JSON"),
    ],
)
@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_settings_that_are_not_understood_are_left_alone(
    user: Path, run: Run, text: str, said: str, command: str
) -> None:
    put(user, text)
    status, out, err = run(command)
    assert (status, out) == (1, "")
    assert said in err
    assert err.startswith(f"otel-tracker: cannot use the settings {user}: ")
    assert err.count("\n") == 1
    assert user.read_text() == text
    assert [path.name for path in user.parent.iterdir()] == ["settings.json"]


@pytest.mark.parametrize(("hooks", "said"), DROPPED.values(), ids=DROPPED)
def test_nothing_is_put_into_settings_that_claude_code_drops_whole(user: Path, run: Run, hooks: Any, said: str) -> None:
    put(user, text := json.dumps({"model": "opus", "hooks": hooks}))
    status, out, err = run("install")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert f"cannot use the settings {user}: {said}, for which Claude Code drops the whole file" in err
    assert run("uninstall")[0] == 0
    assert user.read_text() == text
    assert [path.name for path in user.parent.iterdir()] == ["settings.json"]


@pytest.mark.parametrize("hooks", [hooks for hooks, _ in DROPPED.values() if isinstance(hooks, dict)])
def test_hooks_can_be_taken_out_of_settings_that_claude_code_drops_whole(user: Path, run: Run, hooks: Any) -> None:
    assert run("install")[0] == 0
    settings = json.loads(user.read_text())
    for event, groups in hooks.items():
        ours = settings["hooks"].get(event, [])
        settings["hooks"][event] = [*ours, *groups] if isinstance(groups, list) else groups
    user.write_text(json.dumps(settings))
    assert run("uninstall")[0] == 0
    assert json.loads(user.read_text()) == {"hooks": hooks}


def test_a_fault_in_an_entry_of_ours_is_mended_by_installing_again(user: Path, run: Run) -> None:
    assert run("install")[0] == 0
    settings = json.loads(user.read_text())
    settings["hooks"]["Stop"][0]["hooks"][0]["timeout"] = "10"
    user.write_text(json.dumps(settings))
    assert run("install")[0] == 0
    assert gate_of(user)
    assert json.loads(user.read_text())["hooks"]["Stop"][0]["hooks"][0]["timeout"] == 10


def test_events_and_kinds_of_hooks_that_are_not_known_are_left_alone(user: Path, run: Run) -> None:
    own = {"Tomorrow": [{"hooks": [{"type": "telepathy", "to": "all"}]}], "SessionEnd": [{"hooks": []}]}
    put(user, json.dumps({"hooks": own}))
    assert run("install")[0] == 0
    assert run("uninstall")[0] == 0
    assert json.loads(user.read_text())["hooks"] == own


def test_bytes_that_are_no_text_are_left_alone(user: Path, run: Run) -> None:
    put(user, "").write_bytes(b'{"a": "\xff"}')
    assert run("install")[0] == 1
    assert user.read_bytes() == b'{"a": "\xff"}'


def test_the_newest_three_copies_of_the_settings_are_kept(user: Path, run: Run) -> None:
    put(user, "{}")
    theirs = ["settings.json.before-otel-tracker", "settings.json.before-otel-tracker.1.bak", "settings.json.bak"]
    for name in theirs:
        put(user.parent / name, "mine")
    for number in range(12):
        user.write_text(json.dumps({"number": number}))
        run("install")
    copies = [f"settings.json.before-otel-tracker.{number}" for number in (10, 11, 12)]
    assert backups_of(user) == sorted([*theirs, *copies])
    assert [json.loads((user.parent / name).read_text())["number"] for name in copies] == [9, 10, 11]


@pytest.mark.parametrize("text", ["", "\n", "{}", "{ }\n"])
def test_empty_settings_take_the_hooks(user: Path, run: Run, text: str) -> None:
    put(user, text)
    assert run("install")[0] == 0
    assert list(hooks_of(user)) == [hook.event for hook in HOOKS]


def test_a_link_is_written_through_and_its_backup_is_beside_it(user: Path, run: Run, tmp_path: Path) -> None:
    real = put(tmp_path / "dotfiles" / "claude.json", '{"model": "opus"}\n')
    user.parent.mkdir(parents=True)
    user.symlink_to(real)
    assert run("install")[0] == 0
    assert user.is_symlink()
    assert gate_of(real)["command"] == PROGRAM
    assert backups_of(user) == ["settings.json.before-otel-tracker.1"]
    assert [path.name for path in real.parent.iterdir()] == ["claude.json"]


def test_a_link_that_leads_nowhere_yet_is_written_through(user: Path, run: Run, tmp_path: Path) -> None:
    user.parent.mkdir(parents=True)
    user.symlink_to(tmp_path / "dotfiles" / "claude.json")
    assert run("install")[0] == 0
    assert user.is_symlink()
    assert gate_of(tmp_path / "dotfiles" / "claude.json")["command"] == PROGRAM


def test_a_file_that_is_read_only_is_not_replaced(user: Path, run: Run) -> None:
    put(user, "{}").chmod(0o444)
    status, _, err = run("install")
    assert status == 1
    assert f"cannot write to {user}: it is read-only" in err
    assert err.endswith("nothing was changed\n")
    assert user.read_text() == "{}"
    assert backups_of(user) == []


def test_a_folder_in_the_place_of_the_settings_is_said_and_left(user: Path, run: Run) -> None:
    user.mkdir(parents=True)
    status, _, err = run("install")
    assert status == 1
    assert f"cannot use the settings {user}: " in err


def test_a_change_of_another_program_meanwhile_is_not_overwritten(user: Path) -> None:
    put(user, "{}")
    change = settings_file.install(settings_file.read(str(user)), registration.hooks(PROGRAM))
    put(user, '{"mine": 1}')
    with pytest.raises(SettingsWriteError, match="another program has changed it meanwhile; run the command again"):
        settings_file.write(change)
    assert user.read_text() == '{"mine": 1}'
    assert backups_of(user) == []
    user.unlink()
    with pytest.raises(SettingsWriteError):
        settings_file.write(change)
    assert not user.exists()


def test_errors_are_errors_of_this_package_with_their_fields() -> None:
    error = SettingsError("/p", "$.hooks", "why")
    assert (error.path, error.json_path, error.reason) == ("/p", "$.hooks", "why")
    assert isinstance(copy.copy(SettingsWriteError("/p", "why", "so")), OSError)


# The hook, as argparse sees it


def test_a_hook_never_ends_with_the_status_that_blocks(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for arguments in (("hook",), ("hook", "--of-a-later-version", "x"), ("hook", "--home"), ("hook", "--home", "")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff no payload")))
        status, out, _ = run(*arguments)
        assert (status, out) == (0, "")
    monkeypatch.setattr(sys, "stdin", None)
    assert run("hook", "--home", str(tmp_path), "--later")[:2] == (0, "")


@pytest.mark.processes
def test_a_claude_code_that_knows_no_arguments_of_hooks_is_not_blocked(user: Path) -> None:
    environment = {**os.environ, "CLAUDE_PROJECT_DIR": "/p"}
    done = subprocess.run(
        [sys.executable, "-m", "otel_tracker"], env=environment, input=b"{}", capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"")


# The plugin


def test_the_plugins_files_are_what_the_table_gives() -> None:
    assert plugin.outdated(plugin.folder()) == []
    root = Path(plugin.folder())
    assert plugin.main(["--check"]) == 0
    assert json.loads((root / "hooks" / "hooks.json").read_text())["hooks"] == registration.hooks("otel-tracker")
    manifest = json.loads((root / ".claude-plugin" / "plugin.json").read_text())
    (entry,) = json.loads((root / ".claude-plugin" / "marketplace.json").read_text())["plugins"]
    assert (entry["name"], entry["source"]) == (manifest["name"], "./")
    assert "!`otel-tracker report`" in (root / "commands" / "agent-metrics.md").read_text()


def test_files_of_the_plugin_that_are_outdated_are_named_and_then_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plugin, "folder", lambda: str(tmp_path))
    assert plugin.main(["--check"]) == 1
    assert capsys.readouterr().out.count("is outdated; run: make plugin\n") == 4
    assert list(tmp_path.iterdir()) == []
    assert plugin.main([]) == 0
    assert plugin.main(["--check"]) == 0
