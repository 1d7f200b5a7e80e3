"""A real Prometheus scrapes a real `otel-tracker serve` while tasks run: what dashboards and alerts ask, it answers.

Everything that an alert is about has happened: there is a blacklisted agent, one that opens again and again, a hanging
task, a dead tracker, an unreadable state. The week that token burn is compared with is backfilled by promtool.
"""

import json
import math
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from grafana import generate
from otel_tracker import MetricTracker, TaskTracker, names
from otel_tracker.storage.home import Home
from otel_tracker.telemetry import metrics
from tests.faults.components import needs
from tests.places import ROOT
from tests.waiting import BOUND, until

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("prometheus")]  # one stack for all

Json = dict[str, Any]

FOLDER = ROOT / "grafana"
RULE_TESTS = [f"tests/{path.name}" for path in sorted((FOLDER / "tests").iterdir())]
LOOPBACK = "127.0.0.1"
CODER, REVIEWER, FLAKY, EXPERT, HANGING = "core/coder.md", "core/reviewer.md", "flaky.md", "experts/db.md", "hanging.md"
ORDERED, IDLE = "ordered.md", "idle.md"
AGENTS = (CODER, REVIEWER, FLAKY, EXPERT, HANGING, ORDERED, IDLE)
DEAD = f"{LOOPBACK}:1"

DASHBOARDS = generate.dashboards()
QUERIES = [
    pytest.param(dashboard["uid"], target, id=f"{dashboard['title'][-5:]}-{panel['title']}-{target['refId']}")
    for dashboard in DASHBOARDS.values()
    for panel in dashboard["panels"]
    for target in panel["targets"]
]
VARIABLES = [
    pytest.param(variable, id=f"{dashboard['title'][-5:]}-{variable['name']}")
    for dashboard in DASHBOARDS.values()
    for variable in dashboard["templating"]["list"]
    if variable["type"] == "query"
]
ALERTS = [
    pytest.param(rule, id=rule["alert"])
    for group in yaml.safe_load((FOLDER / "rules" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]


@pytest.fixture(scope="module", autouse=True)
def _prometheus_is_installed() -> None:
    for tool in ("prometheus", "promtool"):
        needs(tool, "apt-get install prometheus")


def promtool(*arguments: str, stdin: str | None = None) -> str:
    """Run promtool, which must succeed, and return what it says."""
    ran = subprocess.run(["promtool", *arguments], input=stdin, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """Serve the metrics of a home with the real command, and yield the address."""
    command = [sys.executable, "-m", "otel_tracker", "serve", "--home", str(home), "--host", LOOPBACK, "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            said = process.stdout.readline()
            address = re.search(r"http://([\d.]+:\d+)/", said)
            assert address, said
            yield address[1]
        finally:
            process.terminate()


class Prometheus:
    """What is asked of a Prometheus."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str, **parameters: str) -> Any:
        with urlopen(f"http://{self.address}/api/v1/{path}?{urlencode(parameters)}", timeout=BOUND) as answer:
            said = json.load(answer)
        assert said["status"] == "success", said
        return said["data"]

    def value(self, query: str) -> float:
        """Return the sum of an instant query's values."""
        return sum(float(one["value"][1]) for one in self.ask("query", query=query)["result"])

    def is_ready(self) -> bool:
        try:
            with urlopen(f"http://{self.address}/-/ready", timeout=BOUND):
                return True
        except (URLError, ConnectionError):
            return False


class Stack:
    """The tracker, its home's agents, and the Prometheus that scrapes it."""

    def __init__(self, prometheus: Prometheus, tracker: str, unreadable: str) -> None:
        self.prometheus, self.tracker, self.unreadable = prometheus, tracker, unreadable


def configured(folder: Path, targets: list[str]) -> Path:
    """Write the project's configuration with targets of our own, scraped and evaluated at once and often."""
    (folder / "rules").mkdir()
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {
        "scrape_interval": "500ms",
        "evaluation_interval": "250ms",
    }  # a scrape that takes longer has failed
    config["scrape_configs"][0]["static_configs"] = [{"targets": targets}]
    for file in config["rule_files"]:
        rules = yaml.safe_load((FOLDER / file).read_text())
        for group in rules["groups"]:
            group["interval"] = "250ms"
        (folder / file).write_text(yaml.safe_dump(rules))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    return folder / "prometheus.yml"


def backfill(folder: Path, instance: str) -> None:
    """Put six hours into the data in which an agent has used one token per second."""
    name = "agent:otel_tracker_tokens:rate1h"
    labels = f'job="otel-tracker",instance="{instance}",agent="{CODER}"'
    now = int(time.time())
    lines = [f"# TYPE {name} gauge", *(f"{name}{{{labels}}} 1 {now - ago}" for ago in range(6 * 3600, 60, -60))]
    (folder / "week.txt").write_text("\n".join([*lines, "# EOF"]) + "\n")
    promtool("tsdb", "create-blocks-from", "openmetrics", str(folder / "week.txt"), str(folder / "data"))


@contextmanager
def scraping(folder: Path, config: Path) -> Iterator[Prometheus]:
    """Run a Prometheus on a free port."""
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        address = f"{LOOPBACK}:{found.getsockname()[1]}"
    command = ["prometheus", f"--config.file={config}", f"--web.listen-address={address}", "--log.level=warn"]
    with subprocess.Popen([*command, f"--storage.tsdb.path={folder / 'data'}"], text=True) as process:
        try:
            prometheus = Prometheus(address)
            until(prometheus.is_ready, process)
            yield prometheus
        finally:
            process.terminate()


def prepare(tracker: MetricTracker) -> None:
    """Let each agent be known, and each series be there."""
    for agent in AGENTS:
        tracker.register_agent(agent, agent)
    for agent in (FLAKY, EXPERT):
        tracker.record_task_complete(agent, tracker.record_task_start(agent))
    for model in ("sonnet", "gpt-5"):
        with TaskTracker(CODER, model=model, tracker=tracker) as task:
            task.set_usage(input_tokens=1, output_tokens=1, cache_read_tokens=1, cache_write_tokens=1)


def work(tracker: MetricTracker) -> None:
    """Let happen what dashboards and alerts are about."""
    for model in ("sonnet", "gpt-5"):
        with TaskTracker(CODER, model=model, tracker=tracker) as task:
            with TaskTracker(REVIEWER, model="opus", tracker=tracker) as review:
                review.set_tokens_used(900)
            task.set_usage(input_tokens=400, output_tokens=99_000, cache_read_tokens=90_000, cache_write_tokens=1500)
    tracker.record_task_failure(CODER, tracker.record_task_start(CODER), "2 of 40 tests fail")
    tracker.record_task_cancelled(CODER, tracker.record_task_start(CODER))
    _lose_a_task(tracker)
    for _ in range(3):
        tracker.reset_agent_failures(FLAKY)
        _fail_until_refused(tracker, FLAKY)
    _fail_until_refused(tracker, EXPERT)
    assert not tracker.try_acquire(EXPERT)
    chosen = tracker.select_agent(EXPERT, fallbacks=[CODER])
    with TaskTracker(chosen.agent_file, fallback_for=chosen.fallback_for, tracker=tracker) as task:
        task.set_tokens_used(2600)
    tracker.override_breaker(ORDERED, names.FORCED_OPEN, reason="maintenance")
    tracker.record_task_start(HANGING, "hangs")
    tracker.record_task_start(CODER, "runs")


def _fail_until_refused(tracker: MetricTracker, agent: str) -> None:
    while tracker.check_agent_health(agent):
        tracker.record_task_failure(agent, tracker.record_task_start(agent), "database is locked")


def _lose_a_task(tracker: MetricTracker) -> None:
    """Start a task in a process that goes without ending it."""
    lost = f"import os; from otel_tracker import TaskTracker; TaskTracker({CODER!r}).__enter__(); os._exit(0)"
    home = {**os.environ, "OTEL_TRACKER_HOME": str(Path(tracker.config_file).parent.parent)}
    subprocess.run([sys.executable, "-c", lost], env=home, check=True)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    tracker = MetricTracker(Home(str(folder / "agents")).document)
    prepare(tracker)
    newer = folder / "newer" / "config"
    newer.mkdir(parents=True)
    (newer / "circuit-breaker.json").write_text('{"version": "8.0"}')
    with ExitStack() as running:
        served, unreadable = (running.enter_context(serving(folder / home)) for home in ("agents", "newer"))
        backfill(folder, served)
        config = configured(folder, [served, unreadable, DEAD])
        prometheus = running.enter_context(scraping(folder, config))
        until(lambda: prometheus.value("sum(otel_tracker_tasks_total)") == 4)
        work(tracker)
        ended = sum(tracker.get_agent_metrics(agent)["metrics"]["tasks_total"] for agent in AGENTS)
        until(lambda: prometheus.value("sum(otel_tracker_tasks_total)") == ended)
        until(lambda: prometheus.value("otel_tracker_tasks_in_flight") == 2)
        until(lambda: prometheus.value("rate(otel_tracker_tasks_total[1m]) > 0"))
        until(lambda: prometheus.value("agent:otel_tracker_tokens:rate1h > 28"))
        yield Stack(prometheus, served, unreadable)


def filled_in(expr: str, agent: str = ".+") -> str:
    """Fill in the variables of a dashboard as Grafana does where everything is chosen."""
    chosen = {"job": "otel-tracker", "instance": ".+", "agent": re.escape(agent) if agent != ".+" else agent}
    chosen |= {"model": ".+", "__rate_interval": "1m", "__range": "6h"}
    text = re.sub(r"\$(\w+)", lambda found: chosen[found[1]].replace("\\", "\\\\"), expr)
    assert "$" not in text
    return text


def numbers(result: list[Json]) -> list[float]:
    """Return the values of an answer that are numbers."""
    samples = [sample for one in result for sample in one.get("values", [one.get("value")])]
    return [float(value) for _, value in samples if not math.isnan(float(value))]


def asked(prometheus: Prometheus, target: Json, agent: str) -> list[Json]:
    """Ask what a panel asks, over the last minutes or as of now."""
    expr = filled_in(target["expr"], agent)
    if target["instant"]:
        result: list[Json] = prometheus.ask("query", query=expr)["result"]
    else:
        now = time.time()
        result = prometheus.ask("query_range", query=expr, start=str(now - 60), end=str(now), step="1")["result"]
    return result


@pytest.mark.parametrize(("uid", "target"), QUERIES)
def test_every_query_of_every_panel_returns_data(stack: Stack, uid: str, target: Json) -> None:
    agent = CODER if uid == generate.AGENT else ".+"
    assert numbers(asked(stack.prometheus, target, agent)), filled_in(target["expr"], agent)


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_variable_finds_its_values(stack: Stack, variable: Json) -> None:
    parts = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
    assert parts
    values = set(stack.prometheus.ask(f"label/{parts[2]}/values", **{"match[]": filled_in(parts[1])}))
    expected = {
        "job": {"otel-tracker"},
        "instance": {stack.tracker, stack.unreadable},
        "agent": set(AGENTS),
        "model": {"haiku", "opus", "sonnet", "gpt-5"},
    }
    assert expected[variable["name"]] <= values


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_sees_what_it_is_about(stack: Stack, alert: Json) -> None:
    def is_raised() -> bool:
        return any(one["labels"]["alertname"] == alert["alert"] for one in stack.prometheus.ask("alerts")["alerts"])

    assert numbers(stack.prometheus.ask("query", query=alert["expr"])["result"]), alert["expr"]
    until(is_raised)


def test_an_alert_names_the_agent_that_it_is_about_and_no_other(stack: Stack) -> None:
    about: dict[str, set[str]] = {}
    for alert in (cast("Json", param.values[0]) for param in ALERTS):
        found = stack.prometheus.ask("query", query=alert["expr"])["result"]
        about[alert["alert"]] = {one["metric"].get("agent", one["metric"]["instance"]) for one in found}
    assert about == {
        "OtelTrackerAgentBlacklisted": {EXPERT, FLAKY},
        "OtelTrackerAgentForcedOpen": {ORDERED},
        "OtelTrackerBreakerReopened": {FLAKY},
        "OtelTrackerFailureRatioHigh": {EXPERT, FLAKY},
        "OtelTrackerTaskStuck": {HANGING},
        "OtelTrackerTokenBurn": {CODER},
        "OtelTrackerNotScraped": {DEAD},
        "OtelTrackerStateUnreadable": {stack.unreadable},
    }


def test_who_is_broken_says_on_which_instance(stack: Stack) -> None:
    (panel,) = [one for one in DASHBOARDS["fleet.json"]["panels"] if one["title"] == "Who is broken"]
    for target in panel["targets"][:1]:
        rows = [one["metric"] for one in asked(stack.prometheus, target, ".+")]
        assert {(row["instance"], row["agent"], row["state"]) for row in rows} == {
            (stack.tracker, EXPERT, "open"),
            (stack.tracker, FLAKY, "open"),
            (stack.tracker, ORDERED, "forced_open"),
        }


def test_tokens_per_task_leave_out_tasks_whose_tokens_are_not_known(stack: Stack) -> None:
    (panel,) = [one for one in DASHBOARDS["fleet.json"]["panels"] if one["title"] == "Who is expensive"]
    (target,) = [one for one in panel["targets"] if "measured_tasks" in one["expr"]]
    of_coder = f'{{agent="{CODER}"}}'
    assert stack.prometheus.value(f"otel_tracker_model_tasks_total{of_coder}") == 8
    assert stack.prometheus.value(f"otel_tracker_measured_tasks_total{of_coder}") == 5
    # Prometheus extrapolates increases by the moments of its scrapes: only those of one moment compare.
    tokens, measured, tasks = (
        f"sum by (agent) (increase(otel_tracker_{name}_total{of_coder}[6h]))"
        for name in ("tokens", "measured_tasks", "model_tasks")
    )
    per_task = filled_in(target["expr"], CODER)
    assert stack.prometheus.value(f"({per_task}) / ({tokens} / {measured})") == pytest.approx(1)
    assert stack.prometheus.value(f"({per_task}) / ({tokens} / {tasks})") > 1.1


def test_an_idle_agent_has_a_breaker_on_its_dashboard(stack: Stack) -> None:
    (panel,) = [one for one in DASHBOARDS["agent.json"]["panels"] if one["title"] == "Breaker"]
    shown = {
        agent: numbers(asked(stack.prometheus, panel["targets"][0], agent)) for agent in (IDLE, CODER, EXPERT, ORDERED)
    }
    assert shown == {IDLE: [0], CODER: [0], EXPERT: [2], ORDERED: [3]}


def test_what_prometheus_has_is_what_the_home_has(stack: Stack) -> None:
    value = stack.prometheus.value
    of_coder = f'agent="{CODER}"'
    counted = {one: value(f'otel_tracker_tasks_total{{{of_coder}, outcome="{one}"}}') for one in metrics.OUTCOMES}
    assert counted == {"success": 5, "failure": 1, "cancelled": 1, "lost": 1}
    assert value('otel_tracker_tokens_total{type="cache_read"}') == 180_002
    assert value(f'otel_tracker_circuit_opened_total{{agent="{FLAKY}"}}') == 3
    assert value("otel_tracker_rejections_total") == 1
    assert value("otel_tracker_fallbacks_total") == 1
    assert value('sum(otel_tracker_circuit_state{state="open"})') == 2


def test_the_metrics_of_a_real_tracker_are_clean_and_those_of_the_list(stack: Stack) -> None:
    with urlopen(f"http://{stack.tracker}/metrics", timeout=BOUND) as answer:
        text = answer.read().decode()
    assert promtool("check", "metrics", stdin=text) == ""
    assert set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE)) == {metric.name for metric in metrics.OF_DOCUMENT}


def test_the_configuration_and_the_rules_are_clean() -> None:
    assert "FAILED" not in promtool("check", "config", "--lint=all", "--lint-fatal", str(FOLDER / "prometheus.yml"))
    files = [str(FOLDER / "rules" / name) for name in ("recording.yml", "alerts.yml")]
    assert "FAILED" not in promtool("check", "rules", "--lint=all", "--lint-fatal", *files)


@pytest.mark.parametrize("name", RULE_TESTS)
def test_the_alerts_pass_their_own_tests(name: str) -> None:
    assert "SUCCESS" in promtool("test", "rules", str(FOLDER / name))
