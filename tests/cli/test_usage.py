"""`usage`, and the other commands with a window of time."""

import csv
import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from typing import Any

import pytest

from otel_tracker import names
from otel_tracker.cli import main
from otel_tracker.reporting.aggregate import SUMS
from otel_tracker.runtime.printable import columns
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state.event import happened, task_ended
from otel_tracker.state.shapes import Event
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store

Run = Callable[..., str]
DAY = 86_400.0
LONG = "experts/an-agent-with-quite-a-long-name-that-no-terminal-of-eighty-columns-has-room-for.md"
OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5-5"


@pytest.fixture
def run(home: Home, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on the home, which must succeed, and return what it printed."""

    def command(*arguments: str, status: int = 0) -> str:
        assert main([*arguments, "--home", home.folder]) == status
        printed = capsys.readouterr()
        return printed.out if status == 0 else printed.err

    return command


def ended(
    number: int, days_ago: float, agent: str = "core/coder.md", outcome: str = names.SUCCESS, **known: Any
) -> Event:
    at = time.time() - days_ago * DAY
    use = {
        "input": 1000 * number,
        "output": 10,
        "cache_read": 50,
        names.PRICED: 1000 * number + 60,
        names.COST: 20_000 * number,
    }
    known = {"models": {OPUS: use}, "tokens": use, "project": "/home/me/work/app", "conversation_id": "s1", **known}
    return task_ended(
        agent, outcome, at, run_id=f"run {number} {days_ago}", started=format_timestamp(at - number),
        duration_seconds=float(number), **known,
    )  # fmt: skip


@pytest.fixture
def fleet(store: Store) -> Store:
    """Runs of this week and of the week before, and what the main conversation has used."""
    unpriced = {"input": 77}
    main_use = {OPUS: {"input": 500, names.PRICED: 500, names.COST: 1_000_000}}
    used = happened(names.USAGE_RECORDED, time.time() - DAY, models=main_use, project="/home/me/work/app")
    store.record(
        [
            ended(1, 13.0),
            ended(2, 0.5),
            ended(3, 1.5, outcome=names.FAILURE),
            ended(4, 2.5, LONG, names.CANCELLED, project="/home/me/play/app"),
            ended(5, 3.5, "Explore", names.LOST, models={"my-model": unpriced}, tokens=unpriced),
            used,
        ]
    )
    return store


def cells(output: str) -> list[list[str]]:
    """Return the cells of the tables in an output, which two spaces separate."""
    return [[cell for cell in line.split("  ") if cell] for line in output.splitlines()]


def test_usage_says_what_has_run_how_it_ended_and_what_it_used(fleet: Store, run: Run) -> None:
    lines = [" ".join(line) for line in cells(run("usage", "--since", "7d"))]
    coder = next(line for line in lines if line.startswith("core/coder.md"))
    assert "50.0%" in coder
    assert any("main conversation" in line for line in lines)
    assert any(line.startswith("Total") for line in lines)
    text = "\n".join(lines)
    assert "my-model (77 tokens)" in text
    assert "≥ $1.18" in text


def test_json_has_exactly_the_keys_that_are_documented(fleet: Store, run: Run) -> None:
    value = json.loads(run("usage", "--since", "7d", "--by", "agent", "--format", "json"))
    assert list(value) == ["since", "until", "by", "rows", "main_rows", "total"]
    assert value["by"] == ["agent"]
    assert value["until"] is None
    assert value["since"].endswith("Z")
    for row in value["rows"]:
        assert list(row) == ["agent", *SUMS]
    assert [list(row) for row in value["main_rows"]] == [list(SUMS)]
    assert list(value["total"]) == list(SUMS)
    assert (value["total"]["runs"], value["total"]["cost_usd"]) == (4, 1.18)
    assert {row["agent"]: row["cost_usd"] for row in value["rows"]} == {
        "core/coder.md": 0.1,
        LONG: 0.08,
        "Explore": None,
    }


@pytest.mark.parametrize(
    "arguments", [(), ("--since", "7d"), ("--since", "8d", "--until", "2d"), ("--by", "day,outcome")]
)
def test_all_formats_and_commands_show_the_same_sums(fleet: Store, run: Run, arguments: tuple[str, ...]) -> None:
    value = json.loads(run("usage", *arguments, "--format", "json"))
    rows = list(csv.DictReader(io.StringIO(run("usage", *arguments, "--format", "csv"))))
    assert [row["row"] for row in rows] == ["runs"] * len(value["rows"]) + ["main"] * len(value["main_rows"]) + [
        "total"
    ]
    for row, line in zip([*value["rows"], *value["main_rows"], value["total"]], rows, strict=True):
        assert all(line[key] == ("" if cell is None else str(cell)) for key, cell in row.items())
    lines = list(
        csv.DictReader(io.StringIO(run("export", *(a for a in arguments if a not in ("--by", "day,outcome")))))
    )
    for key in ("runs", *names.TOKEN_KEYS, "tokens", "unpriced_tokens"):
        assert sum(int(line[key]) for line in lines) == value["total"][key], key
    assert round(sum(float(line["cost_usd"] or 0) for line in lines), 6) == value["total"]["cost_usd"]
    shown = {line[0]: line for line in cells(run("usage", *arguments)) if line and line[0] == "Total"}
    assert f"{value['total']['tokens']:,}" in run("usage", *arguments, "--format", "markdown")
    assert shown
    if arguments:
        by_command = {
            "report": json.loads(run("report", *arguments, "--format", "json")),
            "leaderboard": json.loads(run("leaderboard", *arguments, "--format", "json")),
            "tokens": json.loads(run("tokens", *arguments, "--format", "json")),
        }
        assert {str(other["total"]) for other in by_command.values()} == {str(value["total"])}
        assert by_command["report"]["rows"] == value["rows"]


def test_without_a_window_the_sums_are_those_of_the_document(fleet: Store, run: Run) -> None:
    """As long as the journal has all that the document counts."""
    rows = {row["agent"]: row for row in json.loads(run("usage", "--format", "json"))["rows"]}
    for row in json.loads(run("leaderboard", "--format", "json")):
        assert row["tasks_total"] == rows[row["agent_file"]]["runs"]
        assert row["tokens_total"] == rows[row["agent_file"]]["tokens"]
        assert row["success_rate"] == rows[row["agent_file"]]["success_rate"]


@pytest.mark.parametrize("width", [20, 40, 60, 79, 80, 81, 100, 132, 300])
@pytest.mark.parametrize("by", ["agent", "agent,model", "day,agent", "project,session", "hour"])
def test_a_table_is_no_wider_than_the_terminal(
    fleet: Store, run: Run, monkeypatch: pytest.MonkeyPatch, width: int, by: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = run("usage", "--by", by)
    table = out.partition("\n\n")[2].rpartition("\n\n")[0]
    assert max(columns(line) for line in table.splitlines()) <= max(width, 44)
    assert "Tokens" in table
    if width == 300:
        assert out.count("Total") == 1
        assert LONG in out or "agent" not in by


def test_on_a_real_terminal_of_80_columns_nothing_wraps(fleet: Store) -> None:
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        [sys.executable, "-m", "otel_tracker", "usage", "--since", "7d", "--by", "agent,model", "--home", fleet.home.folder],
        stdin=child, stdout=child, env=environment,
    ) as process:  # fmt: skip
        os.close(child)
        output = b""
        while chunk := _read(parent):
            output += chunk
    os.close(parent)
    assert process.returncode == 0
    lines = output.decode().splitlines()
    assert any(line.startswith("Total") for line in lines)
    assert max(map(columns, lines)) <= 80


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other side has gone
        return b""


def test_the_change_is_against_the_window_before(store: Store, run: Run) -> None:
    store.record([ended(2, 10.0), ended(3, 3.0), ended(5, 3.0, "new.md"), ended(9, 15.0)])
    shown = {line[0]: line for line in cells(run("usage", "--since", "7d")) if any("$" in cell for cell in line)}
    assert "+50%" in " ".join(shown["core/coder.md"])
    assert "new" in " ".join(shown["new.md"])
    assert "+300%" in " ".join(shown["Total"])
    assert "Change" not in run("usage", "--until", "1d")
    by_day = {
        line[0]: line
        for line in cells(run("usage", "--since", "7d", "--by", "day"))
        if any("$" in cell for cell in line)
    }
    assert [name for name, line in by_day.items() if any("%" in cell and "+" in cell for cell in line)] == ["Total"]


def test_letters_of_others_reach_a_terminal_as_text(store: Store, run: Run) -> None:
    odd = "ev\x1b[31mil|`x`"
    store.record([ended(1, 1.0, "x.md", project=odd)])
    for form in ("table", "markdown", "json", "csv"):
        assert "\x1b" not in run("usage", "--by", "project", "--format", form)
    assert json.loads(run("usage", "--by", "project", "--format", "json"))["rows"][0]["project"] == odd
    assert next(csv.DictReader(io.StringIO(run("export"))))["project"] == "ev\\u001b[31mil|`x`"
    assert json.loads(run("export", "--format", "jsonl"))["project"] == odd


def test_projects_are_shown_by_as_much_of_their_folder_as_tells_them_apart(fleet: Store, run: Run) -> None:
    out = run("usage", "--by", "project")
    assert {line[0] for line in cells(out) if line} >= {"work/app", "play/app", "main conversation: work/app"}


def test_a_home_without_runs_says_so(run: Run) -> None:
    assert run("usage") == "No run has ended yet\n"
    assert run("usage", "--since", "7d").startswith("No run has ended since ")
    assert json.loads(run("usage", "--format", "json"))["rows"] == []
    assert run("export").count("\n") == 1
    assert run("export", "--format", "jsonl") == ""


def test_the_leaderboard_of_a_window_is_by_its_metric(fleet: Store, run: Run) -> None:
    value = json.loads(run("leaderboard", "--since", "7d", "-m", "tokens_total", "-n", "2", "--format", "json"))
    assert [row["agent"] for row in value["rows"]] == ["core/coder.md", LONG]
    assert value["total"]["runs"] == 4
    assert "Total" in run("leaderboard", "--since", "7d", "-n", "2")
    assert "one of tasks_total" in run("leaderboard", "--since", "7d", "-m", "failures", status=1)


def test_the_history_has_a_window_too(fleet: Store, run: Run) -> None:
    def tasks(*arguments: str) -> list[str]:
        return [event.get("run_id") for event in json.loads(run("history", *arguments, "--format", "json"))]

    assert tasks("--since", "3d", "--until", "1d") == ["run 4 2.5", "run 3 1.5"]
    assert tasks("--until", "3d", "-n", "1") == ["run 5 3.5"]
    value = json.loads(run("history", "--by", "outcome", "--agent", "coder", "--format", "json"))
    assert {row["outcome"]: row["runs"] for row in value["rows"]} == {"success": 2, "failure": 1}
    days = [row["day"] for row in json.loads(run("history", "--by", "day", "--format", "json"))["rows"]]
    assert days == sorted(days, reverse=True)


def test_the_report_of_a_window_says_who_is_refused_and_can_be_written_to_a_file(
    fleet: Store, run: Run, tmp_path: Any
) -> None:
    run("report", "--since", "7d", "-o", str(tmp_path / "report.md"))
    text = (tmp_path / "report.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Agent Metrics Report", "## Needs attention", "## Blacklisted", "## Runs"
    ]  # fmt: skip
    assert "| Total" in text


@pytest.mark.parametrize("command", ["usage", "report", "tokens", "leaderboard", "history", "export"])
def test_wrong_words_end_a_command_with_2_and_name_what_is_expected(command: str, home: Home) -> None:
    for wrong in (
        ["--since", "soon"],
        ["--until", ""],
        ["--by", "agents"] if command != "export" else ["--by", "agent"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "otel_tracker", command, *wrong, "--home", home.folder],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert command == "export" or "expected" in done.stderr


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def test_days_are_the_readers_unless_utc_is_asked_for(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    store.record([ended(number, number / 4) for number in range(1, 9)])

    def by_day(*arguments: str) -> list[str]:
        value = json.loads(run("usage", "--by", "day", "--format", "json", *arguments))
        return [row["day"] for row in value["rows"] for _ in range(row["runs"])]

    ends = sorted(time.time() - number / 4 * DAY for number in range(1, 9))
    with monkeypatch.context() as patched:
        patched.setenv("TZ", zone)
        time.tzset()
        assert by_day() == [time.strftime("%Y-%m-%d", time.localtime(end)) for end in ends]
        assert by_day("--utc") == [time.strftime("%Y-%m-%d", time.gmtime(end)) for end in ends]
        today = time.strftime("%Y-%m-%d")
        assert set(by_day("--since", "today")) <= {today}
        assert by_day("--since", today, "--until", today) == by_day("--since", "today")
    time.tzset()
