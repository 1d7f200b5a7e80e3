"""What each event of a hook says of a run, as facts of its session."""

from otel_tracker.integrations.claude_code.hooks import payload as hooks
from otel_tracker.integrations.claude_code.runs.launcher_reports import fail
from otel_tracker.integrations.claude_code.transcripts import places
from otel_tracker.integrations.claude_code.transcripts import result as result_of_tool
from otel_tracker.integrations.claude_code.transcripts.notification import MARK, notifications_in
from otel_tracker.integrations.claude_code.transcripts.statuses import COMPLETED, FAILED, KILLED, LAUNCHED
from otel_tracker.state.event import error_text
from otel_tracker.state.outages import outage_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.integrations.claude_code.hooks.payload import Payload
    from otel_tracker.integrations.claude_code.runs.run import Run
    from otel_tracker.integrations.claude_code.runs.session import Session


def taken(payload: "Payload", session: "Session", now: float) -> "list[Run]":
    """Add what a payload says to the facts of its session, and return the runs that it is about."""
    take = _TAKE.get(payload.event)
    return [run for run in take(payload, session, now) if run is not None] if take else []


def _returned(payload: "Payload", session: "Session", now: float) -> "list[Run]":
    """Take the result of the tool that runs sub-agents: of the whole run, or only of its launch."""
    if not payload.is_about_agents:
        return []
    said, result = payload.text("tool_response"), payload.part("tool_response")
    agent_id = result.launched_agent_id
    if agent_id is None and result.name("teammate_id") is not None:
        return []  # its own events have the id
    run = _launched(payload, session, agent_id, result.name("agentType") or result.name("agent_type"))
    run.note(model=result.name("resolvedModel"), tool_uses=result.number("totalToolUseCount"))
    status = result_of_tool.status_of(result.values)
    if said is not None:
        status = FAILED if result_of_tool.is_error_text(said) else COMPLETED
    run.note(took=_seconds(result.number("totalDurationMs") or payload.number("duration_ms")))
    if status == FAILED:
        fail(run, said or result.text("error") or "", now)
    elif status in (COMPLETED, KILLED):
        run.note_return(status, now)
    else:
        run.note(began=now)
        run.note_return(LAUNCHED, now)
    return [run]


def _failed(payload: "Payload", session: "Session", now: float) -> "list[Run]":
    if not payload.is_about_agents:
        return []
    run = _launched(payload, session, None, None)
    run.note(took=_seconds(payload.number("duration_ms")))
    if payload.is_set("is_interrupt"):
        run.note(is_interrupted=True)
        run.note_return(KILLED, now)
    else:
        fail(run, payload.text("error") or "", now)
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
    """Take a sub-agent's turn that an error of the API has ended; that of the main agent is about no run."""
    run = _of_agent(payload, session)
    if run is None:
        return []
    code = payload.text("error")
    run.note(api_error=error_text(code), outage=outage_of(None, code), is_stopped=True, reported=now)
    run.is_fresh = True
    return [run]


def _of_agent(payload: "Payload", session: "Session") -> "Run | None":
    """Return the run of a sub-agent, None where the event is no agent's: Claude Code has some within itself."""
    agent_id, agent_type = payload.agent_id, payload.name("agent_type")
    if agent_id is None or places.is_internal(agent_id):
        return None
    told = payload.path("agent_transcript_path")
    is_teammate = agent_id.startswith(f"a{agent_type}-")  # whose type is its own name
    kind = session.sidecar_of(agent_id, told).get("agentType") or (None if is_teammate else agent_type)
    if agent_type is None and kind is None:  # its own questions to itself have no type, and come without a start
        return session.run(agent_id, None)
    run = session.run_or_new(agent_id, None, kind or agent_type)
    run.note(agent_type=kind, wished_type=agent_type)
    return run


def _notified(payload: "Payload", session: "Session", now: float) -> "list[Run]":
    prompt = payload.text("prompt") or ""
    if not is_notification(payload):
        return []
    runs = []
    for told in notifications_in(prompt):
        if session.is_of_another(told.task_id):
            continue
        run = session.run(told.task_id, told.tool_use_id)
        if run is None and session.transcript_of(told.task_id) is not None:  # a shell's task has none
            run = session.run_or_new(told.task_id, told.tool_use_id)
        if run is not None and told.status is not None:
            run.note(is_stalled=told.is_stalled or None, error=error_text(told.error), outage=told.outage)
            run.note_notification(told.status, now)
            runs.append(run)
    return runs


def is_notification(payload: "Payload") -> bool:
    """Tell whether a prompt is not a person's, but Claude Code's own about a background task."""
    return (payload.text("prompt") or "").lstrip().startswith(MARK)


def _seconds(milliseconds: "float | None") -> "float | None":
    return None if milliseconds is None else milliseconds / 1000


_TAKE = {
    hooks.POST_TOOL_USE: _returned,
    hooks.POST_TOOL_USE_FAILURE: _failed,
    hooks.SUBAGENT_START: _started,
    hooks.SUBAGENT_STOP: _stopped,
    hooks.STOP: _stopped,
    hooks.STOP_FAILURE: _broken_off,
    hooks.USER_PROMPT_SUBMIT: _notified,
}
