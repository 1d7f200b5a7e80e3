"""Records a payload: it adds facts to its session, and events follow from all of the session's facts.

    payload --facts.py--> session (session.py) + transcript --outcome.py--> verdict --run_events.py--> start, end, amendment

A run is recorded once, whatever the order of its events; pending_events.py says how.
"""

import os
import time

from otel_tracker.integrations.claude_code.hooks.payload import (
    POST_TOOL_USE,
    POST_TOOL_USE_FAILURE,
    SESSION_END,
    SESSION_START,
    STOP,
    STOP_FAILURE,
    USER_PROMPT_SUBMIT,
)
from otel_tracker.integrations.claude_code.runs.session_files import READING_SECONDS, is_unsettled, path_of_watched
from otel_tracker.integrations.claude_code.transcripts.notification import MARK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.integrations.claude_code.hooks.payload import Payload
    from otel_tracker.integrations.claude_code.runs.session import Session
    from otel_tracker.storage.home import Home

_LAST_SECONDS = 0.3  # to read long transcripts, of the one second that a hook has at the end of a session
_OF_CONVERSATION = (SESSION_START, STOP, STOP_FAILURE, SESSION_END)
_OF_A_TOOL = (POST_TOOL_USE, POST_TOOL_USE_FAILURE)


def record(payload: "Payload", home: "Home") -> None:
    """Record a payload. Raises OtelTrackerError if that can't be written: the next hook tries again."""
    session_id = payload.session_id or ""
    try:
        _record_conversation(payload, home, session_id)
    finally:
        _record_runs(payload, home, session_id)


def _record_conversation(payload: "Payload", home: "Home", session_id: str) -> None:
    """Record what the main conversation has used by the end of its turn; a session is watched from its first event on."""
    is_first = payload.event == USER_PROMPT_SUBMIT and not os.path.exists(path_of_watched(home, session_id))
    if payload.agent_id is not None or not (is_first or payload.event in _OF_CONVERSATION):
        return
    from otel_tracker.integrations.claude_code.runs.watched import WatchedSession, settle_others

    now, is_over = time.time(), payload.event == SESSION_END
    until = time.monotonic() + (_LAST_SECONDS if is_over else READING_SECONDS)
    with WatchedSession.opened(home, session_id) as session:
        session.note_origin(payload.path("transcript_path"), now)
        session.record(now, until, is_over=is_over)
    settle_others(home, session_id, now, until)


def _record_runs(payload: "Payload", home: "Home", session_id: str) -> None:
    if payload.event == SESSION_START:
        from otel_tracker.integrations.claude_code.hooks import reconciler

        reconciler.look_at_others(home, session_id, time.time())
    if not _is_news(payload, home, session_id):
        return
    from otel_tracker.integrations.claude_code.hooks.routing import sessions_of

    began = time.monotonic()  # only now: the import takes a part of the time for reading
    recorded = {each: _record(payload, home, each, began) for each in sessions_of(payload, home)}
    own = recorded.get(session_id)
    is_of_several = own is not None and own.earlier_sessions and not payload.is_about_a_run
    if recorded.keys() != {session_id} or is_of_several:
        _record_earlier(payload, home, session_id, began, recorded)


def _record(payload: "Payload", home: "Home", session_id: str, began: float) -> "Session":
    """Record a payload in one of the sessions that it is about, and return that session as it is afterwards."""
    from otel_tracker.integrations.claude_code.hooks import facts, reconciler
    from otel_tracker.integrations.claude_code.runs.pending_events import PendingEvents
    from otel_tracker.integrations.claude_code.runs.session import Session

    with Session.opened(home, session_id) as session:
        now = time.time()
        session.note_origin(payload.path("transcript_path"), payload.session_id)
        runs = facts.taken(payload, session, now)
        try:
            seconds = _LAST_SECONDS if payload.event == SESSION_END else READING_SECONDS
            pending = PendingEvents(session, home, now, payload.path("cwd"), began + seconds)
            for run in runs:
                if not (run.is_settled and payload.is_of_an_agents_turn):  # a woken agent is not done yet
                    pending.judge(run)
            reconciler.reconcile(payload, pending)
            pending.write()
        finally:
            session.save()  # the facts of the event are kept, whatever else fails
        return session


def _record_earlier(
    payload: "Payload", home: "Home", session_id: str, began: float, recorded: "dict[str, Session]"
) -> None:
    """Link a session to the earlier ones whose agents go on in it: the ends of its turns, and its own end, are theirs, too.

    `recorded` has the sessions in which the payload has been recorded already.
    """
    from otel_tracker.integrations.claude_code.runs.session import Session

    with Session.opened(home, session_id) as session:
        earlier = {*session.earlier_sessions, *recorded} - {session_id}
    if not payload.is_about_a_run:
        recorded |= {each: _record(payload, home, each, began) for each in earlier - recorded.keys()}
    settled = {each for each, session in recorded.items() if not session.is_unsettled}
    with Session.opened(home, session_id) as session:
        session.earlier_sessions = sorted(earlier - settled)
        session.save()


def _is_news(payload: "Payload", home: "Home", session_id: str) -> bool:
    """Tell whether an event can change anything: most sessions never call a sub-agent."""
    if payload.event in _OF_A_TOOL:
        return payload.is_about_agents
    if payload.is_of_an_agents_turn:
        return True
    if payload.event == USER_PROMPT_SUBMIT and MARK in (payload.text("prompt") or ""):
        return True
    return is_unsettled(home, session_id, payload.path("transcript_path"))
