"""What no event tells: runs whose end got lost, permits of launches that never came about, sessions that just went silent.

It looks when the main agent's turn ends, when a person goes on, and when a session ends or begins.
"""

from otel_tracker.integrations.claude_code.hooks import facts
from otel_tracker.integrations.claude_code.hooks import payload as hooks
from otel_tracker.integrations.claude_code.runs.launcher_reports import add_evidence
from otel_tracker.integrations.claude_code.runs.pending_events import Recording
from otel_tracker.integrations.claude_code.runs.session import (
    Session,
    abandoned_sessions,
    beginning,
    is_gone,
    note_beginning,
)
from otel_tracker.integrations.claude_code.transcripts import places
from otel_tracker.runtime.log import warn
from otel_tracker.state import outages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.integrations.claude_code.hooks.payload import Payload
    from otel_tracker.integrations.claude_code.runs.run import Run
    from otel_tracker.storage.home import Home

SILENT_SECONDS = 3600.0
"""After which a session that nothing has come of, nor of its transcripts, is taken for ended."""

_END_OF_TURN = (hooks.STOP, hooks.STOP_FAILURE, hooks.USER_PROMPT_SUBMIT)
_NEW_PROCESS = ("startup", "resume")
_CLEARED = "clear"  # the reason of a session's end after which its agents go on
_LEFT = "prompt_input_exit"  # the reason of a session's end that a person has asked for
_RUNNING = ("running", "pending", "in_progress")


def reconcile(payload: "Payload", recording: Recording) -> None:
    """Settle what the moment of a payload allows to settle."""
    session = recording.session
    if payload.agent_id is not None:
        if payload.ends_an_agents_turn:
            _give_back(recording, payload.agent_id)
        return
    if payload.event == hooks.STOP_FAILURE:
        outage = outages.outage_of(None, payload.text("error"))
        if outage is not None:
            session.outages.append([outage, recording.now])
    if _is_end_of_session(payload):
        _discover(recording)
        _end(recording, is_left=payload.name("reason") == _LEFT)
    elif payload.event in (*_END_OF_TURN, hooks.SESSION_END) and not facts.is_notification(payload):
        _discover(recording)
        _end_turn(payload, recording)


def look_at_others(home: "Home", session_id: str, now: float) -> None:
    """Note when it all began, end the sessions that have gone silent, and forget those of which nothing has come for long."""
    note_beginning(home, now)
    end_abandoned(home, session_id, now)
    from otel_tracker.integrations.claude_code.runs.forgetting import forget_sessions  # here: most hooks forget nothing

    forget_sessions(home, now)


def end_abandoned(home: "Home", session_id: str, now: float) -> None:
    """End the other sessions whose process is gone, or that have gone silent: their runs are lost, their permits returned."""
    for abandoned in list(abandoned_sessions(home, now - SILENT_SECONDS)):
        if abandoned != session_id:
            _end_unless_alive(home, abandoned, now)


def _end_unless_alive(home: "Home", session_id: str, now: float) -> None:
    try:
        with Session.opened(home, session_id) as session:
            if not _is_alive(session, now):
                recording = Recording(session, home, now)
                _end(recording)
                recording.write()
    except Exception as error:  # noqa: BLE001 - the others, and the present one, go on
        warn("cannot settle the session %s: %r", session_id, error)


def _is_end_of_session(payload: "Payload") -> bool:
    """Tell whether nothing of a session runs any more: it has ended, or another process goes on with it."""
    if payload.event == hooks.SESSION_END:
        return payload.name("reason") != _CLEARED
    return payload.event == hooks.SESSION_START and payload.name("source") in _NEW_PROCESS


def _discover(recording: Recording) -> None:
    """Add the runs that no event has told of: they have a transcript, and a sidecar that says of which agent."""
    session = recording.session
    for agent_id in places.agents_of(session.transcript, beginning(recording.home)):
        kind = session.sidecar_of(agent_id).get("agentType")
        if kind is not None and not session.is_of_another(agent_id) and session.run(agent_id, None) is None:
            session.run_or_new(agent_id, None).note(agent_type=kind)


def _end(recording: Recording, *, is_left: bool = False) -> None:
    unclear = [run for run in recording.session.runs if run.is_unclear]
    _add_evidence(recording, unclear)
    for run in unclear:
        run.is_fresh = None
        recording.judge(run, is_gone=True, is_over=True, is_left=is_left)
        recording.write_if_many()
    for tool_use_id in list(recording.session.permits):
        recording.give_back(tool_use_id)
    recording.session.drop_what_came_to_nothing()


def _end_turn(payload: "Payload", recording: Recording) -> None:
    running, session = _running(payload), recording.session
    unclear = [run for run in session.runs if _is_unclear(run, running)]
    _add_evidence(recording, unclear)
    for run in unclear:
        run.is_fresh = None
        is_in_front = run.returned is None  # it would hold up the turn that is over
        is_gone = running is not None or is_in_front or run.is_stopped is True
        recording.judge(run, is_gone=is_gone, is_listed=running is not None and _is_of_main_agent(session, run))
        recording.write_if_many()
    _give_back(recording, None)
    session.drop_what_came_to_nothing()


def _running(payload: "Payload") -> "set[str] | None":
    """Return the ids of the tasks that run in the background, None where Claude Code doesn't tell."""
    tasks = payload.parts("background_tasks")
    if tasks is None:
        return None
    told = [(places.plain_agent_id(task.name("id") or ""), task.name("status")) for task in tasks]
    return {task for task, status in told if status is None or status in _RUNNING}


def _is_of_main_agent(session: Session, run: "Run") -> bool:
    """Tell whether a call of the main agent's has launched a run, so that Claude Code lists it while it runs."""
    return (
        run.tool_use_id is not None and run.launcher is None and session.sidecar_of(run.agent_id).get("spawnDepth") == 1
    )


def _is_unclear(run: "Run", running: "set[str] | None") -> bool:
    """Tell whether there is something to find out of a run that may have ended, or that was woken and has ended again."""
    if running is not None and {run.agent_id, run.launcher} & running:
        return False
    return run.is_unclear and not (run.is_settled and running is None)


def _give_back(recording: Recording, launcher: "str | None") -> None:
    """Return the permits of launches of an agent whose turn is over: what has not begun by now won't."""
    for tool_use_id, permit in list(recording.session.permits.items()):
        if permit.get("launcher") == launcher:
            recording.give_back(tool_use_id)


def _add_evidence(recording: Recording, runs: "list[Run]") -> None:
    """Add what the transcripts of the agents that launched the runs say of them."""
    if not runs:
        return
    from otel_tracker.integrations.claude_code.transcripts import parent

    session = recording.session
    for launcher in {run.launcher for run in runs}:
        of_session = [session.transcript, *session.later_transcripts]
        launched = [run for run in runs if run.launcher == launcher]
        for path in filter(None, of_session if launcher is None else session.transcripts_of(launcher)):
            tools = {run.tool_use_id for run in launched if run.tool_use_id}
            found = parent.evidence(path, tools, {run.agent_id for run in launched if run.agent_id})
            for run in launched:
                told = found.get(run.tool_use_id or "") or found.get(run.agent_id or "")
                if told is not None:
                    add_evidence(run, told, recording.now)


def _is_alive(session: Session, now: float) -> bool:
    """Tell whether a transcript of a session has been written to lately, and its process may still run."""
    if is_gone(session.process):
        return False
    of_runs = (path for run in session.runs for path in session.transcripts_of(run.agent_id, run.transcript))
    paths = [session.transcript, *session.later_transcripts, *of_runs]
    written = [places.modified(path) for path in paths if path]
    return any(moment is not None and moment > now - SILENT_SECONDS for moment in written)
