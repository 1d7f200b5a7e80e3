import asyncio
import gc
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_tracker import (
    AgentBlacklistedError,
    MetricTracker,
    NoAgentAvailableError,
    Permit,
    Rejection,
    Selection,
    TaskTracker,
    names,
    track_agent,
)
from otel_tracker.cli import main
from otel_tracker.errors import InvalidValueError, OtelTrackerError
from otel_tracker.runtime.owner import this_process
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.storage.home import Home
from tests.clock import Clock
from tests.stores import store_of

AGENT, OTHER, THIRD = "core/coder.md", "core/debugger.md", "core/architect.md"
COOLDOWN = 600.0
DEAD = {**this_process(), "pid": 2**22 + 1, "started": "1"}  # beyond what Linux gives


def fail(tracker: MetricTracker, *agents: str, times: int = 5) -> None:
    for agent in agents or (AGENT,):
        for _ in range(times):
            with TaskTracker(agent, tracker=tracker) as task:
                task.set_failed("broken")


def state(tracker: MetricTracker, agent: str = AGENT) -> tuple[str, int]:
    row = tracker.get_agent_metrics(agent)
    return row["state"], row["failures"]


def acquired(tracker: MetricTracker, agent: str = AGENT) -> Permit:
    permit = tracker.try_acquire(agent)
    assert isinstance(permit, Permit)
    return permit


def refused(tracker: MetricTracker, agent: str = AGENT) -> Rejection:
    rejection = tracker.try_acquire(agent)
    assert isinstance(rejection, Rejection)
    return rejection


def configure(tracker: MetricTracker, **changes: Any) -> None:
    """Edit the document by hand: `agents` by key, anything else at the top level."""
    tracker.save(backup=False)
    document = json.loads(tracker.config_file.read_bytes())
    for key, config in changes.pop("agents", {}).items():
        document["agents"][key]["config"] = config
    tracker.config_file.write_text(json.dumps({**document, **changes}))


def test_a_closed_breaker_lets_a_task_through_and_nothing_is_written(tracker: MetricTracker) -> None:
    permit = acquired(tracker)
    assert permit
    assert (permit.agent_file, permit.is_probe) == (AGENT, False)
    permit.release()
    assert not tracker.config_file.exists()


def test_a_permit_is_a_context_manager_and_carries_the_task_that_it_is_for(tracker: MetricTracker) -> None:
    permit = tracker.try_acquire(AGENT, task_id="fix-1")
    assert permit
    assert permit.task_id == "fix-1"
    with permit as task:
        task.set_tokens_used(7)
    (entry,) = tracker.get_history()
    assert (entry["task_id"], entry["tokens_used"], entry["action"]) == ("fix-1", 7, "task_completed")


def test_a_permits_task_has_the_callers_options(tracker: MetricTracker) -> None:
    with acquired(tracker).task(model="opus", fallback_for=OTHER):
        pass
    (entry,) = tracker.get_history()
    assert (entry["model"], entry["fallback_for"]) == ("opus", OTHER)


def test_a_permit_is_good_for_one_task(tracker: MetricTracker) -> None:
    permit = acquired(tracker)
    with permit:
        pass
    with pytest.raises(RuntimeError, match="has been used"):
        permit.task()


def test_a_refusal_says_until_when_and_why_and_what_to_use_instead(tracker: MetricTracker, clock: Clock) -> None:
    fail(tracker)
    fail(tracker, OTHER, times=1)
    configure(tracker, fallback_chain={"L2_to_L1": {"coder": "debugger"}})
    rejection = refused(tracker)
    assert not rejection
    until = format_timestamp(clock.now + COOLDOWN)
    assert repr(rejection) == repr(Rejection(AGENT, until, "5 failures in a row", OTHER))
    with pytest.raises(AgentBlacklistedError) as raised:
        raise rejection.error()
    assert (raised.value.agent, raised.value.until, raised.value.fallback) == (AGENT, until, OTHER)
    assert f"refused until {until} (5 failures in a row); use {OTHER} instead" in str(raised.value)


def test_a_refusal_is_an_event_and_counted(tracker: MetricTracker) -> None:
    fail(tracker)
    rejection = tracker.try_acquire(AGENT, task_id="fix-1")
    assert isinstance(rejection, Rejection)
    (entry,) = tracker.get_history(limit=1)
    assert (entry["action"], entry["task_id"], entry["reason"]) == ("task_rejected", "fix-1", "5 failures in a row")
    assert entry["refused_until"] == rejection.until
    row = tracker.get_agent_metrics(AGENT)
    assert (row["tallies"]["rejected"], row["metrics"]["tasks_total"]) == (1, 5)


def test_after_the_cooldown_one_task_is_let_through_and_the_next_one_waits_for_it(
    tracker: MetricTracker, clock: Clock
) -> None:
    fail(tracker)
    clock.now += COOLDOWN - 0.001
    assert (refused(tracker).reason, refused(tracker).code) == ("5 failures in a row", names.FAILURES)
    clock.now += 0.001
    assert tracker.check_agent_health(AGENT)
    probe = acquired(tracker)
    assert probe.is_probe
    assert not tracker.check_agent_health(AGENT)
    assert (refused(tracker).reason, refused(tracker).until) == ("a probe is running", None)
    assert refused(tracker).code == names.PROBE_RUNNING
    permit = tracker.get_agent_metrics(AGENT)["permit"]
    assert (permit["owner"], permit["granted"]) == (this_process(), format_timestamp(clock.now))
    with probe:
        assert refused(tracker).reason == "a probe is running"
    assert state(tracker) == ("closed", 0)


def test_a_probe_that_fails_reopens_the_breaker_for_twice_as_long(tracker: MetricTracker, clock: Clock) -> None:
    fail(tracker)
    clock.now += COOLDOWN
    with pytest.raises(ValueError, match="still broken"), acquired(tracker):
        raise ValueError("still broken")
    assert state(tracker) == ("open", 6)
    assert refused(tracker).until == format_timestamp(clock.now + 2 * COOLDOWN)


def test_a_cancelled_probe_gives_the_permit_back(tracker: MetricTracker, clock: Clock) -> None:
    fail(tracker)
    clock.now += COOLDOWN
    with pytest.raises(KeyboardInterrupt), acquired(tracker):
        raise KeyboardInterrupt
    assert state(tracker) == ("half_open", 5)
    assert acquired(tracker).is_probe


def test_a_permit_that_is_released_goes_to_the_next_caller_that_asks(tracker: MetricTracker, clock: Clock) -> None:
    fail(tracker)
    clock.now += COOLDOWN
    first = acquired(tracker)
    first.release()
    first.release()  # once is enough
    assert [entry["action"] for entry in tracker.get_history(limit=2)] == ["probe_granted", "probe_returned"]
    assert acquired(tracker).is_probe


def test_a_permit_without_a_task_is_over_after_fifteen_minutes(tracker: MetricTracker, clock: Clock) -> None:
    fail(tracker)
    clock.now += COOLDOWN
    permit = acquired(tracker)
    clock.now += 899
    assert not tracker.check_agent_health(AGENT)
    assert refused(tracker).reason == "a probe is running"
    clock.now += 1
    assert tracker.check_agent_health(AGENT)
    assert acquired(tracker).is_probe
    assert permit.agent_file == AGENT


def test_a_permit_whose_task_has_begun_lasts_as_long_as_the_task(tracker: MetricTracker, clock: Clock) -> None:
    fail(tracker)
    clock.now += COOLDOWN
    with acquired(tracker):
        clock.now += 7200
        assert refused(tracker).reason == "a probe is running"
    assert state(tracker) == ("closed", 0)


def test_a_probe_that_hangs_gives_way_to_another_one_and_its_late_end_moves_nothing(
    tracker: MetricTracker, clock: Clock
) -> None:
    fail(tracker)
    clock.now += COOLDOWN
    hanging = acquired(tracker).task()
    hanging.begin()
    clock.now += 3 * 3600 - 1
    assert not tracker.check_agent_health(AGENT)
    clock.now += 1
    assert tracker.check_agent_health(AGENT)
    (returned,) = [entry for entry in tracker.get_history() if entry["action"] == "probe_returned"]
    assert (returned["permit"], returned["reason"]) == (hanging._run_id, "the probe has not ended in time")
    with acquired(tracker) as second:
        assert refused(tracker).reason == "a probe is running"
        second.set_failed("still broken")
    before = tracker.get_agent(AGENT)
    hanging.end()
    after = tracker.get_agent(AGENT)
    assert (after["status"], after["failures"], after["circuit"]) == ("blacklisted", 6, before["circuit"])
    assert after["metrics"]["tasks_successful"] == before["metrics"]["tasks_successful"] + 1


def test_the_late_end_of_a_probe_that_hung_moves_nothing_while_no_task_has_the_permit_either(
    tracker: MetricTracker, clock: Clock
) -> None:
    fail(tracker)
    clock.now += COOLDOWN
    hanging = acquired(tracker).task()
    hanging.begin()
    clock.now += 3 * 3600
    assert tracker.check_agent_health(AGENT)
    hanging.end()
    assert state(tracker) == ("half_open", 5)
    assert acquired(tracker).is_probe


def test_how_long_a_probe_may_hang_is_a_setting_of_an_agent(tracker: MetricTracker, clock: Clock) -> None:
    fail(tracker)
    configure(tracker, agents={AGENT: {"probe_max_minutes": 1}})
    clock.now += COOLDOWN
    acquired(tracker).task().begin()
    clock.now += 60
    assert acquired(tracker).is_probe


def test_a_permit_granted_by_a_clock_that_has_jumped_back_since_is_over(tracker: MetricTracker, clock: Clock) -> None:
    fail(tracker)
    clock.now += COOLDOWN + 86_400
    acquired(tracker)
    clock.now -= 86_400
    assert acquired(tracker).is_probe


def test_the_permit_of_a_process_that_is_gone_goes_to_the_next_caller_that_asks(
    tracker: MetricTracker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(tracker)
    clock.now += COOLDOWN
    with monkeypatch.context() as other:
        other.setattr("otel_tracker.tracking.gate.this_process", lambda: DEAD)
        acquired(tracker)
    assert tracker.check_agent_health(AGENT)
    assert acquired(tracker).is_probe


def test_a_probe_whose_process_is_gone_reopens_the_breaker(
    tracker: MetricTracker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(tracker)
    clock.now += COOLDOWN
    probe = acquired(tracker)
    with monkeypatch.context() as other:
        other.setattr("otel_tracker.tracking.task.this_process", lambda: DEAD)
        probe.task().begin()
    assert not tracker.check_agent_health(AGENT)
    assert (state(tracker), tracker.get_history(limit=1)[0]["action"]) == (("open", 6), "task_lost")
    assert refused(tracker).until == format_timestamp(clock.now + 2 * COOLDOWN)


def test_a_probe_whose_process_is_gone_says_nothing_where_lost_tasks_do_not_count(
    tracker: MetricTracker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(tracker)
    configure(tracker, agents={AGENT: {"count_lost": False}})
    clock.now += COOLDOWN
    probe = acquired(tracker)
    with monkeypatch.context() as other:
        other.setattr("otel_tracker.tracking.task.this_process", lambda: DEAD)
        probe.task().begin()
    assert tracker.check_agent_health(AGENT)
    assert acquired(tracker).is_probe


def test_an_agents_own_settings_come_before_the_documents(tracker: MetricTracker, clock: Clock) -> None:
    fail(tracker, AGENT, OTHER, times=1)
    configure(tracker, agents={AGENT: {"failure_threshold": 2, "cooldown_minutes": 1}})
    fail(tracker, AGENT, OTHER, times=1)
    assert (state(tracker)[0], state(tracker, OTHER)[0]) == ("open", "closed")
    assert refused(tracker).until == format_timestamp(clock.now + 60)


def test_a_task_that_enforces_raises_where_the_breaker_refuses_and_its_work_does_not_run(
    tracker: MetricTracker,
) -> None:
    fail(tracker)
    with (
        pytest.raises(AgentBlacklistedError, match="5 failures in a row"),
        TaskTracker(AGENT, tracker=tracker, enforce=True),
    ):
        pytest.fail("it ran")
    assert tracker.get_agent_metrics(AGENT)["tallies"]["rejected"] == 1


def test_a_task_that_only_observes_runs_on_an_open_breaker(tracker: MetricTracker) -> None:
    fail(tracker, times=6)
    assert state(tracker) == ("open", 5)


def test_a_task_that_enforces_is_the_probe_after_the_cooldown(tracker: MetricTracker, clock: Clock) -> None:
    fail(tracker)
    clock.now += COOLDOWN
    with TaskTracker(AGENT, tracker=tracker, enforce=True):
        assert refused(tracker).reason == "a probe is running"
    assert state(tracker) == ("closed", 0)


def test_a_decorated_function_that_enforces_raises_before_it_is_called(tracker: MetricTracker) -> None:
    @track_agent(AGENT, tracker=tracker, enforce=True)
    def work() -> str:
        return "done"

    assert work() == "done"
    fail(tracker)
    with pytest.raises(AgentBlacklistedError):
        work()


@pytest.mark.parametrize(("value", "is_refused"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_the_environment_says_whether_tasks_enforce(
    tracker: MetricTracker, monkeypatch: pytest.MonkeyPatch, value: str, is_refused: bool
) -> None:
    fail(tracker)
    monkeypatch.setenv("OTEL_TRACKER_ENFORCE", value)
    try:
        with TaskTracker(AGENT, tracker=tracker):
            pass
    except AgentBlacklistedError:
        assert is_refused
    else:
        assert not is_refused
    with TaskTracker(AGENT, tracker=tracker, enforce=False):
        pass


@pytest.mark.parametrize(
    ("kind", "is_admitted"), [("forced_open", False), ("disabled", True)], ids=["forced open", "disabled"]
)
def test_an_override_stands_above_the_breaker_for_its_time(
    tracker: MetricTracker, clock: Clock, kind: str, is_admitted: bool
) -> None:
    fail(tracker, times=0 if kind == "forced_open" else 5)
    tracker.register_agent("coder", AGENT)
    before = state(tracker)
    tracker.override_breaker(AGENT, kind, seconds=60, reason="maintenance")
    assert tracker.check_agent_health(AGENT) is is_admitted
    assert bool(tracker.try_acquire(AGENT)) is is_admitted
    assert state(tracker) == before
    assert tracker.get_agent_metrics(AGENT)["override"]["reason"] == "maintenance"
    clock.now += 60
    assert tracker.check_agent_health(AGENT) is not is_admitted
    assert tracker.get_agent_metrics(AGENT)["override"] is None


def test_an_override_is_lifted_by_hand_and_survives_a_reset(tracker: MetricTracker) -> None:
    fail(tracker)
    tracker.override_breaker(AGENT, "forced_open")
    tracker.reset_agent_failures(AGENT)
    rejection = refused(tracker)
    assert (rejection.until, rejection.reason) == (None, "forced open")
    assert (rejection.code, rejection.error().code) == (names.FORCED_OPEN, names.FORCED_OPEN)
    tracker.override_breaker(AGENT, None)
    assert acquired(tracker)


@pytest.mark.parametrize(
    "arguments", [("open",), ("disabled", 0), ("disabled", -1), ("disabled", float("inf")), ("disabled", float("nan"))]
)
def test_an_override_that_makes_no_sense_is_an_error(tracker: MetricTracker, arguments: tuple[Any, ...]) -> None:
    tracker.register_agent("coder", AGENT)
    with pytest.raises(InvalidValueError):
        tracker.override_breaker(AGENT, *arguments)


def test_a_backup_is_made_before_an_override(tracker: MetricTracker, home: Home) -> None:
    tracker.register_agent("coder", AGENT)
    tracker.override_breaker(AGENT, "disabled")
    assert len(os.listdir(home.backups)) == 1


def test_what_the_gate_has_recorded_is_read_again_from_the_journal_alone(tracker: MetricTracker, clock: Clock) -> None:
    fail(tracker)
    refused(tracker)
    tracker.override_breaker(AGENT, "disabled", seconds=60, reason="on trial")
    clock.now += COOLDOWN
    acquired(tracker).release()
    permit = acquired(tracker)
    before = tracker.get_agent_metrics(AGENT)
    tracker.config_file.unlink()
    shutil.rmtree(tracker._store.home.backups)
    store_of(tracker).renew()
    assert tracker.get_agent_metrics(AGENT) == before
    assert before["tallies"]["rejected"] == 1
    assert before["permit"]["run_id"]
    permit.release()


def test_the_first_agent_that_would_be_let_through_is_selected(tracker: MetricTracker) -> None:
    assert tracker.select_agent(AGENT, [OTHER]) == Selection(AGENT, None)
    fail(tracker)
    assert tracker.select_agent(AGENT, [OTHER, THIRD]) == Selection(OTHER, AGENT)
    fail(tracker, OTHER)
    assert tracker.select_agent(AGENT, [OTHER, THIRD]) == Selection(THIRD, AGENT)
    assert tracker.get_agent_metrics(AGENT)["tallies"]["rejected"] == 0


def test_where_no_agent_is_healthy_the_error_lists_until_when_each_is_refused(
    tracker: MetricTracker, clock: Clock
) -> None:
    fail(tracker)
    until = format_timestamp(clock.now + COOLDOWN)
    clock.now += 60
    fail(tracker, OTHER)
    tracker.register_agent("architect", THIRD)
    tracker.override_breaker(THIRD, "forced_open")
    with pytest.raises(NoAgentAvailableError) as raised:
        tracker.select_agent(AGENT, [OTHER, THIRD])
    assert raised.value.refused == (
        (AGENT, until, "5 failures in a row"),
        (OTHER, format_timestamp(clock.now + COOLDOWN), "5 failures in a row"),
        (THIRD, None, "forced open"),
    )
    assert raised.value.until == until
    for agent in (AGENT, OTHER, THIRD):
        assert agent in str(raised.value)


def test_an_agents_own_fallbacks_come_before_the_documents_chain(tracker: MetricTracker) -> None:
    fail(tracker)
    configure(tracker, fallback_chain={"ultimate_fallback": THIRD}, agents={AGENT: {"fallbacks": [OTHER]}})
    assert tracker.select_agent(AGENT) == Selection(OTHER, AGENT)
    assert tracker.select_agent(AGENT, [THIRD]) == Selection(THIRD, AGENT)


def test_the_chain_of_a_real_document_leads_from_specialist_to_expert_to_coder(adopt: Callable[[], Home]) -> None:
    tracker = MetricTracker(adopt().document)
    specialist = next(key for key in _agents(tracker) if "db-query-optimizer" in key)
    fail(tracker, specialist)
    assert tracker.select_agent(specialist) == Selection("experts/database_expert.md", specialist)
    fail(tracker, "experts/database_expert.md")
    assert tracker.select_agent(specialist) == Selection("core/coder.md", specialist)


def _agents(tracker: MetricTracker) -> list[str]:
    return list(json.loads(tracker.config_file.read_bytes())["agents"])


def test_a_chain_that_runs_in_a_circle_ends(tracker: MetricTracker) -> None:
    fail(tracker, AGENT, OTHER)
    chain = {"L2_to_L1": {"coder": "debugger", "debugger": "coder"}, "ultimate_fallback": AGENT}
    configure(tracker, fallback_chain=chain)
    with pytest.raises(NoAgentAvailableError) as raised:
        tracker.select_agent(AGENT)
    assert [agent for agent, _, _ in raised.value.refused] == [AGENT, OTHER]


def test_a_home_that_cannot_be_read_opens_the_gate_and_says_so(
    tracker: MetricTracker, warnings_logged: Callable[[], list[str]]
) -> None:
    Path(tracker.config_file).parent.mkdir(parents=True)
    Path(tracker.config_file).write_text("{}x")
    Path(tracker.config_file).chmod(0)
    if os.geteuid() == 0:
        Path(tracker.config_file).unlink()
        Path(tracker.config_file).mkdir()
    assert acquired(tracker)
    assert any("cannot ask any breaker" in message for message in warnings_logged())


def test_a_home_that_cannot_be_written_to_opens_the_gate_for_a_probe(
    tracker: MetricTracker, clock: Clock, monkeypatch: pytest.MonkeyPatch, warnings_logged: Callable[[], list[str]]
) -> None:
    fail(tracker)
    clock.now += COOLDOWN

    def fail_to_write(*_: object) -> None:
        raise OtelTrackerError("the disk is full")

    monkeypatch.setattr(tracker._store, "record_found", fail_to_write)
    permit = acquired(tracker)
    assert not permit.is_probe
    assert "the disk is full" in warnings_logged()[-1]


@pytest.mark.parametrize("agent", ["", " ", None, 5])
def test_a_caller_that_asks_for_an_impossible_agent_gets_an_error(tracker: MetricTracker, agent: Any) -> None:
    for ask in (tracker.try_acquire, tracker.select_agent):
        with pytest.raises(InvalidValueError):
            ask(agent)


def test_a_permit_whose_task_was_made_and_not_begun_can_be_given_back_and_not_be_used_then(
    tracker: MetricTracker, clock: Clock
) -> None:
    fail(tracker)
    clock.now += COOLDOWN
    first = acquired(tracker)
    first.task()
    first.release()
    second = acquired(tracker)
    assert second.is_probe
    second.release()
    with pytest.raises(RuntimeError, match="has been used"):
        second.task()
    third = acquired(tracker)
    with third:
        third.release()
        assert refused(tracker).reason == "a probe is running"


def test_an_agents_own_empty_list_says_that_no_agent_stands_in(tracker: MetricTracker) -> None:
    fail(tracker)
    configure(tracker, fallback_chain={"ultimate_fallback": THIRD}, agents={AGENT: {"fallbacks": []}})
    with pytest.raises(NoAgentAvailableError):
        tracker.select_agent(AGENT)


def test_tokens_that_no_reader_takes_for_a_number_are_unmeasured_and_the_task_is_not_lost(
    tracker: MetricTracker,
) -> None:
    with TaskTracker(AGENT, tracker=tracker) as task:
        task.set_usage(input_tokens=2**53, output_tokens=1)
    before = tracker.get_agent_metrics(AGENT)
    assert before["metrics"]["tasks_total"] == 1
    tracker.config_file.unlink()
    store_of(tracker).renew()
    assert tracker.get_agent_metrics(AGENT) == before


@pytest.mark.parametrize("seconds", ["5", True, None])
def test_the_time_of_an_order_is_a_number(tracker: MetricTracker, seconds: Any) -> None:
    tracker.register_agent("coder", AGENT)
    if seconds is None:
        tracker.override_breaker(AGENT, "disabled", seconds)
    else:
        with pytest.raises(InvalidValueError):
            tracker.override_breaker(AGENT, "disabled", seconds)


@pytest.fixture
def probing(tracker: MetricTracker, clock: Clock) -> MetricTracker:
    """The tracker of a home with an agent whose cooldown is over: the next task is its probe."""
    fail(tracker)
    clock.now += COOLDOWN + 1
    return tracker


def test_a_permit_that_nothing_holds_any_more_is_given_back_at_once(probing: MetricTracker) -> None:
    permit = acquired(probing)
    assert permit.is_probe
    assert not probing.check_agent_health(AGENT)
    del permit
    assert probing.check_agent_health(AGENT)
    task = acquired(probing).task()
    assert not probing.check_agent_health(AGENT)  # its task holds it
    del task
    with acquired(probing):
        pass
    assert state(probing) == ("closed", 0)
    returned = [entry for entry in probing.get_history() if entry["action"] == "probe_returned"]
    assert len(returned) == 2


def test_a_permit_whose_task_has_begun_is_not_given_back(probing: MetricTracker) -> None:
    task = acquired(probing).task()
    task.begin()
    gc.collect()
    assert not probing.check_agent_health(AGENT)
    task.end()
    assert state(probing) == ("closed", 0)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system doesn't show threads")
def test_a_permit_whose_thread_has_ended_is_given_back_at_once(probing: MetricTracker, home: Home) -> None:
    kept: list[Permit] = []
    thread = threading.Thread(target=lambda: kept.append(acquired(probing)))
    thread.start()
    thread.join()
    while Path(f"/proc/self/task/{thread.native_id}").exists():  # the system ends it a moment after Python
        time.sleep(0)
    assert main(["health", AGENT, "--home", home.folder]) == 0  # as any process sees it
    assert isinstance(probing.try_acquire(AGENT), Permit)
    assert kept[0].agent_file == AGENT


def test_a_permit_lasts_as_long_as_its_thread(probing: MetricTracker) -> None:
    is_asked, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        permit = acquired(probing)
        is_asked.set()
        may_end.wait()
        permit.release()

    thread = threading.Thread(target=hold)
    thread.start()
    is_asked.wait()
    assert not probing.check_agent_health(AGENT)
    may_end.set()
    thread.join()
    assert probing.check_agent_health(AGENT)


@pytest.mark.processes
def test_a_permit_is_given_back_at_the_end_of_the_process_and_not_by_a_child(tracker: MetricTracker) -> None:
    fail(tracker)
    configure(tracker, config={"cooldown_minutes": 0})
    tracker.reset_agent_failures(AGENT)
    fail(tracker)
    code = f"""
import os, gc
from otel_tracker import MetricTracker
tracker = MetricTracker({str(tracker.config_file)!r})
permit = tracker.try_acquire({AGENT!r})
if os.fork() == 0:
    del permit
    gc.collect()
    os._exit(0)
os.wait()
print(permit.is_probe, tracker.check_agent_health({AGENT!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"
    assert [entry["reason"] for entry in tracker.get_history() if entry["action"] == "probe_returned"] == ["given back"]


def test_a_permit_is_an_asynchronous_context_manager(probing: MetricTracker) -> None:
    async def work() -> None:
        async with acquired(probing) as task:
            task.set_tokens_used(7)
        with pytest.raises(RuntimeError, match="ask for another one"):
            async with permit:
                pass

    permit = acquired(probing)
    permit.release()
    asyncio.run(work())
    (entry,) = probing.get_history(AGENT, 1)
    assert (entry["action"], entry["tokens_used"]) == ("task_completed", 7)
    assert state(probing) == ("closed", 0)


def test_a_refusal_is_an_event_of_the_callers_span(tracker: MetricTracker) -> None:
    fail(tracker)
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("application").start_as_current_span("work"):
        rejection = refused(tracker)
        tracker.try_acquire(OTHER)
    (span,) = exporter.get_finished_spans()
    (told,) = span.events
    assert told.name == "circuit_refusal"
    assert dict(told.attributes or {}) == {
        "gen_ai.agent.name": AGENT,
        "otel_tracker.circuit.reason": "5 failures in a row",
        "otel_tracker.circuit.until": rejection.until,
    }


@pytest.mark.processes
def test_a_breaker_that_opens_is_one_warning_over_all_processes(
    tracker: MetricTracker, home: Home, warnings_logged: Callable[[], list[str]]
) -> None:
    fail(tracker, times=4)
    assert warnings_logged() == []
    fail(tracker, times=3)
    until = tracker.get_agent(AGENT)["blacklisted_until"]
    said = f"{AGENT} is blacklisted until {until}: 5 failures in a row; look at: otel-tracker breaker {AGENT} --home {home.folder}"
    assert warnings_logged() == [said]
    code = f"from otel_tracker import MetricTracker as M; M({home.document!r}).register_agent('X', 'x.md')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
