from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_tracker import names
from otel_tracker.errors import UnknownMetricError
from otel_tracker.reporting import summary
from otel_tracker.runtime import owner
from otel_tracker.state import permission
from otel_tracker.state.document import Document, new_document
from otel_tracker.state.shapes import Event
from otel_tracker.storage import past
from tests.builders import AGENT, NOON, about, any_event, document_of, end, folded, moment, start

FAILURE, CANCELLED = names.FAILURE, names.CANCELLED


def tasks(agent: str, number: int, outcome: str = names.SUCCESS, **known: Any) -> list[Event]:
    return [end(f"{agent} {n} {outcome}", outcome, agent=agent, **known) for n in range(number)]


def order(document: Document, metric: str, top_n: int = 10) -> list[str]:
    return [row["agent_file"] for row in summary.leaderboard(document, metric, top_n)]


FLEET = folded(
    *tasks("slow.md", 3, duration_seconds=90, tokens={"untyped": 10}),
    *tasks("quick.md", 2, duration_seconds=0.5, tokens={"output": 700}),
    *tasks("weak.md", 1, FAILURE, duration_seconds=5),
    *tasks("weak.md", 1, CANCELLED, duration_seconds=5),
    about(names.AGENT_REGISTERED, agent="idle.md", name="The idle one"),
)


@pytest.mark.parametrize(
    ("metric", "ranked"),
    [
        ("tasks_total", ["slow.md", "quick.md", "weak.md", "idle.md"]),
        ("tasks_successful", ["slow.md", "quick.md", "idle.md", "weak.md"]),
        ("tasks_failed", ["weak.md", "idle.md", "quick.md", "slow.md"]),
        ("tasks_cancelled", ["weak.md", "idle.md", "quick.md", "slow.md"]),
        ("total_duration_seconds", ["slow.md", "weak.md", "quick.md", "idle.md"]),
        ("tokens_total", ["quick.md", "slow.md", "idle.md", "weak.md"]),
        ("failures", ["weak.md", "idle.md", "quick.md", "slow.md"]),
    ],
)
def test_the_leaderboard_begins_with_the_highest_and_orders_equals_by_key(metric: str, ranked: list[str]) -> None:
    assert order(FLEET, metric) == ranked


def test_the_leaderboard_by_average_duration_begins_with_the_fastest_and_leaves_out_agents_without_a_task() -> None:
    assert order(FLEET, "avg_duration_seconds") == ["quick.md", "weak.md", "slow.md"]


@pytest.mark.parametrize(("top_n", "number"), [(0, 0), (1, 1), (3, 3), (99, 4)])
def test_the_leaderboard_has_at_most_as_many_as_are_asked_for(top_n: int, number: int) -> None:
    assert order(FLEET, "tasks_total", top_n) == ["slow.md", "quick.md", "weak.md", "idle.md"][:number]


def test_an_entry_of_the_leaderboard_has_names_metrics_tokens_and_a_success_rate() -> None:
    rows = {row["agent_file"]: row for row in summary.leaderboard(FLEET)}
    assert rows["quick.md"].items() >= FLEET.agents["quick.md"]["metrics"].items()
    assert (rows["quick.md"]["agent_name"], rows["idle.md"]["agent_name"]) == ("quick", "The idle one")
    assert (rows["quick.md"]["tokens_total"], rows["weak.md"]["failures"]) == (1400, 1)
    assert [rows[key]["success_rate"] for key in ("slow.md", "weak.md", "idle.md")] == [1.0, 0.0, None]


@pytest.mark.parametrize("metric", ["speed", "", "tasks_Total", "status"])
def test_an_unknown_metric_is_an_error_that_lists_the_known_ones(metric: str) -> None:
    with pytest.raises(UnknownMetricError) as raised:
        summary.leaderboard(new_document(), metric)
    assert repr(metric) in str(raised.value)
    assert all(known in str(raised.value) for known in summary.METRICS)


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("core/coder.md", "coder"),
        ("Explore", "Explore"),
        ("plugin:name", "plugin:name"),
        ("a\\b.md", "b"),
        ("x.py", "x.py"),
    ],
)
def test_an_agent_without_a_name_is_called_by_its_files_stem(agent: str, name: str) -> None:
    assert summary.agent_name(agent, {}) == name
    assert summary.agent_name(agent, {"name": "Registered"}) == "Registered"


def test_the_token_summary_has_the_three_models_first_and_every_other_one_seen() -> None:
    document = folded(
        *tasks("a.md", 2, tokens={"output": 10}),
        *tasks("b.md", 1, tokens={"untyped": 40}),
        *tasks("c.md", 1, model="gpt-5", tokens={"input": 7}),
        *tasks("d.md", 1, model="opus"),
    )
    tokens = summary.token_summary(document)
    keys = ("total", "count", "measured", "avg")
    assert {model: tuple(row[key] for key in keys) for model, row in tokens.items()} == {
        "haiku": (0, 0, 0, None),
        "sonnet": (60, 3, 3, 20.0),
        "opus": (0, 1, 0, None),
        "gpt-5": (7, 1, 1, 7.0),
    }
    assert list(tokens) == ["haiku", "sonnet", "opus", "gpt-5"]
    assert (tokens["sonnet"]["output"], tokens["sonnet"]["untyped"], tokens["gpt-5"]["input"]) == (20, 40, 7)
    assert list(summary.token_summary(new_document())) == ["haiku", "sonnet", "opus"]


def test_averages_are_over_the_tasks_whose_tokens_were_measured() -> None:
    document = folded(
        *tasks("a.md", 1, tokens={"output": 30}), *tasks("b.md", 2), *tasks("c.md", 1, tokens={"untyped": 0})
    )
    sonnet = summary.token_summary(document)["sonnet"]
    assert (sonnet["count"], sonnet["measured"], sonnet["avg"]) == (4, 2, 15.0)


def test_of_tasks_that_an_older_file_has_counted_it_is_unknown_how_many_were_measured() -> None:
    use = {"total": 1500, "last": 250, "count": 6}
    document = folded(
        *tasks("a.md", 1, tokens={"output": 500}),
        *tasks("b.md", 1, tokens={"output": 10}),
        into=document_of({"agents": {"a.md": {"token_usage": {"sonnet": use}}}}),
    )
    assert document.agents["a.md"]["token_usage"]["sonnet"]["measured"] is None
    assert document.agents["a.md"]["token_usage"]["opus"]["measured"] == 0
    sonnet = summary.token_summary(document)["sonnet"]
    assert (sonnet["count"], sonnet["measured"], sonnet["avg"]) == (8, None, 2010 / 8)


def test_a_model_is_incomplete_by_the_runs_of_the_agents_that_used_it() -> None:
    document = folded(
        *tasks("a.md", 2, tokens={"output": 10}, usage_incomplete=True),
        *tasks("b.md", 1, tokens={"output": 10}),
        *tasks("c.md", 1, model="opus", tokens={"output": 10}),
    )
    tokens = summary.token_summary(document)
    assert {model: row["usage_incomplete"] for model, row in tokens.items()} == {"haiku": 0, "sonnet": 2, "opus": 0}
    rows = summary.leaderboard(document)
    assert {row["agent_file"]: row["usage_incomplete"] for row in rows} == {"a.md": 2, "b.md": 0, "c.md": 0}
    assert summary.agent_state(document, "a.md", NOON)["usage_incomplete"] == 2


BROKEN = folded(*tasks(AGENT, 2, FAILURE), into=document_of(failure_threshold=2, cooldown_minutes=10))
REFUSED_UNTIL = NOON + 60 + 600


def test_nothing_speaks_against_an_agent_that_is_unknown() -> None:
    assert permission.answer(BROKEN, "unknown.md", NOON, owner.is_seen_gone).is_admitted


def test_a_blacklisted_agent_is_refused_until_its_cooldown_is_over() -> None:
    assert [
        permission.answer(BROKEN, AGENT, REFUSED_UNTIL + after, owner.is_seen_gone).is_admitted
        for after in (-600, -0.001, 0, 1e9)
    ] == [
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("status", ["healthy", "unhealthy", "half_open", "whatever"])
def test_only_an_agent_in_its_cooldown_is_refused(status: str) -> None:
    document = document_of({"agents": {AGENT: {"status": status, "failures": 99}}})
    assert permission.answer(document, AGENT, NOON, owner.is_seen_gone).is_admitted


def test_a_naive_timestamp_of_a_blacklisting_is_utc() -> None:
    entry = {"status": "blacklisted", "blacklisted_until": "2026-02-15T12:05:00"}
    document = document_of({"agents": {AGENT: entry}})
    assert [
        permission.answer(document, AGENT, NOON + seconds, owner.is_seen_gone).is_admitted for seconds in (299, 300)
    ] == [False, True]


def test_a_state_is_that_of_now_and_not_of_the_last_transition() -> None:
    during = summary.agent_state(BROKEN, AGENT, NOON + 100)
    assert (during["state"], during["status"], during["blacklisted_until"]) == ("open", "blacklisted", moment(660))
    afterwards = summary.agent_state(BROKEN, AGENT, REFUSED_UNTIL)
    assert (afterwards["state"], afterwards["status"], afterwards["blacklisted_until"]) == (
        "half_open",
        "half_open",
        None,
    )
    unhealthy = summary.agent_state(
        document_of({"agents": {AGENT: {"status": "unhealthy", "failures": 7}}}), AGENT, NOON
    )
    assert (unhealthy["state"], unhealthy["status"], unhealthy["failures"]) == ("closed", "healthy", 7)


def test_a_state_says_how_many_tasks_run_and_how_many_succeed() -> None:
    document = folded(start("r1"), start("r2"), start("r3", agent="x.md"), end("r4"), end("r5", FAILURE))
    state = summary.agent_state(document, AGENT, NOON)
    assert (state["agent_file"], state["agent_name"], state["in_flight"]) == (AGENT, "coder", 2)
    assert state["success_rate"] == 0.5
    assert summary.agent_state(document, "x.md", NOON)["success_rate"] is None


def test_states_begin_with_refused_agents_then_those_on_probation_then_those_that_failed_last() -> None:
    entry = {"status": "blacklisted", "failures": 5}
    document = document_of(
        {
            "agents": {
                "fine.md": {},
                "also-fine.md": {},
                "shaky.md": {"failures": 3},
                "probation.md": {**entry, "blacklisted_until": moment(-1)},
                "refused.md": {**entry, "blacklisted_until": moment(60)},
            }
        }
    )
    keys = [row["agent_file"] for row in summary.agent_states(document, NOON)]
    assert keys == ["refused.md", "probation.md", "shaky.md", "also-fine.md", "fine.md"]


def test_system_metrics_have_a_success_rate_where_there_was_a_task() -> None:
    metrics = summary.system_metrics(folded(end("r1"), end("r2"), end("r3", FAILURE), end("r4", CANCELLED)))
    assert (metrics["total_requests"], metrics["successful"], metrics["success_rate"]) == (4, 2, 2 / 3)
    assert summary.system_metrics(new_document())["success_rate"] is None


def test_system_metrics_count_the_agents_that_there_are() -> None:
    document = document_of({"metrics": {"total_agents": 43}, "agents": {AGENT: {}}})
    assert summary.system_metrics(document)["total_agents"] == 1


def test_the_history_has_the_newest_entries_oldest_first_without_the_starts() -> None:
    adopted = document_of({"history": [{"action": names.TASK_STARTED, "run_id": "old"}, {"run_id": "foreign"}]})
    document = folded(end("r1"), end("r2", agent="x.md"), start("r3"), end("r3"), into=adopted)
    shown = [entry["run_id"] for entry in past.selected(document.history.entries())]
    assert shown == ["foreign", "r1", "r2", "r3"]
    assert [entry["run_id"] for entry in past.selected(document.history.entries(), {AGENT})] == ["r1", "r3"]
    assert past.selected(document.history.entries(), {"unknown.md"}) == []
    assert past.selected(document.history.entries(), {AGENT}, NOON + 60) == document.history.entries()[2:5:2]
    assert past.selected(document.history.entries(), {AGENT}, NOON + 61) == []


def test_running_tasks_begin_with_the_longest_running_one_and_say_which_are_overdue() -> None:
    document = folded(
        start("new", 50, owner={"pid": 2}), start("old", 0), start("future", 900), into=document_of(timeout_seconds=60)
    )
    rows = summary.running_tasks(document, NOON + 60.5, lambda owner: owner is not None and owner["pid"] == 2)
    assert [(row["run_id"], row["running_seconds"], row["is_overdue"], row["is_gone"]) for row in rows] == [
        ("old", 60.5, True, False),
        ("new", 10.5, False, True),
        ("future", 0.0, False, False),
    ]


@settings(max_examples=50)
@given(st.lists(any_event, max_size=15), st.sampled_from(summary.METRICS))
def test_every_agent_is_in_the_states_once_and_the_ranking_falls(events: list[Event], metric: str) -> None:
    document = folded(*events)
    states = summary.agent_states(document, NOON)
    assert sorted(row["agent_file"] for row in states) == sorted(document.agents)
    values = [row[metric] or 0 for row in summary.leaderboard(document, metric, 99)]
    assert values == sorted(values, reverse=metric != "avg_duration_seconds")
