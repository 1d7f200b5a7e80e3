"""Which run an end without one is about, and what an event adds to those before it."""

from typing import Any

import pytest

from otel_tracker import names
from otel_tracker.names import FAILURE, LOST, SUCCESS
from otel_tracker.state.resolve import as_news, ended_run, lost_run, running_task, with_run
from otel_tracker.state.shapes import Event
from tests.builders import AGENT, end, folded, moment, start

OTHER = "ui/designer.md"
RUNNING = (start("late", 20, task_id="t"), start("early", 10, task_id="t"), start("other", 5, agent=OTHER, task_id="t"))


def nameless(**known: Any) -> Event:
    return {**end(None, after=90, model=None), **known}


def ended_task(*running: Event, **known: Any) -> Event | None:
    in_flight = folded(*running).head["in_flight"]
    event = nameless(**known)
    return running_task(in_flight, event, is_exact=True) or running_task(in_flight, event, is_exact=False)


def test_an_end_belongs_to_the_oldest_run_of_its_agent_and_task_id() -> None:
    task = ended_task(*RUNNING, start("elsewhere", 0, task_id="u"), task_id="t", started=moment(15))
    assert task is not None
    assert (task["run_id"], with_run(nameless(), task)["model"]) == ("early", "sonnet")


def test_an_end_belongs_to_the_run_of_its_agent_task_id_and_start_before_all_others() -> None:
    task = ended_task(*RUNNING, task_id="t", started=moment(20))
    assert task is not None
    assert task["run_id"] == "late"


def test_an_end_without_a_task_id_belongs_to_the_run_of_its_agent_that_began_then() -> None:
    task = ended_task(*RUNNING, started=moment(20))
    assert task is not None
    assert (task["run_id"], with_run(nameless(), task)["task_id"]) == ("late", "t")
    assert ended_task(*RUNNING, started=moment(5)) is None


def test_an_end_with_a_task_id_finds_the_start_that_was_recorded_without_one() -> None:
    task = ended_task(start("r1", 20), task_id="t", started=moment(20))
    assert task is not None
    assert with_run(nameless(task_id="t"), task)["run_id"] == "r1"


def test_an_end_without_a_known_start_is_a_run_of_its_own() -> None:
    assert ended_task(*RUNNING, task_id="unknown", started=moment(7)) is None
    assert with_run(nameless(), None)["run_id"] == nameless()["id"]


@pytest.mark.parametrize(
    ("known", "is_repeated"),
    [
        ({}, True),
        ({"task_id": "t"}, True),
        ({"task_id": "u"}, False),
        ({"started": moment(5)}, False),
        ({"agent": OTHER}, False),
    ],
)
def test_an_end_repeats_that_of_the_run_with_its_agent_start_and_task_id(
    known: dict[str, Any], is_repeated: bool
) -> None:
    earlier = [start("r1", task_id="t"), end("r1", task_id="t", started=moment(0))]
    event = nameless(**{"started": moment(0), **known})
    assert (ended_run(event, earlier) is not None) is is_repeated


def test_a_lost_task_is_found_by_its_id_or_start_until_it_has_been_amended() -> None:
    known: dict[str, Any] = {"task_id": "t", "started": moment(0)}
    earlier = [end("r1", LOST, **known), end("r2", agent=OTHER, **known)]
    for lost in (nameless(task_id="t"), nameless(started=moment(0))):
        match = lost_run(lost, earlier)
        assert match is not None
        assert match["run_id"] == "r1"
        assert lost_run({**lost, "agent": "third.md"}, earlier) is None
        assert lost_run(lost, [*earlier, {**earlier[0], "action": names.TASK_AMENDED}]) is None


@pytest.mark.parametrize("earlier", [end("r1"), end("r1", FAILURE), {**end("r1"), "action": names.TASK_AMENDED}])
@pytest.mark.parametrize("event", [end("r1", after=90), end("r1", LOST), start("r1")])
def test_nothing_is_news_of_a_run_that_has_ended(event: Event, earlier: Event) -> None:
    assert as_news(event, earlier) is None


def test_the_end_of_a_lost_run_is_the_difference_between_the_two() -> None:
    lost = end("r1", LOST, model="opus")
    amended = as_news(end("r1", SUCCESS, model=None), lost)
    assert amended is not None
    assert (amended["action"], amended["previous_outcome"], amended["outcome"]) == (names.TASK_AMENDED, LOST, SUCCESS)
    assert amended["model"] == "opus"
    assert as_news(end("r1", SUCCESS, agent=OTHER), lost) is None
    assert as_news(end("r1", LOST, after=99), lost) is None


def test_a_loss_adds_to_a_loss_only_the_usage_that_is_not_known_yet() -> None:
    known: dict[str, Any] = {"tokens": {"output": 7}, "models": {"claude-sonnet-5": {"output": 7}}}
    lost, measured = end("r1", LOST), end("r1", LOST, after=99, **known)
    amended = as_news(measured, lost)
    assert amended is not None
    assert (amended["action"], amended["tokens"], amended["models"]) == (names.TASK_AMENDED, *known.values())
    assert "outcome" not in amended
    assert as_news(lost, measured) is None
    assert as_news(measured, measured) is None


def test_what_begins_or_ends_a_run_that_only_runs_or_that_nothing_tells_of_is_news() -> None:
    ended, started = end("r1"), start("r1")
    assert as_news(ended, started) is ended
    assert as_news(ended, None) is ended
    assert as_news(started, None) is started
    assert as_news(started, start("r1", 5)) is None
    assert ended["agent"] == AGENT
