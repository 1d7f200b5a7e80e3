"""Help, suggestions, completion and the man page."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import MetricTracker, integrations
from otel_tracker.cli import guide
from otel_tracker.cli.parser import parse, parser
from otel_tracker.names import VERSION
from otel_tracker.storage.home import Home
from tests.shown import Run
from tools import man

ROOT = parser()
COMMANDS = {command.prog.partition(" ")[2]: command for command in man.commands(ROOT)}


def test_every_command_is_in_one_group_of_the_help() -> None:
    grouped = [name for names in guide.GROUPS.values() for name in names]
    assert len(grouped) == len(set(grouped))
    assert {name.partition(" ")[0] for name in COMMANDS} == {*grouped, *integrations.NAMES}
    shown = ROOT.format_help()
    for name in COMMANDS:
        top = name.partition(" ")[0]
        assert (f"\n  {name if top in integrations.NAMES else top} " in shown) == (not name.endswith(" hook"))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_examples_that_are_right(name: str) -> None:
    shown = COMMANDS[name].format_help().partition("example")[2].splitlines()[1:]
    assert shown
    for line in shown:
        command = re.split(r" [>&<] | && |\)\"$", line.partition("otel-tracker ")[2])[0]
        assert getattr(parse(shlex.split(command)), "command", None) is not None, line


def test_the_program_alone_prints_help_that_fits_a_terminal(run: Run) -> None:
    status, out, _ = run()
    assert status == 0
    assert out.startswith("usage: otel-tracker [--home DIR] COMMAND ...")
    assert max(map(len, out.splitlines())) <= 80
    for name in guide.GROUPS["look"]:
        assert f"\n  {name} " in out


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ("stauts", "status"),
        ("claude-code instal", "install"),
        ("breaker a.md opne", "open"),
        ("status --fromat json", "--format"),
        ("report --format=mardown", "markdown"),
    ],
)
def test_a_typing_error_gets_a_suggestion(run: Run, arguments: str, meant: str) -> None:
    status, _, said = run(*arguments.split())
    assert status == 2
    assert said.endswith(f"; did you mean {meant}?\n")


@pytest.mark.parametrize("arguments", ["nothing-like-it", "status --xyzzy"])
def test_what_is_like_nothing_gets_none(run: Run, arguments: str) -> None:
    status, _, said = run(*arguments.split())
    assert (status, "did you mean" in said) == (2, False)


def test_the_version_has_a_short_option(run: Run) -> None:
    assert run("-V")[:2] == (0, f"otel-tracker {VERSION}\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(run: Run, shell: str) -> None:
    status, out, _ = run("completion", shell)
    assert (status, "_ARGCOMPLETE" in out) == (0, True)
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=out, text=True, check=True)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("otel-tracker stat", ["status"]),
        ("otel-tracker claude-code un", ["uninstall"]),
        ("otel-tracker --home {home} agent core/c", ["core/coder.md"]),
        ("otel-tracker agent --home {home} ", ["core/coder.md", "core/tester.md"]),
        ("otel-tracker agent --home /nowhere/at/all ", []),
        ("otel-tracker breaker --home {home} core/coder.md o", ["open"]),
    ],
)
def test_a_shell_completes_commands_options_and_agents(
    tracker: MetricTracker, home: Home, tmp_path: Path, line: str, completed: list[str]
) -> None:
    for name in ("tester", "coder"):
        tracker.register_agent(name, f"core/{name}.md")
    typed, answer = line.format(home=home.folder), tmp_path / "answer"
    variables = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}
    of_shell = {"COMP_LINE": typed, "COMP_POINT": str(len(typed)), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-m", "otel_tracker"], env={**variables, **of_shell}, check=True)
    assert sorted(word.strip() for word in answer.read_text().split("\n") if word) == completed


def test_the_man_page_has_every_command_option_and_description() -> None:
    page = _joined(man.PATH.read_text().replace("\\&", "").replace("\\e", "\\"))
    for name, command in COMMANDS.items():
        assert _joined(f".SS otel-tracker {name}") in page, "make man"
        actions: list[Any] = command._actions
        of_actions = [text for action in actions for text in (*action.option_strings, action.help) if text]
        for text in (str(command.description), *of_actions):
            assert _joined(text) in page, "make man"


def _joined(text: str) -> str:
    """Return a text without what lines are broken at, and what escapes a hyphen."""
    return re.sub(r"\s+|\\?-", "", text)
