"""The breaker against two that were written apart from it: a model of what design.md says, and pybreaker."""

import datetime as dt
from itertools import count

import pybreaker
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from otel_tracker.names import CANCELLED, CLOSED, DISABLED, FAILURE, FORCED_OPEN, HALF_OPEN, LOST, OPEN, SUCCESS
from otel_tracker.state.breaker import (
    TaskEnd,
    after_clock_jump,
    after_grant,
    after_override,
    after_reset,
    after_return,
    after_task,
    ask,
    cooldown_after_clock_jump,
    is_overdue,
    view,
)
from otel_tracker.state.circuit import Circuit, Override, ProbePermit
from otel_tracker.state.settings import Settings

DAWN = 1_800_000_000.0
SKEW = 60.0  # by which the clocks of two machines may differ


class Model:
    """What design.md says about one agent's breaker, and nothing that breaker.py says."""

    def __init__(self, threshold: int, cooldown: float, longest: float, patience: float) -> None:
        self.threshold, self.cooldown, self.longest, self.patience = threshold, cooldown, longest, patience
        self.granted_at = 0.0
        self.is_tripped = False
        self.streak = 0
        self.failed_at: float | None = None
        self.refuses_until: float | None = None
        self.lengths = [cooldown]  # of the cooldowns since it was last closed
        self.holder: str | None = None
        self.order: tuple[str, float | None] | None = None
        self.transitions = 0

    def trip(self, at: float, length: float) -> None:
        self.is_tripped, self.holder, self.refuses_until = True, None, at + length
        self.transitions += 1

    def close(self) -> None:
        self.is_tripped, self.holder, self.refuses_until = False, None, None
        self.streak, self.lengths = 0, [self.cooldown]
        self.transitions += 1

    def fail(self, at: float) -> None:
        self.streak += 1
        self.failed_at = at

    def end(self, run: str, outcome: str, at: float, began: float, era: int | None) -> None:
        """Take in the end of a task; `outcome` is "success", "failure" or "nothing"."""
        if run != self.holder and (self.holder is not None or era not in (None, self.transitions)):
            return
        if outcome == "nothing":
            self.give_back(run)
        elif not self.is_tripped:
            self.end_while_closed(outcome, at)
        elif self.holder is None and self.refuses_until is not None and began < self.refuses_until:
            return
        elif outcome == "success":
            self.close()
        else:
            self.fail(at)
            self.lengths.append(min(self.lengths[-1] * 2, max(self.longest, self.cooldown)))
            self.trip(at, self.lengths[-1])

    def end_while_closed(self, outcome: str, at: float) -> None:
        if outcome == "success":
            self.streak = 0
            return
        self.fail(at)
        if self.streak >= self.threshold:
            self.trip(at, self.cooldown)

    def grant(self, run: str, at: float) -> None:
        self.holder, self.granted_at = run, at
        self.transitions += 1

    def give_back(self, run: str) -> None:
        if self.holder == run:
            self.holder = None
            self.transitions += 1

    def is_hanging(self, now: float) -> bool:
        """Tell whether the probe runs for longer than it may."""
        return self.holder is not None and now >= self.granted_at + self.patience

    def jumped_to(self, now: float) -> float | None:
        """Return the clamped end of a cooldown that was set by a clock which has jumped back to `now`."""
        latest = now + self.lengths[-1]
        return latest if self.refuses_until is not None and self.refuses_until > latest + SKEW else None

    def seen_at(self, now: float) -> tuple[str, float | None]:
        if not self.is_tripped:
            return CLOSED, None
        until = self.jumped_to(now) or self.refuses_until
        if self.holder is not None or until is None or until <= now:
            return HALF_OPEN, None
        return OPEN, until

    def answer(self, now: float) -> tuple[bool, bool, float | None]:
        """Return whether a task is let through, whether it is the probe, and until when it is refused."""
        if self.order is not None and (self.order[1] is None or now < self.order[1]):
            return (True, False, None) if self.order[0] == DISABLED else (False, False, self.order[1])
        state, until = self.seen_at(now)
        is_admitted = state != OPEN and self.holder is None
        return is_admitted, is_admitted and state == HALF_OPEN, until


class Running:
    """A task that has begun: when, and after how many transitions as the breaker counted them, and the model."""

    def __init__(self, run: str, began: float, generation: int | None, era: int | None) -> None:
        self.run, self.began, self.generation, self.era = run, began, generation, era


_lengths = st.sampled_from([0.0, 0.5, 1.0, 10.0, 30.0])  # minutes
_seconds = st.sampled_from([0.0, 0.5, 1.0, 29.0, 60.0, 600.0]) | st.integers(0, 100_000).map(float)
# How long until something happens, or how far from the cooldown's end it does.
_waits = st.tuples(st.just(False), _seconds) | st.tuples(st.just(True), st.sampled_from([-0.25, 0.0, 0.0, 0.25, 1.0]))
_outcomes = st.sampled_from([SUCCESS, FAILURE, FAILURE, LOST, CANCELLED])


class Agents(RuleBasedStateMachine):
    """One breaker, and who asks it, observes it and decides about it."""

    @initialize(
        threshold=st.integers(1, 4),
        cooldown=_lengths,
        longest=_lengths | st.just(60.0),
        patience=st.sampled_from([0.0, 1.0, 60.0]),
        hours=st.sampled_from([0.25, 24.0]),
        failures=st.integers(0, 4),
    )
    def begin(
        self, threshold: int, cooldown: float, longest: float, patience: float, hours: float, failures: int
    ) -> None:
        config = {"failure_threshold": threshold, "cooldown_minutes": cooldown, "cooldown_max_minutes": longest}
        self.settings = Settings({**config, "probe_max_minutes": patience, "in_flight_max_hours": hours})
        bound = min(patience * 60, hours * 3600)
        self.circuit, self.model = Circuit(), Model(threshold, cooldown * 60, longest * 60, bound)
        self.now = DAWN
        self.names = (f"run {number}" for number in count())
        self.running: list[Running] = []
        self.unused: list[str] = []  # runs with a permit that have not begun
        self.out: set[str] = set()
        self.newest_generation = 0
        self.run_tasks_one_after_the_other([FAILURE] * failures)

    def wait(self, how_long: tuple[bool, float]) -> None:
        is_from_the_end, seconds = how_long
        if not is_from_the_end:
            self.now += seconds
        elif self.model.refuses_until is not None:
            self.now = max(self.now, self.model.refuses_until + seconds)

    @rule(is_unknown=st.booleans(), how_long=_waits)
    def start_a_task(self, is_unknown: bool, how_long: tuple[bool, float]) -> None:
        self.wait(how_long)
        self.start(next(self.names), is_unknown=is_unknown)

    @precondition(lambda self: self.unused)
    @rule(which=st.integers(0, 9))
    def start_the_task_of_a_permit(self, which: int) -> None:
        self.start(self.unused.pop(which % len(self.unused)), is_unknown=False)

    def start(self, run: str, *, is_unknown: bool) -> None:
        counted = (None, None) if is_unknown else (self.circuit.generation, self.model.transitions)
        self.running.append(Running(run, self.now, *counted))

    @precondition(lambda self: self.running)
    @rule(
        which=st.integers(0, 9), outcome=_outcomes, is_the_agents=st.sampled_from([True, True, False]), how_long=_waits
    )
    def end_a_task(self, which: int, outcome: str, is_the_agents: bool, how_long: tuple[bool, float]) -> None:
        self.wait(how_long)
        task = self.running.pop(which % len(self.running))
        self.end(task, outcome, is_counted=is_the_agents or outcome == SUCCESS)

    @precondition(lambda self: any(task.run == self.model.holder for task in self.running))
    @rule(outcome=_outcomes, is_the_agents=st.sampled_from([True, True, False]), how_long=_waits)
    def end_the_probe(self, outcome: str, is_the_agents: bool, how_long: tuple[bool, float]) -> None:
        place = [task.run for task in self.running].index(self.model.holder or "")
        self.end_a_task(place, outcome, is_the_agents, how_long)

    @precondition(lambda self: not self.model.is_tripped)
    @rule(outcomes=st.lists(st.sampled_from([SUCCESS, FAILURE, FAILURE, FAILURE, LOST]), min_size=1, max_size=5))
    def run_tasks_one_after_the_other(self, outcomes: list[str]) -> None:
        for outcome in outcomes:
            self.start(next(self.names), is_unknown=False)
            self.end(self.running.pop(), outcome, is_counted=True)

    def end(self, task: Running, outcome: str, *, is_counted: bool) -> None:
        end = TaskEnd(outcome, self.now, task.began, task.generation, is_counted, task.run)
        self.circuit = after_task(self.circuit, end, self.settings)
        said = "success" if outcome == SUCCESS else "failure" if is_counted and outcome != CANCELLED else "nothing"
        self.model.end(task.run, said, self.now, task.began, task.era)
        self.out.discard(task.run)

    @rule(begins_at_once=st.booleans(), how_long=_waits)
    def ask_for_a_task(self, begins_at_once: bool, how_long: tuple[bool, float]) -> None:
        self.wait(how_long)
        if not ask(self.circuit, self.now, self.settings).is_probe:
            return
        run = next(self.names)
        self.circuit = after_grant(self.circuit, ProbePermit(run, self.now, self.now + 900))
        self.model.grant(run, self.now)
        self.out.add(run)
        self.unused.append(run)
        if begins_at_once:
            self.start_the_task_of_a_permit(which=-1)

    @precondition(lambda self: self.model.holder is not None)
    @rule(is_the_holders=st.booleans(), which=st.integers(0, 9))
    def return_a_permit(self, is_the_holders: bool, which: int) -> None:
        run = self.model.holder if is_the_holders and self.model.holder else f"run {which}"
        self.circuit = after_return(self.circuit, run)
        self.model.give_back(run)
        self.out.discard(run)

    @precondition(lambda self: any(task.run == self.model.holder for task in self.running))
    @rule(seconds=st.sampled_from([0.0, 30.0, 60.0, 900.0, 3600.0, 90_000.0]))
    def give_up_a_probe_that_hangs(self, seconds: float) -> None:
        self.now += seconds
        permit = self.circuit.permit
        assert permit is not None
        assert is_overdue(permit, self.now, self.settings) == (
            self.model.is_hanging(self.now) or self.now < permit.granted - SKEW
        )
        if self.model.is_hanging(self.now):
            self.circuit = after_return(self.circuit, permit.run_id)
            self.model.give_back(permit.run_id)
            self.out.discard(permit.run_id)

    @rule(what=st.sampled_from(["reset", None, None, FORCED_OPEN, DISABLED]), seconds=st.none() | _seconds)
    def decide_by_hand(self, what: str | None, seconds: float | None) -> None:
        until = None if seconds is None else self.now + seconds
        if what == "reset":
            self.circuit = after_reset(self.circuit)
            self.model.close()
            self.out.clear()
        else:
            self.circuit = after_override(self.circuit, Override(what, until) if what else None)
            self.model.order = (what, until) if what else None

    @precondition(lambda self: self.model.is_tripped)
    @rule(seconds=st.sampled_from([1.0, 59.0, 60.0, 61.0, 3600.0, 1e6]), is_recorded=st.booleans())
    def turn_the_clock_back(self, seconds: float, is_recorded: bool) -> None:
        self.now -= seconds
        if is_recorded:
            self.record_the_jump_of_the_clock()

    @precondition(lambda self: self.model.jumped_to(self.now) is not None)
    @rule()
    def record_the_jump_of_the_clock(self) -> None:
        until = cooldown_after_clock_jump(self.circuit, self.now, self.settings)
        if until is not None:
            self.circuit = after_clock_jump(self.circuit, until)
            self.model.refuses_until = until

    @invariant()
    def it_remembers_what_the_model_does(self) -> None:
        circuit, model = self.circuit, self.model
        state = HALF_OPEN if model.holder else OPEN if model.is_tripped else CLOSED
        assert (circuit.state, circuit.failures, circuit.last_failure) == (state, model.streak, model.failed_at)
        assert (circuit.blacklisted_until, circuit.reopenings) == (model.refuses_until, len(model.lengths) - 1)
        assert (circuit.permit.run_id if circuit.permit else None) == model.holder
        assert (circuit.opened is None) == (state == CLOSED)

    @invariant()
    def it_answers_as_the_model_does(self) -> None:
        for moment in (self.now, self.now + 1, self.now + 5000):
            said = ask(self.circuit, moment, self.settings)
            assert (said.is_admitted, said.is_probe, said.until) == self.model.answer(moment)
            assert view(self.circuit, moment, self.settings) == self.model.seen_at(moment)
            assert cooldown_after_clock_jump(self.circuit, moment, self.settings) == self.model.jumped_to(moment)
            assert said.is_admitted or said.reason

    @invariant()
    def at_most_one_permit_is_out(self) -> None:
        assert self.out == ({self.circuit.permit.run_id} if self.circuit.permit else set())
        assert len(self.out) <= 1

    @invariant()
    def the_generation_rises_by_one_with_each_transition(self) -> None:
        assert self.newest_generation <= self.circuit.generation == self.model.transitions
        self.newest_generation = self.circuit.generation


@pytest.mark.thorough
def test_the_breaker_is_what_the_design_says_whatever_happens_in_whatever_order() -> None:
    run_state_machine_as_test(Agents, settings=settings(max_examples=200, stateful_step_count=40))


class SetClock(dt.datetime):
    """The clock that pybreaker reads, as a number."""

    moment = DAWN

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> "SetClock":
        return cls.fromtimestamp(cls.moment, tz)


def call(breaker: pybreaker.CircuitBreaker, is_success: bool) -> bool:
    """Run a task under pybreaker, and return whether it was let through."""

    def task() -> None:
        if not is_success:
            raise ZeroDivisionError

    try:
        breaker.call(task)
    except ZeroDivisionError:
        return True
    except pybreaker.CircuitBreakerError:
        return False
    return True


_calls = st.tuples(
    st.sampled_from([0.0, 0.0, 0.5, 59.5, 60.0, 119.5, 120.0]) | st.integers(0, 1200).map(float), st.booleans()
)


@settings(max_examples=200)
@example(threshold=1, minutes=1, calls=[(0.0, False), (60.0, False), (59.5, True), (0.5, True)], asks=True)
@given(
    threshold=st.integers(1, 4),
    minutes=st.sampled_from([0, 1, 2]),
    calls=st.lists(_calls, min_size=1, max_size=30),
    asks=st.booleans(),
)
def test_tasks_one_after_the_other_are_let_through_and_counted_as_by_pybreaker(
    threshold: int, minutes: int, calls: list[tuple[float, bool]], asks: bool
) -> None:
    # pybreaker's fail_max is our failure_threshold: the failure that reaches it opens both, and both refuse up to, but
    # not at, the cooldown's end. It differs in what is kept out here: it never doubles a cooldown; a call that is
    # cancelled or excluded is a success to it, while to us it says nothing; its calls hold a lock, so that there are
    # no late results and no permits; and by default the failure that opens it comes out as a CircuitBreakerError.
    config = {"failure_threshold": threshold, "cooldown_minutes": minutes, "cooldown_max_minutes": minutes}
    own_settings, circuit, run = Settings(config), Circuit(), "run"
    theirs = pybreaker.CircuitBreaker(threshold, minutes * 60, throw_new_error_on_trip=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pybreaker, "datetime", SetClock)
        patch.setattr(SetClock, "moment", DAWN)
        for seconds, is_success in calls:
            SetClock.moment += seconds
            now = SetClock.moment
            said = ask(circuit, now, own_settings)
            assert said.is_admitted == call(theirs, is_success)
            if said.is_probe and asks:
                circuit = after_grant(circuit, ProbePermit(run, now, now + 900))
                assert not ask(circuit, now, own_settings).is_admitted
            if said.is_admitted:
                outcome = SUCCESS if is_success else FAILURE
                circuit = after_task(circuit, TaskEnd(outcome, now, now, circuit.generation, True, run), own_settings)
            assert (circuit.state, circuit.failures) == (theirs.current_state, theirs.fail_counter)
