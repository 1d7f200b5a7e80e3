"""Which session a run belongs to: the one that had the first event of its agent, whatever session later events name.

After `/clear`, and when a person moves a session to the background, its agents go on under the id of another session. So a file
for each agent, `claude-code/agents/<agent id>`, names the session whose file has its run. Seen in Claude Code 2.1.139 to 2.1.332.
"""

import os

from otel_tracker.errors import StorageError
from otel_tracker.integrations.claude_code import NAME
from otel_tracker.integrations.claude_code.transcripts import places
from otel_tracker.runtime.limits import NAME_CHARACTERS
from otel_tracker.storage.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.storage.home import Home

FOLDER = "agents"


def owner_of(home: "Home", agent_id: "str | None") -> "str | None":
    """Return the id of the session that has the run of an agent, None if no session has."""
    path = _path(home, agent_id)
    try:
        read = Files().read(path, 0, NAME_CHARACTERS) if path else None
    except StorageError:
        return None
    return (read[1].decode("utf-8", "replace").split("\n")[0] or None) if read else None


def claim(home: "Home", agent_id: str, session_id: str, files: Files) -> None:
    """Note that a session has the run of an agent, unless another session has it already."""
    path = _path(home, agent_id)
    if path is not None and files.signature(path) is None:
        files.make_folder(os.path.dirname(path))
        files.append(path, f"{session_id}\n".encode())


def release(home: "Home", agent_id: "str | None", session_id: str, files: Files) -> None:
    """Forget that a session has the run of an agent; do nothing if another session has it."""
    path = _path(home, agent_id)
    if path is not None and owner_of(home, agent_id) == session_id:
        files.remove(path)


def _path(home: "Home", agent_id: "str | None") -> "str | None":
    is_safe = agent_id is not None and places.is_safe(agent_id)
    return os.path.join(home.of_integration(NAME), FOLDER, agent_id) if agent_id is not None and is_safe else None
