"""Draw the dashboards: `python docs/render_dashboards.py` writes docs/images/*.png from a real Prometheus's answers.

Without `--prometheus URL` it makes up a fleet's day: the real fold and the real collector with a clock of their own, put into
a Prometheus of its own by promtool. Needs `pip install -e .[docs]`, and prometheus and promtool.
It is no Grafana: the queries, places, units, colours and texts are the dashboards' own, the drawing is matplotlib's.
"""

import argparse
import heapq
import json
import math
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image
from prometheus_client import Metric

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # where it is run as a file

from grafana import generate, panels  # noqa: E402 - needs the path
from otel_tracker import names  # noqa: E402
from otel_tracker.reporting import summary  # noqa: E402
from otel_tracker.runtime.ids import new_id  # noqa: E402
from otel_tracker.runtime.timestamps import format_timestamp  # noqa: E402
from otel_tracker.state import event  # noqa: E402
from otel_tracker.state.document import Document, new_document  # noqa: E402
from otel_tracker.state.fold import fold  # noqa: E402
from otel_tracker.state.tokens import priced_tokens  # noqa: E402
from otel_tracker.storage.files import Files  # noqa: E402
from otel_tracker.storage.home import Home  # noqa: E402
from otel_tracker.storage.price_file import price_table  # noqa: E402
from otel_tracker_exporters.prometheus import StateCollector  # noqa: E402

Json = dict[str, Any]
Series = tuple[dict[str, str], list[float], list[float]]

IMAGES = ROOT / "docs" / "images"
SCRAPE, RANGE, DAY = 60, 6 * 3600, 24 * 3600
SCOPE = 'job="otel-tracker",instance="tracker:9464"'
BACK, PANEL, TEXT, DIM = "#111217", "#181b1f", "#d8d9da", "#8e8e93"
COLORS = {
    "green": "#56a64b", "yellow": "#e0b400", "orange": "#ff780a", "red": "#e02f44", "blue": "#3274d9",
    "purple": "#a352cc", "#808080": "#808080",
}  # fmt: skip
PALETTE = ("#7eb26d", "#eab839", "#6ed0e0", "#ef843c", "#e24d42", "#1f78c1", "#ba43a9", "#705da0")


class Agent(NamedTuple):
    """How an agent of the made-up fleet works."""

    key: str
    models: tuple[str, ...]
    per_hour: float
    minutes: float
    failing: float
    tokens: int


EXPERT, DOCUMENTER, PLANNER = "experts/database_expert.md", "core/documenter.md", "core/planner.md"
FLEET = (
    Agent("core/coder.md", ("sonnet", "opus"), 14, 6, 0.04, 90_000),
    Agent("core/reviewer.md", ("opus",), 9, 3, 0.03, 40_000),
    Agent(DOCUMENTER, ("haiku",), 6, 2, 0.02, 15_000),
    Agent(PLANNER, ("opus",), 2, 12, 0.05, 60_000),
    Agent(EXPERT, ("sonnet",), 8, 5, 0.06, 50_000),
    Agent("experts/tester_expert.md", ("haiku", "sonnet"), 12, 4, 0.12, 25_000),
    Agent("research/archivist.md", ("sonnet",), 1.5, 45, 0.02, 150_000),
)
STAND_IN = "core/coder.md"
FULL_IDS = {"haiku": "claude-haiku-4-5", "sonnet": "claude-sonnet-5", "opus": "claude-opus-5"}


class Simulation:
    """A day of the fleet: events in the order of time, folded as the store folds them."""

    def __init__(self, end: float) -> None:
        self.end, self.document = end, new_document()
        self._prices = price_table(Home(tempfile.gettempdir()), Files())
        self.chance = random.Random(11)  # noqa: S311 - no secret
        self._number, self._seq = count(), count(1)
        self._todo: list[tuple[float, int, Callable[[float], None]]] = []
        for agent in FLEET:
            self._record(
                event.happened(names.AGENT_REGISTERED, time.time(), agent=agent.key, name=event_name(agent.key))
            )
            self._at(end - DAY + self._pause(agent), partial(self._arrive, agent))
        self._at(end - 2.6 * 3600, lambda at: self._start(PLANNER, at, "hangs", "opus"))

    def snapshots(self) -> Iterator[tuple[float, Document]]:
        """Yield what a scrape finds, once a minute."""
        for at in range(int(self.end - DAY), int(self.end) + 1, SCRAPE):
            while self._todo and self._todo[0][0] <= at:
                moment, _, happen = heapq.heappop(self._todo)
                happen(moment)
            yield float(at), self.document

    def _at(self, moment: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._todo, (moment, next(self._number), happen))

    def _pause(self, agent: Agent) -> float:
        return self.chance.expovariate(agent.per_hour / 3600)

    def _record(self, one: Json) -> None:
        self.document = fold(self.document, {**one, "seq": next(self._seq)})

    def _arrive(self, agent: Agent, at: float) -> None:
        self._at(at + self._pause(agent), partial(self._arrive, agent))
        if summary.agent_state(self.document, agent.key, at)["state"] == names.OPEN:
            rejected = {"timestamp": format_timestamp(at), "reason": "open"}
            self._record({**event.happened(names.TASK_REJECTED, time.time(), agent=agent.key), **rejected})
            self._run(FLEET[0]._replace(key=STAND_IN, failing=0.0), at, fallback_for=agent.key)
        else:
            self._run(agent, at)

    def _run(self, agent: Agent, at: float, **known: Any) -> None:
        run_id, model = new_id(), self.chance.choice(agent.models)
        self._start(agent.key, at, run_id, model)
        seconds = 60 * agent.minutes * self.chance.lognormvariate(0, 0.5)
        outcome = self._outcome(agent, at)
        spent = self._tokens(agent, model, at)
        started: Json = {"run_id": run_id, "started": format_timestamp(at), "duration_seconds": seconds, "model": model}

        def finish(moment: float) -> None:
            self._record(event.task_ended(agent.key, outcome, moment, tokens=spent, **started, **known))

        self._at(at + seconds, finish)

    def _start(self, agent: str, at: float, run_id: str, model: str) -> None:
        self._record(event.task_started(agent, at, run_id=run_id, model=model, task_id=None, owner=None))

    def _outcome(self, agent: Agent, at: float) -> str:
        ago = (self.end - at) / 3600
        is_broken = agent.key == EXPERT and (1.9 < ago < 4.6 or ago < 0.9)
        chance = self.chance.random()
        if chance < (0.97 if is_broken else agent.failing):
            return names.LOST if self.chance.random() < 0.1 else names.FAILURE
        return names.CANCELLED if chance > 0.985 else names.SUCCESS

    def _tokens(self, agent: Agent, model: str, at: float) -> dict[str, int]:
        ago = (self.end - at) / 3600
        much = 9 if agent.key == DOCUMENTER and ago < 1.2 else 1
        total = int(much * agent.tokens * self.chance.uniform(0.5, 1.6))
        cached = 0.35 if model == "sonnet" and ago < 2.2 else {"haiku": 0.55}.get(model, 0.82)
        shares = {"cache_read": 0.85 * cached, "cache_write": 0.05, "output": 0.1, "input": 0.85 * (1 - cached)}
        tokens = {kind: int(share * total) for kind, share in shares.items()}
        return priced_tokens(tokens, self._prices.cost(FULL_IDS[model], tokens, at))


def event_name(key: str) -> str:
    """Return an agent's name."""
    return names.agent_stem(key).replace("_", " ").title()


def openmetrics(simulation: Simulation) -> Iterator[str]:
    """Yield the lines that a scrape a minute would have brought."""
    for at, document in simulation.snapshots():
        for family in collected(document, at):
            for sample in family.samples:
                labels = "".join(f',{name}="{value}"' for name, value in sample.labels.items())
                yield f"{sample.name}{{{SCOPE}{labels}}} {sample.value} {at}\n"
    yield "# EOF\n"


def collected(document: Document, at: float) -> list[Metric]:
    """Return what the collector would have yielded then."""
    return list(StateCollector(lambda: document, lambda: at).collect())


class Prometheus:
    """What is asked of a Prometheus, as of a moment."""

    def __init__(self, url: str, now: float) -> None:
        self.url, self.now = url, now

    def instant(self, expr: str) -> list[Series]:
        """Return series with one value."""
        result = self._ask("query", query=expr, time=self.now)
        return [(one["metric"], [self.now], [float(one["value"][1])]) for one in result]

    def range(self, expr: str, step: float) -> list[Series]:
        """Return series over the time range."""
        end = self.now - self.now % step
        result = self._ask("query_range", query=expr, start=end - RANGE, end=end, step=step)
        return [
            (one["metric"], [float(at) for at, _ in one["values"]], [float(value) for _, value in one["values"]])
            for one in result
        ]

    def is_ready(self) -> bool:
        """Tell whether it answers."""
        try:
            with urlopen(f"{self.url}/-/ready"):  # noqa: S310 - the user's own
                return True
        except (URLError, ConnectionError):
            return False

    def _ask(self, path: str, **parameters: object) -> list[Json]:
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}") as answer:  # noqa: S310 - the user's own
            result: list[Json] = json.load(answer)["data"]["result"]
        return result


def wait(is_so: Callable[[], object]) -> None:
    """Wait for a condition, for a minute at most."""
    last = time.monotonic() + 60
    while not is_so():
        if time.monotonic() > last:
            sys.exit("Prometheus does not answer")
        time.sleep(0.1)


@contextmanager
def prometheus(folder: Path, config: str, now: float) -> Iterator[Prometheus]:
    """Run a Prometheus on the folder's data."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{found.getsockname()[1]}"
    (folder / "prometheus.yml").write_text(config)
    options = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    command = ["prometheus", *options, f"--web.listen-address={address}", "--log.level=error"]
    with subprocess.Popen(command) as process:
        try:
            asked = Prometheus(f"http://{address}", now)
            wait(asked.is_ready)
            yield asked
        finally:
            process.terminate()


@contextmanager
def made_up(folder: Path) -> Iterator[Prometheus]:
    """Run a Prometheus that has seen the made-up day, the recorded series included."""
    now = time.time() // SCRAPE * SCRAPE
    with (folder / "day.txt").open("w") as text:
        text.writelines(openmetrics(Simulation(now)))
    backfill = ["promtool", "tsdb", "create-blocks-from"]
    data = str(folder / "data")
    subprocess.run([*backfill, "openmetrics", str(folder / "day.txt"), data], check=True, capture_output=True)
    rules = (ROOT / "grafana" / "rules" / "recording.yml").read_text()
    (folder / "rules.yml").write_text(re.sub(r"interval: 2m", "interval: 1s", rules))
    with prometheus(folder, "", now) as asked:
        span = [f"--start={now - DAY:.0f}", f"--end={now:.0f}", f"--url={asked.url}", "--eval-interval=2m"]
        command = [*backfill, "rules", *span, f"--output-dir={data}", str(folder / "rules.yml")]
        subprocess.run(command, check=True, capture_output=True)
    with prometheus(folder, "rule_files: [rules.yml]\n", now) as asked:
        asked.now = time.time()
        wait(lambda: Prometheus(asked.url, time.time()).instant("agent:otel_tracker_tokens:rate1h_busy_avg1w"))
        asked.now = time.time()
        yield asked


# From values to what a reader sees.


def shown(value: float, defaults: Json) -> tuple[str, str]:
    """Return a value's text and colour, as the field's unit, mappings and thresholds say."""
    for mapping in defaults.get("mappings", []):
        if (word := mapping["options"].get(f"{value:g}")) is not None:
            return word["text"], COLORS[word["color"]]
    return text_of(value, defaults), COLORS[_step(value, defaults)]


def _step(value: float, defaults: Json) -> str:
    steps = defaults.get("thresholds", {"steps": [{"color": "blue", "value": None}]})["steps"]
    passed = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    color: str = passed[-1]
    return color


def text_of(value: float, defaults: Json) -> str:
    """Return a value with its unit."""
    decimals, unit = defaults.get("decimals"), defaults.get("unit")
    if unit == "percentunit":
        return f"{100 * value:.{1 if decimals is None else decimals}f}%"
    if unit == "dateTimeFromNow":
        ahead = value / 1000 - time.time()
        return f"in {span(ahead)}" if ahead > 0 else f"{span(-ahead)} ago"
    if unit == "currencyUSD":
        return f"${short(value, decimals)}"
    return span(value) if unit == "s" else short(value, decimals)


def span(seconds: float) -> str:
    """Return a duration in its largest unit."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{1000 * seconds:.3g} ms"


def short(value: float, decimals: int | None) -> str:
    """Return a number in thousands or millions."""
    for size, unit in ((1e9, " Bil"), (1e6, " Mil"), (1e3, " K")):
        if abs(value) >= size:
            return f"{value / size:.{1 if decimals is None else decimals}f}{unit}"
    return f"{value:.{decimals}f}" if decimals is not None else f"{value:.3g}"


class Painter:
    """Draws the panels of one dashboard."""

    def __init__(self, asked: Prometheus, agent: str) -> None:
        self._asked, self._agent = asked, agent

    def draw(self, dashboard: Json, file: Path) -> None:
        """Draw all panels at their places."""
        rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
        figure = plt.figure(figsize=(17, rows * 0.46 + 0.5), facecolor=BACK)
        high = rows + 1.2
        figure.text(0.008, 1 - 0.55 / high, dashboard["title"], color=TEXT, size=13, weight="bold", va="center")
        chosen = f"Agent: {'All' if self._agent == '.+' else self._agent}     Model: All     Last 6 hours"
        figure.text(0.992, 1 - 0.55 / high, chosen, color=DIM, size=9, va="center", ha="right")
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            left, bottom = place["x"] / 24, 1 - (place["y"] + place["h"] + 1.1) / high
            box = (left + 0.002, bottom + 0.003, place["w"] / 24 - 0.004, place["h"] / high - 0.006)
            self._panel(figure, figure.add_axes(box, facecolor=PANEL), panel)
        figure.savefig(file, dpi=75, facecolor=BACK)
        plt.close(figure)
        with Image.open(file) as picture:
            picture.convert("RGB").quantize(192).save(file, optimize=True)

    def _panel(self, figure: Figure, frame: Axes, panel: Json) -> None:
        frame.set_xticks([])
        frame.set_yticks([])
        box = frame.get_position()
        up = 0.115 / figure.get_figheight()
        figure.text(box.x0 + 0.005, box.y1 - up, panel["title"], color=TEXT, size=9, weight="bold", va="center")
        margins = {"stat": (0.004, 0.004), "table": (0.006, 0.006), "bargauge": (0.1, 0.004)}
        left, right = margins.get(panel["type"], (0.045, 0.008))
        low = 0.35 / figure.get_figheight() if panel["type"] in {"timeseries", "heatmap", "state-timeline"} else 0.004
        top = 0.25 / figure.get_figheight()
        inner = (box.x0 + left, box.y0 + low, box.width - left - right, box.height - low - top)
        axes = figure.add_axes(inner, facecolor=PANEL)
        axes.tick_params(colors=DIM, labelsize=7, length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        getattr(self, f"_{panel['type'].replace('-', '_')}")(axes, panel)

    def _series(self, panel: Json) -> list[list[Series]]:
        """Return what Prometheus answers to each query of a panel."""
        answers = []
        for target in panel["targets"]:
            step = 300 if panel.get("interval") == panels.INTERVAL else 60
            expr = self._filled_in(target["expr"], step)
            answers.append(self._asked.instant(expr) if target["instant"] else self._asked.range(expr, step))
        return answers

    def _filled_in(self, expr: str, step: int) -> str:
        chosen = {"job": "otel-tracker", "instance": ".+", "model": ".+", "agent": self._agent, "__range": f"{RANGE}s"}
        chosen["__rate_interval"] = f"{max(step + SCRAPE, 4 * SCRAPE)}s"
        return re.sub(r"\$(\w+)", lambda found: chosen[found[1]], expr)

    def _named(self, panel: Json) -> list[tuple[str, list[float], list[float]]]:
        """Return a panel's series by their legends."""
        found = []
        for target, answers in zip(panel["targets"], self._series(panel), strict=True):
            for labels, times, values in answers:
                legend = target["legendFormat"].replace("{{", "{").replace("}}", "}").format(**labels)
                found.append((legend, times, values))
        return found

    def _stat(self, axes: Axes, panel: Json) -> None:
        defaults, answers = panel["fieldConfig"]["defaults"], self._series(panel)[0]
        text, color = (defaults["noValue"], COLORS["#808080"])
        if answers:
            text, color = shown(answers[0][2][-1], defaults)
        axes.set_facecolor(color)
        axes.text(0.5, 0.5, text, color="white", size=17, weight="bold", ha="center", va="center")
        axes.set_xticks([])
        axes.set_yticks([])

    def _bargauge(self, axes: Axes, panel: Json) -> None:
        defaults = panel["fieldConfig"]["defaults"]
        rows = sorted(((values[-1], name) for name, _, values in self._named(panel)), reverse=True)[:10][::-1]
        if panel["gridPos"]["w"] < 6:
            place = axes.get_position()
            axes.set_position((place.x0 - 0.06, place.y0, place.width + 0.06, place.height))
        most = max((value for value, _ in rows), default=1)
        for at, (value, _) in enumerate(rows):
            text, color = shown(value, defaults)
            axes.barh(at, most, color="#22252b", height=0.72)
            axes.barh(at, value, color=color, height=0.72)
            axes.text(most * 1.02, at, text, color=TEXT, size=7.5, va="center")
        axes.set_yticks(range(len(rows)), [name.removesuffix(".md") for _, name in rows], color=TEXT, size=7.5)
        axes.set_xlim(0, most * 1.28)
        axes.set_ylim(min(-0.6, len(rows) - 8.6), len(rows) - 0.4)
        axes.set_xticks([])

    def _timeseries(self, axes: Axes, panel: Json) -> None:
        defaults = panel["fieldConfig"]["defaults"]
        custom = defaults["custom"]
        fixed = {one["matcher"]["options"]: one["properties"][0]["value"] for one in panel["fieldConfig"]["overrides"]}
        found = sorted(self._named(panel))
        colors = [
            COLORS[fixed[name]["fixedColor"]] if name in fixed else PALETTE[place % len(PALETTE)]
            for place, (name, _, _) in enumerate(found)
        ]
        if custom["stacking"]["mode"] == "normal":
            self._stacked(axes, found, colors, is_bars=custom["drawStyle"] == "bars")
        else:
            for (_, times, values), color in zip(found, colors, strict=True):
                moments = [day(at) for at in times]
                axes.plot(moments, values, color=color, linewidth=1.1, marker=".", markersize=2.5)
        self._time_axis(axes, defaults, panel["options"]["legend"]["showLegend"])
        handles = [mpl.lines.Line2D([], [], color=color, linewidth=3) for color in colors]
        labels = [f"{name}  {text_of(last(values), defaults)}" for name, _, values in found]
        axes.legend(
            handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.07), ncol=5, fontsize=7, frameon=False,
            labelcolor=TEXT, handlelength=1, columnspacing=1.2,
        )  # fmt: skip

    @staticmethod
    def _stacked(
        axes: Axes, found: list[tuple[str, list[float], list[float]]], colors: list[str], *, is_bars: bool
    ) -> None:
        times = sorted({at for _, moments, _ in found for at in moments})
        below = dict.fromkeys(times, 0.0)
        for (_, moments, values), color in zip(found, colors, strict=True):
            by_time = {at: 0.0 if math.isnan(value) else value for at, value in zip(moments, values, strict=True)}
            tops = [below[at] + by_time.get(at, 0.0) for at in times]
            bases, at_times = [below[at] for at in times], [day(at) for at in times]
            if is_bars:
                heights = [top - base for top, base in zip(tops, bases, strict=True)]
                axes.bar(at_times, heights, bottom=bases, width=240 / DAY, color=color)
            else:
                axes.fill_between(at_times, bases, tops, color=color, alpha=0.45, linewidth=0)
                axes.plot(at_times, tops, color=color, linewidth=1)
            below = dict(zip(times, tops, strict=True))

    def _time_axis(self, axes: Axes, defaults: Json, has_values: bool) -> None:
        axes.set_xlim(day(self._asked.now - RANGE), day(self._asked.now))
        axes.xaxis.set_major_locator(ticker.MultipleLocator(3600 / DAY))
        axes.xaxis.set_major_formatter(lambda value, _: time.strftime("%H:%M", time.gmtime(round(value * DAY))))
        if has_values:
            axes.set_ylim(0, defaults.get("max") or max(axes.get_ylim()[1], 1e-9))
            axes.set_axisbelow(True)
            if defaults["unit"] == "s":
                steps = (0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 86_400)
                axes.yaxis.set_major_locator(
                    ticker.MultipleLocator(next(step for step in steps if axes.get_ylim()[1] / step <= 7))
                )
            axes.yaxis.set_major_formatter(lambda value, _: text_of(value, {"unit": defaults["unit"]}))
            axes.set_ylabel(defaults["custom"].get("axisLabel", ""), color=DIM, size=7)
            axes.grid(color="#2c3038", linewidth=0.6)

    def _state_timeline(self, axes: Axes, panel: Json) -> None:
        defaults = panel["fieldConfig"]["defaults"]
        for _, times, values in self._named(panel):
            for at, value in zip(times, values, strict=True):
                axes.barh(0, 61 / DAY, left=day(at), color=shown(value, defaults)[1], height=0.8)
        axes.set_yticks([])
        self._time_axis(axes, defaults, has_values=False)
        words = [one for mapping in defaults["mappings"] for one in mapping["options"].values()]
        handles = [mpl.patches.Patch(color=COLORS[word["color"]]) for word in words]
        axes.legend(
            handles, [word["text"] for word in words], loc="upper center", bbox_to_anchor=(0.5, -0.18), ncol=3, fontsize=7,
            frameon=False, labelcolor=TEXT,
        )  # fmt: skip

    def _heatmap(self, axes: Axes, panel: Json) -> None:
        found = sorted(
            (float(name.replace("+Inf", "inf")), dict(zip(times, values, strict=True)))
            for name, times, values in self._named(panel)
        )
        times = sorted({at for _, values in found for at in values})
        rows, below = [], dict.fromkeys(times, 0.0)
        for _, values in found:
            rows.append([max(0.0, values.get(at, 0.0) - below[at]) or math.nan for at in times])
            below = {at: values.get(at, 0.0) for at in times}
        oranges = LinearSegmentedColormap.from_list("oranges", ["#4a2b12", "#ff780a", "#ffd9a8"])
        axes.pcolormesh([day(at) for at in times], range(len(rows)), rows, cmap=oranges, shading="nearest")
        bounds = ["longer" if bound == math.inf else span(bound) for bound, _ in found]
        axes.set_yticks(range(len(bounds)), bounds)
        self._time_axis(axes, panel["fieldConfig"]["defaults"], has_values=False)

    def _table(self, axes: Axes, panel: Json) -> None:
        axes.set_axis_off()
        columns, rows = self._rows(panel)
        if not rows:
            axes.text(0.5, 0.5, "No data", color=DIM, ha="center")
            return
        cells = [[text for text, _ in row] for row in rows]
        wide = [0.3, *[0.7 / (len(columns) - 1)] * (len(columns) - 1)]
        height = 1 / 9.5
        box = Bbox.from_bounds(0, 1 - height * (len(cells) + 1), 1, height * (len(cells) + 1))
        drawn = axes.table(cells, colLabels=columns, colWidths=wide, cellLoc="left", colLoc="left", bbox=box)
        drawn.auto_set_font_size(False)
        drawn.set_fontsize(8)
        for (at, column), cell in drawn.get_celld().items():
            cell.set_facecolor(PANEL)
            cell.set_edgecolor("#2c3038")
            cell.get_text().set_color(DIM if at == 0 else rows[at - 1][column][1])

    def _rows(self, panel: Json) -> tuple[list[str], list[list[tuple[str, str]]]]:
        """Return the columns' names, and the rows with texts and colours, as merge and organize make them."""
        merged: dict[tuple[tuple[str, str], ...], Json] = {}
        for target, answers in zip(panel["targets"], self._series(panel), strict=True):
            for labels, _, values in answers:
                label = "agent" if "agent" in labels else "model"
                row = merged.setdefault(((label, labels[label]),), {})
                row |= labels | {f"Value #{target['refId']}": values[-1]}
        options = panel["transformations"][1]["options"]
        keys = sorted(options["indexByName"], key=options["indexByName"].__getitem__)
        sort = next(key for key in keys if options["renameByName"][key] == panel["options"]["sortBy"][0]["displayName"])
        rows = sorted(merged.values(), key=lambda row: row.get(sort, 0), reverse=True)[:9]
        fields = {one["matcher"]["options"]: one["properties"] for one in panel["fieldConfig"]["overrides"]}
        columns = [options["renameByName"][key] for key in keys]
        return columns, [
            [self._cell(row.get(key), fields[name]) for key, name in zip(keys, columns, strict=True)] for row in rows
        ]

    @staticmethod
    def _cell(value: "float | str | None", properties: list[Json]) -> tuple[str, str]:
        field = {one["id"]: one["value"] for one in properties}
        if value is None:
            return "", TEXT
        if isinstance(value, str):
            word = next((one["options"].get(value) for one in field.get("mappings", [])), None)
            return (word["text"], COLORS[word["color"]]) if word else (value, "#6e9fff")
        text, color = shown(value, field)
        return text, color if "custom.cellOptions" in field else TEXT


def last(values: list[float]) -> float:
    """Return the last value that is a number."""
    return next((value for value in reversed(values) if not math.isnan(value)), math.nan)


def day(at: float) -> float:
    """Return a timestamp in days, as the time axes count."""
    return at / DAY


def render(asked: Prometheus, agent: str) -> None:
    """Write the pictures."""
    IMAGES.mkdir(exist_ok=True)
    for name, dashboard in generate.dashboards().items():
        chosen = agent if dashboard["uid"] == generate.AGENT else ".+"
        Painter(asked, chosen).draw(dashboard, IMAGES / f"grafana-{Path(name).stem}.png")


def main() -> None:
    """Render from the Prometheus that is named, or from a made-up day."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--prometheus", metavar="URL", help="render what this one has (a made-up day)")
    options.add_argument("--agent", default=EXPERT, help="the agent of the Agent dashboard (%(default)s)")
    chosen = options.parse_args()
    if chosen.prometheus:
        render(Prometheus(chosen.prometheus.rstrip("/"), time.time()), chosen.agent)
        return
    with tempfile.TemporaryDirectory() as folder, made_up(Path(folder)) as asked:
        render(asked, chosen.agent)


if __name__ == "__main__":
    main()
