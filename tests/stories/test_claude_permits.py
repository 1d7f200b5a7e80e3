"""The probe in Claude Code: one launch is let through after the cooldown, and what becomes of its permit."""

from pathlib import Path

import pytest

from otel_tracker.runtime.timestamps import parse_timestamp
from tests.stories.asking import Wait, ask, coder, go_on, probe
from tests.stories.harness import Session
from tests.stories.replay import play


def test_exactly_one_probe_is_let_through_after_the_cooldown(place: Path, wait: Wait) -> None:
    wait(9)
    assert ask(place)
    wait(2)
    asked = [ask(place) for _ in range(5)]
    assert asked[0] == ""
    assert all("probe" in reason for reason in asked[1:])


def test_the_probe_is_let_through_each_time_it_is_asked_for(place: Path, wait: Wait) -> None:
    wait(11)
    run = probe(place)
    assert ask(place, run) == ""
    assert ask(place)


def test_a_success_of_the_probe_closes(place: Path, wait: Wait) -> None:
    wait(11)
    run = probe(place)
    run.begins().works().ends().completes()
    go_on(run, place)
    assert coder(place)["status"] == "healthy"
    assert ask(place) == ""
    assert ask(place) == ""


def test_a_success_of_the_probe_in_the_background_closes_when_its_notification_comes(place: Path, wait: Wait) -> None:
    wait(11)
    run = probe(place)
    run.is_in_background().begins()
    run.session.stops(run)
    go_on(run, place)
    assert ask(place)
    run.works().ends().is_notified("completed")
    go_on(run, place)
    assert ask(place) == ""


def test_a_failure_of_the_probe_opens_again_for_twice_as_long(place: Path, wait: Wait) -> None:
    wait(11)
    run = probe(place)
    run.begins().fails("boom")
    go_on(run, place)
    agent = coder(place)
    assert agent["status"] == "blacklisted"
    length = parse_timestamp(agent["blacklisted_until"]) - parse_timestamp(agent["circuit"]["opened"])
    assert length == pytest.approx(20 * 60)
    wait(19)
    assert ask(place)
    wait(2)
    assert ask(place) == ""


def test_a_launch_that_claude_code_turns_down_gives_the_permit_back_at_once(place: Path, wait: Wait) -> None:
    wait(11)
    run = probe(place)
    run.fails("Concurrent subagent limit reached. You can run 2 subagents at once.")
    before = coder(place)["metrics"]
    go_on(run, place)
    assert coder(place)["metrics"] == before
    assert ask(place) == ""


def test_an_outage_of_the_probe_leaves_its_permit_to_the_next(place: Path, wait: Wait) -> None:
    wait(11)
    run = probe(place)
    run.begins().works().meets("rate_limit", 429).ends().completes()
    go_on(run, place)
    assert ask(place) == ""
    assert ask(place)


@pytest.mark.parametrize("end", ["stop", "interrupt", "session", "denial", "prompt"])
def test_the_permit_of_a_launch_that_never_began_is_given_back(end: str, place: Path, wait: Wait) -> None:
    wait(11)
    run = probe(place)
    if end == "stop":
        run.session.stops()
    elif end == "interrupt":
        run.fails("Interrupted", is_interrupt=True)
    elif end == "session":
        run.session.is_over()
    elif end == "denial":
        run.is_denied("user-rejected").session.stops()
    else:
        run.is_denied("user-rejected").session.asks()
    go_on(run, place)
    assert ask(place) == ""
    assert ask(place)


def test_the_stop_of_another_session_gives_nothing_back(place: Path, wait: Wait) -> None:
    wait(11)
    probe(place)
    other = Session()
    other.stops()
    other.is_over()
    play(other.steps, place)
    assert ask(place)


def test_a_stop_while_the_probe_runs_gives_nothing_back(place: Path, wait: Wait) -> None:
    wait(11)
    run = probe(place)
    run.is_in_background().begins().is_prompted().calls_a_tool()
    run.session.stops(run)
    go_on(run, place)
    assert ask(place)


def test_a_session_that_ends_under_the_probe_gives_its_permit_back(place: Path, wait: Wait) -> None:
    wait(11)
    run = probe(place)
    run.is_in_background().begins().is_cut()
    run.session.is_over()
    go_on(run, place)
    assert coder(place)["tallies"]["lost"] == 1
    assert ask(place) == ""
    assert ask(place)


def test_a_permit_lapses_after_15_minutes_without_a_start(place: Path, wait: Wait) -> None:
    wait(11)
    probe(place)
    wait(14)
    assert ask(place)
    wait(2)
    assert ask(place) == ""
    assert ask(place)


def test_a_permit_does_not_lapse_while_its_run_goes_on(place: Path, wait: Wait) -> None:
    wait(11)
    run = probe(place)
    run.begins().is_prompted()
    go_on(run, place)
    wait(40)
    assert ask(place)


def test_a_suspect_success_does_not_close(place: Path, wait: Wait) -> None:
    wait(11)
    run = probe(place)
    run.begins().is_prompted().answers().ends().completes()
    go_on(run, place)
    assert coder(place)["status"] != "healthy"
    assert ask(place) == ""
    assert ask(place)
