"""Homes with a past that ends now, for the page in a browser."""

import time
from typing import Any

from otel_tracker import names
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state import event
from otel_tracker.state.shapes import Event
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store

SESSION = "5f0c7a9e"
TESTER, CODER, IDLE = "core/tester.md", "core/coder.md", "core/idle.md"
ERROR = "<script>window.broken = 1</script> \"'\u202egnp"
_HOUR, _DAY = 3600.0, 86_400.0


def ended(run_id: str, agent: str, outcome: str, ago: float, **known: Any) -> Event:
    """Return the end of a run of 90 seconds so many seconds ago, of 2,000 tokens for a cent."""
    at = time.time() - ago
    seconds = known.pop("seconds", 90.0)
    tokens = {"input": 500, "output": 300, "cache_read": 1200, names.COST: 10_000, names.PRICED: 2000}
    known = {"model": "sonnet", "models": {"claude-sonnet-5": tokens}, "tokens": tokens, **known}
    started = format_timestamp(at - seconds)
    return event.task_ended(agent, outcome, at, run_id=run_id, started=started, duration_seconds=seconds, **known)


def fill(home: Home, agents: int) -> None:
    """Give a home so many agents, the first ones in trouble, in a session, or idle, the others with a few runs."""
    store = Store(home)
    of_session = {"conversation_id": SESSION, "project": "/src/shop"}
    usage = {"claude-opus-5": {"input": 10, "output": 90, names.COST: 500_000, names.PRICED: 100}}
    main = event.happened(names.USAGE_RECORDED, time.time() - 100, **of_session, models=usage)
    store.record(
        [
            event.happened(names.AGENT_REGISTERED, time.time(), agent=IDLE, name="Idle"),
            *(ended(f"t{number}", TESTER, names.FAILURE, 60 - number, error=ERROR) for number in range(5)),
            ended("outer", CODER, names.SUCCESS, _HOUR, seconds=600.0, **of_session),
            ended(
                "inner",
                "Explore",
                names.FAILURE,
                _HOUR + 200,
                parent_run_id="outer",
                error="exit status 1",
                **of_session,
            ),
            ended("later", CODER, names.SUCCESS, _HOUR - 200, **of_session),
            {**main, "started": format_timestamp(time.time() - 2 * _HOUR)},
            ended("old", CODER, names.SUCCESS, 20 * _DAY),
            *(
                ended(f"r{number}-{run}", f"experts/expert_{number:03}.md", names.SUCCESS, _DAY + run * _HOUR)
                for number in range(agents - 4)
                for run in range(3)
            ),
            event.task_started(CODER, time.time() - 30, run_id="running", model="sonnet", task_id=None, owner=None)
            | of_session,
        ]
    )
