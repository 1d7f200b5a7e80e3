"""`otel-tracker claude-code import`: what transcripts tell is counted once, whoever told of it before, and moves no breaker."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import names
from otel_tracker.cli import main
from otel_tracker.doctor import WRONG, examine_home
from otel_tracker.errors import LockTimeoutError
from otel_tracker.integrations.claude_code.past import importing
from otel_tracker.integrations.claude_code.past.waiting import waiting_runs
from otel_tracker.integrations.claude_code.runs import ledger
from otel_tracker.integrations.claude_code.runs.run import run_id_of
from otel_tracker.integrations.claude_code.transcripts import places
from otel_tracker.reporting.aggregate import UsageTable, aggregate, parts_in
from otel_tracker.reporting.window import Window
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from otel_tracker.state.shapes import Event
from otel_tracker.storage import journal as journals
from otel_tracker.storage import lock
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.price_file import price_table
from otel_tracker.storage.store import Store
from tests.builders import AGENT, end, start
from tests.faults.steps import survives
from tests.home_files import journal, on_disk
from tests.integrations.claude_code.imports import imported, new_import, unseen
from tests.integrations.claude_code.trees import Truth, double, link_projects, write_tree
from tests.shown import Run

DAY = 86_400.0
NOW = time.time()
_ALWAYS = Window(zone=UTC)


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    return write_tree(tmp_path / "claude", 21, NOW, sessions=3)


def sums(home: Home) -> UsageTable:
    """Return what a home has counted of runs, without the figures that an archive has no more."""
    store = Store(home)
    document = store.read()
    table = aggregate(
        parts_in(_ALWAYS, lambda *how: store.run_events(document, *how), document.renamed), ("agent",), _ALWAYS
    )
    return table._replace(rows=[_counted(row) for row in table.rows], total=_counted(table.total))


def _counted(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not key.startswith("duration_")}


def check(home: Home, truth: Truth) -> None:
    """Compare all that a home says with the truth: the document's counters, its journal, and the sums of its events."""
    ends = [event for event in journal(home) if event["action"] in names.OUTCOMES]
    assert {event["run_id"] for event in ends} == {run_id_of(run.session_id, run.launch) for run in truth.runs}
    assert len(ends) == len(truth.runs)
    check_sums(home, truth)


def check_sums(home: Home, truth: Truth) -> None:
    document, usage = on_disk(home), sums(home)
    counts = {"successful": "success", "failed": "failure", "cancelled": "cancelled", "lost": "lost"}
    by_agent = {row["agent"]: row for row in usage.rows}
    outcomes = truth.outcomes()
    for agent in {run.agent for run in truth.runs}:
        expected = [outcomes[agent, outcome] for outcome in counts.values()]
        assert [by_agent[agent][key] for key in counts] == expected
        metrics, lost = document["agents"][agent]["metrics"], expected[3]
        counted = [metrics[f"tasks_{key}"] for key in ("successful", "failed", "cancelled")]
        assert counted == [expected[0], expected[1] + lost, expected[2]]
    of_main = Counter(
        {
            (model, kind): use[kind]
            for model, use in document["main_conversation"]["models"].items()
            for kind in names.TOKEN_KEYS
            if use.get(kind)
        }
    )
    assert of_main == truth.tokens(truth.main())
    of_runs = truth.tokens(one for one in truth.requests if one.run is not None)
    by_kind: Counter[str] = Counter()
    for (model, kind), number in of_runs.items():
        by_kind[kind] += number
        uses = [agent["models"].get(model, {}) for agent in document["agents"].values()]
        assert sum(use.get(kind, 0) for use in uses) == number
    assert {kind: sum(row[kind] for row in usage.rows) for kind in by_kind} == by_kind
    cost = price_table(home, Files()).cost
    each = (cost(one.model, one.tokens, one.at, speed=one.speed) or 0 for one in truth.requests)
    assert usage.total["cost_usd"] == pytest.approx(sum(each) / 1e6, abs=1e-9)
    assert document["metrics"]["total_requests"] == len(truth.runs)


def runs_in(events: list[Event]) -> int:
    return sum(event["action"] in names.OUTCOMES for event in events)


def touch(*folders: Path) -> None:
    """Let all transcripts look changed, as a copy of them does."""
    for path in (path for folder in folders for path in folder.rglob("*.jsonl")):
        status = path.stat()
        os.utime(path, (status.st_atime, status.st_mtime - 1))


@pytest.mark.parametrize("seed", range(6))
def test_what_is_imported_is_the_truth(tmp_path: Path, home: Home, seed: int) -> None:
    truth = write_tree(tmp_path / "claude", seed, NOW, sessions=3)
    run, events = imported(home, *truth.roots)
    check(home, truth)
    assert runs_in(events) == len(truth.runs)
    assert (run.known, run.known_requests, run.going_on, run.unreadable) == (0, 0, 0, truth.unreadable)
    assert [finding.text for finding in examine_home(Store(home)) if finding.level == WRONG] == []


def test_the_totals_are_those_of_usage(truth: Truth, home: Home, run: Run) -> None:
    assert run("claude-code", "import", str(truth.roots[0]))[0] == 0
    read = json.loads(run("claude-code", "usage", str(truth.roots[0]), "--format", "json", "--since", "365d")[1])
    counted = json.loads(run("usage", "--format", "json")[1])
    assert [counted[key] for key in ("rows", "main_rows", "total")] == [
        read[key] for key in ("rows", "main_rows", "total")
    ]


def test_events_name_the_project_unless_a_setting_keeps_it_out(home: Home, truth: Truth, tmp_path: Path) -> None:
    projects = {run.project for run in truth.runs}
    assert {event["project"] for event in imported(home, truth.roots[0])[1]} == projects
    other = Home(str(tmp_path / "other"))
    assert main(["--home", other.folder, "config", "set", "record_project", "false"]) == 0
    events = imported(other, truth.roots[0])[1]
    assert events
    assert not any("project" in event for event in events)


@pytest.mark.parametrize("by", ["hour,project", "session", "day,model"])
def test_the_totals_are_those_of_usage_by_any_key(truth: Truth, home: Home, run: Run, by: str) -> None:
    imported(home, *truth.roots)
    options = ("--since", "365d", "--format", "json", "--by", by)
    read = json.loads(run("claude-code", "usage", str(truth.roots[0]), *options)[1])
    counted = json.loads(run("usage", *options)[1])
    assert [counted[key] for key in ("rows", "main_rows", "total")] == [
        read[key] for key in ("rows", "main_rows", "total")
    ]


def test_links_a_doubled_tree_and_another_machines_copy_count_nothing_twice(
    truth: Truth, tmp_path: Path, home: Home
) -> None:
    double(truth, tmp_path / "copy")
    link_projects(truth)
    imported(home, *truth.roots)
    check(home, truth)
    shutil.copytree(truth.roots[0] / "projects", tmp_path / "elsewhere" / "projects", ignore=_links)
    run, events = imported(home, tmp_path / "elsewhere")
    assert (events, run.known) == ([], len(truth.runs))
    check(home, truth)


def _links(folder: str, inside: list[str]) -> list[str]:
    return [name for name in inside if os.path.islink(os.path.join(folder, name))]


def test_a_copied_session_is_no_other_run_although_it_comes_alone(tmp_path: Path, home: Home) -> None:
    """A resumed session's file begins with a copy of the first one's, runs within it and launches of no agent included."""
    truth = write_tree(tmp_path / "claude", 8, NOW, sessions=1)
    imported(home, *truth.roots)
    session = truth.runs[0].session_id
    (path,) = (truth.roots[0] / "projects").glob(f"*/{session}.jsonl")
    later = tmp_path / "later" / "projects" / "-elsewhere" / "5f0c7a9e-0000-4000-8000-000000000001.jsonl"
    later.parent.mkdir(parents=True)
    later.write_bytes(path.read_bytes().replace(session.encode(), later.stem.encode()))
    os.utime(later, (NOW - 5 * DAY, NOW - 5 * DAY))
    assert imported(home, tmp_path / "later")[1] == []
    check(home, truth)


def test_a_second_import_reads_nothing_and_counts_nothing(truth: Truth, home: Home) -> None:
    imported(home, *truth.roots)
    before = on_disk(home)
    run, events = imported(home, *truth.roots)
    assert (events, run.sessions, run.known) == ([], 0, 0)
    assert run.unchanged == len(list((truth.roots[0] / "projects").iterdir()))
    touch(*truth.roots)
    run, events = imported(home, *truth.roots)
    assert (events, run.known) == ([], len(truth.runs))
    assert on_disk(home) == before


def test_what_has_come_since_is_imported(truth: Truth, tmp_path: Path, home: Home) -> None:
    imported(home, *truth.roots)
    more = write_tree(tmp_path / "claude", 22, NOW, sessions=2)
    _, events = imported(home, *truth.roots)
    assert runs_in(events) == len(more.runs)
    truth.runs += more.runs
    truth.requests += more.requests
    check(home, truth)


def test_runs_stay_known_when_the_journal_has_archived_them(
    truth: Truth, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 4000)
    monkeypatch.setattr(importing, "_BATCH", 10)
    imported(home, *truth.roots)
    expected = sums(home)
    now = NOW
    later = Store(home, clock=lambda: now)
    for now, number in ((NOW + days * DAY, number) for days in (90, 180) for number in range(days // 3)):
        later.record([{**end(f"live {now} {number}"), "timestamp": format_timestamp(now + number)}])
    for _ in range(9):
        for path in later.parts.backups.paths():
            Path(path).unlink()
        later.back_up()
    assert not any(event.get("imported") for event in journal(home))
    archived = [json.loads(line) for path in Path(home.archive).iterdir() for line in path.read_bytes().splitlines()]
    days = {line["day"] for line in archived if line.get("agent") != AGENT}
    assert days == {format_timestamp(day_of_end)[:10] for day_of_end in _ends_of(truth)}
    touch(*truth.roots)
    run, events = imported(home, *truth.roots)
    assert (events, run.known) == ([], len(truth.runs))
    live = sums(home)
    assert live.total["runs"] == expected.total["runs"] + 90
    assert [row for row in live.rows if row["agent"] != AGENT] == [
        row for row in expected.rows if row["agent"] != AGENT
    ]


def _ends_of(truth: Truth) -> set[float]:
    """Return a moment on each day on which a run ended, as an import into another home says."""
    home = Home(str(truth.roots[0].parent / "beside"))
    return {_moment(event) for event in imported(home, *truth.roots)[1]}


def _moment(event: Event) -> float:
    return parse_timestamp(event["timestamp"])


def test_no_breaker_moves_and_nothing_looks_older(truth: Truth, home: Home) -> None:
    store = Store(home)
    for number in range(3):
        store.record([start(f"r{number}", agent="coder"), end(f"r{number}", names.FAILURE, agent="coder")])
    store.record([end("now", agent="tester", after=NOW - 1_771_156_800)])
    before = on_disk(home)
    imported(home, *truth.roots)
    after = on_disk(home)
    assert after["history"] == before["history"]
    assert after["updated"] == before["updated"]
    for key in ("status", "failures", "last_failure", "blacklisted_until", "circuit"):
        assert after["agents"]["coder"][key] == before["agents"]["coder"][key]
        assert after["agents"]["Explore"][key] in ("healthy", 0, None, before["agents"]["tester"]["circuit"])
    assert after["agents"]["tester"]["metrics"]["last_task_timestamp"] == before["updated"]
    assert after["metrics"]["circuit_breaks"] == 0


def test_the_history_shows_imported_runs_behind_what_the_home_has_seen(truth: Truth, home: Home, run: Run) -> None:
    imported(home, *truth.roots)
    shown = json.loads(run("history", "--format", "json", "-n", "5")[1])
    assert len(shown) == 5
    assert all(entry["imported"] for entry in shown)


def test_a_week_of_a_year_just_imported(tmp_path: Path, home: Home, run: Run) -> None:
    truth = write_tree(tmp_path / "claude", 30, NOW, sessions=8, days=360)
    imported(home, *truth.roots)
    for since in ("7d", "100d"):
        options = ("--since", since, "--format", "json", "--by", "agent")
        of_home = json.loads(run("usage", *options)[1])
        read = json.loads(run("claude-code", "usage", str(truth.roots[0]), *options)[1])
        assert of_home["rows"] == read["rows"]
        assert of_home["total"]["runs"] == read["total"]["runs"]


@pytest.mark.parametrize("days", [None, 8])
def test_a_dry_run_tells_the_same_and_writes_nothing(truth: Truth, home: Home, days: float | None) -> None:
    since = None if days is None else NOW - days * DAY
    run, events = imported(home, *truth.roots, since=since, is_dry_run=True)
    assert not Path(home.folder).exists()
    real, recorded = imported(home, *truth.roots, since=since)
    assert [_lasting(event) for event in events] == [_lasting(event) for event in recorded]
    assert (run.sessions, run.known, run.unreadable) == (real.sessions, real.known, real.unreadable)
    before = {path: path.stat().st_mtime_ns for path in Path(home.folder).rglob("*")}
    touch(*truth.roots)
    again = imported(home, *truth.roots, since=since, is_dry_run=True)
    assert (again[1], again[0].known) == ([], runs_in(events))
    assert {path: path.stat().st_mtime_ns for path in Path(home.folder).rglob("*")} == before


def _lasting(event: Event) -> Event:
    """Return an event without its number, and the duration since a moment that the wall clock gives."""
    return {key: value for key, value in event.items() if key != "seq"}


def test_since_leaves_older_runs_to_a_later_import(truth: Truth, tmp_path: Path, home: Home) -> None:
    _, events = imported(Home(str(tmp_path / "other")), *truth.roots)
    moments = sorted(_moment(event) for event in events if event["action"] in names.OUTCOMES)
    middle = moments[len(moments) // 2]
    _, young = imported(home, *truth.roots, since=middle)
    assert runs_in(young) == sum(moment >= middle for moment in moments)
    assert min(map(_moment, young)) >= middle // 900 * 900
    assert imported(home, *truth.roots, since=middle + 1)[1] == []
    assert runs_in(imported(home, *truth.roots)[1]) == len(truth.runs) - runs_in(young)
    check(home, truth)


def test_a_session_that_may_go_on_is_left(tmp_path: Path, home: Home) -> None:
    truth = write_tree(tmp_path / "claude", 33, NOW + 6.9 * 3600, sessions=2, days=0.3)
    run, events = imported(home, *truth.roots, now=NOW)
    assert run.going_on > 0
    assert runs_in(events) < len(truth.runs)
    run, rest = imported(home, *truth.roots, now=NOW + DAY)
    assert (run.going_on, runs_in(events) + runs_in(rest)) == (0, len(truth.runs))
    check(home, truth)


def test_agents_are_registered_by_the_names_in_their_files(truth: Truth, tmp_path: Path, home: Home) -> None:
    folder = tmp_path / "user" / ".claude" / "agents" / "core"
    folder.mkdir(parents=True)
    (folder / "writes-code.md").write_text("---\nname: coder\n---\n")
    imported(home, *truth.roots)
    assert on_disk(home)["agents"]["core/writes-code.md"]["name"] == "coder"
    assert [event["action"] for event in journal(home)].count(names.AGENT_REGISTERED) == 1


def test_no_span_of_the_past_waits_to_be_exported(truth: Truth, home: Home) -> None:
    imported(home, *truth.roots)
    assert not any(key in event for event in journal(home) for key in ("unexported", "span_id", "trace_id"))


# An adopted document


@pytest.fixture
def adopted(home: Home) -> Path:
    """Return a document in which another tracker has counted six tasks, four of which its history still has."""
    entry = {"timestamp": "2026-02-15T21:30:00", "agent": "coder", "action": "task_completed", "model": "sonnet"}
    agent = {"metrics": {"tasks_total": 6, "tasks_successful": 6}}
    document = {"version": "7.0", "updated": "2026-02-15T22:00:00", "agents": {"coder": agent}, "history": [entry] * 4}
    path = Path(home.document)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(document))
    return path


def test_totals_of_an_earlier_tracker_are_not_counted_twice(truth: Truth, adopted: Path, run: Run) -> None:
    before = adopted.read_bytes()
    status, _, said = run("claude-code", "import", str(truth.roots[0]))
    assert status == 1
    assert f"{adopted} counts 6 tasks that another tracker has recorded" in said
    assert "claude-code import --since 2026-02-15T22:00:00" in said
    assert "claude-code import --since 1970-01-01" in said
    assert adopted.read_bytes() == before
    assert run("claude-code", "import", str(truth.roots[0]), "--since", "1970-01-01")[0] == 0
    assert json.loads(run("usage", "--format", "json")[1])["total"]["runs"] >= len(truth.runs)
    assert run("claude-code", "import", str(truth.roots[0]))[0] == 0  # it was decided before


def test_what_was_recorded_since_the_adoption_can_be_told_apart(
    truth: Truth, adopted: Path, home: Home, run: Run
) -> None:
    Store(home).record([end("r1", after=60.0), end("r2", after=90.0)])
    said = run("claude-code", "import", str(truth.roots[0]))[2]
    assert "counts 6 tasks" in said
    assert "--since 2026-02-15T12:01:00" in said
    assert run("claude-code", "import", str(truth.roots[0]), "--since", "2026-02-15T12:01:00Z")[0] == 0


def test_a_home_of_our_own_has_no_totals_of_others(truth: Truth, home: Home, run: Run) -> None:
    store = Store(home)
    store.record([start("r1"), end("r1")])
    store.record([start("r2", agent="gone.md"), end("r2", agent="gone.md")])
    assert run("agents", "remove", "gone.md")[0] == 0
    assert run("claude-code", "import", str(truth.roots[0]))[0] == 0


# What is shown


def test_the_summary_fits_a_terminal_and_names_what_is_left(truth: Truth, home: Home, run: Run) -> None:
    status, shown, _ = run("claude-code", "import", str(truth.roots[0]))
    assert status == 0
    assert max(map(len, shown.splitlines())) <= 80
    assert f"imported: {len(truth.runs)} runs in " in shown
    for label in ("outcomes:", "tokens:", "cost:", "of these:", "unpriced:", "see:"):
        assert f"\n{label}" in shown
    assert ("skipped:" in shown) is (truth.unreadable > 0)
    touch(*truth.roots)
    again = run("claude-code", "import", str(truth.roots[0]))[1]
    assert re.search(rf"known:    {len(truth.runs)} runs and \d+ requests of main conversations were", again)
    assert "as they were at the last import" in run("claude-code", "import", str(truth.roots[0]))[1]


def test_json_has_the_same(truth: Truth, home: Home, run: Run) -> None:
    value = json.loads(run("claude-code", "import", str(truth.roots[0]), "--dry-run", "--format", "json")[1])
    assert value["runs"] == len(truth.runs)
    assert value["is_dry_run"] is True
    assert set(value["unpriced_models"]) >= {"claude-of-nobody-1"}
    assert sum(row["runs"] for row in value["rows"]) == len(truth.runs)
    assert value["unreadable"] == truth.unreadable


def test_a_terminal_gets_a_bar_on_standard_error(truth: Truth, home: Home) -> None:
    terminal, other = pty.openpty()
    command = [sys.executable, "-m", "otel_tracker", "claude-code", "import", str(truth.roots[0])]
    done = subprocess.run(
        [*command, "--home", home.folder], stdout=subprocess.PIPE, stderr=other, check=True, cwd=_ROOT
    )
    os.close(other)
    said = os.read(terminal, 10_000)
    os.close(terminal)
    assert b"#" * 30 in said
    assert said.endswith(b" \r")
    assert b"#" not in done.stdout


def test_a_path_that_is_not_there_and_a_moment_that_is_none_are_said(home: Home, run: Run) -> None:
    assert "nowhere" in run("claude-code", "import", "/nowhere")[2]
    assert "soon" in run("claude-code", "import", "--since", "soon")[2]


_ROOT = Path(__file__).parents[3]

# Where it is offered


@pytest.fixture
def of_user(truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Truth:
    """Let the tree be the user's own."""
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(truth.roots[0]))
    monkeypatch.chdir(tmp_path)
    return truth


def _agents_of(truth: Truth) -> int:
    """Return how many agents, none of them Claude Code's own helpers, have a transcript of their own."""
    agents = {path.stem.removeprefix("agent-") for path in truth.roots[0].rglob("agent-*.jsonl")}
    return sum(not agent.startswith(places.INTERNAL) for agent in agents)


def test_install_says_how_many_runs_wait_and_takes_them_in(of_user: Truth, home: Home, run: Run) -> None:
    command = f"otel-tracker claude-code import --home {home.folder}"
    expected = f"transcripts tell of about {_agents_of(of_user)} runs of the past; record them with: {command}"
    assert f"past:     {expected}\n" in run("claude-code", "install")[1]
    assert f"{expected}\n" in run("status")[1]
    shown = run("claude-code", "install", "--import")[1]
    assert f"imported: {len(of_user.runs)} runs in " in shown
    assert "past:" not in shown
    check(home, of_user)
    assert "past:" not in run("claude-code", "install")[1]
    assert "of the past" not in run("status")[1]


def test_a_dry_run_of_install_shows_both_changes(of_user: Truth, home: Home, run: Run) -> None:
    shown = run("claude-code", "install", "--import", "--dry-run")[1]
    assert '+  "hooks": {' in shown
    assert f"imported: {len(of_user.runs)} runs in " in shown
    assert not Path(home.folder).exists()


def test_a_status_without_transcripts_tells_of_none(home: Home, run: Run) -> None:
    assert "of the past" not in run("status")[1]


def test_runs_that_are_known_do_not_wait(of_user: Truth, home: Home) -> None:
    imported(home, *of_user.roots)
    touch(*of_user.roots)
    assert waiting_runs(home, map(str, of_user.roots)) == 0


# What goes wrong


@pytest.mark.processes
@pytest.mark.thorough
def test_an_import_that_is_killed_at_any_step_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = write_tree(tmp_path / "claude", 21, NOW, sessions=1, tools=1)
    monkeypatch.setattr(importing, "_BATCH", 9)
    for step in count(1):
        home = Home(str(tmp_path / str(step)))
        is_through = survives(partial(_import_all, home, truth), step)
        imported(home, *truth.roots)
        check(home, truth)
        shutil.rmtree(home.folder)
        if is_through:
            break
    assert step > 60


def _import_all(home: Home, truth: Truth) -> None:
    imported(home, *truth.roots)


def test_a_line_that_was_not_written_whole_is_ended(truth: Truth, home: Home) -> None:
    imported(home, *truth.roots)
    path = Path(ledger.path_of(home))
    path.write_bytes(path.read_bytes()[:-20])
    for segment in Path(home.journal).iterdir():
        lines = segment.read_bytes()
        assert lines
    run, events = imported(home, *truth.roots)
    assert events == []
    assert run.known > 0
    counted = ledger.Ledger(home, Files())
    assert all(counted.knows_run(run.launch) for run in truth.runs)
    assert path.read_bytes().endswith(b"}\n")


def test_damaged_lines_of_the_ledger_are_said(
    truth: Truth, home: Home, warnings_logged: Callable[[], list[str]]
) -> None:
    imported(home, *truth.roots)
    path = Path(ledger.path_of(home))
    path.write_bytes(b'{"runs": 5}\n[]\n{"folders": {"a": 1}}\n{"runs": "AAA="}\n' + path.read_bytes())
    assert imported(home, *truth.roots)[1] == []
    assert any("4 lines of" in warning for warning in warnings_logged())


def test_two_imports_at_once_are_refused(truth: Truth, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "WAIT_SECONDS", 0.05)
    events = new_import(home).events(map(str, truth.roots), unseen)
    next(events)
    with pytest.raises(LockTimeoutError):
        imported(home, *truth.roots)
    list(events)
    check(home, truth)
