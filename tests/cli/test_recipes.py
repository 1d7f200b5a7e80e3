"""The recipes of docs/commands.md for other programs: each runs, and gives the sums that `usage` gives."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_tracker.storage.store import Store
from tests.cli.test_usage import fleet
from tests.places import ROOT

pytestmark = pytest.mark.thorough

RECIPES = (ROOT / "docs" / "commands.md").read_text().partition("## For other programs")[2].partition("\n## ")[0]

__all__ = ["fleet"]  # the fixture


def recipe(language: str) -> str:
    """Return the recipe that is written in a language."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", RECIPES, re.DOTALL)
    return str(block)


@pytest.fixture
def shell(fleet: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let `otel-tracker` be this one, and the home that of the fleet."""
    monkeypatch.setenv("PATH", os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"])))
    monkeypatch.setenv("OTEL_TRACKER_HOME", fleet.home.folder)
    monkeypatch.chdir(tmp_path)


def usage(*arguments: str) -> Any:
    shown = subprocess.run(["otel-tracker", "usage", "--format", "json", *arguments], capture_output=True, check=True)
    return json.loads(shown.stdout)


@pytest.mark.usefixtures("shell")
def test_pandas_has_the_sums_of_usage() -> None:
    found: dict[str, Any] = {}
    exec(compile(recipe("python"), "commands.md", "exec"), found)  # noqa: S102 - the recipe is ours
    rows = usage("--since", "30d")["rows"]
    assert len(rows) == 3
    for row in rows:
        sums = found["by_agent"].loc[row["agent"]]
        assert (sums["runs"], sums["tokens"]) == (row["runs"], row["tokens"])
        assert round(sums["cost_usd"], 6) == (row["cost_usd"] or 0)
        assert found["slow"][row["agent"]] == pytest.approx(row["duration_p95_seconds"])


@pytest.mark.usefixtures("shell")
def test_duckdb_reads_the_journal_as_it_is(fleet: Store) -> None:
    import duckdb

    query = recipe("sql").replace("~/.claude/agents", fleet.home.folder)
    answer = duckdb.connect().execute(query)
    columns = [column[0] for column in answer.description or ()]
    lines = [dict(zip(columns, line, strict=True)) for line in answer.fetchall()]
    by_agent = {row["agent"]: row for row in usage()["rows"]}
    for agent, row in by_agent.items():
        of_agent = [line for line in lines if line["agent"] == agent]
        assert sum(line["runs"] for line in of_agent) == row["runs"]
        assert sum(line["tokens"] for line in of_agent) == row["tokens"]
    assert {line["agent"] for line in lines} == set(by_agent)


@pytest.mark.usefixtures("shell")
def test_a_sheet_gets_files_with_the_sums_of_usage() -> None:
    for line in re.findall(r"^\$ (.*)$", recipe("console"), re.MULTILINE):
        subprocess.run(line, shell=True, check=True)  # noqa: S602 - the recipe is ours
    total = usage("--since", "month")["total"]
    with open("runs.csv", encoding="utf-8") as file:
        runs = list(csv.DictReader(file))
    with open("days.csv", encoding="utf-8") as file:
        days = [row for row in csv.DictReader(file) if row["row"] != "total"]
    for rows in (runs, days):
        assert sum(int(row["tokens"]) for row in rows) == total["tokens"]
        assert sum(int(row["runs"]) for row in rows) == total["runs"]
        assert round(sum(float(row["cost_usd"] or 0) for row in rows), 6) == total["cost_usd"]
