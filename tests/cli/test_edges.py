"""What leaves the package, as people and programs read it: encodings, closed and cut outputs, letters that don't print."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tracker import MetricTracker, TaskTracker
from otel_tracker.cli import main
from otel_tracker.cli.terminal import as_json
from otel_tracker.integrations.claude_code.hooks.hook import hook
from otel_tracker.runtime import log
from otel_tracker.runtime.printable import printable
from otel_tracker.storage.home import Home

HOSTILE = "a\x1b[31m\x07\x7f\x9b2J\u202e\u2066\u200b\u2028\U000e0041b"
READING = (
    ("status",),
    ("report",),
    ("leaderboard",),
    ("tokens",),
    ("history",),
    ("doctor",),
    ("config",),
    ("backups", "list"),
    ("metrics",),
)


def run(home: Home, *arguments: str, redirection: str = "", **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a command in a process of its own; with a redirection by a shell."""
    command = [sys.executable, "-m", "otel_tracker", *arguments, "--home", home.folder]
    if redirection:
        command = ["sh", "-c", f'exec "$@" {redirection}', "sh", *command]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=False)


@pytest.fixture
def two(tracker: MetricTracker) -> MetricTracker:
    """Two agents that differ in a letter outside of ASCII."""
    for agent in ("core/ü.md", "core/ö.md"):
        with TaskTracker(agent, tracker=tracker) as task:
            task.set_failed("ä")
    return tracker


@pytest.fixture
def hostile(tracker: MetricTracker, home: Home) -> str:
    """An agent of an adopted document whose names and texts would move a cursor and turn lines around."""
    key = f"core/{HOSTILE}.md"
    with TaskTracker("core/coder.md", task_id="t", tracker=tracker) as task:
        task.set_failed(f"locked by {HOSTILE}")
    tracker.register_agent("Coder", "core/coder.md")
    tracker.override_breaker("core/coder.md", "forced_open", reason=HOSTILE)
    document = json.loads(Path(home.document).read_text())
    document["agents"][key] = {**document["agents"]["core/coder.md"], "name": f"{HOSTILE}\ud800"}
    Path(home.document).write_text(json.dumps(document))
    return key


@pytest.mark.processes
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
def test_what_programs_read_is_utf_8_in_every_encoding_of_the_terminal(
    two: MetricTracker, home: Home, encoding: str
) -> None:
    labels = run(home, "metrics", PYTHONIOENCODING=encoding).stdout.decode()
    assert all(f'agent="core/{letter}.md"' in labels for letter in "üö")
    for command in ("status", "report"):
        text = run(home, command, "--format", "json", PYTHONIOENCODING=encoding).stdout.decode()
        assert {"core/ü.md", "core/ö.md"} <= set(_texts(json.loads(text)))
    facts = json.loads(run(home, "health", "core/ü.md", "--format", "json", PYTHONIOENCODING=encoding).stdout.decode())
    assert facts["agent"] == "core/ü.md"


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in _texts(part)]
    return [text for part in value for text in _texts(part)] if isinstance(value, list) else [str(value)]


@pytest.mark.processes
@pytest.mark.parametrize("redirection", [">&-", "<&- >&- 2>&-"])
def test_a_closed_output_stops_no_command(two: MetricTracker, home: Home, redirection: str) -> None:
    before = run(home, "history", "--format", "json").stdout
    for command in (*READING, ("report", "--format", "json"), ("init",), ("claude-code", "install", "--dry-run")):
        ended = run(home, *command, redirection=redirection)
        assert (ended.returncode in (0, 1), ended.stderr) == (True, b""), command
    assert run(home, "health", "core/ü.md", redirection=redirection).returncode == 0
    assert (
        run(home, "nonsense", redirection=redirection).returncode
        == run(home, "--help", redirection=redirection).returncode + 2
        == 2
    )
    assert run(home, "exec", "core/ü.md", redirection=redirection).returncode == 2
    after = run(home, "history", "--format", "json").stdout  # no file of ours was taken for the output
    assert json.loads(after) == json.loads(before)


@pytest.mark.processes
def test_an_error_does_not_go_where_the_data_goes(home: Home) -> None:
    ended = run(home, "agent", "nobody.md", "--format", "json", redirection="2>&-")
    assert (ended.returncode, ended.stdout) == (1, b"")


@pytest.mark.processes
@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("report", "--format", "json"),
        ("metrics",),
        ("health", "core/coder.md"),
        ("claude-code", "install"),
    ],
)
def test_a_reader_that_has_seen_enough_ends_a_command_as_sigpipe_does(home: Home, command: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    arguments = [sys.executable, "-u", "-m", "otel_tracker", "--home", home.folder, *command]
    with open(writer, "wb") as cut:
        ended = subprocess.run(arguments, stdout=cut, stderr=subprocess.PIPE, check=False)
        assert (ended.returncode, ended.stderr) == (141, b"")
        both = subprocess.run([*arguments, "--nonsense"], stdout=cut, stderr=cut, check=False)
        assert both.returncode == 2


@pytest.mark.processes
def test_what_was_asked_for_is_done_even_where_no_process_reads_the_output(home: Home, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as cut:
        arguments = [sys.executable, "-u", "-m", "otel_tracker", "--home", home.folder, "claude-code", "install"]
        subprocess.run(arguments, stdout=cut, stderr=subprocess.PIPE, check=False)
    settings = json.loads((Path(os.environ["HOME"]) / ".claude/settings.json").read_text())
    assert "PreToolUse" in settings["hooks"]


def test_no_table_report_or_page_has_letters_that_do_not_print(
    hostile: str, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    of_one = [(command, hostile) for command in ("agent", "breaker", "health")]
    for command in (
        *READING,
        *of_one,
        ("health", f"{hostile}?"),
        ("agent", f"{hostile}?"),
        ("breaker", hostile, "x\x1b"),
    ):
        for form in ((), ("--format", "json")):
            main([*command, "--home", home.folder, *form])
            text = "".join(capsys.readouterr())
            assert text
            assert all(line.isprintable() for line in text.split("\n")), command


@pytest.mark.processes
def test_json_is_the_same_data_with_every_letter_that_does_not_print_escaped(hostile: str, home: Home) -> None:
    agents = json.loads(run(home, "report", "--format", "json").stdout)["agents"]
    assert agents[hostile]["agent_name"] == f"{HOSTILE}\ud800"


@given(st.text())
def test_a_printable_text_is_printable_and_one_that_was_so_stays(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)
    assert (printable(text) == text) == text.isprintable()
    assert json.loads(as_json({text: [text, {"a": text}]})) == {text: [text, {"a": text}]}


@given(st.text(), st.text())
def test_different_texts_stay_different(one: str, other: str) -> None:
    if "\\" not in one + other:
        assert (printable(one) == printable(other)) == (one == other)


def test_neither_log_lines_nor_messages_obey_a_name(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        log.warn("cannot find %s", HOSTILE)
    log.complain(f"cannot find {HOSTILE}")
    assert caplog.messages[0].isprintable()
    assert capsys.readouterr().err.rstrip("\n").isprintable()


def test_claude_reads_a_refusal_without_letters_that_do_not_print(tracker: MetricTracker, home: Home) -> None:
    tracker.register_agent("coder", "core/coder.md")
    tracker.override_breaker("core/coder.md", "forced_open", reason=HOSTILE)
    launch = {
        "session_id": "s",
        "hook_event_name": "PreToolUse",
        "tool_name": "Task",
        "tool_use_id": "toolu_1",
        "tool_input": {"subagent_type": "coder", "prompt": "p"},
    }
    refusal = json.loads(hook(json.dumps(launch).encode(), home.folder))["hookSpecificOutput"]
    assert "\\u001b[31m" in refusal["permissionDecisionReason"]
    assert refusal["permissionDecisionReason"].isprintable()


@pytest.mark.processes
@pytest.mark.parametrize("redirection", ["", ">&-"])
def test_a_report_that_python_prints_needs_neither_an_output_nor_its_letters(
    two: MetricTracker, home: Home, redirection: str
) -> None:
    code = f"from otel_tracker import MetricTracker; MetricTracker({home.document!r}).generate_report('-')"
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-c", code]
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr, "core/?.md" in ended.stdout) == (0, "", not redirection)
