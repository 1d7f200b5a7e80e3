"""The folder that a session works in: its events name it, unless a setting keeps it out."""

from otel_tracker.errors import OtelTrackerError
from otel_tracker.integrations.claude_code.transcripts.conversation_reader import project_in
from otel_tracker.state.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.storage.home import Home

_NO_AGENT = "\0"  # a text that no agent's entry has: of the document the settings are enough


def project_of(
    home: "Home", transcript: "str | None", known: "str | None" = None, folder: "str | None" = None
) -> "str | None":
    """Return the folder in which the session with a transcript works, None where it is unknown, or a setting keeps it out.

    `known` is what an earlier call has returned for the session, `folder` the one to take where the transcript tells of none.
    """
    if not _is_recorded(home):
        return None
    return known or (project_in(transcript) if transcript else None) or folder


def _is_recorded(home: "Home") -> bool:
    """Tell whether events may name folders; not where the settings can't be read."""
    from otel_tracker.storage.quick_read import read_quickly  # here: most hooks record no end

    try:
        return Settings.of(read_quickly(home, _NO_AGENT).config).record_project
    except OtelTrackerError:
        return False
