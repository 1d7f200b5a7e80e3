"""Plays a session to the hook, in order or not, and reads what the home's document says of it."""

import json
import os
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from otel_tracker import names
from otel_tracker.integrations.claude_code.hooks.hook import hook
from otel_tracker.state.shapes import Tokens
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.stories.harness import Session, Step
from tests.stories.transcript_of_agent import MODEL, WORK

CODER = "core/coder.md"
IGNORED, COUNTED, RESET = 1, 2, 0  # failures in a row of an agent that had one before
_BY_OUTCOME = {names.SUCCESS: RESET, names.FAILURE: COUNTED, names.CANCELLED: IGNORED, names.LOST: IGNORED}


class Ended(NamedTuple):
    """A run as it is to be counted."""

    outcome: str = names.SUCCESS
    agent: str = CODER
    models: dict[str, Tokens] = {MODEL: WORK}  # noqa: RUF012 - nobody changes it
    failures: "int | None" = None
    is_incomplete: bool = False

    def breaker(self) -> int:
        return _BY_OUTCOME[self.outcome] if self.failures is None else self.failures


class Expected(NamedTuple):
    """What the document says after a session, and where an event is missing without which nobody can know it."""

    runs: list[Ended]
    without: dict[str, list[Ended]] = {}  # noqa: RUF012 - by the event's name
    is_breaker_sure: bool = True
    """Whether the breaker is the same whichever event comes first or not at all."""


Story = Callable[[Session], Expected]
Said = dict[str, Any]
STORIES: dict[str, Story] = {}


def story(tell: Story) -> Story:
    """Add a story to those that are played in order, doubled, shuffled and with each event left out."""
    return named(tell.__name__, tell)


def named(name: str, tell: Story) -> Story:
    STORIES[name] = tell
    return tell


def prepare(home: Path, agents: "Iterable[str]" = (CODER,)) -> None:
    """Make a home whose agents have failed once, and the file of the agent that calls itself `coder`."""
    (home / "config").mkdir(parents=True)
    document = {"version": "7.0", "agents": {agent: {"failures": 1} for agent in agents}}
    (home / "config" / "circuit-breaker.json").write_text(json.dumps(document))
    (home / "core").mkdir()
    (home / CODER).write_text("---\nname: coder\ndescription: writes code\n---\nYou write code.\n")


def write(writes: "Iterable[tuple[Path, str]]") -> None:
    for path, text in writes:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", errors="surrogateescape") as file:
            file.write(text)


def send(payload: Any, home: "Path | str", **options: bool) -> str:
    return hook(json.dumps(payload).encode(), os.fspath(home), **options)


def play(steps: "Iterable[Step]", home: Path) -> None:
    """Send payloads that nobody is to be answered to, each after what is written before it."""
    for step in steps:
        write(step.writes)
        assert send(step.payload, home) == "", step.event


def reconcile(session: Session, home: Path) -> None:
    """End the session, and start another one."""
    later = Session(session.session_id)
    later.is_over()
    play(later.steps, home)
    other = Session()
    other.starts()
    play(other.steps, home)


def resume(session: Session, home: Path) -> None:
    later = Session(session.session_id)
    later.starts("resume")
    play(later.steps, home)


def shuffled(steps: list[Step], seed: int) -> "list[Step]":
    """Return the steps in another order in which each comes after those that it must come after."""
    chance, waiting, order = random.Random(seed), list(range(len(steps))), []  # noqa: S311 - no secret
    while waiting:
        ready = [place for place in waiting if not set(steps[place].after) & set(waiting)]
        order.append(chance.choice(ready))
        waiting.remove(order[-1])
    return [steps[place] for place in order]


def read(home: Path) -> Any:
    return Store(Home(os.fspath(home))).read()


def ends(home: Path) -> list[Any]:
    """Return the history's entries that end a run."""
    return [entry for entry in read(home).history.entries() if entry["action"] in names.OUTCOMES]


def said(home: Path, *, has_breaker: bool = True) -> Said:
    """Return what a home says of its runs, in the shape of `expected`."""
    document, entries = read(home), ends(home)
    assert len({entry["run_id"] for entry in entries}) == len(entries), "a run has ended twice"
    agents = {key: agent for key, agent in document.agents.items() if agent["metrics"]["tasks_total"]}
    system = document.head["metrics"]
    assert system["total_requests"] == sum(agent["metrics"]["tasks_total"] for agent in agents.values())
    assert system["total_requests"] == system["successful"] + system["failed"] + system["cancelled"]
    return {
        "in_flight": len(document.head["in_flight"]),
        "ends": len(entries),
        "log": _errors(home),
        **{key: _agent(agent, has_breaker=has_breaker) for key, agent in agents.items()},
    }


def expected(runs: list[Ended], *, has_breaker: bool = True) -> Said:
    """Return what a home says of `runs`."""
    agents: Said = {}
    for run in runs:
        agent = agents.setdefault(run.agent, _agent(_NOTHING, has_breaker=has_breaker))
        agent[run.outcome] += 1
        agent["incomplete"] += run.is_incomplete
        if has_breaker:
            agent["failures"] = run.breaker()
        for model, tokens in run.models.items():
            for part, key in (("token_usage", names.model_family(model)), ("models", model)):
                use = agent[part].setdefault(key, {"count": 0})
                agent[part][key] = names.added_tokens(use, {**tokens, "count": 1})
    return {"in_flight": 0, "ends": len(runs), "log": [], **agents}


def compare(home: Path, told: Expected, *, has_breaker: bool) -> None:
    """Compare what a home says of its runs with what was told."""
    assert said(home, has_breaker=has_breaker) == expected(told.runs, has_breaker=has_breaker)


_NOTHING: Said = {
    "metrics": {"tasks_successful": 0, "tasks_failed": 0, "tasks_cancelled": 0},
    "tallies": {"lost": 0, "usage_incomplete": 0},
    "token_usage": {},
    "models": {},
    "failures": 0,
}


def _agent(agent: Said, *, has_breaker: bool) -> Said:
    metrics, tallies = agent["metrics"], agent["tallies"]
    summary = {
        names.SUCCESS: metrics["tasks_successful"],
        names.FAILURE: metrics["tasks_failed"] - tallies["lost"],
        names.CANCELLED: metrics["tasks_cancelled"],
        names.LOST: tallies["lost"],
        "incomplete": tallies["usage_incomplete"],
        "token_usage": _tokens(agent["token_usage"]),
        "models": _tokens(agent["models"]),
    }
    return {**summary, "failures": agent["failures"]} if has_breaker else summary


def _tokens(by_model: Said) -> Said:
    """Return the measured tokens by model and type, and of how many runs."""
    kinds = ("count", *names.TOKEN_TYPES)
    return {
        model: {kind: use[kind] for kind in kinds if use.get(kind)} for model, use in by_model.items() if use["total"]
    }


def _errors(home: Path) -> list[str]:
    log = home / "claude-code" / "hook.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [line for line in lines if " error: " in line]


def everything_under(folder: Path, but: "Path | None" = None) -> dict[str, bytes]:
    """Return every file under a folder, with what is in it; `but` is a folder in it that is left out."""
    files = {}
    for inside, folders, file_names in os.walk(folder):
        folders[:] = [name for name in folders if but is None or os.path.join(inside, name) != str(but)]
        for path in (Path(inside, name) for name in file_names):
            files[str(path.relative_to(folder))] = path.read_bytes()
    return files
