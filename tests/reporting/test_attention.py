"""What needs attention: each kind is there exactly while it is so."""

from datetime import UTC
from typing import Any

import pytest

from otel_tracker import names
from otel_tracker.errors import command
from otel_tracker.reporting import summary
from otel_tracker.reporting.aggregate import parts_in
from otel_tracker.reporting.attention import CRITICAL, INFO, WARNING, Attention, attention
from otel_tracker.reporting.finding import NOTE, OK, WRONG, Finding
from otel_tracker.reporting.recent import LAST_RUNS, recent, recent_window
from otel_tracker.state.document import Document
from otel_tracker.state.shapes import Event
from otel_tracker.storage.home import Home
from tests.builders import AGENT, NOON, about, end, folded, moment, numbered, start

HOME = Home("/home")
OTHER = "core/tester.md"
OPUS = "claude-opus-5-5"
DAY, MINUTE = 86_400, 60.0
FAILURE, SUCCESS, CANCELLED = names.FAILURE, names.SUCCESS, names.CANCELLED


def needs_attention(
    *events: Event, after: float = 0.0, into: Document | None = None, is_gone: bool = False, **known: Any
) -> list[Attention]:
    """Return what needs attention after events, so many seconds after noon."""
    document, now = folded(*events, into=into), NOON + after
    batches = [(float("inf"), reversed(numbered(list(events))))]
    parts = parts_in(recent_window(now, UTC), lambda *_: batches, document.renamed)
    running = summary.running_tasks(document, now, lambda _: is_gone)
    return attention(document, now, HOME, recent=recent(parts, now, UTC), running=running, **known)


def runs(outcomes: str, agent: str = AGENT, **known: Any) -> list[Event]:
    """Return the ends of an agent's runs before noon, a minute apart: `.` is a success, `x` a failure, `-` cancelled."""
    of_mark = {".": SUCCESS, "x": FAILURE, "-": CANCELLED, "?": names.LOST}
    return [
        end(f"{agent} {number}", of_mark[mark], (number - len(outcomes)) * MINUTE, agent, **known)
        for number, mark in enumerate(outcomes)
    ]


def costing(dollars: float, day: int) -> Event:
    """Return a run that cost so much, so many days before noon."""
    tokens = {"output": 10, names.COST: round(dollars * 1_000_000), names.PRICED: 10}
    return end(f"of {dollars} on {day}", after=-day * DAY, models={OPUS: tokens}, tokens=tokens)


def test_nothing_wrong_is_nothing() -> None:
    assert needs_attention(*runs("..x.x-...")) == []


def test_a_blacklisted_agent_with_the_time_left_and_its_most_frequent_error() -> None:
    failing = [*runs("xxxx", error="database is locked"), end("last", FAILURE, -10, error="no such table")]
    (item,) = needs_attention(*failing)
    assert item == (
        CRITICAL,
        AGENT,
        'blacklisted for 9m 50s more: 5 failures in a row, 4 x "database is locked"',
        moment(-10),
        "otel-tracker reset core/coder.md --home /home",
    )


def test_a_long_error_is_cut_and_an_unknown_one_left_out() -> None:
    (item,) = needs_attention(*runs("xxxxx", error="e" * 500))
    assert len(item.text) < 150
    assert item.text.endswith('e…"')
    (item,) = needs_attention(*runs("xxxxx"))
    assert item.text.endswith("5 failures in a row")


def test_a_breaker_whose_cooldown_is_over_and_a_probe() -> None:
    failing = runs("xxxxx")
    (item,) = needs_attention(*failing, after=3600)
    assert (item.severity, item.text) == (
        WARNING,
        "its cooldown is over after 5 failures in a row: the next run decides",
    )
    grant = about(names.PROBE_GRANTED, 3600, permit="probe", expires=moment(4500))
    (item,) = needs_attention(*failing, grant, after=3601)
    assert (item.severity, item.text, item.since) == (
        WARNING,
        "a probe is running after 5 failures in a row",
        moment(3600),
    )


@pytest.mark.parametrize(("kind", "severity"), [(names.FORCED_OPEN, WARNING), (names.DISABLED, INFO)])
def test_a_person_s_order(kind: str, severity: str) -> None:
    order = about(names.BREAKER_OVERRIDE, override={"kind": kind, "until": None, "reason": "a migration"})
    (item,) = needs_attention(order)
    assert (item.severity, item.text) == (severity, f"under an order: {kind.replace('_', ' ')}: a migration")
    assert item.remedy == "otel-tracker breaker core/coder.md auto --home /home"


@pytest.mark.parametrize(
    ("outcomes", "text"),
    [
        ("xxx." * 5, "failed 15 of its last 20 runs, never more than 3 in a row"),
        ("." * 50 + "xx.x" * 5, "failed 15 of its last 20 runs, never more than 3 in a row"),
        ("x.x.x.x.x.", "failed 5 of its last 10 runs, never more than 1 in a row"),
        ("x?.x?.x?.x?.", "failed 8 of its last 12 runs, never more than 2 in a row"),
        ("x.x.x.x.x", None),  # too few
        ("x..x..x..x..", None),
        ("x-x-x-x-x-x-x-.......", None),
    ],
)
def test_an_agent_that_flaps(outcomes: str, text: str | None) -> None:
    assert [item.text for item in needs_attention(*runs(outcomes))] == ([] if text is None else [text])


def test_a_blacklisted_agent_does_not_flap_as_well() -> None:
    (item,) = needs_attention(*runs("x.x.x.x.xxxxx"))
    assert item.severity == CRITICAL


def test_old_failures_are_nobody_s_worry() -> None:
    old = [{**event, "timestamp": moment(-20 * DAY + n)} for n, event in enumerate(runs("x.x.x.x.x.x."))]
    assert needs_attention(*old) == []


def test_an_agent_that_costs_far_more_than_on_the_days_of_its_week() -> None:
    (item,) = needs_attention(costing(4, 1), costing(5, 3), costing(4.2, 6), costing(18.2, 0))
    assert (item.severity, item.text) == (WARNING, "$18.20 today, 4.1 times its week's daily $4.40")


@pytest.mark.parametrize(
    "costs",
    [
        [(4, 1), (5, 3), (4.2, 6), (13, 0)],  # less than three times as much
        [(0.1, 1), (0.1, 2), (0.1, 3), (0.9, 0)],  # nobody's worry
        [(4, 1), (5, 2), (18.2, 0)],  # two days are no habit
        [(4, 1), (5, 9), (4.2, 10), (18.2, 0)],  # nor are those before the week
    ],
)
def test_costs_that_are_no_surprise(costs: list[tuple[float, int]]) -> None:
    assert needs_attention(*(costing(*cost) for cost in costs)) == []


def test_running_tasks_that_are_overdue_or_have_lost_their_process() -> None:
    begun = [start("one", -7200), start("two", -3600), start("three", -3.0)]
    (item,) = needs_attention(*begun)
    assert item.text == "2 tasks run for longer than 3m 00s, the longest for 2h 00m"
    assert item.since == moment(-7200)
    (item,) = needs_attention(start("one", -7200), is_gone=True)
    assert item.text == "1 running task has lost the process: the next event records that"


def test_usage_that_is_missing_or_has_no_price() -> None:
    unpriced = end("unpriced", models={"gpt-x": {"output": 1200}}, tokens={"output": 1200}, usage_incomplete=True)
    incomplete, no_price = needs_attention(unpriced)
    assert incomplete.text == "the final usage of 1 run is missing: tokens and costs are at least"
    assert no_price.text == "1,200 tokens have no price, of gpt-x: costs are at least"
    assert {incomplete.severity, no_price.severity} == {INFO}


def test_findings_about_the_surroundings_and_agents_whose_file_is_gone() -> None:
    findings = [
        Finding("claude code", OK, "fine"),
        Finding("journal", NOTE, "a note"),
        Finding("claude code", WRONG, "no hooks", "install them"),
    ]
    items = needs_attention(findings=findings, without_file=["b.md", "a.md", "d.md", "c.md"])
    assert items == [
        (CRITICAL, None, "claude code: no hooks", None, "install them"),
        (INFO, None, "journal: a note", None, None),
        (INFO, None, "4 agents have no file any more: a.md, b.md, c.md and 1 more", None, command("agents list", home="/home")),
    ]  # fmt: skip


def test_the_worst_comes_first() -> None:
    order = about(names.BREAKER_OVERRIDE, agent="a.md", override={"kind": names.DISABLED})
    items = needs_attention(order, *runs("xxx." * 5, OTHER), *runs("xxxxx"))
    assert [item.severity for item in items] == [CRITICAL, WARNING, INFO]


def test_the_last_runs_of_an_agent_are_the_newest_however_they_come() -> None:
    events = runs("x" * 4 + "." * 20)
    parts = parts_in(recent_window(NOON, UTC), lambda *_: [(float("inf"), numbered(events))])  # oldest first
    (agent,) = recent(parts, NOON, UTC).agents.values()
    assert [run.outcome for run in agent.runs] == [SUCCESS] * LAST_RUNS
    assert agent.runs[0].timestamp > agent.runs[-1].timestamp
