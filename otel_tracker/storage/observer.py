"""Events that the store itself finds out about.

They are of settings that were edited by hand, of tasks whose process has ended, of permits that no task has used, and of cooldowns
that were set by a clock that has jumped back since.
"""

import time

from otel_tracker import names
from otel_tracker.runtime import owner
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from otel_tracker.state.breaker import cooldown_after_clock_jump
from otel_tracker.state.circuit import circuit_of
from otel_tracker.state.permission import ended_permit, settings_of_agent
from otel_tracker.state.schema import settings_of
from otel_tracker.state.settings import Settings
from otel_tracker.storage.running import RunningTasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Event


_THOROUGH_SECONDS = 1.0  # between two looks that also notice that another process has got the pid


class Observer:
    """Compares a document with the world around it. The caller must hold the document lock."""

    def __init__(self, clock: "Callable[[], float]") -> None:
        self._clock = clock
        self._looked_at = float("-inf")
        self._is_thorough = True
        self._running = RunningTasks()

    def look(self) -> None:
        """Begin a look around; it is thorough if the last thorough one was a while ago."""
        moment = time.monotonic()
        self._is_thorough = not 0 <= moment - self._looked_at < _THOROUGH_SECONDS
        if self._is_thorough:
            self._looked_at = moment

    def settings(self, document: "Document", later: "list[Event]") -> "list[Event]":
        """Return the event of settings that were edited by hand in the file of `document`; none if the journal has it.

        `later` are the journal's events that the document doesn't hold.
        """
        config, agents = settings_of(document.head)
        change = {"action": names.SETTINGS_CHANGED, "config": config, "agents": agents, "since": document.sequence}
        if any(change == {key: event.get(key) for key in change} for event in later):
            return []
        from otel_tracker.state.event import happened

        return [happened(names.SETTINGS_CHANGED, self._clock(), config=config, agents=agents, since=document.sequence)]

    def lost(self, state: "Document", seen_before: "str | None") -> "list[Event]":
        """Return an event for each running task of `state` whose end no process will see.

        A task without an owner, or whose owner isn't visible from here, is lost after `in_flight_max_hours`: by the clock
        of the boot, which doesn't jump; if it began in another boot, by both the wall clock and the timestamp `seen_before` of an
        event before this transaction.
        """
        tasks = state.head["in_flight"]
        if not tasks:
            return []
        now = self._clock()
        hours = Settings.of(state.config).in_flight_max_hours
        seen = min(now, parse_timestamp(seen_before) if seen_before else 0.0)
        self._running.follow(tasks)
        reasons = self._running.too_old(seen, hours)
        for process, runs in self._running.by_process():
            if self._is_seen_gone(process):
                reasons |= dict.fromkeys(runs, f"its process {process['pid']} has ended without it")
        return [
            self._lost(run_id, tasks[run_id], now, reasons[run_id])
            for run_id in (tasks if reasons else ())
            if run_id in reasons
        ]

    def permits(self, state: "Document") -> "list[Event]":
        """Return an event for each permit that is over because its task has not begun, or has not ended in time."""
        half_open = [key for key, agent in state.agents.items() if agent["status"] == names.STATUSES[names.HALF_OPEN]]
        if not half_open:
            return []
        now = self._clock()
        ended = [(key, ended_permit(state, key, now, self._is_seen_gone)) for key in half_open]
        from otel_tracker.state.event import happened

        return [
            happened(names.PROBE_RETURNED, now, agent=key, permit=permit[0], reason=permit[1])
            for key, permit in ended
            if permit is not None
        ]

    def cooldowns(self, state: "Document") -> "list[Event]":
        """Return an event for each agent whose cooldown was set by a clock that has jumped back since then."""
        blacklisted = [
            (key, agent) for key, agent in state.agents.items() if agent["status"] == names.STATUSES[names.OPEN]
        ]
        if not blacklisted:
            return []
        now = self._clock()
        ends = [
            (key, cooldown_after_clock_jump(circuit_of(agent), now, settings_of_agent(state, key)))
            for key, agent in blacklisted
        ]
        jumped = [(key, until) for key, until in ends if until is not None]
        if not jumped:
            return []
        from otel_tracker.state.event import happened

        return [
            happened(names.COOLDOWN_SHORTENED, now, agent=key, blacklisted_until=format_timestamp(until))
            for key, until in jumped
        ]

    def _is_seen_gone(self, process: "dict[str, Any] | None") -> bool:
        return owner.is_seen_gone(process, thoroughly=self._is_thorough)

    def _lost(self, run_id: str, task: "Event", now: float, reason: str) -> "Event":
        from otel_tracker.state.event import task_ended

        fields = {key: task.get(key) for key in ("model", "task_id")}
        return task_ended(
            task["agent"],
            names.LOST,
            now,
            run_id=run_id,
            started=task["started"],
            duration_seconds=None,
            environment_error=task.get("loss_error"),
            reason=reason,
            unexported=True,
            **fields,
        )
