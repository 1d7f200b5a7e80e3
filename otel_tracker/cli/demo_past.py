"""The past of the demo's fleet: two weeks of made-up runs and conversations, the same ones at each call."""

import random
from datetime import datetime, timedelta
from typing import NamedTuple

from otel_tracker import names
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state.event import task_ended, usage_recorded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tracker.state.prices import Cost
    from otel_tracker.state.shapes import Event, Tokens

DAYS = 14
_PROJECTS = ("~/src/shop", "~/src/shop", "~/src/website", "~/src/warehouse")
_MAIN_MODEL = "claude-opus-5"


class _Habits(NamedTuple):
    """How an agent works: its model, seconds and requests of a run on average, and which of its runs fail, `x`, in turn."""

    model: str
    seconds: float
    requests: int
    outcomes: str
    error: str = ""


FLAPPING, SPENDING = "research/archivist.md", "core/documenter.md"
_FLEET = {
    "Explore": _Habits("claude-haiku-4-5", 40, 6, "."),
    "core/coder.md": _Habits("claude-sonnet-5", 170, 22, "...........x..........-", "exit status 1"),
    "core/planner.md": _Habits("claude-opus-5", 80, 5, "."),
    "core/reviewer.md": _Habits("claude-opus-5", 60, 4, "..............-"),
    "core/tester.md": _Habits("claude-haiku-4-5", 95, 9, ".....x...x..", "2 of 40 tests fail"),
    "experts/database_expert.md": _Habits("claude-opus-5", 120, 8, "......x...", "deadlock detected"),
    FLAPPING: _Habits("claude-haiku-4-5", 25, 3, "xx.xxx.", "no such page"),
    SPENDING: _Habits("claude-sonnet-5", 110, 12, "."),
}
"""The one fails often, but never five times in a row; the other costs several times as much today as on other days."""


def past(now: float, cost: "Cost") -> "list[Event]":
    """Return the events of the two weeks before `now`, in seconds since 1970, oldest first."""
    return sorted(_Past(now, cost).events(), key=lambda event: str(event["timestamp"]))


class _Past:
    def __init__(self, now: float, cost: "Cost") -> None:
        self._now, self._cost, self._random = now, cost, random.Random(7)  # noqa: S311 - to look real, and the same each time
        self._runs = dict.fromkeys(_FLEET, 0)

    def events(self) -> "Iterator[Event]":
        """Yield the events of all conversations, of which there are fewer at weekends."""
        today = datetime.fromtimestamp(self._now).replace(hour=0, minute=0, second=0, microsecond=0)  # noqa: DTZ006
        for days_ago in range(DAYS, -1, -1):
            day = today - timedelta(days=days_ago)
            for number in range(2 if day.weekday() > 4 else 5 if days_ago else 3):
                at = day.timestamp() + (9 + 2 * number + self._random.random()) * 3600
                if days_ago == 0:  # however early in the day the demo is run
                    at = self._now - (3 - number) * 0.25 * min(14_400, self._now - day.timestamp())
                yield from self._conversation(f"{day:%m%d}{number}", at, is_today=days_ago == 0)

    def _conversation(self, name: str, at: float, *, is_today: bool) -> "Iterator[Event]":
        """Yield the runs of a conversation, some of them launched by others, and what its main agent used."""
        project, session = self._random.choice(_PROJECTS), f"demo-{name}"
        began, launcher = at, None
        agents = self._random.sample(sorted(_FLEET), self._random.randint(3, len(_FLEET)))
        if is_today and SPENDING not in agents:
            agents.append(SPENDING)
        for agent in agents:
            end = self._run(agent, at, launcher, session, project, is_today=is_today)
            yield end
            launcher = end["run_id"] if agent == "core/coder.md" else None
            at += self._random.uniform(10, 60)
        models = {_MAIN_MODEL: self._tokens(_MAIN_MODEL, at, 3 + len(agents))}
        yield usage_recorded(session, began, min(at, self._now), models, event_id=f"main {name}", project=project)

    def _run(
        self, agent: str, at: float, launcher: "str | None", session: str, project: str, *, is_today: bool
    ) -> "Event":
        habits, number = _FLEET[agent], self._runs[agent]
        self._runs[agent] += 1
        mark = habits.outcomes[number % len(habits.outcomes)]
        outcome = {".": names.SUCCESS, "x": names.FAILURE, "-": names.CANCELLED}[mark]
        seconds = habits.seconds * self._random.lognormvariate(0, 0.5)
        ended = min(at + seconds, self._now)
        requests = habits.requests * (3 if is_today and agent == SPENDING else 1)
        tokens = self._tokens(habits.model, ended, requests)
        return task_ended(
            agent, outcome, ended, run_id=f"{session} {agent}", started=format_timestamp(ended - seconds),
            duration_seconds=seconds, model=names.model_family(habits.model), tokens=tokens,
            models={habits.model: tokens}, error=habits.error if outcome == names.FAILURE else None,
            conversation_id=session, project=project, parent_run_id=launcher,
        )  # fmt: skip

    def _tokens(self, model: str, at: float, requests: int) -> "Tokens":
        """Return the tokens of requests whose prompts grow, by type, with their cost."""
        total: Tokens = {}
        for number in range(requests):
            one = {
                "input": self._random.randint(5, 60),
                "output": self._random.randint(100, 900),
                "cache_read": 9_000 + 2_500 * number,
                "cache_write": self._random.randint(800, 3_500),
            }
            price = self._cost(model, one, at, speed=None)
            priced = {} if price is None else {names.COST: price, names.PRICED: names.total_tokens(one)}
            total = names.added_tokens(total, {**one, **priced})
        return total
