"""Eight processes ask at the end of a cooldown, at the same instant: one gets the permit, and nobody is stuck."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from otel_tracker import MetricTracker, TaskTracker
from otel_tracker.storage.home import Home
from tests.builders import document_of, text_of

pytestmark = pytest.mark.processes

PROCESSES, ROUNDS = 8, 50
COOLDOWN_SECONDS = 0.01

# Asks for an agent at a moment of the system's monotonic clock, says what came of it, and does as it is told.
_ASKER = """
import sys, time
from otel_tracker import MetricTracker
tracker = MetricTracker(sys.argv[1])
tracker.check_agent_health("core/coder.md")
print("ready", flush=True)
for line in sys.stdin:
    word, *rest = line.split()
    if word == "ask":
        while time.monotonic() < float(rest[1]):
            pass
        said = tracker.try_acquire(rest[0])
        print("permit" if said and said.is_probe else "closed" if said else said.reason, flush=True)
    elif word == "begin":
        said.task().begin()
        print("begun", flush=True)
    elif word == "succeed":
        with said:
            pass
        print("done", flush=True)
"""


class Asker:
    def __init__(self, home: Home) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _ASKER, home.document], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, *words: object) -> None:
        assert self.process.stdin
        print(*words, file=self.process.stdin, flush=True)

    def heard(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def tracker(home: Home, tracker: MetricTracker) -> MetricTracker:
    config = {"failure_threshold": 1, "cooldown_minutes": COOLDOWN_SECONDS / 60}
    tracker.config_file.parent.mkdir(parents=True)
    tracker.config_file.write_bytes(text_of(document_of(**config)))
    return tracker


@pytest.fixture
def askers(home: Home, tracker: MetricTracker) -> Iterator[list[Asker]]:
    running = [Asker(home) for _ in range(PROCESSES)]
    assert [asker.heard() for asker in running] == ["ready"] * PROCESSES
    yield running
    for asker in running:
        asker.kill()


def trip(tracker: MetricTracker, agent: str) -> None:
    with TaskTracker(agent, tracker=tracker) as task:
        task.set_failed("broken")
    wait_for_cooldown(tracker, agent)


def wait_for_cooldown(tracker: MetricTracker, agent: str) -> None:
    while tracker.get_agent_metrics(agent)["state"] == "open":
        time.sleep(COOLDOWN_SECONDS)


def ask_all(askers: list[Asker], agent: str) -> list[str]:
    at = time.monotonic() + 0.02
    for asker in askers:
        asker.tell("ask", agent, at)
    return [asker.heard() for asker in askers]


def test_in_each_of_fifty_rounds_exactly_one_of_eight_processes_gets_the_permit(
    tracker: MetricTracker, askers: list[Asker]
) -> None:
    for number in range(ROUNDS):
        agent = f"agents/{number}.md"
        trip(tracker, agent)
        said = ask_all(askers, agent)
        assert sorted(said) == ["a probe is running"] * (PROCESSES - 1) + ["permit"]
        holder = askers[said.index("permit")]
        holder.tell("succeed")
        assert holder.heard() == "done"
        row = tracker.get_agent_metrics(agent)
        assert (row["state"], row["circuit"]["permit"], row["tallies"]["rejected"]) == ("closed", None, PROCESSES - 1)
    granted = [entry for entry in tracker.get_history(limit=10_000) if entry["action"] == "probe_granted"]
    assert len(granted) == len({entry["permit"] for entry in granted}) == ROUNDS


def test_when_the_holder_is_killed_before_its_task_the_next_one_that_asks_gets_the_permit(
    tracker: MetricTracker, askers: list[Asker]
) -> None:
    trip(tracker, "a.md")
    for _ in range(PROCESSES - 1):
        said = ask_all(askers, "a.md")
        assert sorted(said) == ["a probe is running"] * (len(askers) - 1) + ["permit"]
        askers.pop(said.index("permit")).kill()
    assert ask_all(askers, "a.md") == ["permit"]


def test_when_the_holder_is_killed_in_its_task_the_breaker_reopens_and_the_cooldown_after_it_has_its_own_probe(
    tracker: MetricTracker, askers: list[Asker]
) -> None:
    trip(tracker, "a.md")
    said = ask_all(askers, "a.md")
    holder = askers.pop(said.index("permit"))
    holder.tell("begin")
    assert holder.heard() == "begun"
    holder.kill()
    askers[0].tell("ask", "a.md", 0)
    assert askers[0].heard() == "2 failures in a row"
    wait_for_cooldown(tracker, "a.md")
    assert sorted(ask_all(askers, "a.md")) == ["a probe is running"] * (len(askers) - 1) + ["permit"]
    assert tracker.get_agent_metrics("a.md")["circuit"]["reopenings"] == 1
