"""What is said of a run's end by those that launched it, as facts of the run. Pure."""

from otel_tracker.integrations.claude_code.transcripts.result import is_unknown_type
from otel_tracker.integrations.claude_code.transcripts.statuses import FAILED, LAUNCHED
from otel_tracker.state.event import error_text
from otel_tracker.state.outages import outage_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.integrations.claude_code.runs.run import Run
    from otel_tracker.integrations.claude_code.transcripts.parent import Evidence


def fail(run: "Run", error: str, at: float) -> None:
    """Note that a run has failed, or could not be launched, and with what."""
    is_unknown = is_unknown_type(error) or None
    run.note(error=error_text(error), outage=outage_of(None, error), is_unknown_type=is_unknown)
    run.note_return(FAILED, at)


def add_evidence(run: "Run", told: "Evidence", at: float) -> None:
    """Add what its launcher's transcript says last of a run, read at the moment `at`; in the background that is a notification."""
    run.note(agent_id=told.agent_id, tool_use_id=told.tool_use_id)
    if told.status is None:
        return
    if told.status == FAILED and run.returned != LAUNCHED:
        fail(run, told.error or "", at)
    elif told.status == LAUNCHED or run.returned != LAUNCHED:
        run.note_return(told.status, at)
    elif run.notified is None or told.notices > (run.notices or 0):
        run.note(error=error_text(told.error))
        run.note_notification(told.status, at)
