"""`otel-tracker claude-code usage`: the figures of the transcripts, without a home, and nothing is written."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from otel_tracker.cli import main
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.price_file import price_table
from tests.integrations.claude_code.trees import Request, Truth, double, write_tree


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    return write_tree(tmp_path / "claude", 21, time.time(), sessions=3)


def usage(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["claude-code", "usage", "--format", "json", *map(str, arguments)]) == 0
    sums: dict[str, Any] = json.loads(capsys.readouterr().out)
    return sums


def dollars(requests: list[Request], home: Home) -> float:
    """Return what requests cost, one by one, in dollars."""
    cost = price_table(home, Files()).cost
    each = (cost(one.model, one.tokens, one.at, speed=one.speed) for one in requests)
    return sum(micro_dollars or 0 for micro_dollars in each) / 1_000_000


def check(sums: dict[str, Any], truth: Truth, home: Home) -> None:
    total = sums["total"]
    for kind in ("input", "output", "cache_read", "cache_write", "cache_write_1h"):
        assert total[kind] == sum(number for (_, type_), number in truth.tokens().items() if type_ == kind)
    assert total["cost_usd"] == pytest.approx(dollars(truth.requests, home), abs=1e-9)
    assert total["runs"] == len(truth.runs) == sum(row["runs"] for row in sums["rows"])
    counts = {"successful": "success", "failed": "failure", "cancelled": "cancelled", "lost": "lost"}
    by_agent = {row["agent"]: row for row in sums["rows"]}
    outcomes = truth.outcomes()
    for agent in {run.agent for run in truth.runs}:
        assert [by_agent[agent][column] for column in counts] == [outcomes[agent, named] for named in counts.values()]
    assert sum(row["cost_usd"] for row in sums["main_rows"]) == pytest.approx(dollars(truth.main(), home), abs=1e-9)


def test_a_tree_is_added_up_to_the_micro_dollar(
    truth: Truth, tmp_path: Path, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    sums = usage(capsys, tmp_path / "claude")
    check(sums, truth, home)
    assert sums["until"] is None
    assert sums["by"] == ["agent"]


def test_the_folders_of_the_variable_are_read_each_once(
    truth: Truth, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    double(truth, tmp_path / "copy")
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", f"{tmp_path / 'claude'}, {tmp_path / 'copy'},{tmp_path / 'missing'}")
    check(usage(capsys), truth, home)


def test_without_a_variable_the_folders_of_the_user_are_read(
    tmp_path: Path, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write_tree(tmp_path / "user" / ".config" / "claude", 4, time.time(), sessions=1)
    check(usage(capsys), truth, home)


def test_nothing_is_written(truth: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def everything() -> dict[str, tuple[int, int]]:
        status = ((str(path), path.lstat()) for path in tmp_path.rglob("*"))
        return {path: (each.st_mtime_ns, each.st_size) for path, each in status}

    before = everything()
    usage(capsys, tmp_path / "claude", "--home", tmp_path / "no-home")
    assert everything() == before


def test_two_keys_at_once_and_a_window(truth: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sums = usage(capsys, tmp_path / "claude", "--by", "day,agent", "--utc", "--since", "30d", "--until", "1h")
    assert sum(row["runs"] for row in sums["rows"]) == len(truth.runs)
    assert {row["day"] for row in sums["main_rows"]} == {
        time.strftime("%Y-%m-%d", time.gmtime(one.at)) for one in truth.main()
    }
    assert not any("agent" in row for row in sums["main_rows"])
    nothing = usage(capsys, tmp_path / "claude", "--since", "1h")
    assert nothing["rows"] == nothing["main_rows"] == []


def test_a_run_that_goes_on_is_no_run_yet_but_its_tokens_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write_tree(tmp_path / "claude", 33, time.time() + 6.9 * 3600, sessions=2, days=0.3)  # of the last minutes
    sums = usage(capsys, tmp_path / "claude")
    assert sums["total"]["lost"] == 0
    assert sums["total"]["runs"] < len(truth.runs)
    assert sums["total"]["tokens"] == sum(n for (_, kind), n in truth.tokens().items() if kind != "cache_write_1h")


def test_a_session_is_over_whose_files_are_copies_of_today(
    truth: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in tmp_path.rglob("*.jsonl"):
        os.utime(path, None)
    assert usage(capsys, tmp_path / "claude")["total"]["runs"] == len(truth.runs)


def test_a_sessions_file_comes_with_its_agents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = write_tree(tmp_path / "claude", 12, time.time(), sessions=1)
    session = truth.runs[0].session_id
    (path,) = (tmp_path / "claude" / "projects").glob(f"*/{session}.jsonl")
    agents = usage(capsys, path)["rows"]
    assert (
        sum(row["runs"] for row in agents) >= sum(run.session_id == session for run in truth.runs) - 1
    )  # the flat one


def test_agents_have_the_keys_of_their_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tree(tmp_path / "claude", 21, time.time(), sessions=3)
    folder = tmp_path / "user" / ".claude" / "agents" / "core"
    folder.mkdir(parents=True)
    (folder / "writes-code.md").write_text("---\nname: coder\n---\n")
    agents = {row["agent"] for row in usage(capsys, tmp_path / "claude")["rows"]}
    assert "core/writes-code.md" in agents
    assert "coder" not in agents


def test_a_path_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claude-code", "usage", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_lines_that_cannot_be_read_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "projects" / "one"
    folder.mkdir(parents=True)
    (folder / "s.jsonl").write_text('{"type":"assistant","mess\n')
    assert main(["claude-code", "usage", str(tmp_path)]) == 0
    assert caplog.messages == ["1 line of transcripts can't be read: the figures are without them"]
    assert "No run has ended" in capsys.readouterr().out
