import inspect
import json
import re
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import (
    InvalidValueError,
    MetricTracker,
    OtelTrackerError,
    StorageError,
    TaskTracker,
    UnknownAgentError,
    UnknownMetricError,
    estimate_tokens,
)
from otel_tracker.storage.home import Home
from tests.stores import store_of

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")

SIGNATURES = {
    "register_agent": "agent_name, agent_file",
    "record_task_start": "agent_file, task_id=None, model='sonnet'",
    "record_task_complete": "agent_file, start_timestamp, tokens_used=0, model='sonnet', task_id=None",
    "record_task_failure": "agent_file, start_timestamp, error_message=None, model='sonnet', task_id=None",
    "record_task_cancelled": "agent_file, start_timestamp, reason=None, task_id=None",
    "get_agent_metrics": "agent_file",
    "get_system_metrics": "",
    "get_leaderboard": "metric='tasks_total', top_n=10",
    "get_token_summary": "",
    "get_history": "agent_file=None, limit=100",
    "generate_report": "output_file=None",
    "save": "backup=True",
}


@pytest.mark.parametrize(("method", "expected"), SIGNATURES.items())
def test_signatures_are_those_of_the_specification(method: str, expected: str) -> None:
    """Only arguments that must be named may come on top."""
    parameters = list(inspect.signature(getattr(MetricTracker, method)).parameters.values())[1:]
    positional = [one for one in parameters if one.kind is not inspect.Parameter.KEYWORD_ONLY]
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in positional]
    assert ", ".join(map(str, bare)) == expected


def test_a_completed_task_is_counted_with_duration_and_tokens(tracker: MetricTracker) -> None:
    start = tracker.record_task_start("core/coder.md", task_id="task-123", model="sonnet")
    assert TIMESTAMP.fullmatch(start)
    assert tracker.get_agent_metrics("core/coder.md")["in_flight"] == 1
    duration = tracker.record_task_complete(
        "core/coder.md", start, tokens_used=1500, model="sonnet", task_id="task-123"
    )
    state = tracker.get_agent_metrics("core/coder.md")
    assert isinstance(duration, float)
    assert state["metrics"]["tasks_total"] == state["metrics"]["tasks_successful"] == 1
    assert state["metrics"]["avg_duration_seconds"] == pytest.approx(duration, abs=1e-6)
    assert state["token_usage"]["sonnet"] == {
        "total": 1500,
        "last": 1500,
        "count": 1,
        "measured": 1,
        "input": 0,
        "output": 0,
        "cache_read": 0,
        "cache_write": 0,
        "untyped": 1500,
    }
    assert state["in_flight"] == 0
    (entry,) = tracker.get_history()
    assert {key: entry[key] for key in ("agent", "action", "model", "task_id", "tokens_used")} == {
        "agent": "core/coder.md", "action": "task_completed", "model": "sonnet", "task_id": "task-123", "tokens_used": 1500,
    }  # fmt: skip


def test_failures_and_cancellations_keep_their_reason(tracker: MetricTracker) -> None:
    tracker.record_task_failure("a.md", tracker.record_task_start("a.md"), error_message="SyntaxError " + "x" * 600)
    tracker.record_task_cancelled("a.md", tracker.record_task_start("a.md", model="opus"), reason="User cancelled")
    failed, cancelled = tracker.get_history()
    assert (failed["action"], len(failed["error"])) == ("task_failed", 500)
    assert (cancelled["action"], cancelled["reason"]) == ("task_cancelled", "User cancelled")
    assert cancelled["model"] == "opus"
    system = tracker.get_system_metrics()
    assert (system["failed"], system["cancelled"], system["successful"]) == (1, 1, 0)


def test_tokens_left_at_their_default_are_unmeasured(tracker: MetricTracker) -> None:
    tracker.record_task_complete("a.md", tracker.record_task_start("a.md"), tokens_used=70)
    tracker.record_task_complete("a.md", tracker.record_task_start("a.md"))
    assert [entry["tokens_used"] for entry in tracker.get_history()] == [70, None]
    usage = tracker.get_agent("a.md")["token_usage"]["sonnet"]
    assert (usage["total"], usage["last"], usage["count"]) == (70, 70, 2)


def test_starts_in_the_same_microsecond_have_timestamps_of_their_own(
    tracker: MetricTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    starts = {tracker.record_task_start("a.md") for _ in range(5)}
    assert len(starts) == 5
    for start in sorted(starts):
        tracker.record_task_complete("a.md", start)
    assert tracker.get_agent_metrics("a.md")["in_flight"] == 0


def test_an_end_before_its_start_has_no_duration_and_says_so(tracker: MetricTracker) -> None:
    assert tracker.record_task_complete("a.md", "2999-01-01T00:00:00Z") == 0
    (entry,) = tracker.get_history()
    assert (entry["duration_seconds"], entry["clock_skew"]) == (0, True)


def test_a_start_of_another_process_may_be_a_naive_timestamp(tracker: MetricTracker) -> None:
    assert tracker.record_task_complete("a.md", "2026-02-15T21:30:00") > 0


def test_update_token_usage_adds_tokens_and_no_task(tracker: MetricTracker) -> None:
    tracker.update_token_usage("a.md", "opus", 500)
    tracker.update_token_usage("a.md", "opus", 250)
    usage = tracker.get_agent("a.md")["token_usage"]["opus"]
    assert (usage["total"], usage["count"]) == (750, 0)
    assert tracker.get_system_metrics()["total_requests"] == 0


def test_a_registered_agent_has_its_name_and_an_unregistered_one_that_of_its_file(tracker: MetricTracker) -> None:
    tracker.register_agent("Database Expert", "experts/database_expert.md")
    tracker.record_task_start("core/coder.md")
    names = {row["agent_file"]: row["agent_name"] for row in tracker.get_leaderboard()}
    assert names == {"experts/database_expert.md": "Database Expert", "core/coder.md": "coder"}


def test_five_failures_blacklist_an_agent_and_a_reset_lets_it_work_again(tracker: MetricTracker) -> None:
    for number in range(5):
        assert tracker.check_agent_health("a.md"), f"after {number} failures"
        tracker.record_task_failure("a.md", tracker.record_task_start("a.md"))
    assert not tracker.check_agent_health("a.md")
    state = tracker.get_agent_metrics("a.md")
    assert (state["status"], state["failures"], state["state"]) == ("blacklisted", 5, "open")
    assert tracker.get_system_metrics()["circuit_breaks"] == 1
    backups = len(store_of(tracker).parts.backups.paths())
    tracker.reset_agent_failures("a.md")
    assert tracker.check_agent_health("a.md")
    assert tracker.get_agent("a.md")["failures"] == 0
    assert len(store_of(tracker).parts.backups.paths()) == backups + 1


def test_what_another_tracker_recorded_is_in_the_answer(home: Home) -> None:
    one, other = MetricTracker(home.document), MetricTracker(home.document)
    one.record_task_complete("a.md", one.record_task_start("a.md"))
    assert other.get_system_metrics()["total_requests"] == 1


def test_answers_are_copies(tracker: MetricTracker) -> None:
    tracker.register_agent("A", "a.md")
    tracker.get_agent("a.md")["metrics"]["tasks_total"] = 99
    tracker.get_agent_metrics("a.md")["token_usage"].clear()
    assert tracker.get_agent_metrics("a.md")["metrics"]["tasks_total"] == 0
    assert tracker.get_agent("a.md")["token_usage"]


def test_the_report_is_returned_and_written(tracker: MetricTracker, tmp_path: Path) -> None:
    tracker.record_task_complete("core/coder.md", tracker.record_task_start("core/coder.md"), tokens_used=1500)
    report = tracker.generate_report(tmp_path / "report.md")
    assert (tmp_path / "report.md").read_text() == report
    assert "| core/coder.md | healthy |" in re.sub(" +", " ", report)


def test_save_makes_a_backup_by_default_and_prunes_the_history(tracker: MetricTracker) -> None:
    for _ in range(6):
        tracker.update_token_usage("a.md", "opus", 1)
    path = tracker.config_file
    path.write_text(path.read_text().replace('"history_max_entries": 1000', '"history_max_entries": 2'))
    tracker.save(backup=False)
    assert len(json.loads(path.read_bytes())["history"]) == 2
    assert len(tracker.get_history()) == 7  # the journal has the others, and the change of the settings
    backups = len(store_of(tracker).parts.backups.paths())
    tracker.save()
    assert len(store_of(tracker).parts.backups.paths()) == backups + 1


def test_threads_lose_nothing(tracker: MetricTracker) -> None:
    def work() -> None:
        for _ in range(10):
            tracker.record_task_complete("a.md", tracker.record_task_start("a.md"), tokens_used=1)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    usage = tracker.get_agent("a.md")["token_usage"]["sonnet"]
    assert (usage["total"], usage["count"], tracker.get_agent_metrics("a.md")["in_flight"]) == (50, 50, 0)


START = "2026-02-15T21:30:00Z"
BAD_CALLS: dict[str, Callable[[MetricTracker], Any]] = {
    "an empty agent": lambda t: t.record_task_start(""),
    "an agent that is no text": lambda t: t.record_task_start(None),  # type: ignore[arg-type]
    "an agent of two lines": lambda t: t.register_agent("x", "a\nb"),
    "negative tokens": lambda t: t.record_task_complete("a.md", START, tokens_used=-1),
    "endless tokens": lambda t: t.record_task_complete("a.md", START, tokens_used=float("inf")),
    "tokens that are no number": lambda t: t.record_task_complete("a.md", START, tokens_used=float("nan")),
    "a fractional limit": lambda t: t.get_history(limit=1.5),  # type: ignore[arg-type]
    "boolean tokens": lambda t: t.update_token_usage("a.md", "opus", True),
    "no model": lambda t: t.update_token_usage("a.md", "", 5),
    "no timestamp": lambda t: t.record_task_failure("a.md", "yesterday"),
    "a timestamp that is no text": lambda t: t.record_task_cancelled("a.md", 12),  # type: ignore[arg-type]
    "an unknown metric": lambda t: t.get_leaderboard("beauty"),
    "a negative limit": lambda t: t.get_history(limit=-1),
    "a blank task id": lambda t: TaskTracker("a.md", task_id=" ", tracker=t),
    "a blank agent in a task": lambda t: TaskTracker(" ", tracker=t),
}


@pytest.mark.parametrize("what", BAD_CALLS)
def test_bad_input_is_refused_before_anything_is_written(tracker: MetricTracker, what: str) -> None:
    with pytest.raises(InvalidValueError, match="expected") as caught:
        BAD_CALLS[what](tracker)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, OtelTrackerError)
    assert not tracker.config_file.exists()


def test_an_unknown_metric_lists_those_that_there_are(tracker: MetricTracker) -> None:
    with pytest.raises(UnknownMetricError, match="tasks_total, tasks_successful"):
        tracker.get_leaderboard("beauty")


def test_an_unknown_agent_is_a_key_error_that_names_a_similar_one(tracker: MetricTracker) -> None:
    tracker.register_agent("Coder", "core/coder.md")
    for ask in (tracker.get_agent_metrics, tracker.get_agent, tracker.reset_agent_failures):
        with pytest.raises(UnknownAgentError, match=r"did you mean core/coder\.md") as caught:
            ask("core/code.md")
        assert isinstance(caught.value, KeyError)
    assert tracker.check_agent_health("core/code.md")


def test_an_unwritable_home_fails_what_was_asked_for_and_never_a_task(
    tmp_path: Path, warnings_logged: Callable[[], list[str]]
) -> None:
    (tmp_path / "file").write_text("")
    tracker = MetricTracker(tmp_path / "file" / "config" / "circuit-breaker.json")
    with pytest.raises(StorageError, match="Not a directory"):
        tracker.register_agent("A", "a.md")
    with TaskTracker("a.md", tracker=tracker):
        pass
    assert tracker.record_task_complete("a.md", tracker.record_task_start("a.md")) >= 0
    assert len(warnings_logged()) == 1
    (tmp_path / "file").unlink()
    assert tracker.get_system_metrics()["successful"] == 2


@pytest.mark.parametrize("tokens", [1080.25, 1080.0, Decimal("1079.6"), Fraction(10799, 10)])
def test_tokens_that_are_not_whole_are_rounded(tracker: MetricTracker, tokens: Any) -> None:
    tracker.record_task_complete("a.md", tracker.record_task_start("a.md"), tokens_used=tokens)
    tracker.update_token_usage("b.md", "sonnet", tokens)
    for agent in ("a.md", "b.md"):
        assert tracker.get_agent(agent)["token_usage"]["sonnet"]["total"] == 1080


def test_estimated_tokens_are_flagged(tracker: MetricTracker) -> None:
    tokens = estimate_tokens("x" * 400) + estimate_tokens("é" * 2)
    assert (tokens, type(tokens)) == (101, int)
    tracker.record_task_complete("a.md", tracker.record_task_start("a.md"), tokens_used=tokens, estimated=True)
    tracker.record_task_complete("a.md", tracker.record_task_start("a.md"), tokens_used=101)
    assert [entry.get("estimated") for entry in tracker.get_history()] == [True, None]
