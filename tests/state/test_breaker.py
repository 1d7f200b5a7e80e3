import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tracker.names import CANCELLED, CLOSED, DISABLED, FAILURE, FORCED_OPEN, HALF_OPEN, LOST, OPEN, SUCCESS
from otel_tracker.reporting.wording import reason_of
from otel_tracker.state.breaker import (
    LEASE_SECONDS,
    TOLERANCE_SECONDS,
    Answer,
    TaskEnd,
    after_clock_jump,
    after_grant,
    after_override,
    after_reset,
    after_return,
    after_task,
    ask,
    cooldown_after_clock_jump,
    cooldown_seconds,
    is_lapsed,
    override_at,
    view,
)
from otel_tracker.state.circuit import Circuit, Override, ProbePermit
from otel_tracker.state.settings import Settings

MINUTE = 60.0
SETTINGS = Settings({"failure_threshold": 3, "cooldown_minutes": 10, "cooldown_max_minutes": 60})
THRESHOLD, COOLDOWN, LONGEST = 3, 10 * MINUTE, 60 * MINUTE


def after(circuit: Circuit, *ends: TaskEnd, settings: Settings = SETTINGS) -> Circuit:
    for end in ends:
        circuit = after_task(circuit, end, settings)
    return circuit


def failures(number: int, at: float = 0.0) -> list[TaskEnd]:
    return [TaskEnd(FAILURE, at) for _ in range(number)]


def opened(at: float = 0.0) -> Circuit:
    return after(Circuit(), *failures(THRESHOLD, at))


def granted(to: str = "probe", at: float = COOLDOWN, circuit: Circuit | None = None) -> Circuit:
    """Return a breaker, by default one that was opened at 0, whose permit a run has got."""
    return after_grant(circuit or opened(), ProbePermit(to, at, at + LEASE_SECONDS))


def probe_end(outcome: str, at: float = 2 * COOLDOWN, is_counted: bool = True) -> TaskEnd:
    return TaskEnd(outcome, at, started=COOLDOWN, is_counted=is_counted, run_id="probe")


def said(answer: Answer) -> tuple[bool, bool, float | None]:
    return answer.is_admitted, answer.is_probe, answer.until


def until(circuit: Circuit) -> float:
    assert circuit.blacklisted_until is not None
    return circuit.blacklisted_until


def test_it_stays_closed_below_the_threshold() -> None:
    circuit = after(Circuit(), *failures(THRESHOLD - 1, at=7))
    assert (circuit.state, circuit.failures, circuit.last_failure) == (CLOSED, 2, 7)
    assert circuit.blacklisted_until is None


def test_it_opens_at_the_threshold_for_one_cooldown_from_the_last_failure() -> None:
    circuit = after(Circuit(), *failures(THRESHOLD - 1), TaskEnd(FAILURE, 100))
    assert (circuit.state, circuit.failures, circuit.last_failure) == (OPEN, THRESHOLD, 100)
    assert (circuit.opened, circuit.blacklisted_until) == (100, 100 + COOLDOWN)


def test_it_opens_at_once_if_it_has_more_failures_than_a_threshold_that_was_lowered_since() -> None:
    circuit = after(Circuit(failures=9), TaskEnd(FAILURE, 100))
    assert (circuit.state, circuit.failures) == (OPEN, 10)


def test_a_success_sets_the_failures_to_none() -> None:
    circuit = after(Circuit(), *failures(THRESHOLD - 1), TaskEnd(SUCCESS, 5), *failures(THRESHOLD - 1))
    assert (circuit.state, circuit.failures) == (CLOSED, THRESHOLD - 1)


def test_a_lost_task_counts_as_a_failure() -> None:
    circuit = after(Circuit(), *(TaskEnd(LOST, at) for at in range(THRESHOLD)))
    assert (circuit.state, circuit.failures, circuit.last_failure) == (OPEN, THRESHOLD, THRESHOLD - 1)


_BEFORE = [Circuit(), after(Circuit(), *failures(2)), opened()]
circuits = pytest.mark.parametrize("circuit", _BEFORE, ids=["closed", "closed with failures", "open"])


@circuits
@pytest.mark.parametrize("at", [1.0, 2 * COOLDOWN])
def test_a_cancelled_task_leaves_the_breaker_alone(circuit: Circuit, at: float) -> None:
    assert after(circuit, TaskEnd(CANCELLED, at)) is circuit


@circuits
@pytest.mark.parametrize("at", [1.0, 2 * COOLDOWN])
@pytest.mark.parametrize("outcome", [FAILURE, LOST])
def test_a_failure_that_is_not_the_agents_leaves_the_breaker_alone(circuit: Circuit, at: float, outcome: str) -> None:
    assert after(circuit, TaskEnd(outcome, at, is_counted=False)) is circuit


@given(st.integers(1, 6), st.lists(st.tuples(st.sampled_from([SUCCESS, FAILURE, LOST, CANCELLED]), st.booleans())))
def test_it_opens_exactly_when_the_last_n_counted_outcomes_are_failures(
    threshold: int, ends: list[tuple[str, bool]]
) -> None:
    settings, circuit = Settings({"failure_threshold": threshold}), Circuit()
    counted: list[bool] = []
    for at, (outcome, is_counted) in enumerate(ends):
        circuit = after(circuit, TaskEnd(outcome, at, is_counted=is_counted), settings=settings)
        if is_counted and outcome != CANCELLED:
            counted.append(outcome != SUCCESS)
        newest = counted[-threshold:]
        assert (circuit.state == OPEN) == (len(newest) == threshold and all(newest))
        if circuit.state == OPEN:
            return


@pytest.mark.parametrize("outcome", [SUCCESS, FAILURE, LOST])
@pytest.mark.parametrize(("started", "at"), [(-1, 1), (-1, 2 * COOLDOWN), (1, 2), (COOLDOWN - 1, COOLDOWN + 1)])
def test_while_open_a_task_begun_before_the_cooldowns_end_moves_nothing(
    outcome: str, started: float, at: float
) -> None:
    circuit = opened()
    assert after(circuit, TaskEnd(outcome, at, started)) is circuit
    assert after(circuit, TaskEnd(outcome, at, started, generation=circuit.generation)) is circuit


@pytest.mark.parametrize("started", [COOLDOWN, COOLDOWN + 1])
def test_a_probes_success_closes_and_forgets_the_failures_but_not_the_last_one(started: float) -> None:
    circuit = after(opened(at=0), TaskEnd(SUCCESS, 2 * COOLDOWN, started))
    assert (circuit.state, circuit.failures, circuit.last_failure) == (CLOSED, 0, 0)
    assert (circuit.opened, circuit.blacklisted_until, circuit.reopenings) == (None, None, 0)
    assert after(circuit, *failures(THRESHOLD - 1, at=3 * COOLDOWN)).state == CLOSED


@pytest.mark.parametrize("outcome", [FAILURE, LOST])
def test_a_probes_failure_reopens_for_twice_as_long(outcome: str) -> None:
    at = 2 * COOLDOWN
    circuit = after(opened(), TaskEnd(outcome, at, COOLDOWN))
    assert (circuit.state, circuit.opened, circuit.blacklisted_until) == (OPEN, at, at + 2 * COOLDOWN)
    assert (circuit.failures, circuit.last_failure) == (THRESHOLD + 1, at)


def test_each_reopening_doubles_the_cooldown_up_to_the_longest_however_often_it_happens() -> None:
    circuit = opened()
    cooldowns = []
    for _ in range(2000):
        at = until(circuit)
        circuit = after(circuit, TaskEnd(FAILURE, at))
        cooldowns.append((until(circuit) - at) / MINUTE)
    assert cooldowns[:4] == [20, 40, 60, 60]
    assert set(cooldowns[4:]) == {60}


def test_the_cooldown_starts_over_after_a_close() -> None:
    reopened = after(opened(), TaskEnd(FAILURE, COOLDOWN))
    closed = after(reopened, TaskEnd(SUCCESS, until(reopened)))
    again = after(closed, *failures(THRESHOLD, at=1e6))
    assert until(again) == 1e6 + COOLDOWN
    assert until(after(again, TaskEnd(FAILURE, 1e7))) == 1e7 + 2 * COOLDOWN


def test_a_cancelled_probe_leaves_it_to_the_next_task() -> None:
    circuit = after(opened(), TaskEnd(CANCELLED, 2 * COOLDOWN, COOLDOWN))
    assert view(circuit, 2 * COOLDOWN, SETTINGS) == (HALF_OPEN, None)
    assert after(circuit, TaskEnd(SUCCESS, 3 * COOLDOWN, 2 * COOLDOWN)).state == CLOSED


@given(st.lists(st.tuples(st.sampled_from([SUCCESS, FAILURE, LOST, CANCELLED]), st.floats(0, 2 * LONGEST))))
def test_every_transition_raises_the_generation_and_nothing_else_does(steps: list[tuple[str, float]]) -> None:
    circuit, now = Circuit(), 0.0
    for outcome, passed in steps:
        now += passed
        moved = after(circuit, TaskEnd(outcome, now))
        is_transition = (moved.state, moved.opened) != (circuit.state, circuit.opened)
        assert moved.generation - circuit.generation == is_transition
        circuit = moved


@pytest.mark.parametrize("outcome", [SUCCESS, FAILURE, LOST])
def test_a_closed_breaker_ignores_the_end_of_a_task_of_an_earlier_generation(outcome: str) -> None:
    first = Circuit().generation
    closed = after(opened(), TaskEnd(SUCCESS, COOLDOWN), *failures(1, at=COOLDOWN))
    late = TaskEnd(outcome, 2 * COOLDOWN, started=-1, generation=first)
    assert after(closed, late) is closed


def test_tasks_of_the_present_generation_and_tasks_without_a_known_start_count() -> None:
    closed = after(opened(), TaskEnd(SUCCESS, COOLDOWN))
    known = TaskEnd(FAILURE, 2 * COOLDOWN, generation=closed.generation)
    assert after(closed, known, TaskEnd(FAILURE, 2 * COOLDOWN)).failures == 2


@pytest.mark.parametrize("circuit", [Circuit(), after(Circuit(), *failures(2))])
def test_a_closed_breaker_is_closed_at_any_time(circuit: Circuit) -> None:
    assert view(circuit, 0, SETTINGS) == view(circuit, 1e10, SETTINGS) == (CLOSED, None)


def test_an_open_breaker_refuses_until_its_cooldown_is_over_and_is_half_open_from_then_on() -> None:
    circuit = opened(at=100)
    assert view(circuit, 100, SETTINGS) == (OPEN, 100 + COOLDOWN)
    assert view(circuit, 99.5 + COOLDOWN, SETTINGS) == (OPEN, 100 + COOLDOWN)
    assert view(circuit, 100 + COOLDOWN, SETTINGS) == (HALF_OPEN, None)
    assert view(circuit, 1e10, SETTINGS) == (HALF_OPEN, None)


def test_a_breaker_opened_by_hand_without_an_end_lets_a_probe_decide() -> None:
    by_hand = Circuit(state=OPEN)
    assert view(by_hand, 0, SETTINGS) == (HALF_OPEN, None)
    assert after(by_hand, TaskEnd(SUCCESS, 1)).state == CLOSED
    assert until(after(by_hand, TaskEnd(FAILURE, 1))) == 1 + 2 * COOLDOWN


@pytest.mark.parametrize(("reopenings", "cooldown"), [(0, COOLDOWN), (1, 2 * COOLDOWN), (9, LONGEST)])
def test_an_end_further_away_than_the_present_cooldown_is_clamped_when_asked(reopenings: int, cooldown: float) -> None:
    circuit = Circuit(state=OPEN, blacklisted_until=1e9, reopenings=reopenings)
    assert view(circuit, 50, SETTINGS) == (OPEN, 50 + cooldown)
    assert circuit.blacklisted_until == 1e9


@given(st.lists(st.floats(0, 2 * LONGEST), max_size=8), st.floats(0, 1e6))
def test_no_breaker_refuses_for_longer_than_the_longest_cooldown(waits: list[float], passed: float) -> None:
    circuit, now = opened(), 0.0
    for wait in waits:
        now += wait
        circuit = after(circuit, TaskEnd(FAILURE, now))
    state, end = view(circuit, now + passed, SETTINGS)
    assert state == (OPEN if now + passed < until(circuit) else HALF_OPEN)
    assert end is None or end <= now + LONGEST
    assert view(circuit, now + LONGEST, SETTINGS)[0] == HALF_OPEN


def test_a_reset_closes_and_takes_the_cooldown_back_to_the_first_one() -> None:
    reopened = after(opened(), TaskEnd(FAILURE, COOLDOWN))
    circuit = after_reset(reopened)
    assert (reopened.reopenings, circuit.reopenings) == (1, 0)
    assert (circuit.state, circuit.failures, circuit.blacklisted_until, circuit.opened) == (CLOSED, 0, None, None)
    assert circuit.last_failure == COOLDOWN
    assert until(after(circuit, *failures(THRESHOLD, at=1e6))) == 1e6 + COOLDOWN


def test_a_reset_forgets_the_failures_of_a_closed_breaker() -> None:
    circuit = after_reset(after(Circuit(), *failures(THRESHOLD - 1)))
    assert after(circuit, *failures(THRESHOLD - 1)).state == CLOSED


def test_tasks_that_were_running_at_a_reset_do_not_count() -> None:
    before = opened()
    circuit = after_reset(before)
    late = [TaskEnd(FAILURE, 50, started=-1, generation=generation) for generation in range(circuit.generation)]
    assert after(circuit, *late, *late) is circuit


def test_moving_a_breaker_leaves_the_one_before_as_it_was() -> None:
    before = after(Circuit(), *failures(THRESHOLD - 1, at=3))
    after(before, TaskEnd(FAILURE, 9))
    after_reset(before)
    assert (before.state, before.failures, before.last_failure, before.generation) == (CLOSED, 2, 3, 0)


def test_a_cooldown_that_a_clock_has_set_which_jumped_back_is_shortened_to_one_from_now() -> None:
    blocked = opened(at=1_000_000)
    assert cooldown_after_clock_jump(blocked, 100, SETTINGS) == 100 + COOLDOWN
    shortened = after_clock_jump(blocked, 100 + COOLDOWN)
    assert (shortened.state, shortened.failures, shortened.blacklisted_until) == (OPEN, 3, 100 + COOLDOWN)
    assert cooldown_after_clock_jump(shortened, 101, SETTINGS) is None
    assert after(shortened, TaskEnd(SUCCESS, 100 + COOLDOWN + 5, started=100 + COOLDOWN)).state == CLOSED
    assert after_clock_jump(shortened, 1e9) is shortened
    assert after_clock_jump(shortened, 100 + COOLDOWN) is shortened
    assert after_clock_jump(Circuit(), 5).blacklisted_until is None


def test_clocks_that_differ_by_less_than_a_minute_have_not_jumped() -> None:
    assert cooldown_after_clock_jump(opened(at=59), 0, SETTINGS) is None
    assert cooldown_after_clock_jump(opened(at=61), 0, SETTINGS) == COOLDOWN
    assert cooldown_after_clock_jump(Circuit(), 0, SETTINGS) is None


def test_a_result_of_a_clock_that_was_behind_does_not_end_a_cooldown() -> None:
    blocked = opened(at=3600)
    assert after(blocked, TaskEnd(FAILURE, 0, started=-1)) is blocked


def test_a_caller_of_a_closed_breaker_is_let_through_and_is_no_probe() -> None:
    for circuit in (Circuit(), after(Circuit(), *failures(THRESHOLD - 1))):
        assert said(ask(circuit, 0, SETTINGS)) == (True, False, None)


def test_a_caller_of_an_open_breaker_is_refused_until_the_cooldowns_end_and_is_then_the_probe() -> None:
    circuit = opened(at=100)
    assert said(ask(circuit, 99.5 + COOLDOWN, SETTINGS)) == (False, False, 100 + COOLDOWN)
    assert said(ask(circuit, 100 + COOLDOWN, SETTINGS)) == (True, True, None)


@pytest.mark.parametrize(("threshold", "reason"), [(1, "1 failure in a row"), (2, "2 failures in a row")])
def test_a_refusal_says_how_many_failures_there_were(threshold: int, reason: str) -> None:
    settings = Settings({"failure_threshold": threshold})
    assert reason_of(ask(after(Circuit(), *failures(threshold), settings=settings), 1, settings)) == reason


def test_a_refusal_of_a_breaker_opened_by_hand_says_that_there_was_no_failure() -> None:
    assert reason_of(ask(Circuit(state=OPEN, blacklisted_until=60), 1, SETTINGS)) == "0 failures in a row"


def test_asking_for_a_breaker_whose_clock_has_jumped_back_names_one_cooldown_from_now() -> None:
    assert said(ask(opened(at=1e6), 100, SETTINGS)) == (False, False, 100 + COOLDOWN)


def test_a_grant_makes_the_breaker_half_open_and_keeps_what_it_remembers() -> None:
    before = opened()
    circuit = granted(circuit=before)
    assert circuit.permit is not None
    assert (circuit.state, circuit.permit.run_id) == (HALF_OPEN, "probe")
    assert (circuit.permit.granted, circuit.permit.expires) == (COOLDOWN, COOLDOWN + LEASE_SECONDS)
    assert (circuit.failures, circuit.opened, circuit.blacklisted_until) == (THRESHOLD, 0, COOLDOWN)
    assert circuit.generation == before.generation + 1
    assert (before.state, before.permit) == (OPEN, None)


def test_while_a_probe_runs_every_other_task_is_refused_and_it_is_unknown_until_when() -> None:
    for now in (COOLDOWN, 1e9):
        answer = ask(granted(), now, SETTINGS)
        assert said(answer) == (False, False, None)
        assert reason_of(answer) == "a probe is running"


def test_a_breaker_whose_probe_runs_is_half_open_whatever_the_clock_says() -> None:
    for now in (-1e6, 0, COOLDOWN, 1e9):
        assert view(granted(), now, SETTINGS) == (HALF_OPEN, None)


def test_the_success_of_the_permits_holder_closes() -> None:
    before = granted()
    circuit = after(before, probe_end(SUCCESS))
    assert (circuit.state, circuit.failures, circuit.permit) == (CLOSED, 0, None)
    assert circuit.generation == before.generation + 1


@pytest.mark.parametrize("outcome", [FAILURE, LOST])
def test_the_failure_of_the_permits_holder_reopens_for_twice_as_long(outcome: str) -> None:
    before = granted()
    circuit = after(before, probe_end(outcome))
    assert (circuit.state, circuit.failures, circuit.permit) == (OPEN, THRESHOLD + 1, None)
    assert (circuit.reopenings, until(circuit)) == (1, 4 * COOLDOWN)
    assert circuit.generation == before.generation + 1


def test_the_holders_end_decides_even_if_its_clock_says_that_it_began_before_the_cooldowns_end() -> None:
    end = TaskEnd(SUCCESS, COOLDOWN - 5, started=COOLDOWN - 10, run_id="probe")
    assert after(granted(), end).state == CLOSED


@pytest.mark.parametrize("end", [probe_end(CANCELLED), probe_end(FAILURE, is_counted=False), probe_end(LOST, 1, False)])
def test_a_probe_without_a_verdict_gives_its_permit_back_and_the_next_one_that_asks_is_the_probe(end: TaskEnd) -> None:
    before = granted()
    circuit = after(before, end)
    assert (circuit.state, circuit.permit, circuit.failures) == (OPEN, None, THRESHOLD)
    assert (until(circuit), circuit.reopenings) == (COOLDOWN, 0)
    assert circuit.generation == before.generation + 1
    assert said(ask(circuit, COOLDOWN, SETTINGS)) == (True, True, None)


@pytest.mark.parametrize("outcome", [SUCCESS, FAILURE, LOST, CANCELLED])
@pytest.mark.parametrize("started", [-1, COOLDOWN, COOLDOWN + 5])
@pytest.mark.parametrize("run_id", ["another", None])
def test_while_a_permit_is_out_no_other_tasks_end_moves_anything(
    outcome: str, started: float, run_id: str | None
) -> None:
    circuit = granted()
    end = TaskEnd(outcome, 2 * COOLDOWN, started, circuit.generation, run_id=run_id)
    assert after(circuit, end) is circuit


def test_an_observed_task_that_ends_after_the_permit_was_given_back_is_a_probe() -> None:
    circuit = after_return(granted(), "probe")
    assert after(circuit, TaskEnd(SUCCESS, 3 * COOLDOWN, started=COOLDOWN + 5, run_id="another")).state == CLOSED


def test_the_end_of_a_holder_whose_permit_is_over_is_a_tasks_end_like_any_other() -> None:
    returned = after_return(granted(), "probe")
    assert after(returned, probe_end(SUCCESS)).state == CLOSED
    regranted = granted("next", circuit=returned)
    assert after(regranted, probe_end(SUCCESS)) is regranted


def test_a_returned_permit_leaves_the_breaker_open_with_its_cooldown_over() -> None:
    before = granted()
    circuit = after_return(before, "probe")
    assert (circuit.state, circuit.permit, circuit.failures, until(circuit)) == (OPEN, None, THRESHOLD, COOLDOWN)
    assert circuit.generation == before.generation + 1
    assert view(circuit, COOLDOWN, SETTINGS) == (HALF_OPEN, None)


def test_returning_a_permit_that_is_not_out_changes_nothing() -> None:
    for circuit in (Circuit(), opened(), granted()):
        assert after_return(circuit, "another") is circuit
    for circuit in (Circuit(), opened()):
        assert after(circuit, TaskEnd(CANCELLED, 2 * COOLDOWN, COOLDOWN)) is circuit


def test_a_reset_revokes_a_permit_and_leaves_the_override() -> None:
    order = Override(FORCED_OPEN, 1e9, "maintenance")
    before = after_override(granted(), order)
    circuit = after_reset(before)
    assert (circuit.state, circuit.permit, circuit.override) == (CLOSED, None, order)
    late = TaskEnd(FAILURE, 2 * COOLDOWN, COOLDOWN, before.generation, run_id="probe")
    assert after(circuit, late) is circuit


@pytest.mark.parametrize("circuit", [Circuit(), opened(), granted()], ids=["closed", "open", "half-open"])
def test_a_breaker_that_is_forced_open_refuses_whatever_its_state(circuit: Circuit) -> None:
    for end in (None, 1e9):
        assert said(ask(after_override(circuit, Override(FORCED_OPEN, end)), 1e6, SETTINGS)) == (False, False, end)


@pytest.mark.parametrize("circuit", [Circuit(), opened(), granted()], ids=["closed", "open", "half-open"])
@pytest.mark.parametrize("end", [None, 1e9])
def test_a_breaker_that_is_disabled_lets_every_task_through_and_none_is_a_probe(
    circuit: Circuit, end: float | None
) -> None:
    assert said(ask(after_override(circuit, Override(DISABLED, end)), 1, SETTINGS)) == (True, False, None)


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (Override(FORCED_OPEN), "forced open"),
        (Override(FORCED_OPEN, None, "maintenance"), "forced open: maintenance"),
        (Override(DISABLED, None, "a demo"), "disabled: a demo"),
    ],
)
def test_the_answer_of_an_override_says_its_kind_and_its_reason(order: Override, reason: str) -> None:
    assert reason_of(ask(after_override(opened(), order), 1, SETTINGS)) == reason


@pytest.mark.parametrize("kind", [FORCED_OPEN, DISABLED])
def test_an_override_is_over_at_its_end_and_the_state_rules_again(kind: str) -> None:
    order = Override(kind, 100)
    circuit = after_override(opened(), order)
    assert (override_at(circuit, 99.5), override_at(circuit, 100)) == (order, None)
    assert said(ask(circuit, 100, SETTINGS)) == said(ask(opened(), 100, SETTINGS)) == (False, False, COOLDOWN)
    assert override_at(Circuit(), 0) is None


def test_an_override_stands_beside_the_state_which_goes_on() -> None:
    order = Override(FORCED_OPEN)
    circuit = after(after_override(Circuit(), order), *failures(THRESHOLD))
    assert (circuit.state, circuit.override) == (OPEN, order)
    closed = after(circuit, TaskEnd(SUCCESS, COOLDOWN))
    assert (closed.state, closed.override) == (CLOSED, order)
    lifted = after_override(circuit, None)
    assert (lifted.state, lifted.generation, lifted.override) == (OPEN, circuit.generation, None)
    assert said(ask(lifted, COOLDOWN, SETTINGS)) == (True, True, None)


def test_an_override_leaves_a_permit_out() -> None:
    circuit = after_override(granted(), Override(DISABLED))
    assert circuit.permit is not None
    assert after(circuit, probe_end(SUCCESS)).state == CLOSED


def test_a_permit_whose_task_has_not_begun_is_over_at_its_end() -> None:
    permit = ProbePermit("probe", 1000, 1000 + LEASE_SECONDS)
    assert not is_lapsed(permit, 1000)
    assert not is_lapsed(permit, 999.5 + LEASE_SECONDS)
    assert is_lapsed(permit, 1000 + LEASE_SECONDS)
    assert is_lapsed(permit, 1e6)


def test_a_permit_of_a_clock_that_has_jumped_back_since_is_over() -> None:
    permit = ProbePermit("probe", 1000, 1900)
    assert (LEASE_SECONDS, TOLERANCE_SECONDS) == (900, 60)
    assert not is_lapsed(permit, 940)
    assert is_lapsed(permit, 939.5)


def test_a_longest_cooldown_below_the_first_one_leaves_the_first_one() -> None:
    settings = Settings({"cooldown_minutes": 10, "cooldown_max_minutes": 1})
    assert [cooldown_seconds(reopenings, settings) for reopenings in (0, 1, 9)] == [COOLDOWN] * 3


def test_the_cooldown_doubles_as_long_as_the_longest_one_lets_it() -> None:
    settings = Settings({"cooldown_minutes": 0.000001, "cooldown_max_minutes": 525_600})
    lengths = [cooldown_seconds(reopenings, settings) for reopenings in range(33)]
    assert lengths == [pytest.approx(0.00006 * 2**reopenings) for reopenings in range(33)]
    assert cooldown_seconds(2000, settings) == lengths[-1]


def test_a_task_that_says_nothing_is_one_that_was_cancelled_or_is_not_counted() -> None:
    ends = [
        TaskEnd(outcome, 0, is_counted=is_counted) for outcome in (FAILURE, CANCELLED) for is_counted in (True, False)
    ]
    assert [end.says_nothing for end in ends] == [False, True, True, True]
