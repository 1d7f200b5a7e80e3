"""Each story in order, with each event twice, in other orders, and with each event left out: the document says the same."""

import random
from pathlib import Path

import pytest

from tests.stories.harness import Session, Step
from tests.stories.replay import (
    Expected,
    Said,
    Story,
    compare,
    expected,
    play,
    reconcile,
    resume,
    said,
    shuffled,
    write,
)
from tests.stories.stories import each_story, told

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("flushed")]
_SEEDS = range(4)


def all_written(session: Session, steps: "list[Step] | None" = None) -> list[Step]:
    """Write all that the session writes, and return its steps, or those of them that are told, without that."""
    for step in session.steps:
        write(step.writes)
    write(session.written())
    return [step._replace(writes=[]) for step in (session.steps if steps is None else steps)]


@each_story
def test_in_order(story: Story, tmp_path: Path) -> None:
    session, told_of = told(story, tmp_path)
    play(session.steps, tmp_path)
    compare(tmp_path, told_of, has_breaker=True)
    reconcile(session, tmp_path)
    compare(tmp_path, told_of, has_breaker=True)


@each_story
def test_each_event_twice(story: Story, tmp_path: Path) -> None:
    session, told_of = told(story, tmp_path)
    play((step._replace(writes=step.writes * (turn == 0)) for step in session.steps for turn in range(2)), tmp_path)
    reconcile(session, tmp_path)
    compare(tmp_path, told_of, has_breaker=True)


@each_story
@pytest.mark.parametrize("seed", _SEEDS)
def test_in_another_order(story: Story, seed: int, tmp_path: Path) -> None:
    session, told_of = told(story, tmp_path)
    steps = shuffled(all_written(session), seed)
    play(steps, tmp_path)
    reconcile(session, tmp_path)
    says, should = _both(tmp_path, told_of)
    assert says == should, [step.event for step in steps]


@each_story
def test_without_one_of_the_events(story: Story, tmp_path: Path) -> None:
    number = len(told(story, tmp_path / "all")[0].steps)
    wrong = {}
    for place in range(number):
        home = tmp_path / str(place)
        session, told_of = told(story, home)
        left_out = session.steps[place]
        session.steps[place] = left_out._replace(payload={})
        for step in session.steps:
            write(step.writes)
            play([step._replace(writes=[])] if step.payload else [], home)
        (resume if left_out.event == "SessionEnd" else reconcile)(session, home)
        says, should = _both(home, told_of._replace(runs=told_of.without.get(left_out.event, told_of.runs)))
        if says != should:
            wrong[f"{place} {left_out.event}"] = (says, should)
    assert not wrong


@each_story
@pytest.mark.parametrize("seed", _SEEDS)
def test_some_of_the_events_in_any_order_and_number_count_no_run_twice(story: Story, seed: int, tmp_path: Path) -> None:
    session, told_of = told(story, tmp_path)
    times = random.Random(seed).choices((0, 1, 2), (3, 5, 2), k=len(session.steps))  # noqa: S311 - no secret
    steps = [step for step, number in zip(session.steps, times, strict=True) for _ in range(number)]
    play(shuffled([step._replace(after=()) for step in all_written(session, steps)], seed), tmp_path)
    reconcile(session, tmp_path)
    says = said(tmp_path, has_breaker=False)
    assert (says["in_flight"], says["log"]) == (0, [])
    assert says["ends"] <= len(told_of.runs)


def _both(home: Path, told: Expected) -> "tuple[Said, Said]":
    has_breaker = told.is_breaker_sure
    return said(home, has_breaker=has_breaker), expected(told.runs, has_breaker=has_breaker)
