"""Agents that are removed, renamed or merged: in the fold, and by `otel-tracker agents`."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tracker import MetricTracker, TaskTracker, names
from otel_tracker.cli import main
from otel_tracker.state.document import Document
from otel_tracker.state.fold import transition
from otel_tracker.state.schema import has_changed_settings
from otel_tracker.storage.home import Home
from otel_tracker.storage.quick_read import read_quickly
from otel_tracker.storage.store import Store
from tests.builders import AGENT, about, any_event, document_of, end, folded, moment, start
from tests.exporters.scraped import values
from tests.shown import Run

OTHER, NEW = "ui/designer.md", "core/builder.md"
FAILURE = names.FAILURE


def removed(agent: str = AGENT, after: float = 100.0) -> dict[str, Any]:
    return about(names.AGENT_REMOVED, after, agent)


def renamed(to: str = NEW, agent: str = AGENT, after: float = 100.0) -> dict[str, Any]:
    return about(names.AGENT_RENAMED, after, agent, to=to)


def used(**known: Any) -> Document:
    """Return a document in which two agents have done something."""
    tokens = {"input": 5, "output": 7}
    return folded(
        end("r1", tokens=tokens, models={"claude-sonnet-5": tokens}),
        end("r2", FAILURE, 70, duration_seconds=3.0),
        end("r3", names.CANCELLED, 80, agent=OTHER, model="opus", tokens={"untyped": 9}),
        end("r4", FAILURE, 90, agent=OTHER),
        start("r5", 95),
        into=document_of(**known),
    )


def test_a_removed_agent_is_gone_and_the_system_has_counted_its_tasks() -> None:
    before, after = used(), folded(removed(), into=used())
    assert list(after.agents) == [OTHER]
    assert after.agents[OTHER] == before.agents[OTHER]
    assert after.head["metrics"] == {**before.head["metrics"], "total_agents": 1}
    assert after.head["in_flight"] == {}
    assert [entry["action"] for entry in after.history.entries()][-1] == "agent_removed"


def test_later_events_about_a_removed_agents_tasks_count_for_no_agent() -> None:
    amended = end("r2", after=70, previous_outcome=FAILURE, tokens={"untyped": 4})
    amended = {**amended, "action": names.TASK_AMENDED, "outcome": names.SUCCESS}
    late = folded(
        removed(),
        amended,
        about(names.PROBE_RETURNED, 101, permit="r1"),
        about(names.COOLDOWN_SHORTENED, 102, blacklisted_until=moment(300)),
        into=used(),
    )
    assert AGENT not in late.agents
    assert (late.head["metrics"]["successful"], late.head["metrics"]["failed"]) == (2, 1)
    back = folded(
        end("r6", FAILURE, 120, duration_seconds=5), {**amended, "id": "again"}, into=folded(removed(), into=used())
    )
    metrics = back.agents[AGENT]["metrics"]
    assert (metrics["tasks_total"], metrics["tasks_failed"], metrics["tasks_successful"]) == (1, 1, 0)


def test_a_removed_agent_comes_back_with_what_it_does_then() -> None:
    document = folded(removed(), end("r5", after=120), into=used())
    assert document.agents[AGENT]["metrics"]["tasks_total"] == 1
    tokens = folded(removed(), about(names.TASK_AMENDED, 110, model="opus", tokens={"untyped": 3}), into=used())
    assert tokens.agents[AGENT]["token_usage"]["opus"]["total"] == 3


def test_a_renamed_agent_is_what_it_was_in_its_place() -> None:
    before, after = used(), folded(renamed(), into=used())
    assert list(after.agents) == [NEW, OTHER]
    assert after.agents[NEW] == before.agents[AGENT]
    assert after.head["in_flight"]["r5"] == {**before.head["in_flight"]["r5"], "agent": NEW}
    assert after.head["renamed"] == {AGENT: NEW}
    assert after.head["metrics"] == before.head["metrics"]


def test_what_is_recorded_under_an_old_key_counts_for_the_agent() -> None:
    document = folded(
        renamed(),
        end("r5", FAILURE, 110),  # began before
        start("r6", 120),
        end("r6", FAILURE, 130),
        end("r7", after=140, agent=OTHER, fallback_for=AGENT),
        about(names.TASK_REJECTED, 141, reason="no"),
        into=used(),
    )
    agent = document.agents[NEW]
    assert AGENT not in document.agents
    assert (agent["failures"], agent["metrics"]["tasks_total"]) == (3, 4)
    assert (agent["tallies"]["fallback"], agent["tallies"]["rejected"]) == (1, 1)
    assert transition(document.head, end("r8", FAILURE, 150)) is None


def test_an_end_without_a_run_finds_the_task_of_an_agent_that_was_renamed(store: Store) -> None:
    store.announce([start("r1")])
    store.record([renamed()])
    (recorded,) = store.record([end(None, after=200, started=moment(0))])
    assert recorded["run_id"] == "r1"
    assert store.read().agents[NEW]["metrics"]["tasks_total"] == 1
    assert store.read().head["in_flight"] == {}


@pytest.mark.parametrize("run_id", ["r1", None])
def test_a_task_that_was_lost_and_ends_after_its_agent_was_renamed_counts_once(
    store: Store, run_id: "str | None"
) -> None:
    store.record([start("r1"), end("r1", names.LOST, 50, started=moment(0))])
    store.record([renamed()])
    store.record([end(run_id, after=200, started=moment(0), duration_seconds=200)])
    agent = store.read().agents[NEW]
    assert (agent["metrics"]["tasks_total"], agent["metrics"]["tasks_successful"], agent["tallies"]["lost"]) == (
        1,
        1,
        0,
    )
    assert AGENT not in store.read().agents


def test_names_follow_one_another_and_end_with_a_registration() -> None:
    chain = folded(renamed("b.md"), renamed("c.md", "b.md", 101), into=used())
    assert chain.head["renamed"] == {AGENT: "c.md", "b.md": "c.md"}
    back = folded(renamed(AGENT, "c.md", 102), into=chain)
    assert back.head["renamed"] == {"b.md": AGENT, "c.md": AGENT}
    assert "renamed" not in folded(removed(AGENT, 103), into=back).head
    again = folded(about(names.AGENT_REGISTERED, 200, name="Coder"), end("r9", after=210), into=chain)
    assert again.agents[AGENT]["metrics"]["tasks_total"] == 1
    assert again.head["renamed"] == {"b.md": "c.md"}


def test_nothing_becomes_of_an_agent_that_is_not_there() -> None:
    before = used()
    for event in (renamed(AGENT), renamed(NEW, "nobody.md")):
        after = folded(event, into=before)
        assert (after.agents, after.head.get("renamed")) == (before.agents, None)


def test_merged_agents_add_up_and_the_other_ones_breaker_and_settings_hold() -> None:
    begun = used()
    begun.agents[AGENT]["config"] = {"failure_threshold": 2}
    merged = folded(renamed(OTHER), into=begun).agents
    assert list(merged) == [OTHER]
    agent, source, target = merged[OTHER], begun.agents[AGENT], begun.agents[OTHER]
    assert agent["metrics"] == {
        "tasks_total": 4,
        "tasks_successful": 1,
        "tasks_failed": 2,
        "tasks_cancelled": 1,
        "avg_duration_seconds": 45.75,
        "total_duration_seconds": 183.0,
        "first_task_timestamp": moment(60),
        "last_task_timestamp": moment(90),
    }
    assert agent["token_usage"]["sonnet"] == {**source["token_usage"]["sonnet"], "count": 3}
    assert agent["token_usage"]["opus"]["total"] == 9
    assert agent["models"] == source["models"]
    assert sum(agent["durations"]["buckets"]) == 4
    assert agent["durations"]["sum"] == 183.0
    for key in ("status", "failures", "last_failure", "circuit"):
        assert agent[key] == target[key]
    assert "config" not in agent


def test_a_task_that_runs_while_agents_are_merged_moves_the_breaker_if_it_would_have_moved_its_own() -> None:
    closed = about(names.AGENT_RESET, 96)  # what began before it says nothing
    begun = folded(closed, start("r6", 97), about(names.AGENT_RESET, 98, OTHER), into=used())
    merged = folded(renamed(OTHER), end("r5", FAILURE, 110), end("r6", FAILURE, 111), into=begun)
    assert (merged.agents[OTHER]["failures"], merged.agents[OTHER]["metrics"]["tasks_failed"]) == (1, 4)


def test_settings_that_go_with_an_agent_are_not_taken_for_changed_by_hand() -> None:
    settings = about(names.SETTINGS_CHANGED, 96, config={}, agents={AGENT: {"failure_threshold": 2}}, since=5)
    begun = folded({**settings, "agent": None}, into=used())
    for event in (removed(), renamed(), renamed(OTHER)):
        assert not has_changed_settings(folded(event, into=begun).head)
    edited = copy.deepcopy(begun)
    edited.agents[OTHER]["config"] = {"failure_threshold": 9}
    assert has_changed_settings(folded(removed(), into=edited).head)


_changes = st.builds(renamed, st.sampled_from([AGENT, OTHER, NEW, "é {\ud800}"]), st.sampled_from([AGENT, OTHER, NEW]))
_events = any_event.filter(lambda event: event["action"] not in (names.TASK_AMENDED, names.AGENT_REMOVED))


@given(st.lists(_events | _changes, max_size=25))
def test_renaming_and_merging_lose_no_task(events: list[dict[str, Any]]) -> None:
    document = folded(*events)
    system, agents = document.head["metrics"], document.agents.values()
    for ours, of_system in (
        ("tasks_total", "total_requests"),
        ("tasks_successful", "successful"),
        ("tasks_failed", "failed"),
        ("tasks_cancelled", "cancelled"),
    ):
        assert sum(agent["metrics"][ours] for agent in agents) == system[of_system]
    assert sum(sum(agent["durations"]["buckets"]) for agent in agents) == system["total_requests"]
    assert sum(agent["tallies"]["opened"] for agent in agents) == system["circuit_breaks"]
    assert sum(agent["tallies"]["fallback"] for agent in agents) == system["fallback_used"]
    assert {task["agent"] for task in document.head["in_flight"].values()} <= set(document.agents)
    assert not set(document.renamed) & set(document.agents)
    assert set(document.renamed.values()) <= set(document.agents)


@pytest.mark.parametrize("event", [removed(), renamed(), renamed(OTHER)])
def test_no_counter_of_another_agent_falls(event: dict[str, Any]) -> None:
    before, after = values(used()), values(folded(event, into=used()))
    others = {key: value for key, value in before.items() if ("agent", OTHER) in key[1] and "circuit" not in key[0]}
    assert others
    missing = others.keys() - after.keys()
    assert {name for name, _ in missing} <= {
        "otel_tracker_cost_usd_total"
    }  # tokens without a price have come to a model
    assert all(after[key] >= value for key, value in others.items() if key not in missing)


@pytest.fixture
def fleet(home: Home, tracker: MetricTracker) -> MetricTracker:
    """A home in which a key was misspelt and an agent's file is gone."""
    for key in ("core/coder.md", "core/gone.md"):
        tracker.register_agent(key[5:-3].title(), key)
    Path(home.folder, "core").mkdir()
    Path(home.folder, "core", "coder.md").write_text("---\nname: Coder\n---\n")
    for agent in (AGENT, "core/codr.md", "core/codr.md", "core/gone.md", "Explore"):
        with TaskTracker(agent, tracker=tracker):
            pass
    return tracker


def test_status_and_the_list_mark_agents_whose_file_is_gone(fleet: MetricTracker, run: Run) -> None:
    lines = run("status")[1].splitlines()
    assert [line.split()[0] for line in lines if line.endswith("file gone")] == ["core/codr.md", "core/gone.md"]
    shown = {row["agent_file"]: row["has_file"] for row in json.loads(run("status", "--format", "json")[1])["agents"]}
    assert shown == {AGENT: True, "core/codr.md": False, "core/gone.md": False, "Explore": None}
    listed = json.loads(run("agents", "list", "--format", "json")[1])
    assert {row["agent_file"]: row["has_file"] for row in listed} == shown
    assert "gone" in next(line for line in run("agents", "list")[1].splitlines() if line.startswith("core/codr.md"))


def test_where_no_agent_has_a_file_keys_are_mere_names(tracker: MetricTracker, run: Run) -> None:
    with TaskTracker(AGENT, tracker=tracker):
        pass
    assert "file gone" not in run("status")[1]


def test_agents_are_removed_renamed_and_merged(fleet: MetricTracker, home: Home, run: Run) -> None:
    assert run("agents", "merge", "codr", "coder")[0] == 0
    assert fleet.get_agent(AGENT)["metrics"]["tasks_total"] == 3
    assert run("agents", "rename", "gone", "core/here.md")[0] == 0
    assert run("agents", "remove", "Explore")[0] == 0
    with TaskTracker("core/gone.md", tracker=fleet), TaskTracker("core/codr.md", tracker=fleet):
        pass
    assert set(fleet._read().agents) == {AGENT, "core/here.md"}
    assert fleet.get_agent("core/gone.md")["metrics"]["tasks_total"] == 2
    assert fleet.get_agent_metrics("codr")["metrics"]["tasks_total"] == 4
    assert {entry["agent"] for entry in fleet.get_history("core/here.md")} == {"core/gone.md", "core/here.md"}
    assert "core/gone.md" in run("agents", "list")[1]
    assert "to core/here.md" in run("history")[1]
    assert Store(home).back_up()
    assert main(["doctor", "--home", home.folder]) == 0


def test_a_wrong_agent_changes_nothing(fleet: MetricTracker, home: Home, run: Run) -> None:
    before = fleet._read().head
    for arguments, said in (
        (("remove", "nobody"), "unknown agent 'nobody'"),
        (("rename", "gone", AGENT), f"otel-tracker agents merge core/gone.md {AGENT} --home"),
        (("merge", "gone", "core/gone.md"), "another one than core/gone.md"),
        (("rename", "gone", " "), "expected a text"),
    ):
        status, out, err = run("agents", *arguments)
        assert (status, out, said in err) == (1, "", True)
    assert fleet._read().head == before
    assert Store(home).parts.backups.paths() == Store(home).parts.backups.paths()


def test_a_quick_read_sees_an_agent_under_its_old_key(fleet: MetricTracker, home: Home, run: Run) -> None:
    run("agents", "rename", "core/gone.md", "core/here.md")
    for _ in range(5):
        with TaskTracker("core/gone.md", tracker=fleet) as task:
            task.set_failed("broken")
    for text in ("core/gone.md", "gone", "core/here.md", "here", "Gone"):
        assert read_quickly(home, text).agents["core/here.md"]["status"] == "blacklisted"
        assert run("health", text)[0] == 1
