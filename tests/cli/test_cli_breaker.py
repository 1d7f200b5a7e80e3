"""`otel-tracker breaker`, `config`, and what `status`, `agent`, `health` and `history` show of permits and overrides."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_tracker import MetricTracker, Permit, TaskTracker
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.clock import Clock
from tests.shown import Run

AGENT = "core/coder.md"


@pytest.fixture(autouse=True)
def _by_the_clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands go by the test's clock."""
    monkeypatch.setattr(Store.__init__, "__defaults__", (None, clock))


@pytest.fixture
def agent(tracker: MetricTracker, clock: Clock) -> MetricTracker:
    """The tracker of a home with one agent, whose cooldown has just begun."""
    for _ in range(5):
        with TaskTracker(AGENT, tracker=tracker) as task:
            task.set_failed("broken")
    return tracker


def lines(out: str) -> dict[str, str]:
    """Return what stands behind each label."""
    rows = [line.split("  ", 1) for line in out.splitlines()[1:]]
    return {row[0]: row[1].strip() for row in rows}


def test_the_breaker_is_shown_with_the_answer_that_the_next_task_would_get(agent: MetricTracker, run: Run) -> None:
    status, out, _ = run("breaker", AGENT)
    assert status == 0
    assert out.splitlines()[0].startswith(f"{AGENT}: blacklisted until 2027-01-15 08:10:00 UTC, 5 failures in a row")
    assert lines(out) == {
        "next task": "refused: 5 failures in a row",
        "override": "-",
        "permit": "-",
        "last failure": "2027-01-15 08:00:00 UTC",
        "opens": "after 5 failures in a row",
        "next cooldown": "20m 00s",
    }


def test_open_refuses_and_auto_lifts_it(agent: MetricTracker, run: Run) -> None:
    run("reset", AGENT)
    status, out, _ = run("breaker", AGENT, "open", "--for", "2h", "--reason", "maintenance")
    assert status == 0
    assert lines(out)["next task"] == "refused: forced open: maintenance"
    assert lines(out)["override"] == "forced open until 2027-01-15 10:00:00 UTC: maintenance"
    assert run("health", AGENT)[0] == 1
    assert lines(run("breaker", AGENT, "auto")[1])["next task"] == "let through"
    assert run("health", AGENT)[0] == 0


def test_what_a_person_has_forced_open_is_called_that(agent: MetricTracker, run: Run) -> None:
    run("reset", AGENT)
    run("breaker", AGENT, "open", "--for", "2h", "--reason", "maintenance")
    said = "forced open until 2027-01-15 10:00:00 UTC: maintenance"
    assert run("health", AGENT) == (1, f"{AGENT}: {said}\n", "")
    assert f"{AGENT}  forced_open " in run("status")[1]
    assert agent.get_agent_metrics(AGENT)["status"] == "forced_open"
    assert "healthy" not in run("agent", AGENT)[1] + run("report")[1]
    for _ in range(5):
        with TaskTracker(AGENT, tracker=agent) as task:
            task.set_failed("broken")
    shown = run("health", AGENT)[1]
    assert shown.startswith(f"{AGENT}: {said}; its breaker is blacklisted until 2027-")
    assert shown.endswith(", 5 failures in a row\n")
    assert agent.get_agent(AGENT)["status"] == "blacklisted"


def test_disable_lets_every_task_through_and_the_state_goes_on_below(agent: MetricTracker, run: Run) -> None:
    assert lines(run("breaker", AGENT, "disable")[1])["next task"] == "let through"
    assert run("health", AGENT)[0] == 0
    assert agent.get_agent_metrics(AGENT)["state"] == "open"


def test_a_reset_says_that_an_order_still_stands(agent: MetricTracker, run: Run, home: Home) -> None:
    run("breaker", AGENT, "open", "--reason", "maintenance")
    lift = f"(lift that with: otel-tracker breaker {AGENT} auto --home {home.folder})"
    assert run("reset", AGENT)[1] == f"{AGENT}: healthy, 0 failures; still forced open: maintenance {lift}\n"


def test_close_resets_the_breaker_and_lifts_an_order(agent: MetricTracker, run: Run) -> None:
    run("breaker", AGENT, "open")
    out = run("breaker", AGENT, "close")[1]
    assert out.splitlines()[0] == f"{AGENT}: healthy"
    assert (lines(out)["next task"], lines(out)["override"]) == ("let through", "-")


def test_the_breaker_as_json_has_the_same_facts(agent: MetricTracker, run: Run, clock: Clock) -> None:
    clock.now += 600
    permit = agent.try_acquire(AGENT, task_id="fix-1")
    facts = json.loads(run("breaker", AGENT, "--format", "json")[1])
    assert {key: facts[key] for key in ("agent", "is_admitted", "state", "failures", "override")} == {
        "agent": AGENT,
        "is_admitted": False,
        "state": "half_open",
        "failures": 5,
        "override": None,
    }
    assert permit
    assert (facts["permit"]["task_id"], facts["permit"]["owner"]["pid"]) == ("fix-1", os.getpid())
    assert (facts["failure_threshold"], facts["next_cooldown_seconds"], facts["reopenings"]) == (5, 1200, 0)


def test_an_order_to_an_unknown_agent_is_an_error(agent: MetricTracker, run: Run) -> None:
    status, _, error = run("breaker", "core/codr.md", "open")
    assert (status, "did you mean core/coder.md?" in error) == (1, True)


@pytest.mark.parametrize("time", ["2 hours", "0", "-1h", "h", "", "1e3"])
def test_a_time_that_is_none_is_wrong_usage(agent: MetricTracker, run: Run, time: str) -> None:
    status, _, error = run("breaker", AGENT, "open", f"--for={time}")
    assert (status, "expected a time such as 2h, 30m, 90s or 45" in error) == (2, True)


def test_a_probe_and_an_order_need_attention_and_the_agent_s_page_has_both(
    agent: MetricTracker, run: Run, clock: Clock
) -> None:
    clock.now += 600
    permit = agent.try_acquire(AGENT, task_id="fix-1")
    assert isinstance(permit, Permit)
    assert run("status")[1].startswith(f" !  {AGENT}: a probe is running after 5 failures in a row\n")
    agent.override_breaker(AGENT, "disabled", reason="on trial")
    assert run("status")[1].startswith(f" i  {AGENT}: under an order: disabled: on trial\n")
    since = "2027-01-15 08:10:00 UTC"
    shown = run("agent", AGENT)[1]
    assert f"half_open (a probe is running: task fix-1, process {os.getpid()}, since {since})" in shown
    assert "5 failures in a row; disabled: on trial" in shown


def test_the_history_says_why_a_task_was_refused_and_what_was_ordered(agent: MetricTracker, run: Run) -> None:
    agent.try_acquire(AGENT)
    agent.override_breaker(AGENT, "forced_open", reason="maintenance")
    agent.override_breaker(AGENT, None)
    lifted, ordered, refused = run("history", "-n", "3")[1].splitlines()[1:]
    assert refused.endswith("5 failures in a row")
    assert ordered.endswith("forced open: maintenance")
    assert lifted.endswith("lifted")


def test_all_settings_are_listed_with_where_they_come_from(agent: MetricTracker, run: Run) -> None:
    rows = [line.split() for line in run("config")[1].splitlines()]
    assert rows[0] == ["Setting", "Value", "From", "Default"]
    assert ["failure_threshold", "5", "document", "5"] in rows
    assert ["cooldown_max_minutes", "360", "default", "360"] in rows
    assert all(row[0] != "fallbacks" for row in rows)


def test_a_setting_is_set_after_a_backup_and_in_force_at_once(agent: MetricTracker, run: Run, home: Home) -> None:
    assert run("config", "set", "failure_threshold", "2")[:2] == (0, "2\n")
    oldest = Path(home.backups, min(os.listdir(home.backups)))
    assert json.loads(oldest.read_bytes())["config"]["failure_threshold"] == 5
    assert run("config", "get", "failure_threshold")[1] == run("config", "failure_threshold")[1] == "2\n"
    document = json.loads(agent.config_file.read_bytes())
    assert document["config"]["failure_threshold"] == 2
    for _ in range(2):
        with TaskTracker("other.md", tracker=agent) as task:
            task.set_failed()
    assert not agent.check_agent_health("other.md")
    assert run("config", "unset", "failure_threshold")[1] == "5\n"


def test_one_failure_is_one_wherever_it_is_said(
    agent: MetricTracker, run: Run, warnings_logged: Callable[[], list[str]]
) -> None:
    run("config", "set", "failure_threshold", "1")
    with TaskTracker("one.md", tracker=agent) as task:
        task.set_failed()
    texts = [
        warnings_logged()[-1],
        run("breaker", "one.md")[1],
        run("health", "one.md")[1],
    ]
    assert all("1 failure in a row" in text and "1 failures" not in text for text in texts)


def test_a_fallback_that_is_no_known_agent_is_said_and_set(
    agent: MetricTracker, run: Run, warnings_logged: Callable[[], list[str]]
) -> None:
    agent.register_agent("Debugger", "core/debugger.md")
    shown = run("config", "set", "fallbacks", "debugger, debuger", "--agent", AGENT)[1]
    assert shown == '["core/debugger.md", "debuger"]\n'
    (warning,) = warnings_logged()
    assert warning.startswith("the fallback debuger is not a known agent; list those with: otel-tracker status")


def test_an_agents_own_setting_is_set_and_unset(agent: MetricTracker, run: Run) -> None:
    assert run("config", "set", "fallbacks", "a.md, b.md", "--agent", AGENT)[1] == '["a.md", "b.md"]\n'
    assert run("config", "set", "fallbacks", '["c.md"]', "--agent", AGENT)[1] == '["c.md"]\n'
    run("config", "set", "cooldown_minutes", "0.5", "--agent", AGENT)
    own = json.loads(agent.config_file.read_bytes())["agents"][AGENT]["config"]
    assert own == {"fallbacks": ["c.md"], "cooldown_minutes": 0.5}
    rows = [line.split() for line in run("config", "--agent", AGENT)[1].splitlines()]
    assert ["cooldown_minutes", "0.5", "agent", "10"] in rows
    run("config", "unset", "fallbacks", "--agent", AGENT)
    assert run("config", "unset", "cooldown_minutes", "--agent", AGENT)[1] == "10\n"
    assert "config" not in json.loads(agent.config_file.read_bytes())["agents"][AGENT]


def test_what_a_hand_has_changed_stays_when_a_setting_is_set(agent: MetricTracker, run: Run) -> None:
    document = json.loads(agent.config_file.read_bytes())
    document["config"] |= {"retry_attempts": 7, "colour": "blue"}
    agent.config_file.write_text(json.dumps(document))
    run("config", "set", "failure_threshold", "2")
    config = json.loads(agent.config_file.read_bytes())["config"]
    assert (config["retry_attempts"], config["colour"], config["failure_threshold"]) == (7, "blue", 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("set", "failure_threshold", "0"), "expected a whole number from 1 to 1,000,000"),
        (("set", "failure_threshold", "many"), "expected a whole number"),
        (("set", "count_lost", "yes"), "expected true or false"),
        (("set", "environment_errors", "a,,b"), "expected a list of texts"),
        (("set", "colour", "blue"), "expected one of failure_threshold"),
        (("set", "fallbacks", "a.md"), "--agent"),
        (("set", "history_max_entries", "5", "--agent", AGENT), "expected one of failure_threshold"),
        (("set", "failure_threshold"), "expected a key and a value"),
        (("set", "failure_threshold", "1", "2"), "expected a key and a value"),
        (("unset",), "expected one key"),
        (("get", "failure_threshold", "2"), "expected one key"),
        (("--agent", "nobody.md"), "unknown agent"),
        (("set", "failure_threshold", "2", "--agent", "nobody.md"), "unknown agent"),
    ],
)
def test_a_wrong_setting_is_an_error_and_nothing_changes(
    agent: MetricTracker, run: Run, arguments: tuple[str, ...], message: str
) -> None:
    before = agent.config_file.read_bytes()
    status, _, error = run("config", *arguments)
    assert (status, message in error) == (1, True), error
    assert agent.config_file.read_bytes() == before


def test_wrong_settings_of_an_agent_are_named_by_the_doctor_and_the_documents_hold(
    agent: MetricTracker, run: Run
) -> None:
    document = json.loads(agent.config_file.read_bytes())
    document["agents"][AGENT]["config"] = {"failure_threshold": "three", "fallbacks": "a.md"}
    agent.config_file.write_text(json.dumps(document))
    out = run("doctor")[1]
    assert f"$.agents['{AGENT}'].config.failure_threshold: expected a whole number" in out
    assert f"$.agents['{AGENT}'].config.fallbacks: expected a list of texts" in out
    rows = [line.split() for line in run("config", "--agent", AGENT)[1].splitlines()]
    assert ["failure_threshold", "5", "document", "5"] in rows


def test_what_is_mistyped_is_said(agent: MetricTracker, run: Run) -> None:
    assert "cannot use 'sett' as an action of config: expected get, set or unset" in run("config", "sett", "a", "1")[2]
    assert "expected open or disable" in run("breaker", AGENT, "--for", "2h")[2]
    assert "expected a whole number from 0, got 'x'" in run("exec", AGENT, "--retries", "x", "--", "true")[2]
    assert "expected a port from 0 to 65535, got '99999'" in run("serve", "--port", "99999")[2]
    status, _, error = run("exec", AGENT, "true")
    assert (status, "there is no command: expected one behind --" in error) == (2, True)
    assert run("config", "get")[1] == run("config")[1]


def test_health_says_why_an_agent_is_refused(agent: MetricTracker, run: Run) -> None:
    agent.reset_agent_failures(AGENT)
    agent.override_breaker(AGENT, "forced_open", reason="maintenance")
    facts = json.loads(run("health", AGENT, "--format", "json")[1])
    assert (facts["is_admitted"], facts["reason"]) == (False, "forced open: maintenance")
    assert facts["override"]["kind"] == "forced_open"


@pytest.mark.parametrize(
    "arguments",
    [
        ("config", "set", "--agent", AGENT, "failure_threshold", "3"),
        ("config", "set", "failure_threshold", "--agent", AGENT, "3"),
        ("config", "--agent", AGENT, "set", "failure_threshold", "3"),
        ("breaker", AGENT, "--for", "2h", "open"),
        ("breaker", "--for", "2h", AGENT, "open", "--reason", "open"),
    ],
)
def test_options_may_stand_between_the_words_of_a_command(
    arguments: tuple[str, ...], run: Run, agent: MetricTracker
) -> None:
    status, shown, said = run(*arguments)
    assert (status, said) == (0, "")
    assert shown.startswith(("3\n", f"{AGENT}: forced open"))


def test_words_that_no_command_takes_are_wrong_usage(run: Run, agent: MetricTracker) -> None:
    assert run("status", "--format", "json", "more")[0] == 2
    assert run("breaker", AGENT, "--for", "2h", "opn")[0] == 2
