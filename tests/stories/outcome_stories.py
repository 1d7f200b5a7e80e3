"""Table 1.7 of the reference: each signal, and the outcome that is to be inferred from it."""

from otel_tracker import names
from otel_tracker.names import UNANSWERED_BECAUSE
from tests.stories.harness import Session
from tests.stories.replay import COUNTED, IGNORED, Ended, Expected, Story, named, story
from tests.stories.transcript_of_agent import FIRST, LAST, MODEL

CUT = {MODEL: FIRST}

# The gate writes nothing of a launch that it lets through: of one that never started only its result tells.
NEVER_HEARD_OF: dict[str, list[Ended]] = {"PostToolUseFailure": [], "PostToolUse": []}


@story
def failure_of_a_tool_call_is_failed(session: Session) -> Expected:
    run = session.launches().begins().works()
    run.ends().fails("Agent terminated early due to an API error: API Error: 500 Internal server error")
    session.stops()
    # The transcript alone looks like a success: who settles it before the event comes leaves the breaker to that.
    return Expected([Ended(names.FAILURE)], is_breaker_sure=False)


def _turned_down(error: str) -> None:
    def tell(session: Session) -> Expected:
        session.launches().fails(error)
        session.stops()
        return Expected([])

    named(f"launch_that_is_turned_down_is_no_run-{error.partition(' ')[0]}", tell)


for _error in (
    "Concurrent subagent limit reached. You can run 20 subagents at once. Do not retry.",
    "Agent type 'coder' has been denied by permission rule 'Agent(coder)' from projectSettings.",
    "Cannot create agent worktree: not in a git repository and no WorktreeCreate hooks are configured.",
):
    _turned_down(_error)


@story
def launches_beyond_the_limit_are_no_runs(session: Session) -> Expected:
    for _ in range(6):
        session.launches().fails("Concurrent subagent limit reached. You can run 2 subagents at once.")
    for run in [session.launches().is_in_background().begins() for _ in range(2)]:
        run.works().ends().is_notified("completed")
    session.stops()
    return Expected([Ended(), Ended()])


@story
def failure_that_only_its_event_tells_is_failed(session: Session) -> Expected:
    run = session.launches().begins().works()
    run.fails("Agent terminated early", is_in_transcript=False)
    session.stops()
    return Expected([Ended(names.FAILURE)], {"PostToolUseFailure": [Ended(names.SUCCESS)]}, is_breaker_sure=False)


@story
def failure_that_is_an_interrupt_is_cancelled(session: Session) -> Expected:
    run = session.launches().begins().is_cut().is_interrupted()
    run.ends().fails("Interrupted", is_interrupt=True)
    session.asks()
    return Expected([Ended(names.CANCELLED, models=CUT)])


@story
def interrupt_of_what_never_started_is_no_run(session: Session) -> Expected:
    session.launches().fails("Interrupted", is_interrupt=True, is_in_transcript=False)
    return Expected([])


@story
def interrupt_that_the_transcript_shows_as_an_error_is_cancelled(session: Session) -> Expected:
    run = session.launches().begins().is_cut()
    run.fails("The tool call was interrupted", is_interrupt=True, shown="The tool call was interrupted")
    session.stops()
    without = {"PostToolUseFailure": [Ended(names.FAILURE, models=CUT)]}
    return Expected([Ended(names.CANCELLED, models=CUT)], without, is_breaker_sure=False)


@story
def completed_in_the_foreground_is_a_success(session: Session) -> Expected:
    session.launches().begins().works().ends().completes()
    session.stops()
    return Expected([Ended()])


def _unanswered(reason: str) -> Story:
    def tell(session: Session) -> Expected:
        session.launches().begins().is_prompted().calls_a_tool().gets_a_result().answers(
            stop_reason=reason
        ).ends().completes()
        run = session.launches("Explore").is_in_background().begins()
        run.is_prompted().calls_a_tool().gets_a_result().answers(stop_reason=reason).ends().is_notified("completed")
        session.stops()
        return Expected([Ended(names.FAILURE), Ended(names.FAILURE, "Explore")])

    return tell


for _reason in UNANSWERED_BECAUSE:
    named(f"completed_with_an_answer_that_is_none_{_reason}", _unanswered(_reason))


@story
def completed_in_the_background_is_a_success(session: Session) -> Expected:
    run = session.launches().is_in_background().begins()
    session.stops(run)
    run.works().ends().is_notified("completed")
    session.stops()
    return Expected([Ended()])


@story
def notification_failed_is_failed(session: Session) -> Expected:
    session.launches().is_in_background().begins().works().ends().is_notified("failed")
    session.stops()
    return Expected([Ended(names.FAILURE)], is_breaker_sure=False)


@story
def notification_failed_that_only_its_event_tells_is_failed(session: Session) -> Expected:
    run = session.launches().is_in_background().begins().works().ends()
    run.is_notified("failed", is_in_transcript=False)
    session.stops()
    return Expected([Ended(names.FAILURE)], {"UserPromptSubmit": [Ended()]}, is_breaker_sure=False)


def _stopped(status: str, summary: str) -> None:
    def tell(session: Session) -> Expected:
        session.launches().is_in_background().begins().works().ends().is_notified(status, summary)
        session.stops()
        return Expected([Ended(names.CANCELLED)], is_breaker_sure=False)

    named(f"notification_{status}_{summary.replace(' ', '_')}_is_cancelled", tell)


_stopped("killed", "finished")
_stopped("stopped", "finished")
_stopped("completed", "was stopped by the user")


@story
def agents_killed_are_cancelled(session: Session) -> Expected:
    run = session.launches().is_in_background().begins().is_cut().is_interrupted()
    session.attaches(type="agents_killed", agentIds=[run.agent_id])
    session.asks()
    session.stops()
    return Expected([Ended(names.CANCELLED, models=CUT)])


def _api_error(error: str, status: "int | None", text: str, *, is_outage: bool) -> None:
    failed = Ended(names.FAILURE, failures=IGNORED if is_outage else COUNTED)

    def in_background(session: Session) -> Expected:
        run = session.launches().is_in_background().begins().works().meets(error, status, text)
        run.ends().is_notified("completed")
        session.stops()
        return Expected([failed])

    def in_foreground(session: Session) -> Expected:
        session.launches().begins().works().meets(error, status, text).ends().completes()
        session.stops()
        return Expected([failed])

    consequence = "an_outage" if is_outage else "counted"
    named(f"background_{error}_{status}_is_{consequence}", in_background)
    named(f"foreground_{error}_{status}_is_{consequence}", in_foreground)


_api_error("rate_limit", 429, "API Error", is_outage=True)
_api_error("overloaded", 529, "API Error", is_outage=True)
_api_error("server_error", 529, "API Error", is_outage=True)
_api_error("authentication_failed", 401, "API Error", is_outage=True)
_api_error("oauth_org_not_allowed", 403, "API Error", is_outage=True)
_api_error("account_on_hold", None, "API Error", is_outage=True)
_api_error("billing_error", 402, "API Error", is_outage=True)
_api_error("unknown", None, "API Error: 529 Overloaded", is_outage=True)
_api_error("server_error", 500, "API Error: 500", is_outage=False)
_api_error("invalid_request", 400, "API Error: 400", is_outage=False)
_api_error("model_not_found", 404, "API Error: 404", is_outage=False)
_api_error("max_output_tokens", None, "API Error", is_outage=False)
_api_error("unknown", None, "API Error", is_outage=False)


@story
def task_status_failed_is_failed(session: Session) -> Expected:
    run = session.launches().is_in_background().begins().works()
    session.attaches(type="task_status", taskId=run.agent_id, taskType="local_agent", status="failed")
    session.stops()
    return Expected([Ended(names.FAILURE)], is_breaker_sure=False)


@story
def stalled_agent_is_failed(session: Session) -> Expected:
    run = session.launches().is_in_background().begins().is_cut()
    stalled = "Agent stalled: no progress for 600s"
    session.attaches(type="task_status", taskId=run.agent_id, status="failed", deltaSummary=stalled)
    session.stops()
    return Expected([Ended(names.FAILURE, models=CUT)])


@story
def agent_type_that_does_not_exist_is_failed_under_one_key(session: Session) -> Expected:
    session.launches("codre").gives("Error: Agent type 'codre' not found. Available agents: coder, Explore")
    session.launches("cdoer").gives("Agent type 'cdoer' not found")
    session.stops()
    failed = Ended(names.FAILURE, "unknown", models={}, failures=IGNORED)
    return Expected([failed, failed], {"PostToolUse": [failed]})


@story
def agent_type_that_does_not_exist_fails_its_call(session: Session) -> Expected:
    session.launches("codre").fails("Agent type 'codre' not found. Available agents: coder, Explore")
    session.stops()
    return Expected([Ended(names.FAILURE, "unknown", models={}, failures=IGNORED)], NEVER_HEARD_OF)


@story
def string_that_tells_an_error_is_failed(session: Session) -> Expected:
    session.launches().begins().works().gives("Error: the agent gave up")
    session.stops()
    return Expected([Ended(names.FAILURE)], is_breaker_sure=False)


def _denied(kind: str) -> None:
    def tell(session: Session) -> Expected:
        session.launches().is_denied(kind)
        session.stops()
        return Expected([])

    named(f"launch_{kind}_is_no_task", tell)


_denied("user-rejected")
_denied("permission-rule")
_denied("automode-blocked")


@story
def launch_that_nothing_tells_of_again_is_no_task(session: Session) -> Expected:
    session.launches()
    session.stops()
    return Expected([])


@story
def interrupted_while_it_ran_is_cancelled(session: Session) -> Expected:
    session.launches().begins().is_cut().is_interrupted().is_denied("interrupted")
    session.asks()
    return Expected([Ended(names.CANCELLED, models=CUT)])


@story
def session_that_ended_under_a_run_makes_it_lost(session: Session) -> Expected:
    session.launches().is_in_background().begins().is_cut()
    session.is_over()
    return Expected([Ended(names.LOST, models=CUT)])


@story
def finished_at_once_without_a_tool_is_suspect(session: Session) -> Expected:
    session.launches().begins().is_prompted().answers().ends().completes()
    session.stops()
    return Expected([Ended(models={MODEL: LAST}, failures=IGNORED)])


@story
def limit_of_turns_is_a_success(session: Session) -> Expected:
    session.launches().begins().is_prompted().calls_a_tool().gets_a_result().completes()
    session.stops()
    return Expected([Ended(models=CUT)])


@story
def turn_that_broke_off_in_the_background_is_failed_although_it_is_called_completed(session: Session) -> Expected:
    run = session.launches().is_in_background().begins().is_prompted().calls_a_tool().gets_a_result()
    run.meets("server_error", 500).breaks_off().is_notified("completed")
    session.stops()
    return Expected([Ended(names.FAILURE, models=CUT)])


@story
def turn_that_broke_off_is_failed_where_no_transcript_is_kept(session: Session) -> Expected:
    session.launches().is_in_background().begins().breaks_off().is_notified("completed")
    session.stops()
    return Expected([Ended(names.FAILURE, models={})], {"StopFailure": [Ended(models={})]}, is_breaker_sure=False)


@story
def outage_of_one_agent_excuses_no_other(session: Session) -> Expected:
    broken = session.launches("Explore").is_in_background().begins().is_prompted()
    broken.meets("rate_limit", 429).breaks_off("rate_limit").is_notified("completed")
    session.launches().begins().is_cut().ends().completes()
    session.stops()
    return Expected([Ended(names.FAILURE, "Explore", models={}, failures=IGNORED), Ended(names.FAILURE, models=CUT)])
