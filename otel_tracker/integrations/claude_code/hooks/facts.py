"""Turns each event of a hook into facts about a run."""

from otel_tracker.integrations.claude_code.hooks.payload import (
    POST_TOOL_USE,
    POST_TOOL_USE_FAILURE,
    STOP,
    STOP_FAILURE,
    SUBAGENT_START,
    SUBAGENT_STOP,
    USER_PROMPT_SUBMIT,
)
from otel_tracker.integrations.claude_code.transcripts import places
from otel_tracker.integrations.claude_code.transcripts.notification import MARK, notifications_in
from otel_tracker.integrations.claude_code.transcripts.result import is_error_text, status_of
from otel_tracker.integrations.claude_code.transcripts.statuses import COMPLETED, FAILED, KILLED, LAUNCHED
from otel_tracker.state.event import error_text
from otel_tracker.state.outages import outage_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.integrations.claude_code.hooks.payload import Payload
    from otel_tracker.integrations.claude_code.runs.run import Run
    from otel_tracker.integrations.claude_code.runs.session import Session


def taken(payload: "Payload", session: "Session", now: float) -> "list[Run]":
    """Add the facts in a payload to its session, and return the runs that it is about."""
    take = _TAKE.get(payload.event)
    return [run for run in take(payload, session, now) if run is not None] if take else []


def _returned(payload: "Payload", session: "Session", now: float) -> "list[Run]":
    """Take the result of the tool that runs sub-agents, which is that of the whole run, or of its launch only."""
    if not payload.is_about_agents:
        return []
    text, result = payload.text("tool_response"), payload.part("tool_response")
    agent_id = result.launched_agent_id
    if agent_id is None and result.name("teammate_id") is not None:
        return []  # its own events have the id
    run = _launched(payload, session, agent_id, result.name("agentType") or result.name("agent_type"))
    run.note(model=result.name("resolvedModel"), tool_uses=result.number("totalToolUseCount"))
    status = status_of(result.values)
    if text is not None:
        status = FAILED if is_error_text(text) else COMPLETED
    run.note(took=_seconds(result.number("totalDurationMs") or payload.number("duration_ms")))
    if status == FAILED:
        _fail(run, text or result.text("error") or "", now)
    elif status in (COMPLETED, KILLED):
        run.note_return(status, now)
    else:
        run.note(began=now)
        run.note_return(LAUNCHED, now)
    return [run]


def _fail(run: "Run", error: str, now: float) -> None:
    from otel_tracker.integrations.claude_code.runs.launcher_reports import fail  # here: few runs fail

    fail(run, error, now)


def _failed(payload: "Payload", session: "Session", now: float) -> "list[Run]":
    if not payload.is_about_agents:
        return []
    run = _launched(payload, session, None, None)
    run.note(took=_seconds(payload.number("duration_ms")))
    if payload.is_set("is_interrupt"):
        run.note(is_interrupted=True)
        run.note_return(KILLED, now)
    else:
        _fail(run, payload.text("error") or "", now)
    return [run]


def _launched(payload: "Payload", session: "Session", agent_id: "str | None", agent_type: "str | None") -> "Run":
    wish = payload.part("tool_input")
    wished_type = wish.name("subagent_type")
    run = session.run_or_new(agent_id, payload.name("tool_use_id"), agent_type or wished_type)
    run.note(agent_type=agent_type, wished_type=wished_type, model=wish.name("model"), launcher=payload.agent_id)
    return run


def _started(payload: "Payload", session: "Session", now: float) -> "list[Run]":
    run = _of_agent(payload, session)
    if run is None:
        return []
    run.note(began=now)
    run.is_fresh = run.is_settled or None
    return [run]


def _stopped(payload: "Payload", session: "Session", now: float) -> "list[Run]":
    run = _of_agent(payload, session)
    if run is None:
        return []
    run.note(transcript=payload.path("agent_transcript_path"), is_stopped=True, reported=now)
    run.is_fresh = True
    return [run]


def _broken_off(payload: "Payload", session: "Session", now: float) -> "list[Run]":
    """Take the turn of a sub-agent that an error of the API has ended; a turn of the main agent is about no run."""
    run = _of_agent(payload, session)
    if run is None:
        return []
    code = payload.text("error")
    run.note(api_error=error_text(code), outage=outage_of(None, code), is_stopped=True, reported=now)
    run.is_fresh = True
    return [run]


def _of_agent(payload: "Payload", session: "Session") -> "Run | None":
    """Return the run of the event's sub-agent, None if it has none or names one of Claude Code's own helpers."""
    agent_id, agent_type = payload.agent_id, payload.name("agent_type")
    if agent_id is None or places.is_internal(agent_id):
        return None
    of_sidecar = session.sidecar_of(agent_id, payload.path("agent_transcript_path")).get("agentType")
    is_teammate = agent_id.startswith(f"a{agent_type}-")  # its `agent_type` is its own name
    true_type = of_sidecar or (None if is_teammate else agent_type)
    if agent_type is None and true_type is None:  # Claude Code asks itself questions: without a type, without a start
        return session.run(agent_id, None)
    run = session.run_or_new(agent_id, None, true_type or agent_type)
    run.note(agent_type=true_type, wished_type=agent_type)
    return run


def _notified(payload: "Payload", session: "Session", now: float) -> "list[Run]":
    prompt = payload.text("prompt") or ""
    if not is_notification(payload):
        return []
    runs = []
    for notice in notifications_in(prompt):
        if session.is_of_another(notice.task_id):
            continue
        run = session.run(notice.task_id, notice.tool_use_id)
        if run is None and session.transcript_of(notice.task_id) is not None:  # a shell's task has none
            run = session.run_or_new(notice.task_id, notice.tool_use_id)
        if run is not None and notice.status is not None:
            run.note(is_stalled=notice.is_stalled or None, error=error_text(notice.error), outage=notice.outage)
            run.note_notification(notice.status, now)
            runs.append(run)
    return runs


def is_notification(payload: "Payload") -> bool:
    """Tell whether a prompt is no person's, but a notification of Claude Code's about a background task."""
    return (payload.text("prompt") or "").lstrip().startswith(MARK)


def _seconds(milliseconds: "float | None") -> "float | None":
    return None if milliseconds is None else milliseconds / 1000


_TAKE = {
    POST_TOOL_USE: _returned,
    POST_TOOL_USE_FAILURE: _failed,
    SUBAGENT_START: _started,
    SUBAGENT_STOP: _stopped,
    STOP: _stopped,
    STOP_FAILURE: _broken_off,
    USER_PROMPT_SUBMIT: _notified,
}
