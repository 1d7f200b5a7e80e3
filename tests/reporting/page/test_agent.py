"""An agent's view as data: its breaker over time, errors, durations, tokens, costs, runs, settings."""

from typing import Any

from otel_tracker import names
from otel_tracker.reporting.page.agent import FIRST_RUNS, AgentView, agent_of
from otel_tracker.reporting.page.query import Query
from otel_tracker.reporting.page.tally import tally_of
from otel_tracker.reporting.window import Window
from otel_tracker.state.amendment import amendment_of
from otel_tracker.state.shapes import Event
from tests.builders import AGENT, about, end, folded, numbered, start
from tests.reporting.page.pages import NOW, read_of

DAY = 86_400.0


def agent(*events: Event, query: Query = Query(), now: float = NOW, key: str = AGENT) -> AgentView:  # noqa: B008
    document, read = folded(*events), read_of(*events)
    tally = tally_of(read, query.window_at(now, None), now)
    week = tally_of(read, Window(since=now - 8 * DAY), now)
    own = [event for event in numbered(events) if event["agent"] == key]
    return agent_of(document, key, tally, week, own, query, now)


def failures(number: int = 5, after: float = 0.0, **known: Any) -> list[Event]:
    return [end(f"f{after}-{n}", names.FAILURE, after + n, **known) for n in range(number)]


def test_the_breaker_is_shown_over_time_with_what_moved_it() -> None:
    reset = about(names.AGENT_RESET, 1000.0, by="page")
    shown = agent(end("ok", after=-60), *failures(error="database is locked"), reset, *failures(after=2000))
    assert [(move.words, move.why) for move in shown.timeline.moves][::-1] == [
        ("blacklisted", "5 failures in a row: database is locked"),
        ("half open", "its cooldown was over"),
        ("closed", "reset by page"),
        ("blacklisted", "5 failures in a row"),
        ("half open", "its cooldown was over"),
    ]
    assert shown.timeline.is_complete
    assert shown.breaker.text == "half open"
    stretches = shown.timeline.stretches
    assert [one.state for one in stretches] == ["closed", "open", "half_open", "closed", "open", "half_open"]
    assert abs(stretches[-1].x + stretches[-1].width - 1000) < 2


def test_a_probe_and_orders_are_moves_too() -> None:
    order = {"kind": names.FORCED_OPEN, "until": None, "reason": "deploy"}
    shown = agent(
        *failures(),
        end("probe", after=700.0, duration_seconds=1.0),
        about(names.BREAKER_OVERRIDE, 800.0, override=order),
        about(names.BREAKER_OVERRIDE, 900.0, override=None),
    )
    assert [(move.words, move.why) for move in shown.timeline.moves] == [
        ("closed", "the order was lifted"),
        ("forced open", "ordered: forced open: deploy"),
        ("closed", "a task ended in success"),
        ("half open", "its cooldown was over"),
        ("blacklisted", "5 failures in a row"),
    ]


def test_a_state_that_the_events_do_not_explain_is_said_to_be_estimated() -> None:
    events = failures()
    document, read = folded(*events), read_of(*events)
    tally = tally_of(read, Query().window_at(NOW - 3500, None), NOW - 3500)
    shown = agent_of(document, AGENT, tally, tally, numbered(events)[-1:], Query(), NOW - 3500)
    assert not shown.timeline.is_complete


def test_errors_are_grouped_by_their_text() -> None:
    shown = agent(
        *failures(2, error="exit status 1"),
        *failures(3, after=100, error="<script>"),
        end("l", names.LOST, 200),
        end("ok", after=300),
    )
    assert [(row.text, row.runs, row.last - row.first) for row in shown.errors] == [
        ("<script>", 3, 2.0),
        ("exit status 1", 2, 1.0),
        ("its process was gone", 1, 0.0),
    ]
    assert shown.errors[0].run_id == "f100-2"


def test_runs_are_as_they_were_amended_and_running_ones_come_first() -> None:
    first = end("a", names.LOST, 10)
    second = end("a", after=20, tokens={"input": 7})
    amendment = amendment_of(first, second)
    assert amendment
    shown = agent(first, amendment, start("r", 30))
    assert [(run.run_id, run.outcome) for run in (*shown.running, *shown.ended)] == [("r", "running"), ("a", "success")]
    assert shown.running[0].seconds.value == 3570.0
    assert shown.running[0].tokens.text == "–"
    assert shown.ended[0].tokens.value == 7
    assert not shown.errors


def test_the_newest_runs_are_listed_and_more_on_demand() -> None:
    events = [end(str(number), after=number) for number in range(FIRST_RUNS + 3)]
    shown = agent(*events)
    assert (len(shown.ended), shown.found) == (FIRST_RUNS, FIRST_RUNS + 3)
    assert shown.ended[0].run_id == str(FIRST_RUNS + 2)
    assert len(agent(*events, query=Query(rows="all")).ended) == FIRST_RUNS + 3


def test_tokens_are_by_type_with_the_share_of_the_cache() -> None:
    shown = agent(end(tokens={"input": 100, "output": 50, "cache_read": 800, "cache_write": 100}))
    assert [(part.name, part.tokens.value) for part in shown.parts] == [
        ("input", 100), ("output", 50), ("cache read", 800), ("cache write", 100),
    ]  # fmt: skip
    assert shown.cache_share.text == "80.0 %"
    assert agent(end()).cache_share.text == "–"


def test_the_cost_of_today_is_held_against_the_week_before() -> None:
    def costing(number: int, after: float, cost: int) -> Event:
        return end(str(number), after=after, tokens={"input": 5, names.COST: cost, names.PRICED: 5})

    shown = agent(costing(0, 10, 2_000_000), *[costing(day, -day * DAY, 1_000_000) for day in range(1, 8)])
    assert shown.cost_today == "$2.00 today, 2.0 times, against $1.00 a day in the seven days before."
    assert sum(row.dollars for row in shown.cost_rows) == 9.0 - 1.0  # the eighth day is not in the window
    assert agent(end()).cost_today == ""


def test_settings_say_where_they_come_from() -> None:
    settings = about(
        names.SETTINGS_CHANGED, 70, None, since=0,  # type: ignore[arg-type]
        config={"failure_threshold": 4}, agents={AGENT: {"cooldown_minutes": 3, "fallbacks": ["x.md"]}},
    )  # fmt: skip
    shown = agent(end(), settings)
    found = {row.key: (row.value, row.source) for row in shown.settings}
    assert found["cooldown_minutes"] == ("3", "its own")
    assert found["failure_threshold"] == ("4", "of all agents")
    assert found["probe_max_minutes"] == ("180", "default")
    assert (shown.fallbacks, shown.fallback_source) == (["x.md"], "its own setting")
    assert shown.next_cooldown == "Opens after 4 failures in a row, for 3 m."


def test_an_agent_that_is_gone_and_one_without_runs_are_views_too() -> None:
    assert not agent(end(), about(names.AGENT_REMOVED, 100)).is_known
    shown = agent(about(names.AGENT_REGISTERED, agent="core/idle.md", name="Idle"), key="core/idle.md")
    assert shown.name == "Idle"
    assert shown.durations is None
    assert shown.costs is None
    assert not shown.timeline.moves


def test_durations_are_dots_within_the_chart() -> None:
    events = [end(str(n), after=n, duration_seconds=float(n)) for n in range(100)]
    dots = agent(*events).durations
    assert dots
    assert dots.paths["success"].count("M") == 100
    assert 0 < dots.p95 < dots.median < 120
    assert "runs" in agent(*events).tables
