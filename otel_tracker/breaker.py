"""The circuit breaker of one agent: a pure function of (circuit, ended task, settings).

Nothing here asks a clock, draws a number or opens a file. Moments are seconds since 1970 (timestamps.py).

    closed --failure_threshold consecutive failures--> open --cooldown over, a probe succeeds--> closed
                                                        open --cooldown over, a probe fails--> open, for twice as long
"""

from otel_tracker.names import CANCELLED, CLOSED, HALF_OPEN, OPEN, SUCCESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.settings import Settings

TOLERANCE_SECONDS = 60.0  # by which the clocks of machines that share a home may differ


class Circuit:
    """What a breaker remembers of an agent. Never changed in place."""

    __slots__ = ("blacklisted_until", "failures", "generation", "last_failure", "opened", "reopenings", "state")

    def __init__(
        self,
        state: str = CLOSED,
        failures: int = 0,
        last_failure: "float | None" = None,
        blacklisted_until: "float | None" = None,
        generation: int = 0,
        opened: "float | None" = None,
        reopenings: int = 0,
    ) -> None:
        self.state = state
        self.failures = failures
        """Consecutive failures."""
        self.last_failure = last_failure
        self.blacklisted_until = blacklisted_until
        self.generation = generation
        """How often the state has changed; a task's end counts only in the generation of its start."""
        self.opened = opened
        self.reopenings = reopenings
        """Probes that failed since the breaker was last closed."""

    def replace(self, **changes: object) -> "Circuit":
        """Return a copy with `changes`."""
        changed = Circuit()
        for slot in self.__slots__:
            setattr(changed, slot, changes.get(slot, getattr(self, slot)))
        return changed


class TaskEnd:
    """The end of a task, as far as a breaker is concerned."""

    __slots__ = ("at", "generation", "is_counted", "outcome", "started")

    def __init__(
        self,
        outcome: str,
        at: float,
        started: "float | None" = None,
        generation: "int | None" = None,
        is_counted: bool = True,
    ) -> None:
        self.outcome = outcome
        self.at = at
        self.started = at if started is None else started
        self.generation = generation
        """The circuit's generation when the task's start was folded, None if no start is known."""
        self.is_counted = is_counted
        """False where the failure is not the agent's: an outage, or a lost task that is not to count."""


def after_task(circuit: Circuit, end: TaskEnd, settings: "Settings") -> Circuit:
    """Return the circuit after a task has ended; the same object where nothing moves."""
    if end.outcome == CANCELLED or not end.is_counted:
        return circuit
    if circuit.state == CLOSED:
        return _after_task_while_closed(circuit, end, settings)
    if circuit.blacklisted_until is not None and end.started < circuit.blacklisted_until:
        return circuit  # a late result: begun before the trip, or let run in spite of it
    if end.outcome == SUCCESS:
        return _closed(circuit)
    failed = circuit.replace(failures=circuit.failures + 1, last_failure=end.at)
    return _opened(failed, end.at, circuit.reopenings + 1, settings)


def _after_task_while_closed(circuit: Circuit, end: TaskEnd, settings: "Settings") -> Circuit:
    if end.generation is not None and end.generation != circuit.generation:
        return circuit  # a late result of a generation that is over
    if end.outcome == SUCCESS:
        return circuit.replace(failures=0) if circuit.failures else circuit
    failed = circuit.replace(failures=circuit.failures + 1, last_failure=end.at)
    return _opened(failed, end.at, 0, settings) if failed.failures >= settings.failure_threshold else failed


def cooldown_after_clock_jump(circuit: Circuit, now: float, settings: "Settings") -> "float | None":
    """Return when the cooldown of an open circuit should end, if it was set by a clock that has jumped; else None.

    It ends at most one present cooldown from now. Who finds out has to record it: seen from later it would be later.
    """
    latest = now + cooldown_seconds(circuit.reopenings, settings)
    is_too_late = circuit.blacklisted_until is not None and circuit.blacklisted_until > latest + TOLERANCE_SECONDS
    return latest if is_too_late else None


def after_clock_jump(circuit: Circuit, until: float) -> Circuit:
    """Return an open circuit whose cooldown ends at `until`, or earlier if it did so before."""
    if circuit.blacklisted_until is None or circuit.blacklisted_until <= until:
        return circuit
    return circuit.replace(blacklisted_until=until)


def after_reset(circuit: Circuit) -> Circuit:
    """Return the circuit closed by hand, with its cooldown back at the first one."""
    return _closed(circuit)


def cooldown_seconds(reopenings: int, settings: "Settings") -> float:
    """Return how long a breaker that has been reopened so often stays open."""
    first, longest = settings.cooldown_minutes, max(settings.cooldown_minutes, settings.cooldown_max_minutes)
    return min(first * float(1 << min(reopenings, 32)), longest) * 60


def view(circuit: Circuit, now: float, settings: "Settings") -> "tuple[str, float | None]":
    """Return the state as of `now`, and until when an open circuit refuses tasks.

    A circuit whose cooldown is over is half_open: the next task is its probe. An end of the cooldown further away
    than a whole cooldown comes from a clock that jumped, and is taken as one cooldown from now.
    """
    if circuit.state == CLOSED:
        return CLOSED, None
    if circuit.blacklisted_until is None:
        return HALF_OPEN, None
    until = cooldown_after_clock_jump(circuit, now, settings) or circuit.blacklisted_until
    return (OPEN, until) if now < until else (HALF_OPEN, None)


def _opened(circuit: Circuit, at: float, reopenings: int, settings: "Settings") -> Circuit:
    return circuit.replace(
        state=OPEN,
        opened=at,
        blacklisted_until=at + cooldown_seconds(reopenings, settings),
        reopenings=reopenings,
        generation=circuit.generation + 1,
    )


def _closed(circuit: Circuit) -> Circuit:
    return circuit.replace(
        state=CLOSED, failures=0, opened=None, blacklisted_until=None, reopenings=0, generation=circuit.generation + 1
    )
