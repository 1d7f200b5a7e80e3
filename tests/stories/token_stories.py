"""Table 2.3 of the reference: each pitfall of a transcript, and the tokens that are true."""

from typing import Any

from otel_tracker import names
from tests.stories.harness import Run, Session
from tests.stories.outcome_stories import CUT
from tests.stories.replay import IGNORED, Ended, Expected, story
from tests.stories.transcript_of_agent import FIRST, LAST, MODEL, WORK, text_block, usage

ADVISOR = "claude-opus-5"
_THINKING = [text_block("Hm.")]


def _in_foreground(session: Session, run: Run, *ended: Ended) -> Expected:
    run.ends().completes()
    session.stops()
    return Expected(list(ended) or [Ended()])


@story
def usage_that_is_repeated_in_each_block_counts_once(session: Session) -> Expected:
    run = session.launches().begins().is_prompted()
    for _ in range(3):
        run.says(_THINKING, FIRST, message="1", stop_reason="tool_use")
    return _in_foreground(session, run.calls_a_tool().gets_a_result().answers())


@story
def usage_that_grows_counts_with_its_largest_number_by_field(session: Session) -> Expected:
    run = session.launches().begins().is_prompted()
    run.says(_THINKING, {**FIRST, "output": 1, "cache_read": 14000}, message="1")
    run.calls_a_tool().says(_THINKING, {**FIRST, "output": 2, "input": 1}, message="1")
    return _in_foreground(session, run.gets_a_result().answers())


@story
def record_without_a_stop_reason_counts(session: Session) -> Expected:
    run = session.launches().begins().is_prompted().calls_a_tool().gets_a_result()
    run.says(_THINKING, LAST, message="2", stop_reason="end_turn")
    return _in_foreground(session, run.answers("2", stop_reason=None))


@story
def request_without_its_final_usage_makes_the_total_incomplete(session: Session) -> Expected:
    run = session.launches().begins().is_prompted().calls_a_tool(stop_reason=None).gets_a_result().answers()
    return _in_foreground(session, run, Ended(is_incomplete=True))


@story
def history_that_a_resume_has_copied_counts_once(session: Session) -> Expected:
    run = session.launches().begins().works()
    copied = [text for path, text in session.written() if path == run.transcript]
    for text in copied:
        session.writes(run.transcript, text)
    return _in_foreground(session, run)


@story
def side_question_that_replays_messages_counts_nothing(session: Session) -> Expected:
    run = session.launches().begins().is_prompted().calls_a_tool()
    run.says(_THINKING, {**FIRST, "cache_read": 99_000}, message="1", request="side", stop_reason="tool_use")
    return _in_foreground(session, run.gets_a_result().answers())


@story
def workflow_agent_is_found_in_its_folder(session: Session) -> Expected:
    run = session.agent("workflow-subagent")
    run.transcript = run.transcript.parent / "workflows" / "wf_1" / run.transcript.name
    run.begins().is_prompted(sidecar={"agentType": "workflow-subagent", "spawnDepth": 1})
    run.calls_a_tool().gets_a_result().answers().ends()
    session.stops()
    return Expected([Ended(agent="workflow-subagent")])


@story
def workflow_agent_whose_path_nobody_tells(session: Session) -> Expected:
    run = session.agent("workflow-subagent")
    run.transcript = run.transcript.parent / "workflows" / "wf_2" / run.transcript.name
    run.begins().is_prompted(sidecar={"agentType": "workflow-subagent", "spawnDepth": 1})
    run.calls_a_tool().gets_a_result().answers().ends(agent_transcript_path=None)
    session.stops()
    return Expected([Ended(agent="workflow-subagent")])


@story
def run_without_a_transcript_is_unmeasured(session: Session) -> Expected:
    session.launches(model="opus").begins().ends(agent_transcript_path=None).completes()
    session.stops()
    return Expected([Ended(models={})])


@story
def null_fields_and_a_line_that_is_cut_off_are_survived(session: Session) -> Expected:
    run = session.launches().begins().is_prompted().calls_a_tool()
    nothing: dict[str, Any] = dict.fromkeys(usage({}))
    run.says(_THINKING, nothing, message="1").gets_a_result().answers()
    session.writes(run.transcript, '{"type":"assistant","message":{"id":"msg_x","usage":{"input_tokens":9')
    return _in_foreground(session, run)


@story
def lines_that_are_no_text_or_no_record_are_survived(session: Session) -> Expected:
    run = session.launches().begins().is_prompted().calls_a_tool()
    for line in ("\udcff\udcfe", '"text"', "[1, 2]", "null", '{"type": null, "message": []}', "{" * 3000):
        session.writes(run.transcript, line + "\n")
    return _in_foreground(session, run.gets_a_result().answers())


@story
def tokens_are_split_by_model(session: Session) -> Expected:
    run = session.launches().begins().is_prompted().calls_a_tool(model="claude-haiku-4-5").gets_a_result().answers()
    return _in_foreground(session, run, Ended(models={"claude-haiku-4-5": FIRST, MODEL: LAST}))


@story
def what_an_advisor_used_counts_under_its_own_model(session: Session) -> Expected:
    iterations = [{"type": "message", **usage(LAST)}, {"type": "advisor_message", "model": ADVISOR, **usage(FIRST)}]
    run = session.launches().begins().is_prompted().calls_a_tool().gets_a_result()
    run.says([text_block("Found 12.")], {**usage(LAST), "iterations": iterations}, message="2", stop_reason="end_turn")
    return _in_foreground(session, run, Ended(models={MODEL: WORK, ADVISOR: FIRST}))


@story
def suffix_of_a_model_is_dropped(session: Session) -> Expected:
    run = session.launches().begins().is_prompted().calls_a_tool(model="claude-opus-5[1m]").gets_a_result()
    run.answers(model="claude-opus-5")
    return _in_foreground(session, run, Ended(models={"claude-opus-5": WORK}))


@story
def models_of_the_transcript_win_over_the_one_asked_for(session: Session) -> Expected:
    return _in_foreground(session, session.launches(model="opus").begins().works())


@story
def fable_is_a_family(session: Session) -> Expected:
    run = session.launches(model="fable").begins().is_prompted().calls_a_tool(model="claude-fable-5-1").gets_a_result()
    run.answers(model="claude-fable-5-1")
    return _in_foreground(session, run, Ended(models={"claude-fable-5-1": WORK}))


@story
def failed_and_cancelled_runs_have_tokens_too(session: Session) -> Expected:
    session.launches("Explore").begins().works().ends().fails("Interrupted", is_interrupt=True)
    session.launches("Plan").begins().is_cut().ends().completes()
    session.stops()
    cancelled = Ended(names.CANCELLED, "Explore")
    return Expected([cancelled, Ended(names.FAILURE, "Plan", models=CUT)], is_breaker_sure=False)


@story
def compaction_within_a_run_makes_its_tokens_a_lower_bound(session: Session) -> Expected:
    run = session.launches().begins().is_prompted().calls_a_tool().gets_a_result()
    session.record(run.transcript, "system", "system.compact_boundary", agentId=run.agent_id)
    run.answers()
    return _in_foreground(session, run, Ended(is_incomplete=True))


@story
def answer_that_was_cut_off_makes_the_tokens_a_lower_bound(session: Session) -> Expected:
    run = session.launches().begins().is_prompted()
    run.says([text_block("I'll")], FIRST, message="1", stop_reason="end_turn")
    run.hears("Your response above was cut off mid-stream and only your next message is delivered.", isMeta=True)
    run.answers()
    return _in_foreground(session, run, Ended(is_incomplete=True, failures=IGNORED))
