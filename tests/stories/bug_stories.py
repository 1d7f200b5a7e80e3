"""Table 1.11 of the reference: each known bug of Claude Code's life cycle, and what is recorded in spite of it."""

from otel_tracker import names
from otel_tracker.state.shapes import Tokens
from tests.stories.harness import Session
from tests.stories.outcome_stories import CUT
from tests.stories.replay import IGNORED, RESET, Ended, Expected, story
from tests.stories.transcript_of_agent import LAST, MODEL, WORK


def _and_last(tokens: Tokens, times: int = 1) -> dict[str, Tokens]:
    return {MODEL: names.added_tokens(tokens, {kind: times * number for kind, number in LAST.items()})}


@story
def no_subagent_stop_after_a_task_stop(session: Session) -> Expected:
    session.launches().is_in_background().begins().is_cut().is_interrupted().is_notified("killed")
    session.stops()
    return Expected([Ended(names.CANCELLED, models=CUT)])


@story
def no_subagent_stop_at_the_exit(session: Session) -> Expected:
    session.launches().is_in_background().begins().works()
    session.is_over("other")
    return Expected([Ended()])


@story
def no_subagent_stop_in_the_background(session: Session) -> Expected:
    session.launches().is_in_background().begins().works().is_notified("completed")
    session.stops()
    return Expected([Ended()])


@story
def no_subagent_start_in_the_background(session: Session) -> Expected:
    session.launches().is_in_background().works().ends().is_notified("completed")
    session.stops()
    return Expected([Ended()])


@story
def neither_start_nor_stop_in_the_background(session: Session) -> Expected:
    session.launches().is_in_background().works().is_notified("completed")
    session.stops()
    return Expected([Ended()])


@story
def notification_without_a_tool_use_id(session: Session) -> Expected:
    run = session.launches().is_in_background().begins().works().ends()
    run.is_notified("completed", has_tool_use_id=False)
    session.stops()
    return Expected([Ended()])


@story
def no_notification_in_the_background(session: Session) -> Expected:
    run = session.launches().is_in_background().begins()
    session.stops(run)
    run.works().ends()
    session.stops()
    return Expected([Ended()])


@story
def subagent_stop_with_a_fresh_id_and_no_type(session: Session) -> Expected:
    session.launches().begins().works().ends().completes()
    session.stops()
    for fresh in ("a0123456789abcdef", "acompact-0123456789abcdef", "aprompt_suggestion-1", "aside_question-2"):
        session.fires("SubagentStart", agent_id=fresh, agent_type="")
        session.fires("SubagentStop", agent_id=fresh, agent_type="", agent_transcript_path="/nowhere.jsonl")
    session.fires("SubagentStop", agent_id="agent-acompact-77", agent_type="coder", agent_transcript_path=None)
    return Expected([Ended()])


@story
def subagent_stop_without_a_type_of_a_known_run(session: Session) -> Expected:
    session.launches().begins().works().ends(agent_type="").completes()
    session.stops()
    return Expected([Ended()])


@story
def several_subagent_stops_since_another_hook_keeps_it_running(session: Session) -> Expected:
    run = session.launches().begins().works().ends()
    run.ends(stop_hook_active=True).answers("3").ends(stop_hook_active=True).completes()
    session.stops()
    return Expected([Ended(models=_and_last(WORK))])


@story
def woken_agent_that_goes_on_is_one_run(session: Session) -> Expected:
    run = session.launches().is_in_background().begins().works().ends().is_notified("completed")
    session.stops()
    run.begins().hears("And the tests?").answers("3").ends().is_notified("completed")
    session.stops()
    return Expected([Ended(models=_and_last(WORK))])


@story
def woken_agent_that_fails_then_has_failed(session: Session) -> Expected:
    run = session.launches().is_in_background().begins().works().ends().is_notified("completed")
    session.stops()
    run.begins().hears("And the tests?").answers("3").meets("server_error", 500).ends().is_notified("failed")
    session.stops()
    # An amendment never moves a breaker.
    return Expected([Ended(names.FAILURE, models=_and_last(WORK), failures=RESET)], is_breaker_sure=False)


@story
def woken_agent_that_succeeds_then_has_succeeded(session: Session) -> Expected:
    run = session.launches().is_in_background().begins().is_cut().meets("server_error", 500)
    run.ends().is_notified("failed")
    session.stops()
    run.begins().hears("Try again.").gets_a_result().answers().ends().is_notified("completed")
    session.stops()
    return Expected([Ended()], is_breaker_sure=False)


@story
def woken_agent_that_is_stopped_then_is_cancelled(session: Session) -> Expected:
    run = session.launches().is_in_background().begins().works().ends().is_notified("completed")
    session.stops()
    run.begins().hears("And the tests?").calls_a_tool("3").is_interrupted().is_notified("killed")
    session.stops()
    tokens = names.added_tokens(WORK, CUT[MODEL])
    return Expected([Ended(names.CANCELLED, models={MODEL: tokens}, failures=RESET)], is_breaker_sure=False)


@story
def subagent_stop_before_the_last_line_is_there(session: Session) -> Expected:
    run = session.launches().is_in_background().begins().is_cut().ends().gets_a_result().answers()
    run.is_notified("completed")
    session.stops()
    return Expected([Ended()])


@story
def last_line_that_comes_after_everything_but_the_stop(session: Session) -> Expected:
    run = session.launches().is_in_background().begins().is_prompted().calls_a_tool().gets_a_result()
    run.answers("2", stop_reason=None).ends().is_notified("completed")
    run.answers("2")
    session.stops()
    return Expected([Ended()])


@story
def interrupt_that_is_stamped_as_rejected_by_the_user(session: Session) -> Expected:
    session.launches().begins().is_cut().is_interrupted().is_denied("user-rejected")
    session.asks()
    return Expected([Ended(names.CANCELLED, models=CUT)])


@story
def interrupt_that_nothing_tells_of_but_the_transcript(session: Session) -> Expected:
    session.launches().begins().is_cut().is_interrupted()
    session.asks()
    session.is_over()
    return Expected([Ended(names.CANCELLED, models=CUT)])


@story
def foreground_completed_in_the_middle_of_a_tool_call(session: Session) -> Expected:
    session.launches().begins().is_cut().ends().completes()
    session.stops()
    return Expected([Ended(names.FAILURE, models=CUT)])


@story
def background_completed_in_the_middle_of_a_tool_call(session: Session) -> Expected:
    session.launches().is_in_background().begins().is_cut().ends().is_notified("completed")
    session.stops()
    return Expected([Ended(names.FAILURE, models=CUT)])


@story
def session_ended_after_a_stop_in_the_middle_of_a_tool_call(session: Session) -> Expected:
    run = session.launches().is_in_background().begins().is_cut().ends()
    session.stops(run)
    session.is_over()
    lost = Ended(names.LOST, models=CUT)
    return Expected([Ended(names.FAILURE, models=CUT)], {"SubagentStop": [lost]}, is_breaker_sure=False)


@story
def escape_ends_background_agents_in_silence(session: Session) -> Expected:
    runs = [session.launches().is_in_background().begins() for _ in range(2)]
    for run in runs:
        run.is_cut().is_interrupted()
    session.asks()
    session.is_over()
    return Expected([Ended(names.CANCELLED, models=CUT)] * 2)


@story
def session_that_is_cleared_under_a_run_ends_nothing(session: Session) -> Expected:
    run = session.launches().is_in_background().begins().is_cut()
    session.is_over("clear")
    run.gets_a_result().answers().ends().is_notified("completed")
    return Expected([Ended()])


@story
def main_turn_that_dies_of_an_outage_says_nothing_of_a_run_that_has_ended(session: Session) -> Expected:
    session.launches().is_in_background().begins().works().ends()
    session.breaks_off("rate_limit")
    session.asks()
    session.stops()
    return Expected([Ended()])


@story
def lost_run_that_a_resumed_session_finishes_has_succeeded(session: Session) -> Expected:
    run = session.launches().is_in_background().begins().is_cut()
    session.is_over()
    session.starts("resume")
    run.begins().gets_a_result().answers().ends().is_notified("completed")
    session.stops()
    return Expected([Ended(failures=IGNORED)], is_breaker_sure=False)


@story
def run_that_a_resumed_session_wakes_is_the_same_run(session: Session) -> Expected:
    run = session.launches().is_in_background().begins().works().ends().is_notified("completed")
    session.stops()
    session.is_over()
    session.starts("resume")
    run.begins().hears("And the tests?").answers("3").ends().is_notified("completed")
    session.stops()
    return Expected([Ended(models=_and_last(WORK))])
