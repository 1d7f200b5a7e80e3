"""How many runs wait to be imported, by what the names of files tell: in a blink, and therefore only about."""

from otel_tracker.integrations.claude_code.past.unread import Unread
from otel_tracker.integrations.claude_code.runs import lineage
from otel_tracker.integrations.claude_code.runs.ledger import Ledger
from otel_tracker.integrations.claude_code.transcripts.places import is_internal
from otel_tracker.storage.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_tracker.storage.home import Home


def waiting_runs(home: "Home", paths: "Iterable[str]") -> int:
    """Return about how many runs an import would record: the agents with a transcript of their own that the home doesn't know.

    Runs within a session's file, as old versions wrote them, are not among them. Raises StorageError.
    """
    counted = Ledger(home, Files())
    files = (file for group in Unread(paths, counted).groups for file in group.files)
    agents = {file.agent_id for file in files if file.agent_id and not is_internal(file.agent_id)}
    return sum(not counted.knows_run(agent) and lineage.owner_of(home, agent) is None for agent in agents)
