"""What turns out later about a run: the end of it and its amendment count as the other end would have."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otel_tracker import names
from otel_tracker.names import CANCELLED, FAILURE, LOST, SUCCESS
from otel_tracker.state.amendment import amended as end_amended
from otel_tracker.state.amendment import amendment_of
from otel_tracker.state.document import Document
from otel_tracker.state.event_checks import is_event
from otel_tracker.state.shapes import Event
from tests.builders import AGENT, about, document_of, end, folded, moment, start

OPUS, SONNET = "claude-opus-5", "claude-sonnet-5"
CLAUDE: dict[str, Any] = {"agent_id": "a1", "tool_use_id": "toolu_1"}


def ended(**known: Any) -> Event:
    """Return the end of a run that Claude Code has named, without a model unless one is given."""
    return end(**{"model": None, **CLAUDE, **known})


def amendment(previous: Event, now: Event) -> Event:
    """Return the event that amends a run which was counted as `previous`."""
    event = amendment_of(previous, {**now, "id": "the amendment"})
    assert event is not None
    return event


def amended(previous: Event, now: Event, into: Document | None = None) -> Document:
    """Return a document with a run that was counted as `previous` and amended to `now`."""
    amendment = amendment_of(previous, {**now, "id": "the amendment"})
    assert amendment is not None
    assert is_event({**amendment, "seq": 1})
    return folded(previous, amendment, into=into)


def counted(document: Document) -> Any:
    """Return what a document has counted, without the latest tokens, and without models that nothing is counted for."""
    agent = document.agents[AGENT]
    parts = {
        part: {
            model: {key: number for key, number in use.items() if key != "last"}
            for model, use in agent[part].items()
            if use["count"] or use["total"]
        }
        for part in ("token_usage", "models")
    }
    tallies = {key: agent["tallies"][key] for key in ("lost", "usage_incomplete")}
    return {
        **parts,
        **tallies,
        "durations": {key: agent["durations"][key] for key in ("buckets", "sum")},
        "of agent": agent["metrics"],
        **document.head["metrics"],
    }


def with_cost_of_what_is_priced(tokens: dict[str, int]) -> dict[str, int]:
    """Return tokens of which at most all have a price, and that cost nothing where none has."""
    priced = min(tokens.get(names.PRICED, 0), names.total_tokens(tokens))
    known = {kind: number for kind, number in tokens.items() if kind not in (names.PRICED, names.COST)}
    return {**known, names.PRICED: priced, names.COST: tokens.get(names.COST, 0)} if priced else known


_usage = st.dictionaries(st.sampled_from(names.USAGE_KEYS), st.integers(1, 9999), max_size=4)
_tokens = st.none() | _usage.map(with_cost_of_what_is_priced)
_models = st.none() | st.dictionaries(st.sampled_from([OPUS, SONNET, "claude-opus-4", "x"]), _tokens, max_size=3)


@st.composite
def ends(draw: st.DrawFn) -> Event:
    """Return an end of the one run, measured or not, of which something may be missing."""
    known: dict[str, Any] = {
        "model": draw(st.sampled_from([None, None, "sonnet", "opus", "x"])),
        "tokens": draw(_tokens),
        "models": draw(_models),
        "usage_incomplete": draw(st.sampled_from([None, False, True])),
        "error": draw(st.sampled_from([None, "it broke"])),
    }
    seconds = draw(st.sampled_from([0.1, 0.5, 60.0]) | st.floats(0, 9000).map(lambda number: round(number, 6)))
    return ended(outcome=draw(st.sampled_from(list(names.ACTIONS))), duration_seconds=seconds, **known)


@settings(max_examples=300)
@given(ends(), ends(), ends())
@example(ended(models={OPUS: {"output": 1}}), ended(models={OPUS: {"output": 1}, SONNET: {"output": 2}}), ended())
@example(ended(model="sonnet", tokens={"untyped": 9}), ended(models={OPUS: {"output": 9}}), ended())
@example(ended(tokens={"untyped": 9}), ended(), ended(tokens={"output": 1}))
def test_a_run_that_is_amended_counts_as_if_it_had_been_recorded_so_at_once(
    other: Event, previous: Event, now: Event
) -> None:
    begun = folded({**other, "run_id": "another run", "id": "other"})
    if amendment_of(previous, now) is None:
        assert counted(folded(previous, into=begun)) == counted(folded(now, into=begun))
        return
    assert counted(amended(previous, now, into=begun)) == counted(folded(now, into=begun))


@given(ends(), ends(), ends())
def test_amendments_of_amendments_add_up(first: Event, second: Event, third: Event) -> None:
    document, before = folded(first), first
    for number, now in enumerate((second, third)):
        amendment = amendment_of(before, {**now, "id": f"amendment {number}"})
        if amendment is not None:
            document = folded(amendment, into=document)
        before = now
    assert counted(document) == counted(folded(third))


@given(ends(), ends())
def test_an_end_and_its_amendment_tell_the_other_end(previous: Event, now: Event) -> None:
    amendment = amendment_of(previous, now)
    if amendment is not None:
        made = end_amended(previous, amendment)
        assert counted(folded(made)) == counted(folded(now))


@given(ends())
def test_an_end_that_is_what_it_was_amends_nothing(known: Event) -> None:
    assert amendment_of(known, {**known, "id": "again", "error": "told in other words"}) is None


@given(st.lists(st.sampled_from([SUCCESS, FAILURE, LOST, CANCELLED]), min_size=1, max_size=8), st.data())
def test_a_failure_that_turns_out_none_is_taken_back_as_if_it_had_never_counted(
    outcomes: list[str], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(outcomes) - 1))
    truth = data.draw(st.sampled_from([SUCCESS, CANCELLED]))
    runs = [ended(outcome=outcome, run_id=f"r{n}", id=f"r{n}") for n, outcome in enumerate(outcomes)]
    true_runs = [*runs[:place], ended(outcome=truth, run_id=f"r{place}", id=f"r{place}"), *runs[place + 1 :]]
    correction = amendment_of(runs[place], {**true_runs[place], "id": "the amendment"})
    document = folded(*runs, *([correction] if correction else []), into=document_of(failure_threshold=9))
    expected = folded(
        *(true_runs if outcomes[place] in (FAILURE, LOST) else runs), into=document_of(failure_threshold=9)
    )
    assert document.agents[AGENT]["failures"] == expected.agents[AGENT]["failures"]
    assert document.agents[AGENT]["status"] == "healthy"


def test_a_failure_is_not_taken_back_from_a_breaker_that_has_moved_since() -> None:
    runs = [ended(outcome=FAILURE, run_id=f"r{n}", id=f"r{n}") for n in range(3)]
    correction = amendment(runs[1], ended(run_id="r1"))
    document = folded(*runs, correction, into=document_of(failure_threshold=3))
    assert (document.agents[AGENT]["status"], document.agents[AGENT]["failures"]) == ("blacklisted", 3)
    reset = folded(*runs[:2], about(names.AGENT_RESET), runs[2], correction, into=document_of(failure_threshold=3))
    assert reset.agents[AGENT]["failures"] == 1


def test_a_suspect_success_takes_a_failure_back_and_ends_no_row() -> None:
    runs = [ended(outcome=FAILURE, run_id=f"r{n}", id=f"r{n}") for n in range(3)]
    correction = amendment(runs[1], ended(run_id="r1", suspect=True))
    assert folded(*runs, correction, into=document_of(failure_threshold=9)).agents[AGENT]["failures"] == 2


def test_failures_that_a_person_has_set_are_not_taken_back() -> None:
    runs = [ended(outcome=FAILURE, run_id=f"r{n}", id=f"r{n}") for n in range(3)]
    document = folded(*runs, into=document_of(failure_threshold=9))
    agents = {AGENT: {**document.agents[AGENT], "failures": 1}}
    edited = Document({**document.head, "agents": agents}, document.history)
    assert folded(amendment(runs[0], ended(run_id="r0")), into=edited).agents[AGENT]["failures"] == 1


@given(ends(), ends())
def test_an_amendment_that_takes_no_failure_back_never_moves_a_breaker(previous: Event, now: Event) -> None:
    document = folded(previous, into=document_of(failure_threshold=1))
    amendment = amendment_of(previous, {**now, "id": "the amendment"})
    after = folded(amendment, into=document) if amendment else document
    kept = ("status", "failures", "last_failure", "blacklisted_until", "circuit")
    assert {key: after.agents[AGENT][key] for key in kept} == {key: document.agents[AGENT][key] for key in kept}


def test_a_model_that_joins_a_run_later_has_one_task() -> None:
    first, both = {OPUS: {"output": 5}}, {OPUS: {"output": 7}, SONNET: {"output": 3}}
    document = amended(
        ended(tokens={"output": 5}, models=first), ended(tokens={"output": 10}, models=both, duration_seconds=60.0)
    )
    agent = document.agents[AGENT]
    assert {model: (use["total"], use["count"], use["last"]) for model, use in agent["models"].items()} == {
        OPUS: (7, 1, 7),
        SONNET: (3, 1, 3),
    }
    assert [agent["token_usage"][model]["count"] for model in ("opus", "sonnet", "haiku")] == [1, 1, 0]


def test_a_run_moves_from_the_model_of_its_launch_to_that_of_its_transcript() -> None:
    before, now = ended(model="sonnet"), ended(tokens={"output": 7}, models={OPUS: {"output": 7}})
    usage = amended(before, now).agents[AGENT]["token_usage"]
    assert (usage["sonnet"]["count"], usage["opus"]["count"], usage["opus"]["total"]) == (0, 1, 7)


def test_a_count_that_a_hand_has_taken_away_does_not_fall_below_none() -> None:
    before, now = ended(model="sonnet", tokens={"untyped": 9}), ended(models={OPUS: {"output": 7}})
    amendment = amendment_of(before, now)
    assert amendment is not None
    agent = folded(amendment).agents[AGENT]
    assert (agent["token_usage"]["sonnet"]["count"], agent["token_usage"]["sonnet"]["total"]) == (0, 0)
    assert agent["models"][OPUS]["count"] == 1


def test_an_amendment_says_the_differences_and_the_error_of_now() -> None:
    before = ended(tokens={"input": 9, "output": 5}, models={OPUS: {"input": 9, "output": 5}}, usage_incomplete=True)
    tokens = {"input": 4, "output": 8}
    now = ended(outcome=FAILURE, tokens=tokens, models={OPUS: tokens}, duration_seconds=90.5, error="it broke")
    amendment = amendment_of(before, {**now, "environment_error": "overloaded"})
    assert amendment is not None
    assert (amendment["action"], amendment["previous_outcome"], amendment["outcome"]) == (
        names.TASK_AMENDED,
        SUCCESS,
        FAILURE,
    )
    assert (amendment["tokens"], amendment["tokens_used"]) == ({"input": -5, "output": 3}, -2)
    assert amendment["models"] == {OPUS: {"input": -5, "output": 3}}
    assert (amendment["duration_seconds"], amendment["previous_duration_seconds"]) == (30.5, 60.0)
    assert (amendment["usage_incomplete"], amendment["previous_usage_incomplete"]) == (False, True)
    assert (amendment["error"], amendment["environment_error"]) == ("it broke", "overloaded")
    assert (amendment["id"], amendment["agent_id"]) == (now["id"], "a1")


def test_a_duration_that_is_unknown_now_stays_as_it_was_counted() -> None:
    document = amended(ended(outcome=FAILURE), {**ended(), "duration_seconds": None})
    assert document.agents[AGENT]["metrics"]["total_duration_seconds"] == 60.0


def test_the_model_of_a_start_gives_way_to_the_full_ids_of_its_end() -> None:
    known = {"tokens": {"output": 7}, "models": {OPUS: {"output": 7}}}
    usage = folded(start("r1"), ended(run_id="r1", **known)).agents[AGENT]["token_usage"]
    assert (usage["sonnet"]["count"], usage["opus"]["count"], usage["opus"]["total"]) == (0, 1, 7)


def test_the_end_of_a_lost_task_moves_to_the_models_that_did_the_work() -> None:
    lost = end("r1", LOST)
    assert folded(lost).agents[AGENT]["token_usage"]["sonnet"]["count"] == 1
    late = ended(run_id="r1", tokens={"output": 7}, models={OPUS: {"output": 7}})
    usage = amended(lost, late).agents[AGENT]["token_usage"]
    assert (usage["sonnet"]["count"], usage["opus"]["count"], usage["opus"]["total"]) == (0, 1, 7)


def test_an_amendment_of_before_moves_no_count() -> None:
    old = about(names.TASK_AMENDED, tokens={"output": 5}, models={OPUS: {"output": 5}})
    agent = folded(end(), old).agents[AGENT]
    assert (agent["token_usage"]["opus"]["total"], agent["token_usage"]["opus"]["count"]) == (5, 0)
    assert agent["models"][OPUS]["count"] == 0


@pytest.mark.parametrize(("before", "after", "number"), [(None, True, 1), (True, None, 0), (True, True, 1)])
def test_runs_without_their_final_usage_are_counted(before: bool | None, after: bool | None, number: int) -> None:
    first, now = ended(usage_incomplete=before), ended(usage_incomplete=after, tokens={"output": 1})
    assert folded(first).agents[AGENT]["tallies"]["usage_incomplete"] == bool(before)
    assert amended(first, now).agents[AGENT]["tallies"]["usage_incomplete"] == number


def test_an_older_document_has_no_run_without_its_final_usage() -> None:
    document = document_of({"agents": {AGENT: {"tallies": {"lost": 1}}}})
    assert document.agents[AGENT]["tallies"]["usage_incomplete"] == 0
    assert folded(ended(usage_incomplete=True), into=document).agents[AGENT]["tallies"]["usage_incomplete"] == 1


def test_a_suspect_success_counts_and_does_not_end_a_row_of_failures() -> None:
    agent = folded(end("r1", FAILURE), ended(run_id="r2", suspect=True)).agents[AGENT]
    assert (agent["metrics"]["tasks_successful"], agent["failures"]) == (1, 1)
    assert folded(end("r1", FAILURE), ended(run_id="r2")).agents[AGENT]["failures"] == 0


def test_a_suspect_success_of_a_probe_gives_the_permit_back_and_closes_nothing() -> None:
    opened = folded(end("r1", FAILURE), into=document_of(failure_threshold=1, cooldown_minutes=10))
    granted = about(names.PROBE_GRANTED, 700.0, permit="probe", expires=moment(1600))
    known = {"run_id": "probe", "after": 800.0, "duration_seconds": 50}
    assert folded(granted, ended(**known), into=opened).agents[AGENT]["status"] == "healthy"
    agent = folded(granted, ended(suspect=True, **known), into=opened).agents[AGENT]
    assert (agent["status"], agent["circuit"]["permit"], agent["failures"]) == ("blacklisted", None, 1)


@pytest.mark.parametrize("flags", [{"told_later": True}, {"agent_id": "x"}, {"tool_use_id": "x"}])
def test_a_run_that_is_reported_late_does_not_turn_the_clock_back(flags: dict[str, Any]) -> None:
    document = folded(end("r1", after=90.0), end("r2", after=10.0, **flags))
    metrics = document.agents[AGENT]["metrics"]
    assert (metrics["first_task_timestamp"], metrics["last_task_timestamp"]) == (moment(10), moment(90))
    assert document.head["updated"] == moment(90)
    assert document.history.entries()[-1]["timestamp"] == moment(10)


@pytest.mark.parametrize("flags", [{}, {"told_later": False, "agent_id": "x"}])
def test_any_other_event_is_the_newest_one_whatever_its_clock_said(flags: dict[str, Any]) -> None:
    document = folded(end("r1", after=90.0), end("r2", after=10.0, **flags))
    assert document.head["updated"] == document.agents[AGENT]["metrics"]["last_task_timestamp"] == moment(10)


def test_a_clock_that_has_jumped_far_ahead_does_not_hold_for_the_runs_of_later() -> None:
    ahead = ended(run_id="r1", after=40 * 86_400.0)
    document = folded(ahead, ended(run_id="r2", after=10.0), ended(run_id="r3", after=20.0))
    assert document.head["updated"] == moment(20)
    assert document.history.count == 3


def test_a_woken_agents_last_end_is_its_last_task() -> None:
    document = amended(ended(after=60.0), ended(after=300.0, duration_seconds=300.0))
    metrics = document.agents[AGENT]["metrics"]
    assert (metrics["tasks_total"], metrics["total_duration_seconds"]) == (1, 300)
    assert (metrics["last_task_timestamp"], document.head["updated"]) == (moment(300), moment(300))


@pytest.mark.parametrize(("outcome", "tally"), [(SUCCESS, "success"), (FAILURE, "failure"), (CANCELLED, "cancelled")])
def test_an_amended_outcome_stays_in_the_counters_that_never_fall(outcome: str, tally: str) -> None:
    agent = amended(ended(outcome=outcome), ended(outcome=LOST)).agents[AGENT]
    assert (agent["tallies"][f"amended_{tally}"], agent["tallies"]["amended"], agent["tallies"]["lost"]) == (1, 0, 1)


@pytest.mark.parametrize("key", ["usage_incomplete", "suspect", "previous_models", "agent_id", "previous_model"])
def test_an_event_whose_key_of_a_run_has_another_type_is_none(key: str) -> None:
    event = {**ended(), "seq": 1}
    assert is_event(event)
    assert not is_event({**event, key: 7})
    assert is_event({**event, key: None})
