"""The fleet's view as data: tiles, agents, idle ones, models."""

import csv
import io

import pytest

from otel_tracker import names
from otel_tracker.errors import InvalidValueError
from otel_tracker.reporting.page.fleet import COLUMNS, MOST_ROWS, Fleet, fleet_of
from otel_tracker.reporting.page.query import Query, address, query_of
from otel_tracker.state.shapes import Event
from tests.builders import AGENT, about, end, start
from tests.reporting.page.pages import NOW, tally_and_document

DAY = 86_400.0
DESIGNER = "ui/designer.md"


def fleet(*events: Event, query: Query = Query(), now: float = NOW) -> Fleet:  # noqa: B008
    tally, document = tally_and_document(*events, query=query, now=now)
    return fleet_of(document, tally, query, now)


def tile(shown: Fleet, name: str) -> tuple[str, str]:
    found = next(tile for tile in shown.tiles if tile.name == name)
    return found.figure.text, found.change


def priced(cost: int, tokens: int = 1000) -> dict[str, int]:
    return {"input": tokens, names.COST: cost, names.PRICED: tokens}


def test_an_empty_home_has_zero_runs_and_unknown_everything_else() -> None:
    shown = fleet()
    assert tile(shown, "Runs") == tile(shown, "Running") == ("0", "")
    assert tile(shown, "Success")[0] == tile(shown, "Cost ≈")[0] == tile(shown, "Tokens")[0] == "–"
    assert not shown.agents
    assert not shown.idle
    assert shown.tasks.most == 0


def test_tiles_compare_the_window_with_the_one_before() -> None:
    before = [end(f"old{n}", after=-8 * DAY, tokens=priced(1_000_000)) for n in range(2)]
    now = [end(f"new{n}", names.FAILURE if n == 0 else names.SUCCESS, n, tokens=priced(1_000_000)) for n in range(4)]
    shown = fleet(*before, *now)
    assert tile(shown, "Runs") == ("4", "+100 %")
    assert tile(shown, "Success") == ("75.0 %", "−25.0 points")
    assert tile(shown, "Cost ≈") == ("$4.00", "+100 %")
    assert tile(fleet(*before, *now, query=Query(window="all")), "Runs") == ("6", "")


def test_refusals_are_counted_in_the_window_and_before() -> None:
    refused = [about(names.TASK_REJECTED, after, reason="failures") for after in (-8 * DAY, 5.0, 6.0)]
    assert tile(fleet(end(), *refused), "Refused") == ("2", "+1")


def test_running_tasks_are_now_and_not_of_the_window() -> None:
    shown = fleet(start("r"), query=Query(window="today"))
    assert tile(shown, "Running") == ("1", "longest 1 h")
    assert [(row.agent, row.running, row.face.marks[-1].text) for row in shown.agents] == [(AGENT, 1, "○")]


def test_tokens_without_a_price_make_the_cost_at_least_and_alone_unknown() -> None:
    unpriced = {"input": 500}
    shown = fleet(end("a", tokens=priced(2_000_000)), end("b", after=61, tokens=unpriced))
    assert tile(shown, "Cost ≈")[0] == "≥ $2.00"
    assert "500 tokens have no price" in next(t.figure.tip for t in shown.tiles if t.name == "Cost ≈")
    assert tile(fleet(end("b", tokens=unpriced)), "Cost ≈")[0] == "–"


def test_the_face_has_the_last_20_outcomes_by_shape() -> None:
    outcomes = [*[names.SUCCESS] * 20, names.FAILURE, names.CANCELLED, names.LOST]
    events = [end(str(number), outcome, number) for number, outcome in enumerate(outcomes)]
    (row,) = fleet(*events).agents
    assert "".join(marks.text for marks in row.face.marks) == "●" * 17 + "✕–?"
    assert row.face.tip == "last 20 runs in the last 7 days: 17 success, 1 failure, 1 cancelled, 1 lost"


def test_agents_in_trouble_come_first_and_those_without_runs_are_idle() -> None:
    failures = [end(f"f{number}", names.FAILURE, 3500 + number, DESIGNER) for number in range(5)]
    idle = about(names.AGENT_REGISTERED, agent="core/idle.md", name="Idle")
    shown = fleet(idle, end(), *failures)
    assert [row.agent for row in shown.agents] == [DESIGNER, AGENT]
    assert shown.agents[0].breaker.text.startswith("blacklisted ")
    assert shown.agents[0].breaker.level == "broken"
    assert shown.agents[0].breaker.until
    assert shown.idle == ["core/idle.md"]
    assert tile(shown, "Blacklisted") == ("1", "of 3 agents")


def test_an_agent_that_was_removed_still_shows_its_runs() -> None:
    shown = fleet(end(), about(names.AGENT_REMOVED, 70.0))
    assert [(row.agent, row.runs.text) for row in shown.agents] == [(AGENT, "1")]


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_sorts_both_ways(column: str) -> None:
    events = [
        end("a", after=5, duration_seconds=1.0, tokens=priced(1)),
        end("b", names.FAILURE, 6, DESIGNER, duration_seconds=2.0),
        end("c", after=7, agent="z.md", duration_seconds=3.0, tokens=priced(5, 9)),
        end("d", after=8, agent="z.md", duration_seconds=3.0, tokens=priced(5, 9)),
    ]
    there = [row.agent for row in fleet(*events, query=Query(sort=column)).agents]
    back = [row.agent for row in fleet(*events, query=Query(sort=f"-{column}")).agents]
    assert len(set(there)) == 3
    assert there == back[::-1]


def test_unknown_figures_sort_last() -> None:
    shown = fleet(end("a"), end("b", after=61, agent=DESIGNER, tokens=priced(5)), query=Query(sort="cost"))
    assert [row.agent for row in shown.agents] == [DESIGNER, AGENT]


def test_the_filter_looks_in_keys_and_names_and_long_tables_are_cut() -> None:
    events = [end(str(n), after=n, agent=f"experts/e{n:03}.md") for n in range(MOST_ROWS + 5)]
    shown = fleet(*events)
    assert (len(shown.agents), shown.found) == (MOST_ROWS, MOST_ROWS + 5)
    assert len(fleet(*events, query=Query(rows="all")).agents) == MOST_ROWS + 5
    assert [row.agent for row in fleet(*events, query=Query(filter="E104")).agents] == ["experts/e104.md"]


def test_every_list_is_a_table_of_exact_values() -> None:
    tables = fleet(end(tokens=priced(1_234_567, 1_500_000), models={"claude-x": priced(1_234_567, 1_500_000)})).tables
    rows = {name: list(csv.DictReader(io.StringIO(table.csv()))) for name, table in tables.items()}
    assert rows["agents"][0]["tokens"] == rows["models"][0]["tokens"] == "1500000"
    assert rows["agents"][0]["cost_usd"] == "1.234567"
    assert rows["agents"][0]["median_seconds"] == "60.0"
    assert sum(int(row["success"]) for row in rows["tasks"]) == 1


def test_the_address_says_the_window_and_the_order() -> None:
    query = query_of({"window": "30d", "sort": "-cost", "filter": " db ", "unknown": "x"})
    assert query == Query(window="30d", sort="-cost", filter="db")
    assert address("/", query) == "/?window=30d&sort=-cost&filter=db"
    of_days = query_of({"from": "2026-02-14", "to": "2026-02-15"})
    assert address("/", of_days) == "/?from=2026-02-14&to=2026-02-15"
    assert address("/", of_days, window="7d", since="", until="") == "/"
    window = of_days.window_at(NOW, None)
    assert (window.since, window.until) == (window.until - 2 * DAY, window.until)  # type: ignore[operator]
    assert query_of({"window": "century"}).window == "7d"
    with pytest.raises(InvalidValueError, match="tomorrow"):
        query_of({"from": "tomorrow"}).window_at(NOW, None)
