import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import MetricTracker, TaskTracker, names
from otel_tracker.cli import main
from otel_tracker.cli.demo_past import FLAPPING, past
from otel_tracker.runtime.printable import columns
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.builders import end, folded, usage
from tests.shown import Run


@pytest.fixture
def fleet(tracker: MetricTracker) -> MetricTracker:
    """A coder that works, a database expert that is blacklisted."""
    tracker.register_agent("Coder", "core/coder.md")
    with TaskTracker("core/coder.md", task_id="t1", tracker=tracker) as task:
        task.set_tokens_used(1500)
    for _ in range(5):
        with TaskTracker("experts/db.md", model="opus", tracker=tracker) as task:
            task.set_failed("locked\nby\x1b[31m somebody")
    return tracker


def parsed(output: str) -> Any:
    return json.loads(output)


def test_the_report_shows_blacklisted_agents_first(fleet: MetricTracker, run: Run) -> None:
    status, out, _ = run("report")
    assert status == 0
    headings = [line for line in out.splitlines() if line.startswith("## ")]
    assert headings == ["## Needs attention", "## Blacklisted", "## System", "## Tokens by model", "## Agents"]
    assert "experts/db.md" in out.partition("## System")[0]


def test_the_json_report_has_the_documented_keys_and_numbers(fleet: MetricTracker, run: Run) -> None:
    report = parsed(run("report", "--format", "json")[1])
    of_all = ["system", "tokens", "main_conversation", "total"]
    assert list(report) == ["generated_at", "version", "attention", *of_all, "leaderboard", "agents"]
    assert report["system"]["total_requests"] == 6
    assert report["system"]["success_rate"] == pytest.approx(1 / 6)
    types = {"input": 0, "output": 0, "cache_read": 0, "cache_write": 0, "untyped": 1500, "usage_incomplete": 0}
    costs = {"cost_usd": None, "unpriced_tokens": 1500, "unpriced_models": ["sonnet"]}
    assert report["tokens"]["sonnet"] == {"total": 1500, "count": 1, "measured": 1, "avg": 1500.0, **types, **costs}
    assert report["agents"]["experts/db.md"]["state"] == "open"
    assert report["leaderboard"][0]["agent_file"] == "experts/db.md"


def test_a_report_is_written_to_a_file(fleet: MetricTracker, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "out.md"
    assert run("report", "-o", str(path)) == (0, f"wrote {path}\n", "")
    assert path.read_text().startswith("# Agent Metrics Report")


def test_health_says_with_its_status_whether_a_task_would_be_let_through(fleet: MetricTracker, run: Run) -> None:
    assert run("health", "core/coder.md") == (0, "core/coder.md: healthy\n", "")
    status, out, _ = run("health", "experts/db.md")
    assert status == 1
    assert out.startswith("experts/db.md: blacklisted until ")
    assert out.endswith("UTC, 5 failures in a row\n")
    assert run("health", "nobody.md") == (0, "nobody.md: healthy (unknown agent)\n", "")
    assert run("health")[0] == 2
    facts = parsed(run("health", "experts/db.md", "--format", "json")[1])
    assert (facts["is_admitted"], facts["is_known"], facts["state"], facts["failures"]) == (False, True, "open", 5)


def test_health_means_the_same_however_its_arguments_are_written(fleet: MetricTracker, home: Home, run: Run) -> None:
    plain = run("health", "experts/db.md", "--format", "json")
    assert run("health", "--format=json", "experts/db.md") == plain
    for wrong in (("a.md", "b.md"), ("a.md", "--format", "pdf"), ("a.md", "--nonsense"), ("--format", "json")):
        assert run("health", *wrong)[0] == 2


def test_health_sees_what_is_only_in_the_journal(fleet: MetricTracker, home: Home, run: Run) -> None:
    text = Path(home.document).read_bytes()
    for _ in range(5):
        with TaskTracker("core/coder.md", tracker=fleet) as task:
            task.set_failed()
    assert run("health", "core/coder.md")[0] == 1
    Path(home.document).write_bytes(text)
    fleet.record_task_start("core/coder.md")
    assert run("health", "core/coder.md")[0] == 1


def test_health_reads_a_document_in_any_layout(fleet: MetricTracker, home: Home, run: Run) -> None:
    value = json.loads(Path(home.document).read_bytes())
    Path(home.document).write_text(json.dumps(value))
    assert run("health", "experts/db.md")[0] == 1
    assert run("health", "core/coder.md")[0] == 0


def test_health_exits_with_3_when_it_cannot_tell(home: Home, run: Run) -> None:
    Path(home.document).parent.mkdir(parents=True)
    Path(home.document).write_text('{"agents": []}')
    status, out, err = run("health", "a.md")
    assert (status, out, err.count("\n")) == (3, "", 1)
    assert "$.agents: expected an object" in err


def test_reset_lets_an_agent_work_again(fleet: MetricTracker, run: Run) -> None:
    assert run("reset", "experts/db.md") == (0, "experts/db.md: healthy, 0 failures\n", "")
    assert run("health", "experts/db.md")[0] == 0
    assert len(parsed(run("backups", "list", "--format", "json")[1])) >= 1


def test_an_unknown_agent_is_one_line_and_status_1(fleet: MetricTracker, run: Run) -> None:
    for command in ("agent", "reset"):
        status, out, err = run(command, "core/code.md")
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert "did you mean core/coder.md?" in err


def test_an_unknown_metric_is_one_line_and_status_1(fleet: MetricTracker, run: Run) -> None:
    status, out, err = run("leaderboard", "-m", "beauty")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "tasks_total" in err


def test_a_home_that_cannot_be_made_is_one_line_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["init", "--home", str(tmp_path / "file" / "agents")]) == 1
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert "Not a directory" in printed.err


def test_wrong_usage_exits_with_2(run: Run) -> None:
    for arguments in (("nonsense",), ("agents",), ("history", "-n", "-3"), ("report", "--format", "pdf")):
        assert run(*arguments)[0] == 2


def test_the_leaderboard_ranks_by_the_metric(fleet: MetricTracker, run: Run) -> None:
    rows = parsed(run("leaderboard", "-m", "tokens_total", "-n", "1", "--format", "json")[1])
    assert [(row["agent_file"], row["agent_name"], row["tokens_total"]) for row in rows] == [
        ("core/coder.md", "Coder", 1500)
    ]
    assert "core/coder.md" in run("leaderboard", "-m", "tokens_total")[1].splitlines()[1]


def test_one_agent_shows_breaker_tasks_and_tokens(fleet: MetricTracker, run: Run) -> None:
    out = run("agent", "core/coder.md")[1]
    assert "core/coder.md (Coder)\nbreaker: healthy\ntasks: 1, 1 successful (100.0%)" in out
    state = parsed(run("agent", "core/coder.md", "--format", "json")[1])
    assert state["token_usage"]["sonnet"]["untyped"] == 1500


def test_tokens_are_shown_by_model(fleet: MetricTracker, run: Run) -> None:
    lines = run("tokens")[1].splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["Model", "haiku", "sonnet", "opus"]
    assert lines[4:] == ["", "Without a price: sonnet (1,500 tokens)."]
    assert parsed(run("tokens", "--format", "json")[1])["opus"]["count"] == 5


def test_estimates_are_marked_in_the_history(home: Home, run: Run) -> None:
    Store(home).record([end("r1", tokens={"untyped": 1500}, estimated=True)])
    assert "~ 1,500" in run("history")[1]


def test_tokens_that_were_not_measured_are_a_dash_wherever_they_are_shown(home: Home, run: Run) -> None:
    Store(home).record(
        [end("r1", agent="a.md"), end("r2", agent="b.md", tokens={"untyped": 0}), end("r3", agent="b.md")]
    )
    assert run("tokens")[1].splitlines()[1].split() == ["haiku", "-", "-", "0", "0", "-"]
    assert run("tokens")[1].splitlines()[2].split() == ["sonnet", "0", "-", "3", "1", "0"]
    dashes = ["-"] * 6
    (sonnet,) = [line.split() for line in run("agent", "a.md")[1].splitlines() if line.startswith("sonnet")]
    assert sonnet == ["sonnet", "-", "-", "-", "1", "0", *dashes]
    (sonnet,) = [line.split() for line in run("agent", "b.md")[1].splitlines() if line.startswith("sonnet")]
    assert sonnet == ["sonnet", "0", "-", "0", "2", "1", *["0"] * 5, "-"]
    ranked = {line.split()[1]: line.split()[3] for line in run("leaderboard", "-m", "tokens_total")[1].splitlines()[1:]}
    assert ranked == {"a.md": "-", "b.md": "0"}


def test_what_agents_cost_is_shown_by_every_command_that_shows_tokens(home: Home, run: Run) -> None:
    priced = {"output": 1000, "priced": 1000, "cost_micro_usd": 1_500_000}
    of_model: dict[str, Any] = {"model": None, "models": {"claude-opus-5": priced}}
    unpriced: dict[str, Any] = {"model": None, "tokens": {"output": 5}, "models": {"claude-next-9": {"output": 5}}}
    Store(home).record([end("r1", agent="a.md", tokens=priced, **of_model), end("r2", agent="b.md", **unpriced)])
    for command in ("report", "agent a.md", "tokens", "leaderboard -m cost_usd", "history"):
        out = run(*command.split())[1]
        assert "$1.50" in out, command
        assert ("unpriced" in out) == (not command.startswith("agent")), command
    assert "Without a price: claude-next-9 (5 tokens)." in run("agent", "b.md")[1]
    assert "Costs are estimated by list prices." in run("leaderboard", "-m", "cost_usd")[1]
    ranked = parsed(run("leaderboard", "-m", "cost_usd", "--format", "json")[1])
    assert [(row["agent_file"], row["cost_usd"], row["unpriced_models"]) for row in ranked] == [
        ("a.md", 1.5, []),
        ("b.md", None, ["claude-next-9"]),
    ]


def test_tokens_of_a_run_without_its_final_usage_are_at_least_so_many_wherever_they_are_shown(
    home: Home, run: Run
) -> None:
    incomplete = end("r1", agent="a.md", tokens={"output": 10500}, usage_incomplete=True)
    Store(home).record([incomplete, end("r2", agent="b.md", model="opus")])
    assert run("tokens")[1].splitlines()[2].split() == ["sonnet", "≥", "10,500", "unpriced", "1", "1", "≥", "10,500"]
    assert run("tokens")[1].endswith(" ≥ is at least: the final token usage of 1 run is missing.\n")
    for command in ("agent a.md", "leaderboard -m tokens_total", "history --agent a.md"):
        assert "≥ 10,500" in run(*command.split())[1], command
    for command in ("agent b.md", "leaderboard", "history --agent b.md", "status"):
        assert "≥" not in run(*command.split())[1], command
    assert parsed(run("tokens", "--format", "json")[1])["sonnet"]["usage_incomplete"] == 1
    assert parsed(run("agent", "a.md", "--format", "json")[1])["usage_incomplete"] == 1


@pytest.mark.parametrize(
    ("since", "number"),
    [("7d", 7), ("1.5h", 7), ("30m", 7), ("0s", 0), ("2020-01-01", 7), ("2020-01-01T00:00:00Z", 7), ("2999-01-01", 0)],
)
def test_history_goes_back_to_a_moment(fleet: MetricTracker, run: Run, since: str, number: int) -> None:
    assert len(parsed(run("history", "--since", since, "--format", "json")[1])) == number


@pytest.mark.parametrize("since", ["tomorrow", "d", "-1d", "5"])
def test_a_moment_that_makes_no_sense_is_wrong_usage(fleet: MetricTracker, run: Run, since: str) -> None:
    status, _, said = run("history", f"--since={since}")
    assert (status, "expected 7d, 12h" in said) == (2, True)


def test_history_is_printed_newest_first_and_cannot_move_the_cursor(fleet: MetricTracker, run: Run) -> None:
    out = run("history", "-n", "2")[1]
    assert len(out.splitlines()) == 3
    assert "\x1b" not in out
    entries = parsed(run("history", "--agent", "core/coder.md", "--format", "json")[1])
    assert [entry["action"] for entry in entries] == ["task_completed", "agent_registered"]


def test_status_shows_all_agents_and_what_runs(fleet: MetricTracker, run: Run) -> None:
    fleet.record_task_start("core/coder.md", task_id="t2")
    out = run("status")[1]
    trouble, running, agents = (part.splitlines() for part in out.split("\n\n"))
    assert trouble[0].startswith(" ✕  experts/db.md: blacklisted for ")
    assert running[1].split()[:3] == ["core/coder.md", "t2", "sonnet"]
    assert agents[0].split() == ["Agent", "Breaker", "Now", "Tasks", "Success", "Cost", "Last"]
    assert [row.split()[0] for row in agents[1:]] == [
        "experts/db.md",
        "core/coder.md",
        "Total",
    ]  # the refused one first
    shown = parsed(run("status", "--format", "json")[1])
    assert [agent["agent_file"] for agent in shown["agents"]] == ["experts/db.md", "core/coder.md"]
    of_attention = [(item["severity"], item["agent"]) for item in shown["attention"]]
    assert of_attention == [("critical", "experts/db.md"), ("info", None)]  # the other: tokens of no model with a price
    (task,) = shown["running"]
    assert (task["task_id"], task["is_overdue"]) == ("t2", False)


@pytest.mark.processes
def test_a_terminal_shows_refused_agents_in_red(fleet: MetricTracker, home: Home) -> None:
    command = [sys.executable, "-m", "otel_tracker", "status", "--home", home.folder]
    for quiet, beginning in (("1", "experts/db.md"), ("", "\x1b[31mexperts/db.md")):
        near, far = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "NO_COLOR": quiet}
        subprocess.run(command, env=environment, stdout=far, check=True)
        rows = os.read(near, 10_000).decode().splitlines()
        os.close(near)
        os.close(far)
        agents = rows[rows.index("") + 2 :]
        assert agents[0].startswith(beginning)
        assert agents[1].startswith("core/coder.md")


def test_status_leaves_out_agents_without_a_task_unless_all_are_asked_for(fleet: MetricTracker, run: Run) -> None:
    fleet.register_agent("Idle", "idle.md")
    folded, whole = run("status")[1], run("status", "--all")[1]
    assert "1 agent has not run a task yet (--all shows them)" in folded
    assert [("idle.md" in shown, "--all" in shown) for shown in (folded, whole)] == [(False, True), (True, False)]


@pytest.mark.parametrize("width", [80, 200])
def test_status_fits_the_terminal(
    tracker: MetricTracker, run: Run, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for number in range(42):
        agent = f"{number}/{'日本' if number % 2 else 'long-'}{'name-' * 12}{number:x}.md"
        with TaskTracker(agent, task_id="task-" * 9, model="claude-" * 3, tracker=tracker) as task:
            task.set_failed("locked " * 20)
    tracker.record_task_start("experts/" + "running-" * 12, task_id="t")
    lines = run("status")[1].splitlines()
    assert max(map(columns, lines)) <= width
    assert len([line for line in lines if "healthy" in line]) == 43


def test_status_and_tokens_show_what_main_conversations_have_used(home: Home, run: Run) -> None:
    store = Store(home)
    store.record([usage()])
    whole, part = "Total  0 tasks, - successful, 0 running, {} by list prices", "       {} in the main conversation"
    assert run("status")[1].splitlines()[-2:] == [whole.format("$0.00012"), part.format("$0.00012 of it (100.0%)")]
    priced = {"output": 10, "cost_micro_usd": 360, "priced": 10}
    store.record([end("r1", tokens=priced, models={"claude-opus-5-5": priced}, model="opus")])
    status = run("status")[1].splitlines()
    assert status[-2:] == [
        "Total  1 task, 100.0% successful, 0 running, $0.00048 by list prices",
        part.format("$0.00012 of it (25.0%)"),
    ]
    shown = parsed(run("status", "--format", "json")[1])
    assert (shown["total"]["tokens"], shown["main_conversation"]["total"]) == (25, 15)
    assert run("tokens")[1].splitlines()[4].split() == ["main", "conversation", "15", "$0.00012", "-", "-", "-"]
    tokens = parsed(run("tokens", "--format", "json")[1])
    assert (tokens["opus"]["total"], tokens["main conversation"]["total"]) == (10, 15)


def test_nothing_wrong_is_one_quiet_line(tracker: MetricTracker, run: Run) -> None:
    tracker.register_agent("A", "a.md")
    assert run("status")[1].startswith("Nothing needs attention.\n\n")


def test_status_says_which_running_task_is_overdue(tracker: MetricTracker, run: Run) -> None:
    tracker.register_agent("A", "a.md")
    text = tracker.config_file.read_text()
    tracker.config_file.write_text(text.replace('"timeout_seconds": 180', '"timeout_seconds": 0'))
    tracker.record_task_start("a.md")
    shown = run("status")[1]
    assert re.search(r"^a\.md +- +sonnet .* more than 0\.00s$", shown, re.MULTILINE)


def test_status_watches_until_it_is_interrupted(
    fleet: MetricTracker, home: Home, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    rounds = []

    def stop_after_two(seconds: float) -> None:
        rounds.append(seconds)
        if len(rounds) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", stop_after_two)
    status, out, _ = run("status", "--watch")
    assert (status, rounds) == (130, [2.0, 2.0])
    assert out.count("blacklisted for") == 2
    assert "\x1b" not in out  # no terminal


def test_backups_are_made_and_listed(fleet: MetricTracker, run: Run) -> None:
    status, out, _ = run("backups", "create")
    assert (status, Path(out.strip()).exists()) == (0, True)
    assert os.path.basename(out.strip()) in run("backups", "list")[1]


def test_there_is_nothing_to_back_up_before_init(run: Run) -> None:
    status, out, _ = run("backups", "create")
    assert (status, "nothing to back up" in out) == (1, True)


def test_a_home_that_does_not_exist_has_an_empty_report_and_is_not_made(home: Home, run: Run) -> None:
    assert run("report")[0] == 0
    assert "otel-tracker init" in run("status")[1]
    assert not Path(home.folder).exists()


AGENT = "---\nname: {name}\ndescription: does things\n---\nYou are an agent.\n"


def test_init_makes_the_home_and_registers_the_agents_with_a_name(home: Home, run: Run) -> None:
    files = {
        "core/coder.md": AGENT.format(name="coder"),
        "experts/L2/quoted.md": AGENT.format(name="'Quoted: expert'  "),
        "top.md": AGENT.format(name="top # not part of it"),
        "README.md": "# no front matter\nname: nobody\n",
        "core/nameless.md": "---\ndescription: x\n---\nname: nobody\n",
        "core/notes.txt": AGENT.format(name="no-markdown"),
        "config/inside.md": AGENT.format(name="not-an-agent"),
        "backups/inside.md": AGENT.format(name="not-an-agent"),
    }
    for name, text in files.items():
        path = Path(home.folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    status, out, _ = run("init")
    assert (status, "3 registered, 3 of them now" in out) == (0, True)
    document = json.loads(Path(home.document).read_bytes())
    assert {key: agent["name"] for key, agent in document["agents"].items()} == {
        "core/coder.md": "coder", "experts/L2/quoted.md": "Quoted: expert", "top.md": "top",
    }  # fmt: skip
    assert document["config"]["failure_threshold"] == 5
    assert document["updated"]


def test_init_is_safe_to_repeat(home: Home, run: Run) -> None:
    run("init")
    with TaskTracker("core/coder.md", tracker=MetricTracker(home.document)):
        pass
    text = Path(home.document).read_text().replace('"cooldown_minutes": 10', '"cooldown_minutes": 33')
    Path(home.document).write_text(text)
    status, out, _ = run("init")
    assert (status, "1 registered, 0 of them now" in out) == (0, True)
    assert Path(home.document).read_text() == text


def test_init_keeps_a_module_that_another_program_has_made(home: Home, run: Run) -> None:
    module = Path(home.scripts, "metric_tracker.py")
    module.parent.mkdir(parents=True)
    module.write_text("# my own tracker\n")
    assert "metric_tracker.py.before-otel-tracker.1" in run("init")[1]
    assert Path(f"{module}.before-otel-tracker.1").read_text() == "# my own tracker\n"
    assert "before-otel-tracker" not in run("init")[1]


def test_the_demo_never_touches_a_home_that_is_in_use(fleet: MetricTracker, home: Home, run: Run) -> None:
    before = Path(home.document).read_bytes()
    status, _, err = run("demo", "--into", home.folder)
    assert (status, err.count("\n"), Path(home.document).read_bytes()) == (1, 1, before)


def test_a_blank_home_or_agent_is_refused(run: Run) -> None:
    assert main(["status", "--home", ""]) == 1
    assert main(["health", "", "--home", ""]) == 3
    assert run("health", " ")[0] == 3


def test_health_of_an_unknown_agent_names_one_that_may_be_meant(fleet: MetricTracker, run: Run) -> None:
    assert run("health", "experts/coder.md")[1].endswith("(unknown agent; did you mean core/coder.md?)\n")


def test_health_cannot_tell_wherever_the_home_is_named(home: Home) -> None:
    Path(home.document).parent.mkdir(parents=True)
    Path(home.document).write_text('{"agents": []}')
    assert main(["--home", home.folder, "health", "a.md"]) == main(["health", "a.md", "--home", home.folder]) == 3


@pytest.mark.processes
def test_an_output_that_cannot_be_written_is_one_line(fleet: MetricTracker, home: Home) -> None:
    command = f"{sys.executable} -m otel_tracker status --home {home.folder} > /dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_the_demo_shows_a_fleet_with_a_past_and_leaves_the_users_home_alone(
    run: Run, home: Home, tmp_path: Path
) -> None:
    status, out, _ = run("demo", "--into", str(tmp_path / "demo"))
    assert status == 0
    document = json.loads((tmp_path / "demo" / "config" / "circuit-breaker.json").read_bytes())
    assert str(tmp_path / "demo" / "config" / "circuit-breaker.json") in out
    assert document["agents"]["experts/database_expert.md"]["status"] == "blacklisted"
    for trouble in (
        "experts/database_expert.md: blacklisted for ",
        "core/documenter.md: $",
        "research/archivist.md: failed 1",
    ):
        assert f"  {trouble}" in out
    assert out.count(" i  ") == 0
    assert not Path(home.folder).exists()
    assert main(["usage", "--by", "day", "--since", "13d", "--home", str(tmp_path / "demo"), "--format", "csv"]) == 0


@pytest.mark.parametrize("hour", [0.01, 3, 12, 23.9])
def test_the_demo_s_past_is_the_same_each_time_and_before_the_present(hour: float) -> None:
    now = parse_timestamp("2026-12-02T00:00:00Z") + hour * 3600
    events, again = (past(now, lambda *_, **__: 5) for _ in range(2))
    assert events == [{**event, "id": first["id"]} for event, first in zip(again, events, strict=True)]
    moments = [parse_timestamp(event["timestamp"]) for event in events]
    assert moments == sorted(moments)
    assert now - 15 * 86_400 <= moments[0] < moments[-1] <= now
    assert {event["action"] for event in events} == {*names.OUTCOMES, names.USAGE_RECORDED} - {
        names.ACTIONS[names.LOST]
    }
    assert folded(*events).agents[FLAPPING]["status"] == "healthy"


def test_the_demo_takes_a_home_that_is_named(tmp_path: Path) -> None:
    assert main(["demo", "--home", str(tmp_path / "there")]) == 0
    assert (tmp_path / "there" / "config" / "circuit-breaker.json").exists()


@pytest.mark.processes
def test_the_module_and_the_console_script_are_the_same_command(fleet: MetricTracker, home: Home) -> None:
    environment = {**os.environ, "OTEL_TRACKER_HOME": home.folder}
    script = Path(sys.executable).with_name("otel-tracker")
    for command in ([sys.executable, "-m", "otel_tracker"], [str(script)]):
        done = subprocess.run(
            [*command, "health", "experts/db.md"], env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout[:26], done.stderr) == (1, "experts/db.md: blacklisted", "")


@pytest.mark.processes
def test_a_reader_that_has_seen_enough_is_no_error(fleet: MetricTracker, home: Home) -> None:
    command = f"{sys.executable} -m otel_tracker history -n 1000 --home {home.folder} --format json | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[\n", "")
