"""The circuit breaker of one agent: a pure function of (circuit, ended task, settings).

Nothing here asks a clock, draws a number or opens a file. Moments are seconds since 1970 (timestamps.py).

    closed    --failure_threshold consecutive failures-->  open
    open      --cooldown over, a caller asks-->            half_open: that task has the permit, it is the probe
    half_open --the probe succeeds-->                      closed
    half_open --the probe fails-->                         open, for twice as long
    half_open --the probe ends without a verdict, hangs-->  open, its cooldown over: the next task that asks is the probe

A task that did not ask first is recorded, too. If it began after the cooldown's end and ends while no permit is out, it is a
probe as well, unless the state has changed meanwhile. A probe that hung has lost its permit: its late end moves nothing.
"""

from otel_tracker.names import (
    CANCELLED,
    CLOSED,
    DISABLED,
    FAILURES,
    FORCED_OPEN,
    HALF_OPEN,
    OPEN,
    PROBE_RUNNING,
    SUCCESS,
)
from otel_tracker.state.circuit import LONGEST_STREAK, Circuit, Override, ProbePermit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.state.settings import Settings

TOLERANCE_SECONDS = 60.0  # by which the clocks of machines that share a home may differ
LEASE_SECONDS = 900.0  # after which a permit is over whose task has not begun


class TaskEnd:
    """The end of a task, as far as a breaker is concerned."""

    __slots__ = ("at", "generation", "is_counted", "outcome", "run_id", "started")

    def __init__(
        self,
        outcome: str,
        at: float,
        started: "float | None" = None,
        generation: "int | None" = None,
        is_counted: bool = True,
        run_id: "str | None" = None,
    ) -> None:
        self.outcome = outcome
        self.at = at
        self.started = at if started is None else started
        self.generation = generation
        """The circuit's generation when the task's start was folded, None if no start is known."""
        self.is_counted = is_counted
        """False where the failure is not the agent's: an outage, or a lost task that is not to count."""
        self.run_id = run_id

    @property
    def says_nothing(self) -> bool:
        """Whether the end is no evidence about the agent."""
        return self.outcome == CANCELLED or not self.is_counted


class Answer:
    """What a breaker answers a caller that asks: admitted, admitted as the probe, or refused, and why."""

    __slots__ = ("failures", "is_admitted", "is_probe", "note", "reason", "until")

    def __init__(
        self,
        is_admitted: bool,
        *,
        is_probe: bool = False,
        until: "float | None" = None,
        reason: "str | None" = None,
        failures: int = 0,
        note: "str | None" = None,
    ) -> None:
        self.is_admitted, self.is_probe = is_admitted, is_probe
        self.until = until
        """The moment until which it refuses, None where that isn't known."""
        self.reason = reason
        """FAILURES, PROBE_RUNNING, FORCED_OPEN or DISABLED; None where the agent is simply healthy."""
        self.failures = failures
        """The number of failures in a row, if they are the reason."""
        self.note = note
        """The reason that a person has given for an override."""


def ask(circuit: Circuit, now: float, settings: "Settings") -> Answer:
    """Return whether a task would be let through at `now`. Nothing moves before the permit is granted."""
    override = override_at(circuit, now)
    if override is not None:
        if override.kind == DISABLED:
            return Answer(True, reason=DISABLED, note=override.reason)
        return Answer(False, until=override.until, reason=FORCED_OPEN, note=override.reason)
    if circuit.permit is not None:
        return Answer(False, reason=PROBE_RUNNING)
    state, until = view(circuit, now, settings)
    if state == OPEN:
        return Answer(False, until=until, reason=FAILURES, failures=circuit.failures)
    return Answer(True, is_probe=state == HALF_OPEN)


def override_at(circuit: Circuit, now: float) -> "Override | None":
    """Return the override that is in force at `now`."""
    override = circuit.override
    is_over = override is not None and override.until is not None and now >= override.until
    return None if is_over else override


def is_lapsed(permit: ProbePermit, now: float) -> bool:
    """Tell whether an unused permit is over: its lease has ended, or the clock has jumped back since it was granted."""
    return not permit.expires - LEASE_SECONDS - TOLERANCE_SECONDS <= now < permit.expires


def is_overdue(permit: ProbePermit, now: float, settings: "Settings") -> bool:
    """Tell whether another probe may be let through: this one runs for too long, or the clock has jumped back since its start."""
    longest = min(settings.probe_max_minutes * 60, settings.in_flight_max_hours * 3600)
    return not permit.granted - TOLERANCE_SECONDS <= now < permit.granted + longest


def after_grant(circuit: Circuit, permit: ProbePermit) -> Circuit:
    """Return the circuit after the permit was granted."""
    return circuit.replace(state=HALF_OPEN, permit=permit, generation=circuit.generation + 1)


def after_return(circuit: Circuit, run_id: str) -> Circuit:
    """Return the circuit after a permit has ended without a result; the same object if it is not this one."""
    if circuit.permit is None or circuit.permit.run_id != run_id:
        return circuit
    return circuit.replace(state=OPEN, permit=None, generation=circuit.generation + 1)


def after_task(circuit: Circuit, end: TaskEnd, settings: "Settings") -> Circuit:
    """Return the circuit after a task has ended; the same object where nothing moves."""
    permit = circuit.permit
    if permit is not None and end.run_id == permit.run_id:
        return _after_probe(circuit, end, settings)
    if permit is not None or end.says_nothing:
        return circuit
    if end.generation is not None and end.generation != circuit.generation:
        return circuit  # a late result of a generation that is over
    if circuit.state == CLOSED:
        return _after_task_while_closed(circuit, end, settings)
    if circuit.blacklisted_until is not None and end.started < circuit.blacklisted_until:
        return circuit  # a late result: the task began before the breaker opened, or in spite of it
    return _after_probe(circuit, end, settings)


def _after_probe(circuit: Circuit, end: TaskEnd, settings: "Settings") -> Circuit:
    if end.says_nothing:
        return after_return(circuit, end.run_id or "")
    if end.outcome == SUCCESS:
        return _closed(circuit)
    failed = circuit.replace(failures=circuit.failures + 1, last_failure=end.at)
    return _opened(failed, end.at, circuit.reopenings + 1, settings)


def _after_task_while_closed(circuit: Circuit, end: TaskEnd, settings: "Settings") -> Circuit:
    if end.outcome == SUCCESS:
        return circuit.replace(failures=0, streak=()) if circuit.failures else circuit
    streak = (*circuit.streak, end.run_id or "")[-LONGEST_STREAK:]
    failed = circuit.replace(failures=circuit.failures + 1, last_failure=end.at, streak=streak)
    return _opened(failed, end.at, 0, settings) if failed.failures >= settings.failure_threshold else failed


def after_correction(circuit: Circuit, run_id: str, *, is_success: bool) -> Circuit:
    """Return the circuit after a run that had counted as a failure turned out to be none; the same object if nothing moves.

    The failure is taken back while it is one of the consecutive failures of a closed circuit; if the run was a success,
    the failures before it go, too.
    """
    if circuit.state != CLOSED or run_id not in circuit.streak:
        return circuit
    index = circuit.streak.index(run_id)
    later = circuit.streak[index + 1 :]
    if is_success:
        return circuit.replace(failures=len(later), streak=later)
    return circuit.replace(failures=circuit.failures - 1, streak=(*circuit.streak[:index], *later))


def cooldown_after_clock_jump(circuit: Circuit, now: float, settings: "Settings") -> "float | None":
    """Return when the cooldown of an open circuit should end, if it was set by a clock that has jumped; else None.

    It ends at most one present cooldown from now. The caller must record the moment: computed later, it would be later.
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
    """Return the circuit closed by hand, with its cooldown back at the first one; an override stays."""
    return _closed(circuit)


def after_override(circuit: Circuit, override: "Override | None") -> Circuit:
    """Return the circuit with an override in force, or with none; its state goes on beside it."""
    return circuit.replace(override=override)


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
    if circuit.permit is not None or circuit.blacklisted_until is None:
        return HALF_OPEN, None
    until = cooldown_after_clock_jump(circuit, now, settings) or circuit.blacklisted_until
    return (OPEN, until) if now < until else (HALF_OPEN, None)


def _opened(circuit: Circuit, at: float, reopenings: int, settings: "Settings") -> Circuit:
    return circuit.replace(
        state=OPEN,
        opened=at,
        blacklisted_until=at + cooldown_seconds(reopenings, settings),
        reopenings=reopenings,
        permit=None,
        generation=circuit.generation + 1,
        streak=(),
    )


def _closed(circuit: Circuit) -> Circuit:
    return circuit.replace(
        state=CLOSED,
        failures=0,
        streak=(),
        opened=None,
        blacklisted_until=None,
        reopenings=0,
        permit=None,
        generation=circuit.generation + 1,
    )
