"""Events that have a value: those of an agent, a session, a run."""

from otel_tracker import names
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.builders import AGENT, end, start


def test_events_are_found_by_a_value_with_the_starts_oldest_first(home: Home) -> None:
    store = Store(home)
    store.record(
        [{**start("a"), "conversation_id": "s1"}, end("a", conversation_id="s1"), end("b", names.FAILURE, agent="ü.md")]
    )
    store.record([end("c", after=99, parent_run_id="a")])
    assert [event["action"] for event in store.events_with("run_id", {"a"})] == [
        names.TASK_STARTED,
        names.TASK_COMPLETED,
    ]
    assert [event["run_id"] for event in store.events_with("agent", {AGENT, "ü.md"})] == ["a", "a", "b", "c"]
    assert [event["run_id"] for event in store.events_with("parent_run_id", {"a"})] == ["c"]
    assert store.events_with("conversation_id", {"s"}) == []


def test_a_segment_that_is_older_is_not_read(home: Home) -> None:
    store = Store(home)
    store.record([end("a")])
    assert store.events_with("run_id", {"a"}, since=4e9) == []
