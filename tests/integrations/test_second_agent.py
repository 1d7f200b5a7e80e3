"""A second coding agent is a package in `integrations/` and a name: the commands and the doctor find the rest."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from otel_tracker import integrations
from otel_tracker.cli import main
from otel_tracker.integrations.agent_files import agent_files, has_file
from otel_tracker.integrations.claude_code import integration as claude_code
from otel_tracker.integrations.protocol import AddCommand, AddSums, Integration, MakeHome
from otel_tracker.reporting.finding import WRONG, Finding
from otel_tracker.state.shapes import Event, Tokens
from otel_tracker.storage.home import Home
from otel_tracker.storage.port import Port
from otel_tracker.storage.store import Store

if TYPE_CHECKING:
    from argparse import Namespace

_CLAUDE_CODE: Integration = claude_code  # mypy compares the module with the protocol


class _Output:
    """Finds a line `other: TOKENS TOKENS-OF-OUTPUT`."""

    error: str | None = None
    conversation_id: str | None = "of the other agent"
    reported_cost: dict[str, int] | int | None = None

    def __init__(self) -> None:
        self._seen = b""

    def begin(self) -> None:
        self._seen = b""

    def feed(self, chunk: bytes) -> None:
        self._seen += chunk

    def close(self) -> None: ...

    def usage(self, store: Port, began: float) -> tuple[Tokens | None, dict[str, Tokens]]:
        del store, began
        tokens: Tokens = {"input": 3, "output": 4}
        return (tokens, {"other-1": tokens}) if b"other" in self._seen else (None, {})


class _Other:
    """The module `integration` of an agent that is called other."""

    TITLE = "The other agent"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.hooks: list[Sequence[str]] = []

    def add_commands(self, add: AddCommand, add_sums: AddSums, make_home: MakeHome) -> None:
        def install(options: "Namespace") -> int:
            sys.stdout.write(make_home(Store(Home(options.home))))
            return 0

        add("install", "make a home", install).add_argument("--twice", action="store_true")
        add("hook", "what the other agent calls", lambda _: 0)

    def run_hook(self, arguments: Sequence[str]) -> bool:
        self.hooks.append(arguments)
        return True

    def is_calling(self) -> bool:
        return False

    def output(self) -> _Output:
        return _Output()

    def findings(self, home: Home) -> Iterator[Finding]:
        yield Finding("other agent", WRONG, f"keeps nothing in {home.of_integration('other-agent')}")

    def waiting(self, home: Home) -> str | None:
        return f"the other agent has a past, too, unlike {home.folder}"

    def transcript_of(self, event: Event) -> str | None:
        return f"/other/{event['agent_id']}" if event.get("agent_id") else None

    def agent_folders(self) -> list[str]:
        return [str(self._folder)]


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> _Other:
    package, module = (ModuleType(name) for name in ("other_agent", "integration"))
    agent = _Other(tmp_path / "agents of the other")
    _: Integration = agent  # mypy compares it with the protocol, too
    for name in (
        "TITLE",
        "add_commands",
        "run_hook",
        "is_calling",
        "output",
        "findings",
        "waiting",
        "transcript_of",
        "agent_folders",
    ):
        setattr(module, name, getattr(agent, name))
    monkeypatch.setattr(package, "integration", module, raising=False)
    monkeypatch.setitem(sys.modules, f"{integrations.__name__}.other_agent", package)
    monkeypatch.setitem(sys.modules, f"{integrations.__name__}.other_agent.integration", module)
    monkeypatch.setattr(integrations, "other_agent", package, raising=False)
    monkeypatch.setattr(integrations, "NAMES", (*integrations.NAMES, "other-agent"))
    return agent


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(*arguments: str) -> tuple[int, str]:
        status = main(arguments)
        return status, capfd.readouterr().out

    return call


def test_its_commands_are_in_the_help_and_run(
    other: _Other, run: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    assert "The other agent" in run("--help")[1]
    status, text = run("other-agent", "install", "--twice", "--home", str(home))
    assert (status, (home / "journal").is_dir()) == (0, True)
    assert f"home:     {home}" in text


def test_its_hook_is_called_without_argparse(other: _Other, run: Callable[..., tuple[int, str]]) -> None:
    assert run("other-agent", "hook", "--odd") == (0, "")
    assert [tuple(arguments) for arguments in other.hooks] == [("--odd",)]


def test_the_doctor_asks_it(other: _Other, run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    status, text = run("--home", str(tmp_path), "doctor", "--format", "json")
    finding = next(each for each in json.loads(text)["findings"] if each["topic"] == "other agent")
    assert (status, finding["text"]) == (1, f"keeps nothing in {tmp_path}/other-agent")


def test_the_output_of_a_command_is_read_by_the_agent_that_wrote_it(
    other: _Other, run: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    run("--home", str(home), "init")
    run("--home", str(home), "exec", "a.md", "--", "echo", "other")
    history = json.loads(run("--home", str(home), "history", "--format", "json")[1])
    assert history[0]["models"] == {"other-1": {"input": 3, "output": 4}}
    assert history[0]["conversation_id"] == "of the other agent"


def test_a_status_without_tasks_tells_of_its_past(
    other: _Other, run: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    status, shown = run("status")
    assert status == 0
    assert "the other agent has a past, too, unlike" in shown


def test_its_agents_have_their_files_and_its_folder_of_a_home_holds_no_agents(other: _Other, tmp_path: Path) -> None:
    home = Home(str(tmp_path / "home"))
    for folder, name in ((home.folder, "own.md"), (home.of_integration("other-agent"), "note.md")):
        os.makedirs(folder)
        Path(folder, name).write_text("---\nname: x\n---\n")
    (tmp_path / "agents of the other").mkdir()
    (tmp_path / "agents of the other" / "its.md").write_text("")
    assert [key for key, _ in agent_files(home.folder)] == ["own.md"]
    assert [has_file(key, home) for key in ("own.md", "its.md", "nobodys.md", "no-file")] == [True, True, False, None]
