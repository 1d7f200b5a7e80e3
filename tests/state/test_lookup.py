"""Which agent a text means, in every command and in the API's look-ups."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import (
    AgentBlacklistedError,
    AmbiguousAgentError,
    MetricTracker,
    Permit,
    Rejection,
    TaskTracker,
    UnknownAgentError,
)
from otel_tracker.state.document import Document
from otel_tracker.state.lookup import all_keys, key_of, keys_of, similar
from otel_tracker.storage.home import Home
from tests.builders import document_of
from tests.shown import Run

CODER, EXPERT = "core/coder.md", "experts/database_expert.md"


def document(*keys: str, **called: str) -> Document:
    """Return a document with agents, some of which have a name: by their stem."""
    agents = {key: {"name": name} for key in keys for stem, name in called.items() if stem in key}
    return document_of({"agents": {**{key: {} for key in keys}, **agents}})


@pytest.mark.parametrize(
    "text",
    [
        EXPERT, "Database Expert (GUI)", "database_expert", "database-expert", "Database Expert", "DATABASE_EXPERT.md",
        "experts/database_expert", "./experts/database_expert.md", "experts\\database-expert.MD", "database-expert-(gui)",
    ],
)  # fmt: skip
def test_an_agent_is_meant_by_its_key_its_name_and_its_stem(text: str) -> None:
    assert key_of(document(CODER, EXPERT, database_expert="Database Expert (GUI)"), text) == EXPERT


@pytest.mark.parametrize(
    "text", ["", "expert", "database", "core", "coder.md.md", "x/coder.md", "core/database_expert.md"]
)
def test_what_no_agent_is_called_means_none(text: str) -> None:
    assert key_of(document(CODER, EXPERT), text) is None


def test_the_closest_match_wins() -> None:
    keys = ("coder", CODER, "a/Coder.md", "b/x.md", "c/y.md")
    agents = document(*keys, x="tester", y="Tester")
    assert key_of(agents, "coder") == "coder"  # a key before all else
    assert key_of(agents, "Coder") == "a/Coder.md"  # to the letter before any other way to write it
    assert key_of(agents, "tester") == "b/x.md"
    assert key_of(document(CODER, "b/x.md", x="coder"), "coder") == "b/x.md"  # a name before a file's stem


def test_what_several_are_called_is_an_error_that_lists_them() -> None:
    agents = document(CODER, "experts/coder.md", "a.md", "b.md", b="X", a="x")
    with pytest.raises(AmbiguousAgentError, match=r"it may be core/coder\.md, experts/coder\.md") as caught:
        key_of(agents, "coder")
    assert caught.value.candidates == (CODER, "experts/coder.md")
    assert isinstance(caught.value, KeyError)
    assert keys_of(agents, "CODER") == [CODER, "experts/coder.md"]
    assert keys_of(agents, "x ") == ["a.md", "b.md"]


def test_an_old_key_means_the_agent_that_has_another_one_now() -> None:
    renamed = document_of({"agents": {CODER: {}, EXPERT: {}}, "renamed": {"coder": EXPERT}})
    assert key_of(renamed, "coder") == EXPERT
    assert all_keys(renamed, "coder") == all_keys(renamed, "Database-Expert") == {EXPERT, "coder"}
    assert all_keys(renamed, "nobody") == {"nobody"}


def test_a_misspelt_key_is_like_a_known_one_and_a_numbered_one_is_not() -> None:
    agents = document(CODER, "experts/worker-1.md", "a.md", CODER)
    assert similar(agents, "core/codr.md", 0.85) == [CODER]
    assert similar(agents, "coder") == similar(agents, "experts/coder.md") == [CODER]
    for text in (CODER, "experts/worker-2.md", "b.md", "core/documenter.md", "core/", "___", ""):
        assert similar(agents, text, 0.85) == []


@pytest.fixture
def fleet(tracker: MetricTracker) -> MetricTracker:
    """A home in which the coder is blacklisted, and two agents share a stem."""
    tracker.register_agent("Head Coder", CODER)
    tracker.register_agent("DB", "a/db.md")
    tracker.register_agent("Other DB", "b/db.md")
    for _ in range(5):
        with TaskTracker(CODER, tracker=tracker) as task:
            task.set_failed("broken")
    return tracker


@pytest.mark.parametrize("text", [CODER, "coder", "Head Coder", "head_coder", "Coder.md"])
def test_every_command_finds_the_agent(fleet: MetricTracker, run: Run, text: str) -> None:
    status, out, _ = run("health", text)
    assert (status, out.startswith(f"{CODER}: blacklisted until")) == (1, True)
    facts = json.loads(run("health", text, "--format", "json")[1])
    assert (facts["agent"], facts["is_known"], facts["is_admitted"]) == (CODER, True, False)
    assert run("agent", text)[1].startswith(f"{CODER} (Head Coder)\n")
    assert json.loads(run("history", "--agent", text, "--format", "json")[1])[0]["agent"] == CODER
    assert run("exec", text, "--", "true")[0] == 75
    assert run("config", "set", "failure_threshold", "7", "--agent", text)[0] == 0
    assert fleet.get_agent(CODER)["config"] == {"failure_threshold": 7}
    assert run("breaker", text, "disable")[1].startswith(f"{CODER}: ")
    assert run("reset", text)[1].startswith(f"{CODER}: healthy")
    assert sorted(fleet._read().agents) == ["a/db.md", "b/db.md", CODER]


def test_every_command_refuses_to_choose_between_agents(fleet: MetricTracker, run: Run) -> None:
    for arguments in (["health", "db"], ["agent", "db"], ["reset", "db"], ["breaker", "db", "open"], ["exec", "db", "--", "true"],
                      ["history", "--agent", "db"], ["config", "--agent", "db"], ["exec", CODER, "--fallback", "db", "--", "true"],
                      ["config", "set", "fallbacks", "db", "--agent", CODER]):  # fmt: skip
        status, out, err = run(*arguments)
        assert (status, out) == (3 if arguments[0] == "health" else 1, "")
        assert "it may be a/db.md, b/db.md" in err


@pytest.mark.parametrize("text", ["coder", "Head Coder"])
def test_the_api_looks_agents_up(fleet: MetricTracker, text: str) -> None:
    assert not fleet.check_agent_health(text)
    assert fleet.get_agent_metrics(text)["agent_file"] == CODER
    assert fleet.get_agent(text)["name"] == "Head Coder"
    assert {entry["agent"] for entry in fleet.get_history(text)} == {CODER}
    rejection = fleet.try_acquire(text)
    assert isinstance(rejection, Rejection)
    assert rejection.agent_file == CODER
    assert fleet.select_agent(text, ["Other DB"]) == ("b/db.md", CODER)
    assert fleet.run(text, lambda: 5, retries=0, fallbacks=["DB"]) == 5
    fleet.override_breaker(text, "disabled")
    fleet.reset_agent_failures(text)
    permit = fleet.try_acquire(text)
    assert isinstance(permit, Permit)
    with permit:
        pass
    assert fleet.get_agent(CODER)["metrics"]["tasks_successful"] == 1
    with pytest.raises(AmbiguousAgentError):
        fleet.check_agent_health("db")
    with pytest.raises(UnknownAgentError):
        fleet.get_agent("nobody")


def test_a_task_that_asks_is_one_of_the_agent_that_was_asked(fleet: MetricTracker) -> None:
    with pytest.raises(AgentBlacklistedError), TaskTracker("coder", tracker=fleet, enforce=True):
        pass
    fleet.reset_agent_failures(CODER)
    with TaskTracker("coder", tracker=fleet, enforce=True) as task:
        pass
    assert task.agent_file == CODER
    assert "coder" not in fleet._read().agents
    with pytest.raises(AmbiguousAgentError), TaskTracker("db", tracker=fleet, enforce=True):
        pass


def test_fallbacks_of_the_settings_are_looked_up(fleet: MetricTracker, home: Home) -> None:
    value: dict[str, Any] = json.loads(Path(home.document).read_bytes())
    value["agents"][CODER]["config"] = {"fallbacks": ["Other DB"]}
    Path(home.document).write_text(json.dumps(value))
    rejection = fleet.try_acquire(CODER)
    assert isinstance(rejection, Rejection)
    assert rejection.fallback == "b/db.md"


def test_a_new_key_that_is_like_a_known_one_is_said_once_and_recorded(
    fleet: MetricTracker, home: Home, warnings_logged: Callable[[], list[str]]
) -> None:
    for agent in ("core/codr.md", "core/codr.md", "coder", "core/documenter.md", "worker-1", "worker-2", "a/db.md"):
        with TaskTracker(agent, tracker=fleet):
            pass
    said = "core/codr.md is a new agent whose name is like that of core/coder.md; if they are one: otel-tracker agents merge"
    first, second = warnings_logged()
    assert first == f"{said} core/codr.md core/coder.md --home {home.folder}"
    assert second.startswith("coder is a new agent whose name is like that of core/coder.md")
    assert fleet.get_agent("core/codr.md")["metrics"]["tasks_successful"] == 2
    fleet.register_agent("Codher", "core/codher.md")
    assert len(warnings_logged()) == 2


@pytest.mark.processes
@pytest.mark.parametrize("text", [CODER, "Head Coder", "head-coder", "nobody.md"])
def test_health_loads_little_however_an_agent_is_called(fleet: MetricTracker, home: Home, text: str) -> None:
    heavy = "{'opentelemetry', 'argparse', 'typing', 'logging', 'threading', 'difflib', 'shlex'}"
    code = (
        f"import sys; before = set(sys.modules); from otel_tracker.cli import main; main(['health', {text!r}, '--home', "
        f"{home.folder!r}]); print(({heavy} & set(sys.modules)) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
