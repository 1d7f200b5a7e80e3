import pytest

from otel_tracker import MetricTracker, TaskTracker
from otel_tracker.outages import kind_of
from tests.conftest import Clock

AGENT = "core/coder.md"


class RateLimitError(Exception):
    pass


class DerivedError(RateLimitError):
    pass


class StatusError(Exception):
    def __init__(self, status: object) -> None:
        super().__init__("failed")
        self.status_code = status


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RateLimitError(), "rate_limit"),
        (DerivedError(), "rate_limit"),
        (StatusError(429), "rate_limit"),
        (StatusError(529), "overloaded"),
        (StatusError(401), "authentication"),
        (StatusError(402), "billing"),
        (StatusError(500), None),
        (StatusError("429"), None),
        (StatusError(None), None),
        (ValueError(), None),
        (TimeoutError(), None),
    ],
)
def test_an_exceptions_class_or_status_tells_an_outage(error: Exception, kind: str | None) -> None:
    assert kind_of(error) == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('API Error: 529 {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', "overloaded"),
        ("API Error: Repeated 529 Overloaded errors", "overloaded"),
        ("overloaded", "overloaded"),
        ("the operator is overloaded in class Money", None),
        ("API Error: Rate limit reached", "rate_limit"),
        ("rate_limit", "rate_limit"),
        ("Claude AI usage limit reached|1760000000", "rate_limit"),
        ("You've hit your limit · resets 3am", "rate_limit"),
        ("Error code: 429 - too many requests", "rate_limit"),
        ("authentication_failed", "authentication"),
        ("Invalid API key · Please run /login", "authentication"),
        ('API Error: 401 {"type":"error","error":{"type":"authentication_error"}}', "authentication"),
        ("OAuth token has expired", "authentication"),
        ("Credit balance is too low", "billing"),
        ("billing_error", "billing"),
        ("account_on_hold", "billing"),
        ("oauth_org_not_allowed", "billing"),
        ("This organization has been disabled.", "billing"),
        ("You exceeded your current quota: insufficient_quota", "billing"),
        ("server_error", None),
        ("invalid_request", None),
        ("model_not_found", None),
        ("max_output_tokens", None),
        ("2 of 40 tests fail", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_an_errors_text_tells_an_outage(text: object, kind: str | None) -> None:
    assert kind_of(None, text) == kind


def test_outages_fail_the_task_but_never_open_the_breaker(tracker: MetricTracker, clock: Clock) -> None:
    for number in range(6):
        with pytest.raises(RateLimitError), TaskTracker(AGENT, tracker=tracker):
            raise RateLimitError
        with TaskTracker(AGENT, tracker=tracker) as task:
            task.set_failed("API Error: 529 overloaded_error")
        start = tracker.record_task_start(AGENT, f"t{number}")
        tracker.record_task_failure(AGENT, start, "Invalid API key")
    row = tracker.get_agent_metrics(AGENT)
    assert (row["state"], row["failures"], row["metrics"]["tasks_failed"]) == ("closed", 0, 18)
    kinds = [entry["environment_error"] for entry in tracker.get_history(limit=3)]
    assert kinds == ["rate_limit", "overloaded", "authentication"]


def test_the_settings_name_further_texts_by_type_or_by_message_for_all_or_for_one_agent(
    tracker: MetricTracker,
) -> None:
    tracker.register_agent("coder", AGENT)
    tracker.save(backup=False)
    text = tracker.config_file.read_text().replace('"config": {', '"config": {"environment_errors": ["ZeroDivision"], ')
    own = '"config": {"environment_errors": ["no GPU free"]}, '
    tracker.config_file.write_text(text.replace('"core/coder.md": {', '"core/coder.md": {' + own))
    for agent in (AGENT, "other.md"):
        with pytest.raises(ZeroDivisionError), TaskTracker(agent, tracker=tracker):
            _ = 1 / 0
        with TaskTracker(agent, tracker=tracker) as task:
            task.set_failed("worker 3: No GPU free")
    assert tracker.get_agent_metrics(AGENT)["failures"] == 1
    assert tracker.get_agent_metrics("other.md")["failures"] == 1
