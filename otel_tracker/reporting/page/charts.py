"""Charts as numbers: the steps of time of a window, and the boxes, points and lines to be drawn in them. Pure."""

from bisect import bisect_right
from datetime import datetime, timedelta
from typing import NamedTuple

from otel_tracker import names
from otel_tracker.reporting.page.figures import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import tzinfo

    from otel_tracker.reporting.page.tally import End
    from otel_tracker.reporting.window import Window

WIDTH, HEIGHT = 1000, 120
"""Of a chart's own units; the page stretches them."""
SPARK_WIDTH, SPARK_HEIGHT = 100, 20
_MOST_STEPS = 40
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_STEPS = (
    (_HOUR, "hour"), (3 * _HOUR, "3 hours"), (6 * _HOUR, "6 hours"), (_DAY, "day"), (7 * _DAY, "week"),
    (28 * _DAY, "4 weeks"), (364 * _DAY, "52 weeks"),
)  # fmt: skip
STACKED = (names.SUCCESS, names.FAILURE, names.LOST, names.CANCELLED)
"""The outcomes in a bar, from the ground up."""


class Steps(NamedTuple):
    """The steps of time of a chart: where each begins, and at the end where the last one ends."""

    bounds: "list[float]"
    name: str
    """How long each is."""
    zone: "tzinfo | None"

    def at(self, moment: float) -> int:
        """Return in which step a moment lies; one outside lies in the first or last."""
        return min(max(bisect_right(self.bounds, moment) - 1, 0), len(self.bounds) - 2)

    def label(self, index: int) -> str:
        """Return when a step begins, for people."""
        local = datetime.fromtimestamp(self.bounds[index], self.zone)
        return f"{local:%a %d %b}" if "hour" not in self.name else f"{local:%a %d %b %H:%M}"


def steps_of(window: "Window", now: float, first: "float | None") -> Steps:
    """Return the steps of a window: the shortest of which 40 suffice, each from a full hour or day of the reader."""
    begins = window.since if window.since is not None else first if first is not None else now - 86_400
    ends = max(min(now, window.until) if window.until is not None else now, begins + 1)
    length, name = next(
        ((step, name) for step, name in _STEPS if (ends - begins) / step.total_seconds() < _MOST_STEPS - 1), _STEPS[-1]
    )
    local = datetime.fromtimestamp(begins, window.zone).replace(minute=0, second=0, microsecond=0)
    hours = int(length.total_seconds() // 3600)
    local = local.replace(hour=local.hour - local.hour % hours if hours < 24 else 0)
    bounds = [local.timestamp()]
    while bounds[-1] < ends:
        local += length
        if local.timestamp() > bounds[-1]:  # an hour that the clocks are set back by comes twice
            bounds.append(local.timestamp())
    return Steps(bounds, name, window.zone)


class Box(NamedTuple):
    """A box of a chart, of an outcome."""

    x: float
    y: float
    width: float
    height: float
    outcome: str


class Bar(NamedTuple):
    """One step of time: its boxes, and what its tooltip says."""

    boxes: "list[Box]"
    x: float
    width: float
    tip: str


class Bars(NamedTuple):
    """A chart of stacked bars, its axis, and the same as a table."""

    bars: "list[Bar]"
    most: int
    labels: "list[str]"
    """Of the first, the middle and the last step."""
    step: str
    rows: "list[tuple[object, ...]]"
    """For each step when it begins, and the runs by STACKED."""


def bars_of(ends: "Iterable[Sequence[End]]", steps: Steps) -> Bars:
    """Return the runs that ended in each step, by outcome."""
    counts = [dict.fromkeys(STACKED, 0) for _ in steps.bounds[1:]]
    for some in ends:
        for end in some:
            if end.outcome in STACKED:
                counts[steps.at(end.moment)][end.outcome] += end.runs
    most = max((sum(count.values()) for count in counts), default=0)
    pitch = WIDTH / len(counts)
    bars = [_bar(index, count, most, pitch, steps.label(index)) for index, count in enumerate(counts)]
    labels = [steps.label(index) for index in sorted({0, len(counts) // 2, len(counts) - 1})]
    rows: list[tuple[object, ...]] = [(steps.label(index), *count.values()) for index, count in enumerate(counts)]
    return Bars(bars, most, labels, steps.name, rows)


def _bar(index: int, count: "dict[str, int]", most: int, pitch: float, label: str) -> Bar:
    gap = min(pitch * 0.25, 4)
    boxes, top = [], float(HEIGHT)
    for outcome in STACKED:
        if count[outcome]:
            height = count[outcome] / most * HEIGHT
            top -= height
            boxes.append(Box(round(index * pitch, 1), round(top, 1), round(pitch - gap, 1), round(height, 1), outcome))
    said = ", ".join(f"{number} {outcome}" for outcome, number in count.items() if number) or "no task ended"
    return Bar(boxes, round(index * pitch, 1), round(pitch, 1), f"{label}: {said}")


class Spark(NamedTuple):
    """A small line without axes: the points of an SVG polyline, and the tooltip."""

    points: str
    tip: str


def spark_of(ends: "Sequence[End]", steps: Steps) -> "Spark | None":
    """Return how many runs ended in each step, None without any."""
    counts = [0] * (len(steps.bounds) - 1)
    for end in ends:
        counts[steps.at(end.moment)] += end.runs
    said = f"runs that ended, by {steps.name}: at most {plural(max(counts), 'run')}"
    return line_of(counts, said)


def line_of(values: "Sequence[float]", tip: str) -> "Spark | None":
    """Return values as a line, None where all are 0."""
    most = max(values, default=0)
    if most <= 0:
        return None
    pitch = SPARK_WIDTH / max(1, len(values) - 1)
    points = " ".join(
        f"{index * pitch:.0f},{SPARK_HEIGHT - 1 - max(0, value) / most * (SPARK_HEIGHT - 2):.0f}"
        for index, value in enumerate(values)
    )
    return Spark(points, tip)


class Dots(NamedTuple):
    """Durations over time: for each outcome the path of its dots, and where median and p95 are."""

    paths: "dict[str, str]"
    median: float
    p95: float
    most: float
    """The duration at the upper edge, in seconds."""
    labels: "list[str]"


_MOST_DOTS = 500


def dots_of(ends: "Sequence[End]", steps: Steps, median: "float | None", p95: "float | None") -> "Dots | None":
    """Return the durations of the newest 500 runs, None where none is known; those above the upper edge lie at it."""
    timed = [end for end in ends if end.seconds is not None and end.outcome][-_MOST_DOTS:]
    if not timed or median is None or p95 is None:
        return None
    most = max(p95 * 1.5, 0.001)
    begins, ends_at = steps.bounds[0], steps.bounds[-1]
    paths: dict[str, list[str]] = {}
    for end in timed:
        x = (end.moment - begins) / (ends_at - begins) * WIDTH
        paths.setdefault(str(end.outcome), []).append(f"M{x:.0f} {_height(end.seconds or 0.0, most):.0f}h0")
    joined = {outcome: "".join(path) for outcome, path in paths.items()}
    last = len(steps.bounds) - 2
    labels = [steps.label(index) for index in sorted({0, last // 2, last})]
    return Dots(joined, _height(median, most), _height(p95, most), most, labels)


def _height(seconds: float, most: float) -> float:
    return round(HEIGHT - min(max(seconds, 0.0) / most, 1.0) * (HEIGHT - 4) - 2, 1)
