"""`otel-tracker demo`: a small fleet with a past of two weeks in a home of its own, today's tasks recorded through real spans."""

import asyncio
import os
import tempfile
import time

from otel_tracker.cli.demo_past import past
from otel_tracker.cli.status import show
from otel_tracker.cli.terminal import plain
from otel_tracker.errors import InvalidValueError, command
from otel_tracker.storage.home import Home
from otel_tracker.storage.price_file import cost_in
from otel_tracker.storage.store import Store
from otel_tracker.tracking.metric_tracker import MetricTracker
from otel_tracker.tracking.task import TaskTracker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

_EXPERT = "experts/database_expert.md"
_AGENTS = {
    "Coder": "core/coder.md",
    "Reviewer": "core/reviewer.md",
    "Documenter": "core/documenter.md",
    "Database Expert": _EXPERT,
    "Tester Expert": "experts/tester_expert.md",
}
_WORK_SECONDS = 0.02


def demo(options: "Namespace") -> int:
    """Record the fleet's tasks, and print the report and where the document is."""
    home = Home(options.into or options.home or os.path.join(tempfile.mkdtemp(prefix="otel-tracker-demo-"), "agents"))
    if os.path.exists(home.document):
        raise InvalidValueError("the demo's home", home.folder, "a folder without a document")
    tracker = MetricTracker(home.document)
    for name, agent in _AGENTS.items():
        tracker.register_agent(name, agent)
    store = Store(home)
    store.record(past(time.time(), cost_in(home)))
    _succeed(tracker)
    _fail_now_and_then(tracker)
    asyncio.run(_cancel(tracker))
    _trip(tracker)
    _fall_back(tracker)
    show(store, is_whole=False)
    print(f"\nThe document is {plain(home.document)}")
    for what, name in (("All of it as a page", "serve"), ("What it cost", "usage"), ("As a report", "report")):
        print(f"{what}: {plain(command(name, home=home.option))}")
    return 0


def _succeed(tracker: MetricTracker) -> None:
    """Run two agents that succeed, one inside the other."""
    for number in range(6):
        with TaskTracker("core/coder.md", model="sonnet", task_id=f"feature-{number}", tracker=tracker) as task:
            with TaskTracker("core/reviewer.md", model="opus", tracker=tracker) as review:
                time.sleep(_WORK_SECONDS)
                review.set_model("claude-opus-5")
                review.set_usage(input_tokens=600, output_tokens=300 + 50 * number)
            task.set_model("claude-sonnet-5")
            task.set_usage(input_tokens=400, output_tokens=1100, cache_read_tokens=9000, cache_write_tokens=1500)


def _fail_now_and_then(tracker: MetricTracker) -> None:
    """Run an agent that reports a failure itself."""
    for number in range(4):
        with TaskTracker("experts/tester_expert.md", model="haiku", tracker=tracker) as task:
            time.sleep(_WORK_SECONDS)
            task.set_model("claude-haiku-4-5")
            task.set_usage(input_tokens=250, output_tokens=100)
            if number == 1:
                task.set_failed("2 of 40 tests fail")


async def _cancel(tracker: MetricTracker) -> None:
    """Stop a task while it runs."""

    async def document_everything() -> None:
        async with TaskTracker("core/documenter.md", model="sonnet", tracker=tracker):
            await asyncio.sleep(60)

    running = asyncio.create_task(document_everything())
    await asyncio.sleep(_WORK_SECONDS)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def _trip(tracker: MetricTracker) -> None:
    """Run an agent that fails until its breaker opens."""
    attempts = 0
    while tracker.check_agent_health(_EXPERT):
        attempts += 1
        try:
            with TaskTracker(_EXPERT, model="opus", tracker=tracker) as task:
                task.set_model("claude-opus-5")
                task.set_usage(input_tokens=1500, output_tokens=500)
                _query_the_database()
        except ConnectionError:
            continue
    print(f"{_EXPERT} failed {attempts} times in a row and is blacklisted.")


def _fall_back(tracker: MetricTracker) -> None:
    """Ask for the agent that has failed, and let another one do its work."""
    answer = tracker.try_acquire(_EXPERT)
    if not answer:
        print(f"Its next task is refused until {answer.until} ({answer.reason}).")
    chosen = tracker.select_agent(_EXPERT, fallbacks=["core/coder.md"])
    with TaskTracker(chosen.agent_file, model="opus", fallback_for=chosen.fallback_for, tracker=tracker) as task:
        task.set_model("claude-opus-5")
        task.set_usage(input_tokens=600, output_tokens=2000)
    print(f"{chosen.agent_file} has done its work.\n")


def _query_the_database() -> None:
    raise ConnectionError("database is locked")
