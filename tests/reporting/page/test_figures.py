"""Figures: short texts, exact tooltips, nothing that is unknown as 0."""

import pytest

from otel_tracker.reporting.page import charts, figures
from otel_tracker.reporting.page.tally import End
from otel_tracker.reporting.window import Window
from tests.builders import NOON


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (0.0123, "12 ms"), (0.4, "0.4 s"), (45.4, "45 s"), (60, "1 m"), (432, "7 m 12 s"), (7800, "2 h 10 m"),
     (273_600, "3 d 4 h")],
)  # fmt: skip
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert figures.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1.0 k"), (1_500_000, "1.5 M"), (31_200_000, "31.2 M"), (312_000_000, "312 M"),
     (999_950, "1.0 M")],
)  # fmt: skip
def test_numbers_are_short(number: float, text: str) -> None:
    assert figures.short(number) == text


@pytest.mark.parametrize(
    ("passed", "text"), [(0, "now"), (59, "now"), (60, "1 m ago"), (7200, "2 h ago"), (200_000, "2 d ago")]
)
def test_ages_have_one_unit(passed: float, text: str) -> None:
    assert figures.ago(NOON - passed, NOON) == text


def test_changes() -> None:
    assert figures.change(118, 100) == "+18 %"
    assert figures.change(50, 100) == "−50 %"
    assert figures.change(5, 0) == "new"
    assert figures.change(0, 0) == "no change"
    assert figures.change(5, None) == ""
    assert figures.points(0.891, 0.914) == "−2.3 points"


@pytest.mark.parametrize("days", [0.01, 0.5, 1, 7, 30, 90, 400, 4000])
def test_a_chart_has_few_steps_that_hold_every_moment(days: float) -> None:
    since = NOON - days * 86_400
    steps = charts.steps_of(Window(since=since), NOON, None)
    assert 1 <= len(steps.bounds) - 1 <= 62
    assert steps.bounds[0] <= since
    assert steps.bounds[-1] >= NOON
    assert steps.bounds == sorted(steps.bounds)
    ends = [End(since + n * days * 864, "success", 1, 1.0, 0) for n in range(100)]
    bars = charts.bars_of([ends], steps)
    assert sum(row[1] for row in bars.rows) == 100  # type: ignore[misc]
    assert all(box.y >= 0 and box.y + box.height <= charts.HEIGHT + 0.1 for bar in bars.bars for box in bar.boxes)
