"""The gate before a launch: it lets a healthy agent through without a word or a write, and denies others with the reason.

It never says `allow`, since that would skip the permission prompt.
"""

import json
import os
import time

from otel_tracker.errors import StorageError, command
from otel_tracker.integrations.claude_code.hooks.payload import PRE_TOOL_USE
from otel_tracker.integrations.claude_code.runs.agent_types import (
    DEFAULT_TYPE,
    known_key,
    project_agent,
    resolved,
    type_of,
)
from otel_tracker.names import FORCED_OPEN, PROBE_RUNNING
from otel_tracker.runtime.printable import printable
from otel_tracker.state import permission
from otel_tracker.storage.quick_read import is_seen_gone, read_quickly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.integrations.claude_code.hooks.payload import Payload
    from otel_tracker.integrations.claude_code.runs.session import Session
    from otel_tracker.state.document import Document
    from otel_tracker.storage.home import Home
    from otel_tracker.storage.recorder import Recorder
    from otel_tracker.tracking.gate import Admission, Rejection


def answer(payload: "Payload", home: "Home", *, is_closed_on_doubt: bool) -> str:
    """Return an empty text if the launch of a PreToolUse may go on, else the JSON that denies it.

    Raises OtelTrackerError if the home can't be read.
    """
    agent_type = payload.part("tool_input").name("subagent_type") or DEFAULT_TYPE
    document = read_quickly(home, agent_type)
    if is_closed_on_doubt and not os.path.exists(home.document):
        raise StorageError("read", home.document, "it is not there")
    of_project = project_agent(agent_type, payload.path("cwd"))
    agent = of_project.key if of_project else known_key(document, agent_type, home)
    if agent not in document.agents:
        return ""
    verdict = permission.answer(document, agent, time.time(), is_seen_gone)
    if verdict.is_admitted and not verdict.is_probe:
        return ""
    if verdict.reason == PROBE_RUNNING:
        from otel_tracker.integrations.claude_code.hooks.reconciler import end_abandoned

        end_abandoned(home, payload.session_id or "", time.time())  # the probe may have ended with its session
    return _asked(payload, home, agent_type, is_closed_on_doubt=is_closed_on_doubt)


def denial(reason: str) -> str:
    """Return the JSON with which a hook denies a launch; Claude reads the reason."""
    fields = {"hookEventName": PRE_TOOL_USE, "permissionDecision": "deny", "permissionDecisionReason": reason}
    return json.dumps({"hookSpecificOutput": fields})


def _asked(payload: "Payload", home: "Home", agent_type: str, *, is_closed_on_doubt: bool) -> str:
    """Ask a breaker that isn't closed, and may give a permit."""
    from otel_tracker.integrations.claude_code.runs.session import Session
    from otel_tracker.integrations.claude_code.variables import session_process
    from otel_tracker.storage.recorder import Recorder
    from otel_tracker.storage.store import Store
    from otel_tracker.tracking.gate import Gate, Rejection

    store, tool_use_id = Store(home), payload.name("tool_use_id")
    agent = resolved(store.read(), agent_type, payload.path("cwd"), home).key
    recorder = Recorder(store)
    if payload.session_id is None or tool_use_id is None:
        response = Gate(recorder, session_process).ask(agent)
    else:
        with Session.opened(home, payload.session_id) as session:
            response = _admitted(session, recorder, agent, tool_use_id, payload.agent_id)
    recorder.leave()  # this process ends without its exit handlers
    if isinstance(response, Rejection):
        return denial(_reason(store.read(), home, response, agent_type))
    if (
        is_closed_on_doubt
        and not response.is_probe
        and permission.answer(store.read(), agent, time.time(), is_seen_gone).is_probe
    ):
        raise StorageError("grant a permit in", home.document, "the log says why")
    return ""


def _admitted(
    session: "Session", recorder: "Recorder", agent: str, tool_use_id: str, launcher: "str | None"
) -> "Admission | Rejection":
    """Ask for a permit for a launch, and keep it. A hook that is registered twice asks twice for the same launch."""
    from otel_tracker.integrations.claude_code.runs.run import event_id
    from otel_tracker.integrations.claude_code.variables import session_process
    from otel_tracker.tracking.gate import Gate

    run_id = session.run_id_of(None, tool_use_id)
    fields = {"id": event_id(run_id, "asked"), "conversation_id": session.id, "tool_use_id": tool_use_id}
    response = Gate(recorder, session_process, **fields).ask(agent, tool_use_id, run_id)
    if response and response.is_probe:
        session.note_permit(tool_use_id, agent, launcher)
    return response


def _reason(document: "Document", home: "Home", response: "Rejection", agent_type: str) -> str:
    subject = (
        f"Agent '{agent_type}'"
        if response.agent_file == agent_type
        else f"Agent '{agent_type}' ({response.agent_file})"
    )
    is_ordered = response.code == FORCED_OPEN
    by, when = " by a person" if is_ordered else "", f"until {response.until[:19]}Z" if response.until else "now"
    alone = "Do without it, or wait." if response.until or not is_ordered else "Do without it."
    instead = f"Use agent '{type_of(document, response.fallback)}' instead." if response.fallback else alone
    words = ("breaker", response.agent_file, "auto") if is_ordered else ("reset", response.agent_file)
    return printable(
        f"{subject} is refused{by} {when}: {response.reason}. {instead} "
        f"A person can let it run again with: {command(*words, home=home.option)}"
    )
