"""Settles matters that no event reports: runs whose end was lost, permits of launches that failed, sessions that went silent.

It does so when a turn of the main agent ends, when the user enters a prompt, and when a session ends or begins.
"""

from otel_tracker.integrations.claude_code.hooks import facts
from otel_tracker.integrations.claude_code.hooks.payload import (
    SESSION_END,
    SESSION_START,
    STOP,
    STOP_FAILURE,
    USER_PROMPT_SUBMIT,
)
from otel_tracker.integrations.claude_code.runs import outcome
from otel_tracker.integrations.claude_code.runs.pending_events import PendingEvents
from otel_tracker.integrations.claude_code.runs.session import Session
from otel_tracker.integrations.claude_code.runs.session_files import (
    SILENT_SECONDS,
    abandoned_sessions,
    first_session,
    note_first_session,
)
from otel_tracker.integrations.claude_code.transcripts import places
from otel_tracker.runtime.log import warn
from otel_tracker.runtime.owner import is_seen_gone
from otel_tracker.state import outages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.integrations.claude_code.hooks.payload import Payload
    from otel_tracker.integrations.claude_code.runs.run import Run
    from otel_tracker.storage.home import Home

_END_OF_TURN = (STOP, STOP_FAILURE, USER_PROMPT_SUBMIT)
_NEW_PROCESS = ("startup", "resume")
_CLEARED = "clear"  # after a session's end for this reason its agents go on
_LEFT = "prompt_input_exit"  # the reason if the user has ended the session
_RUNNING = ("running", "pending", "in_progress")


def reconcile(payload: "Payload", pending: PendingEvents) -> None:
    """Settle the matters that can be settled at the moment of a payload."""
    session = pending.session
    if payload.agent_id is not None:
        if payload.ends_an_agents_turn:
            _give_back(pending, payload.agent_id)
        return
    if payload.event == STOP_FAILURE:
        outage = outages.outage_of(None, payload.text("error"))
        if outage is not None:
            session.outages.append([outage, pending.now])
    if _is_end_of_session(payload):
        _discover(pending)
        _end(pending, outcome.SESSION_LEFT if payload.name("reason") == _LEFT else outcome.SESSION_OVER)
    elif payload.event in (*_END_OF_TURN, SESSION_END) and not facts.is_notification(payload):
        _discover(pending)
        _end_turn(payload, pending)


def look_at_others(home: "Home", session_id: str, now: float) -> None:
    """Note the first session of a home, end the abandoned sessions, and forget those that were over long ago."""
    note_first_session(home, now)
    end_abandoned(home, session_id, now)
    # Most hooks forget nothing, and needn't load this.
    from otel_tracker.integrations.claude_code.runs.forgetting import forget_sessions

    forget_sessions(home, now)


def end_abandoned(home: "Home", session_id: str, now: float) -> None:
    """End the other sessions whose process has ended, or that are silent: their runs are lost, their permits returned."""
    for abandoned in list(abandoned_sessions(home, now - SILENT_SECONDS)):
        if abandoned != session_id:
            _end_unless_alive(home, abandoned, now)


def _end_unless_alive(home: "Home", session_id: str, now: float) -> None:
    try:
        with Session.opened(home, session_id) as session:
            if not _is_alive(session, now):
                pending = PendingEvents(session, home, now)
                _end(pending, outcome.SESSION_OVER)
                pending.write()
    except Exception as error:  # noqa: BLE001 - the other sessions, and the present one, go on
        warn("cannot settle the session %s: %r", session_id, error)


def _is_end_of_session(payload: "Payload") -> bool:
    """Tell whether nothing of a session runs any more: it has ended, or another process resumes it."""
    if payload.event == SESSION_END:
        return payload.name("reason") != _CLEARED
    return payload.event == SESSION_START and payload.name("source") in _NEW_PROCESS


def _discover(pending: PendingEvents) -> None:
    """Add the runs that no event has reported: they have a transcript, and a sidecar with their agent's type."""
    session = pending.session
    for agent_id in places.agents_of(session.transcript, first_session(pending.home)):
        agent_type = session.sidecar_of(agent_id).get("agentType")
        if agent_type is not None and not session.is_of_another(agent_id) and session.run(agent_id, None) is None:
            session.run_or_new(agent_id, None).note(agent_type=agent_type)


def _end(pending: PendingEvents, situation: str) -> None:
    unclear = [run for run in pending.session.runs if run.is_unclear]
    _add_evidence(pending, unclear)
    for run in unclear:
        run.is_fresh = None
        pending.judge(run, situation)
        pending.write_if_many()
    for tool_use_id in list(pending.session.permits):
        pending.give_back(tool_use_id)
    pending.session.drop_what_came_to_nothing()


def _end_turn(payload: "Payload", pending: PendingEvents) -> None:
    running, session = _running(payload), pending.session
    unclear = [run for run in session.runs if _is_unclear(run, running)]
    _add_evidence(pending, unclear)
    for run in unclear:
        run.is_fresh = None
        pending.judge(run, _situation_of(run, session, running))
        pending.write_if_many()
    _give_back(pending, None)
    session.drop_what_came_to_nothing()


def _situation_of(run: "Run", session: Session, running: "set[str] | None") -> str:
    """Return the situation of an unclear run at the end of a turn; it is not one of those `running`."""
    if running is not None and _is_of_main_agent(session, run):
        return outcome.UNLISTED
    is_in_front = run.returned is None  # it would hold up the turn that is over
    return outcome.GONE if running is not None or is_in_front or run.is_stopped else outcome.RUNNING


def _running(payload: "Payload") -> "set[str] | None":
    """Return the ids of the tasks that run in the background, None if Claude Code doesn't list them."""
    tasks = payload.parts("background_tasks")
    if tasks is None:
        return None
    listed = [(places.plain_agent_id(task.name("id") or ""), task.name("status")) for task in tasks]
    return {task for task, status in listed if status is None or status in _RUNNING}


def _is_of_main_agent(session: Session, run: "Run") -> bool:
    """Tell whether the main agent has launched a run: Claude Code lists such a run while it is running."""
    return (
        run.tool_use_id is not None and run.launcher is None and session.sidecar_of(run.agent_id).get("spawnDepth") == 1
    )


def _is_unclear(run: "Run", running: "set[str] | None") -> bool:
    """Tell whether anything is left to find out about a run that may have ended, or was woken and may have ended again."""
    if running is not None and {run.agent_id, run.launcher} & running:
        return False
    return run.is_unclear and not (run.is_settled and running is None)


def _give_back(pending: PendingEvents, launcher: "str | None") -> None:
    """Return the permits of launches of an agent whose turn is over: a launch that has not begun by now never will."""
    for tool_use_id, permit in list(pending.session.permits.items()):
        if permit.get("launcher") == launcher:
            pending.give_back(tool_use_id)


def _add_evidence(pending: PendingEvents, runs: "list[Run]") -> None:
    """Add the evidence about the runs in the transcripts of their launchers."""
    if not runs:
        return
    from otel_tracker.integrations.claude_code.runs.launcher_reports import add_evidence
    from otel_tracker.integrations.claude_code.transcripts import parent

    session = pending.session
    for launcher in {run.launcher for run in runs}:
        of_session = [session.transcript, *session.later_transcripts]
        launched = [run for run in runs if run.launcher == launcher]
        for path in filter(None, of_session if launcher is None else session.transcripts_of(launcher)):
            tools = {run.tool_use_id for run in launched if run.tool_use_id}
            by_id = parent.evidence(path, tools, {run.agent_id for run in launched if run.agent_id})
            for run in launched:
                evidence = by_id.get(run.tool_use_id or "") or by_id.get(run.agent_id or "")
                if evidence is not None:
                    add_evidence(run, evidence, pending.now)


def _is_alive(session: Session, now: float) -> bool:
    """Tell whether a transcript of a session has been written to lately, and its process may still run."""
    if is_seen_gone(session.process):
        return False
    of_runs = (path for run in session.runs for path in session.transcripts_of(run.agent_id, run.transcript))
    paths = [session.transcript, *session.later_transcripts, *of_runs]
    written = [places.modified(path) for path in paths if path]
    return any(moment is not None and moment > now - SILENT_SECONDS for moment in written)
