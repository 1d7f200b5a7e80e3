"""The recipes of docs/python.md: each runs, and does what the page says."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import MetricTracker, TaskTracker, configure
from tests.places import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text().partition("## Recipes")[2]
HOSTILE = "<script>alert(1)</script>.md"


def recipes(title: str) -> list[str]:
    """Return the blocks of Python under a title."""
    section = PAGE.partition(f"### {title}\n")[2].partition("\n### ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def executed(title: str) -> dict[str, Any]:
    """Run the one block under a title, and return its names."""
    (code,) = recipes(title)
    found: dict[str, Any] = {}
    exec(compile(code, "python.md", "exec"), found)  # noqa: S102 - the recipe is ours
    return found


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[MetricTracker]:
    configure(home=tmp_path / "agents")
    yield MetricTracker()
    configure()


@pytest.fixture
def worked(tracker: MetricTracker) -> MetricTracker:
    for number in range(3):
        with TaskTracker("core/coder.md", model="claude-sonnet-5") as task:
            task.set_usage(input_tokens=1000 * number, output_tokens=500)
    for _ in range(5):
        with TaskTracker(HOSTILE) as task:
            task.set_failed("<img src=x onerror=alert(2)>")
    tracker.register_agent("Idle", "core/idle.md")
    return tracker


def test_every_recipe_has_a_test() -> None:
    titles = re.findall(r"^### (.*)$", PAGE, re.MULTILINE)
    assert titles == ["pandas", "A notebook", "pytest", "Timeouts of asyncio", "FastAPI"]


def test_pandas_has_what_the_tracker_answers(worked: MetricTracker) -> None:
    found = executed("pandas")
    row = worked.get_agent_metrics("core/coder.md")
    assert found["per_task"]["core/coder.md"] == pytest.approx(row["cost_usd"] / 3)
    assert found["slow"]["core/coder.md"] <= row["metrics"]["total_duration_seconds"]
    assert found["errors"].to_dict() == {(HOSTILE, "<img src=x onerror=alert(2)>"): 5}
    assert len(found["ended"]) == 8


class Tables(HTMLParser):
    """Collects the tags and the texts of HTML, whose tags must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert {name for name, _ in attrs} <= {"style"}
        if tag != "br":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts += [data.strip()] if data.strip() else []


def shown_in_notebook() -> Tables:
    (code,) = recipes("A notebook")
    *_, last = code.strip().splitlines()
    found: dict[str, Any] = {}
    exec(code, found)  # noqa: S102 - the recipe is ours
    return Tables(eval(last, found)._repr_html_())  # noqa: S307 - the recipe is ours


def test_a_notebook_shows_what_needs_attention_and_the_agents_and_runs_nothing(worked: MetricTracker) -> None:
    shown = shown_in_notebook()
    assert shown.tags == {"div", "table", "caption", "tbody", "thead", "tr", "th", "td", "b", "br", "code", "p"}
    assert shown.texts[:3] == ["Needs attention", "critical", HOSTILE]
    assert "<img src=x onerror=alert(2)>" in " ".join(shown.texts)
    assert any(text.startswith("otel-tracker reset") for text in shown.texts)
    agents = shown.texts[shown.texts.index("Agents") + 1 :]
    assert agents[:8] == ["Agent", "Breaker", "Running", "Tasks", "Success", "Tokens", "Cost", "Last"]
    rows = {agents[place]: agents[place + 1 : place + 8] for place in (8, 16)}
    cost = f"${worked.get_agent_metrics('core/coder.md')['cost_usd']:.2f}"
    assert rows == {
        HOSTILE: ["blacklisted", "-", "5", "0.0%", "-", "-", "now"],
        "core/coder.md": ["healthy", "-", "3", "100.0%", "4,500", cost, "now"],
    }
    assert agents[24] == "1 agent has not run a task yet"


def test_a_notebook_shows_a_tracker_without_tasks_and_one_of_many_agents(tracker: MetricTracker) -> None:
    assert shown_in_notebook().texts[0] == "Nothing needs attention."
    for number in range(53):
        tracker.record_task_complete(f"{number}.md", tracker.record_task_start(f"{number}.md"))
    shown = shown_in_notebook()
    assert sum(text.endswith(".md") for text in shown.texts) == 50
    assert shown.texts[-1] == "and 3 other agents"


@pytest.mark.processes
def test_the_fixtures_record_in_a_home_of_their_own_or_nowhere(tmp_path: Path) -> None:
    conftest, tests = recipes("pytest")
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_work.py").write_text(tests)
    home = tmp_path / "user"
    environment = {**os.environ, "OTEL_TRACKER_HOME": str(home), "PYTHONPATH": f"{ROOT}:{ROOT / 'exporters'}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'pt'}"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr
    assert not home.exists()


def test_a_timeout_around_a_block_cancels_its_task_and_one_inside_fails_it(tracker: MetricTracker) -> None:
    found = executed("Timeouts of asyncio")
    for name in ("cancelled", "cancelled_by_wait_for", "failed", "failed_by_wait_for", "failed_by_arun"):
        with pytest.raises(TimeoutError):
            asyncio.run(found[name]())
    counted = {agent: tracker.get_agent_metrics(agent)["metrics"] for agent in ("core/cancelled.md", "core/failed.md")}
    assert {agent: (row["tasks_cancelled"], row["tasks_failed"]) for agent, row in counted.items()} == {
        "core/cancelled.md": (2, 0),
        "core/failed.md": (0, 3),
    }
    assert tracker.get_agent_metrics("core/cancelled.md")["failures"] == 0
    assert tracker.get_agent_metrics("core/failed.md")["failures"] == 3


def posted(app: Any) -> Any:
    """Return the answer of a route to a request that no network carries."""
    httpx = import_module("httpx")  # only the recipes need it: `make check` does without

    async def post() -> Any:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.post("/review", params={"diff": "abc"})

    return asyncio.run(post())


def test_a_route_records_a_task_and_answers_503_where_the_breaker_refuses(tracker: MetricTracker) -> None:
    app = executed("FastAPI")["app"]
    assert posted(app).json() == {"review": "3 characters, none of them wrong"}
    row = tracker.get_agent_metrics("core/reviewer.md")
    assert row["metrics"]["tasks_successful"] == 1
    assert row["token_usage"]["sonnet"]["total"] == 420
    tracker.override_breaker("core/reviewer.md", "forced_open", 60)
    refused = posted(app)
    assert refused.status_code == 503
    assert refused.json()["detail"].startswith("the reviewer is refused until 2")
    assert tracker.get_agent_metrics("core/reviewer.md")["metrics"]["tasks_total"] == 1
