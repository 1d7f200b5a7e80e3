"""Sessions: the list, the tree of one, and a run, as data."""

from typing import Any

from otel_tracker import names
from otel_tracker.reporting.page import figures
from otel_tracker.reporting.page.query import Query
from otel_tracker.reporting.page.run import RunView, run_of
from otel_tracker.reporting.page.sessions import MOST_SESSIONS, SessionView, session_of, sessions_of
from otel_tracker.state.shapes import Event
from tests.builders import about, end, folded, numbered, start
from tests.reporting.page.pages import NOW, tally_and_document


def run(run_id: str, after: float, parent: str | None = None, session: str = "s1", **known: Any) -> Event:
    tokens = {"input": 10, names.COST: 1_000_000, names.PRICED: 10}
    return end(run_id, after=after, parent_run_id=parent, conversation_id=session, **{"tokens": tokens, **known})


def main(after: float, seconds: float, session: str = "s1") -> Event:
    tokens = {"input": 10, names.COST: 500_000, names.PRICED: 10}
    known = {"conversation_id": session, "models": {"claude-opus-5": tokens}, "project": "/src/shop"}
    started = about("", after - seconds)["timestamp"]
    return about(names.USAGE_RECORDED, after, None, started=started, **known)  # type: ignore[arg-type]


def session(*events: Event) -> SessionView:
    shown = session_of(folded(*events), "s1", numbered(events), NOW)
    assert shown
    return shown


def test_runs_stand_below_their_launchers_in_the_order_of_their_beginnings() -> None:
    shown = session(
        run("inner", 300, "outer", duration_seconds=10.0),
        run("outer", 400, duration_seconds=200.0),
        run("last", 500, duration_seconds=10.0),
        run("deep", 295, "inner", duration_seconds=2.0),
        main(100, 50),
    )
    rows = [(row.branch, row.depth, row.run and row.run.run_id) for row in shown.rows]
    assert rows == [("", 0, None), ("├ ", 1, "outer"), ("│ └ ", 2, "inner"), ("│   └ ", 3, "deep"), ("└ ", 1, "last")]
    bars = [row.bars[0] for row in shown.rows]
    assert bars[0].x == 0
    assert (round(bars[1].x), round(bars[1].width)) == (333, 444)
    assert shown.seconds.value == 450.0
    assert (shown.main.text, shown.agents.text, shown.share.text) == ("$0.50", "$4.00", "88.9 %")
    assert shown.project == "/src/shop"


def test_a_launcher_that_is_unknown_or_goes_round_in_a_circle_hides_no_run() -> None:
    shown = session(run("a", 10, "gone"), run("self", 20, "self"))
    assert [row.run.run_id for row in shown.rows if row.run] == ["a", "self"]


def test_a_running_run_grows_until_now() -> None:
    shown = session(run("a", 60), {**start("r", 60), "conversation_id": "s1"})
    running = shown.rows[-1]
    assert running.run
    assert running.run.is_running
    assert shown.is_running
    assert running.bars[0].outcome == figures.RUNNING
    assert running.bars[0].x + running.bars[0].width > 999
    assert running.cost.text == "–"


def test_without_events_there_is_no_session() -> None:
    assert session_of(folded(), "s1", [], NOW) is None


def test_the_list_has_the_newest_first_with_both_costs() -> None:
    events = [run("a", 10), run("b", 20, session="s2"), run("c", 30, session="s2"), main(40, 5)]
    tally, _ = tally_and_document(*events)
    shown = sessions_of(tally, Query())
    assert [(row.session, row.runs.text, row.main.text, row.agents.text) for row in shown.rows] == [
        ("s1", "1", "$0.50", "$1.00"),
        ("s2", "2", "–", "$2.00"),
    ]
    assert [row.session for row in sessions_of(tally, Query(filter="SHOP")).rows] == ["s1"]
    assert "s2" in shown.tables["sessions"].csv()


def test_a_long_list_is_cut() -> None:
    tally, _ = tally_and_document(*[run(str(n), n, session=f"s{n}") for n in range(MOST_SESSIONS + 1)])
    assert (len(sessions_of(tally, Query()).rows), sessions_of(tally, Query()).found) == (100, 101)
    assert len(sessions_of(tally, Query(rows="all")).rows) == 101


def view(*events: Event, launched: tuple[Event, ...] = (), run_id: str = "a") -> RunView | None:
    document = folded(*events, *launched)
    return run_of(document, run_id, numbered(events), numbered(launched, 9), lambda _: "/t/agent-1.jsonl", NOW)


def test_a_run_shows_everything_that_is_known() -> None:
    models = {"claude-opus-5": {"input": 5, "output": 2}, "gpt-9": {"input": 1}}
    event = run(
        "a", 60, "p", models=models, tokens={"input": 6, "output": 2}, outcome=names.FAILURE, error="no <b>",
        attempts=3, trace_id="t" * 32, error_type="ValueError",
    )  # fmt: skip
    shown = view(event, launched=(run("child", 50, "a"),))
    assert shown
    assert (shown.run.why, shown.run.parent, shown.session, shown.transcript) == (
        "no <b>",
        "p",
        "s1",
        "/t/agent-1.jsonl",
    )
    facts = dict(shown.facts)
    assert (facts["attempts"], facts["trace"], facts["type of error"]) == ("3", "t" * 32, "ValueError")
    assert [(row.model, row.tokens.value, row.cost.text) for row in shown.models] == [
        ("claude-opus-5", 7, "–"),
        ("gpt-9", 1, "–"),
    ]
    assert [child.run_id for child in shown.launched] == ["child"]


def test_a_running_run_has_a_view_and_an_unknown_one_none() -> None:
    shown = view({**start("a", 10), "conversation_id": "s1"})
    assert shown
    assert shown.run.is_running
    assert not shown.models
    assert view(run_id="zz") is None
