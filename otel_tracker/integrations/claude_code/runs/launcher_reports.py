"""Turns what a run's launcher reports about it into facts of the run. Pure."""

from otel_tracker.integrations.claude_code.transcripts.result import is_unknown_type
from otel_tracker.integrations.claude_code.transcripts.statuses import FAILED, LAUNCHED
from otel_tracker.state.event import error_text
from otel_tracker.state.outages import outage_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.integrations.claude_code.runs.run import Run
    from otel_tracker.integrations.claude_code.transcripts.parent import Evidence


def fail(run: "Run", error: str, at: float) -> None:
    """Note that a run has failed, or could not be launched, and its error."""
    run.note(error=error_text(error), outage=outage_of(None, error), is_unknown_type=is_unknown_type(error) or None)
    run.note_return(FAILED, at)


def add_evidence(run: "Run", evidence: "Evidence", at: float) -> None:
    """Add the last status that its launcher's transcript gives to a run; it was read at the moment `at`.

    A run in the background gets its status by a notification.
    """
    run.note(agent_id=evidence.agent_id, tool_use_id=evidence.tool_use_id)
    if evidence.status is None:
        return
    if evidence.status == FAILED and run.returned != LAUNCHED:
        fail(run, evidence.error or "", at)
    elif evidence.status == LAUNCHED or run.returned != LAUNCHED:
        run.note_return(evidence.status, at)
    elif run.notified is None or evidence.notices > (run.notices or 0):
        run.note(error=error_text(evidence.error))
        run.note_notification(evidence.status, at)
