"""The documentation cannot drift: its examples run, and what it lists is what there is."""

import argparse
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_tracker import MetricTracker, configure, names
from otel_tracker.cli.parser import parser
from otel_tracker.runtime import environment
from otel_tracker.state.schema import new_agent, new_head
from otel_tracker.state.settings import Settings
from otel_tracker.telemetry import metrics
from tests.places import ROOT
from tests.real_claude import program

README = (ROOT / "README.md").read_text()


def commands(of: argparse.ArgumentParser, prefix: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                inner = list(commands(sub, f"{prefix}{name} "))
                yield from inner or [(f"{prefix}{name}", sub)]


@pytest.mark.processes
def test_the_readmes_example_prints_what_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_TRACKER_HOME", str(tmp_path))  # for the command
    monkeypatch.setattr("tempfile.mkdtemp", lambda: str(tmp_path))
    monkeypatch.setattr(environment, "configuration", environment.configuration)  # which the example changes
    example, expected = re.findall(r"```python\n(.*?)```\n+```\n(.*?)```", README, re.DOTALL)[0]
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - the README is ours
    assert capsys.readouterr().out == expected
    refused = subprocess.run(
        [sys.executable, "-m", "otel_tracker", "health", "experts/database_expert.md"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    shown = re.escape(re.findall(r"^experts/database_expert\.md: .*$", README, re.MULTILINE)[0])
    assert re.fullmatch(re.sub(r"\d+\\-\d+\\-\d+\\ \d+:\d+:\d+", "[-0-9: ]+", shown) + "\n", refused.stdout)
    assert refused.returncode == 1


def test_the_versions_of_claude_code_that_are_run_are_in_the_documentation() -> None:
    for text in (README, (ROOT / "docs" / "claude-code.md").read_text()):
        assert {program.OLDEST, program.NEWEST} <= set(re.findall(r"2\.1\.\d+", text))


def test_every_command_is_in_the_documentation_with_its_options() -> None:
    text = (ROOT / "docs" / "commands.md").read_text()
    for name, command in commands(parser()):
        line = next((row for row in text.splitlines() if row.startswith(f"| `otel-tracker {name}")), None)
        assert line, f"`otel-tracker {name}` is not in docs/commands.md"
        for action in command._actions:
            shown = {"--format", "--home", "-h"} & set(action.option_strings)
            if action.option_strings and not shown:
                assert any(option in line for option in action.option_strings), f"{name} {action.option_strings}"


def test_every_setting_is_in_the_documentation_with_its_default() -> None:
    text = (ROOT / "docs" / "document.md").read_text()
    settings = [name for name in vars(Settings) if not name.startswith("_") and not callable(getattr(Settings, name))]
    assert len(settings) == 13
    for name in settings:
        assert f"| `{name}` | {str(getattr(Settings, name)).lower()} |" in text


def test_every_key_of_our_own_is_in_the_documentation(tracker: MetricTracker) -> None:
    text = (ROOT / "docs" / "document.md").read_text()
    for key in ("sequence", "in_flight"):
        assert key in new_head()
        assert f"| `{key}` |" in text
    v7 = {"status", "failures", "last_failure", "blacklisted_until", "metrics", "token_usage"}
    for key in new_agent().keys() - v7:
        assert f"`agents[...].{key}`" in text
    for action in (
        *names.OUTCOMES,
        names.PROBE_GRANTED,
        names.PROBE_RETURNED,
        names.TASK_REJECTED,
        names.BREAKER_OVERRIDE,
    ):
        assert f"`{action}`" in text
    for action in (*names.OUTCOMES, names.TASK_STARTED, names.TASK_AMENDED, names.AGENT_REGISTERED, names.AGENT_RESET):
        assert f"`{action}`" in text


def test_every_variable_and_argument_of_a_process_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "opentelemetry.md").read_text()
    for variable in (name for name in vars(environment) if name.startswith("OTEL_")):
        assert f"| `{variable}` |" in text
    for argument in inspect.signature(configure).parameters:
        assert f"| `{argument}=` |" in text
    for name in (value for key, value in vars(names).items() if key.startswith(("METRIC_", "GEN_AI_"))):
        assert name in text or name.removeprefix("gen_ai.usage") in text


def test_every_metric_of_prometheus_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "prometheus.md").read_text()
    for metric in metrics.ALL:
        labels = f" {', '.join(metric.labels)}" if metric.labels else ""
        assert f"| `{metric.name.removeprefix(metrics.PREFIX)}` |{labels} |" in text


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_module_is_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    package = ROOT / "otel_tracker"
    for module in package.rglob("[a-z]*.py"):
        assert re.search(rf"\b{module.stem}\b", text), f"{module.name} is not in docs/architecture.md"


def test_the_index_of_the_decisions_names_each_of_them_once() -> None:
    text = (ROOT / "docs" / "decisions.md").read_text()
    titles = re.findall(r"^### (.*)$", text, re.MULTILINE)
    indexed = re.findall(r"^- \[(.*)\]\(#(.*)\)$", text, re.MULTILINE)
    assert sorted(titles) == sorted(title for title, _ in indexed)
    for title, anchor in indexed:
        assert anchor == re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_no_two_modules_define_a_class_of_the_same_name() -> None:
    homes: dict[str, list[str]] = {}
    for module in [*(ROOT / "otel_tracker").rglob("*.py"), *(ROOT / "exporters").rglob("*.py")]:
        for name in re.findall(r"^class ([A-Z]\w*)", module.read_text(), re.MULTILINE):
            homes.setdefault(name, []).append(str(module.relative_to(ROOT)))
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}
