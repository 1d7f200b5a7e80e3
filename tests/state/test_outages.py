from http import HTTPStatus
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tracker import MetricTracker, TaskTracker
from otel_tracker.state.outages import outage_of
from tests.clock import Clock

AGENT = "core/coder.md"


class RateLimitError(Exception):
    pass


class DerivedError(RateLimitError):
    pass


class StatusError(Exception):
    def __init__(self, status: object) -> None:
        super().__init__("failed")
        self.status_code = status


class UnhappyError(Exception):
    @property
    def code(self) -> int:
        raise ValueError("not yet")

    def __str__(self) -> str:
        raise ValueError("no text")


def made(name: str, text: str = "failed", **fields: object) -> Exception:
    """Return an exception of a class of that name, as a library has it."""
    error: Exception = type(name, (Exception,), {})(text)
    vars(error).update(fields)
    return error


def raised(error: Exception, cause: Exception | None = None, context: Exception | None = None) -> Exception:
    """Return an error as it is when it was raised from another one, or while another one was handled."""
    error.__context__ = context
    if cause is not None:
        error.__cause__ = cause
    return error


ANSWER = SimpleNamespace(status_code=429)
BOTO = {"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
BODY = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


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
        (UnhappyError(), None),
        (SystemExit(429), None),
        (made("ModelThrottledException", "Too many tokens, please wait before trying again."), "rate_limit"),
        (made("ClientError", code=429, status="RESOURCE_EXHAUSTED"), "rate_limit"),
        (made("_ResourceExhaustedError"), "rate_limit"),
        (made("ClientError", response=BOTO), "rate_limit"),
        (made("APIStatusError", status_code=500, body=BODY), "overloaded"),
        (made("RateLimitError", code="insufficient_quota", status_code=429), "billing"),
        (made("AioRpcError", code=lambda: SimpleNamespace(name="RESOURCE_EXHAUSTED")), "rate_limit"),
        (made("HTTPStatusError", response=ANSWER), "rate_limit"),
        (made("HTTPError", code=HTTPStatus.TOO_MANY_REQUESTS), "rate_limit"),
        (made("ConfigError", code=True), None),
        (made("RateLimiterTestError"), None),
    ],
)
def test_an_exceptions_code_class_or_status_tells_an_outage(error: BaseException, kind: str | None) -> None:
    assert outage_of(error) == kind


def test_an_exception_is_what_it_was_raised_from_or_while_handling() -> None:
    outage = made("RateLimitError", status_code=429)
    assert outage_of(raised(made("AgentRunError"), cause=outage)) == "rate_limit"
    assert outage_of(raised(made("AgentRunError"), context=outage)) == "rate_limit"
    assert outage_of(raised(raised(made("OuterError"), cause=raised(made("InnerError"), cause=outage)))) == "rate_limit"
    assert outage_of(raised(made("AgentRunError"), cause=RuntimeError("Error code: 529 - {}"))) == "overloaded"
    assert outage_of(raised(made("AgentRunError"), cause=ValueError("2 of 40 tests fail"))) is None


@pytest.mark.parametrize("error", [AssertionError, KeyError, TypeError, made("CheckError").__class__])
def test_the_text_of_an_error_in_code_tells_no_outage(error: type[Exception]) -> None:
    kind = "rate_limit" if error.__name__ == "CheckError" else None
    assert outage_of(error("Rate limit reached"), "Rate limit reached") == kind


def test_what_an_exception_was_raised_in_spite_of_says_nothing_and_a_circle_ends() -> None:
    error = raised(made("AgentRunError"), context=made("RateLimitError"))
    error.__suppress_context__ = True  # as `raise ... from None` has it
    assert outage_of(error) is None
    error.__cause__ = error.__context__ = error
    assert outage_of(error) is None


def test_a_group_is_an_outage_if_all_in_it_are() -> None:
    outage, own = made("RateLimitError"), ValueError("2 of 40 tests fail")
    assert outage_of(ExceptionGroup("all", [outage, made("OverloadedError")])) == "rate_limit"
    assert outage_of(ExceptionGroup("all", [ExceptionGroup("inner", [outage])])) == "rate_limit"
    assert outage_of(ExceptionGroup("all", [outage, own])) is None


OUTAGES = {
    'API Error: 529 {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}': "overloaded",
    "API Error: Repeated 529 Overloaded errors": "overloaded",
    "overloaded": "overloaded",
    "API Error: Overloaded": "overloaded",
    "OverloadedError": "overloaded",
    "The model is overloaded. Please try again later.": "overloaded",
    "Opus is experiencing high load, please use /model to switch to Sonnet": "overloaded",
    "We're currently experiencing high demand": "overloaded",
    "API Error: Rate limit reached": "rate_limit",
    "Agent terminated early due to an API error: API Error: Rate limit reached": "rate_limit",
    "rate_limit": "rate_limit",
    "Rate limit reached for gpt-4 in organization org-x": "rate_limit",
    "Claude AI usage limit reached|1760000000": "rate_limit",
    "5-hour limit reached ∙ resets 2am": "rate_limit",
    "You've hit your limit · resets 3am": "rate_limit",
    "You've hit your Opus limit · resets 3:45pm": "rate_limit",
    "You've hit your monthly spend limit": "rate_limit",
    "You have reached your specified API usage limits. You will regain access on 2026-12-01": "rate_limit",
    "You're out of extra usage · resets 4pm": "rate_limit",
    "API Error: Request rejected (429) · this may be a temporary capacity issue": "rate_limit",
    "API Error: Server is temporarily limiting requests (not your usage limit)": "rate_limit",
    "Error code: 429 - too many requests": "rate_limit",
    "Error code: 429 - {'error': {}}": "rate_limit",
    "ThrottlingException: Too many tokens, please wait before trying again.": "rate_limit",
    "strands.types.exceptions.ModelThrottledException: Too many tokens": "rate_limit",
    "An error occurred (ThrottlingException) when calling the InvokeModel operation: wait": "rate_limit",
    "429 RESOURCE_EXHAUSTED. {'error': {'code': 429}}": "rate_limit",
    "429 Client Error: Too Many Requests for url: https://x": "rate_limit",
    "exceeded retry limit, last status: 429 Too Many Requests": "rate_limit",
    "Number of request tokens has exceeded your per-minute rate limit": "rate_limit",
    "Traceback:\n  File 'x.py'\n    raise e('x')\nanthropic.RateLimitError: Error code: 429": "rate_limit",
    "unexpected status 401 Unauthorized": "authentication",
    "authentication_failed": "authentication",
    "Invalid API key · Please run /login": "authentication",
    "Invalid API key · Fix external API key": "authentication",
    "Not logged in · Please run /login": "authentication",
    "Failed to authenticate. API Error: 403 {}": "authentication",
    'API Error: 401 {"type":"error","error":{"type":"authentication_error"}}': "authentication",
    "OAuth token has expired": "authentication",
    "OAuth token revoked · Please run /login": "authentication",
    "Could not resolve authentication method. Expected one of apiKey, authToken to be set.": "authentication",
    "Your account does not have access to Claude Code. Please run /login.": "authentication",
    "Incorrect API key provided: sk-x": "authentication",
    "Credit balance is too low": "billing",
    "Error code: 400 - {'error': {'message': 'Your credit balance is too low to access the API'}}": "billing",
    "billing_error": "billing",
    "account_on_hold": "billing",
    "oauth_org_not_allowed": "billing",
    "This organization has been disabled.": "billing",
    "Your ANTHROPIC_API_KEY belongs to a disabled organization": "billing",
    "Your organization has disabled Claude subscription access for Claude Code": "billing",
    "You exceeded your current quota: insufficient_quota": "billing",
}
OWN_FAULTS = [
    *("server_error", "invalid_request", "model_not_found", "max_output_tokens", "2 of 40 tests fail", "", None, 5),
    "API Error: 500 Internal server error",
    "the operator is overloaded in class Money",
    "overloaded: operator+ is ambiguous",
    "AssertionError: rate_limit should be 5",
    "AssertionError: Rate limit reached",
    "E       AssertionError: assert '429 Too Many Requests' == 'busy'",
    "test_rate_limit FAILED",
    "rate limiter is broken",
    "ValueError: rate limit must be positive",
    "cannot find symbol: OverloadedError in src/x.py",
    "authentication_failed_test.py::test_login FAILED",
    "the page says 'too many requests' where the test wants 'busy'",
    "KeyError: 'invalid api key format'",
    'expected "API Error: 429", got "ok"',
    "status 429 expected",
    "429 tests failed",
    "You've hit your limit of 5 retries in test_x",
    "Traceback:\n    raise RateLimitError('x')\nValueError: 7",
]


@pytest.mark.parametrize(("text", "kind"), OUTAGES.items())
def test_how_a_text_begins_tells_an_outage(text: str, kind: str) -> None:
    assert outage_of(None, text) == outage_of(RuntimeError(), text) == kind


@pytest.mark.parametrize("text", OWN_FAULTS)
def test_a_text_that_mentions_an_outage_tells_none(text: object) -> None:
    assert outage_of(None, text) is None


@given(
    text=st.text() | st.lists(st.sampled_from([*OUTAGES, *filter(None, map(str, OWN_FAULTS)), ": ", "'"])).map("".join)
)
def test_any_text_is_survived(text: str) -> None:
    assert outage_of(None, text) in (None, "rate_limit", "overloaded", "authentication", "billing")


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
