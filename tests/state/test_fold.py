import copy
import json
from typing import Any

import pytest
from hypothesis import assume, example, given, reject, settings
from hypothesis import strategies as st

from otel_tracker import names
from otel_tracker.runtime.limits import DURATION_BOUNDS, MOST_TOKENS
from otel_tracker.state.codec import DocumentCodec
from otel_tracker.state.document import Document, decode_json, encode_line, new_document
from otel_tracker.state.event_checks import is_event
from otel_tracker.state.fold import fold, fold_all
from otel_tracker.state.schema import has_changed_settings, new_main_entry
from otel_tracker.state.shapes import Event
from tests.builders import (
    AGENT,
    about,
    any_event,
    document_of,
    end,
    folded,
    json_values,
    moment,
    numbered,
    start,
    text_of,
    usage,
)

SUCCESS, FAILURE, CANCELLED, LOST = names.SUCCESS, names.FAILURE, names.CANCELLED, names.LOST
OTHER = "ui/designer.md"
DAY = 86_400.0


def agent_after(*events: Event, into: Document | None = None) -> dict[str, Any]:
    return folded(*events, into=into).agents[AGENT]


def ends(*outcomes: str, after: float = 60.0, **known: Any) -> list[Event]:
    return [end(f"run-{after}-{n}", outcome, after + n, **known) for n, outcome in enumerate(outcomes)]


def failures_left(*events: Event, **config: Any) -> int:
    failures: int = agent_after(*events, into=document_of(**config))["failures"]
    return failures


def run_ids(document: Document) -> list[Any]:
    return [entry.get("run_id") for entry in document.history.entries()]


@pytest.mark.parametrize(
    ("outcome", "counter", "system_counter"),
    [
        (SUCCESS, "tasks_successful", "successful"),
        (FAILURE, "tasks_failed", "failed"),
        (LOST, "tasks_failed", "failed"),
        (CANCELLED, "tasks_cancelled", "cancelled"),
    ],
)
def test_an_ended_task_counts_once_by_its_outcome(outcome: str, counter: str, system_counter: str) -> None:
    document = folded(end("r1", outcome))
    counted = {key: value for key, value in document.agents[AGENT]["metrics"].items() if key.startswith("tasks_")}
    assert counted == {"tasks_total": 1, "tasks_successful": 0, "tasks_failed": 0, "tasks_cancelled": 0} | {counter: 1}
    numbers = {key: value for key, value in document.head["metrics"].items() if value}
    assert numbers == {"total_agents": 1, "total_requests": 1, system_counter: 1}
    assert document.agents[AGENT]["tallies"]["lost"] == (outcome == LOST)


def test_system_metrics_are_an_adopted_files_values_and_what_comes() -> None:
    adopted = {"total_agents": 43, "total_requests": 1250, "successful": 1180, "failed": 45, "fallback_used": 25}
    document = folded(end("r1"), end("r2", FAILURE), end("r3", CANCELLED), into=document_of({"metrics": adopted}))
    assert document.head["metrics"] == {
        "total_agents": 1,
        "total_requests": 1253,
        "successful": 1181,
        "failed": 46,
        "cancelled": 1,
        "fallback_used": 25,
        "circuit_breaks": 0,
    }


def test_durations_are_summed_averaged_over_all_tasks_and_sorted_into_buckets() -> None:
    durations = [0.1, 0.100001, 45.2, 7200.0, 7201.0]
    agent = agent_after(*(end(f"r{n}", duration_seconds=seconds) for n, seconds in enumerate(durations)))
    assert agent["metrics"]["total_duration_seconds"] == pytest.approx(sum(durations), abs=1e-6)
    assert agent["metrics"]["avg_duration_seconds"] == pytest.approx(sum(durations) / 5, abs=1e-6)
    at_most = [sum(agent["durations"]["buckets"][: n + 1]) for n in range(len(DURATION_BOUNDS) + 1)]
    assert at_most == [sum(seconds <= bound for seconds in durations) for bound in (*DURATION_BOUNDS, float("inf"))]
    assert agent["durations"]["sum"] == pytest.approx(sum(durations), abs=1e-6)


def test_an_unmeasured_duration_counts_the_task_and_no_time() -> None:
    agent = agent_after(end("r1", duration_seconds=30), {**end("r2"), "duration_seconds": None})
    assert (agent["metrics"]["tasks_total"], agent["metrics"]["total_duration_seconds"]) == (2, 30)
    assert (agent["metrics"]["avg_duration_seconds"], sum(agent["durations"]["buckets"])) == (15, 1)


def test_an_agent_says_when_its_first_and_its_last_task_ended() -> None:
    metrics = agent_after(start("r1"), end("r1", after=60), end("r2", after=90))["metrics"]
    assert (metrics["first_task_timestamp"], metrics["last_task_timestamp"]) == (moment(60), moment(90))


def test_tokens_kept_for_an_hour_are_a_part_that_no_total_counts_twice() -> None:
    long = {"input": 10, "cache_write": 300, "cache_write_1h": 200}
    models = {"claude-sonnet-5": long}
    event = end("r1", model=None, tokens=long, models=models)
    assert event["tokens_used"] == 310
    agent = agent_after(event, end("r2", tokens={"cache_write": 5}))
    expected = {"total": 315, "cache_write": 305, "cache_write_1h": 200}
    assert {key: agent["token_usage"]["sonnet"].get(key) for key in expected} == expected
    assert agent["models"]["claude-sonnet-5"]["cache_write_1h"] == 200
    assert "cache_write_1h" not in agent["token_usage"]["opus"]


def test_what_tokens_cost_adds_up_and_is_no_token() -> None:
    priced = {"input": 10, "output": 5, names.PRICED: 15, names.COST: 120}
    first = end("r1", model=None, tokens=priced, models={"claude-sonnet-5": priced})
    second = end("r2", model=None, tokens={"output": 7}, models={"claude-sonnet-5": {"output": 7}})
    assert (first["tokens_used"], second["tokens_used"]) == (15, 7)
    expected = {"total": 22, names.PRICED: 15, names.COST: 120}
    agent = agent_after(first, second, end("r3", model="opus", tokens={"untyped": 9}))
    for use in (agent["token_usage"]["sonnet"], agent["models"]["claude-sonnet-5"]):
        assert {key: use[key] for key in expected} == expected
    assert names.COST not in agent["token_usage"]["opus"]


def test_tokens_are_counted_by_model_and_by_type() -> None:
    typed = {"input": 10, "output": 5, "cache_read": 100, "cache_write": 20}
    agent = agent_after(end("r1", tokens={"untyped": 1500}), end("r2", tokens=typed), end("r3", FAILURE, model="opus"))
    assert agent["token_usage"]["sonnet"] == {
        "total": 1635,
        "last": 135,
        "count": 2,
        "measured": 2,
        "untyped": 1500,
        **typed,
    }
    assert (agent["token_usage"]["opus"]["count"], agent["token_usage"]["opus"]["total"]) == (1, 0)


def test_unmeasured_tokens_leave_the_last_ones_and_count_the_task() -> None:
    agent = agent_after(end("r1", tokens={"untyped": 1500}), end("r2", tokens=None))
    usage = agent["token_usage"]["sonnet"]
    assert (usage["total"], usage["last"], usage["count"]) == (1500, 1500, 2)
    assert agent_after(end("r1", tokens=None))["token_usage"]["sonnet"]["last"] is None


def test_tokens_that_were_measured_as_none_are_the_last_ones() -> None:
    agent = agent_after(end("r1", tokens={"untyped": 1500}), end("r2", tokens={"untyped": 0}))
    assert (agent["token_usage"]["sonnet"]["total"], agent["token_usage"]["sonnet"]["last"]) == (1500, 0)


@pytest.mark.parametrize("model", ["gpt-5", "claude-sonnet-5", "fable"])
def test_a_model_that_the_user_names_has_its_own_key(model: str) -> None:
    usage = agent_after(end(model=model, tokens={"untyped": 7}))["token_usage"]
    assert {name: entry["total"] for name, entry in usage.items()} == {"haiku": 0, "sonnet": 0, "opus": 0, model: 7}


@pytest.mark.parametrize(
    ("full_id", "key"),
    [("claude-sonnet-5", "sonnet"), ("claude-haiku-4-5-20251001", "haiku"), ("opus[1m]", "opus"), ("gpt-5", "gpt-5")],
)
def test_a_full_id_is_kept_and_rolled_up_to_its_family_where_the_user_named_none(full_id: str, key: str) -> None:
    agent = agent_after(end(model=None, tokens={"untyped": 7}, models={full_id: {"untyped": 7}}))
    assert (agent["token_usage"][key]["total"], agent["token_usage"][key]["count"]) == (7, 1)
    assert (agent["models"][full_id]["total"], agent["models"][full_id]["count"]) == (7, 1)


def test_a_named_model_gets_all_tokens_and_the_full_ids_stand_beside_it() -> None:
    models = {"claude-sonnet-5": {"output": 4}, "claude-haiku-4-5": {"output": 3}}
    agent = agent_after(end(model="opus", tokens={"output": 7}, models=models))
    assert {name: entry["total"] for name, entry in agent["token_usage"].items()} == {
        "haiku": 0,
        "sonnet": 0,
        "opus": 7,
    }
    assert {name: entry["total"] for name, entry in agent["models"].items()} == {
        "claude-sonnet-5": 4,
        "claude-haiku-4-5": 3,
    }


def test_a_task_with_two_full_ids_of_one_family_counts_once_for_it() -> None:
    models = {"claude-sonnet-4": {"output": 4}, "claude-sonnet-5": {"output": 3}}
    usage = agent_after(end(model=None, tokens={"output": 7}, models=models))["token_usage"]["sonnet"]
    assert (usage["count"], usage["total"], usage["last"]) == (1, 7, 7)


def test_an_entry_of_a_full_id_that_says_little_is_counted_on() -> None:
    adopted = document_of({"agents": {AGENT: {"models": {"claude-opus-5": {"total": 3}}}}})
    entry = agent_after(end(models={"claude-opus-5": {"output": 7}}), into=adopted)["models"]["claude-opus-5"]
    assert (entry["total"], entry["count"], entry["output"]) == (10, 1, 7)


def test_a_model_that_only_the_start_named_is_counted() -> None:
    agent = agent_after(start("r1", model="opus"), end("r1", CANCELLED, model=None))
    assert agent["token_usage"]["opus"]["count"] == 1


def test_unknown_keys_survive_the_counting() -> None:
    entry = {
        "colour": "blue",
        "metrics": {"score": 1},
        "token_usage": {"sonnet": {"cost": 0.5}},
        "circuit": {"trips": {"x": 1}},
        "durations": {"unit": "s"},
        "tallies": {"retries": 2},
    }
    value = {"agents": {AGENT: entry}, "fallback_chain": {"a": "b"}, "metrics": {"uptime": 9}}
    head = folded(start("r1"), *ends(*[FAILURE] * 5), end("r1", LOST), into=document_of(value)).head
    agent = head["agents"][AGENT]
    assert (agent["colour"], agent["metrics"]["score"], agent["token_usage"]["sonnet"]["cost"]) == ("blue", 1, 0.5)
    assert (agent["circuit"]["trips"], agent["durations"]["unit"], agent["tallies"]["retries"]) == ({"x": 1}, "s", 2)
    assert (head["fallback_chain"], head["metrics"]["uptime"]) == ({"a": "b"}, 9)


def test_the_document_shows_an_opened_breaker_and_counts_the_opening() -> None:
    document = folded(*ends(FAILURE, FAILURE), into=document_of(failure_threshold=2, cooldown_minutes=10))
    agent = document.agents[AGENT]
    assert (agent["status"], agent["failures"], agent["last_failure"]) == ("blacklisted", 2, moment(61))
    assert agent["blacklisted_until"] == moment(61 + 600)
    assert (agent["tallies"]["opened"], document.head["metrics"]["circuit_breaks"]) == (1, 1)


def test_a_probe_closes_or_reopens_the_documents_breaker() -> None:
    opened = folded(*ends(FAILURE, FAILURE), into=document_of(failure_threshold=2, cooldown_minutes=10))
    closed = folded(end("p", after=2000), into=opened).agents[AGENT]
    assert (closed["status"], closed["failures"], closed["blacklisted_until"]) == ("healthy", 0, None)
    reopened = folded(end("p", FAILURE, after=2000), into=opened)
    assert reopened.agents[AGENT]["blacklisted_until"] == moment(2000 + 1200)
    assert (reopened.agents[AGENT]["tallies"]["opened"], reopened.head["metrics"]["circuit_breaks"]) == (2, 2)


@pytest.mark.parametrize("late", [end("r1", after=5000, started=None), end("r2", after=5000, started=moment(0))])
def test_a_late_result_is_recorded_and_moves_nothing(late: Event) -> None:
    opened = folded(start("r1"), *ends(FAILURE, FAILURE), into=document_of(failure_threshold=2))
    agent = agent_after(late, into=opened)
    assert agent["metrics"]["tasks_successful"] == 1
    assert (agent["status"], agent["failures"]) == ("blacklisted", 2)
    assert agent["circuit"] == opened.agents[AGENT]["circuit"]


def test_a_task_begun_before_a_reset_does_not_count_for_the_breaker_after_it() -> None:
    reset = about(names.AGENT_RESET, after=10)
    assert failures_left(start("r1"), reset, end("r1", FAILURE)) == 0
    assert failures_left(reset, start("r1", after=20), end("r1", FAILURE)) == 1


def test_consecutive_failures_are_those_of_one_agent() -> None:
    document = folded(end("r1", FAILURE), end("r2", FAILURE, agent=OTHER), end("r3", agent=OTHER))
    assert [document.agents[key]["failures"] for key in (AGENT, OTHER)] == [1, 0]


def test_an_environment_error_fails_the_task_but_not_the_breaker() -> None:
    agent = agent_after(end("r1", FAILURE), end("r2", FAILURE, environment_error=True))
    assert (agent["metrics"]["tasks_failed"], agent["failures"]) == (2, 1)


def test_lost_tasks_count_for_the_breaker_unless_the_setting_says_no() -> None:
    assert failures_left(*ends(LOST, LOST)) == 2
    assert failures_left(*ends(LOST, LOST), count_lost=False) == 0
    assert failures_left(*ends(LOST, FAILURE, LOST), count_lost=False) == 1
    assert failures_left(*ends(FAILURE, SUCCESS), count_lost=False) == 0


def test_a_status_that_is_not_ours_is_read_as_closed_and_its_failures_count_on() -> None:
    unhealthy = document_of({"agents": {AGENT: {"status": "unhealthy", "failures": 4}}})
    assert agent_after(end("r1", FAILURE), into=unhealthy)["status"] == "blacklisted"
    after_success = agent_after(end("r1"), into=unhealthy)
    assert (after_success["status"], after_success["failures"]) == ("healthy", 0)


def test_a_timestamp_that_does_not_change_keeps_its_text() -> None:
    naive = document_of({"agents": {AGENT: {"failures": 2, "last_failure": "2026-02-15T11:00:00"}}})
    agent = agent_after(end("r1"), into=naive)
    assert (agent["failures"], agent["last_failure"]) == (0, "2026-02-15T11:00:00")


def test_a_breaker_closed_by_hand_is_closed_whatever_the_other_keys_say() -> None:
    opened = folded(*ends(FAILURE, FAILURE), into=document_of(failure_threshold=2)).head
    by_hand = {**opened["agents"][AGENT], "status": "healthy", "failures": 0}
    agent = agent_after(end("r9", FAILURE, after=70), into=document_of({**opened, "agents": {AGENT: by_hand}}))
    assert (agent["status"], agent["failures"], agent["blacklisted_until"]) == ("healthy", 1, None)


def test_a_reset_closes_the_breaker_and_keeps_the_counters() -> None:
    document = folded(*ends(*[FAILURE] * 5), about(names.AGENT_RESET, after=100))
    agent = document.agents[AGENT]
    assert (agent["status"], agent["failures"], agent["blacklisted_until"]) == ("healthy", 0, None)
    assert (agent["last_failure"], agent["metrics"]["tasks_failed"]) == (moment(64), 5)
    assert document.history.entries()[-1]["action"] == names.AGENT_RESET


def test_a_started_task_is_in_flight_until_it_ends_and_is_no_history() -> None:
    document = folded(start("r1", task_id="t", owner={"pid": 1}), start("r2"))
    task = document.head["in_flight"]["r1"]
    assert {**task, "generation": 0} == {
        "agent": AGENT,
        "model": "sonnet",
        "task_id": "t",
        "started": moment(0),
        "owner": {"pid": 1},
        "generation": 0,
    }
    assert document.history.count == 0
    ended = folded(end("r1"), into=document)
    assert list(ended.head["in_flight"]) == ["r2"]
    assert run_ids(ended) == ["r1"]


def test_an_end_without_a_start_is_a_task_all_the_same() -> None:
    document = folded(end("r1"))
    assert (document.agents[AGENT]["metrics"]["tasks_total"], document.head["in_flight"]) == (1, {})


def test_registering_names_an_agent_and_keeps_what_it_has_done() -> None:
    document = folded(end("r1"), about(names.AGENT_REGISTERED, name="Coder"))
    assert (document.agents[AGENT]["name"], document.agents[AGENT]["metrics"]["tasks_total"]) == ("Coder", 1)
    assert folded(about(names.AGENT_REGISTERED, name="Coder")).head["metrics"]["total_agents"] == 1


@pytest.mark.parametrize("action", ["agent_praised", "task_tested"])
def test_an_unknown_action_is_kept_in_history_and_counts_nothing(action: str) -> None:
    event = about(action, stars=5)
    document = folded(end("r1"), event)
    assert document.agents == folded(end("r1")).agents
    assert document.history.entries()[-1] == {**event, "seq": 2}
    assert (document.sequence, document.head["updated"]) == (2, event["timestamp"])


def test_an_amendment_applies_differences_and_never_moves_the_breaker() -> None:
    before = folded(end("r1", LOST, tokens={"untyped": 100}), end("r2"))
    differences: dict[str, Any] = {
        "model": "sonnet",
        "tokens": {"untyped": -40, "output": 10},
        "duration_seconds": 30.0,
    }
    amended = folded(about(names.TASK_AMENDED, previous_outcome=LOST, outcome=SUCCESS, **differences), into=before)
    agent, system = amended.agents[AGENT], amended.head["metrics"]
    assert (agent["metrics"]["tasks_successful"], agent["metrics"]["tasks_failed"], agent["tallies"]["lost"]) == (
        2,
        0,
        0,
    )
    assert (system["successful"], system["failed"], system["total_requests"]) == (2, 0, 2)
    assert (agent["metrics"]["total_duration_seconds"], agent["metrics"]["avg_duration_seconds"]) == (150, 75)
    usage = agent["token_usage"]["sonnet"]
    assert (usage["total"], usage["untyped"], usage["output"], usage["count"]) == (70, 60, 10, 2)
    assert (agent["circuit"], agent["status"]) == (before.agents[AGENT]["circuit"], "healthy")


def test_an_amendment_that_takes_tokens_away_does_not_say_that_the_last_task_used_none() -> None:
    less = about(names.TASK_AMENDED, model="sonnet", tokens={"untyped": -40})
    assert agent_after(end(tokens={"untyped": 100}), less)["token_usage"]["sonnet"]["last"] in (60, 100)


def test_an_event_whose_number_the_document_has_is_ignored() -> None:
    document = folded(end("r1"), end("r2"))
    for seq in (0, 1, 2):
        assert fold(document, {**end("r3"), "seq": seq}) is document


def test_the_history_keeps_the_newest_entries_up_to_its_limit() -> None:
    document = folded(*(end(f"r{n}", after=n) for n in range(10)), into=document_of(history_max_entries=3))
    assert run_ids(document) == ["r7", "r8", "r9"]
    assert folded(end("r1"), into=document_of(history_max_entries=0)).history.count == 0


def test_the_history_drops_what_is_older_than_the_newest_event_by_the_retention() -> None:
    events = [end("old", after=0), end("edge", after=1), end("new", after=DAY + 1)]
    assert run_ids(folded(*events, into=document_of(history_retention_days=1))) == ["edge", "new"]


@pytest.mark.parametrize("entry", [{}, {"timestamp": None}, {"timestamp": "long ago"}, {"timestamp": 5}])
def test_an_entry_without_a_usable_timestamp_is_kept(entry: dict[str, Any]) -> None:
    document = document_of({"history": [{**entry, "run_id": "foreign"}]}, history_retention_days=1)
    assert run_ids(folded(end("r1", after=9 * DAY), into=document)) == ["foreign", "r1"]


_documents = st.builds(
    document_of,
    history_max_entries=st.sampled_from([0, 2, 1000]),
    history_retention_days=st.sampled_from([1, 30]),
    failure_threshold=st.integers(1, 3),
)


@settings(max_examples=60)
@given(_documents, st.lists(any_event, max_size=25), st.lists(st.integers(1, 6), max_size=20))
def test_any_split_into_batches_each_written_read_and_folded_again_gives_the_same_document(
    begun: Document, events: list[Event], sizes: list[int]
) -> None:
    in_one_go = fold_all(begun, numbered(events))
    document, rest = begun, numbered(events)
    for size in [*sizes, len(events)]:
        batch, rest = rest[:size], rest[size:]
        document = DocumentCodec().decode(text_of(fold_all(document, batch)), "circuit-breaker.json")
        document = fold_all(document, batch)
    assert text_of(document) == text_of(in_one_go)


@settings(max_examples=60)
@given(_documents, st.lists(any_event, max_size=25))
def test_events_that_are_read_from_their_text_change_a_document_as_those_that_were_written(
    begun: Document, events: list[Event]
) -> None:
    read = [decode_json(encode_line(event)) for event in numbered(events)]
    assert text_of(fold_all(begun, read)) == text_of(fold_all(begun, numbered(events)))


@settings(max_examples=60)
@given(_documents, st.lists(any_event, max_size=12))
def test_the_fold_never_changes_the_document_that_it_is_given(begun: Document, events: list[Event]) -> None:
    document = begun
    for event in numbered(events):
        head, history = copy.deepcopy(document.head), document.history.entries()
        after = fold(document, copy.deepcopy(event))
        assert (document.head, document.history.entries()) == (head, history)
        document = after


def test_what_main_conversations_use_is_counted_apart_from_agents_and_in_no_history() -> None:
    opus = {"input": 10, "output": 5, "cache_write": 4, "cache_write_1h": 4, names.COST: 120, names.PRICED: 19}
    events = [
        usage(after=60, models={"claude-opus-5-5": opus, "own": {"input": 3}}),
        usage(after=30, seconds=20, conversation_id="other", models={"claude-opus-5-5": opus}, usage_incomplete=True),
    ]
    document = folded(end("r1"), *events)
    assert document.main_conversation == {
        "since": moment(0),
        "models": {
            "claude-opus-5-5": {**new_main_entry(), **names.added_tokens(opus, opus), "total": 38},
            "own": {**new_main_entry(), "total": 3, "input": 3},
        },
        "usage_incomplete": 1,
    }
    assert list(document.agents) == [AGENT]
    assert document.head["metrics"] == folded(end("r1")).head["metrics"]
    assert [entry["action"] for entry in document.history.entries()] == [names.TASK_COMPLETED]
    assert document.head["updated"] == moment(60)


def test_more_tokens_than_a_main_conversation_can_use_are_no_measure() -> None:
    event = usage(models={"m": {"input": MOST_TOKENS}, "n": {"output": 1}})
    assert is_event({**event, "seq": 1})
    counted = folded(event).main_conversation
    assert (counted["models"]["m"]["total"], counted["usage_incomplete"]) == (0, 1)


def test_usage_without_models_is_no_event() -> None:
    assert not is_event({**usage(), "seq": 1, "models": None})


_BESIDE_TASKS = (names.TASK_AMENDED, names.AGENT_REMOVED, names.AGENT_RENAMED)  # entries of the history keep their keys


@settings(max_examples=60)
@given(st.lists(any_event.filter(lambda event: event["action"] not in _BESIDE_TASKS), max_size=25))
def test_the_totals_agree_with_each_other(events: list[Event]) -> None:
    document = folded(*events)
    entries = document.history.entries()
    tasks = [entry for entry in entries if entry["action"] in names.OUTCOMES]
    system = document.head["metrics"]
    assert system["total_requests"] == system["successful"] + system["failed"] + system["cancelled"] == len(tasks)
    assert system["total_agents"] == len(document.agents)
    for key, agent in document.agents.items():
        metrics, of_agent = agent["metrics"], [task for task in tasks if task["agent"] == key]
        assert metrics["tasks_total"] == len(of_agent) == sum(agent["durations"]["buckets"])
        assert metrics["tasks_total"] == sum(metrics[f"tasks_{n}"] for n in ("successful", "failed", "cancelled"))
        counted = [entry for entry in entries if entry["action"] in (*names.OUTCOMES, names.TASK_AMENDED)]
        seconds = sum(entry["duration_seconds"] or 0.0 for entry in counted if entry["agent"] == key)
        assert metrics["total_duration_seconds"] == pytest.approx(seconds)
        for use in (*agent["token_usage"].values(), *agent["models"].values()):
            assert use["total"] == sum(use[kind] for kind in names.TOKEN_TYPES)


_OPTIONAL = (
    *("task_id", "model", "models", "tokens", "tokens_used", "duration_seconds", "started", "owner", "name", "outcome"),
    *("previous_outcome", "environment_error", "error"),
)
_odd_tokens = st.dictionaries(st.sampled_from(["output", "last", "count", "total", "new"]), st.integers(), min_size=1)
_odd_values = json_values | st.sampled_from([float("inf"), 1e300, -1, "", False]) | _odd_tokens


@example(about(names.AGENT_REGISTERED), {}, set())
@example(about(names.TASK_AMENDED), {"outcome": "praised"}, set())
@example(end(), {"duration_seconds": float("inf")}, set())
@example(end(), {"duration_seconds": ""}, set())
@example(end(), {"tokens": {"last": 5}}, set())
@example(end(model=None), {"models": {"m": []}}, set())
@example(start(), {"owner": float("inf")}, set())
@example(end(outcome=FAILURE), {"timestamp": "9999-12-31T23:59:59Z"}, set())
@given(
    any_event,
    st.dictionaries(st.sampled_from(_OPTIONAL), _odd_values, max_size=3),
    st.sets(st.sampled_from(_OPTIONAL), max_size=2),
)
def test_whatever_counts_as_an_event_leaves_a_document_that_can_be_read_again(
    event: Event, odd: dict[str, Any], missing: set[str]
) -> None:
    line = {key: value for key, value in {**event, **odd, "seq": 1}.items() if key not in missing}
    try:
        read = decode_json(json.dumps(line).encode())
    except ValueError:
        reject()
    assume(is_event(read))
    document = fold(new_document(), read)
    assert DocumentCodec().decode(text_of(document), "circuit-breaker.json").head == document.head


def test_tokens_without_a_model_are_those_of_an_unknown_one() -> None:
    usage = agent_after(end(model=None, tokens={"untyped": 7}), end(model=None))["token_usage"]
    assert (usage["unknown"]["total"], usage["unknown"]["count"]) == (7, 1)


def opened(by: int = 2, **config: Any) -> Document:
    """Return a document whose agent was blacklisted a minute after noon, for ten minutes."""
    return folded(*ends(*[FAILURE] * by), into=document_of(failure_threshold=by, cooldown_minutes=10, **config))


def grant(run_id: str = "probe", after: float = 700.0, agent: str = AGENT, **known: Any) -> Event:
    return about(names.PROBE_GRANTED, after, agent, permit=run_id, expires=moment(after + 900), **known)


def probe(outcome: str = SUCCESS, after: float = 800.0, **known: Any) -> Event:
    return end("probe", outcome, after, duration_seconds=50, **known)


def override(after: float = 0.0, **value: Any) -> Event:
    return about(names.BREAKER_OVERRIDE, after, override=value or None)


def test_a_granted_permit_stands_in_the_document_with_its_owner() -> None:
    document = folded(grant(owner={"pid": 7}, task_id="t"), into=opened())
    agent = document.agents[AGENT]
    assert (agent["status"], agent["circuit"]["state"]) == ("half_open", "half_open")
    assert agent["circuit"]["permit"] == {
        "run_id": "probe",
        "task_id": "t",
        "granted": moment(700),
        "expires": moment(1600),
        "owner": {"pid": 7},
    }
    assert (agent["failures"], agent["blacklisted_until"]) == (2, moment(61 + 600))
    assert agent["circuit"]["generation"] == opened().agents[AGENT]["circuit"]["generation"] + 1
    assert document.history.entries()[-1]["action"] == names.PROBE_GRANTED


def test_a_permit_survives_the_events_after_it_and_the_reading_of_its_document() -> None:
    begun = folded(grant(owner={"pid": 7}, task_id="t"), into=opened())
    read = DocumentCodec().decode(text_of(begun), "circuit-breaker.json")
    later = folded(end("another", FAILURE, 900), override(910, kind="disabled"), into=read).agents[AGENT]
    assert later["circuit"]["permit"] == begun.agents[AGENT]["circuit"]["permit"]
    assert (later["status"], later["failures"], later["metrics"]["tasks_failed"]) == ("half_open", 2, 3)


def test_the_probes_success_closes_the_documents_breaker() -> None:
    agent = agent_after(grant(), start("probe", 750), probe(), into=opened())
    assert (agent["status"], agent["failures"], agent["blacklisted_until"]) == ("healthy", 0, None)
    assert (agent["circuit"]["state"], agent["circuit"]["permit"], agent["tallies"]["opened"]) == ("closed", None, 1)


def test_the_probes_failure_reopens_the_documents_breaker_for_twice_as_long() -> None:
    document = folded(grant(), start("probe", 750), probe(FAILURE), into=opened())
    agent = document.agents[AGENT]
    assert (agent["status"], agent["failures"], agent["blacklisted_until"]) == ("blacklisted", 3, moment(800 + 1200))
    assert (agent["circuit"]["reopenings"], agent["circuit"]["opened"]) == (1, moment(800))
    assert (agent["circuit"]["permit"], agent["last_failure"]) == (None, moment(800))
    assert (agent["tallies"]["opened"], document.head["metrics"]["circuit_breaks"]) == (2, 2)


@pytest.mark.parametrize(
    "returning",
    [
        about(names.PROBE_RETURNED, 800, permit="probe", reason="not used"),
        probe(CANCELLED),
        probe(FAILURE, environment_error=True),
    ],
)
def test_a_returned_permit_leaves_the_document_blacklisted_and_opens_nothing_anew(returning: Event) -> None:
    before = opened()
    document = folded(grant(), returning, into=before)
    agent = document.agents[AGENT]
    assert (agent["status"], agent["failures"], agent["blacklisted_until"]) == ("blacklisted", 2, moment(61 + 600))
    assert agent["circuit"] == before.agents[AGENT]["circuit"] | {
        "generation": before.agents[AGENT]["circuit"]["generation"] + 2
    }
    assert (agent["tallies"]["opened"], document.head["metrics"]["circuit_breaks"]) == (1, 1)
    assert document.history.entries()[-1]["action"] == returning["action"]


def test_returning_a_permit_that_is_not_out_is_kept_in_history_and_moves_nothing() -> None:
    before = folded(grant(), into=opened())
    after = folded(about(names.PROBE_RETURNED, 800, permit="another"), into=before)
    assert after.agents == before.agents
    assert after.history.count == before.history.count + 1


def test_a_task_begun_before_the_trip_that_ends_while_a_probe_runs_is_counted_and_moves_nothing() -> None:
    tripped = folded(start("old"), *ends(FAILURE, FAILURE), grant(), into=document_of(failure_threshold=2))
    agent = agent_after(end("old", after=900, started=None), into=tripped)
    assert (agent["metrics"]["tasks_successful"], agent["status"]) == (1, "half_open")
    assert agent["circuit"] == tripped.agents[AGENT]["circuit"]


def test_a_reset_revokes_the_documents_permit_and_leaves_its_override() -> None:
    order: dict[str, Any] = {"kind": "forced_open", "until": None, "reason": "maintenance"}
    agent = agent_after(grant(), override(710, **order), about(names.AGENT_RESET, 720), into=opened())
    assert (agent["status"], agent["circuit"]["permit"], agent["circuit"]["override"]) == ("healthy", None, order)


def test_an_override_stands_in_the_document_until_it_is_lifted() -> None:
    order: dict[str, Any] = {"kind": "disabled", "until": moment(500), "reason": "a demo"}
    document = folded(override(**order))
    assert document.agents[AGENT]["circuit"]["override"] == order
    assert document.agents[AGENT]["status"] == "healthy"
    assert folded(override(10), into=document).agents[AGENT]["circuit"]["override"] is None
    assert folded(override(kind="forced_open")).agents[AGENT]["circuit"]["override"] == {
        "kind": "forced_open",
        "until": None,
        "reason": None,
    }


def test_an_override_whose_end_has_passed_stays_in_the_document_until_a_person_lifts_it() -> None:
    agent = agent_after(override(kind="forced_open", until=moment(10)), *ends(FAILURE))
    assert (agent["circuit"]["override"]["until"], agent["failures"]) == (moment(10), 1)


def test_a_rejected_task_is_counted_as_such_and_as_nothing_else() -> None:
    before = opened()
    document = folded(*(about(names.TASK_REJECTED, n, reason="x", task_id="t") for n in (100, 101)), into=before)
    agent = document.agents[AGENT]
    assert agent["tallies"] == before.agents[AGENT]["tallies"] | {"rejected": 2}
    assert (agent["metrics"], agent["circuit"]) == (before.agents[AGENT]["metrics"], before.agents[AGENT]["circuit"])
    assert document.head["metrics"] == before.head["metrics"]
    assert folded(about(names.TASK_REJECTED)).agents[AGENT]["tallies"]["rejected"] == 1


@pytest.mark.parametrize("outcome", [SUCCESS, FAILURE, CANCELLED, LOST])
def test_a_task_in_another_agents_place_counts_as_a_fallback_of_that_one(outcome: str) -> None:
    document = folded(end("r1", outcome, fallback_for=OTHER), end("r2", outcome, fallback_for=OTHER), end("r3"))
    assert [document.agents[key]["tallies"]["fallback"] for key in (AGENT, OTHER)] == [0, 2]
    assert [document.agents[key]["metrics"]["tasks_total"] for key in (AGENT, OTHER)] == [3, 0]
    assert (document.head["metrics"]["fallback_used"], document.head["metrics"]["total_requests"]) == (2, 3)
    assert document.head["metrics"]["total_agents"] == 2


def test_an_agents_own_settings_rule_its_breaker_and_those_of_the_document_all_others() -> None:
    own = {"agents": {AGENT: {"config": {"failure_threshold": 1, "cooldown_minutes": 2}}}}
    document = folded(
        end("r1", FAILURE),
        end("r2", FAILURE, agent=OTHER),
        into=document_of(own, failure_threshold=2, cooldown_minutes=5),
    )
    assert [document.agents[key]["status"] for key in (AGENT, OTHER)] == ["blacklisted", "healthy"]
    assert document.agents[AGENT]["blacklisted_until"] == moment(60 + 120)
    assert folded(end("r3", FAILURE, agent=OTHER), into=document).agents[OTHER]["blacklisted_until"] == moment(60 + 300)


def test_an_agents_own_settings_say_whether_its_lost_tasks_count() -> None:
    own = {"agents": {AGENT: {"config": {"count_lost": False}}}}
    document = folded(end("r1", LOST), end("r2", LOST, agent=OTHER), into=document_of(own))
    assert [document.agents[key]["failures"] for key in (AGENT, OTHER)] == [0, 1]


def test_settings_that_a_hand_has_changed_are_in_force_from_their_event_on() -> None:
    changed: dict[str, Any] = {"config": {"failure_threshold": 2}, "agents": {OTHER: {"failure_threshold": 1}}}
    own = {"config": {"failure_threshold": 9}}
    begun = document_of({"agents": {AGENT: own, OTHER: own, "third.md": {}}})
    event = {**about(names.SETTINGS_CHANGED, 5, since=0, **changed), "agent": None}
    failing = [end(f"of {key}", FAILURE, agent=key) for key in begun.agents]
    document = folded(event, *failing, into=begun)
    assert [agent["status"] for agent in document.agents.values()] == ["healthy", "blacklisted", "healthy"]
    assert agent_after(end("second", FAILURE), into=document)["status"] == "blacklisted"
    assert [agent.get("config") for agent in document.agents.values()] == [None, {"failure_threshold": 1}, None]
    assert document.config == changed["config"]
    assert not has_changed_settings(document.head)


def test_a_task_in_flight_keeps_the_clock_of_the_boot_that_its_start_tells() -> None:
    clock = {"boot_id": "b", "seconds": 5.5}
    running = folded(start("r1", clock=clock), start("r2")).head["in_flight"]
    assert (running["r1"]["clock"], "clock" in running["r2"]) == (clock, False)


@pytest.mark.parametrize(
    ("known", "failures"),
    [
        ({"error": "the build QUEUE IS FULL, again"}, 0),
        ({"error_type": "QuotaError", "error": "no"}, 0),
        ({"error_type": "ValueError", "error": "no"}, 1),
        ({}, 1),
    ],
)
@pytest.mark.parametrize("is_the_agents_own", [False, True])
def test_errors_that_the_settings_take_for_the_environments_do_not_count_for_the_breaker(
    known: dict[str, Any], failures: int, is_the_agents_own: bool
) -> None:
    config = {"environment_errors": ["queue is full", "quotaerror:"]}
    own = {"agents": {AGENT: {"config": config}}} if is_the_agents_own else {"config": config}
    agent = agent_after(end("r1", FAILURE, **known), into=document_of(own))
    assert (agent["metrics"]["tasks_failed"], agent["failures"]) == (1, failures)


def test_a_half_open_status_by_hand_without_a_permit_lets_the_next_task_decide() -> None:
    by_hand = document_of({"agents": {AGENT: {"status": "half_open", "failures": 5}}})
    assert agent_after(end("r1"), into=by_hand)["status"] == "healthy"
    failed = agent_after(end("r1", FAILURE), into=by_hand)
    assert (failed["status"], failed["failures"], failed["circuit"]["reopenings"]) == ("blacklisted", 6, 1)


def test_a_half_open_status_by_hand_waits_for_the_cooldowns_end_that_stands_beside_it() -> None:
    by_hand = document_of({"agents": {AGENT: {"status": "half_open", "blacklisted_until": moment(600)}}})
    assert agent_after(end("r1", after=300), into=by_hand)["status"] == "half_open"
    assert agent_after(end("r1", after=700), into=by_hand)["status"] == "healthy"


@pytest.mark.parametrize("status", ["healthy", "blacklisted"])
def test_a_permit_is_one_only_where_the_status_is_half_open(status: str) -> None:
    held = folded(grant(), into=opened()).head
    by_hand = {**held["agents"][AGENT], "status": status, "blacklisted_until": None}
    document = document_of({**held, "agents": {AGENT: by_hand}})
    assert agent_after(end("another", after=900), into=document)["status"] == "healthy"


def test_a_permit_granted_to_an_unknown_agent_makes_its_entry() -> None:
    agent = agent_after(grant(after=0))
    assert (agent["status"], agent["circuit"]["permit"]["run_id"]) == ("half_open", "probe")
    assert (agent["circuit"]["permit"]["owner"], agent["circuit"]["permit"]["task_id"]) == (None, None)


def test_a_cooldown_that_was_shortened_ends_then_and_is_never_made_longer() -> None:
    shorter = about(names.COOLDOWN_SHORTENED, 100, blacklisted_until=moment(300))
    longer = about(names.COOLDOWN_SHORTENED, 101, blacklisted_until=moment(9000))
    agent = agent_after(shorter, longer, into=opened())
    assert (agent["status"], agent["blacklisted_until"]) == ("blacklisted", moment(300))
    assert agent_after(shorter)["blacklisted_until"] is None


def test_a_task_whose_end_says_no_start_began_by_its_duration_before_it() -> None:
    late = end("r9", after=700, duration_seconds=100, started=None)
    assert agent_after(late, into=opened())["status"] == "blacklisted"
    assert agent_after({**late, "duration_seconds": None}, into=opened())["status"] == "healthy"
    for at, status in ((660.5, "blacklisted"), (661.5, "healthy")):
        unmeasured = {**late, "timestamp": moment(at), "duration_seconds": None}
        assert agent_after(unmeasured, into=opened())["status"] == status
    assert agent_after({**late, "duration_seconds": 20}, into=opened())["status"] == "healthy"


@pytest.mark.parametrize(("after", "duration"), [(-3000, 600), (-3000, None), (-1000, 2600)])
def test_a_task_begun_before_the_trip_is_no_probe_if_the_clock_has_jumped_back_since(
    after: float, duration: float | None
) -> None:
    tripped = folded(start("old", 0), *ends(FAILURE, FAILURE), into=document_of(failure_threshold=2))
    jumped = folded(about(names.COOLDOWN_SHORTENED, -3600, blacklisted_until=moment(-2700)), into=tripped)
    late = {**end("old", after=after, started=moment(0)), "duration_seconds": duration}
    agent = agent_after(late, into=jumped)
    assert (agent["metrics"]["tasks_successful"], agent["status"]) == (1, "blacklisted")


def imported(event: Event) -> Event:
    return {**event, "imported": True, "told_later": True}


@pytest.mark.parametrize("outcome", [SUCCESS, FAILURE, LOST, CANCELLED])
@pytest.mark.parametrize("before", [0, 1, 5])
def test_an_imported_end_counts_and_moves_no_breaker(outcome: str, before: int) -> None:
    events = [about(names.AGENT_REGISTERED, name="coder"), *ends(*[FAILURE] * before)]
    live, past = agent_after(*events), agent_after(*events, *map(imported, ends(*[outcome] * 6, after=-40 * DAY)))
    for key in ("status", "failures", "last_failure", "blacklisted_until", "circuit"):
        assert past[key] == live[key]
    assert past["metrics"]["tasks_total"] == before + 6
    assert past["tallies"]["opened"] == live["tallies"]["opened"]


def test_an_imported_end_leaves_a_probe_its_permit() -> None:
    events = [*ends(*[FAILURE] * 5), about(names.PROBE_GRANTED, 4000, permit="probe", expires=moment(4900))]
    held = agent_after(*events)["circuit"]["permit"]
    assert held["run_id"] == "probe"
    assert agent_after(*events, imported(end("probe", SUCCESS, 4100)))["circuit"]["permit"] == held


def test_an_imported_amendment_takes_no_failure_back() -> None:
    lost = end("r1", LOST)
    amendment = {"action": names.TASK_AMENDED, "previous_outcome": LOST, "outcome": SUCCESS, "run_id": "r1"}
    amended = {**end("r1", SUCCESS, 90), "id": "amendment", **amendment}
    assert agent_after(lost, amended)["failures"] == 0
    agent = agent_after(lost, imported(amended))
    assert (agent["failures"], agent["metrics"]["tasks_successful"]) == (1, 1)


def test_an_imported_end_is_in_no_history_and_drops_none() -> None:
    live = [end(f"r{n}", after=60.0 + n) for n in range(5)]
    document = folded(*live, into=document_of(history_max_entries=5))
    past = folded(*(imported(end(f"i{n}", after=n * DAY - 400 * DAY)) for n in range(9)), into=document)
    assert run_ids(past) == run_ids(document) == [f"r{n}" for n in range(5)]
    assert past.head["metrics"]["total_requests"] == 14


@pytest.mark.parametrize("days", [-400.0, -40.0, -1.0, 1.0])
def test_an_imported_end_makes_no_moment_older(days: float) -> None:
    tokens = {"input": 7}
    document = folded(end("r1", after=60.0, tokens={"input": 3}))
    past = folded(imported(end("i1", after=days * DAY, tokens=tokens)), into=document)
    newest = moment(max(60.0, days * DAY))
    agent = past.agents[AGENT]
    assert past.head["updated"] == agent["metrics"]["last_task_timestamp"] == newest
    assert agent["metrics"]["first_task_timestamp"] == moment(min(60.0, days * DAY))
    assert agent["token_usage"]["sonnet"]["last"] == (7 if days > 0 else 3)
    assert agent["token_usage"]["sonnet"]["total"] == 10


def test_a_document_that_knows_nothing_is_as_old_as_its_imported_ends() -> None:
    document = folded(imported(end("i1", after=-400 * DAY)), imported(end("i2", after=-399 * DAY)))
    assert document.head["updated"] == moment(-399 * DAY)
