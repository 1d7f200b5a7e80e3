"""Compares what was recorded with what the story was, and each token with the API's ledger."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from otel_tracker import names
from otel_tracker.state.shapes import Tokens
from tests.real_claude.api import Sent
from tests.real_claude.claude import Claude

TYPES = ("input", "output", "cache_read", "cache_write", "cache_write_1h")


EXACT = "its tokens are those that were sent"
AT_LEAST = "its tokens are fewer than those that were sent, and marked as incomplete"
UNMEASURED = "its tokens can't be found"


class Run(NamedTuple):
    """A run as it is to be recorded: of which agent, by which script, how it ended."""

    agent: str
    mark: str
    outcome: str = names.SUCCESS
    usage: str = EXACT
    also: str = ""
    """The mark of a later prompt to the same agent."""


def assert_recorded(claude: Claude, *runs: Run) -> None:
    """Hold what the home says against `runs`, when all sessions and their hooks have ended; nothing else may be there."""
    claude.until_quiet()
    assert claude.api.errors == []
    assert [line for line in claude.hook_log() if " notice: " not in line] == []
    assert claude.tracker("doctor").splitlines()[-1] == "nothing is wrong"
    document = claude.document()
    assert document.head["in_flight"] == {}
    agents = {key: agent for key, agent in document.agents.items() if agent["metrics"]["tasks_total"]}
    assert {key: _outcomes(agent) for key, agent in agents.items()} == _expected_outcomes(runs)
    for key, agent in agents.items():
        _assert_tokens(agent, [run for run in runs if run.agent == key], claude.api.ledger)
    system = document.head["metrics"]
    for name, of_agent in (
        ("total_requests", "tasks_total"),
        ("successful", "tasks_successful"),
        ("failed", "tasks_failed"),
        ("cancelled", "tasks_cancelled"),
    ):
        assert system[name] == sum(agent["metrics"][of_agent] for agent in document.agents.values())


def _outcomes(agent: Any) -> Counter[str]:
    metrics, lost = agent["metrics"], agent["tallies"]["lost"]
    outcomes = {
        names.SUCCESS: metrics["tasks_successful"],
        names.FAILURE: metrics["tasks_failed"] - lost,
        names.CANCELLED: metrics["tasks_cancelled"],
        names.LOST: lost,
    }
    return +Counter(outcomes)


def _expected_outcomes(runs: tuple[Run, ...]) -> dict[str, Counter[str]]:
    return {key: Counter(run.outcome for run in runs if run.agent == key) for key in {run.agent for run in runs}}


def _assert_tokens(agent: Any, runs: list[Run], ledger: list[Sent]) -> None:
    """Compare an agent's tokens by model and type with the answers that its runs got."""
    incomplete = sum(run.usage == AT_LEAST for run in runs)
    assert agent["tallies"]["usage_incomplete"] == incomplete, agent["tallies"]
    marks = {mark for run in runs if run.usage != UNMEASURED for mark in (run.mark, run.also)}
    sent = [entry for entry in ledger if entry.mark in marks]
    recorded = _recorded(agent)
    if not incomplete:
        assert recorded == _sums(entry for entry in sent if entry.is_whole)
        return
    at_most = _sums(sent)
    assert recorded != at_most
    for model, tokens in recorded.items():
        assert all(tokens[kind] <= at_most[model][kind] for kind in TYPES), (recorded, at_most)


def _recorded(agent: Any) -> dict[str, Tokens]:
    uses = {model: {kind: use.get(kind, 0) for kind in TYPES} for model, use in agent["models"].items()}
    return {model: tokens for model, tokens in uses.items() if any(tokens.values())}


def _sums(sent: Iterable[Sent]) -> dict[str, Tokens]:
    sums: dict[str, Tokens] = {}
    for entry in sent:
        tokens = sums.setdefault(entry.model, dict.fromkeys(TYPES, 0))
        for kind in TYPES:
            tokens[kind] += entry.tokens[kind]
    return sums
