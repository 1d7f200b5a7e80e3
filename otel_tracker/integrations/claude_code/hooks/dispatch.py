"""The recorder: what a hook tells becomes a fact of its session, and what follows from the facts becomes events.

    payload --facts.py--> session (session.py) + transcript --outcome.py--> verdict --> started, ended, amended

A run is recorded once, whatever the order of its events: its end when it is settled, and what turns out later as the
difference to what has been recorded.
"""

import time

from otel_tracker.integrations.claude_code.hooks import payload as hooks
from otel_tracker.integrations.claude_code.runs.session import Session, is_unsettled
from otel_tracker.integrations.claude_code.transcripts.notification import MARK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.integrations.claude_code.hooks.payload import Payload
    from otel_tracker.storage.home import Home

_LAST_SECONDS = 0.3  # for reading long transcripts, of the one second that a hook has when a session ends
_OF_A_TOOL = (hooks.POST_TOOL_USE, hooks.POST_TOOL_USE_FAILURE)


def record(payload: "Payload", home: "Home") -> None:
    """Record what a payload tells. Raises OtelTrackerError where that can't be written: the next hook tries again."""
    session_id = payload.session_id or ""
    if payload.event == hooks.SESSION_START:
        from otel_tracker.integrations.claude_code.hooks import reconciler

        reconciler.look_at_others(home, session_id, time.time())
    if not _is_news(payload, home, session_id):
        return
    from otel_tracker.integrations.claude_code.hooks.routing import sessions_of

    began = time.monotonic()  # what was read before takes some time to load
    recorded = {each: _record(payload, home, each, began) for each in sessions_of(payload, home)}
    own = recorded.get(session_id)
    is_of_several = own is not None and own.earlier_sessions and not payload.is_about_a_run
    if recorded.keys() != {session_id} or is_of_several:
        _record_earlier(payload, home, session_id, began, recorded)


def _record(payload: "Payload", home: "Home", session_id: str, began: float) -> Session:
    """Record what a payload tells of the runs of a session, and return what is known of it then."""
    from otel_tracker.integrations.claude_code.hooks import facts, reconciler
    from otel_tracker.integrations.claude_code.runs.pending_events import READING_SECONDS, Recording

    with Session.opened(home, session_id) as session:
        now = time.time()
        session.note_origin(payload.path("transcript_path"), payload.session_id)
        told = facts.taken(payload, session, now)
        try:
            seconds = _LAST_SECONDS if payload.event == hooks.SESSION_END else READING_SECONDS
            recording = Recording(session, home, now, payload.path("cwd"), began + seconds)
            for run in told:
                if not (run.is_settled and payload.is_of_an_agents_turn):  # a woken one is not done yet
                    recording.judge(run)
            reconciler.reconcile(payload, recording)
            recording.write()
        finally:
            session.save()  # what the event has told isn't lost, whatever else fails
        return session


def _record_earlier(
    payload: "Payload", home: "Home", session_id: str, began: float, recorded: "dict[str, Session]"
) -> None:
    """Link a session to the earlier ones whose agents go on in it; the end of its turn, and its own, is theirs, too.

    `recorded` are the sessions for which the payload has been recorded already.
    """
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
    if payload.event == hooks.USER_PROMPT_SUBMIT and MARK in (payload.text("prompt") or ""):
        return True
    return is_unsettled(home, session_id, payload.path("transcript_path"))
